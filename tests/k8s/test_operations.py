"""docs/operations.md: each alert has its section, and what its commands name is there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from .cluster import ROOT, SERVICES, cluster

TEXT = (ROOT / "docs" / "operations.md").read_text()
HEADINGS = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
ANCHORS = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in HEADINGS}
"""As GitHub makes them."""
KINDS = {"deploy": "Deployment", "deployment": "Deployment", "statefulset": "StatefulSet"}


def alerts() -> dict[str, str]:
    """Alert → what its annotation `runbook` says."""
    rules = [
        group["rules"] for one in cluster("prod").all("PrometheusRule") for group in one["spec"]["groups"]
    ]
    return {
        rule["alert"]: rule["annotations"]["runbook"] for group in rules for rule in group if "alert" in rule
    }


def test_each_alert_has_its_section_and_leads_there() -> None:
    known = alerts()
    assert known
    assert {heading for heading in HEADINGS if heading.startswith("Callbot")} == known.keys()
    assert known == {name: f"docs/operations.md#{name.lower()}" for name in known}


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", TEXT)
    assert links
    for path, anchor in links:
        if path:
            assert (ROOT / "docs" / path).exists(), path
        else:
            assert anchor in ANCHORS, anchor


def test_commands_name_what_there_is() -> None:
    found = cluster("prod")
    named = re.findall(r"(deploy|deployment|statefulset)/([a-z-]+)", TEXT)
    assert len(named) > 5
    for kind, name in named:
        assert found.one(KINDS[kind], name)
    scaled = set(re.findall(r"scaledobject ([a-z][a-z-]+) autoscaling", TEXT))
    assert scaled and all(found.one("ScaledObject", name) for name in scaled)
    selected = set(re.findall(r"selector=app.kubernetes.io/name=([a-z-]+)", TEXT))
    assert selected and selected <= {*SERVICES, "nats", "mongodb"}


def test_every_secret_that_a_pod_takes_is_in_the_table() -> None:
    listed = set(re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^   \| (`.*?)\|", TEXT, re.MULTILINE))))
    taken = set()
    for overlay in ("prod", "hpa"):
        for pod in cluster(overlay).pods():
            taken |= {
                name for name, _ in re.findall(r"'(?:secretName|name)': '([a-z-]+)'(.)", str(secrets(pod)))
            }
    assert taken <= listed, taken - listed
    assert listed <= taken | {"routes"}, listed - taken


def secrets(pod: dict[str, object]) -> list[object]:
    """Every reference to a Secret, however deep."""
    found: list[object] = []
    todo: list[object] = [pod]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            found += [v for k, v in one.items() if k in ("secretRef", "secretKeyRef", "secret")]
            todo += one.values()
        elif isinstance(one, list):
            todo += one
    return found


def test_servers_of_your_own_can_be_put_in(tmp_path: Path) -> None:
    """components/nats-elsewhere and mongodb-elsewhere, in the place of the two that bring servers."""
    kubectl = shutil.which("kubectl", path=str(ROOT / ".venv-k8s" / "bin")) or shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed, and `make check-k8s` has not brought one")
    # kustomize takes no absolute paths.
    copy = tmp_path / "k8s"
    shutil.copytree(ROOT / "k8s", copy, ignore=shutil.ignore_patterns("checks"))
    own = copy / "overlays" / "prod" / "kustomization.yaml"
    text = own.read_text()
    for name in ("nats", "mongodb"):
        assert f"  - ../../components/{name}\n" in text
        text = text.replace(f"  - ../../components/{name}\n", f"  - ../../components/{name}-elsewhere\n")
    own.write_text(text)
    done = subprocess.run([kubectl, "kustomize", own.parent], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [one for one in yaml.safe_load_all(done.stdout) if one]
    assert not [one for one in found if one["kind"] == "StatefulSet"]
    services = {one["metadata"]["name"]: one["spec"] for one in found if one["kind"] == "Service"}
    assert services["nats"]["type"] == "ExternalName" and "mongodb" not in services
    policies = {one["metadata"]["name"] for one in found if one["kind"] == "NetworkPolicy"}
    assert {"call-router-to-mongodb", "services-to-nats-elsewhere"} <= policies
