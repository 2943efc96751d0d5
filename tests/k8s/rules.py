"""What must hold in every overlay beyond the schemas: each rule yields a sentence for what is wrong."""

import re
from collections.abc import Iterator
from typing import Any

from callbot.call_router.settings import Settings as CallRouterSettings
from callbot.dialog_worker.settings import Settings as DialogWorkerSettings
from callbot.gateway.app import ROUTES
from callbot.gateway.settings import Settings as GatewaySettings
from callbot.runtime.settings import ServiceSettings, is_loopback
from callbot.stt_worker.settings import Settings as SttWorkerSettings
from callbot.tts_worker.settings import Settings as TtsWorkerSettings

from .cluster import SERVICES, Cluster, megabytes, selects

SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "call-router": CallRouterSettings,
    "stt-worker": SttWorkerSettings,
    "dialog-worker": DialogWorkerSettings,
    "tts-worker": TtsWorkerSettings,
}
NOT_READ = {"NATS_PASSWORD"}
"""Part of another variable."""
CLOSING_S = 10
"""From the end of `drain_s` until a process is gone: the last state written, subscriptions ended."""
LONGEST_CALL_S = 14_400
LONGEST_HUNG_S = 30
INGRESS_LEARNS_WITHIN_S = 5
"""That a pod goes: its endpoint is taken away, the controller hears of it and reloads."""
NEVER_FULL = 0.75
"""Above this share of its room there is no time to start another."""
SLOW_S = {"gateway": 1800, "call-router": 300}
Wrong = Iterator[str]


def settings_of(cluster: Cluster, service: str) -> ServiceSettings:
    """Raises ValidationError."""
    settings = SETTINGS[service]
    told = {name.lower(): value for name, value in cluster.environment(service).items()}
    prefix = str(settings.model_config.get("env_prefix")).lower()
    fields: dict[str, Any] = {}
    for name, field in settings.model_fields.items():
        variable = str(field.validation_alias or f"{prefix}{name}").lower()
        if variable in told:
            fields[name] = told[variable]
    return settings(**fields)


def every_setting_is_read(cluster: Cluster) -> Wrong:
    for service in SERVICES:
        settings = SETTINGS[service]
        prefix = str(settings.model_config.get("env_prefix"))
        known = {
            str(field.validation_alias or f"{prefix}{name}").upper()
            for name, field in settings.model_fields.items()
        }
        for name in cluster.environment(service).keys() - known - NOT_READ:
            yield f"{service} does not read {name}"


def settings_are_right(cluster: Cluster) -> Wrong:
    for service in SERVICES:
        try:
            settings_of(cluster, service)
        except ValueError as e:
            yield f"{service}: {e}"


def nobody_is_killed_while_it_drains(cluster: Cluster) -> Wrong:
    for service in SERVICES:
        spec = cluster.deployment(service)["spec"]["template"]["spec"]
        before_s = cluster.container(service).get("lifecycle", {}).get("preStop", {}).get("sleep", {})
        needs_s = before_s.get("seconds", 0) + settings_of(cluster, service).drain_s + CLOSING_S
        if spec["terminationGracePeriodSeconds"] < needs_s:
            yield f"{service} needs {needs_s} s to stop, and has {spec['terminationGracePeriodSeconds']} s"


def a_gateway_goes_after_its_longest_call(cluster: Cluster) -> Wrong:
    """And closes its door when nobody is sent there any more."""
    if cluster.name == "local":
        return
    if settings_of(cluster, "gateway").drain_s < LONGEST_CALL_S:
        yield "a gateway that stops would cut a call"
    before = cluster.container("gateway").get("lifecycle", {}).get("preStop", {}).get("sleep", {})
    if before.get("seconds", 0) <= INGRESS_LEARNS_WITHIN_S:
        yield "a gateway closes its door while the ingress still sends callers there"


def probes_ask_the_health_port(cluster: Cluster) -> Wrong:
    paths = {"startupProbe": "/live", "readinessProbe": "/ready", "livenessProbe": "/live"}
    for service in SERVICES:
        container = cluster.container(service)
        told = settings_of(cluster, service)
        port = next((p["containerPort"] for p in container["ports"] if p["name"] == "health"), None)
        if (port, told.health_host) != (told.health_port, "0.0.0.0"):
            yield f"{service}: health is not served at {port}"
        for probe, path in paths.items():
            if container[probe]["httpGet"] != {"path": path, "port": "health"}:
                yield f"{service}: {probe} does not ask {path}"
        for probe in ("startupProbe", "livenessProbe"):
            # Without one of its own the kubelet waits as long for the hung process as for a drain: hours.
            if container[probe].get("terminationGracePeriodSeconds", LONGEST_HUNG_S + 1) > LONGEST_HUNG_S:
                yield f"{service}: who fails {probe} goes on hanging"


def open_mode_is_on_loopback(cluster: Cluster) -> Wrong:
    told = settings_of(cluster, "gateway")
    assert isinstance(told, GatewaySettings)
    if told.auth == "open" and not (is_loopback(told.host) and cluster.name == "local"):
        yield "a gateway in open mode is reached by others"
    if told.auth != settings_of(cluster, "call-router").auth:  # type: ignore[attr-defined]
        yield "gateway and call-router disagree on who may come"


def selectors_select_somebody(cluster: Cluster) -> Wrong:
    pods = [pod["metadata"]["labels"] for pod in cluster.pods()]
    for kind in ("Service", "PodDisruptionBudget", "PodMonitor"):
        for one in cluster.all(kind):
            selector = one["spec"]["selector"]
            selector = {"matchLabels": selector} if kind == "Service" else selector
            if not any(selects(selector, labels) for labels in pods):
                yield f"{kind} {one['metadata']['name']} selects nobody"
    for one in cluster.all("NetworkPolicy"):
        for selector in _selected_here(one["spec"]):
            solver = "acme.cert-manager.io/http01-solver" in selector.get("matchLabels", {})
            if not solver and not any(selects(selector, labels) for labels in pods):
                yield f"NetworkPolicy {one['metadata']['name']} names nobody: {selector}"


def _selected_here(policy: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every selector of pods of this namespace."""
    yield policy["podSelector"]
    for rule in (*policy.get("ingress", ()), *policy.get("egress", ())):
        for peer in (*rule.get("from", ()), *rule.get("to", ())):
            if "podSelector" in peer and "namespaceSelector" not in peer:
                yield peer["podSelector"]


def ports_have_names(cluster: Cluster) -> Wrong:
    """A Service or PodMonitor that names a port which no selected container has finds nothing, silently."""
    for kind in ("Service", "PodMonitor"):
        for one in cluster.all(kind):
            spec = one["spec"]
            selector = {"matchLabels": spec["selector"]} if kind == "Service" else spec["selector"]
            wanted = [p["targetPort"] for p in spec.get("ports", ())]
            wanted += [e["port"] for e in spec.get("podMetricsEndpoints", ())]
            for pod in cluster.pods():
                if selects(selector, pod["metadata"]["labels"]):
                    has = {p["name"] for c in pod["spec"]["containers"] for p in c.get("ports", ())}
                    yield from (f"{kind} {one['metadata']['name']}: no {name}" for name in set(wanted) - has)


def only_the_public_paths_are_public(cluster: Cluster) -> Wrong:
    rules = [rule for one in cluster.all("Ingress") for rule in one["spec"]["rules"]]
    public = [(path["path"], path["pathType"]) for rule in rules for path in rule["http"]["paths"]]
    if not public:
        return
    served = [prefix + path for _, path, _ in ROUTES for prefix in ("/v1", "")] + ["/stream/{bot_id}", "/"]
    for path in served:
        if not any(_covers(opened, kind, path) for opened, kind in public):
            yield f"{path} is not reached from the internet"
    for opened, kind in public:
        if not any(_covers(opened, kind, path) for path in served):
            yield f"{opened} is open and serves nothing"
    for one in cluster.all("Ingress"):
        for p in one["spec"]["rules"][0]["http"]["paths"]:
            if p["backend"]["service"] != {"name": "gateway", "port": {"name": "http"}}:
                yield f"{p['path']} does not lead to the gateway's public port"
        read_s = one["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-read-timeout"]
        if int(read_s) < LONGEST_CALL_S:
            yield f"the ingress {one['metadata']['name']} cuts calls"


def _covers(path: str, kind: str, wanted: str) -> bool:
    if kind == "Exact" or path == "/":
        return path == wanted
    return wanted == path or wanted.startswith(f"{path}/")


def priorities_are_in_order(cluster: Cluster) -> Wrong:
    value = {one["metadata"]["name"]: one["value"] for one in cluster.all("PriorityClass")}

    def of(workload: dict[str, Any]) -> int:
        return int(value[workload["spec"]["template"]["spec"]["priorityClassName"]])

    gateway = of(cluster.deployment("gateway"))
    for worker in ("stt-worker", "dialog-worker", "tts-worker"):
        if of(cluster.deployment(worker)) >= gateway:
            yield f"{worker} is as important as a gateway"
    for server in cluster.all("StatefulSet"):
        if of(server) <= gateway:
            yield f"{server['metadata']['name']} goes before a gateway does"


def scaling_leaves_room_and_cuts_nothing(cluster: Cluster) -> Wrong:
    if cluster.name == "local":
        return
    for service in SERVICES:
        if "replicas" in cluster.deployment(service)["spec"]:
            yield f"{service}: a deploy takes away what the scaler has added"
        share, behavior = _scaler(cluster, service)
        if not 0 < share <= NEVER_FULL:
            yield f"{service} is {share:.0%} full before there is another"
        down = behavior["scaleDown"]
        if down["stabilizationWindowSeconds"] < SLOW_S.get(service, 600):
            yield f"{service} is scaled down after {down['stabilizationWindowSeconds']} s"
        if [(p["type"], p["value"]) for p in down["policies"]] != [("Pods", 1)]:
            yield f"{service} is scaled down by more than one at a time"


def _scaler(cluster: Cluster, service: str) -> tuple[float, dict[str, Any]]:
    """At which share of its room another replica is wanted, and how quickly one goes."""
    told = settings_of(cluster, service)
    room: int = getattr(told, "max_calls", getattr(told, "room", 100))
    if cluster.name == "hpa":
        spec = cluster.one("HorizontalPodAutoscaler", service)["spec"]
        metric = spec["metrics"][0]
        target = metric.get("pods", metric.get("resource"))["target"]
        return float(target.get("averageValue", target.get("averageUtilization"))) / room, spec["behavior"]
    spec = cluster.one("ScaledObject", service)["spec"]
    metadata = spec["triggers"][0]["metadata"]
    share = float(metadata.get("threshold", metadata.get("value")))
    if metadata.get("query", "").count("callbot_seats_") != 2:
        share /= room
    elif metadata.get("ignoreNullValues") != "false":
        share = 0
    return share, spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]


def nats_has_what_its_configuration_asks_for(cluster: Cluster) -> Wrong:
    server = cluster.one("StatefulSet", "nats")["spec"]
    container = server["template"]["spec"]["containers"][0]
    volumes = {v["name"]: v for v in server["template"]["spec"]["volumes"]}
    config = cluster.one("ConfigMap", volumes["config"]["configMap"]["name"])["data"]["nats.conf"]
    wanted = set(re.findall(r"[ \[]\$([A-Z_0-9]+)", config))
    given = {variable["name"] for variable in container["env"]}
    yield from (f"NATS is not told {name}" for name in sorted(wanted - given))
    if server["replicas"] != (config.count("$NATS_ROUTE_") or 1):
        yield f"{server['replicas']} servers, and {config.count('$NATS_ROUTE_')} routes"
    if str(server["replicas"]) != cluster.environment("call-router")["CALLBOT_NATS_REPLICAS"]:
        yield "streams have another number of copies than there are servers"
    stored = megabytes(re.search(r"max_file_store: (\w+)", config)[1])  # type: ignore[index]
    disk = server["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
    if megabytes(disk) < 2 * stored:
        yield f"a disk of {disk} for {stored} MiB of streams"
    limit = megabytes(next(v["value"] for v in container["env"] if v["name"] == "GOMEMLIMIT"))
    if not limit < megabytes(container["resources"]["limits"]["memory"]):
        yield "NATS would be killed before it collects"


RULES = (
    every_setting_is_read,
    settings_are_right,
    nobody_is_killed_while_it_drains,
    a_gateway_goes_after_its_longest_call,
    probes_ask_the_health_port,
    open_mode_is_on_loopback,
    selectors_select_somebody,
    ports_have_names,
    only_the_public_paths_are_public,
    priorities_are_in_order,
    scaling_leaves_room_and_cuts_nothing,
    nats_has_what_its_configuration_asks_for,
)
