"""The ears' own models and rules on spoken turns with pauses in them, scored without a clock.

A decode is taken to be known three chunks after the silence that it began with, as it is on an idle machine.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from callbot.schemas.audio import SILENCE_BYTE
from callbot.schemas.turn_taking import TurnTaking
from callbot.stt_worker import mulaw
from callbot.stt_worker.end_of_turn import Ended, EndOfTurn, WentQuiet
from callbot.stt_worker.patience import UNFINISHED_MS, silence_wanted_ms
from callbot.stt_worker.providers.local import WhisperModel, packaged_model
from callbot.stt_worker.providers.silero import SileroJudge
from callbot.stt_worker.providers.smart_turn import SmartTurn
from callbot.stt_worker.recognizer import Utterance
from callbot.stt_worker.voice_activity import CHUNK_MS, CHUNK_SAMPLES, levels_dbfs
from callbot.stt_worker.words import completeness

WHOLE = [
    "Tomorrow at seven in the evening.",
    "I need to cancel my appointment on Friday.",
    "What time do you close today?",
    "The room was cold last night.",
    "Could I speak to a person?",
    "It's room three twelve.",
]
PAUSED = [
    ["I'd like to come for,", "two nights in July."],
    ["My name is,", "Anna Miller."],
    ["I'm calling because,", "my order never arrived."],
    ["We want to come on Friday and,", "maybe stay until Sunday."],
    ["I wanted to ask about the,", "cancellation policy."],
    ["Well,", "I'm not sure about the date."],
]
DICTATED = [
    ["My number is four one five,", "five five five,", "zero one two three."],
    ["You can reach me at three one zero,", "seven seven four,", "two oh five six."],
    ["My phone number is seven one eight,", "two two three,", "nine six four one."],
    ["My email is j o e,", "s m i t h,", "at yahoo dot com."],
    ["It's t o m,", "underscore,", "b e r g,", "at outlook dot com."],
]
KNOWN_AFTER_CHUNKS = 3
Wanted = Callable[[bytes, WentQuiet], int]
"""What was said until a silence → how long that has to last."""


@dataclass(frozen=True)
class Turn:
    """`audio` with its last sound at `ended_ms`."""

    audio: bytes
    ended_ms: int


@pytest.fixture(scope="module")
def turns(say: Callable[[list[str]], list[bytes]]) -> dict[str, list[Turn]]:
    """Pauses of 500 ms in sentences, of 700 ms in what is dictated."""
    kinds = {"whole": [[text] for text in WHOLE], "paused": PAUSED, "dictated": DICTATED}
    parts = [part for turns in kinds.values() for turn in turns for part in turn]
    spoken = dict(zip(parts, map(_trimmed, say(parts)), strict=True))
    return {
        kind: [_joined([spoken[part] for part in turn], 700 if kind == "dictated" else 500) for turn in turns]
        for kind, turns in kinds.items()
    }


def _silence(ms: int) -> bytes:
    return bytes([SILENCE_BYTE]) * (ms * 8)


def _trimmed(audio: bytes) -> bytes:
    loud = np.flatnonzero(np.abs(mulaw.decode(audio)) > 0.01)
    return audio[loud[0] : loud[-1]]


def _joined(parts: list[bytes], pause_ms: int) -> Turn:
    audio = _silence(600) + _silence(pause_ms).join(parts)
    return Turn(audio + _silence(3500), len(audio) // 8)


@pytest.fixture(scope="module")
def prosody() -> SmartTurn:
    return SmartTurn()


@pytest.fixture(scope="module")
def ours(prosody: SmartTurn) -> Wanted:
    whisper = WhisperModel(packaged_model(), workers=1, threads=1)

    @cache
    def wanted(heard: bytes, quiet: WentQuiet) -> int:
        text = whisper.words_of(Utterance(heard))
        missing = _silence(max(0, 200 - (quiet.to_ms - quiet.speech_ended_at_ms)))
        finished = prosody.finished(mulaw.decode(heard + missing))
        return silence_wanted_ms(completeness(text), finished, TurnTaking())[0] if text else UNFINISHED_MS

    return wanted


@pytest.fixture(scope="module")
def smart_turn_alone(prosody: SmartTurn) -> Wanted:
    """Its own rule: asked after 200 ms of silence, finished from 0.5 on, else 3 s."""

    def wanted(heard: bytes, quiet: WentQuiet) -> int:
        missing = _silence(max(0, 200 - (quiet.to_ms - quiet.speech_ended_at_ms)))
        return 200 if prosody.finished(mulaw.decode(heard + missing)) >= 0.5 else 3000

    return wanted


def _chunks(audio: bytes) -> Iterator[tuple[int, float, float]]:
    judge = SileroJudge()
    memory = judge.fresh()
    for i in range(len(audio) // CHUNK_SAMPLES):
        chunk = mulaw.decode(audio[i * CHUNK_SAMPLES : (i + 1) * CHUNK_SAMPLES])[None]
        probability, (memory,) = judge.judge(chunk, [memory])
        yield (i + 1) * CHUNK_MS, float(probability[0]), float(levels_dbfs(chunk)[0])


def _ended(turn: Turn, wanted: Wanted) -> Ended:
    """Where the first turn is taken to end."""
    course = EndOfTurn(longest_silence_ms=3000)
    known: dict[int, int] = {}
    for end_ms, probability, level_dbfs in _chunks(turn.audio):
        happening = course.hear(end_ms, probability, level_dbfs)
        if isinstance(happening, WentQuiet):
            heard = turn.audio[happening.from_ms * 8 : happening.to_ms * 8]
            known = {end_ms + KNOWN_AFTER_CHUNKS * CHUNK_MS: wanted(heard, happening)}
        if happening is None and (silence_ms := known.pop(end_ms, None)) is not None:
            happening = course.wait_until(silence_ms)
        if isinstance(happening, Ended):
            return happening
    raise AssertionError("it never ended")


def _is_cut(turn: Turn, ended: Ended) -> bool:
    return ended.speech_ended_at_ms < turn.ended_ms - 150


def test_whole_sentences_end_soon(turns: dict[str, list[Turn]], ours: Wanted) -> None:
    ended = [(turn, _ended(turn, ours)) for turn in turns["whole"]]
    assert not any(_is_cut(*each) for each in ended)
    assert np.median([end.ended_at_ms - turn.ended_ms for turn, end in ended]) <= 350


def test_what_is_dictated_is_one_turn(turns: dict[str, list[Turn]], ours: Wanted) -> None:
    assert [_is_cut(turn, _ended(turn, ours)) for turn in turns["dictated"]] == [False] * len(DICTATED)


def test_fewer_pauses_end_a_turn_than_with_prosody_alone(
    turns: dict[str, list[Turn]], ours: Wanted, smart_turn_alone: Wanted
) -> None:
    paused = turns["paused"] + turns["dictated"]
    cut = sum(_is_cut(turn, _ended(turn, ours)) for turn in paused)
    cut_alone = sum(_is_cut(turn, _ended(turn, smart_turn_alone)) for turn in paused)
    assert cut <= 2
    assert cut_alone >= cut + 3
