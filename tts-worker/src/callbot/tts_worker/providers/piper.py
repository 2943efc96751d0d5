"""Piper, the local voice. The model lives in a child process (`piper_process`), restarted when it dies."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Final, Self

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.schemas.voices import VoiceInfo
from callbot.tts_worker.providers.piper_child import CannotStart, ChildGone, PiperChild
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice, voice_info
from callbot.tts_worker.telephone_audio import TelephoneAudio
from callbot.tts_worker.urgency import WAITED_FOR, Urgency

log = logging.getLogger(__name__)

START_WITHIN_S: Final = 20.0
RESTART_PAUSE_S: Final = 1.0


class PiperSynthesizer:
    """One voice for all calls of this worker. Use as an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self._first_audio_s = settings.tts_first_audio_s
        self._options = ["--threads", str(settings.piper_threads)]
        if settings.piper_model:
            self._options += ["--model", str(settings.piper_model)]
        if settings.piper_config:
            self._options += ["--config", str(settings.piper_config)]
        self._child: PiperChild | None = None
        self._changed = asyncio.Condition()
        self._keeping: asyncio.Task[None] | None = None
        self.ready = True

    @property
    def voices(self) -> list[VoiceInfo]:
        """The one that is loaded; none while there is no child that could speak."""
        child = self._alive()
        return [voice_info("piper", child.voice_name, child.language)] if child else []

    @property
    def child_pid(self) -> int | None:
        """None while there is no child that could speak."""
        child = self._alive()
        return child.pid if child else None

    async def __aenter__(self) -> Self:
        """Raises SettingsError."""
        try:
            first = await PiperChild.start(self._options, START_WITHIN_S)
        except CannotStart as e:
            raise SettingsError(f"CALLBOT_TTS=piper: {e}") from e
        self._keeping = asyncio.create_task(self._keep_running(first))
        await self._running()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def warm(self, voice: Voice) -> None:
        """Its models are loaded at the start."""

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        """Like Synthesizer.speak; whatever voice is wished, this one speaks.

        When the child dies, its successor goes on at the piece that is missing, once.
        """
        audio: TelephoneAudio | None = None
        heard = 0
        for attempt in (1, 2):
            child = await self._running()
            pieces = child.pieces(text, skip=heard, within_s=self._first_audio_s, urgency=urgency)
            try:
                async with aclosing(pieces):
                    async for piece in pieces:
                        audio = audio or TelephoneAudio(piece.rate_hz)
                        heard += 1
                        if chunk := audio.feed(piece.pcm):
                            yield chunk
            except ChildGone as e:
                if attempt == 2:
                    raise ProviderError(
                        "piper_died", "Piper died twice over this text", retryable=False
                    ) from e
                continue
            if audio and (rest := audio.end()):
                yield rest
            return

    async def _running(self) -> PiperChild:
        """The child that can speak, once there is one; `_keep_running` ends the wait either way."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._alive() or not self.ready)
            if (child := self._alive()) is None:
                raise ProviderError("piper_unavailable", "Piper does not start", retryable=True)
            return child

    def _alive(self) -> PiperChild | None:
        return self._child if self._child and not self._child.gone.is_set() else None

    async def _set(self, child: PiperChild | None, *, ready: bool) -> None:
        async with self._changed:
            self._child, self.ready = child, ready
            self._changed.notify_all()

    async def _keep_running(self, child: PiperChild | None) -> None:
        while True:
            if child is not None:
                await self._set(child, ready=True)
                try:
                    await child.gone.wait()
                finally:
                    await child.stop()
                log.warning("Piper's process has died and is started again", extra={"pid": child.pid})
                await self._set(None, ready=True)
            try:
                child = await PiperChild.start(self._options, START_WITHIN_S)
            except CannotStart as e:
                log.error("Piper does not start", extra={"reason": str(e)})
                child = None
                await self._set(None, ready=False)
                await asyncio.sleep(RESTART_PAUSE_S)
