"""A call's ears with a vendor that listens along, on its good and bad days."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from callbot.schemas.speech import InterimTranscript, SpeechJudged, SpeechVerdict, TurnEager
from callbot.schemas.text_audio import audible
from callbot.stt_worker.mulaw import FloatSamples
from tests.streaming_vendor import StreamingVendor
from tests.vendors.deepgram_stt import DeepgramFlux, DeepgramNova
from tests.vendors.stt_vendor import Day, SttVendor

SILENCE_MS = b"\xff" * 8
PAUSE = SILENCE_MS * 700
LONG = "I would like to speak to somebody who knows"


class Unfinished:
    """A voice that sounds as if more came."""

    def finished(self, samples: FloatSamples) -> float:
        return 0.05


async def on_this_machine(vendor: SttVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in vendor.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def nova(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DeepgramNova]:
    async with DeepgramNova() as vendor:
        await on_this_machine(vendor, monkeypatch)
        yield vendor


@pytest.fixture
async def flux(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DeepgramFlux]:
    async with DeepgramFlux() as vendor:
        await on_this_machine(vendor, monkeypatch)
        yield vendor


CHAIN = {"stt": "deepgram,scripted"}


async def test_the_vendor_listens_to_the_whole_call(gateway, worker, nova: DeepgramNova) -> None:
    async with worker(**CHAIN):
        await gateway.offer()
        await gateway.speak(PAUSE + audible("a table for four") + PAUSE + audible("tomorrow") + PAUSE)
        turns = [await gateway.turn() for _ in range(2)]
    assert [turn.text for turn in turns] == ["a table for four", "tomorrow"]
    assert [turn.error for turn in turns] == ["", ""]
    assert (nova.begun, nova.complaints) == (1, [])
    assert gateway.fell_back.empty()


async def test_interim_words_come_from_who_listens_along(gateway, worker, nova: DeepgramNova) -> None:
    async with worker(**CHAIN, interim_share=0):
        await gateway.offer()
        await gateway.speak(PAUSE + audible(LONG))
        interim = await gateway.first(InterimTranscript)
        judged = await gateway.first(SpeechJudged)
    assert LONG.startswith(interim.text)
    assert (judged.verdict, judged.sound_ended_at_ms) == (SpeechVerdict.SPEECH, None)


@pytest.mark.parametrize(
    "day", [Day.REFUSED, Day.BUSY, Day.BUSY_FOR, Day.BROKEN, Day.CUT, Day.MALFORMED, Day.STALLS, Day.SLOW]
)
async def test_a_bad_day_of_the_vendor_is_not_heard(gateway, worker, nova: DeepgramNova, day: Day) -> None:
    nova.day = day
    async with worker(**CHAIN):
        await gateway.offer()
        await gateway.speak(PAUSE + audible("a table for four") + PAUSE)
        first = await gateway.turn()
        told = await asyncio.wait_for(gateway.fell_back.get(), 5)
        await gateway.speak(audible("tomorrow") + PAUSE)
        second = await gateway.turn()
    assert (first.text, first.error, second.text) == ("a table for four", "", "tomorrow")
    assert (told.provider, told.instead, told.number) == ("deepgram", "scripted", 0)


async def test_who_breaks_in_the_middle_of_an_utterance_is_replaced_and_comes_back(
    gateway, worker, nova: DeepgramNova
) -> None:
    async with worker(**CHAIN):
        nova.day = Day.CUT
        await gateway.offer()
        await gateway.speak(PAUSE)
        nova.day = Day.GOOD
        await gateway.speak(audible("a table for four") + PAUSE)
        first = await gateway.turn()
        await gateway.speak(PAUSE + audible("tomorrow") + PAUSE)
        second = await gateway.turn()
    assert (first.text, second.text) == ("a table for four", "tomorrow")
    assert nova.begun == 2
    # Where the new connection is there in time, the others have had nothing to do.
    assert gateway.fell_back.qsize() <= 1


async def test_alone_it_is_connected_again_and_told_it_anew(gateway, worker, nova: DeepgramNova) -> None:
    async with worker(stt="deepgram", decode_deadline_s=10):
        nova.day = Day.CUT
        await gateway.offer()
        await gateway.speak(PAUSE)
        nova.day = Day.GOOD
        await gateway.speak(audible("a table for four") + PAUSE)
        turn = await gateway.turn()
    assert (turn.text, turn.error) == ("a table for four", "")
    assert nova.begun >= 2
    assert nova.complaints == []


async def test_a_new_holder_takes_over_in_the_middle_of_an_utterance(
    gateway, worker, nova: DeepgramNova
) -> None:
    audio = PAUSE + audible("a table for") + SILENCE_MS * 200
    async with worker(**CHAIN):
        await gateway.offer(epoch=1)
        await gateway.speak(audio, epoch=1)
        keep = (await gateway.progress_at(len(audio) // 160 - 20)).keep_from_seq
    async with worker(**CHAIN):
        await gateway.offer(epoch=2, from_seq=keep)
        await gateway.send(audio[keep * 160 :], epoch=2, from_seq=keep, replayed=True)
        await gateway.speak(audible("four please") + PAUSE, epoch=2)
        turn = await gateway.turn()
    assert turn.text == "a table for four please"
    assert nova.complaints == []


async def test_every_frame_is_heard_once_and_a_lost_one_is_silence(gateway, worker) -> None:
    vendor = StreamingVendor()
    audio = (PAUSE + audible("a table"))[: 45 * 160]
    async with worker(vendor):
        await gateway.offer()
        await vendor.until(opened=1)
        await gateway.send(audio)
        await gateway.send(PAUSE, from_seq=gateway.seq + 20)
        await gateway.progress_at(gateway.seq - 20)
        heard = vendor.opened[0].audio
    assert heard == audio + b"\xff" * (20 * 160) + PAUSE


async def test_a_vendor_may_be_sure_only_after_a_while(gateway, worker) -> None:
    vendor = StreamingVendor()
    async with worker(vendor, prosody=Unfinished()):
        await gateway.offer()
        await gateway.speak(PAUSE + audible("to the airport now") + SILENCE_MS * 100)
        await gateway.speak(SILENCE_MS * 100)
        await gateway.first(TurnEager)
        vendor.opened[0].over = True
        await gateway.speak(PAUSE * 2)
        turn = await gateway.turn()
    assert (turn.text, turn.waited_for) == ("to the airport now", "provider")


async def test_a_vendor_that_judges_turns_shortens_the_silence(gateway, worker, flux: DeepgramFlux) -> None:
    async with worker(**CHAIN):
        await gateway.offer()
        await gateway.speak(PAUSE + audible("to the airport now") + PAUSE * 2)
        turn = await gateway.turn()
        eager = await gateway.first(TurnEager)
    assert (turn.text, eager.text) == ("to the airport now", "to the airport now")
    assert turn.waited_for == "provider"
