"""What Twilio's debugger would say of us: a code of https://www.twilio.com/docs/api/errors and a sentence."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum


class Code(IntEnum):
    """The error codes that this emulator raises, under Twilio's numbers."""

    RETRIEVAL_FAILED = 11200
    CONNECTION_FAILED = 11205
    BODY_TOO_LARGE = 11750
    BAD_XML = 12100
    SCHEMA = 12200
    CONTENT_TYPE = 12300
    STREAM_TIMED_OUT = 31901
    STREAM_REFUSED = 31902
    STREAM_BROKEN = 31903
    STREAM_TLS = 31910
    STREAM_HANDSHAKE = 31920
    STREAM_CLOSED = 31921
    STREAM_SCHEME = 31922
    STREAM_URL = 31923
    STREAM_PROTOCOL = 31924
    READING_TOO_SLOWLY = 31930
    STREAM_BINARY = 31950
    STREAM_MESSAGE = 31951


@dataclass(frozen=True, slots=True)
class Complaint:
    """One entry of the debugger."""

    code: Code
    text: str
    is_fault: bool = True
    """False for what Twilio logs although nothing is wrong: that our side closed a stream on purpose."""

    def __str__(self) -> str:
        return f"{int(self.code)}: {self.text}"


class Rejected(Exception):
    """Something of ours that Twilio would not accept and cannot go on with."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(f"{int(code)}: {text}")
        self.complaint = Complaint(code, text)


class Complaints:
    """Every complaint of one call, in order. Beyond `KEPT` they are only counted."""

    KEPT = 200

    def __init__(self) -> None:
        self.total = 0
        self._kept: list[Complaint] = []

    def add(self, complaint: Complaint) -> None:
        self.total += 1
        if len(self._kept) < self.KEPT:
            self._kept.append(complaint)

    def faults(self) -> list[Complaint]:
        """The complaints that say that our side did something wrong."""
        return [complaint for complaint in self._kept if complaint.is_fault]

    def codes(self) -> list[int]:
        return [int(complaint.code) for complaint in self._kept]

    def __iter__(self) -> Iterator[Complaint]:
        return iter(self._kept)

    def __len__(self) -> int:
        return self.total
