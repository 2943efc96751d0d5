"""One call at Google: one stream after the other, none for longer than it may last, and no word between them.

Google has no message that asks for a final result, and waits for about a second of silence on its own. So at
a pause that is asked about the stream is told its end, which makes it settle at once; another one, on the
same warm connection, hears what comes after. Nothing is cut where an answer is there already.
"""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Final

import grpc

from callbot.runtime.errors import ProviderError
from callbot.schemas.audio import BYTES_PER_MS
from callbot.stt_worker.providers import google_errors
from callbot.stt_worker.providers.google_audio import CallAudio
from callbot.stt_worker.providers.google_errors import StreamError
from callbot.stt_worker.providers.google_hearing import Hearing, Line
from callbot.stt_worker.providers.google_transcript import Guess, Part, Transcript, Word
from callbot.stt_worker.providers.google_wire import Response, Result

ROTATE_MS: Final = 240_000
"""Google ends a stream after 305 s. From here on the next pause or final result is taken to change it."""
LONGEST_MS: Final = 290_000
OVERLAP_MS: Final = 2_000
"""Heard by both streams where one ends within speech: longer than a word."""
PAUSE_MS: Final = 60
"""So much must be quiet to part a stream there."""
PAUSE_STEP_MS: Final = 20
ROTATION_PAUSE_MS: Final = 300
SETTLE_MS: Final = 120
"""The ears ask after 64 ms of silence; a stop consonant within a word closes for up to 100 ms."""
PATIENCE_S: Final = 0.1
"""Longer than that the rest of the silence is not waited for."""
TIDY_MS: Final = 250
"""After an utterance that was answered without a cut, the next one gets a stream of its own."""
NEXT_AFTER_S: Final = 1.0
"""The next stream begins when the one before has settled, or after so long. Its audio waits so long."""
log = logging.getLogger(__name__)


class GoogleStream:
    """Broken once, broken for good: `words` raises the same error from then on."""

    def __init__(self, line: Line, language: str, hints: tuple[str, ...], stability: float) -> None:
        """`stability`: of an interim result that is as good as a final one."""
        self._line = line
        self._language = language
        self._hints = hints
        self._stability = stability
        self._audio = CallAudio()
        self._transcript = Transcript(language)
        self._hearings: set[Hearing] = set()
        self._current = self._hearing(Part(0, 0), 0)
        self._cut_ms = 0
        self._tidy_ms: int | None = None
        self._proven = False
        """Google has answered in this call."""
        self._retried = False
        """A stream was opened again, and nothing was settled since."""
        self._error: ProviderError | None = None
        self._news = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()

    def open(self) -> None:
        self._transcript.add(self._current.part)
        self._current.start()

    async def close(self) -> None:
        for timer in self._timers:
            timer.cancel()
        await asyncio.gather(*(hearing.closed() for hearing in self._hearings))

    def hear(self, from_ms: int, audio: bytes) -> None:
        if self._error is not None:
            return
        if not self._audio.known:
            self._current.at = from_ms * BYTES_PER_MS
            self._current.part.heard_from_ms = self._current.part.from_ms = from_ms
        if not self._audio.append(from_ms, audio):
            self._fail(google_errors.too_slow("a part of the call is missing"))
        elif self._audio.begin > self._current.at:
            self._fail(google_errors.too_slow("it takes audio more slowly than it comes"))
        else:
            self._current.hear_more()
            self._part_if_due()
            self._tell()

    async def words(self, from_ms: int, to_ms: int) -> str:
        self._transcript.begin(from_ms)
        asked_s = time.monotonic()
        while True:
            if self._error is not None:
                raise google_errors.again(self._error)
            if (text := self._transcript.answer(to_ms, self._audio.is_silent, self._stability)) is not None:
                if self._transcript.guessed and to_ms > self._cut_ms:
                    self._tidy_ms = to_ms + TIDY_MS
                return text
            await self._until_news(self._settle(to_ms, asked_s))

    async def lost(self) -> ProviderError:
        while self._error is None:
            await self._until_news(None)
        return self._error

    def so_far(self, from_ms: int) -> str:
        return self._transcript.so_far(from_ms)

    def says_over(self, from_ms: int) -> bool | None:
        """Google tells silence, which is no opinion about the turn."""
        return None

    def on_response(self, hearing: Hearing, response: Response) -> None:
        self._proven = True
        finals = [r for r in response.results if r.final]
        self._retried = self._retried and not finals
        interims = [r for r in response.results if not r.final]
        for final in finals:
            words = [
                Word(w.text, hearing.clock.begin_ms(w.from_ms), hearing.clock.end_ms(w.to_ms))
                for w in final.words
            ]
            hearing.part.settle(final.text, self._end_ms(hearing, final), words)
        if interims:
            # The stable beginning and what may still change are told apart, and belong together.
            text = "".join(r.text for r in interims)
            stability = min(r.stability for r in interims)
            end_ms = max(self._end_ms(hearing, r) for r in interims)
            hearing.part.guess = Guess(text, end_ms, stability)
        if hearing is self._current and hearing.until is None and hearing.age_ms >= ROTATE_MS:
            self._rotate(finals, response.speech_ended)
        self._tell()

    def on_end(self, hearing: Hearing, error: StreamError | None) -> None:
        self._hearings.discard(hearing)
        if error is None and hearing.until is not None:
            self._retried = False
            hearing.part.end(hearing.until // BYTES_PER_MS)
            self._transcript.mend(hearing.part)
            self._current.start()
        else:
            self._broke(hearing, error or google_errors.of_silence("it has ended early"))
        self._tell()

    def on_idle(self) -> None:
        self._part_if_due()

    def _hearing(self, part: Part, begin: int) -> Hearing:
        opening = self._line.dialect.opening(self._language, self._hints, self._line.refused)
        hearing = Hearing(self._line, opening, self._audio, part, begin, self)
        self._hearings.add(hearing)
        return hearing

    def _end_ms(self, hearing: Hearing, result: Result) -> int:
        heard_ms = hearing.at // BYTES_PER_MS
        return min(hearing.clock.end_ms(result.to_ms), heard_ms) if result.to_ms else heard_ms

    def _settle(self, to_ms: int, asked_s: float) -> float | None:
        """Parts the stream if it is time to. How long there may be nothing to do but wait; None: for news."""
        if to_ms <= self._cut_ms:
            return None
        self._current.push(to_ms * BYTES_PER_MS)
        end_ms = self._audio.end_ms
        left_s = asked_s + PATIENCE_S / self._line.speed - time.monotonic()
        settled = end_ms >= to_ms + SETTLE_MS or self._audio.is_pause(end_ms - SETTLE_MS, end_ms)
        if not settled and left_s > 0:
            return left_s
        self._cut(self._pause_from(to_ms))
        return None

    def _pause_from(self, to_ms: int) -> int:
        """Where a stream may end with no doubt about its last word: the next pause, if one is near."""
        near = range(to_ms, min(self._audio.end_ms, to_ms + SETTLE_MS) + 1, PAUSE_STEP_MS)
        return next((ms for ms in near if self._audio.is_pause(ms - PAUSE_MS, ms)), to_ms)

    def _part_if_due(self) -> None:
        age_ms, end_ms = self._current.age_ms, self._audio.end_ms
        old = age_ms >= ROTATE_MS and self._audio.is_pause(end_ms - ROTATION_PAUSE_MS, end_ms)
        if old or age_ms >= LONGEST_MS:
            self._cut(end_ms)
        elif self._tidy_ms is not None and end_ms >= self._tidy_ms:
            if self._audio.is_pause(end_ms - TIDY_MS, end_ms):
                self._cut(end_ms)
            elif end_ms >= self._tidy_ms + TIDY_MS:
                self._tidy_ms = None

    def _cut(self, at_ms: int) -> None:
        """The current stream ends there, or where it has been sent to; the next one goes on."""
        old = self._current
        until = min(max(at_ms * BYTES_PER_MS, old.at), self._audio.end)
        until_ms = -(-until // BYTES_PER_MS)
        begin = self._heard_again_from(old.part, until)
        if begin < until:
            old.part.torn_ms = until_ms
        old.part.to_ms = until_ms
        part = Part(begin // BYTES_PER_MS, until_ms)
        self._transcript.add(part, old.part)
        self._current = self._hearing(part, begin)
        self._cut_ms, self._tidy_ms = until_ms, None
        old.cut(until)
        self._later(self._current)

    def _rotate(self, finals: list[Result], speech_ended: bool) -> None:
        if finals:
            self._hand_over()
        elif speech_ended:
            self._cut(self._audio.end_ms)

    def _hand_over(self) -> None:
        """Right behind a final result: what came after it is heard again by the next stream."""
        old = self._current
        old.part.end(old.part.settled_ms)
        old.drop()
        self._current = self._heard_again(old.part, old.part.settled_ms)
        self._current.start()

    def _heard_again(self, after: Part, from_ms: int) -> Hearing:
        """A new stream for what came then."""
        begin = self._heard_again_from(after, from_ms * BYTES_PER_MS)
        part = Part(begin // BYTES_PER_MS, from_ms)
        self._transcript.add(part, after)
        return self._hearing(part, begin)

    def _heard_again_from(self, part: Part, at: int) -> int:
        """Where a stream begins whose words count from `at`: within speech it hears what was before, too."""
        at_ms = -(-at // BYTES_PER_MS)
        if self._audio.is_pause(at_ms - PAUSE_MS, at_ms):
            return at
        overlapping = max(at - OVERLAP_MS * BYTES_PER_MS, part.heard_from_ms * BYTES_PER_MS)
        return min(at, max(overlapping, self._audio.begin))

    def _broke(self, hearing: Hearing, error: StreamError) -> None:
        refused = error.refused_features - self._line.refused
        lost = error.status is grpc.StatusCode.UNAVAILABLE and self._proven
        again = bool(refused) or ((error.status in google_errors.LIMITS or lost) and not self._retried)
        if not again:
            self._fail(error)
            return
        log.info("Google's stream is opened again", extra={"reason": str(error)})
        self._retried = True
        self._line.refused.update(refused)
        part = hearing.part
        kept_ms = max(self._transcript.needed_from_ms, self._audio.begin // BYTES_PER_MS)
        from_ms = max(part.settled_ms, part.from_ms, kept_ms)
        next_one = self._heard_again(part, from_ms)
        next_one.part.to_ms, next_one.part.torn_ms = part.to_ms, part.torn_ms
        part.to_ms, part.torn_ms, part.guess, part.over = from_ms, None, None, True
        if hearing is self._current:
            self._current = next_one
            next_one.start()
        else:
            next_one.cut(hearing.until or 0)

    def _fail(self, error: ProviderError) -> None:
        if self._error is None:
            self._error = error
            log.info("Google's stream has ended", extra={"reason": str(error)})
            for hearing in list(self._hearings):
                hearing.drop()
        self._tell()

    def _later(self, hearing: Hearing) -> None:
        self._timers = {t for t in self._timers if not t.cancelled() and t.when() > time.monotonic()}
        loop = asyncio.get_running_loop()
        self._timers.add(loop.call_later(NEXT_AFTER_S / self._line.speed, hearing.start))

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _until_news(self, within_s: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._news.wait()
