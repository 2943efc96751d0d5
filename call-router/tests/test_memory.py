"""The streams and buckets, made where they are missing and changed where they are from another day."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import KeyNotFoundError, NotFoundError

from callbot.call_router.memory import ensure_memory
from callbot.runtime.bus import connect
from callbot.schemas.memory import BUCKETS, CALL_EVENTS, PHRASES, RECORDINGS, STREAMS, VOICES, Stream
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


async def test_a_full_cache_of_phrases_takes_what_is_new(js: JetStreamContext, own_nats: Server) -> None:
    """Else whoever has filled it has ended all greetings from memory, for everybody and for a month."""
    await ensure_memory(js, 1)
    config = (await js.stream_info(f"KV_{PHRASES.name}")).config
    await js.update_stream(config.evolve(max_bytes=100_000))
    async with connect(url_for("tts-worker", own_nats), speaks_as="tts-worker") as mouth:
        bucket = await mouth.bucket(PHRASES)
        for n in range(4):
            await bucket.put(f"phrase{n}", bytes(40_000))
        with pytest.raises(KeyNotFoundError):
            await bucket.get("phrase0")
        await ensure_memory(js, 1)
        assert (await bucket.get("phrase3")).value == bytes(40_000)
    assert await limits(js) == WANTED


@pytest.fixture
def small_nats(tmp_path: Path) -> Iterator[Server]:
    nats = nats_server(tmp_path)
    config = tmp_path / "nats.conf"
    config.write_text(config.read_text().replace("jetstream {", "jetstream {\n  max_file_store: 600MB"))
    nats.start()
    yield nats
    nats.kill()


async def test_a_server_without_room_for_recordings_still_holds_calls(small_nats: Server) -> None:
    """Each reserves its bytes: a small volume must not keep the platform from starting."""
    async with connect(url_for("call-router", small_nats), speaks_as="call-router") as bus:
        js = bus.jetstream()
        await ensure_memory(js, 1)
        for stored in (*STREAMS, *BUCKETS):
            name = stored.name if isinstance(stored, Stream) else f"KV_{stored.name}"
            if stored in (RECORDINGS, PHRASES):
                with pytest.raises(NotFoundError):
                    await js.stream_info(name)
            else:
                assert (await js.stream_info(name)).config.max_bytes == stored.max_bytes
