"""Google Cloud Text-to-Speech: Chirp 3 HD as it is made, other voices sentence by sentence.

https://cloud.google.com/text-to-speech/docs. Its packages are imported only when there are credentials.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import Field

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.settings import ProviderOptions
from callbot.runtime.vendor_answers import within
from callbot.schemas.voices import VoiceInfo
from callbot.tts_worker.providers.google_voices import GoogleVoice, GoogleVoices, chosen, is_full
from callbot.tts_worker.providers.listing import Listing
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice, voice_info
from callbot.tts_worker.urgency import WAITED_FOR, Urgency

NAME: Final = "google"
LISTED_WITHIN_S: Final = 10.0
WARM_WITHIN_S: Final = 3.0
SEVERAL_LANGUAGES: Final = "und"
"""Short names of voices stand for one in each."""
log = logging.getLogger(__name__)


class GoogleOptions(ProviderOptions):
    key_file: str = Field("", validation_alias="GOOGLE_APPLICATION_CREDENTIALS")
    """A service account's key, or any other file that google-auth takes."""
    google_default_credentials: bool = False
    """Without a file: what google-auth finds otherwise, as a machine's own account."""
    google_tts_endpoint: str = Field("texttospeech.googleapis.com:443", pattern=r"^[^/\s]+:[0-9]{1,5}$")
    """host:port; other regions have their own."""
    google_tts_voice: str = Field("Aoede", min_length=1)
    """For bots without a voice of Google's, in each language that has it: a short or a full name."""
    google_tts_streaming: bool = True
    """False: every voice makes whole sentences before the first byte."""


class GoogleSynthesizer:
    """Use as an async context manager."""

    ready = True

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError."""
        options = _options()
        try:
            from callbot.runtime.google_access import GoogleAccess
            from callbot.tts_worker.providers.google_speech import GoogleSpeech
        except ImportError as e:
            raise SettingsError(f"a package is missing (callbot-tts-worker[google]): {e.name}") from e
        self._within_s = settings.tts_first_audio_s
        self._usual = options.google_tts_voice
        self._streaming = options.google_tts_streaming
        self._access = GoogleAccess(Path(options.key_file) if options.key_file else None)
        self._speech = GoogleSpeech(options.google_tts_endpoint, self._access)
        self._listing = Listing(NAME, self._list)
        self._told: Sequence[VoiceInfo] = ()
        self._open = AsyncExitStack()

    @property
    def voices(self) -> Sequence[VoiceInfo]:
        return self._told

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            await opening.enter_async_context(self._access)
            await opening.enter_async_context(self._speech)
            await opening.enter_async_context(self._listing)
            self._open = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def model_of(self, voice: Voice) -> str:
        """The kind of the voice: `Chirp3-HD`, `Neural2`."""
        known = self._listing.latest
        if known is None and voice.name and not is_full(voice.name):
            return ""
        try:
            return chosen(voice.name, voice.language, usual=self._usual, known=known).kind
        except ProviderError:
            return ""

    async def warm(self, voice: Voice) -> None:
        try:
            async with within(WARM_WITHIN_S):
                await self._listing.known()
                await self._speech.connected()
        except ProviderError as e:
            log.debug("Google is not warm", extra={"reason": str(e)})

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        """Like Synthesizer.speak. Raises ProviderError."""
        heard = False
        async with aclosing(self._pieces(text, voice)) as pieces:
            while True:
                async with within(self._within_s):
                    piece = await anext(pieces, None)
                if piece is None:
                    break
                heard = True
                yield piece
        if not heard:
            raise ProviderError("no_audio", "the answer has none", retryable=True)

    async def _pieces(self, text: str, voice: Voice) -> AsyncGenerator[bytes, None]:
        found = await self._found(voice)
        try:
            if self._streaming and found.streams:
                async with aclosing(self._speech.streamed(text, found)) as pieces:
                    async for piece in pieces:
                        yield piece
            elif audio := await self._speech.whole(text, found):
                yield audio
        except ProviderError as e:
            failure = self._blamed(e, found)
        else:
            return
        raise failure

    async def _found(self, voice: Voice) -> GoogleVoice:
        """Waits for the list of voices only where a name cannot be understood without it."""
        needs_list = voice.name and not is_full(voice.name)
        known = await self._listing.known() if needs_list else self._listing.latest
        return chosen(voice.name, voice.language, usual=self._usual, known=known)

    def _blamed(self, error: ProviderError, voice: GoogleVoice) -> ProviderError:
        """A request with a voice that is not listed is refused for its voice."""
        known = self._listing.latest
        if error.code == "bad_request" and known is not None and known.named(voice.name) is None:
            return ProviderError("unknown_voice", error.message, retryable=False)
        return error

    async def _list(self) -> GoogleVoices:
        async with within(LISTED_WITHIN_S):
            known = GoogleVoices(await self._speech.voices())
        shorts = sorted({voice.short_name for voice in known if voice.short_name})
        self._told = [
            *(voice_info(NAME, voice.name, voice.locale) for voice in known),
            *(voice_info(NAME, short, SEVERAL_LANGUAGES) for short in shorts),
        ]
        return known


def _options() -> GoogleOptions:
    """Raises SettingsError."""
    options = GoogleOptions.of_environment()
    if not options.key_file and not options.google_default_credentials:
        raise SettingsError("GOOGLE_APPLICATION_CREDENTIALS is not set")
    if options.key_file and not Path(options.key_file).is_file():
        raise SettingsError("GOOGLE_APPLICATION_CREDENTIALS names no file")
    return options
