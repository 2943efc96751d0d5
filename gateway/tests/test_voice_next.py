"""Twilio comes back for a call that was transferred: its TwiML, and what is told and noted."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from callbot.gateway.keys import CALLS
from callbot.gateway.live_call import Platform
from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import Refused
from callbot.schemas.calls import (
    CallChecked,
    CallEvent,
    CallFact,
    CallJournal,
    CallRoute,
    CallState,
    CheckCall,
    ReenterCall,
    RouteVerdict,
    StageFallback,
)
from callbot.schemas.memory import PHRASES
from callbot.schemas.subjects import CALL_CHECK, CALL_EVENT, CALL_REENTER
from callbot.schemas.turn_taking import SpeakPhrases, phrase_key
from callbot.schemas.webhook import Action
from tests.samples import a_brief
from tests.servers import Server, url_for

from .api_site import Site

HUMAN = "+14155550123"
VOICE, LANGUAGE = "piper:joe", "en-US"


class Transferred:
    """A call that has just been handed to a number; call-router and Twilio are the test's."""

    def __init__(self, site: Site, brief_number: str = "+14155550100") -> None:
        self.call_id = "CA" + secrets.token_hex(16)
        self.signed = f"{self.call_id}.key.mac"
        self.told: list[CallFact] = []
        self.reentered: list[ReenterCall] = []
        self.refused: Refused | None = None
        self.phrases: SpeakPhrases | None = None
        self._site = site
        self.journal = CallJournal(
            brief=a_brief(call_id=self.call_id, generation=3, from_number=brief_number),
            state=CallState.ENDED,
            pending_action=Action.TRANSFER,
            transfer_to=HUMAN,
            began_at=datetime.now(UTC),
        )

    @property
    def platform(self) -> Platform:
        return self._site.app[CALLS].platform

    async def check(self, question: CheckCall) -> CallChecked:
        return CallChecked(call_id=self.call_id, bot_id="bot_1")

    async def reenter(self, question: ReenterCall) -> CallRoute:
        self.reentered.append(question)
        if self.refused:
            raise self.refused
        return CallRoute(
            verdict=RouteVerdict.CONNECT,
            bot_id="bot_1",
            call_id=self.call_id,
            token=f"key.{len(self.reentered)}.mac",
            signed_call=self.signed,
            phrases=self.phrases,
        )

    def hear(self, event: CallEvent) -> None:
        self.told.append(event.fact)

    async def asks(self, path: str = "/v1/voice/next", **fields: str) -> ElementTree.Element:
        form = {"CallSid": self.call_id, "CallStatus": "in-progress", **fields}
        async with self._site.http.post(f"{path}?call={self.signed}", data=form) as answer:
            assert answer.status == 200
            return ElementTree.fromstring(await answer.text())

    async def noted(self) -> CallJournal:
        found = await self.platform.journals.read(self.call_id)
        assert found is not None
        return found[0]


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.fixture
async def call(site: Site, stream: Bus) -> AsyncIterator[Transferred]:
    call = Transferred(site)
    await call.platform.journals.write(call.journal, None)
    listening = [
        await stream.answer(CALL_CHECK, call.check),
        await stream.answer(CALL_REENTER, call.reenter),
        await stream.hear(CALL_EVENT, call.hear, call_id=call.call_id),
    ]
    await stream.flush()
    yield call
    for one in listening:
        await one.stop()


async def test_a_heard_transfer_is_dialed_as_the_caller(call: Transferred) -> None:
    (dial,) = await call.asks()
    assert (dial.tag, dial.text) == ("Dial", HUMAN)
    action = dial.attrib.pop("action")
    assert action.endswith(f"/v1/voice/next?call={call.signed}")
    assert dial.attrib == {"callerId": "+14155550100"}
    assert ElementTree.tostring(await call.asks()).count(b"<Dial") == 1
    failed = {"ErrorCode": "11200", "ErrorUrl": action}
    assert (await call.asks("/v1/voice/fallback", **failed))[0].tag == "Dial"


@pytest.mark.parametrize("status", ["completed", "answered"])
async def test_a_transfer_that_was_taken_is_the_end(call: Transferred, status: str) -> None:
    assert [verb.tag for verb in await call.asks(DialCallStatus=status)] == ["Hangup"]
    assert call.reentered == []
    assert await call.noted() == call.journal


async def test_a_transfer_that_nobody_takes_comes_back_to_the_bot(call: Transferred) -> None:
    for _ in range(4):
        (connect_,) = await call.asks(DialCallStatus="no-answer")
        assert connect_.tag == "Connect"
    assert call.reentered[0] == ReenterCall(call_id=call.call_id, bot_id="bot_1", transferred_in=3)
    assert await call.noted() == call.journal.model_copy(update={"transfer_result": "no-answer"})
    await until(lambda: call.told)
    assert set(call.told) == {StageFallback(stage="call", reason="transfer: no-answer")}


async def test_a_stream_that_does_not_come_about_rings_nobody_up_again(call: Transferred) -> None:
    await call.asks(DialCallStatus="busy")
    assert [(await call.asks())[0].tag for _ in range(3)] == ["Connect", "Connect", "Say"]
    assert [asked.transferred_in for asked in call.reentered] == [3, 3, 3]


async def test_a_stream_that_never_began_is_opened_once_more(call: Transferred) -> None:
    """Its gateway has stopped: another one takes the call, which has no state yet."""
    call.call_id = "CA" + secrets.token_hex(16)
    call.signed = f"{call.call_id}.key.mac"
    (connect_,) = await call.asks()
    assert connect_.attrib["action"].endswith(f"/v1/voice/next?call={call.signed}&again=1")
    assert call.reentered == [ReenterCall(call_id=call.call_id, bot_id="bot_1")]
    failed = {"ErrorCode": "11200", "ErrorUrl": connect_.attrib["action"]}
    for path, form in (("/v1/voice/next", {"again": "1"}), ("/v1/voice/fallback", failed)):
        assert [verb.tag for verb in await call.asks(path, **form)] == ["Say", "Hangup"]
    assert len(call.reentered) == 1


async def test_a_caller_who_does_not_wait_is_in_the_record(call: Transferred) -> None:
    answer = await call.asks(DialCallStatus="canceled", CallStatus="completed")
    assert [verb.tag for verb in answer] == ["Hangup"]
    assert call.reentered == []
    await until(lambda: call.told)
    assert call.told == [StageFallback(stage="call", reason="transfer: canceled")]


@pytest.mark.parametrize(
    ("code", "says"), [("busy", "all lines are busy"), ("call_over", "wrong on our side")]
)
async def test_where_it_cannot_go_on_the_caller_hears_why(call: Transferred, code: str, says: str) -> None:
    call.refused = Refused(code, "")
    say, hang_up = await call.asks(DialCallStatus="failed")
    assert (say.tag, hang_up.tag) == ("Say", "Hangup") and says in (say.text or "")


async def test_the_bots_sentences_are_in_memory_before_its_stream(
    call: Transferred, api_nats: Server
) -> None:
    """Also when a call comes in: both go this way."""
    call.phrases = SpeakPhrases(voice=VOICE, language=LANGUAGE, texts=[f"Hello {call.call_id}"])
    key = phrase_key(VOICE, LANGUAGE, call.phrases.texts[0])
    async with connect(url_for("tts-worker", api_nats), speaks_as="tts-worker") as mouth:
        await (await mouth.bucket(PHRASES)).put(key, b"\x21" * 800)
    memory = call.platform.phrases.memory
    assert memory.get(key) is None
    assert (await call.asks(DialCallStatus="busy"))[0].tag == "Connect"
    await until(lambda: memory.get(key))
