"""What is counted, and that it is served in both formats as their descriptions ask for."""

import math
from collections.abc import Callable

import aiohttp
import pytest

from callbot.runtime.breaker import Breaker
from callbot.runtime.errors import ProviderError
from callbot.runtime.guard import LocalGuard
from callbot.runtime.health import health
from callbot.runtime.metrics import (
    METRICS,
    MOST_SERIES,
    OPEN_METRICS,
    OTHER,
    TEXT,
    Metrics,
    wants_open_metrics,
)
from callbot.runtime.settings import ServiceSettings
from callbot.schemas.usage import Used
from tests.exposition import Family, Malformed, parsed

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


def both(metrics: Metrics) -> dict[str, Family]:
    """As one reads it and as the other does, exemplars apart."""
    text = parsed(metrics.text(exemplars=False).decode(), open_metrics=False)
    assert parsed(metrics.text(exemplars=True).decode(), open_metrics=True).keys() == text.keys()
    return text


def test_counters_gauges_and_histograms_are_served() -> None:
    metrics = Metrics()
    metrics.counter("calls_total", "Calls.", "reason").of("failed").inc(2)
    metrics.gauge("seats", "Seats.").of().set(-3)
    took = metrics.histogram("took_seconds", "Took.", bounds=(0.5, 1.0)).of()
    for value in (0.5, 0.7, 3):
        took.observe(value)
    found = both(metrics)
    assert found["calls_total"].value(reason="failed") == 2
    assert found["seats"].value() == -3
    assert [s.value for s in found["took_seconds"].samples] == [1, 2, 3, 3, 4.2]
    assert [s.labels.get("le") for s in found["took_seconds"].samples[:3]] == ["0.5", "1.0", "+Inf"]


def test_a_labels_value_may_be_anything() -> None:
    metrics = Metrics()
    metrics.counter("a_total", "A thing.", "x").of('"\\\n').inc()
    (sample,) = both(metrics)["a_total"].samples
    assert sample.labels == {"x": '"\\\n'}


def test_a_tally_is_a_counter_that_is_added_to_directly() -> None:
    metrics = Metrics()
    tally = metrics.tally("frames_total", "Frames.")
    tally.value += 3
    found = both(metrics)["frames_total"]
    assert (found.kind, found.value()) == ("counter", 3)


def test_exemplars_are_of_the_newest_observation_of_a_bucket_and_only_in_openmetrics() -> None:
    metrics = Metrics()
    took = metrics.histogram("took_seconds", "Took.", bounds=(1.0,)).of()
    took.observe(0.25, {"trace_id": "a"})
    took.observe(0.75, {"trace_id": "b"})
    took.observe(0.5)
    assert b"} 2.0 # " not in metrics.text(exemplars=False)
    first, beyond = parsed(metrics.text(exemplars=True).decode(), open_metrics=True)["took_seconds"].samples[
        :2
    ]
    assert (first.exemplar, first.exemplar_value) == ({"trace_id": "b"}, 0.75)
    assert beyond.exemplar is None


def test_values_that_are_no_usual_numbers() -> None:
    metrics = Metrics()
    gauge = metrics.gauge("g", "G.", "x")
    for name, value in (("inf", math.inf), ("-inf", -math.inf), ("nan", math.nan), ("small", 1e-7)):
        gauge.of(name).set(value)
    found = both(metrics)["g"]
    assert found.value(x="inf") == math.inf and found.value(x="-inf") == -math.inf
    assert math.isnan(found.value(x="nan")) and found.value(x="small") == 1e-7


def test_series_that_are_known_begin_at_0_and_there_is_an_end_to_new_ones() -> None:
    metrics = Metrics()
    counter = metrics.counter("a_total", "A.", "x").known(["first"])
    assert both(metrics)["a_total"].value(x="first") == 0
    for number in range(2 * MOST_SERIES):
        counter.of(str(number)).inc()
    found = both(metrics)["a_total"]
    assert len(found.samples) == MOST_SERIES + 1
    assert found.value() == 2 * MOST_SERIES and found.value(x=OTHER) == MOST_SERIES + 1


def test_what_is_followed_is_asked_for_when_somebody_looks() -> None:
    metrics, seats = Metrics(), [1]
    metrics.gauge("seats", "Seats.").of().set_function(lambda: len(seats))
    seats.append(2)
    assert both(metrics)["seats"].value() == 2


@pytest.mark.parametrize(
    "define",
    [
        lambda m: m.counter("calls", "Calls."),
        lambda m: m.gauge("calls_total", "Calls."),
        lambda m: m.gauge("Calls", "Calls."),
        lambda m: m.gauge("calls", "Calls.", "pod"),
        lambda m: m.tally("frames", "Frames."),
        lambda m: [m.gauge("calls", "Calls."), m.gauge("calls", "Calls.")],
        lambda m: m.gauge("calls", "Calls.", "reason").of(),
    ],
)
def test_a_metric_that_cannot_be_served_is_refused(define: Callable[[Metrics], object]) -> None:
    with pytest.raises(ValueError):
        define(Metrics())


@pytest.mark.parametrize(
    "page",
    [
        "# HELP a A.\n# TYPE a gauge\na 1",
        "a 1\n",
        "# HELP a A.\n# TYPE a counter\na 1\n",
        "# HELP a A.\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a A.\n# TYPE a gauge\nb 1\n",
        '# HELP a A.\n# TYPE a gauge\na{x="1"} 1\na{y="1"} 1\n',
        '# HELP a A.\n# TYPE a gauge\na{x="1",x="2"} 1\n',
        '# HELP a A.\n# TYPE a histogram\na_bucket{le="1.0"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
        '# HELP a A.\n# TYPE a histogram\na_bucket{le="1.0"} 1\na_sum 1\na_count 1\n',
        "# HELP a A.\n# TYPE a gauge\na 1 # {} 1 1.0\n",
        "# HELP a A.\n# TYPE a gauge\na 1\n# EOF\n",
    ],
)
def test_the_reader_of_these_tests_refuses_what_is_malformed(page: str) -> None:
    with pytest.raises(Malformed):
        parsed(page, open_metrics=False)


@pytest.mark.parametrize(
    ("accept", "wants"),
    [
        (PROMETHEUS, True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;q=0", False),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", False),
        ("", False),
    ],
)
def test_openmetrics_is_for_who_asks_for_it(accept: str, wants: bool) -> None:
    assert wants_open_metrics(accept) is wants


def test_a_provider_is_left_alone_until_its_time_is_over() -> None:
    now_s = 100.0
    guard = LocalGuard("of-this-test", Breaker(failures=1, open_s=5), now=lambda: now_s)

    def served() -> float:
        return both(METRICS)["callbot_provider_left_alone"].value(provider="of-this-test")

    assert served() == 0
    guard.failed(ProviderError("unavailable", "HTTP 500", retryable=True))
    assert served() == 1
    now_s += 6
    assert served() == 0


async def page(port: int, accept: str) -> tuple[str, dict[str, Family]]:
    url = f"http://127.0.0.1:{port}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url, headers={"Accept": accept}) as answer:
        assert answer.status == 200
        kind = answer.headers["Content-Type"]
        return kind, parsed(await answer.text(), open_metrics=kind == OPEN_METRICS)


async def test_the_health_port_serves_metrics_of_this_process() -> None:
    used = [
        Used(role="tts", provider="a", model="one", characters=5),
        Used(role="tts", provider="a", model="two", characters=7),
    ]
    checks = {"bus": True, "mongodb": False}
    async with health(
        ServiceSettings(), service="test", ready=lambda: checks, live_calls=lambda: 3, used=lambda: used
    ) as port:
        kind, found = await page(port, "*/*")
        assert kind == TEXT
        used.append(Used(role="tts", provider="a", characters=1))
        open_kind, later = await page(port, PROMETHEUS)
        assert open_kind == OPEN_METRICS
    assert found["callbot_live_calls"].value() == 3
    assert found["callbot_ready"].value(check="bus") == 1
    assert found["callbot_ready"].value(check="mongodb") == 0
    assert found["callbot_used_characters_total"].value(provider="a") == 12
    assert later["callbot_used_characters_total"].value(provider="a") == 13
    assert found["process_resident_memory_bytes"].value() > 1e6
    assert later["process_cpu_seconds_total"].value() >= found["process_cpu_seconds_total"].value() > 0
    assert METRICS.labels.keys() < found.keys() == later.keys()
