"""Limits, counted by two routers at once; servers that stand still."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callbot.studio.up import Platform
from tests.e2e.user import Ring, User, ringing, signed_up

BOT = {"goal": "Test", "webhook": "https://example.com/bot"}


async def test_of_20_bots_at_once_exactly_10_are_made(strict_platform: Platform) -> None:
    async with signed_up(strict_platform) as user:

        async def one() -> tuple[int, str]:
            async with user.http.post("/v1/bots", json=BOT, headers=user.headers) as answer:
                assert answer.status == 200 or answer.headers["Retry-After"]
                return answer.status, (await answer.json()).get("number") or ""

        made = await asyncio.gather(*(one() for _ in range(20)))
        assert Counter(status for status, _ in made) == {200: 10, 429: 10}
        bots = await user.ask("GET", "/v1/bots")
        assert len(bots) == 10
        assert sorted(b["number"] for b in bots) == sorted(number for _, number in made if number)
        await user.refused("POST", "/v1/bots", 429, "bot_limit", BOT)
        await user.ask("DELETE", f"/v1/bots/{bots[0]['id']}")
        await user.bot()


async def test_of_150_calls_at_once_exactly_100_are_connected(strict_platform: Platform) -> None:
    async with signed_up(strict_platform) as user:
        bot = await user.bot()
        number = await ringing(strict_platform, bot["number"])
        rings = [Ring(number) for _ in range(150)]
        answers = list(await asyncio.gather(*(ring.answered(user.http) for ring in rings)))
        assert {status for status, _ in answers} == {200}
        for i, (_, document) in enumerate(answers):
            if "<Connect" not in document and "no more calls" not in document:
                # On a machine that is busy the database was too late for this one: asked again, it is told.
                answers[i] = await rings[i].answered(user.http)
        assert sum("<Connect" in document for _, document in answers) == 100
        assert sum("no more calls" in document for _, document in answers) == 50
        assert (await user.ask("GET", f"/v1/bots/{bot['id']}"))["calls_today"] == 100


async def test_a_call_that_is_asked_for_again_counts_once(strict_platform: Platform) -> None:
    async with signed_up(strict_platform) as user:
        bot = await user.bot()
        ring = Ring(await ringing(strict_platform, bot["number"]))
        answers = await asyncio.gather(*(ring.answered(user.http) for _ in range(10)))
        assert len(set(answers)) == 1 and "<Connect" in answers[0][1]
        assert (await user.ask("GET", f"/v1/bots/{bot['id']}"))["calls_today"] == 1


def state_of(pid: int) -> str:
    """As in proc(5): `T` is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@asynccontextmanager
async def standing_still(platform: Platform, service: str) -> AsyncIterator[None]:
    """The process is stopped; when the block ends it goes on, and the API answers again."""
    (pid,) = [row["pid"] for row in await platform.ps() if row["service"] == service]
    os.kill(pid, signal.SIGSTOP)
    while state_of(pid) != "T":
        # A signal arrives a moment later, and one more request may be answered until then.
        await asyncio.sleep(0.001)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def until_it_answers(user: User) -> None:
    for _ in range(100):
        async with user.http.get("/v1/bots", headers=user.headers) as answer:
            if answer.status == 200:
                return
        await asyncio.sleep(0.1)
    raise AssertionError("the platform does not come back")


@pytest.mark.parametrize("service", ["mongo", "nats"])
async def test_a_server_that_stands_still_is_said_within_2_s(strict_platform: Platform, service: str) -> None:
    async with signed_up(strict_platform) as user:
        bot = await user.bot()
        questions: list[tuple[str, str, object]] = [
            ("GET", "/v1/bots", None),
            ("GET", f"/v1/bots/{bot['id']}", None),
            ("PATCH", f"/v1/bots/{bot['id']}", {"goal": "Other"}),
            ("GET", "/v1/calls", None),
            ("GET", "/v1/my-number", None),
            ("GET", f"/v1/calls/CA{'0' * 32}/events", None),
            ("POST", "/v1/auth/token", {"email": "nobody@callbot.example", "password": "x" * 10}),
            ("POST", "/v1/bots", BOT),
            ("DELETE", f"/v1/bots/{bot['id']}", None),
        ]

        async def one(method: str, path: str, body: object) -> tuple[str, int, bool, float]:
            began = time.monotonic()
            async with user.http.request(method, path, json=body, headers=user.headers) as answer:
                took_s = time.monotonic() - began
                await answer.read()
                return (
                    f"{method} {path}",
                    answer.status,
                    "Retry-After" in answer.headers,
                    round(took_s, 1),
                )

        try:
            async with standing_still(strict_platform, service):
                answers = await asyncio.gather(*(one(*question) for question in questions))
        finally:
            await until_it_answers(user)
        wrong = [answer for answer in answers if answer[1:3] != (503, True) or answer[3] > 2.3]
        assert wrong == []


async def test_a_twilio_that_stands_still_leaves_no_bot_behind(strict_platform: Platform) -> None:
    async with signed_up(strict_platform) as user:
        async with standing_still(strict_platform, "twilio"):
            await user.refused("POST", "/v1/bots", 503, "twilio_unavailable", BOT)
            assert await user.ask("GET", "/v1/bots") == []
        bot = await user.bot()
        assert bot["number"] is not None
