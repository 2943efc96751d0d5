"""A bot's fixed sentences are asked for when it is made or changed, and its maker does not wait for them."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from callbot.runtime.bus import Bus, connect
from callbot.schemas.fixed_sentences import ours_in
from callbot.schemas.message import Receipt
from callbot.schemas.subjects import PHRASES_SPEAK
from callbot.schemas.turn_taking import SpeakPhrases
from tests.servers import Server, url_for

from .conftest import new_bot
from .test_bots import change
from .test_routing import new_call_id, pause, reenter, route

pytestmark = pytest.mark.usefixtures("router")


class Mouth:
    """A tts-worker that is asked, and answers when the test wants it to."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[SpeakPhrases] = asyncio.Queue()
        self.may_answer = asyncio.Event()

    async def speak(self, wanted: SpeakPhrases) -> Receipt:
        self.asked.put_nowait(wanted)
        await self.may_answer.wait()
        return Receipt()

    async def next(self) -> SpeakPhrases:
        async with asyncio.timeout(5):
            return await self.asked.get()


@pytest.fixture
async def mouth(nats: Server) -> AsyncIterator[Mouth]:
    mouth = Mouth()
    async with connect(url_for("tts-worker", nats), speaks_as="tts-worker") as bus:
        listening = await bus.answer(PHRASES_SPEAK, mouth.speak, queue=PHRASES_SPEAK.name)
        await bus.flush()
        yield mouth
        mouth.may_answer.set()
        await listening.stop()


async def test_what_a_bot_may_have_to_say_at_once_is_spoken_ahead(gateway: Bus, mouth: Mouth) -> None:
    """Its maker has the answer while the worker has not answered yet."""
    hello = f"Hello {secrets.token_hex(4)}"
    bot = await new_bot(gateway, greeting=hello, phrases={"apology": "Sorry.", "still_there": hello})
    spoken = SpeakPhrases(voice="piper:joe", language="en-US", texts=[hello, "Sorry."])
    assert await mouth.next() == spoken
    mouth.may_answer.set()
    await change(gateway, bot.id, voice="polly:joanna")
    assert await mouth.next() == spoken.model_copy(update={"voice": "polly:joanna"})
    await change(gateway, bot.id, language="fr-FR")
    french = await mouth.next()
    assert french.language == "fr-FR" and french.texts[:2] == [hello, "Sorry."]
    assert ours_in("fr")["goodbye"] in french.texts and ours_in("fr")["apology"] not in french.texts
    await change(gateway, bot.id, phrases={"goodbye": "Bye."})
    assert (await mouth.next()).texts[:2] == [hello, "Bye."]
    await change(gateway, bot.id, language="en-US")
    assert (await mouth.next()).texts == [hello, "Bye."]
    await change(gateway, bot.id, greeting="Hi.")
    assert (await mouth.next()).texts == ["Hi.", "Bye."]


async def test_other_changes_ask_for_nothing(gateway: Bus, mouth: Mouth) -> None:
    mouth.may_answer.set()
    bot = await new_bot(gateway)
    await mouth.next()
    await change(gateway, bot.id, goal="New", context="More", hints=["Luigi"], status="paused")
    await change(gateway, bot.id, greeting="The next one.")
    assert (await mouth.next()).texts == ["The next one."]


async def test_a_bot_that_is_changed_all_the_time_has_one_request_in_work(gateway: Bus, mouth: Mouth) -> None:
    """Each may cost minutes of a voice, and a worker takes a hundred of them from everybody together."""
    bot = await new_bot(gateway)
    await mouth.next()
    for n in range(20):
        await change(gateway, bot.id, greeting=f"Number {n}.")
    other = await new_bot(gateway, greeting="Somebody else's.")
    assert (await mouth.next()).texts == [other.greeting]
    mouth.may_answer.set()
    assert (await mouth.next()).texts == ["Number 19."]


async def test_nobody_there_to_speak_is_no_failure(gateway: Bus) -> None:
    bot = await new_bot(gateway)
    assert (await change(gateway, bot.id, greeting="Hi.")).greeting == "Hi."


async def test_a_call_is_routed_with_the_sentences_of_its_bot(gateway: Bus) -> None:
    bot = await new_bot(gateway, greeting="Good evening.", phrases={"nobody_answers": "Nobody there."})
    routed = await route(gateway, bot.id, new_call_id())
    assert routed.phrases is not None and routed.phrases.texts == ["Good evening.", "Nobody there."]
    assert (await reenter(gateway, routed)).phrases == routed.phrases
    await pause(gateway, bot.id)
    assert (await route(gateway, bot.id, routed.call_id)).phrases == routed.phrases
    assert (await route(gateway, bot.id, new_call_id())).phrases is None
