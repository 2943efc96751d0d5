"""One small tree of errors.

CallbotError
├── SettingsError      the service cannot start like this
├── BusError           a message did not do its work
│   ├── Refused        the other side understood and said no: code, message, details
│   ├── NoResponders   nobody listens there (NATS says so at once)
│   ├── TimedOut       no answer in time
│   └── NotAllowed     the subject table gives this service no such arrow
└── ProviderError      a recogniser, language model or synthesiser failed: code, retryable

`Silent` is no error: an answering handler raises it to say nothing (another holder will answer).
"""

from collections.abc import Mapping


class CallbotError(Exception):
    """Root of all errors that we raise on purpose."""


class SettingsError(CallbotError):
    pass


class BusError(CallbotError):
    pass


class Refused(BusError):
    def __init__(self, code: str, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = dict(details or {})


class NoResponders(BusError):
    pass


class TimedOut(BusError):
    pass


class NotAllowed(BusError):
    pass


class ProviderError(CallbotError):
    """`retryable` False: the same again would fail again. `retry_after_s`: what the vendor asks for (429)."""

    def __init__(
        self, code: str, message: str, *, retryable: bool, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class Silent(Exception):
    """Raised by an answering handler that leaves the answer to somebody else."""
