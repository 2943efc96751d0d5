"""The model's wire, against a real server that plays a vendor on good and bad days."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web

from callbot.dialog_worker.language_model import ChatMessage
from callbot.dialog_worker.providers.openai_compatible import open_language_model
from callbot.dialog_worker.settings import Settings
from callbot.runtime.errors import ProviderError

MESSAGES = [ChatMessage("system", "Be kind."), ChatMessage("user", "Hi")]


async def reply(settings: Settings) -> tuple[list[str], str]:
    """The pieces that came, and the code of the error that ended them."""
    pieces = []
    async with open_language_model(settings) as model:
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
            "max_completion_tokens": 12,
            "temperature": 0.2,
            "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
        }
    ]


async def test_a_server_of_the_old_parameter(vendor: Any, settings_with: Callable[..., Settings]) -> None:
    vendor.says("Hi.")
    await reply(settings_with(openai_base_url=vendor.url, llm_max_tokens_field="max_tokens"))
    assert vendor.requests[0].keys() == {"model", "stream", "max_tokens", "messages"}


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
    "ends early": (lambda v: [v.chunk("Yes.")], "llm_broken_off"),
    "error in the stream": (
        lambda v: [v.chunk("Yes."), b'data: {"error": {"message": "overloaded", "code": "x"}}\n\n'],
        "llm_broken_off",
    ),
    "not JSON": (lambda v: [v.chunk("Yes."), b"data: {oops\n\n"], "llm_broken_off"),
    "token limit": (lambda v: [v.chunk("Yes."), v.chunk(finish_reason="length"), v.DONE], "llm_truncated"),
    "filtered": (
        lambda v: [v.chunk("Yes."), v.chunk(finish_reason="content_filter"), v.DONE],
        "llm_filtered",
    ),
}


@pytest.mark.parametrize(("script", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_what_came_before_an_error_is_kept(
    vendor: Any, settings: Settings, script: Callable[[Any], list[bytes]], code: str
) -> None:
    vendor.script = script(vendor)
    assert await reply(settings) == (["Yes."], code)


@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_a_refusal_is_not_retried_and_tells_no_more_than_its_code(
    vendor: Any, settings: Settings, status: int
) -> None:
    body = {"error": {"message": "no: Hi", "code": "invalid_api_key"}}
    vendor.refusal = web.json_response(body, status=status)
    async with open_language_model(settings) as model:
        with pytest.raises(ProviderError) as e:
            await anext(model.reply(MESSAGES))
    assert str(e.value) == f"llm_refused: HTTP {status} invalid_api_key"
    assert e.value.retryable == (status >= 429)
    assert len(vendor.requests) == 1


async def test_nobody_listens_there(settings_with: Callable[..., Settings]) -> None:
    assert await reply(settings_with()) == ([], "llm_unreachable")


async def test_a_slow_first_token(vendor: Any, settings_with: Callable[..., Settings]) -> None:
    vendor.script = [asyncio.Event()]
    settings = settings_with(openai_base_url=vendor.url, llm_first_token_s=0.2)
    assert await reply(settings) == ([], "llm_timeout")
    await asyncio.wait_for(vendor.closed.wait(), 5)


async def test_a_stall_in_the_middle(vendor: Any, settings_with: Callable[..., Settings]) -> None:
    vendor.script = [vendor.chunk("Yes."), asyncio.Event()]
    settings = settings_with(openai_base_url=vendor.url, llm_first_token_s=30, llm_next_token_s=0.1)
    assert await asyncio.wait_for(reply(settings), 10) == (["Yes."], "llm_timeout")
    await asyncio.wait_for(vendor.closed.wait(), 5)


async def test_closing_the_reply_closes_the_response(vendor: Any, settings: Settings) -> None:
    vendor.script = [vendor.chunk("Yes."), asyncio.Event()]
    async with open_language_model(settings) as model:
        async with aclosing(model.reply(MESSAGES)) as pieces:
            assert await anext(pieces) == "Yes."
        await asyncio.wait_for(vendor.closed.wait(), 5)


async def test_the_connection_is_kept_between_turns(vendor: Any, serve: Any, settings: Settings) -> None:
    peers = set()

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return await vendor.handle(request)  # type: ignore[no-any-return]

    vendor.says("Hi.")
    url = await serve(handle)
    async with open_language_model(settings.model_copy(update={"openai_base_url": url})) as model:
        await model.warm_up()
        for _ in range(3):
            assert [p async for p in model.reply(MESSAGES)] == ["Hi."]
    assert len(peers) <= 2, "one for the warm-up at the start, at most one more beside it"


async def test_reading_ahead_asks_for_one_token_with_the_same_beginning(
    vendor: Any, settings: Settings
) -> None:
    vendor.says("Hel", finish="length")
    async with open_language_model(settings) as model:
        await model.read_ahead(MESSAGES)
    (asked,) = vendor.requests
    assert asked["max_completion_tokens"] == 1
    assert asked["messages"] == [{"role": m.role, "content": m.content} for m in MESSAGES]


@pytest.mark.parametrize("status", [401, 500])
async def test_a_server_that_reads_nothing_ahead_is_no_trouble(
    vendor: Any, settings: Settings, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    vendor.refusal = web.json_response({}, status=status)
    async with open_language_model(settings) as model:
        await model.read_ahead(MESSAGES)
    vendor.refusal, vendor.script = None, [b"data: {oops\n\n"]
    async with open_language_model(settings) as model:
        await model.read_ahead(MESSAGES)
    assert not [r for r in caplog.records if r.levelname in ("ERROR", "CRITICAL")]


async def test_reading_ahead_gives_way_to_every_reply(
    vendor: Any, settings_with: Callable[..., Settings]
) -> None:
    settings = settings_with(openai_base_url=vendor.url, llm_first_token_s=30)
    vendor.script = [asyncio.Event()]
    async with open_language_model(settings) as model:
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
