"""How a bot takes turns, and the sentences that it has ready."""

import hashlib
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from callbot.schemas.fixed_sentences import ours_in
from callbot.schemas.message import Message, NoNul

Greeting = Annotated[str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True), NoNul]


class TurnTaking(Message):
    """How long the caller may be silent before the bot answers. The defaults need no tuning."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    min_silence_ms: Annotated[int, Field(ge=150, le=2000)] = 250
    """When everything says that the caller has finished."""
    max_silence_ms: Annotated[int, Field(ge=300, le=5000)] = 1500
    """In the middle of a number, a spelled word, an unfinished sentence."""


class Phrases(Message):
    """The bot's fixed sentences; None: ours, in the bot's language where we have it, else in English."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    one_moment: Greeting | None = None
    """When the answer takes long."""
    not_understood: Greeting | None = None
    """When the caller has said something that could not be understood."""
    still_there: Greeting | None = None
    """When the caller is silent."""
    silent_goodbye: Greeting | None = None
    """When the caller stays silent; the call ends."""
    apology: Greeting | None = None
    """When there is no answer; the call goes on."""
    goodbye: Greeting | None = None
    """When something stays broken; the call ends."""
    ending_soon: Greeting | None = None
    """A minute before the longest time of a call."""
    too_long: Greeting | None = None
    """At the longest time of a call; it ends."""
    nobody_answers: Greeting | None = None
    """After a transfer that nobody took."""
    recorded: Greeting | None = None
    """Before the greeting, where calls are recorded and this is set."""


class SpeakPhrases(Message):
    """Sentences that will be needed at once, to be spoken ahead into the bucket `phrases`."""

    voice: str
    language: str
    texts: Annotated[list[str], Field(max_length=20)]

    @classmethod
    def of(cls, *, voice: str, language: str, greeting: str, phrases: Phrases) -> "SpeakPhrases":
        """What such a bot may have to say at once: its greeting, the fixed sentences that it has, and ours.

        Of ours those in its language; in English they are recorded.
        """
        own = {name: text for name, text in phrases.model_dump().items() if text}
        ours = [text for name, text in ours_in(language).items() if name not in own]
        return cls(
            voice=voice, language=language, texts=list(dict.fromkeys([greeting, *own.values(), *ours]))
        )


def phrase_key(voice: str, language: str, text: str) -> str:
    """Where the bucket `phrases` keeps this sentence as raw 8 kHz µ-law: 32 hexadecimal digits.

    The first half of a SHA-256: a sentence may be long and hold anything, a key of a bucket may not.
    """
    return hashlib.sha256("\n".join((voice, language, text)).encode()).hexdigest()[:32]
