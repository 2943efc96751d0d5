"""What the stt-worker can be told."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PositiveFloat, model_validator
from pydantic_settings import NoDecode

from callbot.runtime.settings import ChainSettings
from callbot.stt_worker.end_of_turn import STAYED_MS


def _by_name(value: object) -> object:
    if not isinstance(value, str):
        return value
    return dict(part.strip().partition("=")[::2] for part in value.split(",") if part.strip())


Deadlines = Annotated[dict[str, PositiveFloat], NoDecode, BeforeValidator(_by_name)]


class Settings(ChainSettings):
    stt: str = ""
    """Recognisers, by the names of their entry points in `callbot.stt`, separated by commas: who is asked
    first, who takes over. Empty: those whose credentials are set, then `local`."""
    stt_deadline_s: float = Field(0.8, gt=0)
    """A vendor's words are waited for so long after the end of speech; then the next one is asked."""
    stt_deadlines: Deadlines = {}
    """Other deadlines for single ones: `openai=1.5,deepgram=0.6`."""
    vad: Literal["silero", "energy"] = "silero"
    """`energy` needs no model and is for scripted audio: anything above near-silence is speech."""
    end_silence_ms: int = Field(500, gt=STAYED_MS, le=5000)
    """A turn is over after this much silence when it has no words: nothing was understood, or it broke."""
    prosody: Literal["auto", "smart-turn", "off"] = "auto"
    """`auto`: Smart Turn where it is installed."""
    prosody_model: Path | None = None
    """Smart Turn's ONNX; by default the one that the package pipecat-ai carries."""
    interim_share: float = Field(0.25, ge=0, le=1)
    """Of one core, for transcripts of speech that goes on, all calls together. 0: none."""
    max_utterance_ms: int = Field(20_000, ge=2000, le=28_000)
    """Longer speech is ended by force."""
    room: int = Field(64, ge=1)
    """How many calls this worker hears at once."""
    decode_deadline_s: float = Field(2.0, gt=0)
    """After the last word its text is waited for so long; then the gateway apologises."""
    stt_model: Path | None = None
    """A directory with a CTranslate2 Whisper model; by default the packaged tiny.en."""
    stt_workers: int = Field(2, ge=1)
    """Utterances decoded at the same time."""
    stt_threads: int = Field(1, ge=1)
    """Threads of one decode. More than one hardly shortens it and costs throughput."""
    vad_model: Path | None = None
    """Silero's VAD as ONNX (8 kHz); by default the packaged one."""

    @model_validator(mode="after")
    def _turn_can_end(self) -> Self:
        if self.end_silence_ms >= self.max_utterance_ms:
            raise ValueError("end_silence_ms must be shorter than max_utterance_ms")
        return self
