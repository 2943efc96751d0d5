"""Sounds that are no words, what surrounds a caller, and where the bot went on after it was cut short."""

import asyncio
import base64
import math

import numpy as np
import pytest

from callbot.schemas.audio import FRAME_BYTES
from callbot.schemas.text_audio import TONE, audible, texts_in
from callbot.studio.emulator import Cut, Echo, Emulator, NotHeard
from callbot.studio.emulator.loudness import SILENT_FRAME
from callbot.studio.emulator.playout import Playout
from callbot.studio.emulator.recording import decode
from callbot.studio.emulator.sounds import (
    COUGH_DBFS,
    cough,
    hum,
    joined,
    level_dbfs,
    music,
    noise,
    pitched,
    silence,
    trimmed,
)
from callbot.studio.emulator.surroundings import Surroundings
from studio.tests.emulator_platform import Socket, running_platform


@pytest.mark.parametrize("make", [noise, hum, music])
def test_a_sound_has_its_length_and_its_level(make: object) -> None:
    audio = make(1000, -25)  # type: ignore[operator]
    assert len(audio) == 8000
    power = np.mean((decode(audio) / 32768) ** 2)
    assert 10 * math.log10(power) == pytest.approx(-25, abs=1)


def test_coughs_are_short_loud_without_words_and_differ_by_their_seed() -> None:
    coughs = [cough(seed) for seed in range(20)]
    assert cough(3) == coughs[3] and len(set(coughs)) == 20
    assert all(150 <= len(one) / 8 <= 900 for one in coughs)
    assert all(list(texts_in(one)) == [] for one in coughs)
    assert all(level_dbfs(one) == pytest.approx(COUGH_DBFS, abs=4) for one in coughs)


def test_pauses_are_as_long_as_they_were_asked_for() -> None:
    one, two = silence(100) + audible("one") + silence(200), audible("two")
    assert len(joined([one, two], 700)) == pytest.approx((120 + 700 + 120) * 8, abs=2 * FRAME_BYTES)
    assert list(texts_in(joined([one, two], 700))) == ["one", "two"]
    assert trimmed(silence(100)) == b""


def test_a_higher_voice_is_quicker() -> None:
    tone = TONE * 1000
    higher = pitched(tone, 1.25)
    assert len(higher) == pytest.approx(len(tone) / 1.25, abs=2)
    spectrum = np.abs(np.fft.rfft(decode(higher[:6000]).astype(float)))
    assert spectrum.argmax() * 8000 / 6000 == pytest.approx(1250, abs=5)


def test_an_echo_is_quieter_and_later() -> None:
    around = Surroundings(Echo(attenuation_db=30, delay_ms=60))
    loud = TONE * 20
    picked_up = []
    for frame in (loud, loud, SILENT_FRAME, SILENT_FRAME, SILENT_FRAME, SILENT_FRAME):
        picked_up.append(around.around(SILENT_FRAME))
        around.heard(frame)
    assert [frame != SILENT_FRAME for frame in picked_up] == [False, False, False, True, True, False]
    ratio = np.abs(decode(loud)).max() / np.abs(decode(picked_up[3])).max()
    assert 20 * math.log10(ratio) == pytest.approx(30, abs=1.5)


def test_a_background_goes_on_for_ever_and_speech_is_mixed_into_it() -> None:
    background = noise(30, -30)
    around = Surroundings(background=background)
    frames = b"".join(around.around(SILENT_FRAME) for _ in range(3))
    assert decode(frames).tolist() == pytest.approx(decode(background * 2).tolist(), abs=300)
    assert np.abs(decode(around.around(TONE * 20))).max() > np.abs(decode(background)).max()
    assert Surroundings().around(TONE * 20) == TONE * 20


@pytest.mark.parametrize(
    ("goes_on_from", "skipped_ms"), [(8000, 0), (8000 - 400, -50), (8000 + 320, 40), (12_000, None)]
)
def test_where_the_bot_went_on(goes_on_from: int, skipped_ms: float | None) -> None:
    said = np.random.default_rng(1).integers(0, 256, 12_000, dtype=np.uint8).tobytes() + bytes(4000)
    playout = Playout()
    playout.append(said[:12_000], 0)
    for at_ms in range(0, 1000, 20):
        playout.next_frame(at_ms)
    playout.clear(1003)
    (cut,) = playout.cuts
    assert (cut.at_ms, cut.heard, cut.unheard) == (1003, said[:8000], said[8000:12_000])
    assert cut.skipped_ms() is None
    playout.append(said[goes_on_from:], 1500)
    assert cut.skipped_ms() == skipped_ms


def test_what_follows_a_cut_is_compared_as_far_as_it_is_known() -> None:
    said = np.random.default_rng(2).integers(0, 256, 2000, dtype=np.uint8).tobytes()
    cut = Cut(0, said[:1000], said[1000:1400])
    cut.follow(said[1000:])
    assert cut.skipped_ms() == 0
    cut = Cut(0, said[:1000], said[1000:1400])
    cut.follow(said[1000:1300] + bytes(700))
    assert cut.skipped_ms() is None


async def test_a_caller_coughs_over_the_bot_and_knows_when_it_stopped_and_went_on() -> None:
    speech = np.random.default_rng(3).integers(0, 100, 24_000, dtype=np.uint8).tobytes()

    async def polite(socket: Socket) -> None:
        await socket.next("start")
        await socket.play(speech)
        while True:
            message = await socket.next("media")
            if base64.b64decode(message["media"]["payload"]) != SILENT_FRAME:
                break
        await socket.send("clear")
        await asyncio.sleep(0.5)
        # The platform guesses what was heard, and says a little of it again.
        call_heard = len(call.call.cuts[0].heard)
        await socket.play(speech[call_heard - 80 :])
        await socket.rest()

    async with running_platform() as platform:
        platform.connects(polite)
        async with Emulator(platform.url) as emulator, emulator.dial(bot_id="bot_1") as call:
            await call.listens(500)
            said = await call.makes(cough(1))
            cut = await call.cut_by(said)
            assert cut is not None and 0 <= cut.at_ms - said.started_ms < 200
            again_ms = await call.hears_on_after(cut)
            assert again_ms - cut.at_ms > 400
            assert cut.skipped_ms() == -10
            assert await call.was_cleared()
            with pytest.raises(NotHeard):
                await call.listens(60_000, within_s=0.1)
            call.hangs_up()


async def test_an_echo_comes_back_over_the_line() -> None:
    loudest = 0

    async def loud(socket: Socket) -> None:
        nonlocal loudest
        await socket.next("start")
        await socket.play(TONE * 500)
        for _ in range(40):
            message = await socket.next("media")
            frame = base64.b64decode(message["media"]["payload"])
            assert len(frame) == FRAME_BYTES
            loudest = max(loudest, int(np.abs(decode(frame)).max()))
        await socket.rest()

    async with running_platform() as platform:
        platform.connects(loud)
        async with Emulator(platform.url) as emulator, emulator.dial(bot_id="bot_1", echo=Echo()) as call:
            await call.listens(400)
            await asyncio.sleep(0.5)
            call.hangs_up()
    assert 20 * math.log10(int(np.abs(decode(TONE)).max()) / loudest) == pytest.approx(30, abs=2)
