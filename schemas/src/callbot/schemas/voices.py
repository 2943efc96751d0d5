"""The names of voices, and the list of those that work here."""

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate, takewhile
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

from callbot.schemas.language_tags import Language
from callbot.schemas.message import Message
from callbot.schemas.users import AsUser

VOICE_PROVIDERS: Final = (
    "cartesia",
    "deepgram",
    "elevenlabs",
    "google",
    "openai",
    "piper",
    "playht",
    "polly",
)
"""Those that come along. Call-router also takes those whose voices a worker tells: other packages'."""
DEFAULT_VOICE: Final = "piper:joe"
MAX_LIST_BYTES: Final = 900_000
"""Of voices in one message: the broker takes 1 MiB. About 6,700 voices of the usual length."""
_PROVIDER: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def provider_of(voice: str) -> str:
    return voice.partition(":")[0]


def wanted_form(known: Iterable[str] = VOICE_PROVIDERS) -> str:
    """In the words of an error."""
    return f"must be provider:name with one of {', '.join(f'{provider}:…' for provider in sorted(known))}"


def folded(name: str) -> str:
    """How names of voices are compared: letter case and the kind of white space do not count."""
    return " ".join(name.casefold().split())


def _well_formed(voice: str) -> str:
    provider, _, name = voice.partition(":")
    if not _PROVIDER.fullmatch(provider) or not name or not name.isprintable() or " " in name:
        raise ValueError(wanted_form())
    return voice


Voice = Annotated[str, StringConstraints(max_length=200), AfterValidator(_well_formed)]
"""`provider:name`; whether there is such a provider, call-router knows."""
ProviderName = Annotated[str, StringConstraints(pattern=rf"^{_PROVIDER.pattern}$")]


class VoiceInfo(Message):
    """A voice that works here."""

    voice: Voice
    """As it stands in a bot: `provider:name`."""
    provider: str
    name: str
    language: str
    id: str = ""
    """The vendor's own; a bot's voice may have it in the place of the name."""


class ListVoices(AsUser):
    provider: ProviderName | None = None
    language: Language | None = None
    """`en` stands for all of English, `en-GB` for that alone."""


class VoiceList(Message):
    voices: list[VoiceInfo]


class WorkerVoices(Message):
    """What one tts-worker can speak with. Bucket `voices`, key: the worker's id."""

    voices: list[VoiceInfo]


def fitting(voices: Sequence[VoiceInfo]) -> list[VoiceInfo]:
    """As many of the first ones as one message can hold."""
    sizes = accumulate(len(voice.model_dump_json().encode()) + 1 for voice in voices)
    count = sum(1 for _ in takewhile(lambda size: size <= MAX_LIST_BYTES, sizes))
    return list(voices[:count])
