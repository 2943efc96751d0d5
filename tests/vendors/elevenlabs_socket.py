"""One multi-context WebSocket of ElevenLabs, as strict as its description."""

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import WSMsgType, web

from tests.vendors.http_audio import WRITTEN_S, abort, pieces_of
from tests.vendors.speech_tones import spoken_mulaw
from tests.vendors.tts_vendor import CHATTER, KEY, Day

if TYPE_CHECKING:
    from tests.vendors.elevenlabs_tts import ElevenLabsTts

MAX_CONTEXTS: Final = 5
FIRST_CHARACTERS: Final = 120
"""Without `auto_mode` or `flush` nothing is spoken before so much text is there."""
KNOWN: Final = {
    "text", "context_id", "voice_settings", "generation_config", "flush", "close_context", "close_socket",
}  # fmt: skip
ERRORS: Final = {
    Day.REFUSED: "invalid_api_key",
    Day.BUSY: "too_many_concurrent_requests",
    Day.BUSY_FOR: "system_busy",
    Day.OUT_OF_QUOTA: "quota_exceeded",
}


class Violation(Exception):
    """What the vendor closes the connection for."""

    def __init__(self, word: str, complaint: str = "") -> None:
        super().__init__(word)
        self.word = word
        self.complaint = complaint


@dataclass
class Context:
    waiting: str = ""
    """Text that is not flushed."""
    text: str = ""
    closing: bool = False
    given_up: bool = False
    speaking: asyncio.Task[None] | None = None


class Connection:
    def __init__(self, vendor: "ElevenLabsTts", request: web.Request, ws: web.WebSocketResponse) -> None:
        self.contexts: dict[str, Context] = {}
        self.ws = ws
        self._vendor = vendor
        self._request = request
        self._voice = request.match_info["voice_id"]
        self._auto = request.query.get("auto_mode") == "true"
        self._inactivity_s = int(request.query.get("inactivity_timeout", 20))
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        try:
            await self._serve()
        except Violation as e:
            if e.complaint:
                self._vendor.complaints.append(e.complaint)
            await self._close_with(e.word)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for context in self.contexts.values():
                if context.text and not context.given_up:
                    await self._vendor.gives_up()

    def abort(self) -> None:
        """The connection is torn."""
        abort(self._request)

    @property
    def generating(self) -> int:
        return sum(c.speaking is not None and not c.speaking.done() for c in self.contexts.values())

    async def _serve(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._inactivity_s):
                    message = await self.ws.receive()
            except TimeoutError:
                raise Violation("input_timeout_exceeded") from None
            if message.type is not WSMsgType.TEXT:
                return
            told = json.loads(message.data)
            if told.get("close_socket"):
                await self.ws.close()
                return
            await self._take(told)

    async def _take(self, told: dict[str, Any]) -> None:
        if unknown := set(told) - KNOWN:
            raise Violation("invalid_message", f"unknown fields: {unknown}")
        if not self._vendor.knows(self._voice):
            raise Violation("voice_not_found")
        id = told.get("context_id", "default")
        context = self.contexts.get(id)
        if context is None:
            if told.get("close_context"):
                return
            await self._open(id, told)
            return
        if "voice_settings" in told or "generation_config" in told:
            raise Violation("invalid_message", "settings are for the first message of a context")
        if told.get("close_context"):
            await self._close(id, context)
            return
        if context.closing:
            raise Violation("invalid_message", "text for a context that is closed")
        text = told.get("text") or ""
        if text and not text.endswith(" "):
            raise Violation("invalid_message", "a text does not end with a space")
        if not text and not told.get("flush"):
            self._vendor.kept_alive += 1
            await self._vendor.news()
        context.waiting += text
        if told.get("flush") or self._is_enough(context.waiting):
            await self._speak(id, context)

    async def _open(self, id: str, told: dict[str, Any]) -> None:
        if len(self.contexts) >= MAX_CONTEXTS:
            raise Violation("max_active_conversations", "a sixth context")
        if told.get("text") != " ":
            raise Violation("invalid_message", "the first text of a context is not a space")
        settings = told.get("voice_settings")
        if settings is not None and not {"stability", "similarity_boost"} <= set(settings):
            raise Violation("invalid_message", "voice_settings lack what they must have")
        self.contexts[id] = Context()
        await self._vendor.news()

    def _is_enough(self, waiting: str) -> bool:
        whole = waiting.rstrip().endswith((".", "!", "?"))
        return (self._auto and whole) or len(waiting) >= FIRST_CHARACTERS

    async def _close(self, id: str, context: Context) -> None:
        if context.closing and not context.given_up:
            context.given_up = True
            await self._vendor.gives_up()
        elif not context.closing:
            context.closing = True
            self._spawn(self.end(id))

    async def end(self, id: str) -> None:
        """Also of itself, when a context is idle for too long."""
        if (speaking := self.contexts[id].speaking) is not None:
            await speaking
        await self.ws.send_json({"audio": None, "isFinal": True, "contextId": id})
        del self.contexts[id]

    async def _speak(self, id: str, context: Context) -> None:
        context.text, context.waiting = context.waiting.strip(), ""
        vendor = self._vendor
        await vendor.begins(context.text, voice=self._voice, connection=self._request.transport)
        if vendor.dies_at_texts:
            vendor.dies_at_texts -= 1
            context.given_up = True
            self.abort()
            return
        if sum(socket.generating for socket in vendor.sockets) >= vendor.generating_at_once:
            raise Violation("too_many_concurrent_requests")
        if vendor.day in ERRORS:
            context.given_up = True
            raise Violation(ERRORS[vendor.day])
        if vendor.day is Day.BROKEN:
            context.given_up = True
            await self.ws.close(code=1011)
            return
        context.speaking = self._spawn(self._say(id, context, vendor.day))

    async def _say(self, id: str, context: Context, day: Day) -> None:
        if day is Day.MALFORMED:
            await self.ws.send_json({"audio": f"!{CHATTER}!", "contextId": id})
            return
        pieces = pieces_of(spoken_mulaw(context.text))
        if day in (Day.STALLS, Day.CUT):
            pieces = pieces[: len(pieces) // 2]
        if day is not Day.SLOW:
            self._vendor.gives_audio()
            for piece in pieces:
                await self.ws.send_json(_audio(id, piece))
        if day is Day.CUT:
            await asyncio.sleep(WRITTEN_S)
            context.given_up = True
            self.abort()
        if day in (Day.SLOW, Day.STALLS):
            await asyncio.Event().wait()

    async def _close_with(self, word: str) -> None:
        for context in self.contexts.values():
            context.given_up = True
        if not self.ws.closed:
            error = {"message": f"{CHATTER} {KEY}", "error": word, "code": 1008}
            await self.ws.send_json(error)
            await self.ws.close(code=1008, message=f"{CHATTER} {KEY}".encode())

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Who speaks on a connection that has ended fails; that is read once.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return task


def _audio(id: str, piece: bytes) -> dict[str, Any]:
    alignment = {"chars": ["a"], "charStartTimesMs": [0], "charsDurationsMs": [len(piece) // 8]}
    return {
        "audio": base64.b64encode(piece).decode(),
        "isFinal": None,
        "normalizedAlignment": alignment,
        "alignment": alignment,
        "contextId": id,
    }
