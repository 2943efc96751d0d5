"""The chain of models, against real servers that play vendors: what a turn gets when one of them fails."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from callbot.dialog_worker.language_model import Anew, ChatMessage, TokensUsed
from callbot.dialog_worker.model_chain import ModelChain, open_language_model
from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.suggestion import Suggestion
from callbot.runtime.chain import Attempt
from callbot.runtime.errors import ProviderError, SettingsError

MESSAGES = [ChatMessage("system", "Be kind."), ChatMessage("user", "Hi")]
PATIENCE_S = 10.0


class Chain:
    """Two endpoints, their servers, and what was told of them."""

    def __init__(self, first: Any, second: Any) -> None:
        self.first = first
        self.second = second
        self.attempts: list[Attempt] = []
        self.used: list[TokensUsed] = []
        self.model: ModelChain

    def told(self) -> list[tuple[str, str]]:
        return [(attempt.provider, attempt.outcome) for attempt in self.attempts]

    async def suggestion(self) -> Suggestion:
        pieces = self.model.reply(MESSAGES, self.used.append)
        suggestion = Suggestion(pieces, max_sentences=3)
        await suggestion.wait_complete(PATIENCE_S)
        assert suggestion.complete
        return suggestion

    async def pieces(self) -> list[str | Anew]:
        async with asyncio.timeout(PATIENCE_S), aclosing(self.model.reply(MESSAGES)) as pieces:
            return [piece async for piece in pieces]


@pytest.fixture
async def chain(
    vendor: Any, serve: Any, settings_with: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    second = type(vendor)()
    second.url = await serve(second.handle) + "/v1"
    second.says("Second.")
    monkeypatch.setenv("CALLBOT_LLM_2_BASE_URL", second.url)
    monkeypatch.setenv("CALLBOT_LLM_2_MODEL", "other")

    @asynccontextmanager
    async def opened(**settings: object) -> AsyncIterator[Chain]:
        chain = Chain(vendor, second)
        patient = {"llm_switch_s": 30, "llm_first_token_s": 30, "llm_next_token_s": 30}
        given = settings_with(**(patient | {"openai_base_url": vendor.url} | settings))
        async with open_language_model(given, told=chain.attempts.append) as chain.model:
            yield chain

    return opened


@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_before_the_first_token_the_switch_is_silent(chain: Any, status: int) -> None:
    async with chain() as both:
        both.first.refusal = web.json_response({}, status=status)
        suggestion = await both.suggestion()
    assert (suggestion.sentences, suggestion.error) == (["Second."], "")
    assert both.told() == [("openai", "failed"), ("llm-2", "answered")]
    assert [(used.provider, used.model) for used in both.used] == [("llm-2", "other")]


async def test_a_model_that_is_slow_is_closed_and_followed_by_the_next(chain: Any) -> None:
    async with chain(llm_switch_s=0.1, llm_hedge=False) as both:
        both.first.script = [asyncio.Event()]
        assert (await both.suggestion()).sentences == ["Second."]
        await asyncio.wait_for(both.first.closed.wait(), PATIENCE_S)
    assert both.told() == [("openai", "failed"), ("llm-2", "answered")]


async def test_the_last_of_the_chain_gets_the_whole_time(chain: Any) -> None:
    async with chain(llm_switch_s=0.1, llm_hedge=False) as both:
        both.first.refusal = web.json_response({}, status=500)
        go = asyncio.Event()
        both.second.script = [go, *both.second.script]
        asked = asyncio.create_task(both.suggestion())
        await asyncio.wait_for(both.second.sent.wait(), PATIENCE_S)
        go.set()
        assert (await asked).sentences == ["Second."]


async def test_broken_off_without_a_whole_sentence_the_next_begins_anew(chain: Any) -> None:
    async with chain() as both:
        both.first.script = [both.first.chunk("Let me ")]
        suggestion = await both.suggestion()
    assert (suggestion.sentences, suggestion.error) == (["Second."], "")
    assert both.told() == [("openai", "answered"), ("openai", "broken_off"), ("llm-2", "answered")]
    assert [used.provider for used in both.used] == ["openai", "llm-2"]


async def test_broken_off_after_a_whole_sentence_that_one_stays(chain: Any) -> None:
    async with chain() as both:
        both.first.script = [both.first.chunk("Sure. Let me ")]
        suggestion = await both.suggestion()
        assert both.second.requests == []
    assert (suggestion.sentences, suggestion.error) == (["Sure."], "broken_off: it ended early")


async def test_a_server_that_sends_us_elsewhere_is_not_followed(chain: Any) -> None:
    async with chain(llm="openai") as both:
        elsewhere = f"{both.second.url}/chat/completions"
        both.first.refusal = web.Response(status=307, headers={"Location": elsewhere})
        assert (await both.suggestion()).error == "bad_request: HTTP 307"
        assert both.second.requests == []


async def test_halves_of_characters_are_left_out(chain: Any) -> None:
    """JSON can have them, and no message that would say them to the caller."""
    async with chain() as both:
        both.first.says("Sure @1", "@2, at", " seven @1@2.")
        escaped = (chunk.replace(b"@1", rb"\ud83d").replace(b"@2", rb"\ude00") for chunk in both.first.script)
        both.first.script = list(escaped)
        assert "".join([str(piece) for piece in await both.pieces()]) == "Sure , at seven \U0001f600."


async def test_both_break_off(chain: Any) -> None:
    async with chain() as both:
        both.first.script = [both.first.chunk("Let me ")]
        both.second.script = [both.second.chunk("I "), b"data: {oops\n\n"]
        suggestion = await both.suggestion()
    assert (suggestion.sentences, suggestion.error) == ([], "malformed: JSONDecodeError")


async def test_the_next_model_is_not_begun_before_it_is_wanted(chain: Any) -> None:
    async with chain() as both:
        both.first.script = [both.first.chunk("Let me ")]
        async with aclosing(both.model.reply(MESSAGES)) as pieces:
            assert await anext(pieces) == "Let me "
            anew = await anext(pieces)
            assert isinstance(anew, Anew) and anew.because.code == "broken_off"
            assert both.second.requests == []
            assert await anext(pieces) == "Second."


@pytest.mark.parametrize(("finish", "code"), [("length", "truncated"), ("content_filter", "content_refused")])
async def test_another_model_would_end_there_too(chain: Any, finish: str, code: str) -> None:
    async with chain() as both:
        both.first.says("Let me", finish=finish)
        for _ in range(4):
            with pytest.raises(ProviderError) as e:
                await both.pieces()
            assert e.value.code == code
        assert both.second.requests == []
    assert {outcome for _, outcome in both.told()} == {"answered"}


@pytest.mark.parametrize("finish", ["length", "content_filter", "stop"])
async def test_a_model_without_a_word_is_followed_by_the_next(chain: Any, finish: str) -> None:
    async with chain() as both:
        both.first.says("", finish=finish)
        assert (await both.suggestion()).sentences == ["Second."]


async def test_a_refused_key_is_not_tried_in_every_turn(chain: Any) -> None:
    async with chain() as both:
        both.first.refusal = web.json_response({}, status=401)
        for _ in range(3):
            assert (await both.suggestion()).sentences == ["Second."]
        assert len(both.first.requests) == 1


async def test_all_are_down(chain: Any) -> None:
    async with chain() as both:
        both.first.refusal = web.json_response({}, status=500)
        both.second.refusal = web.json_response({}, status=503)
        suggestion = await both.suggestion()
    assert suggestion.error == "all_failed: openai: unavailable; llm-2: unavailable"


async def test_a_model_that_is_slower_than_usual_gets_another_beside_it(chain: Any) -> None:
    async with chain() as both:
        both.first.says("First.")
        for _ in range(20):
            assert await both.pieces() == ["First."]
        both.first.script = [asyncio.Event()]
        assert await both.pieces() == ["Second."]
        await asyncio.wait_for(both.first.closed.wait(), PATIENCE_S)
    assert both.told()[-2:] == [("llm-2", "answered"), ("openai", "outrun")]


async def test_closing_a_reply_closes_it_at_the_vendor(chain: Any) -> None:
    async with chain() as both:
        both.first.script = [both.first.chunk("Yes."), asyncio.Event()]
        async with aclosing(both.model.reply(MESSAGES)) as pieces:
            assert await anext(pieces) == "Yes."
        await asyncio.wait_for(both.first.closed.wait(), PATIENCE_S)


@pytest.mark.parametrize(
    ("llm", "environment", "asked"),
    [
        ("", {}, ["openai"]),
        ("llm-2,openai", {}, ["llm-2"]),
        ("llm-2", {}, ["llm-2"]),
        ("spare", {"CALLBOT_LLM_2_NAME": "spare"}, ["spare"]),
        ("", {"OPENAI_MODEL": ""}, ["llm-2"]),
    ],
)
async def test_the_chain_is_set(
    chain: Any, monkeypatch: pytest.MonkeyPatch, llm: str, environment: dict[str, str], asked: list[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    without = {"openai_model": ""} if "OPENAI_MODEL" in environment else {}
    async with chain(llm=llm, **without) as both:
        both.first.says("First.")
        await both.suggestion()
        assert [used.provider for used in both.used] == asked


@pytest.mark.parametrize(
    ("llm", "environment", "wrong"),
    [
        ("opnai", {}, "CALLBOT_LLM=opnai: no such provider; installed: .*llm-2"),
        ("", {"CALLBOT_LLM_2_MODEL": ""}, "OPENAI_MODEL is not set; llm-2: CALLBOT_LLM_2_MODEL is not set"),
        ("", {"CALLBOT_LLM_2_BASE_URL": "here"}, "CALLBOT_LLM_2_BASE_URL: must be an http or https URL"),
        ("", {"CALLBOT_LLM_3_TEMPERATURE": "9"}, "CALLBOT_LLM_3_TEMPERATURE: Input should be less"),
        ("", {"CALLBOT_LLM_2_NAME": "openai"}, "two endpoints have the same name"),
        ("", {"CALLBOT_LLM_2_NAME": "Über"}, "CALLBOT_LLM_2_NAME: String should match"),
        (
            "",
            {"CALLBOT_LLM_2_BASE_URL": "https://api.openai.com/v1"},
            "CALLBOT_LLM_2_API_KEY is not set",
        ),
    ],
)
async def test_what_cannot_work_is_said(
    chain: Any, monkeypatch: pytest.MonkeyPatch, llm: str, environment: dict[str, str], wrong: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=wrong):
        async with chain(llm=llm, openai_model=""):
            pass
