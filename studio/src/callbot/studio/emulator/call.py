"""One phone call as Twilio runs it: webhook, TwiML verbs, streams, `action`, fallback, the end."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urljoin

import aiohttp

from callbot.studio.emulator import call_parameters, twiml
from callbot.studio.emulator.call_parameters import CallStatus, DialOutcome
from callbot.studio.emulator.complaints import Code, Complaint, Complaints, Rejected
from callbot.studio.emulator.cut import Cut
from callbot.studio.emulator.line import Line
from callbot.studio.emulator.media_stream import StreamEnd, open_stream
from callbot.studio.emulator.number import Number
from callbot.studio.emulator.stream_messages import StreamIds
from callbot.studio.emulator.webhooks import Webhooks

T = TypeVar("T")

APPLICATION_ERROR = "We are sorry, an application error has occurred. Goodbye."
MAX_DOCUMENTS = 100


@dataclass(frozen=True, slots=True)
class CallPlan:
    """All that is settled before the phone rings."""

    number: Number
    """The one that is called."""
    call_sid: str
    from_number: str
    dial_outcome: DialOutcome = DialOutcome.ANSWERED
    dial_talk_s: float = 0.0
    loss_detection_s: float = 0.0
    """How long Twilio takes to see that a socket is dead."""
    action_after_hang_up: bool = True
    """Whether `<Connect action>` is requested, as completed, when the caller was the one to end the call."""


class EndReason(StrEnum):
    CALLER_HUNG_UP = "caller hung up"
    HANGUP = "<Hangup>"
    REJECTED = "<Reject>"
    NOTHING_LEFT = "no verb left"
    APPLICATION_ERROR = "application error"


@dataclass(frozen=True, slots=True)
class CallEnd:
    reason: EndReason
    status: CallStatus
    duration_s: float


@dataclass(frozen=True, slots=True)
class CallStep:
    """Something that Twilio did in this call."""

    at_s: float
    """Since the phone rang."""
    kind: str
    """request, answer, stream, stream-end, say, dial, end"""
    detail: str


class _Over(Exception):
    def __init__(self, reason: EndReason, status: CallStatus = CallStatus.COMPLETED) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


class Call:
    """`run` once; `hang_up` at any time."""

    def __init__(self, plan: CallPlan, http: aiohttp.ClientSession, webhooks: Webhooks, line: Line) -> None:
        self.plan = plan
        self.line = line
        self.status = CallStatus.RINGING
        self.complaints = Complaints()
        self.steps: list[CallStep] = []
        self.dialed: list[str] = []
        self.streams = 0
        self.cuts: list[Cut] = []
        """Each `clear` of the platform, and how the bot went on."""
        self.streaming = asyncio.Event()
        """Set once the first stream has begun."""
        self.end: CallEnd | None = None
        self._http = http
        self._webhooks = webhooks
        self._began_s = time.monotonic()
        self._hung_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def hang_up(self) -> None:
        """The caller puts the phone down."""
        if not self._hung_up.done():
            self._hung_up.set_result(None)

    async def run(self) -> CallEnd:
        """The whole call. Only a defect of the emulator raises."""
        reason, status = EndReason.NOTHING_LEFT, CallStatus.COMPLETED
        try:
            voice = self.plan.number.voice
            await self._follow(await self._fetch(voice.method, voice.url))
        except _Over as over:
            reason, status = over.reason, over.status
        finally:
            await self.line.stop()
        self.status = status
        self.end = CallEnd(reason, status, time.monotonic() - self._began_s)
        self._step("end", reason)
        await self._report_end()
        return self.end

    async def _follow(self, document: twiml.Document) -> None:
        url = self.plan.number.voice.url
        for _ in range(MAX_DOCUMENTS):
            following = await self._perform(document, url)
            if following is None:
                return
            method, url, extra = following
            document = await self._fetch(method, url, extra)
        self._complain(Code.RETRIEVAL_FAILED, f"more than {MAX_DOCUMENTS} documents in one call")
        raise _Over(EndReason.APPLICATION_ERROR)

    async def _perform(self, document: twiml.Document, url: str) -> tuple[str, str, dict[str, str]] | None:
        """Runs verbs until one leads to another document: method, URL and extra parameters of its request."""
        for warning in document.warnings:
            self.complaints.add(warning)
        for verb in document.verbs:
            if isinstance(verb, twiml.Reject) and self.status is CallStatus.RINGING:
                busy = verb.reason == "busy"
                raise _Over(EndReason.REJECTED, CallStatus.BUSY if busy else CallStatus.NO_ANSWER)
            self.status = CallStatus.IN_PROGRESS
            extra: dict[str, str] = {}
            match verb:
                case twiml.Say():
                    self._say(verb.text)
                    continue
                case twiml.Pause():
                    await self._unless_hung_up(asyncio.sleep(verb.length_s))
                    continue
                case twiml.Redirect():
                    return verb.method, _resolve(url, verb.url), extra
                case twiml.Connect():
                    await self._connect(verb, url)
                case twiml.Dial():
                    extra = await self._dial(verb)
                case _:
                    raise _Over(EndReason.HANGUP)
            if verb.action:
                return verb.method, _resolve(url, verb.action), extra
        return None

    async def _connect(self, verb: twiml.Connect, url: str) -> None:
        end = await self._stream(verb, url)
        if end is not None and end.by_caller:
            self.status = CallStatus.COMPLETED
            if verb.action and self.plan.action_after_hang_up:
                await self._tell_action(verb.method, _resolve(url, verb.action))
            raise _Over(EndReason.CALLER_HUNG_UP)
        if end is not None and end.abrupt:
            await self._unless_hung_up(asyncio.sleep(self.plan.loss_detection_s))

    async def _stream(self, verb: twiml.Connect, url: str) -> StreamEnd | None:
        """One stream from start to end; None when it could not be opened."""
        self.line.start()
        ids = StreamIds(self.plan.number.account.sid, self.plan.call_sid, call_parameters.new_sid("MZ"))
        target = _resolve(url, verb.stream.url)
        if "://" not in verb.stream.url:
            target = "ws" + target.removeprefix("http")
        wanted = twiml.Stream(target, verb.stream.parameters)
        token, clock = self.plan.number.account.auth_token, self.line.clock
        opening = open_stream(self._http, token, wanted, ids, clock, self.complaints, self._on_clear)
        try:
            stream = await self._unless_hung_up(opening)
        except Rejected as rejected:
            self.complaints.add(rejected.complaint)
            return None
        self.streams += 1
        self.line.stream = stream
        self._step("stream", ids.stream_sid)
        self.streaming.set()
        try:
            pacing = self.line.pacing
            assert pacing is not None
            ends: list[asyncio.Future[Any]] = [stream.ended, self._hung_up, pacing]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if pacing.done():
                pacing.result()
        finally:
            self.line.stream = None
            stream.stop()
            await stream.close()
        self._step("stream-end", ids.stream_sid)
        return stream.ended.result()

    async def _dial(self, verb: twiml.Dial) -> dict[str, str]:
        """Simulated: the outcome and the length of the talk are the plan's."""
        outcome = self.plan.dial_outcome
        self.dialed.extend(verb.numbers)
        self._step("dial", f"{', '.join(verb.numbers)}: {outcome}")
        if outcome is DialOutcome.ANSWERED:
            await self._unless_hung_up(asyncio.sleep(self.plan.dial_talk_s))
        return call_parameters.dialed(outcome, self.plan.dial_talk_s)

    def _say(self, text: str) -> None:
        self._step("say", text)
        self.line.ear.hear_text(text)

    async def _fetch(self, method: str, url: str, extra: Mapping[str, str] | None = None) -> twiml.Document:
        try:
            return await self._document(method, url, extra or {})
        except Rejected as rejected:
            failure = rejected.complaint
            self.complaints.add(failure)
        fallback = self.plan.number.fallback
        if fallback is not None:
            why = {"ErrorCode": str(int(failure.code)), "ErrorUrl": url}
            try:
                return await self._document(fallback.method, fallback.url, {**(extra or {}), **why})
            except Rejected as rejected:
                self.complaints.add(rejected.complaint)
        self._say(APPLICATION_ERROR)
        raise _Over(EndReason.APPLICATION_ERROR)

    async def _document(self, method: str, url: str, extra: Mapping[str, str]) -> twiml.Document:
        self._step("request", url)
        request = self._webhooks.document(method, url, {**self._parameters(), **extra})
        return await self._unless_hung_up(request)

    async def _tell_action(self, method: str, url: str) -> None:
        """The call is over: Twilio asks, nobody is left to run the answer."""
        self._step("request", url)
        try:
            await self._webhooks.document(method, url, self._parameters())
        except Rejected as rejected:
            self.complaints.add(rejected.complaint)

    async def _report_end(self) -> None:
        status = self.plan.number.status
        if status is None or self.end is None:
            return
        parameters = {**self._parameters(), **call_parameters.ended(self.end.duration_s)}
        try:
            await self._webhooks.notify(status.method, status.url, parameters)
        except Rejected as rejected:
            self.complaints.add(rejected.complaint)

    async def _unless_hung_up(self, work: Awaitable[T]) -> T:
        task = asyncio.ensure_future(work)
        try:
            ends: list[asyncio.Future[Any]] = [task, self._hung_up]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if task.cancelled():
            raise _Over(EndReason.CALLER_HUNG_UP)
        return task.result()

    def _parameters(self) -> dict[str, str]:
        plan = self.plan
        return call_parameters.standard(
            plan.call_sid, plan.number.account.sid, plan.from_number, plan.number.phone_number, self.status
        )

    def _on_clear(self, cut: Cut) -> None:
        self.cuts.append(cut)
        self.line.ear.cleared()

    def _complain(self, code: Code, text: str) -> None:
        self.complaints.add(Complaint(code, text))

    def _step(self, kind: str, detail: str) -> None:
        self.steps.append(CallStep(time.monotonic() - self._began_s, kind, detail))


def _resolve(base: str, url: str) -> str:
    """Malformed ones stay as they are: whoever requests them complains."""
    try:
        return urljoin(base, url)
    except ValueError:
        return url
