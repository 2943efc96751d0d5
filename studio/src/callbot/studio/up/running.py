"""A platform as a child process, for the demo, the benches and the tests."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from callbot.studio.up.state import PartRow, running_parts
from callbot.studio.up.twilio import LocalTwilio, local_twilio

WITHOUT_LIMITS = {
    "CALLBOT_BOTS_PER_USER": "100000",
    "CALLBOT_CALLS_PER_BOT_A_DAY": "1000000",
    "CALLBOT_CALLS_AT_ONCE": "1000",
    "CALLBOT_KEYS_PER_USER": "1000",
    "CALLBOT_WEBHOOK_CALLS_PER_S": "0",
    "CALLBOT_AUTH_ATTEMPTS_PER_ADDRESS": "100000",
}
"""For `env`: one user makes many bots and calls, as benches and tests do."""
_ENDS_WITHIN_S = 6.0
_REPLACING = frozenset({"NATS_URL", "MONGO_URL", "OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"})


class PlatformFailed(Exception):
    """It did not come up; the text is the sentence that `callbot up` ended with."""


@dataclass(frozen=True)
class Platform:
    """A running `callbot up`."""

    url: str
    """Where its API is, without a slash at the end."""
    data: Path
    log: Path
    """What it has written to stderr."""
    process: asyncio.subprocess.Process

    @property
    def twilio(self) -> LocalTwilio:
        """Its emulated Twilio. Raises PlatformFailed where it has none."""
        if (found := local_twilio(self.data)) is None:
            raise PlatformFailed("this platform has no emulated Twilio")
        return found

    async def ps(self) -> list[PartRow]:
        return await running_parts(self.data)


@asynccontextmanager
async def running_platform(
    *arguments: str,
    data: Path | None = None,
    env: Mapping[str, str] | None = None,
    ready_within_s: float = 100.0,
) -> AsyncIterator[Platform]:
    """`callbot up --port 0 {arguments}`, ready; stopped when the block ends, and also when this process dies.

    `data`: default a temporary directory. Settings of callbot and of the servers that it can use are not
    inherited from this process: give them in `env`. Raises PlatformFailed.
    """
    with tempfile.TemporaryDirectory(prefix="callbot-") as temporary:
        where = data or Path(temporary)
        where.mkdir(parents=True, exist_ok=True)
        log = where / "up.log"
        with log.open("wb") as log_file:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "callbot.studio.cli", "up", "--until-stdin-ends"),
                *("--port", "0", "--data", str(where), *arguments),
                env={**_neutral_environment(), **(env or {})},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log_file,
                start_new_session=True,
            )
        try:
            yield Platform(await _ready_url(process, log, ready_within_s), where, log, process)
        finally:
            await _end(process)


async def _ready_url(process: asyncio.subprocess.Process, log: Path, within_s: float) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(within_s):
            line = (await process.stdout.readline()).decode()
    except TimeoutError as e:
        raise PlatformFailed(f"no ready line within {within_s:g} s; see {log}") from e
    if not line.startswith("ready "):
        raise PlatformFailed(_last_line(log))
    return line.split()[1]


def _last_line(log: Path) -> str:
    return log.read_text(errors="replace").strip().rpartition("\n")[2]


async def _end(process: asyncio.subprocess.Process) -> None:
    """The end of its input stops it; SIGKILL if that takes too long (its undertaker does the rest)."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_ENDS_WITHIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _neutral_environment() -> dict[str, str]:
    return {
        k: v for k, v in os.environ.items() if k not in _REPLACING and not k.startswith(("CALLBOT_", "OTEL_"))
    }
