"""Every rule holds in every overlay; and each is broken once, so that it is known to see something."""

import importlib.util
import re
from collections.abc import Callable
from typing import Any

import pytest

from callbot.runtime.keyring import KeyRing

from . import rules
from .cluster import OVERLAYS, ROOT, SERVICES, Cluster, cluster

Break = Callable[[Cluster], Any]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_rules_hold(rule: Callable[[Cluster], rules.Wrong], overlay: str) -> None:
    assert list(rule(cluster(overlay))) == []


def settings_map(found: Cluster, service: str) -> Any:
    named = {one["metadata"]["name"].rpartition("-")[0]: one["data"] for one in found.all("ConfigMap")}
    return named[f"{service}-settings"]


def scaled(found: Cluster, service: str) -> Any:
    return found.one("ScaledObject", service)["spec"]


def pod(found: Cluster, service: str) -> Any:
    return found.deployment(service)["spec"]["template"]["spec"]


def nats_container(found: Cluster) -> Any:
    return found.one("StatefulSet", "nats")["spec"]["template"]["spec"]["containers"][0]


def paths(found: Cluster, ingress: str) -> Any:
    return found.one("Ingress", ingress)["spec"]["rules"][0]["http"]["paths"]


def down(found: Cluster, service: str) -> Any:
    return scaled(found, service)["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]


BROKEN: dict[str, tuple[Callable[[Cluster], rules.Wrong], Break]] = {
    "a setting is misspelt": (
        rules.every_setting_is_read,
        lambda c: settings_map(c, "gateway").update(CALLBOT_MAX_CALS="5"),
    ),
    "a setting has a wrong value": (
        rules.settings_are_right,
        lambda c: settings_map(c, "stt-worker").update(CALLBOT_ROOM="0"),
    ),
    "a worker has less time than it drains": (
        rules.nobody_is_killed_while_it_drains,
        lambda c: pod(c, "tts-worker").update(terminationGracePeriodSeconds=60),
    ),
    "a gateway drains for a minute": (
        rules.a_gateway_goes_after_its_longest_call,
        lambda c: settings_map(c, "gateway").update(CALLBOT_DRAIN_S="60"),
    ),
    "a gateway closes at once": (
        rules.a_gateway_goes_after_its_longest_call,
        lambda c: c.container("gateway").pop("lifecycle"),
    ),
    "readiness asks whether it lives": (
        rules.probes_ask_the_health_port,
        lambda c: c.container("gateway")["readinessProbe"]["httpGet"].update(path="/live"),
    ),
    "a gateway that hangs is waited for": (
        rules.probes_ask_the_health_port,
        lambda c: c.container("gateway")["livenessProbe"].pop("terminationGracePeriodSeconds"),
    ),
    "health is served elsewhere": (
        rules.probes_ask_the_health_port,
        lambda c: settings_map(c, "call-router").update(CALLBOT_HEALTH_PORT="9000"),
    ),
    "open mode for everybody": (
        rules.open_mode_is_on_loopback,
        lambda c: settings_map(c, "public").update(CALLBOT_AUTH="open"),
    ),
    "a budget for nobody": (
        rules.selectors_select_somebody,
        lambda c: c.one("PodDisruptionBudget", "nats")["spec"]["selector"]["matchLabels"].update(
            {"app.kubernetes.io/name": "natz"}
        ),
    ),
    "a policy for nobody": (
        rules.selectors_select_somebody,
        lambda c: c.one("NetworkPolicy", "services-to-nats")["spec"]["podSelector"].update(
            {"matchLabels": {"callbot/part": "servce"}}
        ),
    ),
    "a port without its name": (
        rules.ports_have_names,
        lambda c: c.container("gateway")["ports"][0].update(name="helth"),
    ),
    "a route that the ingress does not know": (
        rules.only_the_public_paths_are_public,
        lambda c: paths(c, "api").pop(0),
    ),
    "health for the internet": (
        rules.only_the_public_paths_are_public,
        lambda c: paths(c, "api")[0].update(path="/status"),
    ),
    "the ingress leads to the health port": (
        rules.only_the_public_paths_are_public,
        lambda c: paths(c, "twilio")[0].update(
            backend={"service": {"name": "gateway", "port": {"number": 8081}}}
        ),
    ),
    "workers before gateways": (
        rules.priorities_are_in_order,
        lambda c: c.one("PriorityClass", "callbot-worker").update(value=200000),
    ),
    "scaled when it is full": (
        rules.scaling_leaves_room_and_cuts_nothing,
        lambda c: scaled(c, "stt-worker")["triggers"][0]["metadata"].update(threshold="1"),
    ),
    "no metric counts as no call": (
        rules.scaling_leaves_room_and_cuts_nothing,
        lambda c: scaled(c, "tts-worker")["triggers"][0]["metadata"].pop("ignoreNullValues"),
    ),
    "gateways go at once": (
        rules.scaling_leaves_room_and_cuts_nothing,
        lambda c: down(c, "gateway").update(stabilizationWindowSeconds=60),
    ),
    "a number of replicas": (
        rules.scaling_leaves_room_and_cuts_nothing,
        lambda c: c.deployment("gateway")["spec"].update(replicas=2),
    ),
    "a password that NATS is not told": (
        rules.nats_has_what_its_configuration_asks_for,
        lambda c: [
            v.update(name="OTHER") for v in nats_container(c)["env"] if v["name"] == "NATS_PASSWORD_GATEWAY"
        ],
    ),
    "a server without a route": (
        rules.nats_has_what_its_configuration_asks_for,
        lambda c: c.one("StatefulSet", "nats")["spec"].update(replicas=5),
    ),
    "one copy in a cluster of three": (
        rules.nats_has_what_its_configuration_asks_for,
        lambda c: settings_map(c, "call-router").update(CALLBOT_NATS_REPLICAS="1"),
    ),
    "a small disk": (
        rules.nats_has_what_its_configuration_asks_for,
        lambda c: c.one("StatefulSet", "nats")["spec"]["volumeClaimTemplates"][0]["spec"]["resources"][
            "requests"
        ].update(storage="2Gi"),
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_seen(what: str) -> None:
    rule, breaks = BROKEN[what]
    found = cluster("prod")
    breaks(found)
    assert list(rule(found)) != []


def new_secrets() -> Any:
    spec = importlib.util.spec_from_file_location("new_secrets", ROOT / "k8s" / "new_secrets.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def references(found: Cluster) -> set[tuple[str, str]]:
    """Each key of a Secret without which a pod does not start."""
    wanted = set()
    for template in found.pods():
        for container in (*template["spec"].get("initContainers", ()), *template["spec"]["containers"]):
            for variable in container.get("env", ()):
                reference = variable.get("valueFrom", {}).get("secretKeyRef", {})
                if reference and not reference.get("optional"):
                    wanted.add((reference["name"], reference["key"]))
        for volume in template["spec"].get("volumes", ()):
            for item in volume.get("secret", {}).get("items", ()):
                wanted.add((volume["secret"]["secretName"], item["key"]))
    return wanted


def test_new_secrets_are_those_that_the_pods_ask_for() -> None:
    made = new_secrets().new_secrets()
    assert references(cluster("prod")) == {(n, k) for n, keys in made.items() for k in keys}
    elsewhere = new_secrets().new_secrets("mongodb+srv://cluster.example.com")
    assert references(cluster("hpa")) == {(n, k) for n, keys in elsewhere.items() for k in keys} | {
        ("nats-passwords", "routes")
    }


def test_new_secrets_can_be_used() -> None:
    made = new_secrets().new_secrets()
    for ring in made["key-rings"].values():
        KeyRing.parse(ring)
    for password in (*made["nats-passwords"].values(), made["mongodb"]["callbot-password"]):
        # It becomes part of a URL, and nats-py does not decode what is escaped there.
        assert re.fullmatch(r"[A-Za-z0-9_-]{40,}", password)
    assert made["mongodb"]["callbot-password"] in made["mongodb-url"]["url"]
    # mongod takes 6 to 1024 characters of base64.
    assert re.fullmatch(r"[A-Za-z0-9+/=]{6,1024}", made["mongodb"]["key-file"])


def test_the_local_overlay_brings_its_own_secrets() -> None:
    found = cluster("local")
    brought = {(s["metadata"]["name"], key) for s in found.all("Secret") for key in s["data"]}
    assert references(found) == brought
    # The cluster of prod must not know them.
    assert list(cluster("prod").all("Secret")) == []


@pytest.mark.parametrize("overlay", ["prod", "hpa"])
def test_each_service_gets_its_own_secrets_alone(overlay: str) -> None:
    found = cluster(overlay)
    given = {
        service: {
            (v["valueFrom"]["secretKeyRef"]["name"], v["valueFrom"]["secretKeyRef"]["key"])
            for v in found.container(service)["env"]
            if "secretKeyRef" in v.get("valueFrom", {})
        }
        for service in SERVICES
    }
    rings = {("key-rings", ring) for ring in ("token", "jwt", "secret", "webhook")}
    own = {service: {("nats-passwords", service)} for service in SERVICES}
    twilio = {("twilio", "account-sid"), ("twilio", "auth-token")}
    own["call-router"] |= rings | twilio | {("mongodb-url", "url")}
    own["dialog-worker"] |= {("key-rings", "webhook"), ("openai", "api-key")}
    assert given == own
