"""Reads what /metrics serves, and refuses all that the two formats refuse.

https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

LABEL: Final = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
LABELS: Final = rf"\{{(?:{LABEL}(?:,{LABEL})*)?\}}"
NUMBER: Final = r"[+-]?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|Inf)|NaN"
SAMPLE: Final = re.compile(
    rf"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?P<labels>{LABELS})? (?P<value>{NUMBER})"
    rf"(?: # (?P<of>{LABELS}) (?P<exemplar>{NUMBER}) (?P<at>[0-9]+\.[0-9]+))?"
)
ENDINGS: Final = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


class Malformed(Exception):
    """A line, or what a family of lines lacks."""


@dataclass(frozen=True)
class Sample:
    name: str
    labels: dict[str, str]
    value: float
    exemplar: dict[str, str] | None = None
    exemplar_value: float | None = None


@dataclass
class Family:
    name: str
    kind: str
    samples: list[Sample] = field(default_factory=list)

    def value(self, ending: str = "", **labels: str) -> float:
        """Of all series with these labels together."""
        found = [
            s.value for s in self.samples if s.name.endswith(ending) and labels.items() <= s.labels.items()
        ]
        return sum(found)


def parsed(text: str, *, open_metrics: bool) -> dict[str, Family]:
    """By name; a counter's ends in `_total` in both formats. Raises Malformed."""
    if not text.endswith("\n") or (text.endswith("# EOF\n") != open_metrics):
        raise Malformed("it does not end as it should")
    lines = text.removesuffix("# EOF\n").splitlines()
    families: dict[str, Family] = {}
    shown, helped = "", ""
    for line in lines:
        if line.startswith("# HELP "):
            helped = line.split(" ")[2]
        elif line.startswith("# TYPE "):
            shown, kind = line.removeprefix("# TYPE ").split(" ")
            name = f"{shown}_total" if open_metrics and kind == "counter" else shown
            if kind not in ENDINGS or shown != helped or name in families:
                raise Malformed(line)
            if (kind == "counter") != name.endswith("_total"):
                raise Malformed(line)
            families[name] = Family(name, kind)
        elif not families:
            raise Malformed(line)
        else:
            _add(list(families.values())[-1], line, open_metrics=open_metrics)
    for family in families.values():
        _check(family)
    return families


def _add(family: Family, line: str, *, open_metrics: bool) -> None:
    found = SAMPLE.fullmatch(line)
    if found is None:
        raise Malformed(line)
    base = family.name.removesuffix("_total") if family.kind == "counter" else family.name
    if found["name"] not in {base + ending for ending in ENDINGS[family.kind]}:
        raise Malformed(f"{line}: of another family")
    exemplar = None
    if found["of"] is not None:
        exemplar = dict(_labels(found["of"]))
        allowed = open_metrics and found["name"].endswith(("_bucket", "_total"))
        if not allowed or sum(len(name) + len(value) for name, value in exemplar.items()) > 128:
            raise Malformed(f"{line}: an exemplar")
    labels = dict(_labels(found["labels"] or "{}"))
    value = float(found["exemplar"]) if found["exemplar"] else None
    sample = Sample(found["name"], labels, float(found["value"]), exemplar, value)
    if any((s.name, s.labels) == (sample.name, sample.labels) for s in family.samples):
        raise Malformed(f"{line}: twice")
    if value is not None and "le" in labels and value > float(labels["le"]):
        raise Malformed(f"{line}: the exemplar is of another bucket")
    if family.kind == "counter" and sample.value < 0:
        raise Malformed(line)
    family.samples.append(sample)


def _labels(braces: str) -> Iterator[tuple[str, str]]:
    names = []
    for one in re.findall(LABEL, braces):
        name, _, quoted = one.partition("=")
        names.append(name)
        yield name, re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], quoted[1:-1])
    if len(set(names)) != len(names):
        raise Malformed(f"{braces}: a label twice")


def _check(family: Family) -> None:
    """All series of a metric have the same labels; buckets rise, up to the count."""
    shapes = {frozenset(s.labels.keys() - {"le"}) for s in family.samples}
    if len(shapes) > 1:
        raise Malformed(f"{family.name}: series with other labels")
    if family.kind != "histogram":
        return
    groups: dict[frozenset[tuple[str, str]], list[Sample]] = {}
    for sample in family.samples:
        groups.setdefault(frozenset((k, v) for k, v in sample.labels.items() if k != "le"), []).append(sample)
    for samples in groups.values():
        buckets = [(float(s.labels["le"]), s.value) for s in samples if s.name.endswith("_bucket")]
        count = [s.value for s in samples if s.name.endswith("_count")]
        rises = all(one[0] < other[0] and one[1] <= other[1] for one, other in pairwise(buckets))
        if not rises or buckets[-1] != (float("inf"), *count) or len(samples) != len(buckets) + 2:
            raise Malformed(f"{family.name}: buckets")
