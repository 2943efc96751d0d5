"""The parent's half of `piper_process`: one running child, shared by all who speak."""

import asyncio
import itertools
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from callbot.runtime.errors import ProviderError

STOP_WITHIN_S = 1.0


class ChildGone(Exception):
    """The process ended, or was ended because it was stuck."""


class CannotStart(Exception):
    """The child has said why, or nothing at all."""


@dataclass(frozen=True, slots=True)
class Piece:
    rate_hz: int
    pcm: bytes


Answer = Piece | Exception | None
"""None: all has been said."""


class PiperChild:
    def __init__(self, process: Process) -> None:
        self._process = process
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Queue[Answer]] = {}
        self._heard_at_s = time.monotonic()
        self._reading: asyncio.Task[None] | None = None
        self.gone = asyncio.Event()
        self.voice_name = self.language = ""
        """Of the voice that it has loaded; the language as BCP 47."""

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def start(cls, options: Sequence[str], within_s: float) -> Self:
        """Returns when the voice is loaded and warm. Raises CannotStart."""
        program = (sys.executable, "-m", "callbot.tts_worker.providers.piper_process")
        try:
            child = cls(await asyncio.create_subprocess_exec(*program, *options, stdin=PIPE, stdout=PIPE))
        except OSError as e:
            raise CannotStart(f"no process can be started: {e.strerror}") from e
        try:
            await child._greeting(within_s)
        except BaseException:
            await child.stop()
            raise
        child._reading = asyncio.create_task(child._read_for_ever())
        return child

    async def _greeting(self, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                hello = await self._header()
        except TimeoutError:
            raise CannotStart(f"Piper's voice was not loaded within {within_s} s") from None
        except (ChildGone, ValueError):
            raise CannotStart("Piper's process ended while it was loading its voice") from None
        if not hello.get("ready"):
            raise CannotStart(str(hello.get("error")))
        self.voice_name, self.language = str(hello.get("name")), str(hello.get("language"))

    async def stop(self) -> None:
        """End of stdin ends the child; one that is stuck is killed."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        if self._reading is not None:
            await self._reading

    def kill(self) -> None:
        self.gone.set()
        if self._process.returncode is None:
            self._process.kill()

    async def pieces(self, text: str, *, skip: int, within_s: float) -> AsyncGenerator[Piece, None]:
        """The text's pieces but the first `skip`. Raises ChildGone, ProviderError.

        `within_s`: the time to the first piece, and to each further one. A child from which nobody heard
        anything for so long is stuck, and killed.
        """
        number = next(self._ids)
        answers = self._answers[number] = asyncio.Queue()
        said = False
        try:
            self._send({"id": number, "text": text, "skip": skip})
            while (answer := await self._answer(answers, within_s)) is not None:
                yield answer
            said = True
        finally:
            del self._answers[number]
            if not said:
                self._send({"cancel": number})

    async def _answer(self, answers: asyncio.Queue[Answer], within_s: float) -> Piece | None:
        if self.gone.is_set() and answers.empty():
            raise ChildGone
        try:
            async with asyncio.timeout(within_s):
                answer = await answers.get()
        except TimeoutError:
            if time.monotonic() - self._heard_at_s >= within_s:
                self.kill()
                raise ChildGone from None
            raise ProviderError("too_slow", f"no audio in {within_s} s", retryable=True) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _send(self, message: dict[str, Any]) -> None:
        stdin = self._process.stdin
        if stdin is not None and not self.gone.is_set() and not stdin.is_closing():
            stdin.write(json.dumps(message).encode() + b"\n")

    async def _read_for_ever(self) -> None:
        try:
            while True:
                header = await self._header()
                piece = await self._piece(header) if "bytes" in header else None
                self._heard_at_s = time.monotonic()
                answers = self._answers.get(header["id"])
                if answers is not None:
                    error = header.get("error")
                    answers.put_nowait(ProviderError("piper", error, retryable=False) if error else piece)
        except (ChildGone, ValueError, KeyError):
            # Nothing after a broken header can be trusted.
            self.kill()
            await self._process.wait()
        finally:
            self.gone.set()
            for answers in self._answers.values():
                answers.put_nowait(ChildGone())

    async def _header(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise ChildGone
        return dict(json.loads(line))

    async def _piece(self, header: dict[str, Any]) -> Piece:
        assert self._process.stdout is not None
        try:
            return Piece(header["rate_hz"], await self._process.stdout.readexactly(header["bytes"]))
        except asyncio.IncompleteReadError:
            raise ChildGone from None
