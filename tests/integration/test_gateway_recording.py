"""A recorded call at its gateway, over a real NATS, and what reaches the stream of it."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from callbot.call_router.memory import ensure_memory
from callbot.call_router.recordings import CONSUMER
from callbot.runtime.bus import connect
from callbot.schemas.calls import CallEnded, CallJournal
from callbot.schemas.memory import PHRASES, RECORDINGS
from callbot.schemas.recording import RecordingPiece, Track
from callbot.schemas.subjects import RECORDING_PIECE
from callbot.schemas.turn_taking import Phrases, phrase_key
from tests.gateway_stage import GREETING, WORKERS, Stage
from tests.samples import CALL_ID, a_brief
from tests.servers import Server, nats_server, url_for

NOTICE = b"\x31" * 2400
SILENCE = b"\xff"


@pytest.fixture
def nats(tmp_path: Path) -> Server:
    return nats_server(tmp_path)


@pytest.fixture
async def stage(nats: Server) -> AsyncIterator[Stage]:
    nats.start()
    async with AsyncExitStack() as stack:
        buses = {
            service: await stack.enter_async_context(connect(url_for(service, nats), speaks_as=service))
            for service in ("call-router", "gateway", *WORKERS.values())
        }
        await ensure_memory(buses["call-router"].jetstream(), 1)
        bucket = await buses["tts-worker"].bucket(PHRASES)
        await bucket.put(phrase_key("piper:joe", "en-US", "Hello!"), GREETING)
        await bucket.put(phrase_key("piper:joe", "en-US", "This call is recorded."), NOTICE)
        stage = Stage(buses)
        await stage.work()
        yield stage
        await stage.call.abandon()
    nats.kill()


async def recorded(stage: Stage) -> list[RecordingPiece]:
    """Everything that is in the stream."""
    js = stage.buses["call-router"].jetstream()
    if not (await js.stream_info(RECORDINGS.name)).state.messages:
        return []
    pulling = await js.pull_subscribe(RECORDING_PIECE.wildcard, durable=CONSUMER, stream=RECORDINGS.name)
    found = await pulling.fetch(100, timeout=1)
    for msg in found:
        await msg.ack_sync()
    return [RecordingPiece.decode(msg.data) for msg in found]


async def test_both_tracks_of_a_call_are_in_the_stream_when_its_end_is_told(stage: Stage) -> None:
    brief = a_brief(record=True, phrases=Phrases(recorded="This call is recorded."))
    await stage.begins(brief)
    await stage.passes(6000)
    stage.call.hear(b"\x55" * 160)
    await stage.call.end("caller_hung_up")
    pieces = await recorded(stage)
    where = [(p.track, p.at_ms, p.length_ms) for p in pieces]
    assert where == [(Track.CALLER, 0, 5000), (Track.BOT, 0, 5000), (Track.CALLER, 5000, 1020)]
    assert {(p.call_id, p.generation, p.stream_at_ms) for p in pieces} == {(CALL_ID, 1, 0)}
    assert pieces[1].payload.strip(SILENCE) == NOTICE + GREETING
    assert pieces[2].payload.strip(SILENCE) == b"\x55" * 160
    assert isinstance(stage._events._waiting[-1].fact, CallEnded)
    taken = (await stage.buses["call-router"].jetstream().stream_info(RECORDINGS.name)).state
    assert taken.messages == 0, "what is taken is gone"


async def test_a_call_that_is_entered_again_is_recorded_from_where_it_is(stage: Stage) -> None:
    brief = a_brief(record=True, generation=2)
    began_at = datetime.now(UTC) - timedelta(minutes=2)
    await stage.begins(brief, CallJournal(brief=brief, began_at=began_at))
    await stage.passes(1000)
    await stage.call.abandon()
    assert stage.hung_up
    (caller, *_) = await recorded(stage)
    assert (caller.generation, caller.at_ms, caller.length_ms) == (2, 0, 1000)
    assert 120_000 <= caller.stream_at_ms < 130_000
    assert stage._events._waiting[-1].fact.kind != "ended"


async def test_nothing_is_recorded_that_is_not_to_be(stage: Stage) -> None:
    await stage.begins(a_brief(phrases=Phrases(recorded="This call is recorded.")))
    await stage.passes(6000)
    assert stage.sent == GREETING
    await stage.call.end("caller_hung_up")
    assert await recorded(stage) == []


async def test_a_call_goes_on_and_ends_without_a_broker(
    stage: Stage, nats: Server, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.begins(a_brief(record=True))
    nats.kill()
    await stage.until(lambda: not stage.buses["gateway"].is_connected)
    await stage.passes(40_000)
    assert stage.call._recording is not None
    assert stage.call._recording.held_bytes <= 15_100 * 16
    gaps = [r for r in caplog.records if r.message == "the recording has a gap"]
    assert [r.levelno for r in gaps] == [logging.ERROR]
    await stage.call.end("caller_hung_up")
    assert stage.hung_up
    nats.start()
    for bus in stage.buses.values():
        await stage.until(lambda bus=bus: bus.is_connected)  # type: ignore[misc]
