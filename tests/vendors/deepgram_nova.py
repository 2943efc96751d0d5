"""One connection of Nova: interim results, frozen stretches, Finalize.

https://developers.deepgram.com/docs/understand-endpointing-interim-results, …/docs/finalize
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from callbot.schemas.audio import BYTES_PER_MS
from tests.vendors.deepgram_hearing import Hearing, seconds, transcript

INTERIM_EVERY = 100 * BYTES_PER_MS
EMPTY_INTERIM_EVERY = 1000 * BYTES_PER_MS
FROZEN_AFTER = 3000 * BYTES_PER_MS
"""However the speech goes on."""
SIGNIFICANT = 60 * BYTES_PER_MS
"""For less, Finalize is not answered."""
_YES = ["true"], ["false"]
_LANGUAGE = re.compile(r"[a-z]{2}(-[A-Z]{2}|-419)?|multi")

NOVA_RULES: Mapping[str, Callable[[list[str], Mapping[str, list[str]]], bool]] = {
    "model": lambda v, _: len(v) == 1 and re.fullmatch(r"nova-[23](-[a-z]+)?", v[0]) is not None,
    "encoding": lambda v, _: v == ["mulaw"],
    "sample_rate": lambda v, _: v == ["8000"],
    "channels": lambda v, _: v == ["1"],
    "language": lambda v, _: len(v) == 1 and _LANGUAGE.fullmatch(v[0]) is not None,
    "interim_results": lambda v, _: v in _YES,
    "punctuate": lambda v, _: v in _YES,
    "smart_format": lambda v, _: v in _YES,
    "mip_opt_out": lambda v, _: v in _YES,
    "endpointing": lambda v, _: v == ["false"] or (len(v) == 1 and v[0].isdecimal()),
    "keyterm": lambda v, all_: all_["model"][0].startswith("nova-3") and sum(map(len, v)) <= 2000,
}


class NovaSession:
    def __init__(self, hearing: Hearing, *, endpointing_ms: int) -> None:
        self._hearing = hearing
        self._endpointing_ms = endpointing_ms
        self._frozen_to = 0
        self._told_to = 0

    def greet(self) -> list[dict[str, Any]]:
        return []

    def hear(self, before: int) -> list[dict[str, Any]]:
        now = len(self._hearing)
        if now - self._frozen_to >= FROZEN_AFTER:
            return [self._freeze(speech_final=False)]
        is_silent = self._hearing.silent_ms(now) >= self._endpointing_ms
        if is_silent and self._hearing.is_voiced(self._frozen_to):
            return [self._freeze(speech_final=True)]
        words = self._hearing.between(self._frozen_to, now)
        if now - self._told_to >= (INTERIM_EVERY if words else EMPTY_INTERIM_EVERY):
            self._told_to = now
            return [self._results(is_final=False, speech_final=False, from_finalize=False)]
        return []

    def told(self, kind: str) -> list[dict[str, Any]] | None:
        match kind:
            case "KeepAlive":
                return []
            case "Finalize":
                significant = len(self._hearing) - self._frozen_to >= SIGNIFICANT
                return [self._freeze(speech_final=True, from_finalize=True)] if significant else []
            case _:
                return None

    def says_bye(self) -> list[dict[str, Any]]:
        length = {"duration": seconds(len(self._hearing)), "channels": 1}
        metadata = {"type": "Metadata", "transaction_key": "deprecated", "request_id": "1", **length}
        rest = [self._freeze(speech_final=True)] if len(self._hearing) > self._frozen_to else []
        return [*rest, metadata]

    def _freeze(self, *, speech_final: bool, from_finalize: bool = False) -> dict[str, Any]:
        results = self._results(is_final=True, speech_final=speech_final, from_finalize=from_finalize)
        self._frozen_to = self._told_to = len(self._hearing)
        return results

    def _results(self, *, is_final: bool, speech_final: bool, from_finalize: bool) -> dict[str, Any]:
        now = len(self._hearing)
        words = self._hearing.between(self._frozen_to, now)
        told = [{**word.told(), "punctuated_word": word.text} for word in words]
        best = {"transcript": transcript(words), "confidence": 0.98, "words": told}
        return {
            "type": "Results",
            "channel_index": [0, 1],
            "start": seconds(self._frozen_to),
            "duration": seconds(now - self._frozen_to),
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [best]},
            "metadata": {"request_id": "1", "model_info": {}, "model_uuid": "1"},
        }
