"""Does it sound as if the caller had finished? Optional; the words decide alone where there is no model."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, Protocol

from callbot.runtime.errors import SettingsError
from callbot.schemas.audio import BYTES_PER_MS, SAMPLE_RATE_HZ, SILENCE_BYTE
from callbot.stt_worker import mulaw
from callbot.stt_worker.mulaw import FloatSamples
from callbot.stt_worker.settings import Settings

HEARD_S: Final = 8
WITHIN_S: Final = 0.25
TRAINED_SILENCE_MS: Final = 200
"""Smart Turn expects so much after the last word; it is asked earlier, and told the rest."""
log = logging.getLogger(__name__)


class ProsodyModel(Protocol):
    def finished(self, samples: FloatSamples) -> float:
        """Of the last 8 s of a turn, 8 kHz: the probability that it is over. Blocking; one thread."""


class Prosody:
    """Off the loop, one check at a time; a check that comes too late is none."""

    def __init__(self, model: ProsodyModel | None, pool: ThreadPoolExecutor) -> None:
        self._model = model
        self._pool = pool

    async def finished(self, audio: bytes, silent_ms: int) -> float | None:
        """`audio`: mu-law of the turn so far, the last `silent_ms` of it silence.

        None: no model, too late, or it broke (said in the log).
        """
        if self._model is None:
            return None
        missing = max(0, TRAINED_SILENCE_MS - silent_ms) * BYTES_PER_MS
        heard = (audio + bytes([SILENCE_BYTE]) * missing)[-HEARD_S * SAMPLE_RATE_HZ :]
        judging = asyncio.get_running_loop().run_in_executor(self._pool, self._judge, self._model, heard)
        try:
            return await asyncio.wait_for(judging, WITHIN_S)
        except TimeoutError:
            log.debug("prosody came too late")
        except (RuntimeError, ValueError) as e:
            log.warning("prosody failed", exc_info=e)
        return None

    @staticmethod
    def _judge(model: ProsodyModel, audio: bytes) -> float:
        return model.finished(mulaw.decode(audio))


@asynccontextmanager
async def open_prosody(settings: Settings) -> AsyncIterator[Prosody]:
    """`auto` takes the model where it is installed. Raises SettingsError: asked for and not there."""
    model: ProsodyModel | None = None
    if settings.prosody != "off":
        try:
            from callbot.stt_worker.providers.smart_turn import SmartTurn

            model = await asyncio.to_thread(SmartTurn, settings.prosody_model)
        except (ImportError, SettingsError) as e:
            if settings.prosody == "smart-turn":
                raise SettingsError(f"CALLBOT_PROSODY=smart-turn cannot be used: {e}") from e
            log.info("no prosody model: words and silence decide", extra={"reason": str(e)})
    pool = ThreadPoolExecutor(1, thread_name_prefix="prosody")
    try:
        yield Prosody(model, pool)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
