"""What the ears tell the gateway."""

from callbot.schemas.message import Message


class EarsProgress(Message):
    """A sign of life, and what would have to be heard again by another holder."""

    epoch: int
    heard_seq: int
    """The last frame that the voice activity detector has judged."""
    keep_from_seq: int
    """Audio before this frame is settled."""


class TurnEnded(Message):
    """The caller has finished. Repeated until the gateway has accepted it."""

    epoch: int
    from_seq: int
    to_seq: int
    """The frames of this turn; audio up to `to_seq` is settled once this is accepted."""
    text: str
    """Empty when something was said and could not be understood."""
    speech_ended_at_ms: int
    """Position in the stream of the caller's last speech."""
    ended_at_ms: int
    """Position in the stream at which the turn was judged to be over."""
    stt_ms: float
    error: str = ""
    """Why there is no text, when a provider failed."""
