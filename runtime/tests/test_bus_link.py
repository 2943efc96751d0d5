"""The link to a server that changes its mind, and askers of another version."""

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nats.errors import TimeoutError as NatsTimeout

from callbot.runtime.bus import REFUSED_HEADER, Bus, connect
from callbot.runtime.errors import NoResponders, SettingsError, TimedOut
from callbot.schemas.audio import CallerAudio
from callbot.schemas.bots import BotRef
from callbot.schemas.calls import CallEnded, CallEvent
from callbot.schemas.memory import PHRASES
from callbot.schemas.message import Receipt, Refusal
from callbot.schemas.seats import SeatRenew
from callbot.schemas.subjects import BOT_DELETE, CALL_EVENT, CALLER_AUDIO, SEAT_RENEW
from callbot.schemas.users import Credential, Done
from tests.servers import PASSWORD, Server, url_for

Buses = dict[str, Bus]
CALL = "CA" + "1" * 32
REF = BotRef(credential=Credential(), bot_id="b")
EVENT = CallEvent(
    event_id="1",
    call_id=CALL,
    bot_id="bot_1",
    user_id="public",
    at=datetime.now(UTC),
    fact=CallEnded(reason="caller_hung_up", duration_ms=1),
)


async def test_a_process_that_the_server_refuses_ends(server: Server, tmp_path: Path) -> None:
    """nats-py connects again after anything but this: the process would live on, and hear nothing."""
    config = tmp_path / "nats.conf"
    with pytest.raises(SettingsError, match="password"):
        async with connect(url_for("gateway", server), speaks_as="gateway"):
            config.write_text(config.read_text().replace(PASSWORD, "another-one"))
            server.send(signal.SIGHUP)
            await asyncio.sleep(10)
    assert not (task := asyncio.current_task()) or not task.cancelling()


async def test_who_is_cancelled_while_the_link_is_well_is_just_cancelled(server: Server) -> None:
    connected = asyncio.Event()

    async def using() -> None:
        async with connect(url_for("gateway", server), speaks_as="gateway"):
            connected.set()
            await asyncio.sleep(10)

    user = asyncio.create_task(using())
    await connected.wait()
    user.cancel()
    with pytest.raises(asyncio.CancelledError):
        await user


async def test_a_question_of_another_version_is_refused_at_once(buses: Buses) -> None:
    async def on(_: BotRef) -> Done:
        return Done(message="Bot deleted")

    await buses["call-router"].answer(BOT_DELETE, on, queue="q")
    await buses["call-router"].flush()
    asked = await buses["gateway"]._client.request(BOT_DELETE.of(), b'{"bot": "?"}', timeout=5)
    assert asked.headers == {REFUSED_HEADER: "1"} and Refusal.decode(asked.data).code == "unavailable"


async def test_where_several_listen_only_who_understands_answers(buses: Buses) -> None:
    """A seat's old and new holder hear the same subject."""

    async def on(_: SeatRenew) -> Receipt:
        return Receipt()

    await buses["gateway"].answer(SEAT_RENEW, on, call_id=CALL)
    await buses["gateway"].flush()
    with pytest.raises(NatsTimeout):
        await buses["stt-worker"]._client.request(SEAT_RENEW.of(call_id=CALL), b"{", timeout=0.3)


async def test_what_is_being_answered_is_waited_for(buses: Buses) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def on(_: BotRef) -> Done:
        begun.set()
        await go.wait()
        return Done(message="Bot deleted")

    router, gateway = buses["call-router"], buses["gateway"]
    listening = await router.answer(BOT_DELETE, on, queue="q")
    await router.flush()
    asked = asyncio.create_task(gateway.ask(BOT_DELETE, REF, timeout_s=5))
    await begun.wait()
    for _ in range(2):
        await listening.finish()
    await router.answered(0.05)
    assert not asked.done()
    go.set()
    await router.answered(5)
    assert (await asked).message == "Bot deleted"
    with pytest.raises(NoResponders):
        await gateway.ask(BOT_DELETE, REF, timeout_s=5)


@pytest.mark.parametrize("way", ["tell", "ask", "remember", "bucket"])
async def test_a_link_that_breaks_while_it_is_written_to_is_a_bus_that_is_away(
    server: Server, way: str
) -> None:
    """Just after a reconnect nats-py writes to the socket itself: the socket's own error comes through."""
    async with connect(url_for("gateway", server), speaks_as="gateway") as bus:
        flusher = bus._client._flusher_task
        assert flusher is not None
        flusher.cancel()
        await asyncio.wait({flusher})
        server.kill()
        # Nothing is awaited in between: the client has not noticed yet.
        with pytest.raises(TimedOut):
            await _spoken(bus, way)


async def test_what_is_told_soon_while_the_bus_is_away_is_not_told_late(server: Server) -> None:
    async with connect(url_for("gateway", server), speaks_as="gateway") as bus:
        tell = bus.teller(CALLER_AUDIO, call_id=CALL)
        server.kill()
        async with asyncio.timeout(5):
            while bus.is_connected:
                await asyncio.sleep(0.01)
            tell(CallerAudio(1, 0, 0, b"\xff"))
            while bus._soon._waiting:
                await asyncio.sleep(0.01)
        assert bus._client.stats["out_msgs"] == 0


async def _spoken(bus: Bus, way: str) -> None:
    match way:
        case "tell":
            for _ in range(2):
                # The first one breaks the socket.
                await bus.tell(CALL_EVENT, EVENT, call_id=CALL)
        case "ask":
            await bus.ask(BOT_DELETE, REF, timeout_s=1)
        case "remember":
            await bus.remember(CALL_EVENT, EVENT, message_id="1", timeout_s=1, call_id=CALL)
        case "bucket":
            await bus.bucket(PHRASES)
