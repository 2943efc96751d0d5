"""Any server that speaks OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat).

Seen to differ, and taken: no chunk with the role, `content` null, chunks without choices, thoughts in
`reasoning_content` or in `<think>…</think>`, no `[DONE]`, no knowledge of `stream_options`.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import openai
from openai.types.chat import ChatCompletionChunk

from callbot.dialog_worker.endpoints import Endpoint
from callbot.dialog_worker.language_model import (
    FILTERED,
    TRUNCATED,
    ChatMessage,
    TellUsed,
    TokensUsed,
    tell_nobody,
)
from callbot.dialog_worker.providers.openai_client import KeptWarm, open_client
from callbot.dialog_worker.providers.openai_refusals import RAISED, provider_error
from callbot.dialog_worker.providers.thinking_aloud import WithoutThoughts
from callbot.dialog_worker.settings import Settings
from callbot.runtime.errors import ProviderError
from callbot.runtime.settings import is_loopback
from callbot.runtime.vendor_answers import broken_off, malformed

log = logging.getLogger(__name__)

TAIL_S: Final = 0.2
"""After the reply's end, for usage and `[DONE]`: nobody waits longer for them."""
_CHARACTERS_A_TOKEN: Final = 4


@dataclass
class _Request:
    """What is known of one request while it runs."""

    characters_in: int
    characters_out: int = 0
    begun: bool = False
    """The server has accepted it."""
    whole: bool = False
    """Its response was read to the end: the connection is kept."""
    tokens: tuple[int, int] | None = None
    """In and out, as the server has told."""


class OpenAICompatible:
    def __init__(
        self, client: openai.AsyncOpenAI, warmth: KeptWarm, endpoint: Endpoint, settings: Settings
    ) -> None:
        self._client = client
        self.warmth = warmth
        self._endpoint = endpoint
        self._first_token_s = settings.llm_first_token_s
        self._next_token_s = settings.llm_next_token_s
        self._reads_ahead = reads_ahead(endpoint, settings)
        self._tells_usage: bool | None = None
        """Whether the server knows `stream_options`; None: not seen yet."""
        self._replying = 0
        self._one_reads_ahead = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._max_tokens_field = endpoint.max_tokens_field or settings.llm_max_tokens_field
        self._body = _body(endpoint, settings) | {self._max_tokens_field: settings.llm_max_tokens}

    async def reply(
        self, messages: Sequence[ChatMessage], tell_used: TellUsed = tell_nobody
    ) -> AsyncGenerator[str]:
        self._replying += 1
        if self._reading is not None:
            self._reading.cancel()
        request = _Request(_characters(messages))
        try:
            async with aclosing(self._pieces(messages, {}, request)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        except TimeoutError:
            failure = ProviderError("too_slow", "no token in time", retryable=True)
        except RAISED as e:
            failure = provider_error(e, begun=request.begun)
        finally:
            self._replying -= 1
            if not request.whole:
                self.warmth.lost()
            if request.begun:
                tell_used(self._used(request))
        # Not where it was caught: its context would carry the request's headers and the server's text.
        raise failure

    async def read_ahead(self, messages: Sequence[ChatMessage], tell_used: TellUsed = tell_nobody) -> None:
        """One token is asked for: the server has read the conversation when it comes.

        One conversation at a time, and none while a reply is awaited, of whatever call.
        """
        if not self._reads_ahead:
            return
        async with self._one_reads_ahead:
            if self._replying:
                return
            self._reading = asyncio.create_task(self._read(messages, tell_used))
            try:
                await asyncio.wait({self._reading})
            finally:
                self._reading.cancel()
                self._reading = None

    async def _read(self, messages: Sequence[ChatMessage], tell_used: TellUsed) -> None:
        reason = ""
        request = _Request(_characters(messages))
        try:
            async with aclosing(self._pieces(messages, {self._max_tokens_field: 1}, request)) as pieces:
                async for _ in pieces:
                    pass
        except ProviderError as e:
            reason = "" if e.code == TRUNCATED else e.code
        except (TimeoutError, *RAISED) as e:
            reason = type(e).__name__
        finally:
            if request.begun:
                tell_used(self._used(request))
        if reason:
            log.debug("the language model has not read ahead", extra={"reason": reason})

    async def _pieces(
        self, messages: Sequence[ChatMessage], changes: dict[str, Any], request: _Request
    ) -> AsyncGenerator[str]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._first_token_s
        async with asyncio.timeout_at(deadline):
            stream = await self._open(
                {**self._body, "messages": [asdict(message) for message in messages], **changes}
            )
        request.begun = True
        spoken, finish_reason = WithoutThoughts(), None
        async with stream:
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        chunk = await anext(stream, None)
                except (TimeoutError, *RAISED):
                    if finish_reason is None:
                        raise
                    break
                if chunk is None:
                    request.whole = True
                    break
                text, finish = _read(chunk, request)
                if text := spoken.feed(text):
                    request.characters_out += len(text)
                    yield text
                    deadline = loop.time() + self._next_token_s
                if finish:
                    finish_reason, deadline = finish, loop.time() + TAIL_S
        if rest := spoken.end():
            yield rest
        _check_finish(finish_reason)

    async def _open(self, body: dict[str, Any]) -> openai.AsyncStream[ChatCompletionChunk]:
        """A server that may not know `stream_options` is asked once more without, and that is remembered."""
        if self._tells_usage is not False:
            try:
                stream = await self._ask({**body, "stream_options": {"include_usage": True}})
            except openai.APIStatusError as e:
                if self._tells_usage or e.status_code not in (400, 422):
                    raise
            else:
                self._tells_usage = True
                return stream
        stream = await self._ask(body)
        self._tells_usage = False
        return stream

    async def _ask(self, body: dict[str, Any]) -> openai.AsyncStream[ChatCompletionChunk]:
        stream: openai.AsyncStream[ChatCompletionChunk] = await self._client.chat.completions.create(**body)
        return stream

    def _used(self, request: _Request) -> TokensUsed:
        estimated = (_tokens(request.characters_in), _tokens(request.characters_out))
        tokens_in, tokens_out = request.tokens or estimated
        return TokensUsed(
            provider=self._endpoint.name,
            model=self._endpoint.model,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            estimated=request.tokens is None,
        )


def _characters(messages: Sequence[ChatMessage]) -> int:
    return sum(len(message.content) for message in messages)


def _tokens(characters: int) -> int:
    return -(-characters // _CHARACTERS_A_TOKEN)


def reads_ahead(endpoint: Endpoint, settings: Settings) -> bool:
    return is_loopback(endpoint.host) if settings.llm_warm is None else settings.llm_warm


def _body(endpoint: Endpoint, settings: Settings) -> dict[str, Any]:
    body: dict[str, Any] = {"model": endpoint.model, "stream": True}
    temperature = settings.llm_temperature if endpoint.temperature is None else endpoint.temperature
    effort = settings.llm_reasoning_effort if endpoint.reasoning_effort is None else endpoint.reasoning_effort
    if temperature is not None:
        body["temperature"] = temperature
    if effort:
        body["reasoning_effort"] = effort
    return body


def _read(chunk: ChatCompletionChunk, request: _Request) -> tuple[str, str | None]:
    """Its text and why the reply ends with it. Raises ProviderError.

    A chunk with usage has no choices; some servers leave out the list, the delta or the text. The SDK checks
    no types.
    """
    try:
        if chunk.usage is not None:
            request.tokens = (int(chunk.usage.prompt_tokens), int(chunk.usage.completion_tokens))
        if not chunk.choices:
            return "", None
        choice = chunk.choices[0]
        text = choice.delta.content if choice.delta else ""
        if text is None or isinstance(text, str):
            return text or "", choice.finish_reason
    except (AttributeError, TypeError, ValueError, IndexError, KeyError):
        raise malformed("no chunk of a chat completion") from None
    raise malformed("text that is none")


def _check_finish(reason: str | None) -> None:
    if reason is None:
        raise broken_off()
    if reason == "length":
        raise ProviderError(TRUNCATED, "the reply is longer than allowed", retryable=False)
    if reason == "content_filter":
        raise ProviderError(FILTERED, "the reply was filtered", retryable=False)


@asynccontextmanager
async def open_endpoint(endpoint: Endpoint, settings: Settings) -> AsyncIterator[OpenAICompatible]:
    """Raises SettingsError when something is missing; asks the server for nothing yet."""
    endpoint.check()
    async with open_client(endpoint, settings) as (client, http):
        warmth = KeptWarm(client, http, endpoint)
        async with warmth.running():
            yield OpenAICompatible(client, warmth, endpoint, settings)
