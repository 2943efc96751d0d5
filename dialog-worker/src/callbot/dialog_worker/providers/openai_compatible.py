"""Any server that speaks OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat)."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from typing import Any

import httpx2
import openai
from openai.types.chat import ChatCompletionChunk

from callbot.dialog_worker.language_model import TRUNCATED, ChatMessage
from callbot.dialog_worker.settings import Settings
from callbot.runtime.errors import ProviderError

log = logging.getLogger(__name__)

WARM_S = 120.0
"""An idle connection is kept this long: a caller may think for a while between two turns."""
WARM_UP_S = 2.0
_CODE = re.compile(r"[a-z_]{1,40}")


class OpenAICompatible:
    def __init__(self, client: openai.AsyncOpenAI, settings: Settings) -> None:
        self._client = client
        self._first_token_s = settings.llm_first_token_s
        self._next_token_s = settings.llm_next_token_s
        self._max_tokens_field = settings.llm_max_tokens_field
        self._replying = 0
        self._one_reads_ahead = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._body: dict[str, Any] = {
            "model": settings.openai_model,
            "stream": True,
            settings.llm_max_tokens_field: settings.llm_max_tokens,
        }
        if settings.llm_temperature is not None:
            self._body["temperature"] = settings.llm_temperature
        if settings.llm_reasoning_effort:
            self._body["reasoning_effort"] = settings.llm_reasoning_effort

    async def reply(self, messages: Sequence[ChatMessage]) -> AsyncGenerator[str]:
        self._replying += 1
        if self._reading is not None:
            self._reading.cancel()
        try:
            async with aclosing(self._pieces(messages, {})) as pieces:
                async for piece in pieces:
                    yield piece
        except TimeoutError as e:
            raise ProviderError("llm_timeout", "no token in time", retryable=True) from e
        except openai.APIStatusError as e:
            raise _refused(e) from e
        except openai.APIConnectionError as e:
            raise ProviderError("llm_unreachable", type(e).__name__, retryable=True) from e
        except (openai.OpenAIError, httpx2.HTTPError, ValueError) as e:
            raise ProviderError("llm_broken_off", type(e).__name__, retryable=True) from e
        finally:
            self._replying -= 1

    async def read_ahead(self, messages: Sequence[ChatMessage]) -> None:
        """One token is asked for: the server has read the conversation when it comes.

        One conversation at a time, and none while a reply is awaited, of whatever call.
        """
        async with self._one_reads_ahead:
            if self._replying:
                return
            self._reading = asyncio.create_task(self._read(messages))
            try:
                await asyncio.wait({self._reading})
            finally:
                self._reading.cancel()
                self._reading = None

    async def _read(self, messages: Sequence[ChatMessage]) -> None:
        try:
            async with aclosing(self._pieces(messages, {self._max_tokens_field: 1})) as pieces:
                async for _ in pieces:
                    pass
        except ProviderError as e:
            if e.code != TRUNCATED:
                log.debug("the language model has not read ahead", extra={"reason": e.code})
        except (TimeoutError, openai.OpenAIError, httpx2.HTTPError, ValueError) as e:
            log.debug("the language model has not read ahead", extra={"reason": type(e).__name__})

    async def warm_up(self) -> None:
        """Open a connection before the first caller waits for one; the answer does not matter."""
        try:
            async with asyncio.timeout(WARM_UP_S):
                await self._client.models.list()
        except (TimeoutError, openai.OpenAIError) as e:
            log.warning("the language model does not answer yet", extra={"reason": type(e).__name__})

    async def _pieces(self, messages: Sequence[ChatMessage], changes: dict[str, Any]) -> AsyncGenerator[str]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._first_token_s
        async with asyncio.timeout_at(deadline):
            stream = await self._open(
                {**self._body, "messages": [asdict(message) for message in messages], **changes}
            )
        finish_reason = None
        async with stream:
            while True:
                async with asyncio.timeout_at(deadline):
                    chunk = await anext(stream, None)
                if chunk is None:
                    break
                # A chunk with usage has no choices; some servers leave the list out.
                for choice in (chunk.choices or [])[:1]:
                    finish_reason = choice.finish_reason or finish_reason
                    if choice.delta and choice.delta.content:
                        yield choice.delta.content
                        deadline = loop.time() + self._next_token_s
        _check_finish(finish_reason)

    async def _open(self, body: dict[str, Any]) -> openai.AsyncStream[ChatCompletionChunk]:
        stream: openai.AsyncStream[ChatCompletionChunk] = await self._client.chat.completions.create(**body)
        return stream


def _check_finish(reason: str | None) -> None:
    if reason is None:
        raise ProviderError("llm_broken_off", "the stream ended early", retryable=True)
    if reason == "length":
        raise ProviderError(TRUNCATED, "the reply is longer than allowed", retryable=False)
    if reason == "content_filter":
        raise ProviderError("llm_filtered", "the reply was filtered", retryable=False)


def _refused(e: openai.APIStatusError) -> ProviderError:
    code = e.code if isinstance(e.code, str) and _CODE.fullmatch(e.code) else ""
    retryable = e.status_code in (408, 409, 429) or e.status_code >= 500
    return ProviderError("llm_refused", f"HTTP {e.status_code} {code}".strip(), retryable=retryable)


@asynccontextmanager
async def open_language_model(settings: Settings) -> AsyncIterator[OpenAICompatible]:
    """Not retried: a repeated request would only eat the turn's time."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=WARM_S)
    timeout = httpx2.Timeout(settings.llm_first_token_s, connect=settings.llm_connect_s)
    async with openai.AsyncOpenAI(
        base_url=settings.openai_base_url,
        # The SDK insists on a key; a server of one's own needs none.
        api_key=settings.openai_api_key.get_secret_value() or "none",
        max_retries=0,
        timeout=timeout,
        http_client=openai.DefaultAsyncHttpxClient(limits=limits, timeout=timeout),
    ) as client:
        model = OpenAICompatible(client, settings)
        warming = asyncio.create_task(model.warm_up())
        try:
            yield model
        finally:
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)
