"""Sentences that need nobody: recorded, 8 kHz mu-law, in the package, in memory from the start."""

from dataclasses import dataclass
from importlib.resources import files

NAMES = ("hello", "apology", "goodbye", "too_long")


@dataclass(frozen=True)
class Phrase:
    text: str
    audio: bytes


TEXTS = {
    "hello": "Hello! How can I help you?",
    "apology": "I'm sorry, I didn't get that. Could you say it again, please?",
    "goodbye": "I'm sorry, something is wrong on our side. Please call again later. Goodbye.",
    "too_long": "I'm sorry, this call has reached its longest time. Goodbye.",
}


def load() -> dict[str, Phrase]:
    """All of them. `python -m callbot.tts_worker.record_phrases` is how they were made."""
    folder = files("callbot.gateway").joinpath("recorded")
    return {name: Phrase(TEXTS[name], folder.joinpath(f"{name}.ulaw").read_bytes()) for name in NAMES}
