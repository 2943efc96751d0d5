"""The calls of `callbot bench density`, in a process of their own: many calls on one 20 ms clock.

Standard input: the plan as one JSON line (it has passwords), then commands; to each a JSON line is answered.
`{"calls": n}`: so many are live. `{"measure": seconds}`: what they saw. End of input: all hang up.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from callbot.runtime.bus import Bus, connect
from callbot.runtime.service import event_loop
from callbot.schemas.audio import FRAME_MS, BotAudio, CallerAudio
from callbot.schemas.subjects import BOT_AUDIO, CALLER_AUDIO
from callbot.studio.account import Account
from callbot.studio.bench.density_call import DensityCall, Seen
from callbot.studio.emulator import twiml
from callbot.studio.emulator.call_parameters import CallStatus, new_sid, standard
from callbot.studio.emulator.complaints import Rejected
from callbot.studio.emulator.stream_messages import StreamIds
from callbot.studio.emulator.webhooks import Deadlines, Webhooks

SLOTS: Final = 10
"""The calls of a process send in so many groups, 2 ms apart: callers share no clock."""
DIAL_EVERY_S: Final = 0.05
ARRIVES_WITHIN_S: Final = 1.0
"""What was not read from the bus by then is lost."""
GIVE_UP_AFTER: Final = 3
"""Calls in a row that did not begin."""
CALLER, CALLED = "+15550001111", "+15550100"


class Load:
    def __init__(self, plan: Mapping[str, Any], frames: list[str], ears: Bus, gateway: Bus) -> None:
        """`ears` and `gateway`: connections that may hear what those hear."""
        self._plan = plan
        self._frames = frames
        self._ears, self._gateway = ears, gateway
        self._rng = random.Random(plan["seed"])
        self._slots: list[list[DensityCall]] = [[] for _ in range(SLOTS)]
        self._watched: dict[str, DensityCall] = {}
        self._dialled = self.failed = 0
        self.seen = Seen()

    @property
    def calls(self) -> list[DensityCall]:
        return [call for slot in self._slots for call in slot]

    async def grow(self, count: int, webhooks: Webhooks) -> None:
        """Dials until so many calls are live, or as many as are missing have been tried."""
        self._forget_ended()
        failed_in_a_row = 0
        for _ in range(count - len(self.calls)):
            try:
                await self._dial(webhooks)
                failed_in_a_row = 0
            except (OSError, TimeoutError, Rejected) as e:
                print(f"a call did not begin: {e or type(e).__name__}", file=sys.stderr)
                self.failed += 1
                failed_in_a_row += 1
                if failed_in_a_row == GIVE_UP_AFTER:
                    return
            await asyncio.sleep(DIAL_EVERY_S)

    async def measure(self, seconds: float) -> dict[str, Any]:
        self._forget_ended()
        live, self.seen = len(self.calls), Seen()
        for call in self.calls:
            call.seen = self.seen
        begun = {sid: call.frames_sent for sid, call in self._watched.items()}
        await asyncio.sleep(seconds)
        seen = self.seen
        sent = {sid: call.frames_sent for sid, call in self._watched.items()}
        await asyncio.sleep(ARRIVES_WITHIN_S)
        for sid, call in self._watched.items():
            seen.lost += len(set(range(begun[sid], sent[sid])) - call.heard)
        self._forget_ended()
        failed, self.failed = self.failed, 0
        return {**seen.written(), "calls": live, "failed": failed}

    async def send_for_ever(self) -> None:
        """One slot after the other; a slot that is late is sent at once, and said to have been late."""
        step_s = FRAME_MS / 1000 / SLOTS
        due_s = time.monotonic()
        while True:
            for slot in self._slots:
                due_s += step_s
                if (ahead_s := due_s - time.monotonic()) > 0:
                    await asyncio.sleep(ahead_s)
                for call in slot:
                    call.send(due_s)
            # Frames that could not be sent for a second are not sent all at once: no caller talks so fast.
            if time.monotonic() - due_s > 1:
                due_s = time.monotonic()

    def hang_up(self) -> None:
        for call in self.calls:
            call.hang_up()

    async def _dial(self, webhooks: Webhooks) -> None:
        """Raises Rejected, OSError, TimeoutError."""
        account = self._plan["account_sid"]
        ids = StreamIds(account, new_sid("CA"), new_sid("MZ"))
        form = standard(ids.call_sid, account, CALLER, CALLED, CallStatus.RINGING)
        document = await webhooks.document("POST", self._plan["voice_url"], form)
        connects = [verb for verb in document.verbs if isinstance(verb, twiml.Connect)]
        if not connects:
            raise ConnectionError(f"no <Connect>: {document.verbs}")
        call = DensityCall(ids, self._frames, self._rng.randrange(len(self._frames)), self.seen)
        if len(self._watched) < self._plan["watched"]:
            await self._watch(call)
        await call.open(connects[0].stream.url, connects[0].stream.parameters)
        self._slots[self._dialled % SLOTS].append(call)
        self._dialled += 1

    async def _watch(self, call: DensityCall) -> None:
        sent: list[float] = []
        call.sent_at_s = sent
        self._watched[call.call_sid] = call

        def caller_frame(frame: CallerAudio) -> None:
            if frame.seq not in call.heard:
                call.heard.add(frame.seq)
                call.seen.caller_ms.add((time.monotonic() - sent[frame.seq]) * 1000)

        def bot_audio(audio: BotAudio) -> None:
            if audio.sentence == 0 and audio.offset == 0 and audio.payload:
                call.published()

        await self._ears.hear(CALLER_AUDIO, caller_frame, call_id=call.call_sid)
        await self._gateway.hear(BOT_AUDIO, bot_audio, call_id=call.call_sid)

    def _forget_ended(self) -> None:
        for slot in self._slots:
            for call in [call for call in slot if call.over]:
                slot.remove(call)
                self._watched.pop(call.call_sid, None)
                self.failed += 1


@asynccontextmanager
async def _dialling(plan: Mapping[str, Any]) -> AsyncIterator[Webhooks]:
    async with aiohttp.ClientSession() as http:
        yield Webhooks(http, Account(plan["account_sid"], plan["auth_token"]), Deadlines())


async def run() -> None:
    commands = await _standard_input()
    plan = json.loads(await commands.readline())
    async with AsyncExitStack() as stack:
        webhooks = await stack.enter_async_context(_dialling(plan))
        ears = await stack.enter_async_context(connect(plan["nats"]["stt-worker"], speaks_as="stt-worker"))
        gateway = await stack.enter_async_context(connect(plan["nats"]["gateway"], speaks_as="gateway"))
        frames = await asyncio.to_thread(Path(plan["frames"]).read_text)
        load = Load(plan, frames.split(), ears, gateway)
        sending = asyncio.create_task(load.send_for_ever())
        while line := await commands.readline():
            command = json.loads(line)
            if "calls" in command:
                await load.grow(command["calls"], webhooks)
                answer: Mapping[str, Any] = {"calls": len(load.calls)}
            else:
                answer = await load.measure(command["measure"])
            print(json.dumps(answer), flush=True)
        sending.cancel()
        load.hang_up()
        await asyncio.sleep(0.2)


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        runner.run(run())
