"""The bus allows what the table allows, and says what went wrong."""

import asyncio
from functools import partial

import pytest

from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import NoResponders, NotAllowed, Refused, SettingsError, Silent, TimedOut
from callbot.runtime.soon import MOST_WAITING
from callbot.schemas.audio import CallerAudio
from callbot.schemas.bots import BotRef
from callbot.schemas.message import Receipt
from callbot.schemas.seats import Role, SeatRenew, WorkerBeat
from callbot.schemas.subjects import BOT_DELETE, CALLER_AUDIO, SEAT_RENEW, WORKER_BEAT
from callbot.schemas.users import Credential, Done
from tests.servers import Server, free_port, url_for

CALL = "CA" + "0" * 32
BEAT = WorkerBeat(worker_id="w", role=Role.EARS, seats=0, room=1)
REF = BotRef(credential=Credential(), bot_id="b")
Buses = dict[str, Bus]


async def test_told_messages_arrive_in_order(buses: Buses) -> None:
    heard: list[int] = []
    done = asyncio.Event()

    def on(audio: CallerAudio) -> None:
        heard.append(audio.seq)
        if audio.seq == 99:
            done.set()

    await buses["stt-worker"].hear(CALLER_AUDIO, on, call_id=CALL)
    await buses["stt-worker"].flush()
    for seq in range(100):
        await buses["gateway"].tell(CALLER_AUDIO, CallerAudio(1, seq, seq * 20, b"\xff"), call_id=CALL)
    await asyncio.wait_for(done.wait(), 5)
    assert heard == list(range(100))


async def test_what_is_told_soon_arrives_in_order_in_few_writes(buses: Buses) -> None:
    heard: list[tuple[str, int]] = []
    done, others = asyncio.Event(), "CA" + "1" * 32

    def on(call: str, audio: CallerAudio) -> None:
        heard.append((call, audio.seq))
        if len(heard) == 100:
            done.set()

    for call in (CALL, others):
        await buses["stt-worker"].hear(CALLER_AUDIO, partial(on, call), call_id=call)
    await buses["stt-worker"].flush()
    tellers = [buses["gateway"].teller(CALLER_AUDIO, call_id=call) for call in (CALL, others)]
    for seq in range(50):
        for tell in tellers:
            tell(CallerAudio(1, seq, seq * 20, b"\xff"))
    assert buses["gateway"]._client.stats["out_msgs"] == 0
    await asyncio.wait_for(done.wait(), 5)
    assert [seq for call, seq in heard if call == CALL] == list(range(50))
    assert [seq for call, seq in heard if call == others] == list(range(50))


async def test_a_link_that_takes_too_little_does_not_fill_the_memory(
    buses: Buses, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []
    done = asyncio.Event()

    def on(audio: CallerAudio) -> None:
        heard.append(audio.seq)
        if audio.seq == MOST_WAITING + 2:
            done.set()

    await buses["stt-worker"].hear(CALLER_AUDIO, on, call_id=CALL)
    await buses["stt-worker"].flush()
    tell = buses["gateway"].teller(CALLER_AUDIO, call_id=CALL)
    for seq in range(MOST_WAITING + 2):
        tell(CallerAudio(1, seq, seq * 20, b"\xff"))
    assert len(buses["gateway"]._soon._waiting) == MOST_WAITING
    while buses["gateway"]._soon._waiting:
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while not done.is_set():
            tell(CallerAudio(1, MOST_WAITING + 2, 0, b"\xff"))
            await asyncio.sleep(0.01)
    assert not {MOST_WAITING, MOST_WAITING + 1} & {*heard}
    lost = [vars(line)["messages"] for line in caplog.records if line.message == "not told soon"]
    assert lost == [2]


async def test_who_is_not_on_the_arrow_may_neither_speak_nor_listen(buses: Buses) -> None:
    with pytest.raises(NotAllowed):
        await buses["gateway"].tell(WORKER_BEAT, BEAT, worker_id="w")
    with pytest.raises(NotAllowed):
        buses["tts-worker"].teller(CALLER_AUDIO, call_id=CALL)
    with pytest.raises(NotAllowed):
        await buses["tts-worker"].hear(CALLER_AUDIO, lambda _: None, call_id=CALL)
    with pytest.raises(NotAllowed):
        await buses["stt-worker"].ask(BOT_DELETE, REF, timeout_s=1)

    async def never(_: BotRef) -> Done:
        return Done(message="Bot deleted")

    with pytest.raises(NotAllowed):
        await buses["gateway"].answer(BOT_DELETE, never)


async def test_answers_refusals_silence_and_surprises(buses: Buses) -> None:
    async def on(ref: BotRef) -> Done:
        match ref.bot_id:
            case "refused":
                raise Refused("bot_not_found", "There is no such bot.", {"field": "id"})
            case "silent":
                raise Silent
            case "surprise":
                raise RuntimeError("a secret")
        return Done(message="Bot deleted")

    await buses["call-router"].answer(BOT_DELETE, on)
    await buses["call-router"].flush()
    gateway = buses["gateway"]
    assert await gateway.ask(BOT_DELETE, REF, timeout_s=5) == Done(message="Bot deleted")
    with pytest.raises(Refused) as refused:
        await gateway.ask(BOT_DELETE, BotRef(credential=Credential(), bot_id="refused"), timeout_s=5)
    assert (refused.value.code, refused.value.details) == ("bot_not_found", {"field": "id"})
    with pytest.raises(TimedOut):
        await gateway.ask(BOT_DELETE, BotRef(credential=Credential(), bot_id="silent"), timeout_s=0.1)
    with pytest.raises(Refused) as surprised:
        await gateway.ask(BOT_DELETE, BotRef(credential=Credential(), bot_id="surprise"), timeout_s=5)
    assert surprised.value.code == "internal_error" and "secret" not in str(surprised.value)


async def test_nobody_there_is_known_at_once(buses: Buses) -> None:
    with pytest.raises(NoResponders):
        await buses["gateway"].ask(BOT_DELETE, REF, timeout_s=60)


async def test_one_of_a_queue_group_answers(buses: Buses, server: Server) -> None:
    answered: list[str] = []

    async with connect(url_for("call-router", server), speaks_as="call-router") as second:
        for name, bus in (("first", buses["call-router"]), ("second", second)):

            async def on(_: BotRef, name: str = name) -> Done:
                answered.append(name)
                return Done(message="Bot deleted")

            await bus.answer(BOT_DELETE, on, queue="q")
            await bus.flush()
        for _ in range(30):
            await buses["gateway"].ask(BOT_DELETE, REF, timeout_s=5)
    assert len(answered) == 30 and set(answered) == {"first", "second"}


async def test_after_stop_nothing_is_delivered(buses: Buses) -> None:
    async def on(_: SeatRenew) -> Receipt:
        return Receipt()

    listening = await buses["gateway"].answer(SEAT_RENEW, on, call_id=CALL)
    await buses["gateway"].flush()
    question = SeatRenew(role=Role.EARS, epoch=1, worker_id="w")
    assert (await buses["stt-worker"].ask(SEAT_RENEW, question, timeout_s=5, call_id=CALL)).accepted
    await listening.stop()
    await listening.stop()
    await buses["gateway"].flush()
    with pytest.raises(NoResponders):
        await buses["stt-worker"].ask(SEAT_RENEW, question, timeout_s=5, call_id=CALL)


async def test_an_unreadable_message_is_dropped_and_the_next_one_heard(buses: Buses) -> None:
    heard = asyncio.Event()
    await buses["stt-worker"].hear(CALLER_AUDIO, lambda _: heard.set(), call_id=CALL)
    await buses["stt-worker"].flush()
    await buses["gateway"]._client.publish(CALLER_AUDIO.of(call_id=CALL), b"\x09")
    await buses["gateway"].tell(CALLER_AUDIO, CallerAudio(1, 0, 0, b""), call_id=CALL)
    assert await asyncio.wait_for(heard.wait(), 5)


async def test_a_server_that_comes_back_is_found_again(buses: Buses, server: Server) -> None:
    heard = asyncio.Event()
    await buses["gateway"].hear(WORKER_BEAT, lambda _: heard.set())
    server.kill()
    async with asyncio.timeout(10):
        while any(bus.is_connected for bus in buses.values()):
            await asyncio.sleep(0.02)
    server.start()
    async with asyncio.timeout(10):
        while not all(bus.is_connected for bus in buses.values()):
            await asyncio.sleep(0.02)
        while not heard.is_set():
            await buses["tts-worker"].tell(WORKER_BEAT, BEAT, worker_id="w")
            await asyncio.sleep(0.05)


async def test_a_question_is_not_kept_for_a_server_that_is_away(buses: Buses, server: Server) -> None:
    server.kill()
    async with asyncio.timeout(10):
        while buses["gateway"].is_connected:
            await asyncio.sleep(0.02)
    with pytest.raises(TimedOut, match="away"):
        await buses["gateway"].ask(BOT_DELETE, REF, timeout_s=60)
    server.start()


async def test_no_server_at_the_start_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callbot.runtime.bus.CONNECT_TIMEOUT_S", 0.3)
    with pytest.raises(SettingsError, match="NATS does not answer"):
        async with connect(f"nats://127.0.0.1:{free_port()}", speaks_as="gateway"):
            pass
