"""Whole calls against a small platform, which behaves well here."""

import asyncio
import wave
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from callbot.schemas.text_audio import TONE, audible
from callbot.studio.emulator import APPLICATION_ERROR, CallStatus, DialOutcome, Emulator, EndReason, NotHeard
from callbot.studio.emulator.recording import decode
from studio.tests.emulator_platform import Platform, Socket, echo, running_platform, silent


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with running_platform() as platform:
        yield platform


async def test_a_conversation_with_an_echo(platform: Platform) -> None:
    platform.connects(echo)
    async with Emulator(platform.url, speed=4) as emulator, emulator.dial(bot_id="bot_1") as call:
        greeting = await call.hears()
        assert (greeting.texts, greeting.voice_to_voice_ms) == (("Hello",), None)
        said = await call.says("a table for four")
        reply = await call.reply()
        assert reply.texts == ("You said a table for four",)
        assert reply.voice_to_voice_ms == reply.started_ms - said.last_word_ms > 0
        call.hangs_up()
        end = await call.ended()
    assert (end.reason, end.status) == (EndReason.CALLER_HUNG_UP, CallStatus.COMPLETED)
    assert call.complaints.codes() == []
    socket = platform.sockets[0]
    assert socket.events()[:3] == ["connected", "start", "media"]
    assert socket.events()[-1] == "stop"
    numbered = [int(message["sequenceNumber"]) for message in socket.received[1:]]
    assert numbered == list(range(1, len(numbered) + 1))
    assert socket.start["customParameters"] == {"token": "a&b"}
    assert socket.start["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    media = [message["media"] for message in socket.received if message["event"] == "media"]
    assert [int(one["chunk"]) for one in media] == list(range(1, len(media) + 1))
    stamps = [int(one["timestamp"]) for one in media]
    assert {after - before for before, after in pairwise(stamps)} == {20}


async def test_the_voice_webhook_has_all_fields(platform: Platform) -> None:
    platform.documents["/v1/voice"] = "<Response/>"
    async with Emulator(platform.url, status_path="/v1/voice/status") as emulator:
        platform.documents["/v1/voice/status"] = "<Response/>"
        async with emulator.dial(to="+14155550142", from_number="+442079460000") as call:
            assert (await call.ended()).reason is EndReason.NOTHING_LEFT
    form = platform.form("/v1/voice")
    assert form["CallSid"] == call.sid and len(call.sid) == 34
    assert (form["From"], form["Caller"]) == ("+442079460000", "+442079460000")
    assert (form["To"], form["Called"]) == ("+14155550142", "+14155550142")
    assert (form["CallStatus"], form["Direction"], form["ApiVersion"]) == ("ringing", "inbound", "2010-04-01")
    assert {
        f"{side}{part}" for side in ("From", "To", "Caller", "Called") for part in ("City", "Country")
    } <= set(form)
    ended = platform.form("/v1/voice/status")
    assert (ended["CallStatus"], ended["CallSid"], ended["CallDuration"]) == ("completed", call.sid, "0")


async def test_marks_echo_when_played_and_all_at_once_on_clear(platform: Platform) -> None:
    async def marking(socket: Socket) -> None:
        await socket.next("start")
        await socket.send("mark", {"name": "idle"})
        await socket.next("mark")
        await socket.play(TONE * 100)  # 100 ms
        await socket.send("mark", {"name": "played"})
        await socket.next("mark")
        await socket.play(TONE * 60_000)  # a minute
        await socket.send("mark", {"name": "one"})
        await socket.send("mark", {"name": "two"})
        await socket.next("media")
        await socket.send("clear")
        await socket.next("mark")
        await socket.next("mark")

    platform.connects(marking)
    async with Emulator(platform.url) as emulator, emulator.dial(bot_id="bot_1") as call:
        assert (await call.ended()).reason is EndReason.HANGUP
        assert await call.was_cleared()
    assert call.complaints.faults() == []
    received = platform.sockets[0].received
    marks = [
        (at, message["mark"]["name"]) for at, message in enumerate(received) if message["event"] == "mark"
    ]
    assert [name for _, name in marks] == ["idle", "played", "one", "two"]
    between = received[marks[0][0] : marks[1][0]]
    assert 5 <= sum(message["event"] == "media" for message in between) <= 8


async def test_keys_arrive_as_dtmf(platform: Platform) -> None:
    platform.connects(silent)
    async with Emulator(platform.url, speed=4) as emulator, emulator.dial(bot_id="bot_1") as call:
        await call.presses("1#")
        with pytest.raises(ValueError, match="not a key"):
            await call.presses("x")
    keys = [message["dtmf"] for message in platform.sockets[0].received if message["event"] == "dtmf"]
    assert keys == [{"track": "inbound_track", "digit": "1"}, {"track": "inbound_track", "digit": "#"}]


async def test_when_the_platform_closes_the_action_decides(platform: Platform) -> None:
    async def goodbye(socket: Socket) -> None:
        await socket.next("start")

    platform.connects(goodbye)
    platform.documents["/v1/voice/next"] = (
        '<Response><Dial action="/v1/voice/dialed" callerId="+14155550100">'
        "<Number>+14155550177</Number></Dial></Response>"
    )
    platform.documents["/v1/voice/dialed"] = (
        "<Response><Say>Nobody there.</Say><Redirect>/v1/bye</Redirect></Response>"
    )
    platform.documents["/v1/bye"] = "<Response><Hangup/><Say>never</Say></Response>"
    async with (
        Emulator(platform.url) as emulator,
        emulator.dial(bot_id="bot_1", dial_outcome=DialOutcome.BUSY) as call,
    ):
        await call.hears("Nobody there.")
        assert (await call.ended()).reason is EndReason.HANGUP
    assert platform.form("/v1/voice/next")["CallStatus"] == "in-progress"
    assert platform.form("/v1/voice/dialed")["DialCallStatus"] == "busy"
    assert call.call.dialed == ["+14155550177"]
    assert call.texts_heard == ["Nobody there."]
    assert call.complaints.codes() == [31921] and call.complaints.faults() == []


async def test_the_caller_hangs_up_and_the_action_hears_of_it(platform: Platform) -> None:
    platform.connects(silent)
    async with Emulator(platform.url) as emulator, emulator.dial(bot_id="bot_1"):
        pass
    assert platform.form("/v1/voice/next")["CallStatus"] == "completed"
    assert platform.sockets[0].received[-1]["stop"].keys() == {"accountSid", "callSid"}


async def test_a_greeting_that_is_still_playing_is_no_reply(platform: Platform) -> None:
    async def talkative(socket: Socket) -> None:
        await socket.next("start")
        pause = b"\xff" * 4000
        await socket.play(TONE * 500 + pause + TONE * 800)  # all of it is sent before the caller speaks
        for _ in range(120):
            await socket.next("media")
        await socket.speak("now")
        await socket.rest()

    platform.connects(talkative)
    async with Emulator(platform.url, speed=4) as emulator, emulator.dial(bot_id="bot_1") as call:
        await call.says(TONE * 100)
        reply = await call.reply(silence_ms=300)
        assert reply.texts == ("now",)
        await call.says(TONE * 20)
        with pytest.raises(NotHeard, match=r"within 0\.1 s"):
            await call.reply(within_s=0.1)


async def test_voice_to_voice_ends_at_the_ear_and_begins_at_the_last_word(platform: Platform) -> None:
    async def slow(socket: Socket) -> None:
        while (await socket.next("media"))["media"]["payload"].startswith("//"):
            pass
        while not (await socket.next("media"))["media"]["payload"].startswith("//"):
            pass
        for _ in range(10):
            await socket.next("media")
        await socket.play(TONE * 50)
        await socket.rest()

    platform.connects(slow)
    async with Emulator(platform.url) as emulator, emulator.dial(bot_id="bot_1") as call:
        said = await call.says(TONE * 100 + b"\xff" * 3200)
        reply = await call.reply(silence_ms=100)
        assert said.sent_ms > said.last_word_ms > said.started_ms
        assert reply.voice_to_voice_ms is not None
        assert reply.voice_to_voice_ms >= 200
        assert reply.audio == TONE * 50 + b"\xff" * (-400 % 160)


async def test_the_recording_has_both_sides_aligned(platform: Platform, tmp_path: Path) -> None:
    platform.connects(echo)
    path = tmp_path / "call.wav"
    async with (
        Emulator(platform.url, speed=4) as emulator,
        emulator.dial(bot_id="bot_1", record=path) as call,
    ):
        await call.hears()
        said = await call.says(audible("hi", 100))
        reply = await call.reply()
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        tracks = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    caller, bot = tracks[:, 0], tracks[:, 1]
    at = reply.started_ms * 8
    assert (bot[at : at + len(reply.audio)] == decode(reply.audio)).all()
    spoken = decode(audible("hi", 100))
    began = int(np.argmax(caller != 0))
    assert (caller[began : began + len(spoken)] == spoken).all()
    assert abs(began / 8 - said.started_ms) <= 40


async def test_many_calls_at_once(platform: Platform) -> None:
    platform.connects(*[echo] * 40)
    async with Emulator(platform.url, speed=4) as emulator:
        ten = asyncio.Semaphore(10)

        async def one(number: int) -> str:
            async with ten, emulator.dial(bot_id="bot_1") as call:
                await call.says(f"call {number}")
                return (await call.hears(f"You said call {number}", within_s=10)).texts[0]

        heard = await asyncio.gather(*(one(number) for number in range(40)))
    assert heard == [f"You said call {number}" for number in range(40)]


async def test_a_document_without_a_stream_is_heard(platform: Platform) -> None:
    platform.documents["/v1/voice"] = "<Response><Say>We are <!-- x -->closed.</Say><Hangup/></Response>"
    async with Emulator(platform.url) as emulator, emulator.dial(bot_id="bot_1") as call:
        assert (await call.hears("We are closed.")).audio == b""
        with pytest.raises(NotHeard, match=r"before the end .*<Hangup>"):
            await call.hears(APPLICATION_ERROR)


async def test_reject_does_not_answer(platform: Platform) -> None:
    platform.documents["/v1/voice"] = '<Response><Reject reason="busy"/></Response>'
    async with Emulator(platform.url) as emulator, emulator.dial(bot_id="bot_1") as call:
        end = await call.ended()
    assert (end.reason, end.status) == (EndReason.REJECTED, CallStatus.BUSY)
