"""One request to a provider's adapter and its times, for each role.

The adapters are found as the workers find them, by their entry points; what else belongs to a worker (its
settings, its messages) is imported by name, as the studio knows no worker.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from itertools import count
from typing import Any, Literal

from callbot.schemas.audio import BYTES_PER_MS, FRAME_BYTES, FRAME_MS, SILENCE_BYTE

Role = Literal["tts", "stt", "llm"]
SENTENCE = "A table for four at seven."
LEAD_MS = 60
PAUSE_MS = 140
"""After it the words are wanted. Shorter ones may be a stop consonant, and an adapter may wait on purpose."""
RESULT_WITHIN_S = 10.0


@dataclass(frozen=True)
class Times:
    """Milliseconds from the request to the first result; `own_ms` of them were the server's."""

    first_ms: float
    own_ms: float = 0.0


Probe = Callable[[], Awaitable[Times]]


@asynccontextmanager
async def probing(role: Role, name: str, server: Any, speech: bytes) -> AsyncIterator[Probe]:
    """The provider, opened as the environment says now. `server` is None for the vendor itself.

    Raises SettingsError, ImportError, StopIteration when it is not installed; a probe raises ProviderError,
    TimeoutError.
    """
    begin = {"tts": _voice, "stt": _ears, "llm": _mind}[role]
    async with begin(name, server, speech) as probe:
        yield probe


@asynccontextmanager
async def _voice(name: str, server: Any, _: bytes) -> AsyncIterator[Probe]:
    worker = import_module("callbot.tts_worker.synthesizer")
    spoken = worker.Voice(name, server.voice if server else "", "en-US")
    asked_at_s = _asked_at(server)
    async with _entry("callbot.tts", name)(_settings("tts_worker")) as synthesizer:
        await synthesizer.warm(spoken)

        async def speak() -> Times:
            begun_s = time.monotonic()
            first_s = await _first(synthesizer.speak(SENTENCE, spoken))
            own_s = server.first_audio_at_s - asked_at_s() if server else 0.0
            return Times((first_s - begun_s) * 1000, own_s * 1000)

        yield speak


@asynccontextmanager
async def _mind(_: str, server: Any, __: bytes) -> AsyncIterator[Probe]:
    message = import_module("callbot.dialog_worker.language_model").ChatMessage
    chain = import_module("callbot.dialog_worker.model_chain")
    async with chain.open_language_model(_settings("dialog_worker")) as model:

        async def reply() -> Times:
            begun_s = time.monotonic()
            first_s = await _first(
                model.reply([message("system", "Book tables."), message("user", SENTENCE)])
            )
            return Times((first_s - begun_s) * 1000)

        yield reply


@asynccontextmanager
async def _ears(name: str, server: Any, speech: bytes) -> AsyncIterator[Probe]:
    async with AsyncExitStack() as call:
        opened = _entry("callbot.stt", name).open(_settings("stt_worker"))
        recognizer = await call.enter_async_context(opened)
        if hasattr(recognizer, "transcribe"):
            yield _batch(recognizer, speech)
        else:
            stream = await call.enter_async_context(recognizer.stream("en-US", ()))
            yield _streaming(stream, speech)


def _batch(recognizer: Any, speech: bytes) -> Probe:
    utterance = import_module("callbot.stt_worker.recognizer").Utterance(_silence(LEAD_MS) + speech)

    async def transcribe() -> Times:
        begun_s = time.monotonic()
        async with asyncio.timeout(RESULT_WITHIN_S):
            _check(await recognizer.transcribe(utterance))
        return Times((time.monotonic() - begun_s) * 1000)

    return transcribe


def _streaming(stream: Any, speech: bytes) -> Probe:
    """Frames in real time, as vendors want them; then the words are wanted."""
    audio = _silence(LEAD_MS) + speech + _silence(PAUSE_MS)
    audio += bytes([SILENCE_BYTE]) * (-len(audio) % FRAME_BYTES)
    utterances = count()

    async def words() -> Times:
        from_ms = next(utterances) * (len(audio) // BYTES_PER_MS)
        begun_s = time.monotonic()
        for at in range(0, len(audio), FRAME_BYTES):
            await asyncio.sleep(begun_s + at / BYTES_PER_MS / 1000 - time.monotonic())
            stream.hear(from_ms + at // BYTES_PER_MS, audio[at : at + FRAME_BYTES])
        await asyncio.sleep(FRAME_MS / 1000)
        begun_s = time.monotonic()
        async with asyncio.timeout(RESULT_WITHIN_S):
            _check(await stream.words(from_ms, from_ms + len(audio) // BYTES_PER_MS))
        return Times((time.monotonic() - begun_s) * 1000)

    return words


async def _first(results: AsyncGenerator[Any, None]) -> float:
    """When the first has come; the rest is taken, too."""
    first_s = 0.0
    async with asyncio.timeout(RESULT_WITHIN_S), aclosing(results):
        async for _ in results:
            first_s = first_s or time.monotonic()
    return first_s


def _asked_at(server: Any) -> Callable[[], float]:
    """When the server had the whole of the last text."""
    at_s = [0.0]
    if server is not None:
        begins = server.begins

        async def noticed(*args: Any, **kwargs: Any) -> None:
            at_s[0] = time.monotonic()
            await begins(*args, **kwargs)

        server.begins = noticed
    return lambda: at_s[0]


def _check(words: str) -> None:
    if not words:
        raise ValueError("it has understood nothing")


def _entry(group: str, name: str) -> Any:
    return next(entry for entry in entry_points(group=group) if entry.name == name).load()


def _settings(member: str) -> Any:
    return import_module(f"callbot.{member}.settings").Settings()


def _silence(ms: int) -> bytes:
    return bytes([SILENCE_BYTE]) * (ms * BYTES_PER_MS)
