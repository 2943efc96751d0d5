"""The person on the phone: says, hears, presses, hangs up.

All times are milliseconds since the call was answered.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from callbot.studio.emulator.call import Call, CallEnd
from callbot.studio.emulator.clock import Lateness
from callbot.studio.emulator.complaints import Complaints
from callbot.studio.emulator.cut import Cut
from callbot.studio.emulator.ear import Segment
from callbot.studio.emulator.voices import Voice, wav_speech

SILENCE_MS = 700
"""The bot has finished when it has been silent for as long."""
LONGEST_SPEECH_S = 120.0


class NotHeard(Exception):
    """What the caller waited for did not come."""


class CallOver(Exception):
    """The call ended while the caller wanted to do something."""


@dataclass(frozen=True, slots=True)
class Said:
    """Something the caller said."""

    started_ms: float
    last_word_ms: float
    """When the last audible frame was sent."""
    sent_ms: float
    """When the last frame was sent."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Something the bot said."""

    started_ms: int
    """First audible frame at the ear."""
    ended_ms: int
    audio: bytes
    """Mu-law between the two; empty for `<Say>`."""
    texts: tuple[str, ...]
    """With scripted voices, and of `<Say>`."""
    voice_to_voice_ms: float | None
    """From the caller's last word to the first sound; None when the caller had not spoken."""
    received_after_ms: float | None = None
    """The same to when that first sound had come, before it waited for the next 20 ms of the line."""


class Caller:
    """A live call from the caller's side; made by `Emulator.dial`."""

    def __init__(self, call: Call, running: asyncio.Task[CallEnd], voice: Voice) -> None:
        self.call = call
        self._running = running
        self._voice = voice
        self._ear = call.line.ear
        self._listened_to_ms = 0
        self._texts_read = 0
        self._last_word_ms: float | None = None
        self._cuts_before = 0

    @property
    def sid(self) -> str:
        return self.call.plan.call_sid

    @property
    def answered(self) -> bool:
        """Whether a stream has begun."""
        return self.call.streams > 0

    @property
    def complaints(self) -> Complaints:
        """What Twilio's debugger would show."""
        return self.call.complaints

    @property
    def lateness(self) -> Lateness:
        """How late the emulator itself sent its frames: above 20 ms its measurements are doubtful."""
        return self.call.line.lateness

    @property
    def texts_heard(self) -> list[str]:
        return [heard.text for heard in self._ear.texts]

    @property
    def now_ms(self) -> float:
        return self.call.line.clock.now_ms()

    async def says(self, what: str | bytes | Path) -> Said:
        """Speaks a text, mu-law bytes or a WAV file; returns once the last frame has been sent.

        Raises VoiceError; CallOver when the call ends before.
        """
        said = await self.makes(await self._speech(what))
        self._last_word_ms = said.last_word_ms
        return said

    async def makes(self, sound: bytes) -> Said:
        """A cough or another sound that asks for no reply, as mu-law. Raises CallOver."""
        self._check_live()
        self._cuts_before = len(self.call.cuts)
        speech = self.call.line.say(sound)
        await asyncio.wait([speech.sent])
        if speech.sent.cancelled():
            raise CallOver(self._why_over())
        sent_ms = speech.sent.result()
        last_word_ms = sent_ms if speech.last_word_ms is None else speech.last_word_ms
        started_ms = last_word_ms if speech.started_ms is None else speech.started_ms
        return Said(started_ms, last_word_ms, sent_ms)

    async def presses(self, keys: str) -> None:
        """Keys of the phone, one every 100 ms; `w` waits half a second. ValueError for other characters."""
        self._check_live()
        line = self.call.line
        line.press(keys)
        pressed = await self._ear.until(lambda: None if line.is_pressing else True, within_s=len(keys) + 5.0)
        if pressed is None:
            raise CallOver(self._why_over())
        self._last_word_ms = self.now_ms

    async def hears(self, text: str | None = None, *, within_s: float = 10.0) -> Heard:
        """Waits for the bot. With scripted voices, until it has spoken a text that contains `text`.

        Without `text`, or with real voices, until it has spoken and fallen silent. Raises NotHeard.
        """
        if text is not None and (self._voice.carries_text or not self.answered):
            return await self._hears_text(text, within_s)
        return await self._hears_speech(self._listened_to_ms, 0.0, within_s, SILENCE_MS)

    async def reply(self, *, within_s: float = 10.0, silence_ms: int = SILENCE_MS) -> Heard:
        """What the bot says after the caller's last word or key: until it is silent for `silence_ms`.

        Speech that had begun before, or that the platform had sent before, is no reply. `within_s` is the
        time to the first sound. Raises NotHeard.
        """
        after_ms = self._last_word_ms or 0.0
        return await self._hears_speech(after_ms, after_ms, within_s, silence_ms)

    async def was_cleared(self, *, within_s: float = 2.0) -> bool:
        """Whether the platform has cut the bot short since the caller last began to speak."""
        return (
            await self._ear.until(lambda: self.call.cuts[self._cuts_before :] or None, within_s) is not None
        )

    async def listens(self, ms: int, *, within_s: float = 10.0) -> None:
        """Until the bot has been speaking for so long, from now on. Raises NotHeard."""
        since_ms = self._ear.now_ms

        def heard() -> bool | None:
            last = self._ear.segments[-1] if self._ear.segments else None
            return True if last and last.ended_ms - max(since_ms, last.started_ms) >= ms else None

        if await self._ear.until(heard, within_s) is None:
            raise NotHeard(f"the bot did not speak for {ms} ms{self._why(within_s)}")

    async def cut_by(self, said: Said, *, within_s: float = 1.0) -> Cut | None:
        """The `clear` that came first after the caller began to say this; None when there was none."""

        def cut() -> Cut | None:
            return next((cut for cut in self.call.cuts if cut.at_ms >= said.started_ms), None)

        return await self._ear.until(cut, within_s)

    async def hears_on_after(self, cut: Cut, *, within_s: float = 3.0) -> int:
        """When the bot was audible again after it was cut short. Raises NotHeard."""

        def again() -> int | None:
            return next((s.started_ms for s in self._ear.segments if s.started_ms > cut.at_ms), None)

        found = await self._ear.until(again, within_s)
        if found is None:
            raise NotHeard(f"the bot did not go on{self._why(within_s)}")
        return found

    def hangs_up(self) -> None:
        """Puts the phone down; `ended` tells when the call is over."""
        self.call.hang_up()

    async def ended(self, within_s: float = 10.0) -> CallEnd:
        """Waits until the call is over. Raises NotHeard."""
        await asyncio.wait([self._running], timeout=within_s)
        if not self._running.done():
            raise NotHeard(f"the call did not end within {within_s:g} s")
        return self._running.result()

    async def _speech(self, what: str | bytes | Path) -> bytes:
        if isinstance(what, str):
            return await self._voice.speech(what)
        return await wav_speech(what) if isinstance(what, Path) else what

    async def _hears_text(self, text: str, within_s: float) -> Heard:
        def position() -> int | None:
            texts = self._ear.texts
            return next((at for at in range(self._texts_read, len(texts)) if text in texts[at].text), None)

        at = await self._ear.until(position, within_s)
        if at is None:
            heard = self.texts_heard[self._texts_read :]
            raise NotHeard(f"{text!r} was not heard{self._why(within_s)}; heard instead: {heard}")
        self._texts_read = at + 1
        found = self._ear.texts[at]
        began = [segment for segment in self._ear.segments if segment.started_ms <= found.at_ms]
        started_ms = began[-1].started_ms if began else found.at_ms
        self._listened_to_ms = self._ear.now_ms
        audio = self._ear.audio(started_ms, self._ear.now_ms)
        return Heard(started_ms, self._ear.now_ms, audio, (found.text,), self._since_last_word(started_ms))

    async def _hears_speech(
        self, after_ms: float, sent_after_ms: float, within_s: float, silence_ms: int
    ) -> Heard:
        def begun() -> list[Segment] | None:
            segments = self._ear.segments
            return [
                segment
                for segment in segments
                if segment.started_ms >= after_ms and segment.arrived_ms >= sent_after_ms
            ] or None

        def finished() -> list[Segment] | None:
            return begun() if self._ear.silent_ms >= silence_ms or self._ear.is_over else None

        if await self._ear.until(begun, within_s) is None:
            raise NotHeard(f"the bot was not heard{self._why(within_s)}")
        segments = await self._ear.until(finished, LONGEST_SPEECH_S)
        if segments is None:
            raise NotHeard(f"the bot did not stop speaking within {LONGEST_SPEECH_S:g} s")
        started_ms, ended_ms = segments[0].started_ms, segments[-1].ended_ms
        self._listened_to_ms = ended_ms
        texts = [text for text in self._ear.texts if started_ms <= text.at_ms <= self._ear.now_ms]
        self._texts_read = max(self._texts_read, len(self._ear.texts))
        return Heard(
            started_ms,
            ended_ms,
            self._ear.audio(started_ms, ended_ms),
            tuple(text.text for text in texts),
            self._since_last_word(started_ms),
            self._since_last_word(segments[0].arrived_ms),
        )

    def _since_last_word(self, started_ms: float) -> float | None:
        return None if self._last_word_ms is None else started_ms - self._last_word_ms

    def _check_live(self) -> None:
        if self._ear.is_over or self._running.done():
            raise CallOver(self._why_over())

    def _why(self, within_s: float) -> str:
        return f" before the end ({self._why_over()})" if self._ear.is_over else f" within {within_s:g} s"

    def _why_over(self) -> str:
        end = self.call.end
        return f"the call is over: {end.reason}" if end else "the call is over"
