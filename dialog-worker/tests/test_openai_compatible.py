"""The model's wire, against a real server that plays a vendor on good and bad days."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import pytest
from aiohttp import web

from callbot.dialog_worker.language_model import ChatMessage, TokensUsed
from callbot.dialog_worker.providers.openai_compatible import OpenAICompatible, open_endpoint, reads_ahead
from callbot.dialog_worker.settings import Settings
from callbot.runtime.errors import ProviderError

MESSAGES = [ChatMessage("system", "Be kind."), ChatMessage("user", "Hi")]


def open_model(settings: Settings) -> AbstractAsyncContextManager[OpenAICompatible]:
    return open_endpoint(settings.endpoints[0], settings)


async def reply(settings: Settings) -> tuple[list[str], str]:
    """The pieces that came, and the code of the error that ended them."""
    pieces = []
    async with open_model(settings) as model:
        try:
            async for piece in model.reply(MESSAGES):
                pieces.append(piece)
        except ProviderError as e:
            return pieces, e.code
    return pieces, ""


@pytest.fixture
def settings(vendor: Any, settings_with: Callable[..., Settings]) -> Settings:
    return settings_with(openai_base_url=vendor.url)


async def test_streams_the_reply_and_asks_for_what_was_set(
    vendor: Any, settings_with: Callable[..., Settings]
) -> None:
    vendor.says("Hel", "lo", ".")
    settings = settings_with(openai_base_url=vendor.url, llm_temperature=0.2, llm_max_tokens=12)
    assert await reply(settings) == (["Hel", "lo", "."], "")
    assert vendor.requests == [
        {
            "model": "tiny",
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_completion_tokens": 12,
            "temperature": 0.2,
            "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
        }
    ]


async def test_a_server_of_the_old_parameter(vendor: Any, settings_with: Callable[..., Settings]) -> None:
    vendor.says("Hi.")
    await reply(settings_with(openai_base_url=vendor.url, llm_max_tokens_field="max_tokens"))
    assert vendor.requests[0].keys() == {"model", "stream", "stream_options", "max_tokens", "messages"}


@pytest.mark.parametrize("size", [1, 3, 7])
async def test_any_byte_boundaries(vendor: Any, settings: Settings, size: int) -> None:
    vendor.says("Grüße 你好 ", "🎉")
    whole = b"".join(vendor.script)
    vendor.script = [whole[i : i + size] for i in range(0, len(whole), size)]
    assert await reply(settings) == (["Grüße 你好 ", "🎉"], "")


async def test_chunks_without_text_are_passed_over(vendor: Any, settings: Settings) -> None:
    vendor.script = [
        vendor.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}),
        vendor.event({"choices": [{"index": 0, "delta": {"content": None}, "obfuscation": "x"}]}),
        b": a comment\n\n",
        vendor.chunk("Yes."),
        vendor.chunk(finish_reason="stop"),
        vendor.event(
            {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
        ),
        vendor.event({"choices": None}),
        vendor.event({}),
        vendor.DONE,
    ]
    assert await reply(settings) == (["Yes."], "")


async def test_a_missing_done_is_no_error_once_the_reply_is_finished(vendor: Any, settings: Settings) -> None:
    vendor.script = [vendor.chunk("Yes."), vendor.chunk(finish_reason="stop")]
    assert await reply(settings) == (["Yes."], "")


BROKEN = {
    "ends early": (lambda v: [v.chunk("Yes.")], "broken_off"),
    "error in the stream": (
        lambda v: [v.chunk("Yes."), b'data: {"error": {"message": "overloaded", "code": "x"}}\n\n'],
        "broken_off",
    ),
    "not JSON": (lambda v: [v.chunk("Yes."), b"data: {oops\n\n"], "malformed"),
    "token limit": (lambda v: [v.chunk("Yes."), v.chunk(finish_reason="length"), v.DONE], "truncated"),
    "filtered": (
        lambda v: [v.chunk("Yes."), v.chunk(finish_reason="content_filter"), v.DONE],
        "content_refused",
    ),
}


@pytest.mark.parametrize(("script", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_what_came_before_an_error_is_kept(
    vendor: Any, settings: Settings, script: Callable[[Any], list[bytes]], code: str
) -> None:
    vendor.script = script(vendor)
    assert await reply(settings) == (["Yes."], code)


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "refused"), (403, "refused"), (404, "unknown_model"), (429, "busy"), (500, "unavailable")],
)
async def test_a_refusal_is_not_retried_and_tells_no_more_than_its_code(
    vendor: Any, settings: Settings, status: int, code: str
) -> None:
    body = {"error": {"message": "no: Hi", "code": "some_code"}}
    vendor.refusal = web.json_response(body, status=status)
    async with open_model(settings) as model:
        with pytest.raises(ProviderError) as e:
            await anext(model.reply(MESSAGES))
    assert str(e.value) == f"{code}: HTTP {status} some_code"
    assert e.value.retryable == (status >= 429)
    assert len(vendor.requests) == 1


async def test_nobody_listens_there(settings_with: Callable[..., Settings]) -> None:
    assert await reply(settings_with()) == ([], "unavailable")


async def test_a_slow_first_token(vendor: Any, settings_with: Callable[..., Settings]) -> None:
    vendor.script = [asyncio.Event()]
    settings = settings_with(openai_base_url=vendor.url, llm_first_token_s=0.2)
    assert await reply(settings) == ([], "too_slow")
    await asyncio.wait_for(vendor.closed.wait(), 5)


async def test_a_stall_in_the_middle(vendor: Any, settings_with: Callable[..., Settings]) -> None:
    vendor.script = [vendor.chunk("Yes."), asyncio.Event()]
    settings = settings_with(openai_base_url=vendor.url, llm_first_token_s=30, llm_next_token_s=0.1)
    assert await asyncio.wait_for(reply(settings), 10) == (["Yes."], "too_slow")
    await asyncio.wait_for(vendor.closed.wait(), 5)


async def test_closing_the_reply_closes_the_response(vendor: Any, settings: Settings) -> None:
    vendor.script = [vendor.chunk("Yes."), asyncio.Event()]
    async with open_model(settings) as model:
        async with aclosing(model.reply(MESSAGES)) as pieces:
            assert await anext(pieces) == "Yes."
        await asyncio.wait_for(vendor.closed.wait(), 5)


async def test_what_a_reply_has_cost(vendor: Any, settings: Settings) -> None:
    used: list[TokensUsed] = []
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    vendor.script = [
        vendor.chunk("Yes."),
        vendor.chunk(finish_reason="stop"),
        vendor.event({"choices": [], "usage": usage}),
        vendor.DONE,
    ]
    async with open_model(settings) as model:
        assert [p async for p in model.reply(MESSAGES, used.append)] == ["Yes."]
        vendor.script = [vendor.chunk("Yes, sir."), asyncio.Event()]
        async with aclosing(model.reply(MESSAGES, used.append)) as pieces:
            await anext(pieces)
        vendor.refusal = web.json_response({}, status=500)
        with pytest.raises(ProviderError):
            await anext(model.reply(MESSAGES, used.append))
    assert used == [
        TokensUsed("openai", "tiny", tokens_in=7, tokens_out=2, estimated=False),
        TokensUsed("openai", "tiny", tokens_in=3, tokens_out=3, estimated=True),
    ]


@pytest.mark.parametrize(
    "data",
    [42, "text", [], {"choices": 7}, {"choices": [{"delta": "x"}]}, {"choices": [{"delta": {"content": 7}}]}],
    ids=str,
)
async def test_what_is_no_chunk(vendor: Any, settings: Settings, data: object) -> None:
    vendor.script = [b"data: " + json.dumps(data).encode() + b"\n\n"]
    assert await reply(settings) == ([], "malformed")


async def test_reading_ahead_asks_for_one_token_with_the_same_beginning(
    vendor: Any, settings: Settings
) -> None:
    vendor.says("Hel", finish="length")
    settings = settings.model_copy(update={"llm_warm": True})
    async with open_model(settings) as model:
        await model.read_ahead(MESSAGES)
    (asked,) = vendor.requests
    assert asked["max_completion_tokens"] == 1
    assert asked["messages"] == [{"role": m.role, "content": m.content} for m in MESSAGES]


@pytest.mark.parametrize("status", [401, 500])
async def test_a_server_that_reads_nothing_ahead_is_no_trouble(
    vendor: Any, settings: Settings, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    vendor.refusal = web.json_response({}, status=status)
    settings = settings.model_copy(update={"llm_warm": True})
    async with open_model(settings) as model:
        await model.read_ahead(MESSAGES)
    vendor.refusal, vendor.script = None, [b"data: {oops\n\n"]
    async with open_model(settings) as model:
        await model.read_ahead(MESSAGES)
    assert not [r for r in caplog.records if r.levelname in ("ERROR", "CRITICAL")]


async def test_reading_ahead_gives_way_to_every_reply(
    vendor: Any, settings_with: Callable[..., Settings]
) -> None:
    settings = settings_with(openai_base_url=vendor.url, llm_first_token_s=30, llm_warm=True)
    vendor.script = [asyncio.Event()]
    async with open_model(settings) as model:
        reading = asyncio.create_task(model.read_ahead(MESSAGES))
        await asyncio.wait_for(vendor.sent.wait(), 5)
        vendor.script = [vendor.chunk("Yes."), asyncio.Event()]
        async with aclosing(model.reply(MESSAGES)) as pieces:
            assert await anext(pieces) == "Yes."
            await asyncio.wait_for(vendor.closed.wait(), 5)
            await reading
            await model.read_ahead(MESSAGES)
        assert [request.get("max_completion_tokens") for request in vendor.requests] == [1, 80]
        vendor.says("Hi.")
        await model.read_ahead(MESSAGES)
        assert len(vendor.requests) == 3


@pytest.mark.parametrize(
    ("url", "llm_warm", "reads"),
    [
        ("", None, True),
        ("", False, False),
        ("http://example.com/v1", None, False),
        ("http://example.com/v1", True, True),
    ],
)
async def test_prompts_are_read_ahead_where_that_costs_nothing(
    vendor: Any, settings_with: Callable[..., Settings], url: str, llm_warm: bool | None, reads: bool
) -> None:
    settings = settings_with(openai_base_url=url or vendor.url, llm_warm=llm_warm)
    assert reads_ahead(settings.endpoints[0], settings) is reads
