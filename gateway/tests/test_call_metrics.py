"""What a gateway counts of its calls: each fact once, in series of bounded number, and every long silence."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from callbot.gateway.call_metrics import REASONS, count, reason_class
from callbot.gateway.playout import Playout, Sentence
from callbot.gateway.silence import LONGEST_MS, Owed, Silence
from callbot.runtime import tracing
from callbot.runtime.metrics import METRICS
from callbot.schemas.audio import BYTES_PER_MS
from callbot.schemas.calls import CallEnded, CallStarted, MediaFlowed, StageFallback, TurnDone
from callbot.schemas.turn_record import StageTimes, TurnRecord
from tests.exposition import parsed

CALL = "CA" + "0" * 32


@pytest.fixture
def risen() -> Callable[[str], dict[tuple[str, ...], float]]:
    """What a metric's series have risen by since the beginning of the test, those that have."""
    before = {name: values(name) for name in METRICS.labels}

    def since(name: str) -> dict[tuple[str, ...], float]:
        found = {key: value - before[name].get(key, 0) for key, value in values(name).items()}
        return {key: value for key, value in found.items() if value}

    return since


def values(name: str) -> dict[tuple[str, ...], float]:
    """By the values of the labels; of a histogram how many there were."""
    shown = f"{name.removesuffix('_total')}"
    return {
        tuple(sample.labels.values()): sample.value
        for family in METRICS.registry.collect()
        if family.name == shown
        for sample in family.samples
        if sample.name in (name, f"{name}_count")
    }


def a_turn(**fields: Any) -> TurnDone:
    turn: dict[str, Any] = {
        "number": 1,
        "input": "speech",
        "user_text": "Hello",
        "source": "webhook",
        **fields,
    }
    times = turn.pop("times", {"endpointing_ms": 300.0, "stt_ms": 80.0, "voice_to_voice_ms": 700.0})
    return TurnDone(turn=TurnRecord(**turn, times=StageTimes(**times)))


Risen = Callable[[str], dict[tuple[str, ...], float]]


def test_an_answered_turn_is_one_observation_of_each_of_its_stages(risen: Risen) -> None:
    count(a_turn(pauses=2, interrupted=True), CALL)
    assert risen("callbot_turns_total") == {("speech", "webhook"): 1}
    assert risen("callbot_voice_to_voice_seconds") == {("speech",): 1}
    assert risen("callbot_stage_seconds") == {("endpointing",): 1, ("stt",): 1}
    assert risen("callbot_barge_ins_total") == {(): 1}
    assert risen("callbot_pauses_total") == {(): 2}


def test_seconds_are_counted_not_milliseconds() -> None:
    def total_s() -> float:
        found = METRICS.registry.get_sample_value("callbot_voice_to_voice_seconds_sum", {"input": "speech"})
        return found or 0

    before_s = total_s()
    count(a_turn(), CALL)
    assert total_s() - before_s == pytest.approx(0.7)


@dataclass
class Everything:
    """Where spans go, of every call."""

    share: float = 1.0
    show_pii: bool = False
    spans: list[tracing.Finished] = field(default_factory=list)

    def emit(self, span: tracing.Finished) -> None:
        self.spans.append(span)


@pytest.fixture
def traced() -> Iterator[None]:
    tracing.switch(Everything())
    yield
    tracing.switch(None)


def exemplars() -> list[Mapping[str, str]]:
    page = METRICS.text(exemplars=True).decode()
    samples = parsed(page, open_metrics=True)["callbot_voice_to_voice_seconds"].samples
    return [sample.exemplar for sample in samples if sample.exemplar]


def test_an_observation_leads_to_the_trace_of_its_turn(traced: None) -> None:
    call_id = "CA" + "1" * 32
    count(a_turn(number=7), call_id)
    turn_id = f"{call_id}.7"
    assert {"trace_id": tracing.trace_id_of(turn_id), "turn_id": turn_id} in exemplars()


def test_without_traces_there_is_no_exemplar() -> None:
    call_id = "CA" + "2" * 32
    count(a_turn(), call_id)
    assert not [one for one in exemplars() if one["turn_id"].startswith(call_id)]


def test_a_turn_that_was_overtaken_before_its_first_sound_is_unheard(risen: Risen) -> None:
    count(a_turn(times={"endpointing_ms": 300.0}), CALL)
    assert risen("callbot_turns_total") == {("speech", "unheard"): 1}
    assert risen("callbot_voice_to_voice_seconds") == {}


@pytest.mark.parametrize("kind", ["greeting", "silence", "speech"])
def test_what_the_bot_says_of_its_own_accord_is_nobodys_wait(kind: str, risen: Risen) -> None:
    """An apology between two turns has the input `speech` too, and no end of speech before it."""
    count(a_turn(input=kind, times={"voice_to_voice_ms": 0.0}), CALL)
    assert risen("callbot_voice_to_voice_seconds") == {}


def test_calls_and_fallbacks_are_counted(risen: Risen) -> None:
    count(CallStarted(from_number="+1", to_number="+2"), CALL)
    count(MediaFlowed(stream_token_id="t"), CALL)
    count(StageFallback(stage="webhook", reason="webhook_timeout"), CALL)
    count(CallEnded(reason="failed", duration_ms=1), CALL)
    assert risen("callbot_calls_began_total") == {(): 1}
    assert risen("callbot_fallbacks_total") == {("webhook", "webhook_timeout"): 1}
    # A stream's end is counted where it ends: of a lost line nobody tells a fact.
    assert risen("callbot_calls_ended_total") == {}


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ("provider_fell_back: elevenlabs too_slow, then piper", "provider_fell_back"),
        ("voice_fallback: piper:somebody's voice", "voice_fallback"),
        ("poison sentence:1:2", "poison"),
        ("nobody took the seat of the mouth in 2000 ms", "nobody_took_the_seat"),
        ("no audio in time", "no_audio_in_time"),
        ("too_slow", "too_slow"),
        ("webhook_bad_status", "webhook_bad_status"),
        ("what a caller said", "other"),
        ("poisonous", "other"),
        ("a: b\nc", "other"),
        ("", "other"),
    ],
)
def test_reasons_are_of_a_bounded_set(told: str, counted: str) -> None:
    assert reason_class(told) == counted
    assert counted in {reason.replace(" ", "_") for reason in REASONS} | {"other"}


def test_every_wait_of_more_than_two_and_a_half_seconds_is_told_once() -> None:
    silence = Silence()
    asked = Owed(last_word_at_ms=1000, last_sound_at_ms=500)
    assert silence.too_long(asked, 1000 + LONGEST_MS) is None
    assert silence.too_long(asked, 1001 + LONGEST_MS) == "last_word"
    assert silence.too_long(asked, 9000) is None
    filled = Owed(last_word_at_ms=1000, last_sound_at_ms=9500)
    assert silence.too_long(filled, 9600) is None
    assert silence.too_long(None, 11000) is None
    assert silence.too_long(filled, 12001) == "last_sound"
    assert silence.too_long(filled, 12002) is None
    assert silence.too_long(None, 12040) is None


def test_a_wait_while_the_process_stood_still_is_told_when_something_sounds_again() -> None:
    silence = Silence()
    assert silence.too_long(Owed(1000, 500), 1200) is None
    assert silence.too_long(None, 5000) == "last_word"
    assert silence.too_long(None, 9000) is None


def test_a_gap_in_a_sentence_is_counted_and_one_before_it_is_not(risen: Risen) -> None:
    def torn_s() -> float:
        return METRICS.registry.get_sample_value("callbot_torn_audio_seconds_sum") or 0

    before_s = torn_s()
    playout, sentence = Playout(), Sentence(1, 0, "Hello")
    playout.begin([sentence])
    sentence.audio += bytes(100 * BYTES_PER_MS)
    playout.due(5000)
    assert risen("callbot_torn_audio_seconds") == {}
    sentence.audio += bytes(100 * BYTES_PER_MS)
    playout.due(5250)
    assert risen("callbot_torn_audio_seconds") == {(): 1}
    assert torn_s() - before_s == pytest.approx(0.15)
    playout.pause(5300)
    playout.resume(9000)
    assert risen("callbot_torn_audio_seconds") == {(): 1}
