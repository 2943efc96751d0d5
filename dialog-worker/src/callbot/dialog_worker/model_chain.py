"""The language models of this worker as one: who fails is followed by the next."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from callbot.dialog_worker.endpoints import Endpoint
from callbot.dialog_worker.language_model import (
    FILTERED,
    TRUNCATED,
    Anew,
    ChatMessage,
    LanguageModel,
    TellUsed,
    tell_nobody,
)
from callbot.dialog_worker.settings import Settings
from callbot.runtime.chain import Attempt, Link, streamed, unheard
from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.guard import Guard, LocalGuard
from callbot.runtime.provider_chain import brought_along, opened

GROUP: Final = "callbot.llm"
BROKEN_OFF: Final = "broken_off"
_STALL_S: Final = 0.5
"""Beyond a model's own deadline, for one that keeps none."""
log = logging.getLogger(__name__)

Open = Callable[[Settings], AbstractAsyncContextManager[LanguageModel]]
"""What an entry point of `callbot.llm` names. Raises SettingsError."""


@dataclass(frozen=True, slots=True)
class _Stopped:
    """Among a model's pieces: it has ended its reply for a reason that another model would have, too."""

    because: ProviderError


class ModelChain:
    """A LanguageModel."""

    def __init__(
        self,
        links: Sequence[Link[LanguageModel]],
        *,
        hedge: bool,
        told: Callable[[Attempt], None] = unheard,
    ) -> None:
        """`told` of every attempt, for records and metrics."""
        self._links = list(links)
        self._hedge = hedge
        self._told = told

    async def reply(
        self, messages: Sequence[ChatMessage], tell_used: TellUsed = tell_nobody
    ) -> AsyncGenerator[str | Anew]:
        """Before the first piece a switch is not noticed; after it there is an Anew, and another reply."""
        left = self._links
        while True:
            gone = set[str]()
            try:
                async with aclosing(self._from_one_of(left, messages, tell_used, gone)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, _Stopped):
                            raise piece.because
                        yield piece
                return
            except ProviderError as e:
                left = [link for link in left if link.name not in gone]
                own = e.__cause__ if isinstance(e.__cause__, ProviderError) else None
                if e.code != BROKEN_OFF or own is None:
                    raise
                if not left:
                    raise own from None
            yield Anew(own)

    async def read_ahead(self, messages: Sequence[ChatMessage], tell_used: TellUsed = tell_nobody) -> None:
        await self._links[0].provider.read_ahead(messages, tell_used)

    def _from_one_of(
        self,
        links: Sequence[Link[LanguageModel]],
        messages: Sequence[ChatMessage],
        tell_used: TellUsed,
        gone: set[str],
    ) -> AsyncGenerator[str | _Stopped]:
        """`gone` gets the names of those that have failed."""

        def told(attempt: Attempt) -> None:
            if attempt.outcome in ("failed", "broken_off"):
                gone.add(attempt.provider)
                facts = {"provider": attempt.provider, "reason": attempt.error_code}
                log.warning("a language model has failed", extra=facts)
            self._told(attempt)

        def begin(link: Link[LanguageModel]) -> AsyncGenerator[str | _Stopped]:
            return _pieces(link.provider, messages, tell_used)

        return streamed(links, begin, hedge=self._hedge, told=told)


async def _pieces(
    model: LanguageModel, messages: Sequence[ChatMessage], tell_used: TellUsed
) -> AsyncGenerator[str | _Stopped]:
    begun = False
    try:
        async with aclosing(model.reply(messages, tell_used)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    begun = True
                    yield _whole_characters(piece)
    except ProviderError as e:
        if not begun and e.code == TRUNCATED:
            raise ProviderError("no_words", "all tokens went elsewhere", retryable=True) from None
        if not begun or e.code not in (TRUNCATED, FILTERED):
            raise
        yield _Stopped(e)


def _whole_characters(piece: str) -> str:
    """JSON can have halves of characters (surrogates), which no message of ours can."""
    return piece.encode("utf-8", "ignore").decode()


@dataclass(frozen=True, slots=True)
class _Named:
    """An endpoint, as an entry point would name it."""

    endpoint: Endpoint

    @property
    def name(self) -> str:
        return self.endpoint.name

    def load(self) -> Open:
        # A second of start-up, and nothing that another package's model needs.
        from callbot.dialog_worker.providers.openai_compatible import open_endpoint

        return partial(open_endpoint, self.endpoint)


@asynccontextmanager
async def open_language_model(
    settings: Settings,
    guard: Callable[[str], Guard] = LocalGuard,
    told: Callable[[Attempt], None] = unheard,
) -> AsyncIterator[ModelChain]:
    """`guard` by a provider's name. Raises SettingsError when no model can be used."""
    endpoints = [_Named(endpoint) for endpoint in settings.endpoints]
    names = [endpoint.name for endpoint in endpoints]
    if len(set(names)) < len(names):
        raise SettingsError("CALLBOT_LLM_…_NAME: two endpoints have the same name")

    def open_one(open_model: Open) -> AbstractAsyncContextManager[LanguageModel]:
        return open_model(settings)

    auto = [*names, *brought_along(GROUP)]
    models = opened(GROUP, settings.llm, open_one, variable="CALLBOT_LLM", auto=auto, more=endpoints)
    async with models as usable:
        yield ModelChain(_links(usable, settings, guard), hedge=settings.llm_hedge, told=told)


def _links(
    usable: Mapping[str, LanguageModel], settings: Settings, guard: Callable[[str], Guard]
) -> list[Link[LanguageModel]]:
    last = list(usable)[-1]
    return [
        Link(
            name,
            model,
            guard(name),
            deadline_s=settings.llm_first_token_s if name == last else settings.llm_switch_s,
            stall_s=settings.llm_next_token_s + _STALL_S,
        )
        for name, model in usable.items()
    ]
