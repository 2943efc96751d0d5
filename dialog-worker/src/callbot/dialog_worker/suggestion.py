"""One run of the language model, its whole sentences as they come."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from callbot.dialog_worker.language_model import TRUNCATED, Anew
from callbot.dialog_worker.sentences import SentenceCutter
from callbot.runtime import tracing
from callbot.runtime.errors import ProviderError

log = logging.getLogger(__name__)


class Suggestion:
    """Runs from its creation until it is complete or stopped. A failure leaves the whole sentences so far."""

    def __init__(
        self,
        pieces: AsyncGenerator[str | Anew] | None,
        *,
        max_sentences: int,
        on_first: Callable[[str], None] = lambda sentence: None,
        language: str = "en-US",
    ) -> None:
        """`pieces` None: this bot wants no suggestions. `on_first` gets the first whole sentence."""
        self.sentences: list[str] = []
        self.error = ""
        self.first_token_ms: float | None = None
        """Counted from the beginning of the run, also where that was before the turn was opened."""
        self.ms: float | None = None
        """Of the complete run, counted in the same way."""
        self._on_first = on_first
        self._language = language
        self._cutter = SentenceCutter(language=language)
        self._max_sentences = max_sentences
        self._began = time.perf_counter()
        self._began_ns = time.time_ns()
        self._begun = asyncio.Event()
        self._complete = asyncio.Event()
        self._task = asyncio.create_task(self._run(pieces)) if pieces else None
        if pieces is None:
            self._complete.set()

    @property
    def text(self) -> str:
        return " ".join(self.sentences)

    @property
    def complete(self) -> bool:
        """Nothing more will come."""
        return self._complete.is_set()

    async def wait_complete(self, within_s: float) -> None:
        await _wait(self._complete, within_s)

    async def wait_settled(self, within_s: float, settle_s: float) -> None:
        """Until there is a whole sentence, then a little more for the rest; never beyond `within_s`."""
        until = time.monotonic() + within_s
        if not (self._complete.is_set() or self.sentences):
            await _wait(self._begun, within_s)
        await _wait(self._complete, min(settle_s, until - time.monotonic()))

    def cancel(self) -> None:
        """Stops the model soon."""
        if self._task is not None:
            self._task.cancel()

    async def stop(self) -> None:
        self.cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def trace(self, speculation: str, won_ms: float) -> None:
        """The run as stages of the turn that it was for, once it is over."""
        if self._task is None or not tracing.is_on():
            return
        began_ns, ended_ms = self._began_ns, self._ms() if self.ms is None else self.ms
        run = tracing.record(
            "llm",
            began_ns,
            began_ns + ended_ms * 1e6,
            failed=bool(self.error),
            complete=self.ms is not None,
            speculation=speculation,
            won_ms=won_ms,
            sentences=len(self.sentences),
        )
        if run is not None and self.first_token_ms is not None:
            tracing.record("llm_first_token", began_ns, began_ns + self.first_token_ms * 1e6, below=run)

    async def _run(self, pieces: AsyncGenerator[str | Anew]) -> None:
        try:
            async with aclosing(pieces):
                await self._collect(pieces)
        except ProviderError as e:
            self.error = str(e)
            if e.code == TRUNCATED and not self.sentences:
                self._add(self._cutter.finish())
            log.warning("the language model failed", extra={"code": e.code})
        except Exception as e:
            self.error = f"llm_failed: {type(e).__name__}"
            log.exception("the language model failed")
        else:
            self.error = "" if self.sentences else "llm_empty: no words in the reply"
        self.ms = self._ms()
        self._complete.set()
        self._begun.set()

    async def _collect(self, pieces: AsyncGenerator[str | Anew]) -> None:
        async for piece in pieces:
            if isinstance(piece, Anew):
                if self.sentences:
                    # The next model would say the same in other words.
                    raise piece.because
                self._cutter = SentenceCutter(language=self._language)
                continue
            if self.first_token_ms is None:
                self.first_token_ms = self._ms()
            self._add(self._cutter.feed(piece))
            if len(self.sentences) >= self._max_sentences:
                return
        self._add(self._cutter.finish())

    def _add(self, sentences: list[str]) -> None:
        self.sentences = [*self.sentences, *sentences][: self._max_sentences]
        if self.sentences and not self._begun.is_set():
            self._begun.set()
            self._on_first(self.sentences[0])

    def _ms(self) -> float:
        return round((time.perf_counter() - self._began) * 1000, 1)


async def _wait(event: asyncio.Event, within_s: float) -> None:
    try:
        async with asyncio.timeout(max(0.0, within_s)):
            await event.wait()
    except TimeoutError:
        return
