"""What this process counts, for Prometheus to read.

Each metric is defined where it is counted, once, at import; names and labels are checked there. Counting is
for the event loop. What happens with every frame is a `Tally`: an integer that is read when somebody looks.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, Generic, TypeVar

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.openmetrics import exposition as open_metrics
from prometheus_client.registry import Collector

TEXT: Final = CONTENT_TYPE_PLAIN_0_0_4
OPEN_METRICS: Final = open_metrics.CONTENT_TYPE_LATEST
MOST_SERIES: Final = 200
"""Of one metric: labels are of bounded sets, and where one is not, its newest values are one series."""
OTHER: Final = "other"
LATENCY_S: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_GIVEN_BY_PROMETHEUS: Final = frozenset(
    {"le", "service", "namespace", "pod", "container", "job", "instance", "endpoint"}
)

S = TypeVar("S", Counter, Gauge, Histogram)


class Family(Generic[S]):
    """A metric with all its series."""

    def __init__(self, metric: S, labels: Sequence[str]) -> None:
        self._metric: S = metric
        self._labels = labels
        self._series: dict[tuple[str, ...], S] = {} if labels else {(): metric}

    def of(self, *values: str) -> S:
        """The series of these values, one for each label. Raises ValueError for too many or too few."""
        found = self._series.get(values)
        if found is None:
            if len(values) == len(self._labels) and len(self._series) >= MOST_SERIES:
                values = (OTHER,) * len(values)
            found = self._series[values] = self._metric.labels(*values)
        return found

    def known(self, *values: Sequence[str]) -> "Family[S]":
        """With these series at 0 from the start: `increase()` sees nothing in a series that begins at 1."""
        for one in values:
            self.of(*one)
        return self


class Tally(Collector):
    """A counter without labels whose `value` is added to directly."""

    def __init__(self, name: str, told: str) -> None:
        self.value = 0
        self._name = name
        self._told = told

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(self._name, self._told, self.value)


class Metrics:
    """All that a process serves."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.labels: dict[str, tuple[str, ...]] = {}
        """Of every metric, by its name."""

    def counter(self, name: str, told: str, *labels: str) -> Family[Counter]:
        self._check(name, labels, "_total")
        return Family(Counter(name, told, labels, registry=self.registry), labels)

    def gauge(self, name: str, told: str, *labels: str) -> Family[Gauge]:
        self._check(name, labels)
        return Family(Gauge(name, told, labels, registry=self.registry), labels)

    def histogram(
        self, name: str, told: str, *labels: str, bounds: Sequence[float] = LATENCY_S
    ) -> Family[Histogram]:
        self._check(name, labels)
        return Family(Histogram(name, told, labels, buckets=bounds, registry=self.registry), labels)

    def tally(self, name: str, told: str) -> Tally:
        self._check(name, (), "_total")
        tally = Tally(name, told)
        self.registry.register(tally)
        return tally

    def text(self, *, exemplars: bool) -> bytes:
        """The whole page: as OPEN_METRICS, which has exemplars, or as TEXT."""
        if not exemplars:
            return generate_latest(self.registry)
        page: bytes = open_metrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return page

    def _check(self, name: str, labels: Sequence[str], ending: str = "") -> None:
        """Raises ValueError for a name that is taken, or that nobody should have."""
        right = all(_NAME.fullmatch(one) for one in (name, *labels)) and not _GIVEN_BY_PROMETHEUS & {*labels}
        if not right or name.endswith("_total") != bool(ending):
            raise ValueError(f"{name}: a name that cannot be used")
        if name in self.labels:
            raise ValueError(f"{name} is there already")
        self.labels[name] = tuple(labels)


disable_created_metrics()  # type: ignore[no-untyped-call]
METRICS: Final = Metrics()
ProcessCollector(registry=METRICS.registry)


def wants_open_metrics(accept: str) -> bool:
    """By the header `Accept` of who asks: named, and not with the weight 0 (RFC 9110, section 12.4.2)."""
    for one in accept.split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        if kind == "application/openmetrics-text":
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False
