"""`callbot bench api`: `GET /v1/bots/{id}` as fast as it goes, then at fixed rates; where the time goes."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

from callbot.studio.bench.processor_time import used_s
from callbot.studio.bench.results import Results, Row, machine
from callbot.studio.up import WITHOUT_LIMITS, Platform, running_platform

WARM_UP_S = 2.0
_USER = {"email": "bench@callbot.example", "password": "correct horse battery"}


@dataclass(frozen=True)
class ApiPlan:
    rates: tuple[float, ...]
    """Requests a second; each is held for `seconds`."""
    seconds: float
    connections: int
    """Of the closed loop, which finds out how many requests a second there can be."""
    replicas: int
    cores: int
    """All processes together run on so many, the load generator included."""


async def api(plan: ApiPlan, out: Path, *, resume: bool) -> int:
    """Exit code 1 when a request failed."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(plan)))
    results = Results(out, settings, resume=resume)
    env = {**WITHOUT_LIMITS, "CALLBOT_AUTH": "required"}
    with _on_cores(plan.cores):
        await _measure(plan, env, results)
    return _print_tables(plan, results.rows)


@contextmanager
def _on_cores(count: int) -> Iterator[None]:
    """This process and the children that it starts meanwhile: they inherit it."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(usual)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


async def _measure(plan: ApiPlan, env: Mapping[str, str], results: Results) -> None:
    async with running_platform("--scripted", "--replicas", str(plan.replicas), env=env) as platform:
        url, token = await _a_bot(platform)
        await _load(url, token, plan, 0.0, WARM_UP_S)
        for rate in (0.0, *plan.rates)[len(results.rows) :]:
            what = f"{rate:g} requests a second" if rate else f"{plan.connections} clients in a closed loop"
            print(f"{what} for {plan.seconds:g} s …", flush=True)
            before = await _cpu_s(platform)
            seen = await _load(url, token, plan, rate, plan.seconds)
            after = await _cpu_s(platform)
            used = {name: after[name] - before.get(name, 0.0) for name in after}
            results.add([{"rate": rate, **seen, "cpu_s": used}])


async def _a_bot(platform: Platform) -> tuple[str, str]:
    """The URL of a new user's bot, and the user's token."""
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(platform.url, timeout=timeout, raise_for_status=True) as http:
        await http.post("/v1/auth/signup", json=_USER)
        token = (await (await http.post("/v1/auth/token", json=_USER)).json())["access_token"]
        bot = {"goal": "Book a table.", "webhook": "http://127.0.0.1:9/bot"}
        answer = await http.post("/v1/bots", json=bot, headers={"Authorization": f"Bearer {token}"})
        return f"{platform.url}/v1/bots/{(await answer.json())['id']}", token


async def _load(url: str, token: str, plan: ApiPlan, rate: float, seconds: float) -> dict[str, Any]:
    flags = ("--connections", str(plan.connections), "--rate", str(rate), "--seconds", str(seconds))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "callbot.studio.bench.api_load", "--url", url, *flags),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(seconds + 30):
        told, _ = await process.communicate(token.encode() + b"\n")
    return dict(json.loads(told))


async def _cpu_s(platform: Platform) -> dict[str, float]:
    """Of each process, since it began."""
    used = {}
    for part in await platform.ps():
        used[f"{part['service']}-{part['replica']}"] = used_s(part["pid"])
    return used


def _print_tables(plan: ApiPlan, rows: Sequence[Row]) -> int:
    print(f"\n{machine()}, of which {plan.cores} used; {plan}")
    names = ("per s", "p50 ms", "p95 ms", "p99 ms", "failed", "late ms")
    print(f"{'GET /v1/bots/{id}':26} " + " ".join(f"{name:>8}" for name in names))
    for row in rows:
        what = f"at {row['rate']:g} a second" if row["rate"] else "closed loop"
        times = " ".join(f"{row[share]:8.1f}" for share in ("p50_ms", "p95_ms", "p99_ms"))
        print(f"{what:26} {row['per_s']:8.0f} {times} {row['failed']:8} {row['generator_late_ms']:8.1f}")
    print("\nCPU time for one request, in microseconds, in the closed loop and at each rate:")
    spent = [{"load generator": row["generator_cpu_s"], **row["cpu_s"]} for row in rows]
    for name in spent[0] if spent else ():
        each = [1e6 * used.get(name, 0.0) / row["requests"] for used, row in zip(spent, rows, strict=True)]
        if max(each) >= 1:
            print(f"  {name:24} " + " ".join(f"{us:8.0f}" for us in each))
    failed = sum(row["failed"] for row in rows)
    print(f"{failed} of {sum(row['requests'] for row in rows)} requests failed")
    return 1 if failed else 0
