"""One call's ears on a real bus: the gateway of these tests sends frames and takes reports."""

import asyncio

import pytest

from callbot.runtime.errors import ProviderError
from callbot.schemas.message import Receipt
from callbot.schemas.speech import SpeechVerdict, TurnEnded
from callbot.schemas.text_audio import TONE, audible
from callbot.schemas.turn_taking import TurnTaking
from callbot.stt_worker.providers.scripted import ScriptedRecognizer
from callbot.stt_worker.recognizer import Recognizer, Utterance

SILENCE_MS = b"\xff" * 8
PAUSE = SILENCE_MS * 1000


def hum(ms: int) -> bytes:
    return TONE * ms


def said(turn: TurnEnded) -> tuple[str, int, int, int]:
    return turn.text, turn.from_seq, turn.to_seq, turn.speech_ended_at_ms


async def test_turns_arrive_with_text_and_place(gateway, worker) -> None:
    first, second = audible("a table for four"), audible("tomorrow at seven")
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE + first + PAUSE + second + PAUSE)
        one, two = await gateway.turn(), await gateway.turn()
    assert (one.text, two.text) == ("a table for four", "tomorrow at seven")
    assert abs(one.speech_ended_at_ms - (1000 + len(first) // 8)) <= 32
    assert 500 <= one.ended_at_ms - one.speech_ended_at_ms <= 532
    assert 600 <= one.from_seq * 20 <= 740
    assert one.to_seq < two.from_seq
    assert one.error == ""


async def test_a_pause_within_a_sentence_does_not_cut_it(gateway, worker) -> None:
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE + audible("a table for") + SILENCE_MS * 300 + audible("four please") + PAUSE)
        assert (await gateway.turn()).text == "a table for four please"


async def test_what_is_settled_moves_only_with_accepted_turns(gateway, worker) -> None:
    accept = asyncio.Event()

    async def later(_: TurnEnded) -> Receipt:
        await accept.wait()
        return Receipt()

    gateway.receipt = later
    async with worker():
        await gateway.offer()
        await gateway.send(SILENCE_MS * 2000 + audible("a table for four"))
        await gateway.send(PAUSE + audible("no wait") + PAUSE)
        told = await gateway.progress_at(gateway.seq - 20)
        assert 1400 <= told.keep_from_seq * 20 <= 1700
        accept.set()
        first = await gateway.turn()
        second = await gateway.turn()
        while second.text != "no wait":
            second = await gateway.turn()
        told = await gateway.progress_at(gateway.seq - 20)
        while told.keep_from_seq < first.to_seq:
            told = await gateway.progress_at(0)
        await gateway.send(PAUSE)
        told = await gateway.progress_at(gateway.seq - 20)
        while told.keep_from_seq <= second.to_seq:
            told = await gateway.progress_at(0)
    assert told.keep_from_seq * 20 >= gateway.seq * 20 - 1000


async def test_what_must_be_kept_never_falls(gateway, worker) -> None:
    async with worker():
        await gateway.offer()
        for text in ("a table for four", "tomorrow"):
            await gateway.send(PAUSE + audible(text) + PAUSE)
        await gateway.turn()
        await gateway.turn()
        kept = [(await gateway.progress_at(0)).keep_from_seq]
        while not gateway.progress.empty():
            kept.append(gateway.progress.get_nowait().keep_from_seq)
    assert kept == sorted(kept)


async def test_a_new_holder_hears_the_same_turns_from_the_replay(gateway, worker) -> None:
    audio = PAUSE + audible("a table for four") + PAUSE + audible("tomorrow at seven") + SILENCE_MS * 600
    async with worker():
        await gateway.offer(epoch=1)
        await gateway.send(audio)
        first = [said(await gateway.turn()) for _ in range(2)]
    async with worker():
        await gateway.offer(epoch=2)
        await gateway.send(audio, epoch=2, from_seq=0, replayed=True)
        assert [said(await gateway.turn()) for _ in range(2)] == first
    keep = first[0][2] + 1
    async with worker():
        await gateway.offer(epoch=3, from_seq=keep)
        await gateway.send(audio[keep * 160 :], epoch=3, from_seq=keep, replayed=True)
        text, _, _, ended_at_ms = said(await gateway.turn())
    assert text == first[1][0]
    assert abs(ended_at_ms - first[1][3]) <= 32


async def test_lost_frames_become_silence_and_old_ones_are_ignored(gateway, worker) -> None:
    text = audible("a table for four")
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE)
        await gateway.send(text, from_seq=100)
        await gateway.send(text, from_seq=100)
        await gateway.send(audible("never admitted"), epoch=0)
        await gateway.send(PAUSE, from_seq=100 + len(text) // 160 + 40)
        turn = await gateway.turn()
    assert turn.text == "a table for four"
    assert abs(turn.speech_ended_at_ms - (2000 + len(text) // 8)) <= 32


async def test_lost_frames_are_asked_for_and_take_their_place(gateway, worker) -> None:
    audio = PAUSE + audible("a table for four") + PAUSE
    frames = [audio[at : at + 160] for at in range(0, len(audio), 160)]
    first = len(PAUSE) // 160
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE)
        await gateway.send(b"".join(frames[first + 3 : first + 6]), from_seq=first + 3)
        while (told := await gateway.progress_at(0)).missing_from_seq is None:
            pass
        assert told.missing_from_seq == first
        await gateway.send(b"".join(frames[first:]), from_seq=first)
        assert (await gateway.turn()).text == "a table for four"


async def test_after_a_long_gap_it_begins_anew(gateway, worker) -> None:
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE + audible("this is lost"))
        await gateway.send(PAUSE + audible("this is heard") + PAUSE, from_seq=5000)
        turn = await gateway.turn()
    assert turn.text == "this is heard"
    assert turn.from_seq > 5000


async def test_a_newer_epoch_takes_the_seat(gateway, worker) -> None:
    async with worker() as seats:
        await gateway.offer(epoch=1)
        assert seats.live_calls == 1
        await gateway.send(PAUSE[:160], epoch=2)
        await seats.leave(within_s=5)
        assert seats.live_calls == 0


@pytest.mark.parametrize(
    ("sound_ms", "verdict"),
    [(100, SpeechVerdict.NOISE), (500, SpeechVerdict.NOISE), (900, SpeechVerdict.SPEECH)],
)
async def test_sound_without_words_is_noise_unless_there_was_much_of_it(
    gateway, worker, sound_ms: int, verdict: SpeechVerdict
) -> None:
    async with worker():
        await gateway.offer()
        await gateway.send(PAUSE + hum(sound_ms) + PAUSE + audible("hello there") + PAUSE)
        first, second = await gateway.turn(), await gateway.turn()
    assert (first.text, first.verdict) == ("", verdict)
    assert (second.text, second.verdict) == ("hello there", SpeechVerdict.SPEECH)


class Failing(ScriptedRecognizer):
    async def transcribe(self, utterance: Utterance) -> str:
        raise ProviderError("stt_failed", "out of order", retryable=True)


class Hanging(ScriptedRecognizer):
    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def transcribe(self, utterance: Utterance) -> str:
        self.begun.set()
        await asyncio.Event().wait()
        return ""


@pytest.mark.parametrize(("recognizer", "error"), [(Failing(), "stt_failed"), (Hanging(), "stt_timeout")])
async def test_a_turn_whose_text_is_lost_is_reported_with_the_reason(
    gateway, worker, recognizer: Recognizer, error: str
) -> None:
    async with worker(recognizer, decode_deadline_s=0.05):
        await gateway.offer()
        await gateway.send(PAUSE + audible("a table for four") + PAUSE)
        turn = await gateway.turn()
    assert (turn.text, turn.error) == ("", error)


async def test_a_text_that_does_not_come_is_waited_for_once_from_the_last_word(gateway, worker) -> None:
    """Until the turn is reported nobody says anything: the silence and the deadline must not add up."""
    hanging = Hanging()
    async with worker(hanging, decode_deadline_s=2.0):
        await gateway.offer(turn=TurnTaking(max_silence_ms=5000))
        await gateway.send(PAUSE + audible("a table for four") + 4 * PAUSE)
        await asyncio.wait_for(hanging.begun.wait(), 10)
        turn = await gateway.turn(within_s=3.5)
    assert turn.error == "stt_timeout"


async def test_nothing_is_left_behind(gateway, worker) -> None:
    before = asyncio.all_tasks()
    async with worker(Hanging()) as seats:
        await gateway.offer(epoch=1)
        await gateway.send(PAUSE + audible("a table for four") + SILENCE_MS * 200)
        await gateway.progress_at(20)
        assert seats.live_calls == 1
    assert {t for t in asyncio.all_tasks() - before if "callbot/stt_worker" in repr(t)} == set()


async def test_the_whole_way_with_the_models(gateway, worker, spoken: dict[str, bytes]) -> None:
    texts = list(spoken)[:2]
    async with worker(stt="local", vad="silero"):
        await gateway.offer()
        for text in texts:
            await gateway.send(PAUSE + spoken[text] + PAUSE)
        heard = [(await gateway.turn()).text.lower() for _ in texts]
    assert "book a table" in heard[0]
    assert "evening" in heard[1]
