"""What is recorded lies where it was heard; what was not heard is not there; nothing is held for long."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from callbot.gateway import recording
from callbot.gateway.bot_speech import BotSpeech
from callbot.gateway.playout import Playout
from callbot.gateway.recording import CallRecording, RecordedLine
from callbot.gateway.turns import Turns
from callbot.runtime.errors import TimedOut
from callbot.schemas.audio import BYTES_PER_MS, FRAME_BYTES, FRAME_MS, BotAudio
from callbot.schemas.recording import PIECE_MS, RecordingPiece, Track
from callbot.schemas.turn_taking import Phrases
from tests.samples import CALL_ID, a_brief

SILENCE = b"\xff"
CLICK = b"\x00" * BYTES_PER_MS
BEGAN_MS = 123_456.7


class Store:
    """Where the pieces go; away whenever a test wants it."""

    def __init__(self) -> None:
        self.pieces: list[RecordingPiece] = []
        self.away = False
        self.stuck = asyncio.Event()
        self.stuck.set()

    async def send(self, piece: RecordingPiece) -> None:
        await self.stuck.wait()
        if self.away:
            raise TimedOut("away")
        assert RecordingPiece.decode(piece.encode()) == piece
        self.pieces.append(piece)

    def track(self, track: Track) -> bytes:
        """As whoever reads it lays it out."""
        end = max(piece.at_ms * BYTES_PER_MS + len(piece.payload) for piece in self.pieces)
        laid = bytearray(SILENCE * end)
        for piece in self.pieces:
            if piece.track is track:
                at = piece.at_ms * BYTES_PER_MS
                laid[at : at + len(piece.payload)] = piece.payload
        return bytes(laid)


class Phone:
    """A recorded call on a clock of its own: frames come when they are complete; it plays as Twilio does."""

    def __init__(
        self, store: Store, late_ms: Callable[[int], float] = lambda seq: 0.0, notice: str | None = None
    ) -> None:
        self.now_ms = BEGAN_MS
        self.store = store
        self._late_ms = late_ms
        brief = a_brief(record=True, phrases=Phrases(recorded=notice))
        self.recording = CallRecording(brief, 0, store, lambda: self.now_ms)  # type: ignore[arg-type]
        self.line = RecordedLine(self, self.recording)
        self.running = asyncio.create_task(self.recording.run())
        self.frames = 0
        self.most_held = 0
        self._far = bytearray()

    def audio(self, payload: bytes) -> None:
        self._far += payload

    def mark(self, name: str) -> None:
        raise AssertionError("nothing here has a mark")

    def clear(self) -> None:
        self._far.clear()

    def hang_up(self) -> None:
        raise AssertionError("nobody hangs up")

    async def passes(self, ms: int, says: bytes = b"", at_each: Callable[[], None] = lambda: None) -> bytes:
        """What the caller says, frame by frame; returns what they heard meanwhile."""
        heard = bytearray()
        for n in range(ms // FRAME_MS):
            self.frames += 1
            complete_ms = BEGAN_MS + self.frames * FRAME_MS
            self.now_ms = max(self.now_ms, complete_ms)
            at_each()
            frame = says[n * FRAME_BYTES : (n + 1) * FRAME_BYTES].ljust(FRAME_BYTES, SILENCE)
            self.now_ms = max(self.now_ms, complete_ms + self._late_ms(self.frames))
            self.recording.heard(frame)
            self.most_held = max(self.most_held, self.recording.held_bytes)
            heard += bytes(self._far[:FRAME_BYTES]).ljust(FRAME_BYTES, SILENCE)
            del self._far[:FRAME_BYTES]
            if n % 10 == 0:
                await asyncio.sleep(0)
        return bytes(heard)

    async def ends(self) -> None:
        await self.recording.finish()
        self.running.cancel()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.mark.parametrize("at_ms", [0, 740, PIECE_MS - 5, PIECE_MS, 12_340, 19_015])
@pytest.mark.parametrize("jitter", [0, 15, 120], ids="{} ms jitter".format)
async def test_a_click_of_both_sides_lies_where_it_was_heard(store: Store, at_ms: int, jitter: int) -> None:
    phone = Phone(store, lambda seq: jitter if seq * 7919 % 23 < 4 else 0.0)
    before = at_ms - at_ms % FRAME_MS

    await phone.passes(before)
    phone.now_ms = max(phone.now_ms, BEGAN_MS + at_ms)
    sent_at_ms = phone.now_ms - BEGAN_MS
    phone.line.audio(CLICK)
    await phone.passes(20_000 - before, SILENCE * (at_ms % FRAME_MS * BYTES_PER_MS) + CLICK)
    await phone.ends()
    assert store.track(Track.CALLER).index(CLICK) == at_ms * BYTES_PER_MS
    assert abs(store.track(Track.BOT).index(CLICK) / BYTES_PER_MS - sent_at_ms) <= FRAME_MS


async def test_frames_that_come_in_bursts_and_late_do_not_move_the_bot(store: Store) -> None:
    """The socket is read a second late, as at the beginning of a call; and stands still for two later."""
    phone = Phone(store, lambda seq: 1000.0 if seq <= 50 else 2000.0 if 400 < seq <= 500 else 0.0)
    phone.line.audio(CLICK)
    await phone.passes(3000)
    phone.now_ms = BEGAN_MS + 3000
    await phone.passes(27_000, at_each=lambda: phone.line.audio(CLICK) if phone.frames == 900 else None)
    await phone.ends()
    bot = store.track(Track.BOT)
    assert bot.index(CLICK) == 0
    assert abs(bot.rindex(CLICK) / BYTES_PER_MS - 900 * FRAME_MS) <= FRAME_MS


async def test_clocks_that_drift_apart_stay_together_for_an_hour(store: Store) -> None:
    """200 ppm: 720 ms in an hour."""
    phone = Phone(store, lambda seq: seq * FRAME_MS * 200e-6)
    await phone.passes(3_590_000)
    phone.line.audio(CLICK)
    await phone.passes(10_000, CLICK)
    await phone.ends()
    apart = store.track(Track.BOT).rindex(CLICK) - store.track(Track.CALLER).rindex(CLICK)
    assert abs(apart) / BYTES_PER_MS <= FRAME_MS


def sounds(track: bytes) -> bytes:
    return track.strip(SILENCE)


@pytest.mark.parametrize(
    "late_ms",
    [lambda seq: seq * 7919 % 17, lambda seq: 100 if seq <= 250 else 0, lambda seq: 0 if seq <= 250 else 100],
    ids=["jitter", "sooner later on", "later later on"],
)
async def test_what_is_sent_piece_by_piece_has_no_seam(store: Store, late_ms: Callable[[int], float]) -> None:
    phone = Phone(store, late_ms)
    said = bytes(n // 8 % 200 for n in range(12_000 * BYTES_PER_MS))[8:]
    rest = bytearray(said)

    def pump() -> None:
        if rest and len(phone._far) < 600 * BYTES_PER_MS:
            phone.line.audio(bytes(rest[:1600]))
            del rest[:1600]

    await phone.passes(14_000, at_each=pump)
    await phone.ends()
    assert sounds(store.track(Track.BOT)) == said


async def test_what_was_cleared_is_not_there_and_goes_on_where_it_was_resumed(store: Store) -> None:
    """A real play-out: held up after 4.9 s, at the seam of two pieces, and resumed 400 ms later."""
    phone = Phone(store)
    turns = Turns(CALL_ID)
    speech = BotSpeech(turns, Playout(), phone.line, lambda: phone.now_ms)
    phone.mark = lambda name: None  # type: ignore[method-assign]
    turn = turns.open("greeting", "", phone.now_ms)
    turns.speak_instead("A long sentence.", "greeting", "", phone.now_ms)
    said = bytes(1 + n // 160 % 250 for n in range(7_000 * BYTES_PER_MS))
    speech.say(["A long sentence."])
    speech.add(BotAudio(1, turn.number, 0, 0, said))
    speech.add(BotAudio(1, turn.number, 0, len(said), b"", len(said)))
    heard = await phone.passes(4900, at_each=speech.send_due)
    speech.pause()
    heard += await phone.passes(400)
    speech.resume()
    heard += await phone.passes(700, at_each=speech.send_due)
    speech.stop()
    heard += await phone.passes(6000, at_each=speech.send_due)
    await phone.ends()
    recorded = store.track(Track.BOT)
    assert len(recorded) == len(heard)
    # Within the frame in which it was cut; what comes after the pause is what was not heard before it.
    first, second = (part for part in recorded.split(SILENCE * 3000) if sounds(part))
    assert sounds(first) + sounds(second) == said[: len(sounds(first)) + len(sounds(second))]
    assert abs(len(sounds(first)) / BYTES_PER_MS - 4900) <= FRAME_MS
    assert abs(len(sounds(second)) / BYTES_PER_MS - 700) <= FRAME_MS
    different = sum((a == 0xFF) != (b == 0xFF) for a, b in zip(recorded, heard, strict=True))
    assert different / BYTES_PER_MS <= 4 * FRAME_MS, "each beginning and end is within a frame of the ear"


async def test_what_was_not_heard_by_the_end_is_not_there(store: Store) -> None:
    phone = Phone(store)
    phone.line.audio(CLICK * 600)
    await phone.passes(300)
    await phone.ends()
    assert len(sounds(store.track(Track.BOT))) == 300 * BYTES_PER_MS
    assert len(store.track(Track.CALLER)) == 300 * BYTES_PER_MS


async def test_pieces_are_numbered_by_their_stream_and_silence_of_the_bot_is_not_sent(store: Store) -> None:
    made = a_brief(record=True, generation=3)
    again = CallRecording(made, 61_234.4, store, lambda: 0.0)  # type: ignore[arg-type]
    running = asyncio.create_task(again.run())
    for _ in range(300):
        again.heard(CLICK * FRAME_MS)
    await again.finish()
    running.cancel()
    told = [(p.generation, p.track, p.at_ms, p.stream_at_ms, p.length_ms) for p in store.pieces]
    assert told == [(3, Track.CALLER, 0, 61_234, 5000), (3, Track.CALLER, 5000, 61_234, 1000)]


async def test_an_hour_is_never_in_memory(store: Store) -> None:
    phone = Phone(store)
    await phone.passes(3_600_000, at_each=lambda: phone.line.audio(b"\x10" * FRAME_BYTES))
    await phone.ends()
    assert phone.most_held <= 11_000 * BYTES_PER_MS * 2
    assert len(store.track(Track.BOT)) == len(store.track(Track.CALLER)) == 3_600_000 * BYTES_PER_MS


async def test_a_store_that_is_away_costs_a_gap_said_once_and_no_memory(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording, "AGAIN_AFTER_S", 0)
    phone = Phone(store)
    await phone.passes(10_000, CLICK * 10_000)
    await phone.recording._empty.wait()
    store.away = True
    await phone.passes(60_000, CLICK * 60_000, at_each=lambda: phone.line.audio(CLICK * FRAME_MS))
    assert phone.most_held <= 15_100 * BYTES_PER_MS * 2
    store.away = False
    await phone.recording._empty.wait()
    await phone.passes(10_000, CLICK * 10_000)
    await phone.ends()
    heard = store.track(Track.CALLER)
    assert len(heard) == 80_000 * BYTES_PER_MS
    assert heard[: 10_000 * BYTES_PER_MS] == CLICK * 10_000
    assert heard[10_000 * BYTES_PER_MS : 60_000 * BYTES_PER_MS] == SILENCE * (50_000 * BYTES_PER_MS)
    assert heard[60_000 * BYTES_PER_MS :] == CLICK * 20_000
    assert [r.levelno for r in caplog.records if r.message == "the recording has a gap"] == [logging.ERROR]


async def test_the_end_of_a_call_does_not_wait_for_a_store_that_is_stuck(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording, "FINISH_WITHIN_S", 0.01)
    store.stuck.clear()
    phone = Phone(store)
    await phone.passes(1000)
    async with asyncio.timeout(2):
        await phone.ends()
    assert store.pieces == [] and "the recording has a gap" in caplog.text


async def test_who_has_not_been_told_is_not_recorded(store: Store) -> None:
    phone = Phone(store, notice="This call is recorded.")
    said = b"\x22" * FRAME_BYTES * 10
    await phone.passes(200, said)
    phone.recording.bot_said("Hello!")
    await phone.passes(200, said)
    phone.recording.bot_said("This call is recorded. Hello!")
    await phone.passes(200, said)
    await phone.ends()
    assert store.track(Track.CALLER) == SILENCE * len(said) * 2 + said
