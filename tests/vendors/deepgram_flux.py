"""One connection of Flux: turns as its state machine has them.

https://developers.deepgram.com/docs/flux/state, …/docs/flux/force-end-turn, …/docs/flux/configuration
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from callbot.schemas.audio import BYTES_PER_MS
from tests.vendors.deepgram_hearing import HeardWord, Hearing, seconds, transcript

STEP = 80 * BYTES_PER_MS
UPDATE_EVERY = 240 * BYTES_PER_MS
SURE_MS = 300
"""After so much silence it is quite sure that the turn is over…"""
UNFINISHED = re.compile(r"(,|\band|\bfor|\bat)$")
"""…but not after these."""
DOUBTS = 0.4


def _one_of(lowest: float, highest: float) -> Callable[[list[str], Mapping[str, list[str]]], bool]:
    return lambda values, _: len(values) == 1 and lowest <= float(values[0]) <= highest


FLUX_RULES: Mapping[str, Callable[[list[str], Mapping[str, list[str]]], bool]] = {
    "model": lambda v, _: v in (["flux-general-en"], ["flux-general-multi"]),
    "encoding": lambda v, _: v == ["mulaw"],
    "sample_rate": lambda v, _: v == ["8000"],
    "eot_threshold": _one_of(0.5, 1.0),
    "eager_eot_threshold": lambda v, all_: (
        0.3 <= float(v[0]) <= min(0.9, float(all_.get("eot_threshold", ["0.7"])[0]))
    ),
    "eot_timeout_ms": _one_of(500, 60_000),
    "mip_opt_out": lambda v, _: v in (["true"], ["false"]),
    "language_hint": lambda v, all_: all_["model"] == ["flux-general-multi"] and all(len(x) == 2 for x in v),
    "keyterm": lambda v, _: sum(map(len, v)) <= 2000,
}


class FluxSession:
    def __init__(
        self,
        hearing: Hearing,
        *,
        eot_threshold: float,
        eager_eot_threshold: float | None,
        eot_timeout_ms: int,
    ) -> None:
        self._hearing = hearing
        self._eot_threshold = eot_threshold
        self._eager_eot_threshold = eager_eot_threshold
        self._eot_timeout_ms = eot_timeout_ms
        self._state: Literal["initial", "speaking", "awaiting end"] = "initial"
        self._turn = 0
        self._turn_from = 0
        self._now = 0
        """All before it is transcribed."""
        self._told_to = 0

    def greet(self) -> list[dict[str, Any]]:
        return [{"type": "Connected", "request_id": "1", "sequence_id": 0}]

    def hear(self, before: int) -> list[dict[str, Any]]:
        events = []
        while len(self._hearing) - self._now >= STEP:
            self._now += STEP
            events += self._step()
        return events

    def told(self, kind: str) -> list[dict[str, Any]] | None:
        match kind:
            case "ForceEndTurn":
                return [] if self._state == "initial" else [self._end("manual")]
            case _:
                return None

    def says_bye(self) -> list[dict[str, Any]]:
        return []

    def _step(self) -> list[dict[str, Any]]:
        if self._state == "initial":
            if self._words():
                self._state = "speaking"
                return [self._event("StartOfTurn")]
        elif self._confidence() >= self._eot_threshold:
            return [self._end("model")]
        elif self._hearing.silent_ms(self._now) >= self._eot_timeout_ms:
            return [self._end("timeout")]
        elif self._state == "speaking" and self._confidence() >= (self._eager_eot_threshold or 2.0):
            self._state = "awaiting end"
            return [self._event("EagerEndOfTurn")]
        elif self._state == "awaiting end" and not self._hearing.silent_ms(self._now):
            self._state = "speaking"
            return [self._event("TurnResumed")]
        return [self._event("Update")] if self._now - self._told_to >= UPDATE_EVERY else []

    def _confidence(self) -> float:
        sure = min(0.99, self._hearing.silent_ms(self._now) / SURE_MS)
        return min(DOUBTS, sure) if UNFINISHED.search(transcript(self._words())) else sure

    def _end(self, trigger: str) -> dict[str, Any]:
        event = {**self._event("EndOfTurn"), "trigger": trigger}
        self._state = "initial"
        self._turn += 1
        self._turn_from = self._now
        return event

    def _words(self) -> list[HeardWord]:
        return self._hearing.between(self._turn_from, self._now)

    def _event(self, event: str) -> dict[str, Any]:
        self._told_to = self._now
        words = self._words()
        return {
            "type": "TurnInfo",
            "request_id": "1",
            "sequence_id": 0,
            "event": event,
            "turn_index": self._turn,
            "audio_window_start": seconds(self._turn_from),
            "audio_window_end": seconds(self._now),
            "transcript": transcript(words),
            "words": [word.told() for word in words],
            "end_of_turn_confidence": self._confidence(),
        }
