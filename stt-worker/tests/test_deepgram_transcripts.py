"""What one connection's messages come to, without a connection."""

from typing import Any

import pytest

from callbot.runtime.errors import ProviderError
from callbot.stt_worker.providers.deepgram_audio import CallClock
from callbot.stt_worker.providers.deepgram_flux import FluxTurns
from callbot.stt_worker.providers.deepgram_nova import NovaTranscript

CALL_MS = 10_000
"""Where in the call the connections begin."""


def clock() -> CallClock:
    clock = CallClock()
    clock.sent(CALL_MS * 8, 60_000 * 8)
    return clock


def words(text: str, from_s: float) -> list[dict[str, Any]]:
    return [
        {"word": w.lower(), "punctuated_word": w, "start": from_s + 0.2 * i, "end": from_s + 0.2 * i + 0.2}
        for i, w in enumerate(text.split())
    ]


def result(text: str, from_s: float, to_s: float, **more: Any) -> dict[str, Any]:
    best = {"transcript": text, "confidence": 0.9, "words": words(text, from_s)}
    length = {"start": from_s, "duration": to_s - from_s}
    return {"type": "Results", **length, "channel": {"alternatives": [best]}, "metadata": {}, **more}


def final(text: str, from_s: float, to_s: float, **more: Any) -> dict[str, Any]:
    return result(text, from_s, to_s, is_final=True, **more)


def nova(*messages: dict[str, Any]) -> NovaTranscript:
    transcript = NovaTranscript(clock())
    for message in messages:
        transcript.hear(message)
    return transcript


def test_nova_an_utterance_is_all_that_is_final() -> None:
    transcript = nova(
        result("I would", 0, 1),
        final("I would like", 0, 3),
        result("a table", 3, 4),
        final("a table for four.", 3, 5.5, speech_final=True),
        final("", 5.5, 6, from_finalize=True, speech_final=True),
    )
    assert transcript.words(10_000, 16_000) == "I would like a table for four."
    assert transcript.covers(16_000)
    assert transcript.covers(16_060)
    assert not transcript.covers(16_061)


def test_nova_interims_are_words_so_far_until_they_are_final() -> None:
    transcript = nova(final("Yes.", 0, 1), result("I would", 1, 2), result("I would like", 1, 2.5))
    assert transcript.so_far(10_000) == "Yes. I would like"
    assert transcript.so_far(11_000) == "I would like"
    assert transcript.words(10_000, 20_000) == "Yes."
    transcript.hear(final("I'd like", 1, 3))
    assert transcript.so_far(10_000) == "Yes. I'd like"


def test_nova_a_final_that_comes_again_is_not_said_again() -> None:
    twice = final("Yes.", 0, 1)
    assert nova(twice, twice, final("Please.", 1, 2)).words(10_000, 13_000) == "Yes. Please."


def test_nova_what_is_too_little_to_be_finalized_is_not_waited_for() -> None:
    assert nova(final("Yes.", 0, 1)).nothing_is_open(11_110)
    assert not nova(final("Yes.", 0, 1)).nothing_is_open(11_130)
    assert not nova(final("Yes.", 0, 1), result("sir", 1, 1.1)).nothing_is_open(11_110)
    assert not nova(result("sir", 0, 1)).nothing_is_open(10_050)


def test_nova_forgets_what_is_long_ago() -> None:
    transcript = nova(*(final("yes", s, s + 1) for s in range(200)))
    assert len(transcript.words(0, 10**6).split()) <= 92


@pytest.mark.parametrize(
    "message",
    [
        {"type": "Results"},
        {"type": "Results", "start": 0, "duration": 1, "channel": []},
        {"type": "Results", "start": "soon", "duration": 1, "channel": {"alternatives": []}},
    ],
)
def test_nova_refuses_what_is_none_of_the_protocol(message: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        nova(message)


def test_nova_passes_over_what_it_does_not_need() -> None:
    others: tuple[dict[str, Any], ...] = (
        {"type": "Metadata"},
        {"type": "SpeechStarted", "timestamp": 1},
        {"type": "UtteranceEnd"},
        {},
    )
    assert nova(*others, final("Yes.", 0, 1)).words(10_000, 12_000) == "Yes."


class Flux:
    """Numbers the messages as Flux does."""

    def __init__(self) -> None:
        self.turns = FluxTurns(clock())
        self.number = -1
        self.tell({"type": "Connected"})

    def opinion(self) -> tuple[bool | None, int | None]:
        """Is the turn over, and which one goes on?"""
        return self.turns.says_over(10_000), self.turns.going_on

    def tell(self, message: dict[str, Any], number: int | None = None) -> None:
        self.number = self.number + 1 if number is None else number
        self.turns.hear({**message, "sequence_id": self.number})

    def event(self, event: str, turn: int, text: str, from_s: float, to_s: float, **more: Any) -> None:
        window = {"audio_window_start": from_s, "audio_window_end": to_s}
        said = {"transcript": text, "words": words(text, from_s)}
        self.tell({"type": "TurnInfo", "event": event, "turn_index": turn, **window, **said, **more})


def test_flux_a_turn_from_its_begin_to_its_end() -> None:
    flux = Flux()
    assert flux.turns.connected
    flux.event("Update", 0, "", 0, 0.25)
    assert flux.opinion() == (None, None)
    flux.event("StartOfTurn", 0, "", 0, 0.3)
    assert flux.turns.going_on == 0
    flux.event("Update", 0, "A table", 0, 1)
    assert (flux.turns.words(10_000), flux.turns.says_over(10_000)) == ("A table", False)
    flux.event("EagerEndOfTurn", 0, "A table", 0, 1.2)
    assert flux.opinion() == (True, None)
    flux.event("Update", 0, "A table", 0, 1.4)
    assert flux.opinion() == (True, None)
    flux.event("TurnResumed", 0, "A table for", 0, 1.6)
    assert flux.opinion() == (False, 0)
    flux.event("EagerEndOfTurn", 0, "A table for four.", 0, 2.5)
    flux.event("EndOfTurn", 0, "A table for four.", 0, 2.7, trigger="model")
    flux.event("Update", 1, "", 2.7, 3)
    assert (flux.turns.words(10_000), flux.turns.says_over(10_000)) == ("A table for four.", True)
    assert flux.turns.covers(13_100)
    assert not flux.turns.covers(13_101)


def test_flux_what_we_ended_is_not_its_opinion() -> None:
    flux = Flux()
    flux.event("StartOfTurn", 0, "A table", 0, 1)
    flux.event("EndOfTurn", 0, "A table", 0, 1, trigger="manual")
    assert (flux.turns.words(10_000), flux.turns.says_over(10_000)) == ("A table", None)


def test_flux_two_turns_are_one_utterance_and_a_turn_two() -> None:
    flux = Flux()
    flux.event("EndOfTurn", 0, "one two three four", 0, 1, trigger="model")
    flux.event("StartOfTurn", 1, "five six", 2, 3)
    assert flux.turns.words(10_000) == "one two three four five six"
    assert flux.turns.words(10_400, 12_200) == "three four five"
    assert flux.turns.says_over(10_000) is False
    assert flux.turns.says_over(13_000) is None


def test_flux_messages_that_come_again_change_nothing() -> None:
    flux = Flux()
    flux.event("EndOfTurn", 0, "one", 0, 1, trigger="model")
    flux.event("EndOfTurn", 0, "one", 0, 1, trigger="model")
    flux.turns.hear({"type": "TurnInfo", "sequence_id": 1})
    assert flux.turns.words(10_000) == "one"


def test_flux_a_missing_message_matters_when_a_turns_end_was_in_it() -> None:
    flux = Flux()
    flux.event("StartOfTurn", 0, "one", 0, 1)
    flux.number += 2
    flux.event("Update", 0, "one two", 0, 1.2)
    assert flux.turns.words(10_000) == "one two"
    with pytest.raises(ProviderError) as e:
        flux.event("Update", 1, "four", 2, 3)
    assert (e.value.code, e.value.retryable) == ("broken_off", True)


@pytest.mark.parametrize(
    "message",
    [{"type": "TurnInfo"}, {"type": "TurnInfo", "sequence_id": 1}, {"type": "Connected", "sequence_id": "1"}],
)
def test_flux_refuses_what_is_none_of_the_protocol(message: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"validation error|number"):
        Flux().turns.hear(message)


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("INTERNAL_SERVER_ERROR", ("unavailable", True, "internal_server_error")),
        ("ASR_PAYMENT_REQUIRED", ("out_of_quota", False, "asr_payment_required")),
        ("TOO_MANY_REQUESTS", ("busy", True, "too_many_requests")),
        ("INVALID_AUTH", ("refused", False, "invalid_auth")),
        ("it said: my key is x", ("unavailable", True, "error")),
    ],
)
def test_flux_its_errors_by_their_code_alone(code: str, wanted: tuple[str, bool, str]) -> None:
    with pytest.raises(ProviderError) as e:
        Flux().tell({"type": "Error", "code": code, "description": "do not repeat me"})
    assert (e.value.code, e.value.retryable, e.value.message) == wanted
