"""Recordings in a real JetStream and a real database: stored once, laid out, given in parts, erased."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nats.js import JetStreamContext

from callbot.call_router.database import StoreUnavailable
from callbot.call_router.recordings import PieceKeeper
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.runtime.bus import Bus
from callbot.schemas.audio import BYTES_PER_MS
from callbot.schemas.calls import CallRef
from callbot.schemas.memory import RECORDINGS
from callbot.schemas.recording import (
    LONGEST_PART_MS,
    PIECE_MS,
    CallRecordingPart,
    RecordingPart,
    RecordingPiece,
    Track,
)
from callbot.schemas.subjects import CALL_DELETE, CALL_RECORDING, RECORDING_PIECE

from .conftest import ASK_S, as_user, new_bot, remembered
from .test_calls import ended_call
from .test_routing import admit, new_call_id, refusal, route

pytestmark = pytest.mark.usefixtures("router")
LATER = datetime(2100, 1, 1, tzinfo=UTC)
EVERY_BYTE = bytes(range(256)) * 2


def piece(call_id: str, at_ms: int, payload: bytes, track: Track = Track.CALLER, **at: int) -> RecordingPiece:
    where = {"generation": 1, "stream_at_ms": 0, **at}
    return RecordingPiece(call_id=call_id, track=track, at_ms=at_ms, payload=payload, **where)


def ms(n: int, byte: int) -> bytes:
    return bytes([byte]) * (n * BYTES_PER_MS)


async def tell(gateway: Bus, told: RecordingPiece, message_id: str = "") -> None:
    await remembered(gateway, RECORDING_PIECE, told, told.call_id, message_id)


async def part(gateway: Bus, call_id: str, from_ms: int = 0, user_id: str = "public") -> RecordingPart:
    question = CallRecordingPart(credential=as_user(user_id), call_id=call_id, from_ms=from_ms)
    return await gateway.ask(CALL_RECORDING, question, timeout_s=ASK_S)


async def whole(gateway: Bus, call_id: str) -> tuple[bytes, bytes]:
    """Both tracks, put together from all parts."""
    audio = b""
    while (found := await part(gateway, call_id, len(audio) // (2 * BYTES_PER_MS))).payload:
        assert len(found.encode()) <= 512_000
        audio += found.payload
    assert len(audio) == found.total_ms * BYTES_PER_MS * 2
    return audio[0::2], audio[1::2]


async def waiting(js: JetStreamContext, call_id: str) -> int:
    subject = RECORDING_PIECE.of(call_id=call_id)
    found = (await js.stream_info(RECORDINGS.name, subjects_filter=subject)).state.subjects
    return sum((found or {}).values())


@pytest.fixture
async def js(settings: Settings, router: Any) -> Any:
    from callbot.runtime.bus import connect

    async with connect(settings.nats_url, speaks_as="call-router") as bus:
        yield bus.jetstream()


async def all_stored(js: JetStreamContext, call_id: str) -> None:
    async with asyncio.timeout(10):
        while await waiting(js, call_id):
            await asyncio.sleep(0.02)


async def test_pieces_become_one_recording_and_leave_the_stream(
    gateway: Bus, database: Any, js: JetStreamContext
) -> None:
    call_id = await ended_call(gateway, database)
    caller = b"".join(bytes([n % 251]) * 8 for n in range(12_340))
    for at_ms in (5000, 0, 10_000):
        at = at_ms * BYTES_PER_MS
        await tell(gateway, piece(call_id, at_ms, caller[at : at + PIECE_MS * BYTES_PER_MS]))
    await tell(gateway, piece(call_id, 5000, EVERY_BYTE, Track.BOT))
    await all_stored(js, call_id)
    left, right = await whole(gateway, call_id)
    assert left == caller
    assert right[: 5000 * BYTES_PER_MS].strip(b"\xff") == b""
    assert right[5000 * BYTES_PER_MS :][: len(EVERY_BYTE)] == EVERY_BYTE


async def test_what_comes_twice_is_stored_once(gateway: Bus, database: Any, js: JetStreamContext) -> None:
    call_id = await ended_call(gateway, database)
    for _ in range(3):
        await tell(gateway, piece(call_id, 0, ms(100, 7)))
    await all_stored(js, call_id)
    assert database["recordings"].count_documents({"call_id": call_id}) == 1
    assert await whole(gateway, call_id) == (ms(100, 7), ms(100, 0xFF))


async def test_what_was_lost_is_silence_of_its_length(stores: Stores, gateway: Bus, database: Any) -> None:
    call_id = await ended_call(gateway, database)
    for at_ms in (0, 10_000):
        await stores.recordings.keep(piece(call_id, at_ms, ms(5000, 3)), LATER)
    left, _ = await whole(gateway, call_id)
    assert left == ms(5000, 3) + ms(5000, 0xFF) + ms(5000, 3)


@pytest.mark.parametrize(("told_ms", "begins_ms"), [(20_000, 20_000), (7000, 7000), (3000, 7000), (0, 7000)])
async def test_a_call_that_was_entered_again_goes_on_behind(
    stores: Stores, gateway: Bus, database: Any, told_ms: int, begins_ms: int
) -> None:
    """Where it says, but never over what there is: a gateway without the journal does not know better."""
    call_id = await ended_call(gateway, database)
    first = [piece(call_id, 0, ms(5000, 1)), piece(call_id, 5000, ms(2000, 2))]
    again = {"generation": 4, "stream_at_ms": told_ms}
    second = [piece(call_id, 0, ms(5000, 3), **again), piece(call_id, 0, ms(5000, 4), Track.BOT, **again)]
    for told in second + first:
        await stores.recordings.keep(told, LATER)
    left, right = await whole(gateway, call_id)
    assert left == ms(5000, 1) + ms(2000, 2) + ms(begins_ms - 7000, 0xFF) + ms(5000, 3)
    assert right == ms(begins_ms, 0xFF) + ms(5000, 4)


async def test_parts_may_begin_anywhere(stores: Stores, gateway: Bus, database: Any) -> None:
    call_id = await ended_call(gateway, database)
    audio = b"".join(bytes([n % 251]) * 8 for n in range(23_000))
    for at_ms in range(0, 23_000, PIECE_MS):
        at = at_ms * BYTES_PER_MS
        await stores.recordings.keep(piece(call_id, at_ms, audio[at : at + PIECE_MS * BYTES_PER_MS]), LATER)
    for from_ms in (1, 4999, 5001, 12_999, 22_999, 23_000, 30_000):
        found = await part(gateway, call_id, from_ms)
        at = from_ms * BYTES_PER_MS
        assert found.payload[0::2] == audio[at : at + LONGEST_PART_MS * BYTES_PER_MS]
        assert found.total_ms == 23_000


async def test_who_may_not_read_it_learns_why(gateway: Bus, stores: Stores, database: Any) -> None:
    call_id = await ended_call(gateway, database)
    assert await refusal(part(gateway, call_id)) == "no_recording"
    await stores.recordings.keep(piece(call_id, 0, ms(100, 7)), LATER)
    for from_ms in (0, 20):
        assert await refusal(part(gateway, call_id, from_ms, "mallory")) == "call_not_found"
        assert await refusal(part(gateway, new_call_id(), from_ms)) == "call_not_found"
    bot = await new_bot(gateway)
    live = await route(gateway, bot.id, new_call_id())
    await admit(gateway, live)
    assert await refusal(part(gateway, live.call_id)) == "call_live"


class Away:
    """The database is away for whatever is stored."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def keep(self, told: RecordingPiece, expires_at: datetime) -> None:
        raise StoreUnavailable("away")


async def test_a_recording_that_is_not_stored_yet_is_not_shown_as_if_it_were(
    gateway: Bus, stores: Stores, database: Any, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id = await ended_call(gateway, database)
    await stores.recordings.keep(piece(call_id, 0, ms(5000, 1)), LATER)
    with monkeypatch.context() as away:
        away.setattr(stores, "recordings", Away(stores.recordings))
        await tell(gateway, piece(call_id, 5000, ms(100, 2)))
        assert await refusal(part(gateway, call_id)) == "unavailable"
    await all_stored(js, call_id)
    assert (await part(gateway, call_id)).total_ms == 5100


async def test_an_erased_call_has_no_recording_and_gets_none(
    gateway: Bus, stores: Stores, database: Any, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id, other = await ended_call(gateway, database), await ended_call(gateway, database)
    for kept in (call_id, other):
        for at_ms in range(0, 3_600_000, 60_000):
            await stores.recordings.keep(piece(kept, at_ms, ms(10, 1)), LATER)
            await stores.recordings.keep(piece(kept, at_ms, ms(10, 1), generation=2), LATER)
    with monkeypatch.context() as away:
        away.setattr(stores, "recordings", Away(stores.recordings))
        await tell(gateway, piece(call_id, 5000, ms(100, 2)))
        question = CallRef(credential=as_user(), call_id=call_id)
        await gateway.ask(CALL_DELETE, question, timeout_s=ASK_S)
    assert await waiting(js, call_id) == 0
    assert database["recordings"].count_documents({"call_id": call_id}) == 0
    assert database["recordings"].count_documents({"call_id": other}) == 120
    await tell(gateway, piece(call_id, 10_000, ms(100, 2)))
    await all_stored(js, call_id)
    assert database["recordings"].count_documents({"call_id": call_id}) == 0


async def test_a_piece_that_is_stored_while_its_call_is_erased_does_not_stay(
    stores: Stores, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id = new_call_id()
    really = stores.recordings.keep

    async def erased_meanwhile(told: RecordingPiece, expires_at: datetime) -> None:
        await stores.erased_calls.add(call_id, LATER)
        await stores.recordings.erase(call_id)
        await really(told, expires_at)

    monkeypatch.setattr(stores.recordings, "keep", erased_meanwhile)
    await PieceKeeper(stores, 30).keep(piece(call_id, 0, ms(100, 1)))
    assert database["recordings"].count_documents({"call_id": call_id}) == 0


async def test_recordings_go_by_themselves(stores: Stores, database: Any) -> None:
    call_id, now = new_call_id(), datetime.now(UTC).replace(microsecond=0)
    await PieceKeeper(stores, 7, lambda: now).keep(piece(call_id, 0, ms(100, 1)))
    found = database["recordings"].find_one({"call_id": call_id})
    assert found["expires_at"] == now + timedelta(days=7)
    indexes = database["recordings"].index_information().values()
    assert [i["expireAfterSeconds"] for i in indexes if "expireAfterSeconds" in i] == [0]


async def test_what_cannot_be_read_does_not_stand_in_the_way(
    gateway: Bus, database: Any, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    from callbot.call_router import records

    monkeypatch.setattr(records, "REDELIVER_AFTER_S", 0.01)
    call_id = await ended_call(gateway, database)
    subject = RECORDING_PIECE.of(call_id=call_id)
    await gateway.jetstream().publish(subject, b"\x09 of another version")
    await tell(gateway, piece(call_id, 0, ms(100, 1)))
    await all_stored(js, call_id)
    assert (await part(gateway, call_id)).total_ms == 100
