"""What a step of the density bench says: how late the frames were, whether it goes on. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Self

from callbot.studio.bench.results import Row

FRAME_LATE_MS: Final = 20.0
"""One frame: what p99 may be late."""
GENERATOR_LATE_MS: Final = 5.0
"""A load generator whose own p99 is later measures itself."""
TRIES: Final = 3
"""Of one step, while it is the generator that is late: a machine may have been busy with other things."""

LEAST_CORE_MS: Final = 0.05
"""Less says nothing of how many calls there could be."""

Decision = Literal["up", "again", "stop"]


class Times:
    """Milliseconds in tenths, and how often each."""

    def __init__(self, counts: Mapping[float, int] | None = None) -> None:
        self.counts: Counter[float] = Counter(counts or {})

    def add(self, ms: float, times: int = 1) -> None:
        self.counts[round(ms, 1)] += times

    def at(self, share: float) -> float:
        """Nearest rank; 0 when there is none."""
        wanted, passed = share * self.counts.total(), 0
        for ms in sorted(self.counts):
            passed += self.counts[ms]
            if passed >= wanted:
                return ms
        return 0.0

    def told(self) -> dict[str, float]:
        return {"p50": self.at(0.5), "p99": self.at(0.99), "max": self.at(1.0), "n": self.counts.total()}

    def written(self) -> list[tuple[float, int]]:
        return list(self.counts.items())

    @classmethod
    def of(cls, written: Iterable[Iterable[tuple[float, int]]]) -> Self:
        """Of several processes together."""
        all_of_them = cls()
        for one in written:
            for ms, times in one:
                all_of_them.counts[ms] += times
        return all_of_them


def what_is_wrong(row: Row) -> str:
    """Why this step is more than the platform carries; empty when it is carried."""
    if row["failed"]:
        return f"{row['failed']} calls did not begin or broke"
    if row["lost"] or row["dropped"]:
        return f"{row['lost']} frames lost, {row['dropped']} times something was dropped"
    for name, of in (("caller_ms", "the caller's frames"), ("bot_ms", "the bot's frames")):
        if row[name]["p99"] > FRAME_LATE_MS:
            return f"p99 of {of} is {row[name]['p99']:.1f} ms"
    return ""


def decision(row: Row, tries: int) -> Decision:
    """After `tries` measurements of the same step, the last of which is `row`."""
    if not what_is_wrong(row):
        return "up"
    generator_is_late = row["sent_late_ms"]["p99"] > GENERATOR_LATE_MS
    return "again" if generator_is_late and tries < TRIES else "stop"


def core_ms(row: Row) -> dict[str, float]:
    """Core-milliseconds for each call-second, by process."""
    call_seconds = row["calls"] * row["seconds"]
    return {name: 1000 * used_s / call_seconds for name, used_s in row["cpu_s"].items()}


def of_services(each: Mapping[str, float]) -> dict[str, float]:
    """Replicas added up: `gateway-1` and `gateway-2` are `gateway`."""
    services: dict[str, float] = {}
    for name, value in each.items():
        service = name.rpartition("-")[0]
        services[service] = services.get(service, 0.0) + value
    return services


def print_step(row: Row) -> None:
    times = " ".join(f"{row[name]['p50']:5.1f} {row[name]['p99']:6.1f}" for name in ("caller_ms", "bot_ms"))
    first = f"{row['first_ms']['p50']:5.1f} {row['first_ms']['p99']:6.1f}"
    verdict = what_is_wrong(row) or "carried"
    generator = f"{row['sent_late_ms']['p99']:9.1f} {row['busy_cores']:6.2f}"
    print(f"{row['calls']:5} {times} {first} {generator}  {verdict}", flush=True)


def print_head() -> None:
    print(f"{'':5} {'caller ms':>12} {'bot ms':>12} {'first ms':>12} {'generator':>9} {'cores':>6}")
    print(
        f"{'calls':>5} {'p50    p99':>12} {'p50    p99':>12} {'p50    p99':>12} {'p99 late':>9} {'busy':>6}"
    )


def print_costs(row: Row, *, only_listening: bool = True) -> None:
    """Of the highest step that was carried. `only_listening`: VAD alone has other threads."""
    each = of_services(core_ms(row))
    print(f"\nat {row['calls']} calls:{'':13} core-ms per call-second   calls per core")
    for service, cost in sorted(each.items(), key=lambda told: -told[1]):
        per_core = f"{1000 / cost:.0f}" if cost >= LEAST_CORE_MS else ""
        print(f"  {service:26} {cost:21.2f} {per_core:>16}")
    vad = each.get("stt-worker's other threads", 0.0)
    two = each.get("gateway", 0.0) + each.get("nats", 0.0)
    if only_listening:
        print(f"  {'gateway + nats + VAD':26} {two + vad:21.2f}   (VAD: the stt-worker's other threads)")
    print(
        f"  {'gateway + nats + ears':26} {two + each.get('stt-worker', 0.0):21.2f}   (the whole stt-worker)"
    )


def carried(rows: Sequence[Row]) -> Row | None:
    good: list[dict[str, Any]] = [dict(row) for row in rows if not what_is_wrong(row)]
    return max(good, key=lambda row: int(row["calls"])) if good else None
