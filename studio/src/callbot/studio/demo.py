"""`callbot demo`: the platform, the sample webhook and one call of four utterances with real voices."""

import asyncio
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from callbot.studio.emulator.call_command import Step, StepKind, place_call
from callbot.studio.emulator.call_parameters import new_sid
from callbot.studio.emulator.call_record import CallRecord
from callbot.studio.up import PlatformFailed, running_platform

UTTERANCES = (
    "I'd like to book a table for four",
    "Tomorrow at seven in the evening",
    "My name is Anna Miller",
    "No that is all thank you",
)
GREETING = "Hello! How can I help you?"
_WORST_WORD_ERROR_RATE = 0.15
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
_IN_WORDS = {str(number): word for number, word in enumerate(_NUMBERS.split())}
_CONTRACTIONS = {"'d ": " would ", "that's": "that is", "it's": "it is", "i'm": "i am", "'ll ": " will "}
_WEBHOOK_STARTS_S = 10.0


class DemoFailed(Exception):
    """One sentence that says what went wrong."""


async def demo(out: Path, webhook: Path) -> int:
    """Exit code 0: every utterance was understood and answered."""
    began = time.monotonic()
    try:
        code = await _demo(out, webhook)
    except (DemoFailed, PlatformFailed, aiohttp.ClientError, TimeoutError) as e:
        print(f"The demo failed: {e}", file=sys.stderr)
        return 1
    print(f"The demo took {time.monotonic() - began:.0f} s.")
    return code


async def _demo(out: Path, webhook: Path) -> int:
    recording = _recording_in(out)
    call_sid = new_sid("CA")
    _progress("Starting the platform: NATS, the database, the language model and five services …")
    secret = secrets.token_urlsafe(32)
    async with running_platform() as platform, booking_bot(webhook, secret) as bot_url:
        try:
            bot_id = await _create_bot(platform.url, bot_url, secret)
            _progress(f"Calling bot {bot_id} at {platform.url}; the caller's voice is being prepared …")
            steps = [Step(StepKind.SAY, text) for text in UTTERANCES]
            code = await place_call(
                bot_id, steps, url=platform.url, twilio=platform.twilio, record=recording, call_sid=call_sid
            )
            async with CallRecord.of(platform.url, call_sid) as record:
                turns = await record.turns() or []
        finally:
            shutil.copy(platform.log, out / "platform.log")
        _progress("Stopping the platform …")
    return code or _judged([turn["user_text"] for turn in turns if turn["input"] == "speech"], recording)


def _recording_in(out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    return out / "conversation.wav"


def _progress(sentence: str) -> None:
    print(sentence, flush=True)


def _judged(heard: Sequence[str], recording: Path) -> int:
    rate = word_error_rate(" ".join(UTTERANCES), " ".join(heard))
    print("The bot's program understood:")
    for text in heard:
        print(f"    {text}")
    print(f"Word error rate {rate:.0%}, at most {_WORST_WORD_ERROR_RATE:.0%} is good.")
    print(f"Listen to the call: {recording.absolute()}")
    return 0 if rate < _WORST_WORD_ERROR_RATE else 1


async def _create_bot(platform_url: str, webhook_url: str, secret: str) -> str:
    goal = "Book a table: how many people, when, and the name."
    wanted = {"goal": goal, "webhook": webhook_url, "webhook_secret": secret}
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(f"{platform_url}/v1/bots", json={**wanted, "greeting": GREETING}) as response,
    ):
        body = await response.json()
        if response.status != 200:
            raise DemoFailed(f"the bot could not be created: {body}")
        return str(body["id"])


@asynccontextmanager
async def booking_bot(program: Path, secret: str) -> AsyncIterator[str]:
    """The sample webhook as a process of its own, which takes requests signed with `secret` alone.

    Yields its URL. Raises DemoFailed.
    """
    env = {**os.environ, "CALLBOT_WEBHOOK_SECRET": secret}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), "--port", "0", stdout=asyncio.subprocess.PIPE, env=env
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_WEBHOOK_STARTS_S):
            line = (await process.stdout.readline()).decode()
        if (found := re.search(r"http://\S+", line)) is None:
            raise DemoFailed(f"{program} did not start; run the demo from the repository's root")
        yield found.group()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def word_error_rate(said: str, heard: str) -> float:
    """Edits for each word that was said; without punctuation, numbers as words, contractions written out.

    As Whisper's own scoring does (Radford et al., 2022, appendix C): "that's" is "that is".
    """
    wanted, got = _words(said), _words(heard)
    row = list(range(len(got) + 1))
    for at, word in enumerate(wanted, 1):
        diagonal, row[0] = row[0], at
        for column, other in enumerate(got, 1):
            cheapest = min(row[column] + 1, row[column - 1] + 1, diagonal + (word != other))
            diagonal, row[column] = row[column], cheapest
    return row[-1] / len(wanted)


def _words(text: str) -> list[str]:
    plain = text.lower().replace("’", "'")
    for short, long in _CONTRACTIONS.items():
        plain = plain.replace(short, long)
    return [_IN_WORDS.get(word, word) for word in re.sub(r"[^\w ]", " ", plain).split()]
