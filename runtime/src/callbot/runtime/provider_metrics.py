"""What becomes of attempts at providers, counted."""

from typing import Final

from callbot.runtime.metrics import METRICS

ATTEMPTS: Final = METRICS.counter(
    "callbot_provider_attempts_total",
    "Attempts at a provider, by what became of them.",
    "provider",
    "outcome",
)
FAILURES: Final = METRICS.counter(
    "callbot_provider_failures_total",
    "Attempts that failed or broke off, by the code of the error.",
    "provider",
    "error",
)
FIRST: Final = METRICS.histogram(
    "callbot_provider_first_result_seconds",
    "From the beginning of an attempt to its first result.",
    "provider",
)


def count_attempt(provider: str, outcome: str, error_code: str, first_ms: float | None) -> None:
    """`error_code`: empty where there was no error. `first_ms`: to the first result, where there was one."""
    ATTEMPTS.of(provider, outcome).inc()
    if error_code:
        FAILURES.of(provider, error_code).inc()
    if first_ms is not None:
        FIRST.of(provider).observe(first_ms / 1000)
