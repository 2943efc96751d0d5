"""The journal by compare-and-set, and events that wait for their stream: on a real JetStream."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callbot.call_router.memory import ensure_memory
from callbot.gateway import memory
from callbot.gateway.call_memory import CallMemory
from callbot.gateway.memory import EventLog, JournalLost, Journals, JournalWriter
from callbot.gateway.turns import Turns
from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import TimedOut
from callbot.schemas.bots import VoiceStatus
from callbot.schemas.calls import CallEnded, CallEvent, CallJournal, CallStarted, CallState
from callbot.schemas.memory import CALL_EVENTS
from callbot.schemas.seats import CallOver
from callbot.schemas.subjects import CALL_EVENT, CALL_OVER
from callbot.schemas.turn_taking import Phrases
from callbot.schemas.webhook import Action
from tests.samples import CALL_ID, a_brief
from tests.servers import Server, nats_server, url_for

ENDED = CallEnded(reason="caller_hung_up", duration_ms=1)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = nats_server(tmp_path)
    server.start()
    async with connect(url_for("call-router", server), speaks_as="call-router") as router:
        await ensure_memory(router.jetstream(), 1)
    yield server
    server.kill()


@pytest.fixture
async def bus(server: Server) -> AsyncIterator[Bus]:
    async with connect(url_for("gateway", server), speaks_as="gateway") as bus:
        yield bus


def journal(generation: int = 1, turns: int = 0, state: CallState = CallState.TALKING) -> CallJournal:
    brief = a_brief(generation=generation)
    now = datetime.now(UTC)
    return CallJournal(brief=brief, turns=turns, state=state, began_at=now)


async def test_what_is_saved_can_be_read_by_another_gateway(bus: Bus) -> None:
    journals = Journals(bus)
    assert await journals.read(a_brief().call_id) is None
    writer = JournalWriter(journals, None)
    running = asyncio.create_task(writer.run())
    for turns in range(50):
        writer.save(journal(turns=turns))
    assert await writer.settled(5)
    running.cancel()
    stored = await Journals(bus).read(a_brief().call_id)
    assert stored is not None and stored[0] == writer._newest


async def test_a_newer_generation_wins_and_the_older_learns_it(bus: Bus) -> None:
    journals = Journals(bus)
    older = JournalWriter(journals, await journals.write(journal(1), None))
    stored = await journals.read(a_brief().call_id)
    assert stored is not None
    await journals.write(journal(2, turns=7), stored[1])
    older.save(journal(1, turns=3))
    with pytest.raises(JournalLost):
        await asyncio.wait_for(older.run(), 5)
    kept = await journals.read(a_brief().call_id)
    assert kept is not None and (kept[0].brief.generation, kept[0].turns) == (2, 7)


async def test_a_write_of_ours_that_seemed_lost_is_no_newer_generation(bus: Bus) -> None:
    journals = Journals(bus)
    await journals.write(journal(1, turns=1), None)
    writer = JournalWriter(journals, None)
    running = asyncio.create_task(writer.run())
    writer.save(journal(1, turns=2))
    assert await writer.settled(5)
    running.cancel()
    kept = await journals.read(a_brief().call_id)
    assert kept is not None and kept[0].turns == 2


async def test_events_wait_for_a_stream_that_is_away_and_come_once_each(
    server: Server, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "WRITE_WITHIN_S", 0.5)
    events = EventLog(bus)
    running = asyncio.create_task(events.run())
    brief = a_brief()
    events.add(brief, 0, CallStarted(from_number="", to_number=""))
    await events.settled(5)
    server.kill()
    events.add(brief, 1, ENDED)
    events.add(brief, 1, ENDED)
    server.start()
    async with asyncio.timeout(20):
        await events._empty.wait()
    running.cancel()
    async with connect(url_for("call-router", server), speaks_as="call-router") as router:
        pulled = await router.jetstream().pull_subscribe(
            CALL_EVENT.wildcard, durable="records", stream=CALL_EVENTS.name
        )
        found = [CallEvent.decode(m.data) for m in await pulled.fetch(10, timeout=1)]
    assert [e.event_id for e in found] == [f"{brief.call_id}.1.0", f"{brief.call_id}.1.1"]


async def test_events_beyond_the_bound_drop_the_oldest(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "EVENTS_KEPT", 3)
    events = EventLog(bus)
    for number in range(5):
        events.add(a_brief(), number, ENDED)
    assert [e.event_id.rpartition(".")[2] for e in events._waiting] == ["2", "3", "4"]


async def test_a_voice_that_does_not_work_is_told_with_the_first_stream_alone(bus: Bus) -> None:
    def told(status: VoiceStatus, generation: int) -> list[str]:
        events = EventLog(bus)
        brief = a_brief(voice_status=status, generation=generation)
        CallMemory(Journals(bus), events, brief, None).began()
        return [e.fact.kind for e in events._waiting]

    assert told(VoiceStatus.FALLBACK, 1) == ["started", "fallback"]
    assert told(VoiceStatus.FALLBACK, 2) == ["started"]
    assert told(VoiceStatus.OK, 1) == ["started"]


@pytest.mark.parametrize("action", [Action.HANGUP, Action.TRANSFER])
async def test_of_an_ended_call_only_what_a_transfer_may_need_lies_in_the_bucket(
    bus: Bus, action: Action
) -> None:
    brief = a_brief(context="All the dishes.", phrases=Phrases(apology="So sorry."))
    memory = CallMemory(Journals(bus), EventLog(bus), brief, None)
    running = asyncio.create_task(memory.run())
    memory.save(Turns(CALL_ID), CallState.ENDED, (action, "+14155550142"))
    assert await memory.settled(5)
    running.cancel()
    stored = await Journals(bus).read(CALL_ID)
    assert stored is not None
    kept = stored[0].brief.context, stored[0].brief.phrases.apology
    assert kept == (("All the dishes.", "So sorry.") if action is Action.TRANSFER else ("", None))


async def test_a_link_that_breaks_while_a_journal_is_on_its_way_is_a_bus_that_is_away(
    server: Server, bus: Bus
) -> None:
    """Just after a reconnect nats-py writes to the socket itself: the socket's own error comes through."""
    journals = Journals(bus)
    revision = await journals.write(journal(turns=1), None)
    flusher = bus._client._flusher_task
    assert flusher is not None
    flusher.cancel()
    await asyncio.wait({flusher})
    server.kill()
    # The first write breaks the socket; nothing is awaited in between, so that nobody has noticed yet.
    await bus.tell(CALL_OVER, CallOver(call_id=CALL_ID, generation=1), call_id=CALL_ID)
    with pytest.raises(TimedOut):
        await journals.write(journal(turns=2), revision)
