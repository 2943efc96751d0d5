"""A recorded call, compared with what the phone itself has heard and said."""

import asyncio
import wave
from pathlib import Path

import aiohttp
import numpy as np
from numpy.typing import NDArray

from callbot.studio.emulator import Emulator
from callbot.studio.emulator.recording import decode
from tests.conftest import BotMaker

GREETING = "Hello! How can I help you?"
NOTICE = "This call is recorded."
RATE = 8000
Samples = NDArray[np.float64]


def of_the_phone(path: Path) -> tuple[Samples, Samples]:
    with wave.open(str(path)) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    return data[:, 0].astype(np.float64), data[:, 1].astype(np.float64)


def of_the_api(wav: bytes) -> tuple[Samples, Samples]:
    """Python's `wave` reads no mu-law; what the header says is tested beside the gateway."""
    assert wav[:4] + wav[8:12] == b"RIFFWAVE" and wav[50:54] == b"data"
    data = decode(wav[58:]).reshape(-1, 2)
    return data[:, 0].astype(np.float64), data[:, 1].astype(np.float64)


def offset_ms(ours: Samples, theirs: Samples) -> float:
    """How much later the same sound lies in `theirs`, by their cross-correlation."""
    size = 1 << (len(ours) + len(theirs)).bit_length()
    product = np.fft.irfft(np.fft.rfft(theirs, size) * np.conj(np.fft.rfft(ours, size)), size)
    lag = int(np.argmax(product))
    return (lag if lag < size // 2 else lag - size) * 1000 / RATE


def loudness(samples: Samples, frame: int = 160) -> Samples:
    whole = samples[: len(samples) // frame * frame].reshape(-1, frame)
    loud: Samples = np.sqrt((whole**2).mean(axis=1))
    return loud


async def read(api: aiohttp.ClientSession, call_id: str, within_s: float = 10) -> bytes:
    """Once it is complete."""
    async with asyncio.timeout(within_s):
        while True:
            async with api.get(f"/v1/calls/{call_id}/recording") as answer:
                if answer.status == 200:
                    return await answer.read()
                assert answer.status in (409, 503), await answer.text()
            await asyncio.sleep(0.1)


async def test_a_recording_is_what_was_heard_and_said(
    emulator: Emulator, make_bot: BotMaker, api: aiohttp.ClientSession, tmp_path: Path
) -> None:
    bot = await make_bot("long", record=True, greeting=GREETING, phrases={"recorded": NOTICE})
    async with emulator.dial(bot_id=bot, record=tmp_path / "phone.wav") as call:
        await call.hears(NOTICE)
        await call.hears(GREETING)
        async with api.get(f"/v1/calls/{call.sid}/recording") as answer:
            assert answer.status == 409 and (await answer.json())["error"]["code"] == "call_live"
        await call.says("Tell me everything")
        await call.hears("This is sentence 2")
        await call.says("Stop")
        assert await call.was_cleared()
        await call.hears("This is sentence 1")
    (left, right), (said, heard) = of_the_api(await read(api, call.sid)), of_the_phone(tmp_path / "phone.wav")
    assert abs(len(left) - len(said)) < RATE / 2
    caller_ms, bot_ms = offset_ms(left, said), offset_ms(right, heard)
    late = f"the phone itself was late by {call.lateness.p99_ms:.0f} ms (p99)"
    assert abs(bot_ms - caller_ms) <= 40, late
    # The phone's recording begins before the stream does.
    shift = round(caller_ms * RATE / 1000)
    assert 0 <= caller_ms < 500
    same = min(len(left), len(said) - shift)
    assert np.array_equal(left[:same], said[shift : shift + same])
    # Frame by frame, the bot sounds when it was heard: what was cut off is not there.
    ours, theirs = loudness(right) > 100, loudness(heard[shift:]) > 100
    frames = min(len(ours), len(theirs))
    assert (ours[:frames] != theirs[:frames]).sum() <= 20, late
    async with api.delete(f"/v1/calls/{call.sid}") as answer:
        assert answer.status == 200
    async with api.get(f"/v1/calls/{call.sid}/recording") as answer:
        assert answer.status == 404 and (await answer.json())["error"]["code"] == "call_not_found"


async def test_a_call_of_another_bot_is_not_recorded(
    emulator: Emulator, make_bot: BotMaker, api: aiohttp.ClientSession
) -> None:
    bot = await make_bot(greeting=GREETING, phrases={"recorded": NOTICE})
    async with emulator.dial(bot_id=bot) as call:
        assert (await call.reply()).texts == (GREETING,)
    async with asyncio.timeout(10):
        while True:
            async with api.get(f"/v1/calls/{call.sid}/recording") as answer:
                assert answer.status in (404, 409)
                if answer.status == 404:
                    assert (await answer.json())["error"]["code"] == "no_recording"
                    return
            await asyncio.sleep(0.1)
