"""What one worker has found out about a provider, its role's other workers know: over a real broker."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from nats.js.errors import BucketNotFoundError

from callbot.runtime import shared_breakers as shared_breakers_module
from callbot.runtime.bus import connect
from callbot.runtime.errors import NotAllowed, ProviderError
from callbot.runtime.guard import LocalGuard
from callbot.runtime.shared_breakers import SharedBreakers
from callbot.runtime.shared_guard import SharedGuard
from callbot.schemas.memory import BREAKERS, PHRASES
from callbot.schemas.providers import BreakerState
from tests.servers import Server, url_for

DOWN = ProviderError("unavailable", "", retryable=True)
PATIENT_S = 10.0
"""The claim's deadline where a busy machine must not decide the test."""


async def make_bucket(stack: AsyncExitStack, server: Server) -> None:
    router = await stack.enter_async_context(connect(url_for("call-router", server), speaks_as="call-router"))
    js = router.jetstream()
    try:
        # Other tests may have had a whole call-router on this server.
        await js.key_value(BREAKERS.name)
    except BucketNotFoundError:
        await js.create_key_value(bucket=BREAKERS.name, ttl=BREAKERS.ttl_s, max_bytes=BREAKERS.max_bytes)


class Workers:
    """Replicas of one role, each with a bus of its own. Each test has a provider of its own."""

    def __init__(self, stack: AsyncExitStack, server: Server) -> None:
        self._stack = stack
        self._server = server

    async def start(
        self, worker_id: str, *, claim_within_s: float = PATIENT_S, read_every_s: float = 0.2
    ) -> SharedBreakers:
        url = url_for("tts-worker", self._server)
        bus = await self._stack.enter_async_context(connect(url, speaks_as="tts-worker"))
        breakers = SharedBreakers(
            bus, "tts", worker_id, claim_within_s=claim_within_s, read_every_s=read_every_s
        )
        return await self._stack.enter_async_context(breakers)

    async def guard(self, worker_id: str, provider: str) -> SharedGuard:
        """Whose worker hears what is told from now on, and has read what was told before."""
        breakers = await self.start(worker_id)
        guard = breakers.guard(provider)
        assert isinstance(guard, SharedGuard)
        await until(lambda: breakers._listening is not None and not breakers._unread)
        await breakers._bus.flush()
        return guard


@pytest.fixture
async def workers(nats: Server) -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        await make_bucket(stack, nats)
        yield Workers(stack, nats)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


def fails(guard: SharedGuard) -> None:
    for _ in range(3):
        guard.failed(DOWN)


async def both_left_alone(a: SharedGuard, b: SharedGuard) -> None:
    """Until their time is over, which is made short."""
    a.breaker._open_s = 0.3
    fails(a)
    await until(lambda: b.breaker.opened_times == 1)
    await until(lambda: min(a._now() - a.breaker.until, b._now() - b.breaker.until) > 0)


async def test_what_one_worker_opens_all_leave_alone(workers: Workers) -> None:
    a, b = await workers.guard("w-a", "vendor-1"), await workers.guard("w-b", "vendor-1")
    assert await a.admits() and await b.admits()
    a.breaker._open_s = 60
    fails(a)
    await until(lambda: b.breaker.state == "open")
    assert not await b.admits()
    assert b.breaker.reason == "unavailable"
    late = await workers.guard("w-late", "vendor-1")
    assert not await late.admits(), "who comes later has it from the bucket"
    other = await workers.guard("w-c", "vendor-2")
    assert await other.admits()


async def test_of_all_workers_one_makes_the_trial_and_its_success_counts_for_all(workers: Workers) -> None:
    guards = a, b = await workers.guard("w-a", "vendor-3"), await workers.guard("w-b", "vendor-3")
    for _ in range(3):
        await both_left_alone(a, b)
        admitted = await asyncio.gather(*(guard.admits() for guard in (a, b, a, b)))
        assert sum(admitted) == 1
        winner, loser = guards if a.breaker.state == "half_open" else (b, a)
        winner.succeeded(80)
        await until(lambda loser=loser: loser.breaker.state == "closed")
        assert await loser.admits()
        for guard in guards:
            guard._succeeded_s = 0.0


async def test_a_trial_that_fails_keeps_all_away_for_longer(workers: Workers) -> None:
    a, b = await workers.guard("w-a", "vendor-4"), await workers.guard("w-b", "vendor-4")
    await both_left_alone(a, b)
    assert await b.admits()
    await until(lambda: a._obeyed == "w-b")
    b.failed(DOWN)
    await until(lambda: a.breaker.opened_times == 2)
    assert a._obeyed == ""


async def test_a_trial_that_nobody_wants_any_more_is_free_for_another(workers: Workers) -> None:
    a, b = await workers.guard("w-a", "vendor-5"), await workers.guard("w-b", "vendor-5")
    await both_left_alone(a, b)
    assert await b.admits()
    await until(lambda: a._obeyed == "w-b")
    assert not await a.admits()
    b.abandoned()
    await until(lambda: a._obeyed == "")
    assert await a.admits()


async def test_a_write_that_was_missed_is_read_later(workers: Workers) -> None:
    deaf = await workers.start("w-deaf")
    guard = deaf.guard("vendor-6")
    assert isinstance(guard, SharedGuard)
    await until(lambda: deaf._listening is not None and not deaf._unread)
    assert deaf._listening is not None
    await deaf._listening.stop()
    fails(await workers.guard("w-a", "vendor-6"))
    await until(lambda: guard.breaker.state == "open")


async def test_who_has_missed_a_write_learns_of_it_before_its_trial(workers: Workers) -> None:
    deaf = await workers.start("w-deaf", read_every_s=3600)
    guard = deaf.guard("vendor-8")
    await until(lambda: deaf._listening is not None and not deaf._unread)
    assert deaf._listening is not None and isinstance(guard, SharedGuard)
    await deaf._listening.stop()
    other = await workers.guard("w-a", "vendor-8")
    other.breaker._open_s = 60
    fails(other)
    late = await workers.guard("w-late", "vendor-8")
    await until(lambda: late.breaker.state == "open")
    guard.breaker.leave_alone(guard._now(), 1, "told")
    assert not await guard.admits()
    assert guard.breaker.reason == "unavailable"


async def test_a_claim_that_fails_as_nobody_has_foreseen_costs_no_attempt(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    breakers = await workers.start("w-a")
    guard = breakers.guard("vendor-9")
    assert isinstance(guard, SharedGuard)
    await until(lambda: not breakers._unread)

    async def broken() -> None:
        raise KeyError("config")

    monkeypatch.setattr(breakers, "_opened_bucket", broken)
    guard.breaker.leave_alone(guard._now(), 1, "told")
    assert await guard.admits()
    assert guard.breaker.state == "half_open"


async def test_what_cannot_be_read_or_concerns_others_says_nothing(workers: Workers) -> None:
    guard = await workers.guard("w-a", "vendor-7")
    breakers = await workers.start("w-b")
    bucket = await breakers._bus.bucket(BREAKERS)
    told = BreakerState(state="open", until="2100-01-01T00:00:00Z", by="w-b")
    for key in ("tts.vendor-7", "odd", "tts.unknown", "tts.vendor-7.more"):
        for value in (b"", b"{", b'{"state": "ajar"}'):
            await bucket.put(key, value)
    await bucket.put("stt.vendor-7", told.encode())
    await bucket.put("tts.other", told.encode())
    await bucket.put("tts.vendor-7", told.model_copy(update={"reason": "heard"}).encode())
    await until(lambda: guard.breaker.reason == "heard")
    assert guard.breaker.until - guard._now() <= 60, "whatever the other's clock says"


async def test_a_name_that_cannot_be_a_key_is_this_workers_own(workers: Workers) -> None:
    breakers = await workers.start("w-a")
    assert type(breakers.guard("an odd * name")) is LocalGuard
    assert breakers.guard("google") is breakers.guard("google")


async def test_how_long_a_provider_is_left_alone_can_be_set(workers: Workers) -> None:
    breakers = SharedBreakers((await workers.start("w-a"))._bus, "tts", "w-b", longest_open_s=0)
    for name in ("google", "an odd * name"):
        guard = breakers.guard(name)
        for _ in range(3):
            guard.failed(ProviderError("refused", "", retryable=False))
            assert await guard.admits()


async def test_only_a_watched_bucket_is_watched_and_only_by_its_readers(
    workers: Workers, nats: Server
) -> None:
    breakers = await workers.start("w-a")
    with pytest.raises(NotAllowed):
        await breakers._bus.watch(PHRASES, lambda key, value: None)
    async with connect(url_for("gateway", nats), speaks_as="gateway") as gateway:
        with pytest.raises(NotAllowed):
            await gateway.watch(BREAKERS, lambda key, value: None)


async def test_without_the_broker_each_worker_goes_on_and_it_is_said_once(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_breakers_module, "AGAIN_S", 0.05)
    async with AsyncExitStack() as stack:
        workers = Workers(stack, server)
        breakers = await workers.start("w-a")
        guard = breakers.guard("vendor")
        assert isinstance(guard, SharedGuard)
        await until(lambda: breakers._away)
        assert await guard.admits(), "no such bucket"
        await make_bucket(stack, server)
        await until(lambda: not breakers._away)
        server.kill()
        await until(lambda: breakers._away)
        guard.breaker._open_s = 0.05
        fails(guard)
        assert not await guard.admits()
        await until(lambda: guard.breaker.until < guard._now())
        assert [await guard.admits(), await guard.admits()] == [True, False], "the trial is its own"
        guard.failed(DOWN)
        guard.breaker.until = guard._now() + 60
        server.start()
        await until(lambda: not breakers._away)
        late = await workers.guard("w-late", "vendor")
        assert late.breaker.state == "open", "what happened meanwhile was told"
    said = [r.getMessage() for r in caplog.records if r.name.endswith("shared_breakers")]
    assert said == ["breakers are not shared", "breakers are shared again"] * 2


async def test_a_stuck_broker_is_waited_for_once(server: Server) -> None:
    async with AsyncExitStack() as stack:
        await make_bucket(stack, server)
        workers = Workers(stack, server)
        breakers = await workers.start("w-a", claim_within_s=0.2)
        guards = [breakers.guard(f"vendor-{n}") for n in range(20)]
        await until(lambda: breakers._listening is not None and not breakers._unread)
        server.send(signal.SIGSTOP)
        for guard in guards:
            assert isinstance(guard, SharedGuard)
            guard.breaker.leave_alone(guard._now(), 1, "told")
        began_s = asyncio.get_running_loop().time()
        assert all([await guard.admits() for guard in guards])
        assert asyncio.get_running_loop().time() - began_s < 3
        server.kill()


async def test_what_a_stuck_broker_has_not_taken_is_told_later(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_breakers_module, "EXCHANGE_WITHIN_S", 0.3)
    async with AsyncExitStack() as stack:
        await make_bucket(stack, server)
        workers = Workers(stack, server)
        guard = await workers.guard("w-a", "vendor")
        guard.breaker._open_s = 60
        server.send(signal.SIGSTOP)
        fails(guard)
        await until(lambda: not guard._has_news)
        await until(lambda: guard._has_news)
        server.kill()
        monkeypatch.undo()
        server.start()
        late = await workers.guard("w-late", "vendor")
        await until(lambda: late.breaker.state == "open")
