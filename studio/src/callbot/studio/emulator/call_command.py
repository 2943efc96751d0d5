"""`callbot call`: one call from the command line, printed as it happens."""

import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TextIO

import aiohttp

from callbot.studio.account import UNSIGNED, Account
from callbot.studio.emulator.call_record import CallRecord
from callbot.studio.emulator.caller import Caller, CallOver, Heard, NotHeard
from callbot.studio.emulator.complaints import Code
from callbot.studio.emulator.emulator import CALLER_NUMBER, PLATFORM_NUMBER, Emulator
from callbot.studio.emulator.number import Number
from callbot.studio.emulator.rest_client import account_and_number_of, number_called
from callbot.studio.emulator.voices import ScriptedVoice, Voice, VoiceError, piper_voice, wav_speech
from callbot.studio.up.twilio import LocalTwilio

DONE, UNANSWERED, NOT_PLACED = 0, 1, 2
GREETING_S = 10.0
NO_TOKEN = "What the bot says is shown with --token: this platform wants an access token or API key."
WRONG_TOKEN = "What the bot says is not shown: this platform does not accept this --token."


class StepKind(StrEnum):
    SAY = "say"
    DTMF = "dtmf"


@dataclass(frozen=True, slots=True)
class Step:
    """One `--say` or `--dtmf`, in the order of the command line."""

    kind: StepKind
    value: str
    """A text, the path of a `.wav` file, or keys."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    step: Step
    audio: bytes


async def place_call(
    to: str,
    steps: Sequence[Step],
    *,
    url: str = "http://127.0.0.1:8080",
    voice: str = "piper",
    record: Path | None = None,
    as_json: bool = False,
    reply_within_s: float = 15.0,
    from_number: str = CALLER_NUMBER,
    twilio: LocalTwilio | None = None,
    token: str | None = None,
    call_sid: str | None = None,
    out: TextIO | None = None,
) -> int:
    """Calls a bot (by its id) or a phone number and says the steps, waiting for a reply after each.

    With the platform's emulated Twilio a number is called as its account has set it up there; a bot, and a
    number without a Twilio, at the platform's own voice URL. Requests are signed when the account is known.
    `token`: an access token or an API key of the user whose record of the call is read. What a real voice
    says is printed from that record, where the platform gives one.
    Returns 0 when every utterance got a reply, 1 when one did not, 2 when the call could not be placed.
    """
    report = _Report(out or sys.stdout, as_json)
    try:
        _check(url, record)
        async with open_voice(voice) as speaker:
            prepared = [await _prepare(step, speaker) for step in steps]
            called = await _called(to, url, twilio)
            async with Emulator(url, account=called.account, voice=speaker) as emulator:
                async with (
                    emulator.dial(
                        bot_id=called.bot_id,
                        to=called.number,
                        from_number=from_number,
                        call_sid=call_sid,
                        record=record,
                    ) as call,
                    CallRecord.of(url, call.sid, token) as words,
                ):
                    outcome = await _converse(call, prepared, reply_within_s, report, words)
                    if words.unauthorized:
                        await report.line(None, "no-words", WRONG_TOKEN if token else NO_TOKEN)
                await report.debugger(call)
    except (VoiceError, OSError, aiohttp.ClientError, TimeoutError, _NotCallable) as error:
        await report.failure(str(error) or type(error).__name__)
        return NOT_PLACED
    if record is not None and outcome != NOT_PLACED:
        await report.line(None, "recording", f"recorded in {record}", path=str(record))
    return outcome


@dataclass(frozen=True, slots=True)
class _Called:
    number: str | Number
    account: Account
    bot_id: str | None = None


class _NotCallable(Exception):
    """One sentence about the number."""


async def _called(to: str, url: str, twilio: LocalTwilio | None) -> _Called:
    """Raises _NotCallable, aiohttp.ClientError, TimeoutError."""
    if not to.startswith("+"):
        found = await account_and_number_of(twilio, to, url.rstrip("/")) if twilio else None
        account, own_number = found or (UNSIGNED, None)
        return _Called(own_number or PLATFORM_NUMBER, account, to)
    if twilio is None:
        return _Called(to, UNSIGNED)
    try:
        number = await number_called(twilio, to)
    except LookupError:
        raise _NotCallable(f"nobody owns {to}; `callbot numbers` shows the numbers there are") from None
    if number is None:
        raise _NotCallable(f"{to} has no voice URL: connect it with POST /v1/connect-twilio")
    return _Called(number, number.account)


def _check(url: str, record: Path | None) -> None:
    """Raises VoiceError: one sentence about the command line."""
    if not url.startswith(("http://", "https://")):
        raise VoiceError(f"--url {url}: must begin with http:// or https://")
    if record is not None and not record.parent.is_dir():
        raise VoiceError(f"--record {record}: the folder {record.parent} does not exist")


@asynccontextmanager
async def open_voice(name: str) -> AsyncIterator[Voice]:
    """`piper` or `scripted`. Raises VoiceError."""
    if name == "scripted":
        yield ScriptedVoice()
    elif name == "piper":
        async with piper_voice() as voice:
            yield voice
    else:
        raise VoiceError(f"there is no voice {name!r}: piper or scripted")


async def _prepare(step: Step, voice: Voice) -> _Prepared:
    """Speaks before the call, so that nobody waits for a voice to load. Raises VoiceError."""
    if step.kind is StepKind.DTMF:
        if bad := set(step.value) - set("0123456789*#ABCDw"):
            raise VoiceError(f"--dtmf {step.value}: {', '.join(sorted(bad))} is not a key of a phone")
        return _Prepared(step, b"")
    if not step.value.strip():
        raise VoiceError("--say needs words to say")
    if step.value.lower().endswith(".wav"):
        return _Prepared(step, await wav_speech(Path(step.value)))
    return _Prepared(step, await voice.speech(step.value))


async def _converse(
    call: Caller, steps: Sequence[_Prepared], within_s: float, report: "_Report", words: CallRecord
) -> int:
    if not call.answered:
        await report.failure(await _why_not_answered(call), call)
        return NOT_PLACED
    await report.line(call.now_ms, "answered", f"answered, call {call.sid}", call=call.sid)
    try:
        await report.bot(await call.hears(within_s=GREETING_S), words)
    except NotHeard:
        await report.line(call.now_ms, "no-greeting", "the bot says nothing")
    unanswered = 0
    for at, prepared in enumerate(steps):
        try:
            await _take(call, prepared, report)
            await report.bot(await call.reply(within_s=within_s), words)
        except NotHeard as error:
            unanswered += prepared.step.kind is StepKind.SAY
            await report.line(call.now_ms, "no-reply", f"no reply: {error}")
        except CallOver as error:
            left = sum(later.step.kind is StepKind.SAY for later in steps[at:])
            unanswered += left
            await report.line(call.now_ms, "over", f"{error}; {left} utterances were left", left=left)
            break
    return UNANSWERED if unanswered else DONE


async def _why_not_answered(call: Caller) -> str:
    end = await call.ended()
    if Code.CONNECTION_FAILED in call.complaints.codes():
        return f"nothing answers at {call.call.plan.number.voice.url}: is `callbot up` running?"
    spoken = " ".join(call.texts_heard)
    if "Bot not found" in spoken:
        return "there is no such bot"
    return f"no bot answered ({end.reason})" + (f'; the caller heard: "{spoken}"' if spoken else "")


async def _take(call: Caller, prepared: _Prepared, report: "_Report") -> None:
    value = prepared.step.value
    if prepared.step.kind is StepKind.DTMF:
        await report.line(call.now_ms, "caller-keys", f"caller presses {value}", keys=value)
        await call.presses(value)
        return
    await report.line(call.now_ms, "caller", f"caller: {value}", text=value)
    await call.says(prepared.audio)


class _Report:
    """The conversation as lines for a person, or as one JSON object a line."""

    def __init__(self, out: TextIO, as_json: bool) -> None:
        self._out, self._as_json = out, as_json

    async def line(self, at_ms: float | None, event: str, sentence: str, /, **fields: object) -> None:
        at_s = None if at_ms is None else round(at_ms / 1000, 2)
        if self._as_json:
            written = json.dumps({"event": event, "at_s": at_s, **(fields or {"text": sentence})})
        else:
            written = sentence if at_s is None else f"{int(at_s // 60):02}:{at_s % 60:05.2f}  {sentence}"
        print(written, file=self._out, flush=True)

    async def bot(self, heard: Heard, record: CallRecord) -> None:
        words = " ".join(heard.texts) or await record.newest_words()
        spoke_s = (heard.ended_ms - heard.started_ms) / 1000
        after = heard.voice_to_voice_ms
        first = "" if after is None else f", first sound after {after / 1000:.2f} s"
        text = f"bot speaks {spoke_s:.1f} s{first}" + (f": {words}" if words else "")
        fields = {"spoke_s": spoke_s, "voice_to_voice_ms": after, "text": words}
        await self.line(heard.started_ms, "bot", text, **fields)

    async def debugger(self, call: Caller) -> None:
        """What Twilio would have complained of, and whether the measurements can be trusted."""
        for complaint in call.complaints.faults():
            code = int(complaint.code)
            await self.line(
                None, "complaint", f"Twilio would complain: {complaint}", code=code, text=complaint.text
            )
        late_ms = round(call.lateness.p99_ms, 1)
        if late_ms > 20:
            text = f"this machine is busy: frames were sent up to {late_ms} ms late"
            await self.line(None, "late", text, p99_ms=late_ms)

    async def failure(self, text: str, call: Caller | None = None) -> None:
        sentence = f"The call could not be placed: {text}"
        await self.line(None, "failed", sentence, text=sentence, call=call.sid if call else None)
