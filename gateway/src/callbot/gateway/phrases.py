"""Sentences that need nobody: recorded, 8 kHz mu-law, in the package, in memory from the start."""

from dataclasses import dataclass
from importlib.resources import files

NAMES = ("hello", "apology", "one_moment", "goodbye", "too_long")


@dataclass(frozen=True)
class Phrase:
    text: str
    audio: bytes


def load() -> dict[str, Phrase]:
    """All of them; `python -m callbot.studio.record_phrases` speaks each text into the file beside it."""
    folder = files("callbot.gateway").joinpath("recorded")
    return {
        name: Phrase(
            folder.joinpath(f"{name}.txt").read_text().strip(),
            folder.joinpath(f"{name}.ulaw").read_bytes(),
        )
        for name in NAMES
    }
