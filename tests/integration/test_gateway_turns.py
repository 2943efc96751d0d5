"""A live call at its gateway, over a real NATS: the test plays the workers, the line and the clock."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callbot.call_router.memory import ensure_memory
from callbot.runtime.bus import connect
from callbot.schemas.calls import CallJournal, CallState
from callbot.schemas.dialog import (
    SaySentence,
    TurnForeseen,
    TurnOpened,
    TurnWithdrawn,
)
from callbot.schemas.memory import PHRASES
from callbot.schemas.seats import Role
from callbot.schemas.speech import (
    EarsProgress,
    SpeechVerdict,
    TurnEager,
    TurnResumed,
)
from callbot.schemas.subjects import CALLER_AUDIO, EARS_PROGRESS, TURN_EAGER, TURN_RESUMED
from callbot.schemas.turn_taking import Phrases, SpeakPhrases, phrase_key
from callbot.schemas.webhook import Action, HistoryEntry
from tests.gateway_stage import GREETING, OURS, WORKERS, Stage
from tests.samples import CALL_ID, a_brief
from tests.servers import nats_server, url_for


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    server = nats_server(tmp_path)
    server.start()
    async with AsyncExitStack() as stack:
        buses = {
            service: await stack.enter_async_context(connect(url_for(service, server), speaks_as=service))
            for service in ("call-router", "gateway", *WORKERS.values())
        }
        await ensure_memory(buses["call-router"].jetstream(), 1)
        bucket = await buses["tts-worker"].bucket(PHRASES)
        await bucket.put(phrase_key("piper:joe", "en-US", "Hello!"), GREETING)
        stage = Stage(buses)
        await stage.work()
        yield stage
        await stage.call.abandon()
    server.kill()


async def test_a_greeting_from_the_bucket_needs_no_mouth_and_a_missing_phrase_is_asked_for(
    stage: Stage,
) -> None:
    await stage.begins(a_brief(phrases=Phrases(still_there="Anybody?")))
    await stage.passes(1000)
    assert stage.sent == GREETING
    assert stage.all_of(SaySentence) == []
    await stage.until(lambda: bool(stage.all_of(SpeakPhrases)))
    (asked,) = stage.all_of(SpeakPhrases)
    assert asked == SpeakPhrases(voice="piper:joe", language="en-US", texts=["Anybody?"])


async def test_a_greeting_that_is_not_there_is_said_by_the_mouth(stage: Stage) -> None:
    await stage.begins(a_brief(greeting="Good day!"))
    await stage.until(lambda: bool(stage.all_of(SaySentence)))
    await stage.says(0, b"\x33" * 800)
    await stage.until(lambda: stage.sent == b"\x33" * 800)
    assert [said.text for said in stage.all_of(SaySentence) if isinstance(said, SaySentence)] == ["Good day!"]


async def test_a_turn_is_foreseen_withdrawn_foreseen_again_and_opened(stage: Stage) -> None:
    await stage.begins(a_brief())
    await stage.passes(3000)
    epoch = stage.epochs[Role.EARS]

    async def eager(text: str) -> None:
        words = TurnEager(epoch=epoch, from_seq=40, text=text, speech_ended_at_ms=2800, stt_ms=60)
        await stage.ears.tell(TURN_EAGER, words, call_id=CALL_ID)

    await eager("A table")
    await stage.until(lambda: bool(stage.all_of(TurnForeseen)))
    await stage.ears.tell(TURN_RESUMED, TurnResumed(epoch=epoch, from_seq=40), call_id=CALL_ID)
    await stage.until(lambda: bool(stage.all_of(TurnWithdrawn)))
    await eager("A table for four")
    await stage.until(lambda: len(stage.all_of(TurnForeseen)) == 2)
    assert await stage.ended("A table for four", speech_ended_at_ms=2800)
    await stage.until(lambda: bool(stage.all_of(TurnOpened)))
    foreseen, opened = stage.all_of(TurnForeseen)[-1], stage.all_of(TurnOpened)[0]
    assert isinstance(foreseen, TurnForeseen) and isinstance(opened, TurnOpened)
    assert foreseen.epoch == opened.epoch == stage.epochs[Role.MIND]
    assert (foreseen.number, foreseen.user_text, foreseen.history) == (1, opened.user_text, opened.history)
    assert opened.history == [HistoryEntry(role="bot", content="Hello!")]
    await stage.answered(1, "Fine.")
    await stage.until(lambda: bool(stage.all_of(SaySentence)))
    await stage.says(1, b"\x33" * 800, prepared=True)
    await stage.until(lambda: stage.sent.endswith(b"\x33" * 800))
    await stage.passes(2000)
    record = stage.records[-1]
    assert (record.speculation, record.prepared, record.heard) == ("used", True, "Fine.")
    assert record.times.eager_ms is not None and 100 <= record.times.eager_ms <= 250
    assert record.times.won_ms == 250 and record.times.tts_first_audio_ms is not None


async def test_a_cough_holds_the_bot_up_and_words_stop_it(stage: Stage) -> None:
    await stage.begins(a_brief())
    await stage.passes(3000)
    await stage.ended("Tell me more", 40)
    await stage.answered(1, "one two three four five six")
    await stage.until(lambda: bool(stage.all_of(SaySentence)))
    before = len(stage.sent)
    await stage.says(1, bytes(range(1, 251)) * 64)
    await stage.until(lambda: len(stage.sent) > before)
    await stage.passes(600)
    await stage.confirmed(100)
    await stage.until(lambda: stage.clears == 1)
    heard = before + 600 * 8
    stage.sent = stage.sent[:heard]
    await stage.passes(300)
    assert len(stage.sent) == heard
    await stage.judged(SpeechVerdict.NOISE, 100)
    await stage.until(lambda: len(stage.sent) > heard)
    assert await stage.ended("Hm", 100)
    await stage.passes(400)
    await stage.confirmed(150)
    await stage.until(lambda: stage.clears == 2)
    sent = (bytes(range(1, 251)) * 64)[: len(stage.sent) - before]
    assert stage.sent[before:] == sent
    await stage.judged(SpeechVerdict.SPEECH, 150)
    await stage.until(lambda: bool(stage.records) and stage.records[-1].interrupted)
    assert stage.records[-1].pauses == 1 and stage.records[-1].heard == "one two three"
    assert len(stage.all_of(TurnOpened)) == 1
    assert await stage.ended("Stop", 150)
    await stage.until(lambda: len(stage.all_of(TurnOpened)) == 2)


async def test_keys_stop_the_bot_and_become_a_turn(stage: Stage) -> None:
    await stage.begins(a_brief())
    await stage.passes(100)
    stage.call.press("1")
    assert stage.clears == 1 and stage.records[0].interrupted
    stage.call.press("#")
    await stage.until(lambda: bool(stage.all_of(TurnOpened)))
    (opened,) = stage.all_of(TurnOpened)
    assert isinstance(opened, TurnOpened) and (opened.input, opened.user_text) == ("dtmf", "1")


async def test_words_in_a_protected_greeting_are_answered_after_it(stage: Stage) -> None:
    await stage.begins(a_brief(protect_greeting=True))
    await stage.confirmed(5)
    assert await stage.ended("Hello", 5, speech_ended_at_ms=200)
    stage.call.press("1")
    await stage.passes(200)
    assert stage.clears == 0 and stage.all_of(TurnOpened) == []
    await stage.passes(2500)
    await stage.until(lambda: bool(stage.all_of(TurnOpened)))
    assert stage.sent[:4000] == GREETING and stage.records[0].heard == "Hello!"


async def test_silence_is_filled_while_thinking_and_when_the_caller_says_nothing(stage: Stage) -> None:
    await stage.begins(a_brief())
    await stage.passes(3000)
    await stage.ended("Hi", speech_ended_at_ms=2700)
    await stage.passes(1100)
    before = len(stage.sent)
    await stage.passes(1500)
    assert stage.sent[before:] == OURS["one_moment"].audio
    await stage.answered(1, "Fine.")
    await stage.until(lambda: bool(stage.all_of(SaySentence)))
    await stage.says(1, b"\x33" * 800)
    await stage.until(lambda: stage.sent.endswith(b"\x33" * 800))
    stage.sent = b""
    await stage.passes(35_000)
    await stage.until(lambda: stage.hung_up)
    prompts = OURS["still_there"].audio * 2 + OURS["silent_goodbye"].audio
    assert stage.sent == prompts
    assert [r.input for r in stage.records] == ["greeting", "speech", "silence", "silence", "silence"]


async def test_a_lost_verdict_does_not_leave_the_bot_silent(stage: Stage) -> None:
    await stage.begins(a_brief())
    await stage.passes(200)
    await stage.confirmed(5)
    await stage.until(lambda: stage.clears == 1)
    await stage.passes(4000)
    assert len(stage.sent) >= 4000 and stage.records[0].heard == "Hello!"


async def test_a_transfer_that_nobody_took_comes_back_with_a_sentence(stage: Stage) -> None:
    brief = a_brief(generation=2)
    history = [HistoryEntry(role="bot", content="One moment please.")]
    before = CallJournal(
        brief=a_brief(),
        state=CallState.ENDED,
        history=history,
        turns=4,
        pending_action=Action.TRANSFER,
        transfer_to="+14155550123",
        began_at=datetime.now(UTC),
    )
    await stage.begins(brief, before)
    await stage.passes(6000)
    assert stage.sent == OURS["nobody_answers"].audio
    await stage.ended("Never mind", 200)
    await stage.until(lambda: bool(stage.all_of(TurnOpened)))
    (opened,) = stage.all_of(TurnOpened)
    assert isinstance(opened, TurnOpened) and opened.number == 5
    assert [h.content for h in opened.history] == ["One moment please.", OURS["nobody_answers"].text]
    kept = await stage.journals.read(CALL_ID)
    assert kept is not None and kept[0].pending_action is Action.CONTINUE


async def test_an_answer_that_comes_between_two_ticks_does_not_begin_in_the_callers_words(
    stage: Stage,
) -> None:
    await stage.begins(a_brief())
    await stage.passes(3000)
    await stage.ended("Hi", speech_ended_at_ms=2700)
    await stage.confirmed(150)
    await stage.until(lambda: stage.call._hearing.sounds)
    before = len(stage.sent)
    await stage.answered(1, "Fine.")
    await stage.until(lambda: bool(stage.all_of(SaySentence)))
    await stage.says(1, b"\x33" * 800)
    await stage.until(lambda: not stage.call.conversation.playout.unconfirmed())
    assert len(stage.sent) == before
    await stage.judged(SpeechVerdict.BACKCHANNEL, 150)
    await stage.until(lambda: stage.sent.endswith(b"\x33" * 800))


async def test_a_caller_who_speaks_for_long_is_not_asked_whether_they_are_there(stage: Stage) -> None:
    await stage.begins(a_brief())
    await stage.passes(3000)
    before = len(stage.sent)
    await stage.confirmed(150)
    await stage.until(lambda: stage.call._hearing.sounds)
    for _ in range(60):
        await stage.passes(200)
        stage.call._hearing._on_progress(
            EarsProgress(epoch=stage.epochs[Role.EARS], heard_seq=200, keep_from_seq=140)
        )
    assert len(stage.sent) == before
    await stage.ended("A long story", 150, speech_ended_at_ms=15_000)
    assert stage.call.conversation.turns.current is not None


async def test_frames_that_the_bus_has_lost_are_sent_again(stage: Stage) -> None:
    heard: list[int] = []
    await stage.ears.hear(CALLER_AUDIO, lambda frame: heard.append(frame.seq), call_id=CALL_ID)
    await stage.ears.flush()
    await stage.begins(a_brief())
    await stage.passes(200)
    await stage.until(lambda: heard == list(range(10)))
    told = EarsProgress(epoch=stage.epochs[Role.EARS], heard_seq=5, keep_from_seq=0, missing_from_seq=6)
    await stage.ears.tell(EARS_PROGRESS, told, call_id=CALL_ID)
    await stage.until(lambda: len(heard) == 14)
    assert heard[10:] == [6, 7, 8, 9]
    await stage.passes(20)
    await stage.until(lambda: len(heard) == 15)
    assert heard[14:] == [10]
