"""Every question that k8s/ puts to Prometheus: of scalers, alerts and dashboards."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from .cluster import ROOT

MONITORING = ROOT / "k8s" / "components" / "monitoring"
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))
OURS = re.compile(r"\b(?:callbot_[a-z0-9_]+|process_[a-z0-9_]+)\b")


def rules() -> list[dict[str, Any]]:
    """Alerts, and what they are made of."""
    found = [one for one in yaml.safe_load_all((MONITORING / "alerts.yaml").read_text()) if one]
    return [rule for one in found for group in one["spec"]["groups"] for rule in group["rules"]]


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def dashboard_queries() -> Iterator[tuple[str, str]]:
    """Where it is, and the query."""
    for path in DASHBOARDS:
        for panel in panels(json.loads(path.read_text())):
            for target in panel.get("targets", ()):
                yield f"{path.name}: {panel['title']}", target["expr"]


def scaler_queries() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "k8s" / "components" / "keda").glob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text()):
            for trigger in (one or {}).get("spec", {}).get("triggers", ()):
                if "query" in trigger["metadata"]:
                    yield path.name, trigger["metadata"]["query"]


def all_queries() -> Iterator[tuple[str, str]]:
    yield from ((rule.get("alert") or rule["record"], str(rule["expr"])) for rule in rules())
    yield from dashboard_queries()
    yield from scaler_queries()


def metrics_named() -> set[str]:
    """Of ours, anywhere in k8s/: also by the HPAs and their adapter."""
    named = {name for _, query in all_queries() for name in OURS.findall(query)}
    for path in (ROOT / "k8s" / "components" / "hpa").glob("*.yaml"):
        text = path.read_text()
        named |= set(re.findall(r"name: (callbot_[a-z_]+)", text))
        for one in re.findall(r"callbot_\(([a-z_|]+)\)", text):
            named |= {f"callbot_{name}" for name in one.split("|")}
    return named
