"""Sounds of the caller while the bot speaks: tables of what is heard and what is done."""

from math import inf

import pytest

from callbot.gateway.barge_in import FORGOTTEN_MS, VERDICT_WITHIN_MS, BargeIn, Bot, Step
from callbot.schemas.speech import SpeechVerdict, TurnEnded

NOTHING, PAUSE, RESUME, CANCEL = Step.NOTHING, Step.PAUSE, Step.RESUME, Step.CANCEL
GIVE_FLOOR, ASK_AGAIN = Step.GIVE_FLOOR, Step.ASK_AGAIN
SPEECH, BACKCHANNEL, NOISE = SpeechVerdict.SPEECH, SpeechVerdict.BACKCHANNEL, SpeechVerdict.NOISE

SILENT = Bot("nothing")
THINKING = Bot("thinking")
SPEAKING = Bot("speaking", unheard_ms=2000)
NEARLY_OVER = Bot("speaking", unheard_ms=290)
ENDLESS = Bot("speaking", unheard_ms=inf)
PROTECTED = Bot("protected", unheard_ms=2000)
GOODBYE = Bot("speaking", closing=True, unheard_ms=200)


def ended(text: str = "", from_seq: int = 10, *, speech_ms: int = 1000, error: str = "") -> TurnEnded:
    return TurnEnded(
        epoch=1,
        from_seq=from_seq,
        to_seq=from_seq + 50,
        text=text,
        speech_ended_at_ms=speech_ms,
        ended_at_ms=speech_ms + 300,
        stt_ms=50,
        error=error,
    )


def judged(barge: BargeIn, verdict: SpeechVerdict, bot: Bot, *, seq: int = 10, now_ms: float = 400) -> Step:
    return barge.judged(seq, verdict, None if verdict is SPEECH else 1000, bot, now_ms)


@pytest.mark.parametrize(
    ("bot", "first", "speech", "backchannel", "noise"),
    [
        (SILENT, NOTHING, NOTHING, NOTHING, NOTHING),
        (THINKING, NOTHING, CANCEL, NOTHING, NOTHING),
        (SPEAKING, PAUSE, CANCEL, RESUME, RESUME),
        (ENDLESS, PAUSE, CANCEL, RESUME, RESUME),
        (NEARLY_OVER, PAUSE, CANCEL, GIVE_FLOOR, RESUME),
        (PROTECTED, NOTHING, NOTHING, NOTHING, NOTHING),
        (GOODBYE, PAUSE, NOTHING, RESUME, RESUME),
    ],
)
def test_confirmed_and_judged(bot: Bot, first: Step, speech: Step, backchannel: Step, noise: Step) -> None:
    for verdict, expected in ((SPEECH, speech), (BACKCHANNEL, backchannel), (NOISE, noise)):
        barge = BargeIn()
        assert barge.confirmed(10, bot, 0) is first
        assert judged(barge, verdict, bot) is expected
        assert barge.paused == (bot is GOODBYE and verdict is SPEECH)


@pytest.mark.parametrize(
    ("bot", "verdict", "text", "opens", "step"),
    [
        # Without a verdict the end of the turn wins.
        (SPEAKING, None, "Stop", True, NOTHING),
        (SPEAKING, None, "", False, RESUME),
        (THINKING, None, "Wait", True, NOTHING),
        (THINKING, None, "", False, NOTHING),
        (SILENT, None, "Yes", True, NOTHING),
        (SILENT, None, "", True, NOTHING),
        (PROTECTED, None, "Hello", True, NOTHING),
        (GOODBYE, None, "Bye", False, RESUME),
        # What was judged to be no turn is dropped, but only where the bot was busy.
        (SPEAKING, BACKCHANNEL, "Yeah", False, NOTHING),
        (SPEAKING, NOISE, "", False, NOTHING),
        (THINKING, BACKCHANNEL, "Mm-hm", False, NOTHING),
        (PROTECTED, BACKCHANNEL, "Okay", False, NOTHING),
        (SILENT, BACKCHANNEL, "Yeah", True, NOTHING),
        # An answer to what the bot has just asked.
        (NEARLY_OVER, BACKCHANNEL, "Yeah", True, NOTHING),
        # Cancelled for speech that nobody could understand: ask again.
        (SPEAKING, SPEECH, "", True, NOTHING),
        (SPEAKING, SPEECH, "Stop", True, NOTHING),
        (THINKING, SPEECH, "", True, NOTHING),
    ],
)
def test_the_end_of_the_turn(
    bot: Bot, verdict: SpeechVerdict | None, text: str, opens: bool, step: Step
) -> None:
    barge = BargeIn()
    barge.confirmed(10, bot, 0)
    after = bot
    if verdict is not None and judged(barge, verdict, bot) in (CANCEL, GIVE_FLOOR):
        barge.turn_over()
        after = SILENT
    assert barge.ended(ended(text), after) == (opens, step)
    assert not barge.paused and not barge.sounds


def test_an_error_of_the_recogniser_is_a_turn() -> None:
    barge = BargeIn()
    barge.confirmed(10, SPEAKING, 0)
    assert barge.ended(ended(error="stt_timeout"), SPEAKING) == (True, NOTHING)


def test_no_verdict_while_the_sound_goes_on_is_speech() -> None:
    barge = BargeIn()
    barge.confirmed(10, SPEAKING, 0)
    for now_ms in range(0, VERDICT_WITHIN_MS, 100):
        assert barge.progressed(8, now_ms) is NOTHING
        assert barge.tick(SPEAKING, now_ms) is NOTHING
    assert barge.tick(SPEAKING, VERDICT_WITHIN_MS) is CANCEL
    assert barge.sounds and not barge.paused


def test_ears_that_have_gone_are_no_reason_to_stay_silent() -> None:
    """Nobody hears: the bot goes on, and stops again when the next ears report the sound."""
    barge = BargeIn()
    barge.confirmed(10, SPEAKING, 0)
    barge.progressed(8, 200)
    assert barge.tick(SPEAKING, VERDICT_WITHIN_MS) is RESUME
    assert barge.tick(SPEAKING, VERDICT_WITHIN_MS + 40) is NOTHING
    assert barge.confirmed(10, SPEAKING, 1900) is PAUSE
    assert judged(barge, SPEECH, SPEAKING, now_ms=2000) is CANCEL


@pytest.mark.parametrize(("bot", "step"), [(SPEAKING, RESUME), (GOODBYE, RESUME), (THINKING, NOTHING)])
def test_a_lost_verdict_is_made_good_by_the_ears_progress(bot: Bot, step: Step) -> None:
    barge = BargeIn()
    barge.confirmed(10, bot, 0)
    assert barge.progressed(10, 200) is NOTHING
    assert barge.progressed(11, 400) is step
    assert not barge.sounds


def test_a_floor_that_is_never_used_is_asked_for_again() -> None:
    for last in (lambda b: b.progressed(11, 900), lambda b: b.tick(SILENT, 401 + FORGOTTEN_MS)):
        barge = BargeIn()
        barge.confirmed(10, SPEAKING, 0)
        assert judged(barge, SPEECH, SPEAKING) is CANCEL
        barge.turn_over()
        assert last(barge) is ASK_AGAIN
        assert barge.tick(SILENT, 10_000) is NOTHING


def test_cancelled_for_a_long_noise_and_cancelled_for_a_long_yeah() -> None:
    for verdict, step, text, opens in ((NOISE, ASK_AGAIN, "", False), (BACKCHANNEL, NOTHING, "Yeah", True)):
        barge = BargeIn()
        barge.confirmed(10, SPEAKING, 0)
        barge.progressed(8, 1400)
        assert barge.tick(SPEAKING, VERDICT_WITHIN_MS) is CANCEL
        barge.turn_over()
        assert judged(barge, verdict, SILENT, now_ms=1700) is step
        assert barge.ended(ended(text), SILENT)[0] is opens


def test_the_caller_speaks_on_after_what_was_a_backchannel() -> None:
    """ "Yeah, but…": the verdict changes, or its change is lost and the turn ends later than the "yeah"."""
    for told in (True, False):
        barge = BargeIn()
        barge.confirmed(10, SPEAKING, 0)
        assert judged(barge, BACKCHANNEL, SPEAKING) is RESUME
        if told:
            assert judged(barge, SPEECH, SPEAKING, now_ms=900) is CANCEL
        assert barge.ended(ended("Yeah, but not today", speech_ms=2100), SPEAKING) == (True, NOTHING)


def test_a_second_sound_in_a_pause_decides() -> None:
    barge = BargeIn()
    assert barge.confirmed(10, SPEAKING, 0) is PAUSE
    assert barge.confirmed(90, SPEAKING, 600) is NOTHING
    assert judged(barge, NOISE, SPEAKING, seq=10, now_ms=700) is NOTHING
    assert barge.paused
    assert judged(barge, NOISE, SPEAKING, seq=90, now_ms=900) is RESUME


def test_a_late_verdict_of_the_first_sound_stops_the_bot_too() -> None:
    barge = BargeIn()
    barge.confirmed(10, SPEAKING, 0)
    barge.confirmed(90, SPEAKING, 600)
    assert judged(barge, SPEECH, SPEAKING, seq=10, now_ms=700) is CANCEL
    barge.turn_over()
    assert barge.ended(ended("Stop", 10), SILENT) == (True, NOTHING)
    assert barge.sounds


def test_an_answer_does_not_begin_in_the_callers_words() -> None:
    """Confirmed while the bot was thinking: the answer is held, and cancelled when they were words."""
    for verdict, step in ((NOISE, RESUME), (SPEECH, CANCEL)):
        barge = BargeIn()
        assert barge.confirmed(10, THINKING, 0) is NOTHING
        assert barge.tick(ENDLESS, 100) is PAUSE
        assert barge.tick(ENDLESS, 140) is NOTHING
        assert judged(barge, verdict, ENDLESS) is step


def test_words_over_a_protected_sentence_hold_the_answer_that_follows_it() -> None:
    barge = BargeIn()
    barge.confirmed(10, PROTECTED, 0)
    assert judged(barge, SPEECH, PROTECTED) is NOTHING
    assert barge.tick(PROTECTED, 500) is NOTHING
    assert barge.tick(SPEAKING, 540) is CANCEL


def test_a_goodbye_is_held_up_for_a_moment_and_never_dropped() -> None:
    barge = BargeIn()
    assert barge.confirmed(10, GOODBYE, 0) is PAUSE
    assert judged(barge, SPEECH, GOODBYE) is NOTHING
    barge.progressed(8, 1400)
    assert barge.tick(GOODBYE, VERDICT_WITHIN_MS) is RESUME
    assert barge.tick(GOODBYE, VERDICT_WITHIN_MS + 40) is NOTHING
    assert barge.ended(ended("Bye bye"), GOODBYE) == (False, NOTHING)


def test_a_verdict_whose_beginning_was_lost_counts() -> None:
    barge = BargeIn()
    assert judged(barge, SPEECH, SPEAKING) is CANCEL
    barge = BargeIn()
    assert judged(barge, NOISE, SPEAKING) is NOTHING
    assert barge.ended(ended("Hm"), SPEAKING) == (False, NOTHING)


def test_the_bot_has_finished_before_the_verdict() -> None:
    barge = BargeIn()
    barge.confirmed(10, PROTECTED, 0)
    assert judged(barge, BACKCHANNEL, SILENT) is NOTHING
    assert barge.ended(ended("Okay"), SILENT) == (True, NOTHING)


def test_a_process_that_slept_proves_nothing() -> None:
    barge = BargeIn()
    barge.confirmed(10, SPEAKING, 0)
    barge.slept(5000)
    assert barge.tick(SPEAKING, 5000) is NOTHING


def test_a_turn_that_was_dropped_does_not_take_the_floor_of_a_newer_sound() -> None:
    barge = BargeIn()
    barge.confirmed(10, SPEAKING, 0)
    judged(barge, BACKCHANNEL, SPEAKING)
    barge.confirmed(90, SPEAKING, 600)
    assert judged(barge, SPEECH, SPEAKING, seq=90, now_ms=800) is CANCEL
    barge.turn_over()
    assert barge.ended(ended("Yeah", 10), SILENT) == (False, NOTHING)
    assert barge.ended(ended("", 90), SILENT) == (True, NOTHING)


def test_nothing_grows_with_the_number_of_sounds() -> None:
    barge = BargeIn()
    for seq in range(0, 5000, 50):
        barge.confirmed(seq, SPEAKING, seq)
        judged(barge, NOISE, SPEAKING, seq=seq, now_ms=seq)
    assert len(barge._dismissed) <= 8
    assert barge.is_dismissed(4950)
