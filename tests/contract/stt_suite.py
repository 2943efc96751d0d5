"""What the contract suite of the recognisers expects, of whom, and how it speaks to them."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import entry_points
from types import TracebackType
from typing import Any, Self, cast

from callbot.schemas.audio import BYTES_PER_MS, FRAME_BYTES, FRAME_MS, SILENCE_BYTE
from callbot.schemas.text_audio import audible
from callbot.stt_worker.recognizer import (
    GROUP,
    AnyRecognizer,
    RecognizerProvider,
    SpeechStream,
    StreamingRecognizer,
    Utterance,
)
from callbot.stt_worker.settings import Settings
from tests.vendors.stt_vendor import RETRY_AFTER_S, Day, SttVendor

SERVERS = {
    "deepgram": ("deepgram", "deepgram_stt:DeepgramNova"),
    "deepgram-flux": ("deepgram", "deepgram_stt:DeepgramFlux"),
    "google": ("google", "google_stt:GoogleSpeech"),
    "google-v1": ("google", "google_stt:GoogleSpeechV1"),
    "openai": ("openai", "openai_transcription:OpenAITranscription"),
    "openai-whisper": ("openai", "openai_transcription:Whisper"),
    "openai-pcm": ("openai", "openai_transcription:PcmOnly"),
}
"""Of each row the entry point, and what stands for its vendor under tests/vendors."""
BATCH = frozenset(row for row, (name, _) in SERVERS.items() if name == "openai")
TEXT = "a table for four"
OTHER = "tomorrow at seven"
PATIENCE_S = 10.0
TORN_WITHIN_S = 5.0
LATE_S = 0.3
SILENCE = bytes([SILENCE_BYTE]) * BYTES_PER_MS
EXPECTED: dict[Day, tuple[bool, float | None]] = {
    Day.REFUSED: (False, None),
    Day.OUT_OF_QUOTA: (False, None),
    Day.WRONG_RATE: (False, None),
    Day.BUSY: (True, None),
    Day.BUSY_FOR: (True, RETRY_AFTER_S),
    Day.BROKEN: (True, None),
    Day.CUT: (True, None),
    Day.MALFORMED: (True, None),
}
"""Whether the error is retryable, and after how long."""
CODE = {
    Day.REFUSED: "refused",
    Day.OUT_OF_QUOTA: "out_of_quota",
    Day.BUSY: "busy",
    Day.BUSY_FOR: "busy",
    Day.BROKEN: "unavailable",
    Day.CUT: "broken_off",
    Day.MALFORMED: "malformed",
}


MODELS = {
    "deepgram": "nova-3",
    "deepgram-flux": "flux-general-en",
    "google": "telephony",
    "google-v1": "telephony",
}
"""What a vendor bills: of the others, what their settings name."""


class Live:
    """The vendor itself."""

    day = Day.GOOD
    environment: Mapping[str, str] = {}
    complaints: list[str] = []
    begun = 0
    open_connections = 0

    def turns(self, day: Day) -> None:
        assert day is Day.GOOD, "nobody chooses the vendor's days"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


@asynccontextmanager
async def provider(name: str) -> AsyncIterator[AnyRecognizer]:
    """As its entry point opens it, with what the environment says now."""
    entry = next(e for e in entry_points(group=GROUP) if e.name == name)
    async with cast(RecognizerProvider, entry.load()).open(Settings()) as recognizer:
        yield recognizer


class Ears:
    """A call as the worker has it: what is said is heard once; what is asked for is a stretch of it."""

    def __init__(self, recognizer: AnyRecognizer, *, real_time: bool = False) -> None:
        self._recognizer = recognizer
        self._real_time = real_time
        self._audio = b""
        self._stream: SpeechStream | None = None
        self._held = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if isinstance(self._recognizer, StreamingRecognizer):
            async with asyncio.timeout(PATIENCE_S):
                self._stream = await self._held.enter_async_context(self._recognizer.stream("en-US", ()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._held.aclose()

    @property
    def stream(self) -> SpeechStream | None:
        return self._stream

    @property
    def now_ms(self) -> int:
        return len(self._audio) // BYTES_PER_MS

    def skips(self, ms: int) -> None:
        """The call had begun before."""
        self._audio += SILENCE * ms

    async def hears(self, audio: bytes) -> None:
        whole = audio + bytes([SILENCE_BYTE]) * (-len(audio) % FRAME_BYTES)
        for at in range(0, len(whole), FRAME_BYTES):
            frame, from_ms = whole[at : at + FRAME_BYTES], self.now_ms
            self._audio += frame
            if self._stream is not None:
                self._stream.hear(from_ms, frame)
            if self._real_time:
                await asyncio.sleep(FRAME_MS / 1000)

    async def words(self, from_ms: int) -> str:
        """Of all that was heard since then."""
        if self._stream is not None:
            return await self._stream.words(from_ms, self.now_ms)
        recognizer = cast(Any, self._recognizer)
        heard = self._audio[from_ms * BYTES_PER_MS :]
        return str(await recognizer.transcribe(Utterance(heard, "en-US", (), from_ms)))


def scripted(text: str) -> bytes:
    """With the silence around it that the worker gives: the lead, and what tells it that speech is over."""
    return with_silence(audible(text, 15))


def with_silence(speech: bytes) -> bytes:
    return SILENCE * 200 + speech + SILENCE * 80


def said(heard: str, text: str, *, exactly: bool) -> bool:
    """Of a vendor itself one word may be another."""
    if exactly:
        return heard == text
    one, other = (set(re.sub(r"[^a-z0-9 ]", "", words.lower()).split()) for words in (heard, text))
    return len(one & other) >= len(other) - 1 and len(one) <= len(other) + 1


async def all_closed(vendor: SttVendor) -> None:
    """Raises TimeoutError: a connection is left open."""
    async with asyncio.timeout(PATIENCE_S):
        while vendor.open_connections:
            await asyncio.sleep(0.01)


def our_tasks() -> set[str]:
    """Tasks that run code of the member, by its place."""
    places = {
        f"{code.co_filename}:{code.co_name}"
        for task in asyncio.all_tasks()
        if (code := getattr(task.get_coro(), "cr_code", None)) is not None
    }
    return {place for place in places if "stt-worker/src" in place}
