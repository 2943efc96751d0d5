"""AWS Polly, one request for each text (https://docs.aws.amazon.com/polly/latest/dg/API_SynthesizeSpeech.html).

Its newer bidirectional stream needs HTTP/2 event streams, which AWS has for no Python package of ours.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.settings import ProviderOptions, is_loopback
from callbot.runtime.vendor_answers import within
from callbot.schemas.audio import SAMPLE_RATE_HZ
from callbot.schemas.voices import VoiceInfo
from callbot.tts_worker.providers.aws_signature import Credentials
from callbot.tts_worker.providers.listing import Listing
from callbot.tts_worker.providers.polly_requests import PollyRequests
from callbot.tts_worker.providers.polly_voices import Engine, PollyVoice, PollyVoices, chosen
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice, voice_info
from callbot.tts_worker.urgency import WAITED_FOR, Urgency

NAME: Final = "polly"
LISTED_WITHIN_S: Final = 10.0


class PollyOptions(ProviderOptions):
    access_key_id: str = Field("", validation_alias="AWS_ACCESS_KEY_ID")
    secret_access_key: SecretStr = Field(SecretStr(""), validation_alias="AWS_SECRET_ACCESS_KEY")
    session_token: SecretStr = Field(SecretStr(""), validation_alias="AWS_SESSION_TOKEN")
    region: str = Field(
        "", validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"), pattern=r"^[a-z0-9-]*$"
    )
    base_url: str = Field("", validation_alias="AWS_ENDPOINT_URL_POLLY")
    """AWS's own name for it; empty: the region's."""
    polly_engine: Engine = "neural"
    """A voice that has it not speaks with the quickest that it has."""
    polly_voice: str = ""
    """For bots without a voice of Polly's, in all languages; empty: one for each language."""


class PollySynthesizer:
    """Use as an async context manager."""

    ready = True

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError."""
        options = _options()
        self._within_s = settings.tts_first_audio_s
        self._engine = options.polly_engine
        self._usual = options.polly_voice
        credentials = Credentials(
            options.access_key_id,
            options.secret_access_key.get_secret_value(),
            options.session_token.get_secret_value(),
        )
        self._requests = PollyRequests(_base_url(options), options.region, credentials)
        self._listing = Listing(NAME, self._list)
        self._told: Sequence[VoiceInfo] = ()
        self._open = AsyncExitStack()

    @property
    def voices(self) -> Sequence[VoiceInfo]:
        return self._told

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            await opening.enter_async_context(self._requests)
            await opening.enter_async_context(self._listing)
            self._open = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def model_of(self, voice: Voice) -> str:
        """The engine: each has its price."""
        try:
            return self._chosen(voice).engine(self._engine)
        except ProviderError:
            return ""

    async def warm(self, voice: Voice) -> None:
        await self._requests.warm()

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        """Like Synthesizer.speak. Raises ProviderError."""
        heard = False
        async with aclosing(self._requests.speech(self._body(text, voice))) as pieces:
            while True:
                async with within(self._within_s):
                    piece = await anext(pieces, None)
                if piece is None:
                    break
                heard = True
                yield piece
        if not heard:
            raise ProviderError("no_audio", "the answer has none", retryable=True)

    def _body(self, text: str, voice: Voice) -> dict[str, str]:
        found = self._chosen(voice)
        body = {
            "Engine": found.engine(self._engine),
            "OutputFormat": "mulaw",
            "SampleRate": str(SAMPLE_RATE_HZ),
            "Text": text,
            "TextType": "text",
            "VoiceId": found.id,
        }
        if language := found.told_language(voice.language):
            body["LanguageCode"] = language
        return body

    def _chosen(self, voice: Voice) -> PollyVoice:
        """Does not wait for the list of voices: without it the vendor knows best. Raises ProviderError."""
        return chosen(
            voice.name,
            voice.language,
            usual=self._usual,
            engine=self._engine,
            known=self._listing.latest,
        )

    async def _list(self) -> PollyVoices:
        async with within(LISTED_WITHIN_S):
            known = PollyVoices(await self._requests.voices())
        self._told = [voice_info(NAME, voice.id, voice.language) for voice in known]
        return known


def _options() -> PollyOptions:
    """Raises SettingsError."""
    options = PollyOptions.of_environment()
    missing = {
        "AWS_ACCESS_KEY_ID": options.access_key_id,
        "AWS_SECRET_ACCESS_KEY": options.secret_access_key.get_secret_value(),
        "AWS_REGION": options.region,
    }
    for name, value in missing.items():
        if not value:
            raise SettingsError(f"{name} is not set")
    return options


def _base_url(options: PollyOptions) -> str:
    """Raises SettingsError."""
    url = options.base_url.rstrip("/") or f"https://polly.{options.region}.amazonaws.com"
    parts = urlsplit(url)
    if not parts.hostname or (parts.scheme != "https" and not is_loopback(parts.hostname)):
        raise SettingsError("AWS_ENDPOINT_URL_POLLY: must be an https URL")
    return url
