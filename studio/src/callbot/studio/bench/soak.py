"""`callbot bench soak`: many short calls; afterwards every process is as small and as idle as before.

With `--minutes` also how memory and lateness developed meanwhile.
"""

import asyncio
import itertools
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp

from callbot.studio.bench.processes import Moment, get_json, print_course, processes, watched
from callbot.studio.bench.results import Results, Row, machine
from callbot.studio.bench.webhook import answering_webhook, create_bot
from callbot.studio.emulator import CallOver, Emulator, NotHeard
from callbot.studio.up import WITHOUT_LIMITS, Platform, running_platform

MAY_GROW_KIB = 8 * 1024
"""Between the end of the warm-up and the end: what allocators keep for themselves."""
MAY_GROW_SHARE = 0.06
MAY_HAVE_MORE_TASKS = 5
"""A connection that a client of HTTP keeps open is a task too."""
STORES_MAY_HOLD_KIB = {"nats-1": 192 * 1024, "mongo-1": 192 * 1024}
"""Stores keep what calls leave behind, part of it in memory: WiredTiger's cache may have 128 MiB
(`callbot up`); JetStream caches blocks, the ids of two minutes, and an index of each call's subject for as
long as its stream keeps the call. What counts for them is that they stay below this."""
WARM_UP_SHARE = 0.25
IDLE_WITHIN_S = 20.0
STOOD_STILL_MS = 1000.0
"""The bench itself was as late: a machine that was paused, or has far too much to do."""
MS_PER_CHARACTER = 10
WORDS = ("table", "four", "seven", "evening", "window", "garden", "name", "phone", "wine", "bread", "soup")


@dataclass(frozen=True)
class SoakPlan:
    calls: int
    at_once: int
    turns: int
    replicas: int
    seed: int
    minutes: float = 0.0
    """Calls are made for so long; 0: as many as `calls` says."""


@dataclass(frozen=True)
class Snapshot:
    """The idle platform: memory in KiB and asyncio tasks by process, and NATS's own counters."""

    memory_kib: dict[str, int]
    tasks: dict[str, int]
    subscriptions: int
    consumers: int
    connections: int


async def soak(plan: SoakPlan, out: Path, *, resume: bool) -> int:
    """Exit code 1 when a call failed, a process grew, or something was left behind."""
    results = Results(out, asdict(plan), resume=resume)
    env = {
        **WITHOUT_LIMITS,
        "CALLBOT_SCRIPTED_MS_PER_CHARACTER": str(MS_PER_CHARACTER),
        "CALLBOT_NATS_MONITOR": "1",
    }
    async with (
        running_platform("--scripted", "--replicas", str(plan.replicas), env=env) as platform,
        answering_webhook(0, "echo") as webhook,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http,
        Emulator(platform.url, account=platform.twilio.accounts.platform) as emulator,
    ):
        bot = await create_bot(http, platform.url, goal="Soak", webhook=webhook, greeting="Hello.")
        left = plan.calls - len(results.rows)
        warm_up = max(plan.at_once, round(left * WARM_UP_SHARE))
        await _calls(emulator, bot, plan, results, _numbers(results, warm_up, plan.minutes * WARM_UP_SHARE))
        before = await _idle(platform, http)
        async with watched(platform, http) as course:
            rest_minutes = plan.minutes * (1 - WARM_UP_SHARE)
            await _calls(emulator, bot, plan, results, _numbers(results, left - warm_up, rest_minutes))
        after = await _idle(platform, http)
    return _judge(plan, results.rows, before, after, course)


def _numbers(results: Results, count: int, minutes: float) -> Iterator[int]:
    """Of the next calls: for so many minutes, or `count` of them."""
    if not minutes:
        yield from range(len(results.rows), len(results.rows) + count)
        return
    until_s = time.monotonic() + minutes * 60
    for number in itertools.count(len(results.rows)):
        if time.monotonic() >= until_s:
            return
        yield number


async def _calls(
    emulator: Emulator, bot: str, plan: SoakPlan, results: Results, numbers: Iterator[int]
) -> None:
    """`at_once` at a time; each has its own seed."""

    async def caller() -> None:
        for number in numbers:
            results.add([await _one_call(emulator, bot, plan, number)])
            if len(results.rows) % 20 == 0:
                of = f"in {plan.minutes:g} minutes" if plan.minutes else f"of {plan.calls}"
                print(f"{len(results.rows)} calls {of} …", flush=True)

    await asyncio.gather(*(caller() for _ in range(plan.at_once)))


async def _one_call(emulator: Emulator, bot: str, plan: SoakPlan, number: int) -> Row:
    rng = random.Random(plan.seed * 1_000_003 + number)
    error = ""
    async with emulator.dial(bot_id=bot) as call:
        try:
            await call.hears("Hello.")
            for _ in range(plan.turns):
                text = " ".join(rng.choices(WORDS, k=rng.randint(1, 4)))
                await call.says(text)
                await call.hears(f"I heard {text}")
            call.hangs_up()
            await call.ended()
        except (NotHeard, CallOver) as e:
            error = str(e)
        faults = [str(fault) for fault in call.complaints.faults()]
    return {"call": number, "error": error, "faults": faults, "late_ms": call.lateness.p99_ms}


async def _idle(platform: Platform, http: aiohttp.ClientSession) -> Snapshot:
    """Once no call is live and the subscriptions have come to rest."""
    last: Snapshot | None = None
    for _ in range(int(IDLE_WITHIN_S / 0.5)):
        parts = await platform.ps()
        if not any(part["live_calls"] for part in parts):
            now = await _snapshot(platform, http)
            if last and (now.subscriptions, now.tasks) == (last.subscriptions, last.tasks):
                return now
            last = now
        await asyncio.sleep(0.5)
    return last or await _snapshot(platform, http)


async def _snapshot(platform: Platform, http: aiohttp.ClientSession) -> Snapshot:
    memory_kib, tasks = {}, {}
    for part in await processes(platform, http):
        memory_kib[part.name] = part.memory_kib
        if part.tasks is not None:
            tasks[part.name] = part.tasks
    monitor = monitor_of(platform.data)
    streams = await get_json(http, f"{monitor}/jsz")
    server = await get_json(http, f"{monitor}/varz")
    return Snapshot(memory_kib, tasks, server["subscriptions"], streams["consumers"], server["connections"])


def monitor_of(data: Path) -> str:
    found = re.search(r"^\s*http:? *\"?127\.0\.0\.1:(\d+)", (data / "nats.conf").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError("nats.conf names no monitoring port")
    return f"http://127.0.0.1:{found[1]}"


def _judge(
    plan: SoakPlan, rows: Sequence[Row], before: Snapshot, after: Snapshot, course: Sequence[Moment]
) -> int:
    print(f"\n{machine()}; {plan}")
    wrong = [
        f"call {row['call']}: {row['error'] or row['faults']}"
        for row in rows
        if row["error"] or row["faults"]
    ]
    print(f"{'process':20} {'KiB before':>11} {'KiB after':>11} {'tasks before':>13} {'after':>6}")
    for name, was in before.memory_kib.items():
        now = after.memory_kib.get(name, 0)
        tasks = before.tasks.get(name, 0), after.tasks.get(name, 0)
        print(f"{name:20} {was:11} {now:11} {tasks[0]:13} {tasks[1]:6}")
        allowed = STORES_MAY_HOLD_KIB.get(name, was + max(MAY_GROW_KIB, round(was * MAY_GROW_SHARE)))
        if now > allowed:
            wrong.append(f"{name} has {now} KiB, {now - was} more than before; {allowed} are allowed")
        if tasks[1] > tasks[0] + MAY_HAVE_MORE_TASKS:
            wrong.append(f"{name} has {tasks[1] - tasks[0]} more tasks")
    for what in ("subscriptions", "consumers", "connections"):
        was, now = getattr(before, what), getattr(after, what)
        print(f"NATS {what}: {was} before, {now} after")
        if now > was:
            wrong.append(f"NATS has {now - was} more {what}")
    late_ms = max((row["late_ms"] for row in rows), default=0.0)
    print(f"{len(rows)} calls; the emulator's own frames were late by {late_ms:.0f} ms (p99)")
    # In a short run on a busy machine the lag says more about the machine.
    wrong += [sentence for sentence in print_course(course) if plan.minutes]
    if late_ms > STOOD_STILL_MS:
        print(
            f"this machine stood still for {late_ms / 1000:.0f} s: measure again, these figures say nothing"
        )
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    return 1 if wrong else 0
