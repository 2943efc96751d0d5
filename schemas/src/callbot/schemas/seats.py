"""The seats of a call: who hears, thinks and speaks for it."""

from enum import StrEnum

from callbot.schemas.calls import CallBrief
from callbot.schemas.message import CallId, Message, WorkerId

EPOCHS_PER_GENERATION = 1024
MAX_GENERATION = 63
"""Epochs travel as 16 bits."""


def generation_of(epoch: int) -> int:
    """Which stream of the call has made this epoch."""
    return epoch // EPOCHS_PER_GENERATION


class Role(StrEnum):
    EARS = "ears"
    MIND = "mind"
    MOUTH = "mouth"


class SeatOffer(Message):
    """Will you take this seat? Sent to a queue group; a worker subscribes, flushes, then accepts."""

    call_id: CallId
    role: Role
    epoch: int
    brief: CallBrief
    from_seq: int = 0
    """Ears: the first frame to expect."""


class SeatAccept(Message):
    worker_id: WorkerId
    epoch: int


class SeatRenew(Message):
    """Is this seat still mine? Asked by a holder that has heard nothing of its call for a while."""

    role: Role
    epoch: int
    worker_id: WorkerId


class SeatMoved(Message):
    """This seat has a new holder: whoever holds it with an older epoch is relieved."""

    role: Role
    epoch: int


class CallOver(Message):
    """The call has ended, or this stream of it: every seat of this generation and older ones is free."""

    call_id: CallId
    generation: int


class WorkerBeat(Message):
    """A worker lives. One message a worker every 150 ms, however many seats it holds."""

    worker_id: WorkerId
    role: Role
    seats: int
    room: int
    """How many seats it can hold."""
    leaving: bool = False
    """Its seats should be offered to others at the next turn boundary."""
