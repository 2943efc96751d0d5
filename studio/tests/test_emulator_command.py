"""`callbot call`: what it prints and how it exits."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from callbot.schemas.text_audio import TONE
from callbot.studio.emulator.call_command import (
    DONE,
    NO_TOKEN,
    NOT_PLACED,
    UNANSWERED,
    WRONG_TOKEN,
    Step,
    StepKind,
    place_call,
)
from studio.tests.emulator_platform import Platform, Socket, echo, running_platform, silent


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """Of a Twilio that it does not know: its requests are not signed."""
    async with running_platform(token=None) as platform:
        yield platform


def say(text: str) -> Step:
    return Step(StepKind.SAY, text)


async def test_a_conversation_is_printed_as_it_happens(platform: Platform, tmp_path: Path) -> None:
    platform.connects(echo)
    out, path = io.StringIO(), tmp_path / "call.wav"
    code = await place_call("bot_1", [say("hi")], url=platform.url, voice="scripted", record=path, out=out)
    lines = out.getvalue().splitlines()
    assert code == DONE
    assert "answered, call CA" in lines[0]
    assert lines[1].endswith("s: Hello")
    assert lines[2].endswith("caller: hi")
    assert "first sound after 0." in lines[3] and lines[3].endswith(": You said hi")
    assert lines[-1] == f"recorded in {path}"
    assert path.stat().st_size > 44


async def test_json_lines_and_keys_in_the_order_given(platform: Platform) -> None:
    async def wants_a_key(socket: Socket) -> None:
        await socket.next("start")
        await socket.speak("Press one")
        await socket.next("dtmf")
        await socket.play(TONE * 30)
        await socket.rest()

    platform.connects(wants_a_key)
    out = io.StringIO()
    code = await place_call(
        "+14155550142",
        [Step(StepKind.DTMF, "1")],
        url=platform.url,
        voice="scripted",
        as_json=True,
        out=out,
    )
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    # A busy machine may be late, and says so.
    events = [event for event in told if event["event"] != "late"]
    assert code == DONE
    assert [event["event"] for event in events] == ["answered", "bot", "caller-keys", "bot"]
    assert events[1]["text"] == "Press one"
    assert events[3]["text"] == ""
    assert events[3]["voice_to_voice_ms"] >= 0
    assert platform.form("/v1/voice")["To"] == "+14155550142"


async def test_without_a_token_the_words_are_missing_and_it_is_said_once(platform: Platform) -> None:
    async def hums(socket: Socket) -> None:
        await socket.next("start")
        await socket.play(TONE * 30)
        await socket.next("dtmf")
        await socket.play(TONE * 30)
        await socket.rest()

    async def unauthorized(request: web.Request) -> web.Response:
        return web.Response(status=401)

    call_sid = "CA" + "0" * 32
    platform.documents[f"/v1/calls/{call_sid}"] = unauthorized
    for token, told in ((None, NO_TOKEN), ("wrong", WRONG_TOKEN)):
        platform.connects(hums)
        out = io.StringIO()
        steps, url = [Step(StepKind.DTMF, "1")], platform.url
        placed = place_call(
            "bot_1", steps, url=url, voice="scripted", call_sid=call_sid, token=token, out=out
        )
        assert await placed == DONE
        assert told in out.getvalue().splitlines() and out.getvalue().count("--token") == 1


async def test_an_utterance_without_a_reply_is_a_failure(platform: Platform) -> None:
    async def greets(socket: Socket) -> None:
        await socket.next("start")
        await socket.speak("Hello")
        await silent(socket)

    platform.connects(greets)
    out = io.StringIO()
    steps = [say("hi")]
    code = await place_call("bot_1", steps, url=platform.url, voice="scripted", reply_within_s=0.1, out=out)
    assert code == UNANSWERED
    assert "no reply: the bot was not heard within 0.1 s" in out.getvalue()


async def test_a_bot_that_hangs_up_leaves_the_rest_unsaid(platform: Platform) -> None:
    async def brief(socket: Socket) -> None:
        await socket.next("start")
        await socket.speak("Bye")
        await socket.send("mark", {"name": "said"})
        await socket.next("mark")

    platform.connects(brief)
    out = io.StringIO()
    code = await place_call("bot_1", [say("hi"), say("there")], url=platform.url, voice="scripted", out=out)
    assert code == UNANSWERED
    assert "2 utterances were left" in out.getvalue()


async def test_calls_that_cannot_be_placed(platform: Platform, tmp_path: Path) -> None:
    async def sentence(steps: list[Step], url: str = platform.url, **options: object) -> str:
        out = io.StringIO()
        voice = str(options.get("voice", "scripted"))
        record = tmp_path / "missing" / "call.wav" if "record" in options else None
        assert await place_call("bot_1", steps, url=url, voice=voice, out=out, record=record) == NOT_PLACED
        (line,) = [line for line in out.getvalue().splitlines() if not line.startswith("Twilio would")]
        return line

    platform.documents["/v1/voice"] = "<Response><Say>Bot not found</Say><Hangup/></Response>"
    assert "there is no such bot" in await sentence([])
    assert "nothing answers at" in await sentence([], url="http://127.0.0.1:1")
    assert "no voice 'emma'" in await sentence([], voice="emma")
    assert "missing.wav cannot be read" in await sentence([say("missing.wav")])
    assert "is not a key of a phone" in await sentence([Step(StepKind.DTMF, "1z")])
    assert "does not exist" in await sentence([], record=True)
