"""One WebSocket to a vendor, over which several texts are spoken at once."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp

from callbot.runtime.errors import ProviderError
from callbot.runtime.vendor_answers import broken_off, malformed, unreachable, wrong_audio
from callbot.tts_worker.providers.dialect import ConnectionGone, Dialect, Heard

DRAINED_WITHIN_S: Final = 20.0
SEND_WITHIN_S: Final = 5.0
MAX_AUDIO_BYTES: Final = 8000 * 300
_OTHER_KINDS: Final = (b"RIFF", b"OggS", b"fLaC", b"ID3")


class Text:
    """One text on its way back as audio."""

    def __init__(self, socket: "WarmSocket", context: str) -> None:
        self._socket = socket
        self._news: asyncio.Queue[Heard] = asyncio.Queue()
        self._over = False
        self._begun = False
        self._head = b""
        self.context = context
        self.bytes_heard = 0

    def tell(self, heard: Heard) -> None:
        self.bytes_heard += len(heard.audio)
        if self.bytes_heard > MAX_AUDIO_BYTES:
            heard = Heard(self.context, error=wrong_audio("audio without an end"))
        self._news.put_nowait(heard)

    async def more(self) -> bytes:
        """The next audio; empty at its end. Raises ProviderError, ConnectionGone. Has no deadline."""
        while not self._over:
            heard = await self._news.get()
            if heard.error is not None:
                raise heard.error
            self._over = heard.over
            if audio := self._checked(heard.audio):
                return audio
        if not self.bytes_heard:
            raise ProviderError("no_audio", "the vendor said nothing", retryable=True)
        return b""

    async def stop(self) -> None:
        """Nothing more of it is wanted; the vendor is told when it is not through."""
        await self._socket.drop(self)

    async def give_up(self) -> None:
        """The vendor owes audio and is silent: its connection gets no more texts."""
        self._socket.retire()
        await self.stop()

    def _checked(self, audio: bytes) -> bytes:
        """Raises ProviderError where the audio begins as a file does: mu-law has no header."""
        if self._begun:
            return audio
        self._head += audio
        if len(self._head) < 4 and not self._over:
            return b""
        if self._head.startswith(_OTHER_KINDS):
            raise wrong_audio("a file, not mu-law")
        self._begun = True
        return self._head


class WarmSocket:
    """Open from the beginning; `run` lasts as long as it is."""

    def __init__(
        self,
        ws: aiohttp.ClientWebSocketResponse,
        dialect: Dialect,
        *,
        on_tick: "Callable[[WarmSocket], None]",
    ) -> None:
        self._ws = ws
        self._dialect = dialect
        self._on_tick = on_tick
        self._names = (f"c{n}" for n in itertools.count())
        self._texts: dict[str, Text] = {}
        self._draining: dict[str, float] = {}
        """Texts that nobody wants any more, until the vendor is through with them: since when."""
        self._prepared = ""
        self._preparing = False
        self._look_now = asyncio.Event()
        self._done = asyncio.Event()
        self._used_s = time.monotonic()
        self._retired = False
        self.has_spoken = False
        """A text has come to its end here."""

    @property
    def room(self) -> int:
        """How many more texts it can take."""
        return max(0, self.places - len(self._texts) - len(self._draining))

    @property
    def places(self) -> int:
        """How many texts it can have at once."""
        return 0 if self._retired or self._ws.closed else self._dialect.at_once

    @property
    def idle_s(self) -> float:
        """Since its last text began; 0 while it has one."""
        return 0.0 if self._texts else time.monotonic() - self._used_s

    async def run(self) -> bool:
        """Reads until the connection ends, and then tells every text. Was that the vendor's doing?

        Raises nothing.
        """
        reading = asyncio.create_task(self._read())
        ticking = asyncio.create_task(self._tick_for_ever())
        done = asyncio.create_task(self._done.wait())
        try:
            await asyncio.wait((reading, done), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._retired = True
            end = reading.result() if reading.done() else broken_off()
            for text in self._texts.values():
                text.tell(Heard(error=_as_heard_by(text, end)))
            self._texts.clear()
            for task in (reading, ticking, done):
                task.cancel()
            await asyncio.gather(reading, ticking, done, self._ws.close(), return_exceptions=True)
        return not self._done.is_set()

    async def begin(self, messages: Callable[[str], Sequence[str]]) -> Text:
        """`messages(context)` ask for the text. Its place is taken before anything is awaited.

        Raises ConnectionGone, TimeoutError.
        """
        context, self._prepared = self._prepared, ""
        opening: Sequence[str] = ()
        if not context:
            context = next(self._names)
            opening = self._dialect.prepare(context)
        text = self._texts[context] = Text(self, context)
        self._used_s = time.monotonic()
        try:
            await self._send([*opening, *messages(context)])
        except BaseException:
            await self.drop(text)
            raise
        return text

    async def prepare(self) -> None:
        """Opens a context for the next text. Raises nothing: what is broken shows when it is used."""
        if self._prepared or self._preparing or self._retired:
            return
        context = next(self._names)
        self._preparing = True
        try:
            if messages := self._dialect.prepare(context):
                await self._send(messages)
                self._prepared = context
        except (ConnectionGone, TimeoutError):
            self.retire()
        finally:
            self._preparing = False

    async def drop(self, text: Text) -> None:
        """Takes no time to speak of; raises nothing."""
        if self._texts.pop(text.context, None) is None:
            return
        if self._dialect.drains:
            self._draining[text.context] = time.monotonic()
        try:
            await self._send(self._dialect.cancel(text.context))
        except (ConnectionGone, TimeoutError):
            self.retire()
        self._end_if_done()

    def retire(self) -> None:
        """It gets no more texts, and ends after those that it has."""
        self._retired = True
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._retired and not self._texts:
            self._done.set()

    async def _send(self, messages: Sequence[str]) -> None:
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                for message in messages:
                    await self._ws.send_str(message)
            return
        except (ConnectionError, aiohttp.ClientError) as e:
            gone = ConnectionGone(unreachable(e))
        raise gone

    async def _tick_for_ever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._dialect.tick_s):
                    await self._look_now.wait()
            except TimeoutError:
                self._on_tick(self)
            self._look_now.clear()
            if any(time.monotonic() - at_s > DRAINED_WITHIN_S for at_s in self._draining.values()):
                # The vendor has lost texts, which take the places of others.
                self.retire()
            await self.prepare()
            if self._prepared:
                try:
                    await self._send(self._dialect.keep_alive(self._prepared))
                except (ConnectionGone, TimeoutError):
                    self.retire()

    async def _read(self) -> Exception:
        """Why the connection ended, as a text without audio so far is told."""
        try:
            async for message in self._ws:
                if message.type is aiohttp.WSMsgType.ERROR:
                    return ConnectionGone(unreachable(ConnectionError()))
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return malformed("a message that is no text")
                heard = self._dialect.heard(message.data)
                if heard.context:
                    self._tell(heard)
                elif heard.error is not None:
                    return heard.error
        except ProviderError as e:
            return e
        except Exception as e:
            # What a vendor sends may break more than it says: the texts of this connection wait for its end.
            return malformed(type(e).__name__)
        code = self._ws.close_code or 1006
        error = self._dialect.closed(code)
        # An idle connection is closed with 1000 or 1001, or was torn unseen; other codes are answers.
        return ConnectionGone(error) if code in (1000, 1001, 1006) else error

    def _tell(self, heard: Heard) -> None:
        over = heard.over or heard.error is not None
        if over:
            self._draining.pop(heard.context, None)
            if heard.context == self._prepared:
                self._prepared = ""
                self._look_now.set()
        text = self._texts.get(heard.context)
        if text is None:
            return
        text.tell(heard)
        if over:
            self.has_spoken = self.has_spoken or heard.over
            del self._texts[heard.context]
            self._end_if_done()


def _as_heard_by(text: Text, end: Exception) -> Exception:
    """A connection that ends in the middle of its audio has broken it off, whatever its close code."""
    plain = end.error if isinstance(end, ConnectionGone) else end
    if text.bytes_heard and isinstance(plain, ProviderError) and plain.code == "unavailable":
        return broken_off()
    return plain if text.bytes_heard else end
