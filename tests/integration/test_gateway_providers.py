"""What the seats tell of their providers goes into the call's record: over a real NATS, by real leases."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from callbot.call_router.memory import ensure_memory
from callbot.gateway.provider_reports import MAX_RECORDED
from callbot.runtime.bus import connect
from callbot.runtime.lease import Lease
from callbot.schemas.calls import StageFallback
from callbot.schemas.message import Receipt
from callbot.schemas.providers import ProviderFellBack
from callbot.schemas.seats import Role, SeatOffer
from callbot.schemas.subjects import PROVIDER_FELL_BACK
from callbot.schemas.usage import UsageTold
from tests.gateway_stage import WORKERS, Stage
from tests.samples import CALL_ID, a_brief
from tests.servers import nats_server, url_for


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    server = nats_server(tmp_path)
    server.start()
    async with AsyncExitStack() as stack:
        buses = {
            service: await stack.enter_async_context(connect(url_for(service, server), speaks_as=service))
            for service in ("call-router", "gateway", *WORKERS.values())
        }
        await ensure_memory(buses["call-router"].jetstream(), 1)
        stage = Stage(buses)
        await stage.work()
        await stage.begins(a_brief())
        yield stage
        await stage.call.abandon()
    server.kill()


def lease(stage: Stage, role: Role) -> Lease:
    """As the worker has it that holds this seat."""
    offer = SeatOffer(call_id=CALL_ID, role=role, epoch=stage.epochs[role], brief=a_brief())
    return Lease(stage.buses[WORKERS[role]], offer, WORKERS[role], lambda lease: None)


def fallbacks(stage: Stage) -> list[tuple[str, str]]:
    facts = [event.fact for event in stage._events._waiting]
    return [(fact.stage, fact.reason) for fact in facts if isinstance(fact, StageFallback)]


async def test_every_seat_may_tell_that_a_provider_has_failed(stage: Stage) -> None:
    mouth = lease(stage, Role.MOUTH)
    await mouth.fell_back("elevenlabs", "too_slow", instead="piper")
    await mouth.fell_back("elevenlabs", "too_slow", instead="piper")
    await lease(stage, Role.EARS).fell_back("google", "broken_off", instead="local")
    await lease(stage, Role.MIND).fell_back("openai", "busy", instead="")
    assert fallbacks(stage) == [
        ("mouth", "provider_fell_back: elevenlabs too_slow, then piper"),
        ("mouth", "provider_fell_back: elevenlabs too_slow, then piper"),
        ("ears", "provider_fell_back: google broken_off, then local"),
        ("mind", "provider_fell_back: openai busy, then nobody"),
    ]


async def test_what_is_told_again_is_recorded_once_and_a_former_holder_tells_nothing(stage: Stage) -> None:
    async def tell(number: int, epoch: int) -> Receipt:
        told = ProviderFellBack(
            epoch=epoch, stage="mouth", number=number, provider="elevenlabs", reason="busy", instead="piper"
        )
        return await stage.mouth.ask(PROVIDER_FELL_BACK, told, timeout_s=5, call_id=CALL_ID)

    epoch = stage.epochs[Role.MOUTH]
    assert (await tell(0, epoch)).accepted and (await tell(0, epoch)).accepted
    assert not (await tell(1, epoch - 1)).accepted
    assert len(fallbacks(stage)) == 1
    for number in range(1, MAX_RECORDED + 20):
        assert (await tell(number, epoch)).accepted
    assert len(fallbacks(stage)) == MAX_RECORDED


async def test_a_holder_that_was_lost_is_in_the_record_so_that_its_usage_is_missed(stage: Stage) -> None:
    former = stage.epochs[Role.MOUTH]
    stage.call._seating.unreachable(Role.MOUTH, former, "for this test")
    facts = [event.fact for event in stage._events._waiting]
    lost = [fact for fact in facts if isinstance(fact, UsageTold)]
    assert lost == [UsageTold(seat="mouth", epoch=former, number=0, used=[])]
