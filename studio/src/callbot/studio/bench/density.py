"""`callbot bench density`: how many real-time two-way calls a machine carries, and what each costs.

A call: the caller speaks for about 3 s of every 12 and sends a frame each 20 ms all the time, as Twilio does;
the bot answers for about 6 s. Recogniser, voice and webhook are scripted; the voice activity detector is the
real one unless `--vad energy` is given. The end-of-turn model and interim transcripts are off unless asked
for: they cost with each pause and each word, not with each frame.

Added frame delay:
- of the caller's frames: from the write to the socket of the media stream until the frame is read from the
  bus, by a subscriber with the ears' rights. In a few watched calls; the subscriber lives in the load
  generator, whose own lateness is in the figure.
- of the bot's frames: for how long the caller's play-out buffer had been dry, inside a sentence, when they
  came; 0 while they come in time. All calls. The gateway sends pieces of 200 ms, up to 600 ms ahead.
- first: from the beginning of a sentence on the bus until its first media message at the caller's socket.

Steps go up until p99 of the first or the second passes 20 ms, a frame of a watched call does not arrive
within a second, the broker or a service says that it dropped something, or a call breaks. Processor time is
user and system time of each process over the step (proc(5)), divided by calls and seconds; what the idle
platform needs is in it.
"""

import asyncio
import base64
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from callbot.schemas.audio import BYTES_PER_MS, FRAME_BYTES, SILENCE_BYTE
from callbot.schemas.text_audio import audible
from callbot.studio.bench import density_score as score
from callbot.studio.bench.density_score import Times
from callbot.studio.bench.processes import get_json
from callbot.studio.bench.processor_time import main_thread_s, used_s
from callbot.studio.bench.results import Results, Row, machine
from callbot.studio.bench.soak import monitor_of
from callbot.studio.bench.webhook import answering_webhook, create_bot
from callbot.studio.emulator.voices import VoiceError, piper_voice
from callbot.studio.up import WITHOUT_LIMITS, Platform, PlatformFailed, running_platform

CYCLE_MS: Final = 12_000
WORDS: Final = "I would like to book a table for four people at seven tonight."
ONLY_LISTENING: Final = {"CALLBOT_PROSODY": "off", "CALLBOT_INTERIM_SHARE": "0"}
SETTLE_S: Final = 4.0
WATCHED: Final = 8
"""Calls of each generator whose frames are read from the bus too: the broker carries those twice."""
PROFILE_S: Final = 10
ANSWERS_WITHIN_S: Final = 60.0
_DROPPED = re.compile(
    r"SlowConsumer|does not take what it is sent|caller audio not sent|audio lost on the way"
)


@dataclass(frozen=True)
class DensityPlan:
    begin: int
    step: int
    most: int
    """Calls."""
    seconds: float
    """Of each step."""
    vad: str
    generators: int = 1
    """Processes that make the calls."""
    replicas: int = 1
    end_of_turn: bool = False
    """With the end-of-turn model and interim transcripts, as the default has them."""
    seed: int = 1


async def density(plan: DensityPlan, out: Path, *, resume: bool, profile: str = "") -> int:
    """Exit code 1 when not even the first step was carried. `profile`: a service, drawn at every step."""
    results = Results(out, asdict(plan), resume=resume)
    if profile and shutil.which("py-spy") is None:
        raise PlatformFailed("--profile needs the program py-spy (pip install py-spy) on the PATH")
    env = {
        **WITHOUT_LIMITS,
        "CALLBOT_VAD": plan.vad,
        **({} if plan.end_of_turn else ONLY_LISTENING),
        "CALLBOT_ROOM": "1000",
        "CALLBOT_MAX_CALLS": "1000",
        "CALLBOT_NATS_MONITOR": "1",
    }
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callbot-density-")))
        (folder / "frames").write_text("\n".join(await callers_frames(plan.vad)))
        platform = await enter(running_platform("--scripted", "--replicas", str(plan.replicas), env=env))
        webhook = await enter(answering_webhook(0, "six seconds"))
        http = await enter(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)))
        bot = await create_bot(
            http, platform.url, goal="Density", webhook=webhook, greeting="Hello.", suggest="off"
        )
        load = await enter(_generators(plan, platform, folder / "frames", bot))
        await _steps(plan, _Stage(platform, load, http, out, profile), results)
    return _print_result(plan, results.rows)


async def callers_frames(vad: str) -> list[str]:
    """One cycle of the caller in base64, frame by frame. Raises PlatformFailed.

    Speech with its words in the middle, as the scripted recogniser reads them; a tone for `energy`.
    """
    if vad == "energy":
        said = audible(WORDS, 45)
    else:
        try:
            async with piper_voice() as voice:
                spoken = await voice.speech(WORDS)
        except VoiceError as e:
            raise PlatformFailed(f"{e}; --vad energy needs no voice") from e
        middle = len(spoken) // 2
        said = spoken[:middle] + audible(WORDS, 0) + spoken[middle:]
    cycle = said[: CYCLE_MS * BYTES_PER_MS].ljust(CYCLE_MS * BYTES_PER_MS, bytes([SILENCE_BYTE]))
    return [
        base64.b64encode(cycle[at : at + FRAME_BYTES]).decode() for at in range(0, len(cycle), FRAME_BYTES)
    ]


class Generator:
    """One process of `density_load`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self.process = process

    async def tell(self, message: Mapping[str, Any]) -> None:
        self._stdin.write(json.dumps(message).encode() + b"\n")
        await self._stdin.drain()

    async def ask(self, message: Mapping[str, Any], within_s: float = ANSWERS_WITHIN_S) -> dict[str, Any]:
        """Raises PlatformFailed."""
        await self.tell(message)
        try:
            async with asyncio.timeout(within_s):
                return dict(json.loads(await self._stdout.readline()))
        except (TimeoutError, ValueError) as e:
            raise PlatformFailed("a load generator does not answer") from e

    async def end(self) -> None:
        self._stdin.close()
        try:
            async with asyncio.timeout(5):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def _generators(
    plan: DensityPlan, platform: Platform, frames: Path, bot: str
) -> AsyncIterator[list[Generator]]:
    account = platform.twilio.accounts.platform
    told = {
        "voice_url": f"{platform.url}/v1/voice?bot_id={bot}",
        "account_sid": account.sid,
        "auth_token": account.auth_token,
        "nats": nats_urls((platform.data / "nats.conf").read_text()),
        "frames": str(frames),
        "watched": WATCHED,
    }
    found: list[Generator] = []
    try:
        for number in range(plan.generators):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "callbot.studio.bench.density_load"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=16 * 1024 * 1024,
            )
            found.append(Generator(process))
            await found[-1].tell({**told, "seed": plan.seed * 1000 + number})
        yield found
    finally:
        await asyncio.gather(*(generator.end() for generator in found))


def nats_urls(config: str) -> dict[str, str]:
    """Of each user in the configuration that `callbot up` has written, with its password."""
    port = re.search(r"^port: (\d+)", config, re.MULTILINE)
    users = re.findall(r'user: "([^"]+)"\s+password: "([^"]+)"', config)
    if port is None or not users:
        raise PlatformFailed("nats.conf names no port or no user")
    return {user: f"nats://{user}:{password}@127.0.0.1:{port[1]}" for user, password in users}


@dataclass(frozen=True)
class _Stage:
    platform: Platform
    load: Sequence[Generator]
    http: aiohttp.ClientSession
    out: Path
    profile: str


async def _steps(plan: DensityPlan, stage: _Stage, results: Results) -> None:
    print(f"{machine()}; {plan}")
    score.print_head()
    done = [int(row["calls"]) for row in results.rows]
    for calls in range(max([plan.begin, *(n + plan.step for n in done)]), plan.most + 1, plan.step):
        shares = [calls // len(stage.load) + (n < calls % len(stage.load)) for n in range(len(stage.load))]
        for tries in range(1, score.TRIES + 1):
            longest_s = ANSWERS_WITHIN_S + 1.0 * calls
            dialling = zip(stage.load, shares, strict=True)
            await asyncio.gather(*(one.ask({"calls": share}, longest_s) for one, share in dialling))
            await asyncio.sleep(SETTLE_S)
            row = await _measure(stage, plan.seconds)
            results.add([row])
            score.print_step(row)
            if stage.profile:
                await _draw(stage, calls)
            if (next_one := score.decision(row, tries)) != "again":
                break
        if next_one == "stop":
            return


async def _measure(stage: _Stage, seconds: float) -> Row:
    dropped = await _dropped(stage)
    pids = await _pids(stage)
    before, began_s = _used(pids), time.monotonic()
    answers = [asyncio.create_task(one.ask({"measure": seconds})) for one in stage.load]
    await asyncio.sleep(seconds)
    after, took_s = _used(pids), time.monotonic() - began_s
    seen = await asyncio.gather(*answers)
    used = {name: after[name] - before[name] for name in after if name in before}
    names = ("sent_late_ms", "caller_ms", "bot_ms", "first_ms")
    return {
        "calls": sum(one["calls"] for one in seen),
        "seconds": took_s,
        "cpu_s": used,
        "busy_cores": sum(value for name, value in used.items() if "'" not in name) / took_s,
        **{name: Times.of(one[name] for one in seen).told() for name in names},
        "lost": sum(one["lost"] for one in seen),
        "failed": sum(one["failed"] for one in seen),
        "dropped": await _dropped(stage) - dropped,
    }


async def _pids(stage: _Stage) -> dict[str, int]:
    pids = {f"{part['service']}-{part['replica']}": part["pid"] for part in await stage.platform.ps()}
    generators = enumerate(stage.load, 1)
    return {**pids, **{f"load generator-{number}": one.process.pid for number, one in generators}}


def _used(pids: Mapping[str, int]) -> dict[str, float]:
    """Seconds. The stt-worker's threads that are not its event loop, apart as well."""
    used = {}
    for name, pid in pids.items():
        used[name] = used_s(pid)
        service, _, replica = name.rpartition("-")
        if service == "stt-worker":
            used[f"{service}'s other threads-{replica}"] = used[name] - main_thread_s(pid)
    return used


async def _dropped(stage: _Stage) -> int:
    """How often the broker has dropped a slow client, or a service has said that it dropped something."""
    server = await get_json(stage.http, f"{monitor_of(stage.platform.data)}/varz")
    log = await asyncio.to_thread(stage.platform.log.read_text, errors="replace")
    return int(server["slow_consumers"]) + len(_DROPPED.findall(log))


async def _draw(stage: _Stage, calls: int) -> None:
    """A flame graph of the service's first process, by py-spy."""
    path = stage.out.with_name(f"{stage.out.stem}-{stage.profile}-{calls}.svg")
    pid = (await _pids(stage)).get(f"{stage.profile}-1")
    if pid is None:
        raise PlatformFailed(f"--profile: no service {stage.profile} runs")
    process = await asyncio.create_subprocess_exec(
        *("py-spy", "record", "--pid", str(pid), "--duration", str(PROFILE_S), "--rate", "200"),
        *("--format", "flamegraph", "--output", str(path)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()
    print(f"flame graph: {path}" if not process.returncode else f"py-spy: {error.decode().strip()[-300:]}")


def _print_result(plan: DensityPlan, rows: Sequence[Row]) -> int:
    best = score.carried(rows)
    print(f"\n{machine()}; {plan}")
    if best is None:
        print("WRONG: not even the first step was carried")
        return 1
    score.print_costs(best, only_listening=not plan.end_of_turn)
    return 0
