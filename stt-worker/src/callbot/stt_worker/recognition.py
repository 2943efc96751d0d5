"""The providers of this worker that turn speech into words, in the order in which they are asked."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import takewhile
from typing import Final, Protocol, Self, TypeVar, cast

from callbot.runtime.chain import Link
from callbot.runtime.guard import Guard, LocalGuard
from callbot.runtime.provider_chain import brought_along, opened
from callbot.stt_worker.recognizer import (
    GROUP,
    AnyRecognizer,
    HasModels,
    Recognizer,
    RecognizerProvider,
    StreamingRecognizer,
)
from callbot.stt_worker.settings import Settings

VENDORS: Final = ("deepgram", "google", "openai")
LAST: Final = "local"
ON_THIS_MACHINE: Final = frozenset({"local", "scripted"})
"""No network that may stall: their words are waited for as long as any are."""
P = TypeVar("P")

Batch = Link[Recognizer]
Streaming = Link[StreamingRecognizer]


class Guards(Protocol):
    def guard(self, provider: str) -> Guard: ...


class LocalGuards:
    """Breakers of this process alone."""

    def __init__(self) -> None:
        self._guards: dict[str, LocalGuard] = {}

    def guard(self, provider: str) -> Guard:
        return self._guards.setdefault(provider, LocalGuard(provider))


class Recognition:
    """At least one provider; a link's deadline is to the words of an utterance that is over."""

    def __init__(self, providers: Mapping[str, AnyRecognizer], guards: Guards, settings: Settings) -> None:
        deadlines = _deadlines(providers, settings)
        self.deadline_s = settings.decode_deadline_s
        """Of a turn's text, whoever it comes from."""
        self.names = tuple(providers)
        self.batch = tuple(
            _link(name, provider, guards, deadlines)
            for name, provider in providers.items()
            if not isinstance(provider, StreamingRecognizer)
        )
        self.streaming = tuple(
            _link(name, provider, guards, deadlines)
            for name, provider in providers.items()
            if isinstance(provider, StreamingRecognizer)
        )
        before = set(takewhile(lambda name: name not in {b.name for b in self.batch}, self.names))
        self.leading = tuple(link for link in self.streaming if link.name in before)
        """Those before the first batch provider: one of them listens along in every call."""
        self._providers = dict(providers)

    @classmethod
    def of_one(cls, name: str, recognizer: AnyRecognizer, settings: Settings) -> Self:
        """A chain of one, known to nobody else."""
        return cls({name: recognizer}, LocalGuards(), settings)

    @property
    def working(self) -> bool:
        return any(provider.working for provider in self._providers.values())

    @property
    def for_interims(self) -> Batch | None:
        """Whose decoders have room for what is not needed."""
        roomy = (link for link in self.batch if link.provider.free_decoders >= 2)
        return next(roomy, self.batch[0] if self.batch else None)

    def model_of(self, name: str, language: str) -> str:
        """Empty: it has one price, or says nothing of it."""
        provider = self._providers[name]
        return provider.model_of(language) if isinstance(provider, HasModels) else ""

    def rank(self, name: str) -> int:
        return self.names.index(name)


def _link(name: str, provider: P, guards: Guards, deadlines: Mapping[str, float]) -> Link[P]:
    return Link(name, provider, guards.guard(name), deadline_s=deadlines[name])


def _deadlines(names: Iterable[str], settings: Settings) -> dict[str, float]:
    usual = {
        name: settings.decode_deadline_s if name in ON_THIS_MACHINE else settings.stt_deadline_s
        for name in names
    }
    return {name: settings.stt_deadlines.get(name, usual[name]) for name in usual}


@asynccontextmanager
async def open_recognition(settings: Settings, guards: Guards) -> AsyncIterator[Recognition]:
    """As CALLBOT_STT says. Raises SettingsError."""
    async with opened(
        GROUP,
        settings.stt,
        lambda entry: cast(RecognizerProvider, entry).open(settings),
        variable="CALLBOT_STT",
        auto=(*VENDORS, *brought_along(GROUP), LAST),
    ) as providers:
        yield Recognition(providers, guards, settings)
