"""What the ears tell the gateway."""

from enum import StrEnum

from callbot.schemas.message import Message


class SpeechVerdict(StrEnum):
    SPEECH = "speech"
    """Words: the turn that the bot was in is over."""
    BACKCHANNEL = "backchannel"
    """Nothing but "mm-hm", "yeah", "okay": if the bot was speaking it goes on."""
    NOISE = "noise"
    """A cough, a bang, a hum, an echo."""


class EarsProgress(Message):
    """A sign of life, and what would have to be heard again by another holder."""

    epoch: int
    heard_seq: int
    """The last frame that the voice activity detector has judged."""
    keep_from_seq: int
    """Audio before this frame is settled."""
    missing_from_seq: int | None = None
    """The bus has lost frames from this one on: they are to be sent again."""


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
    verdict: SpeechVerdict = SpeechVerdict.SPEECH
    """`noise`: no words and hardly any voice; nobody need ask for it again."""
    waited_for: str = ""
    """Which signal has ended the turn, or kept it open longest: for the record and the bench."""
    error: str = ""
    """Why there is no text, when a provider failed."""


class SpeechConfirmed(Message):
    """The caller has begun to speak, or makes a sound like speech. If the bot is audible, it stops."""

    epoch: int
    from_seq: int
    """Where this utterance begins; it names the utterance in what follows."""
    at_ms: int
    """Position in the stream of the first speech."""


class SpeechJudged(Message):
    """What the sound was. `speech` comes as soon as it is sure; the others when the sound has ended."""

    epoch: int
    from_seq: int
    verdict: SpeechVerdict
    sound_ended_at_ms: int | None
    """Position in the stream; None while it goes on."""


class InterimTranscript(Message):
    """What was said so far of an utterance that goes on. May change; never acted upon but shown."""

    epoch: int
    from_seq: int
    text: str


class TurnEager(Message):
    """The turn is probably over: its words are worth thinking about. `TurnResumed` takes it back."""

    epoch: int
    from_seq: int
    text: str
    speech_ended_at_ms: int
    stt_ms: float


class TurnResumed(Message):
    """It was a pause: the caller speaks on."""

    epoch: int
    from_seq: int
