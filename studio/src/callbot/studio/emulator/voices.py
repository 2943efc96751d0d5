"""What the caller speaks with: text or a WAV file in, 8 kHz mu-law out."""

import asyncio
import contextlib
import json
import sys
import tempfile
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from callbot.schemas.audio import SAMPLE_RATE_HZ
from callbot.schemas.text_audio import audible
from callbot.studio.emulator.recording import encode

Samples = NDArray[np.floating]

PIPER_COMMAND = (sys.executable, "-m", "callbot.tts_worker.providers.piper_process")
READY_S = 60.0
SPEECH_S = 60.0
MAX_WAV_S = 600


class VoiceError(Exception):
    """The caller's voice cannot speak; the message is a sentence for a person."""


class Voice(Protocol):
    """How a caller speaks."""

    carries_text: bool
    """Whether both sides speak by `text_audio`, so that the emulator can read what it hears."""

    async def speech(self, text: str) -> bytes:
        """Mu-law at 8 kHz. Raises VoiceError."""
        ...


class ScriptedVoice:
    """For tests without models: the platform's scripted recogniser reads it exactly."""

    carries_text = True

    def __init__(self, ms_per_character: int = 40) -> None:
        self._ms_per_character = ms_per_character

    async def speech(self, text: str) -> bytes:
        return audible(text, self._ms_per_character)


class PiperVoice:
    """Piper in its child process; made by `piper_voice`. One text at a time."""

    carries_text = False

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self._turn = asyncio.Lock()
        self._last_id = 0

    async def speech(self, text: str) -> bytes:
        async with self._turn:
            try:
                async with asyncio.timeout(SPEECH_S):
                    rate_hz, pcm = await self._ask(text)
            except (OSError, EOFError, TimeoutError, ValueError, KeyError) as error:
                raise VoiceError(f"Piper did not speak: {type(error).__name__} {error}") from error
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768
        return await asyncio.to_thread(for_telephone, samples, rate_hz)

    async def ready(self) -> None:
        """Raises VoiceError."""
        try:
            async with asyncio.timeout(READY_S):
                first = await self._header()
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            raise VoiceError("Piper did not start") from error
        if not first.get("ready"):
            raise VoiceError(f"Piper did not start: {first.get('error')}")

    async def _ask(self, text: str) -> tuple[int, bytes]:
        self._last_id += 1
        self._stdin.write(json.dumps({"id": self._last_id, "text": text}).encode() + b"\n")
        await self._stdin.drain()
        rate_hz, pcm = SAMPLE_RATE_HZ, bytearray()
        while True:
            header = await self._header()
            size = int(str(header.get("bytes", 0)))
            piece = await self._stdout.readexactly(size)
            if header["id"] != self._last_id:
                continue  # the rest of one that took too long
            if "error" in header:
                raise VoiceError(f"Piper did not speak: {header['error']}")
            if header.get("end"):
                return rate_hz, bytes(pcm)
            rate_hz = int(str(header["rate_hz"]))
            pcm += piece

    async def _header(self) -> dict[str, object]:
        line = await self._stdout.readline()
        if not line:
            raise EOFError("its process has ended")
        header = json.loads(line)
        if not isinstance(header, dict):
            raise ValueError("its answer is not an object")
        return header


@asynccontextmanager
async def piper_voice(command: Sequence[str] = PIPER_COMMAND) -> AsyncIterator[PiperVoice]:
    """Starts the child process; it ends with the context. Raises VoiceError."""
    with tempfile.TemporaryFile() as log:
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        except OSError as error:
            raise VoiceError(f"Piper did not start: {error}") from error
        try:
            voice = PiperVoice(process)
            try:
                await voice.ready()
            except VoiceError as error:
                raise VoiceError(f"{error}{_last_line(log.fileno())}") from error
            yield voice
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(2):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _last_line(log: int) -> str:
    with open(log, "rb", closefd=False) as file:
        file.seek(0)
        lines = file.read()[-2000:].decode(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f" ({last.strip()})" if last else ""


async def wav_speech(path: Path) -> bytes:
    """A WAV file of any rate, width and number of channels as mu-law. Raises VoiceError."""
    return await asyncio.to_thread(_read_wav, path)


def for_telephone(samples: Samples, rate_hz: int) -> bytes:
    """Mono samples between -1 and 1 at any rate to mu-law at 8 kHz; the resampler limits the band."""
    if rate_hz != SAMPLE_RATE_HZ:
        samples = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    return encode(np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16))


def _read_wav(path: Path) -> bytes:
    try:
        with wave.open(str(path), "rb") as file:
            rate_hz, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            if file.getnframes() > MAX_WAV_S * rate_hz:
                raise VoiceError(f"{path} is longer than {MAX_WAV_S // 60} minutes")
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise VoiceError(f"{path} cannot be read as a WAV file: {error}") from error
    data = data[: len(data) - len(data) % (width * channels)]
    samples = _samples(data, width).reshape(-1, channels).mean(axis=1, dtype=np.float32)
    return for_telephone(samples, rate_hz)


def _samples(data: bytes, width: int) -> Samples:
    """PCM of 1 (unsigned), 2, 3 or 4 bytes a sample, between -1 and 1."""
    if width == 1:
        return (np.frombuffer(data, dtype=np.uint8).astype(np.float32) - 128) / 128
    padded = np.zeros((len(data) // width, 4), dtype=np.uint8)
    padded[:, 4 - width :] = np.frombuffer(data, dtype=np.uint8).reshape(-1, width)
    return padded.reshape(-1).view("<i4").astype(np.float32) / 2**31
