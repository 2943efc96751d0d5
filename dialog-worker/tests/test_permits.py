"""Webhook calls of one user, counted over all workers: a pure rule, and a bucket in a real broker."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st
from nats.js.errors import BucketNotFoundError
from nats.js.kv import KeyValue

from callbot.dialog_worker import permits as permits_module
from callbot.dialog_worker.permits import MOST_AHEAD_MS, WINDOW_MS, NoPermit, Permits, reserve
from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.webhook import open_webhooks
from callbot.runtime.bus import Bus, connect
from callbot.schemas.dialog import WebhookStatus
from callbot.schemas.memory import WEBHOOK_PERMITS
from callbot.schemas.webhook import WebhookRequest
from tests.servers import Server, nats_server, url_for

PATIENT_S = 10.0
"""The bucket's deadline where a busy machine must not decide the test."""

RESERVATIONS = {
    "nothing yet": ([], 5000, 2, 5000, [5000]),
    "room left": ([4900], 5000, 2, 5000, [4900, 5000]),
    "full": ([4800, 4900], 5000, 2, 5800, [4900, 5800]),
    "full, just over": ([4000, 4999], 5000, 2, 5000, [4999, 5000]),
    "full, not quite over": ([4001, 4999], 5000, 2, 5001, [4999, 5001]),
    "behind what waits": ([5800, 5900], 5000, 2, 6800, [5900, 6800]),
    "one a second": ([4500], 5000, 1, 5500, [5500]),
    "out of order": ([4900, 4800], 5000, 2, 5800, [4900, 5800]),
    "more than needed": ([1, 2, 4800, 4900], 5000, 2, 5800, [4900, 5800]),
    "a rate that was higher": ([4800, 4850, 4900], 5000, 1, 5900, [5900]),
    "another's clock is ahead": ([5300], 5000, 2, 5000, [5000, 5300]),
    "a clock that is wrong": ([5000 + MOST_AHEAD_MS + 1] * 2, 5000, 2, 5000, [5000]),
}


@pytest.mark.parametrize(
    ("stamps", "now_ms", "rate", "start_ms", "after"), RESERVATIONS.values(), ids=RESERVATIONS
)
def test_a_reservation(stamps: list[int], now_ms: int, rate: int, start_ms: int, after: list[int]) -> None:
    assert reserve(stamps, now_ms, rate) == (start_ms, after)


def most_in_a_second(starts: list[int]) -> int:
    return max((sum(at <= other < at + WINDOW_MS for other in starts) for at in starts), default=0)


@given(st.integers(1, 7), st.lists(st.integers(0, 4000), max_size=60))
@example(2, [0, 999, 1000, 0])
@example(3, [4000, 0, 0, 0, 0, 0])
def test_never_more_than_the_rate_in_any_second(rate: int, clocks: list[int]) -> None:
    """Whatever the clocks of the workers say, in whatever order they come."""
    stamps: list[int] = []
    starts = []
    for now_ms in clocks:
        start_ms, stamps = reserve(stamps, now_ms, rate)
        assert start_ms >= now_ms
        assert len(stamps) <= rate
        starts.append(start_ms)
    assert most_in_a_second(starts) <= rate


@given(st.integers(1, 7), st.lists(st.integers(0, 600), max_size=60))
def test_nobody_waits_without_need(rate: int, pauses: list[int]) -> None:
    """With one clock: as early as the rule allows."""
    stamps: list[int] = []
    starts: list[int] = []
    now_ms = 0
    for pause in pauses:
        now_ms += pause
        start_ms, stamps = reserve(stamps, now_ms, rate)
        assert start_ms == now_ms or most_in_a_second([*starts, start_ms - 1]) > rate
        starts.append(start_ms)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = nats_server(tmp_path)
    server.start()
    yield server
    server.kill()


async def make_bucket(stack: AsyncExitStack, server: Server) -> KeyValue:
    router = await stack.enter_async_context(connect(url_for("call-router", server), speaks_as="call-router"))
    js, bucket = router.jetstream(), WEBHOOK_PERMITS
    try:
        # Other tests may have had a whole call-router on this server.
        return await js.key_value(bucket.name)
    except BucketNotFoundError:
        return await js.create_key_value(bucket=bucket.name, ttl=bucket.ttl_s, max_bytes=bucket.max_bytes)


@pytest.fixture
async def two_buses(nats: Server) -> AsyncIterator[list[Bus]]:
    async with AsyncExitStack() as stack:
        await make_bucket(stack, nats)
        yield [
            await stack.enter_async_context(
                connect(url_for("dialog-worker", nats), speaks_as="dialog-worker")
            )
            for _ in range(2)
        ]


async def test_two_workers_keep_one_limit(two_buses: list[Bus]) -> None:
    workers = [Permits(bus, 5, bucket_within_s=PATIENT_S) for bus in two_buses]

    async def start(number: int) -> int | None:
        start_ms = await workers[number % 2].wait("keen", PATIENT_S)
        assert start_ms is not None
        assert time.time_ns() // 1_000_000 >= start_ms - 5, "nobody starts before the moment has come"
        return start_ms

    async with asyncio.timeout(30):
        starts = await asyncio.gather(*map(start, range(20)))
    known = sorted(start for start in starts if start is not None)
    assert len(known) == 20
    assert most_in_a_second(known) == 5
    assert known[-1] - known[0] < 3 * WINDOW_MS + WINDOW_MS / 2, "and not much slower than allowed"


async def test_who_finds_no_moment_in_time_is_told_at_once(two_buses: list[Bus]) -> None:
    permits = Permits(two_buses[0], 2, bucket_within_s=PATIENT_S)
    assert all([await permits.wait("hasty", 0.5) for _ in range(2)])
    began = asyncio.get_running_loop().time()
    for _ in range(3):
        with pytest.raises(NoPermit):
            await permits.wait("hasty", 0.5)
    assert asyncio.get_running_loop().time() - began < 0.4
    assert await permits.wait("another", 0.5), "users do not wait for each other"
    assert await permits.wait("hasty", 3), "a refusal has reserved nothing"


async def test_a_moment_that_is_free_now_needs_no_time(two_buses: list[Bus]) -> None:
    permits = Permits(two_buses[0], 1, bucket_within_s=PATIENT_S)
    assert None not in [await permits.wait(f"unhurried_{n}", -0.1) for n in range(5)]


async def test_no_limit(two_buses: list[Bus]) -> None:
    permits = Permits(two_buses[0], 0)
    assert [await permits.wait("free", 0.1) for _ in range(50)] == [None] * 50


@pytest.mark.parametrize("stored", [b"", b"null", b"{", b'{"a": 1}', b'["1", null, true, 1.5]', b"\xff"])
async def test_what_cannot_be_read_counts_as_nothing(two_buses: list[Bus], stored: bytes) -> None:
    bucket = await two_buses[1].bucket(WEBHOOK_PERMITS)
    await bucket.put("odd", stored)
    start_ms = await Permits(two_buses[0], 1, bucket_within_s=PATIENT_S).wait("odd", 1)
    entry = await bucket.get("odd")
    assert entry.value is not None
    assert json.loads(entry.value) == [start_ms]


async def test_without_the_bucket_the_call_goes_on_and_it_is_said_once(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permits_module, "WITHOUT_BUCKET_S", 0)
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(
            connect(url_for("dialog-worker", server), speaks_as="dialog-worker")
        )
        permits = Permits(bus, 1, bucket_within_s=1)
        assert [await permits.wait("keen", 3) for _ in range(5)] == [None] * 5, "no such bucket"
        server.kill()
        assert [await permits.wait("keen", 3) for _ in range(5)] == [None] * 5, "no broker"
        server.start()
        await make_bucket(stack, server)
        async with asyncio.timeout(20):
            while await permits.wait("keen", 3) is None:
                await asyncio.sleep(0.05)
        assert await permits.wait("another", 3) is not None
    said = [r.message for r in caplog.records if r.name.endswith("permits")]
    assert said == ["webhook calls are not counted", "webhook calls are counted again"]


async def test_a_stuck_broker_is_not_waited_for_again_and_again(server: Server) -> None:
    async with AsyncExitStack() as stack:
        await make_bucket(stack, server)
        bus = await stack.enter_async_context(
            connect(url_for("dialog-worker", server), speaks_as="dialog-worker")
        )
        assert await Permits(bus, 1, bucket_within_s=PATIENT_S).wait("keen", 3) is not None
        permits = Permits(bus, 1, bucket_within_s=0.2)
        server.send(signal.SIGSTOP)
        began = time.monotonic()
        assert [await permits.wait(f"user_{n}", 3) for n in range(20)] == [None] * 20
        assert time.monotonic() - began < 1
        server.kill()


async def test_a_webhook_above_the_limit_is_not_called(
    two_buses: list[Bus],
    serve: Callable[..., Awaitable[str]],
    settings_with: Callable[..., Settings],
    webhook_request: WebhookRequest,
) -> None:
    called = 0

    async def handle(request: web.Request) -> web.Response:
        nonlocal called
        called += 1
        if request.path == "/broken":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"say": "Hi"})

    url = await serve(handle)
    permits = Permits(two_buses[0], 3, bucket_within_s=PATIENT_S)
    async with open_webhooks(settings_with(webhook_s=1.4), permits) as webhooks:
        outcomes = await asyncio.gather(
            *(webhooks.ask(url, "secret", webhook_request, "busy") for _ in range(5))
        )
        statuses = sorted(outcome.status for outcome in outcomes)
        assert statuses == [WebhookStatus.OK] * 3 + [WebhookStatus.RATE_LIMITED] * 2
        assert {o.detail for o in outcomes if o.status is not WebhookStatus.OK} == {
            "429 too many webhook calls a second"
        }
        assert called == 3
        outcome = await webhooks.ask(f"{url}/broken", "secret", webhook_request, "retried")
        outcome = await webhooks.ask(f"{url}/broken", "secret", webhook_request, "retried")
    assert outcome.status is WebhookStatus.RATE_LIMITED, "a second attempt is a call like any other"
    assert called == 3 + 3
