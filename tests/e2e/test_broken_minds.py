"""Bots whose webhook is down, and bad days of the first of two language models: the second one answers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

import aiohttp
import pytest

from callbot.studio.emulator.caller import Caller
from callbot.studio.up.running import Platform, running_platform
from tests.conftest import MS_PER_CHARACTER, record_in, serve
from tests.e2e.chains import WITHOUT_BREAKERS, Row, Table, When, answered_ms, emulator_of, silence
from tests.vendors.customer import Customer
from tests.vendors.openai_server import Day, LanguageModel
from tests.vendors.stt_vendor import CHATTER

GREETING = "Hello! How can I help you?"
BEGINS, ENDS = "a table", "for four"
FIRST_SAYS, SECOND_SAYS = "The first one says this.", "The second one says this."
KEYS: Final = ("key-of-the-first-model", "key-of-the-second-model")
FIRST_TOKEN_S, NEXT_TOKEN_S = 1.5, 1.5
"""`CALLBOT_LLM_SWITCH_S`, `CALLBOT_LLM_NEXT_TOKEN_S`, as they are unless told otherwise."""
BAD = tuple(day for day in Day if day not in (Day.GOOD, Day.THINKS))
WITHOUT_A_WORD = (
    Day.REFUSED,
    Day.BUSY,
    Day.BUSY_FOR,
    Day.OUT_OF_QUOTA,
    Day.UNKNOWN_MODEL,
    Day.BROKEN,
    Day.SLOW,
)
IN_THE_MIDDLE = tuple(day for day in BAD if day not in WITHOUT_A_WORD)


@pytest.fixture(scope="module")
async def models() -> tuple[LanguageModel, LanguageModel]:
    first, second = (LanguageModel(key) for key in KEYS)
    first.says, second.says = [FIRST_SAYS], [SECOND_SAYS]
    return first, second


@pytest.fixture(scope="module")
async def thought_by_two(
    servers: AsyncExitStack, models: tuple[LanguageModel, LanguageModel]
) -> AsyncIterator[Platform]:
    first, second = [f"{await serve(servers, model.app())}/v1" for model in models]
    env = {
        **WITHOUT_BREAKERS,
        "OPENAI_BASE_URL": first,
        "OPENAI_API_KEY": KEYS[0],
        "OPENAI_MODEL": "test",
        "CALLBOT_LLM_2_BASE_URL": second,
        "CALLBOT_LLM_2_API_KEY": KEYS[1],
        "CALLBOT_LLM_2_MODEL": "test",
        "CALLBOT_SCRIPTED_MS_PER_CHARACTER": str(MS_PER_CHARACTER),
        "CALLBOT_STT": "scripted",
        "CALLBOT_VAD": "energy",
        "CALLBOT_TTS": "scripted",
    }
    async with running_platform(env=env) as running:
        yield running


class Talk:
    def __init__(self, call: Caller, first: LanguageModel) -> None:
        self._call, self._first = call, first

    async def row(self, day: Day, when: When) -> Row:
        """When it breaks while the bot speaks, it has said a sentence before, which stays."""
        first = self._first
        whole = when is When.BOT_SPEAKS
        first.says_before_trouble = [f"{FIRST_SAYS} ", "And then"] if whole else ["And then"]
        asked = len(first.bodies)
        await self._call.says(BEGINS)
        first.day = day
        said = await self._call.says(ENDS)
        took_ms = await answered_ms(self._call, FIRST_SAYS if whole else SECOND_SAYS, said.last_word_ms)
        await silence(self._call)
        assert len(first.bodies) > asked, "the first one was not asked"
        first.day = Day.GOOD
        deadline_s = NEXT_TOKEN_S if day is Day.STALLS else FIRST_TOKEN_S
        return Row("openai, then llm-2", day.value, when, deadline_s, took_ms)

    async def good(self) -> None:
        await self._call.says("hello")
        await self._call.hears(FIRST_SAYS)
        await silence(self._call)


def chosen(table: Table) -> list[tuple[Day, When]]:
    """A sentence of it can be heard only where some words come before the trouble."""
    every = {When.AT_ONCE: BAD, When.CALLER_SPEAKS: BAD, When.BOT_SPEAKS: IN_THE_MIDDLE}
    half = {When.AT_ONCE: BAD[:1], When.CALLER_SPEAKS: BAD[1::2], When.BOT_SPEAKS: IN_THE_MIDDLE[:1]}
    days = every if table.is_whole else half
    return [(day, when) for when in When for day in days[when]]


@pytest.mark.timeout(600)
async def test_the_caller_hears_an_answer_of_a_model_that_works(
    thought_by_two: Platform,
    models: tuple[LanguageModel, LanguageModel],
    customer: Customer,
    table: Table,
) -> None:
    platform, (first, second) = thought_by_two, models
    bot = {"goal": "Test", "greeting": GREETING, "webhook": customer.webhook("500", "broken-minds")}
    async with aiohttp.ClientSession(platform.url) as api, emulator_of(platform) as emulator:
        async with api.post("/v1/bots", json=bot) as answer:
            bot_id = (await answer.json())["id"]

        async def call(*rows: tuple[Day, When]) -> None:
            async with emulator.dial(bot_id=bot_id) as dialed:
                talk = Talk(dialed, first)
                await dialed.hears(GREETING)
                table.rows += [await talk.row(day, when) for day, when in rows]
                await talk.good()
            answers = [turn["say"] for turn in (await record_in(api, dialed.sid))["turns"][1:]]
            assert answers == [FIRST_SAYS if when is When.BOT_SPEAKS else SECOND_SAYS for _, when in rows] + [
                FIRST_SAYS
            ]

        rows = chosen(table)
        for first.day, when in [row for row in rows if row[1] is When.AT_ONCE]:
            await call((first.day, when))
        await call(*(row for row in rows if row[1] is not When.AT_ONCE))
    log = platform.log.read_text()
    assert CHATTER not in log and not any(key in log for key in KEYS)
    assert first.complaints == second.complaints == []
    table.close()
