"""One turn as it is remembered, and where its time went."""

from typing import Literal

from callbot.schemas.message import Message
from callbot.schemas.webhook import Action


class StageTimes(Message):
    """Where the time of one turn went, in milliseconds; None where a stage had no part in it."""

    endpointing_ms: float | None = None
    """From the last speech of the caller to the end of the turn."""
    stt_ms: float | None = None
    """What the final transcript cost, most of it inside `endpointing_ms`."""
    llm_first_token_ms: float | None = None
    llm_ms: float | None = None
    webhook_ms: float | None = None
    answer_ms: float | None = None
    """From the opened turn to its answer, hand-overs included."""
    tts_first_audio_ms: float | None = None
    """From the sentence handed to the mouth to its first audio at the gateway."""
    voice_to_voice_ms: float | None = None
    """From the last speech of the caller to the first audio sent to them, at the gateway."""
    eager_ms: float | None = None
    """From the last speech of the caller to the words that thinking began with."""
    won_ms: float | None = None
    """How long the model had run before the turn was opened."""


class TurnRecord(Message):
    """One turn as it is remembered."""

    number: int
    input: Literal["greeting", "speech", "dtmf", "silence"]
    """`silence`: the caller said nothing, and the bot asked."""
    user_text: str = ""
    suggestion: str = ""
    say: str = ""
    heard: str = ""
    """What the caller really heard of `say`."""
    action: Action = Action.CONTINUE
    source: Literal["greeting", "webhook", "suggestion", "apology", "none"] = "none"
    webhook_status: str = ""
    errors: list[str] = []
    speculation: str = "none"
    prepared: bool = False
    """The first sentence was ready before it was asked for."""
    interrupted: bool = False
    """The caller has cut it off."""
    pauses: int = 0
    """How often a noise or a backchannel has held it up."""
    times: StageTimes = StageTimes()
