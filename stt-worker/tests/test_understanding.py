"""What the ears say of an utterance while it is spoken, with a recogniser that reads exactly."""

import asyncio

import pytest

from callbot.schemas.speech import (
    InterimTranscript,
    SpeechConfirmed,
    SpeechJudged,
    SpeechVerdict,
    TurnEager,
    TurnResumed,
)
from callbot.schemas.text_audio import TONE, audible
from callbot.schemas.turn_taking import TurnTaking
from callbot.stt_worker.mulaw import FloatSamples
from callbot.stt_worker.providers.scripted import ScriptedRecognizer
from callbot.stt_worker.recognizer import Utterance
from callbot.stt_worker.voice_activity import CHUNK_MS

SILENCE_MS = b"\xff" * 8
PAUSE = SILENCE_MS * 1600
SPEECH, BACKCHANNEL, NOISE = SpeechVerdict.SPEECH, SpeechVerdict.BACKCHANNEL, SpeechVerdict.NOISE
LONG = "I would like to speak to somebody who knows"


class Sounding:
    """A voice that sounds as finished as it is told to."""

    def __init__(self, finished: float) -> None:
        self._finished = finished

    def finished(self, samples: FloatSamples) -> float:
        return self._finished


async def test_speech_is_confirmed_within_four_chunks(gateway, worker) -> None:
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE + TONE * (4 * CHUNK_MS))
        confirmed = await gateway.first(SpeechConfirmed)
    assert 1600 - CHUNK_MS <= confirmed.at_ms <= 1600 + CHUNK_MS
    assert 0 < 1600 - confirmed.from_seq * 20 <= 340


async def test_quiet_sound_is_not_confirmed(gateway, worker) -> None:
    quiet = bytes(0x6C if b < 0x80 else 0xEC for b in TONE) * 500
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE + quiet + PAUSE + audible("hello there") + PAUSE)
        turn = await gateway.turn()
    assert turn.text == "hello there"
    assert [type(m) for m in gateway.told].count(SpeechConfirmed) == 1


async def test_the_words_of_a_pause_are_told_and_taken_back(gateway, worker) -> None:
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE + audible("a table") + SILENCE_MS * 300 + audible("for four please") + PAUSE)
        turn = await gateway.turn()
    # Each subject in its order; between subjects a burst may change it.
    eager = [m for m in gateway.told if isinstance(m, TurnEager)]
    resumed = [m for m in gateway.told if isinstance(m, TurnResumed)]
    assert [m.text for m in eager] == ["a table", "a table for four please"]
    assert [m.from_seq for m in (*eager, *resumed)] == [turn.from_seq] * 3
    assert turn.text == "a table for four please"


async def test_words_in_the_middle_of_something_are_not_worth_thinking_about(gateway, worker) -> None:
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE + audible("a table for") + PAUSE + audible("my number is 415") + PAUSE * 2)
        turns = [await gateway.turn() for _ in range(2)]
    assert [turn.waited_for for turn in turns] == ["words", "counting"]
    assert [m for m in gateway.told if isinstance(m, TurnEager)] == []


@pytest.mark.parametrize(
    ("language", "text", "waited_for", "verdict"),
    [
        ("de-DE", "einen Tisch für", "words", SPEECH),
        ("de-DE", "genau", "words", BACKCHANNEL),
        ("fr-FR", "zéro six douze", "counting", SPEECH),
        ("ja-JP", "うん", "words", BACKCHANNEL),
        ("ja-JP", "090の1234の", "counting", SPEECH),
        ("it-IT", "yeah", "words", SPEECH),
    ],
)
async def test_words_are_those_of_the_bots_language(
    gateway, worker, language: str, text: str, waited_for: str, verdict: SpeechVerdict
) -> None:
    async with worker():
        await gateway.offer(language=language)
        await gateway.send(PAUSE + audible(text) + PAUSE * 2)
        turn = await gateway.turn()
    assert (turn.text, turn.waited_for, turn.verdict) == (text, waited_for, verdict)


@pytest.mark.parametrize(
    ("sound", "verdict"),
    [
        (audible("mm-hm"), BACKCHANNEL),
        (audible("yeah okay"), BACKCHANNEL),
        (audible("no"), SPEECH),
        (audible("wait now"), SPEECH),
        (TONE * 300, NOISE),
    ],
)
async def test_a_sound_is_judged_when_it_has_ended(gateway, worker, sound: bytes, verdict) -> None:
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE + sound + PAUSE)
        turn = await gateway.turn()
    assert [type(m) for m in gateway.told].count(SpeechConfirmed) == 1
    judged = await gateway.first(SpeechJudged)
    assert (judged.verdict, turn.verdict) == (verdict, verdict)
    assert judged.from_seq == turn.from_seq
    assert judged.sound_ended_at_ms == turn.speech_ended_at_ms


async def test_speech_that_goes_on_is_judged_before_it_ends(gateway, worker) -> None:
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE + audible(LONG))
        judged = await gateway.first(SpeechJudged)
        interim = await gateway.first(InterimTranscript)
    assert (judged.verdict, judged.sound_ended_at_ms) == (SPEECH, None)
    assert (interim.text, interim.from_seq) == (LONG, judged.from_seq)


async def test_noise_that_goes_on_is_not_judged(gateway, worker) -> None:
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE + TONE * 2000)
        await gateway.progress_at(gateway.seq - 20)
    assert [type(m) for m in gateway.told] == [SpeechConfirmed]


async def test_who_goes_on_after_a_backchannel_is_confirmed_anew(gateway, worker) -> None:
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE + audible("yeah") + SILENCE_MS * 250 + audible("but not on Sunday") + PAUSE)
        turn = await gateway.turn()
    assert [m.verdict for m in gateway.told if isinstance(m, SpeechJudged)] == [BACKCHANNEL, SPEECH]
    first, again = [m for m in gateway.told if isinstance(m, SpeechConfirmed)]
    assert first.from_seq == again.from_seq == turn.from_seq
    assert again.at_ms > first.at_ms + 250


async def test_a_number_in_groups_is_one_turn(gateway, worker) -> None:
    groups = ["my number is 415", "555", "0123"]
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE + (SILENCE_MS * 700).join(audible(group) for group in groups) + PAUSE)
        turn = await gateway.turn()
    assert turn.text == "my number is 415 555 0123"
    assert 500 <= turn.ended_at_ms - turn.speech_ended_at_ms <= 532


async def test_the_bot_says_how_long_silences_may_be(gateway, worker) -> None:
    async with worker():
        await gateway.offer(turn=TurnTaking(min_silence_ms=200, max_silence_ms=400))
        await gateway.send(PAUSE + audible("my number is 415") + SILENCE_MS * 700 + audible("555") + PAUSE)
        turn = await gateway.turn()
    assert turn.text == "my number is 415"
    assert 400 <= turn.ended_at_ms - turn.speech_ended_at_ms <= 432


@pytest.mark.parametrize(("finished", "silence_ms"), [(0.95, 256), (0.6, 352), (0.3, 576), (0.05, 608)])
async def test_the_sound_of_a_voice_shortens_and_prolongs_the_silence(
    gateway, worker, finished: float, silence_ms: int
) -> None:
    async with worker(prosody=Sounding(finished)):
        await gateway.offer()
        await gateway.send(PAUSE + audible("That is all.") + PAUSE)
        turn = await gateway.turn()
    assert abs(turn.ended_at_ms - turn.speech_ended_at_ms - silence_ms) <= 32


class Decoders(ScriptedRecognizer):
    """A number of them, the first of which hangs in the first utterance it gets."""

    def __init__(self, decoders: int) -> None:
        self._decoders = decoders
        self.asked: list[int] = []
        self.hanging = asyncio.Event()

    @property
    def free_decoders(self) -> int:
        return self._decoders - self.hanging.is_set()

    async def transcribe(self, utterance: Utterance) -> str:
        self.asked.append(len(utterance.audio))
        if len(self.asked) == 1:
            self.hanging.set()
            await asyncio.Event().wait()
        return await super().transcribe(utterance)


async def test_a_final_does_not_wait_for_an_interim(gateway, worker) -> None:
    decoders = Decoders(2)
    async with worker(decoders):
        await gateway.offer()
        await gateway.send(PAUSE + audible(LONG))
        await asyncio.wait_for(decoders.hanging.wait(), 10)
        await gateway.send(PAUSE)
        turn = await gateway.turn()
    assert turn.text == LONG
    assert len(decoders.asked) == 2


async def test_the_last_decoder_is_kept_for_finals(gateway, worker) -> None:
    decoders = Decoders(1)
    async with worker(decoders, decode_deadline_s=0.2):
        await gateway.offer()
        await gateway.send(PAUSE + audible(LONG))
        await gateway.progress_at(gateway.seq - 20)
        assert decoders.asked == []
        await gateway.send(PAUSE)
        assert (await gateway.turn()).error == "stt_timeout"


@pytest.mark.parametrize("heard_ms", [1900, 2600, 3500])
async def test_a_new_holder_takes_over_in_the_middle_of_an_utterance(gateway, worker, heard_ms: int) -> None:
    groups = (SILENCE_MS * 700).join(audible(group) for group in ("my number is 415", "555", "0123"))
    audio = PAUSE + groups + PAUSE
    async with worker():
        await gateway.offer(epoch=1)
        await gateway.send(audio)
        alone = await gateway.turn()
    async with worker():
        await gateway.offer(epoch=2)
        await gateway.send(audio[: heard_ms * 8], epoch=2, from_seq=0)
        keep = (await gateway.progress_at(heard_ms // 20 - 20)).keep_from_seq
    async with worker():
        await gateway.offer(epoch=3, from_seq=keep)
        await gateway.send(audio[keep * 160 :], epoch=3, from_seq=keep, replayed=True)
        taken_over = await gateway.turn()
    assert taken_over.text == alone.text == "my number is 415 555 0123"
    for place in ("from_seq", "to_seq", "speech_ended_at_ms"):
        assert abs(getattr(taken_over, place) - getattr(alone, place)) <= 32


async def test_nothing_is_left_behind_while_a_silence_is_weighed(gateway, worker) -> None:
    before = asyncio.all_tasks()
    decoders = Decoders(2)
    async with worker(decoders, prosody=Sounding(0.5)) as seats:
        await gateway.offer()
        await gateway.send(PAUSE + audible("a table") + PAUSE + audible("for four") + PAUSE)
        await asyncio.wait_for(decoders.hanging.wait(), 10)
        assert seats.live_calls == 1
    assert {t for t in asyncio.all_tasks() - before if "callbot/stt_worker" in repr(t)} == set()
