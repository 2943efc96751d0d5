"""One call's voice: who speaks for it now, who could not, and how much each has spoken."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from callbot.runtime.chain import Attempt
from callbot.schemas.usage import Used, summed
from callbot.tts_worker.chain_synthesizer import VOICE_LOST, ChainSynthesizer
from callbot.tts_worker.synthesizer import Voice
from callbot.tts_worker.urgency import Urgency

LEFT_ALONE = "left_alone"
"""The reason for a provider that was not even tried: it has failed too often just now."""
FellBack = Callable[[str, str, str], None]
"""A provider, why it did not speak, and who spoke instead (empty: nobody)."""


class CallVoice:
    """Within an answer it does not go back: a caller who hears two voices in it hears them change once."""

    def __init__(self, chain: ChainSynthesizer, voice: Voice, fell_back: FellBack) -> None:
        self._chain = chain
        self._voice = voice
        self._fell_back = fell_back
        self._left_alone: set[str] = set()
        self._without_the_voice: set[str] = set()
        self._instead = ""
        self._used: list[Used] = []

    def used(self) -> list[Used]:
        """Of each provider, with all that was spoken for nothing."""
        return self._used

    async def warm(self) -> None:
        await self._chain.warm(self._voice)

    def next_answer(self) -> None:
        """Its own voice may speak again."""
        self._instead = ""

    async def speak(self, text: str, urgency: Urgency) -> AsyncGenerator[bytes, None]:
        """As ChainSynthesizer.speak."""
        failed: dict[str, str] = {}

        def tell(attempt: Attempt) -> None:
            name = attempt.provider
            if attempt.outcome == "answered":
                self._left_alone.discard(name)
                if failed.keys() - {name}:
                    self._instead = name
                for other, reason in failed.items():
                    self._fell_back(other, reason, name)
                failed.clear()
            elif attempt.error_code in VOICE_LOST:
                # It stays so for the whole call.
                if name not in self._without_the_voice:
                    self._without_the_voice.add(name)
                    failed[name] = attempt.error_code
            elif attempt.outcome in ("failed", "broken_off"):
                failed[name] = attempt.error_code
            elif attempt.outcome == "skipped" and name not in self._left_alone:
                self._left_alone.add(name)
                failed[name] = LEFT_ALONE

        speech = self._chain.speak(
            text, self._voice, urgency, told=tell, tell_used=self._count, first=self._instead
        )
        try:
            async with aclosing(speech) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            for other, reason in failed.items():
                self._fell_back(other, reason, "")

    def _count(self, used: Used) -> None:
        self._used = summed([*self._used, used])
