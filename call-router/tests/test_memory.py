"""The streams and buckets, made where they are missing and changed where they are from another day."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from callbot.call_router.memory import ensure_memory
from callbot.runtime.bus import connect
from callbot.schemas.memory import BUCKETS, CALL_EVENTS, VOICES
from tests.servers import Server, nats_server, url_for


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[Server]:
    nats = nats_server(tmp_path)
    nats.start()
    yield nats
    nats.kill()


@pytest.fixture
async def js(own_nats: Server) -> AsyncIterator[JetStreamContext]:
    async with connect(url_for("call-router", own_nats), speaks_as="call-router") as bus:
        yield bus.jetstream()


async def limits(js: JetStreamContext) -> dict[str, tuple[float | None, int | None]]:
    names = [CALL_EVENTS.name, *(f"KV_{bucket.name}" for bucket in BUCKETS)]
    configs = {name: (await js.stream_info(name)).config for name in names}
    return {name: (config.max_age, config.max_bytes) for name, config in configs.items()}


WANTED = {
    CALL_EVENTS.name: (CALL_EVENTS.max_age_s, CALL_EVENTS.max_bytes),
    **{f"KV_{bucket.name}": (bucket.ttl_s, bucket.max_bytes) for bucket in BUCKETS},
}


async def test_everything_is_made(js: JetStreamContext) -> None:
    for _ in range(2):
        await ensure_memory(js, 1)
        assert await limits(js) == WANTED


async def test_what_exists_gets_the_limits_of_today_and_keeps_its_values(js: JetStreamContext) -> None:
    for bucket in BUCKETS:
        await js.create_key_value(bucket=bucket.name, ttl=10 * bucket.ttl_s, max_bytes=bucket.max_bytes // 2)
    events = StreamConfig(name=CALL_EVENTS.name, subjects=[CALL_EVENTS.subject.wildcard], max_age=3600)
    await js.add_stream(events)
    assert await limits(js) != WANTED
    await ensure_memory(js, 1)
    assert await limits(js) == WANTED
    assert (await js.stream_info(f"KV_{VOICES.name}")).config.duplicate_window == VOICES.ttl_s
