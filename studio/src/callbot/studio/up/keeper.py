"""Keeps one part running: starts it, shows what it says, starts it again when it ends."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from callbot.studio.up.http_get import accepts
from callbot.studio.up.lines import Lines
from callbot.studio.up.parts import Part
from callbot.studio.up.problems import CannotStart
from callbot.studio.up.undertaker import Undertaker, kill_group

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
_SOUND_AFTER_S = 10.0
"""A part that ran so long gets its next start after the first pause again."""
_LOOK_EVERY_S = 0.05
_SIGNAL_IS_HANDLED_S = 0.1
_LONGEST_LINE = 2**20


class Keeper:
    def __init__(
        self, part: Part, *, lines: Lines, undertaker: Undertaker, changed: Callable[[], None]
    ) -> None:
        self.part = part
        self.ready = asyncio.Event()
        self.last_line = ""
        self._lines = lines
        self._undertaker = undertaker
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._was_ready = False
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """None while the part does not run."""
        return self._process.pid if self._process else None

    def start(self, needed: Sequence["Keeper"]) -> asyncio.Task[None]:
        """The task ends when the part has been stopped, or with CannotStart if it never became ready."""
        self._task = asyncio.create_task(self._keep(needed), name=self.part.name)
        return self._task

    async def end(self, within_s: float) -> None:
        """SIGTERM, and after `within_s` SIGKILL to its whole group. Never raises for what the part did."""
        self._stopping = True
        if self._task is None:
            return
        if self._process is None:
            self._task.cancel()
        else:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            if self.part.wake_at_end:
                await self._wake()
        await asyncio.wait({self._task}, timeout=within_s)
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _wake(self) -> None:
        """One connection; if it comes before the signal is handled, the part only ends later."""
        await asyncio.sleep(_SIGNAL_IS_HANDLED_S)
        with contextlib.suppress(OSError, TimeoutError):
            await accepts(self.part.port, timeout_s=_SIGNAL_IS_HANDLED_S)

    async def _keep(self, needed: Sequence["Keeper"]) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping:
            for other in needed:
                await other.ready.wait()
            began = time.monotonic()
            how = await self._run_once()
            if self._stopping:
                return
            if not self._was_ready:
                reason = self.last_line.removeprefix(f"{self.part.service}: ")
                raise CannotStart(f"{self.part.name} could not start ({how}): {reason}")
            if time.monotonic() - began > _SOUND_AFTER_S:
                pause_s = FIRST_PAUSE_S
            self._lines.say(f"{self.part.name} ended ({how}); starting it again in {pause_s:g} s")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run_once(self) -> str:
        """From start to end; says how it ended. Nothing of its process group is left afterwards."""
        async with self._started() as process, self._watched():
            code = await process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    @contextlib.asynccontextmanager
    async def _started(self) -> AsyncIterator[asyncio.subprocess.Process]:
        with _pipe() as (read_fd, write_fd):
            process = await asyncio.create_subprocess_exec(
                *self.part.argv,
                env=self.part.environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_fd,
                stderr=write_fd,
                start_new_session=True,
            )
            self._undertaker.watch(process.pid)
            os.close(write_fd)
            shown = asyncio.create_task(self._show(read_fd))
        self._process = process
        self._changed()
        try:
            yield process
        finally:
            kill_group(process.pid)
            self._process = None
            self.ready.clear()
            await process.wait()
            self._undertaker.forget(process.pid)
            self._changed()
            # A descendant outside the group could hold the pipe open for ever.
            await asyncio.wait({shown}, timeout=0.5)
            shown.cancel()

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        looking = asyncio.create_task(self._look_for_readiness())
        try:
            yield
        finally:
            looking.cancel()

    async def _look_for_readiness(self) -> None:
        while not await self.part.is_ready():  # noqa: ASYNC110 - another process: nothing to await
            await asyncio.sleep(_LOOK_EVERY_S)
        if self._was_ready:
            self._lines.say(f"{self.part.name} is ready again")
        self._was_ready = True
        self.ready.set()

    async def _show(self, read_fd: int) -> None:
        reader = asyncio.StreamReader(limit=_LONGEST_LINE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_fd, "rb", buffering=0)
        )
        try:
            while line := await _next_line(reader):
                if text := line.decode(errors="replace").rstrip():
                    self.last_line = self._lines.show(self.part.name, text)
        finally:
            transport.close()


async def _next_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:
        return b"(a line of more than 1 MiB was left out)\n"


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """Not asyncio's own: there a grandchild that holds the pipe would hide the end of the child."""
    read_fd, write_fd = os.pipe()
    try:
        yield read_fd, write_fd
    except BaseException:
        os.close(read_fd)
        with contextlib.suppress(OSError):
            os.close(write_fd)
        raise
