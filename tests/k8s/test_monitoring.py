"""Alerts, dashboards and docs/metrics.md are about what the code counts, by the labels that it has."""

import json
import re
from typing import Any

import pytest

from callbot.gateway import call_metrics
from callbot.runtime import chain, guard, health, seat
from callbot.runtime.metrics import METRICS

from .cluster import ROOT, cluster
from .queries import DASHBOARDS, OURS, all_queries, metrics_named, panels, rules

assert all((call_metrics, chain, guard, health, seat)), "imported for what they define"
GIVEN_BY_PROMETHEUS = {"le", "service", "namespace", "pod"}
SELECTED = re.compile(r"\b(callbot_[a-z0-9_]+)(?:\{([^}]*)\})?")
RECORDED = re.compile(r"callbot:[a-z0-9_:]+")
ALERTS = [rule for rule in rules() if "alert" in rule]
QUERIES = dict.fromkeys(all_queries())


def base(name: str) -> str:
    """Of a histogram's series."""
    return name if name in METRICS.labels else re.sub(r"_(bucket|sum|count)$", "", name)


def labels_asked_for(query: str) -> dict[str, set[str]]:
    """By metric: what it is selected by."""
    asked: dict[str, set[str]] = {}
    for name, matchers in SELECTED.findall(query):
        asked.setdefault(base(name), set()).update(re.findall(r"([a-z_]+) *(?:=|!|=~)", matchers))
    return asked


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=[where for where, _ in QUERIES])
def test_a_query_is_about_metrics_and_labels_that_there_are(where: str, query: str) -> None:
    asked = labels_asked_for(query)
    unknown = {name: labels for name, labels in asked.items() if name not in METRICS.labels}
    assert unknown == {}
    for name, labels in asked.items():
        assert labels <= {*METRICS.labels[name], *GIVEN_BY_PROMETHEUS}, name
    grouped = {label for by in re.findall(r"(?:by|on) \(([^)]*)\)", query) for label in re.split(r", *", by)}
    has = {label for name in asked for label in METRICS.labels[name]} | GIVEN_BY_PROMETHEUS
    assert grouped <= has or not asked


def test_recorded_series_that_are_asked_for_are_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = {name for _, query in all_queries() for name in RECORDED.findall(query)}
    assert asked and asked <= recorded


def values_of(name: str) -> set[tuple[str, str]]:
    """Labels and their values that a metric has before anything has happened."""
    return {
        pair
        for family in METRICS.registry.collect()
        for sample in family.samples
        if base(sample.name) == name
        for pair in sample.labels.items()
    }


def test_what_alerts_ask_the_increase_of_is_there_from_the_start() -> None:
    """`increase()` sees nothing in a series that begins with its first event."""
    for alert in ALERTS:
        for name, matchers in re.findall(r"increase\((callbot_[a-z_]+_total)\{([^}]*)\}", alert["expr"]):
            for label, values in re.findall(r'([a-z_]+)=~?"([^"]+)"', matchers):
                wanted = {(label, value) for value in values.split("|")}
                assert wanted <= values_of(name), alert["alert"]


def test_the_objective_is_a_bound_of_the_histogram() -> None:
    bounds = re.findall(r'callbot_voice_to_voice_seconds_bucket\{[^}]*le="([^"]+)"', str(QUERIES))
    assert set(bounds) == {"1.5"} and ("le", "1.5") in values_of("callbot_voice_to_voice_seconds")


@pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
def test_an_alert_says_what_it_is_about_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"]["summary"]
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert anchor == alert["alert"].lower()
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
    assert alert["alert"] in headings
    expression = alert["expr"]
    for label in re.findall(r"\$labels\.([a-z_]+)", str(alert["annotations"])):
        assert (
            re.search(rf"by \([^)]*\b{label}\b", expression)
            or f"absent(callbot_live_calls{{{label}=" in expression
        )


def test_every_metric_is_described() -> None:
    described = re.findall(
        r"^\| `([a-z0-9_]+)` \| (\w+) \|([^|]*)\|", (ROOT / "docs/metrics.md").read_text(), re.M
    )
    assert {name: tuple(re.findall(r"`(\w+)`", labels)) for name, _, labels in described} == METRICS.labels
    kinds = {family.name: family.type for family in METRICS.registry.collect()}
    for name, kind, _ in described:
        assert kinds[name.removesuffix("_total")] == kind, name


@pytest.mark.parametrize("path", DASHBOARDS, ids=[path.stem for path in DASHBOARDS])
def test_a_dashboard_can_be_brought_to_any_grafana(path: Any) -> None:
    dashboard = json.loads(path.read_text())
    assert re.fullmatch(r"[a-z-]{1,40}", dashboard["uid"]) and dashboard["title"] and "id" not in dashboard
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "namespace"}
    found = list(panels(dashboard))
    assert len({panel["id"] for panel in found}) == len(found) > 10
    for panel in found:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24 and panel["title"]
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}" and panel["targets"]
        for target in panel.get("targets", ()):
            # Each metric of one installation alone.
            assert all(
                'namespace="$namespace"' in m
                for m in re.findall(r"\bcallbot_\w+(\{[^}]*\}|)", target["expr"])
            )
    taken = [
        (p["gridPos"]["x"] + x, p["gridPos"]["y"] + y)
        for p in found
        for x in range(p["gridPos"]["w"])
        for y in range(p["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken)), "two panels in one place"


def test_dashboards_reach_grafana_and_alerts_reach_prometheus() -> None:
    found = cluster("prod")
    (dashboards,) = (
        c for c in found.all("ConfigMap") if "grafana_dashboard" in c["metadata"].get("labels", {})
    )
    assert dashboards["data"].keys() == {path.name for path in DASHBOARDS}
    uids = [json.loads(text)["uid"] for text in dashboards["data"].values()]
    assert len(set(uids)) == len(uids) == 2
    assert sum(len(text) for text in dashboards["data"].values()) < 900_000, "a ConfigMap has 1 MiB"
    assert len(list(found.all("PrometheusRule"))) == 1


def test_every_callbot_metric_is_looked_at_by_somebody() -> None:
    named = {base(name) for name in metrics_named()}
    assert METRICS.labels.keys() - named == set()
    assert OURS.fullmatch("callbot_live_calls")
