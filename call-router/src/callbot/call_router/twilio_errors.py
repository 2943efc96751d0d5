"""What can go wrong between us and Twilio's REST API. No error repeats what was sent.

TwilioError
├── TwilioAuthFailed    these credentials are not accepted (401, 403, code 20003)
├── TwilioNotFound      404
├── TwilioRejected      any other 4xx: understood, and never done like this
└── TwilioUnavailable   no answer, a 5xx or 429, or an answer that cannot be read
"""

from callbot.runtime.errors import CallbotError


class TwilioError(CallbotError):
    pass


class TwilioAuthFailed(TwilioError):
    pass


class TwilioNotFound(TwilioError):
    pass


class TwilioRejected(TwilioError):
    def __init__(self, status: int, code: int) -> None:
        super().__init__(f"HTTP {status}, code {code}")
        self.code = code
        """https://www.twilio.com/docs/api/errors; 0: none was given."""


class TwilioUnavailable(TwilioError):
    def __init__(
        self, reason: str, *, may_have_happened: bool = True, retry_after_s: float | None = None
    ) -> None:
        super().__init__(reason)
        self.may_have_happened = may_have_happened
        """False: Twilio has certainly not done what was asked."""
        self.retry_after_s = retry_after_s
