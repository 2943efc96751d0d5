"""Google Cloud Speech: v2, or v1 where it is chosen. https://cloud.google.com/speech-to-text/docs

Its packages are imported only when there are credentials.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from callbot.runtime.errors import SettingsError
from callbot.runtime.settings import ProviderOptions, is_loopback
from callbot.stt_worker.settings import Settings

if TYPE_CHECKING:
    from callbot.stt_worker.providers.google_channels import Channels
    from callbot.stt_worker.providers.google_stream import GoogleStream

USUAL_MODEL: Final = "telephony"
_LOCATION: Final = re.compile(r"[a-z][a-z0-9-]*")


class GoogleOptions(ProviderOptions):
    key_file: str = Field("", validation_alias="GOOGLE_APPLICATION_CREDENTIALS")
    """A service account's key, or any other file that google-auth takes."""
    google_default_credentials: bool = False
    """Without a file: what google-auth finds otherwise, as a machine's own account."""
    google_project: str = ""
    """Empty: the one of the credentials."""
    google_stt_api: Literal["v2", "v1"] = "v2"
    google_stt_location: str = Field("global", pattern=_LOCATION.pattern)
    """Where it is recognised (`eu`, `us-central1`); chirp models are not in `global`."""
    google_stt_model: str = Field(USUAL_MODEL, pattern=r"^[a-z0-9_]{1,64}$")
    """`telephony` takes no hints; `long`, `chirp_2` and `chirp_3` do (v1: `phone_call`, `latest_long`)."""
    google_stt_url: str = ""
    """Empty: Google's own host of the location. `http:` only on this machine."""
    google_stt_stability: float = Field(0.85, gt=0)
    """An interim result so stable (Google says 0.9 for what it has as good as settled) is taken for an answer
    where it covers all that was said. More than 1: never."""
    google_stt_speed: float = Field(1.0, ge=1)
    """How much faster than ours time runs at that URL. Only servers of tests know more than 1."""

    @field_validator("google_stt_url")
    @classmethod
    def _secure(cls, url: str) -> str:
        if not url:
            return url
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.path.strip("/"):
            raise ValueError("must be https://host or https://host:port")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("must be https: a token is sent there")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _streams(self) -> Self:
        if self.google_stt_model == "chirp":
            raise ValueError("CALLBOT_GOOGLE_STT_MODEL: chirp does not stream, chirp_2 and chirp_3 do")
        return self

    @property
    def url(self) -> str:
        if self.google_stt_url:
            return self.google_stt_url
        location = self.google_stt_location
        return f"https://{'' if location == 'global' else f'{location}-'}speech.googleapis.com"


class GoogleRecognizer:
    def __init__(self, channels: "Channels", options: GoogleOptions) -> None:
        self._channels = channels
        self._stability = options.google_stt_stability
        self._model = options.google_stt_model

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Raises SettingsError. The vendor need not be there yet."""
        options = _options()
        try:
            from callbot.runtime.google_access import GoogleAccess
            from callbot.stt_worker.providers.google_channels import Channels
        except ImportError as e:
            raise SettingsError(f"a package is missing (callbot-stt-worker[google]): {e.name}") from e
        access = GoogleAccess(Path(options.key_file) if options.key_file else None)
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(access)
            channels = Channels(options, access, settings.room)
            await opened.enter_async_context(channels.kept_open())
            yield cls(channels, options)

    @property
    def working(self) -> bool:
        """An outage of Google's is no fault of this worker."""
        return True

    def model_of(self, language: str) -> str:
        return self._model

    @asynccontextmanager
    async def stream(self, language: str, hints: Sequence[str]) -> AsyncIterator["GoogleStream"]:
        """Raises ProviderError."""
        from callbot.stt_worker.providers.google_stream import GoogleStream

        async with self._channels.line(language, tuple(hints)) as line:
            stream = GoogleStream(line, language, tuple(hints), self._stability)
            try:
                stream.open()
                yield stream
            finally:
                await stream.close()


def _options() -> GoogleOptions:
    """Raises SettingsError."""
    options = GoogleOptions.of_environment()
    if not options.key_file and not options.google_default_credentials:
        raise SettingsError("GOOGLE_APPLICATION_CREDENTIALS is not set")
    if options.key_file and not Path(options.key_file).is_file():
        raise SettingsError("GOOGLE_APPLICATION_CREDENTIALS names no file")
    return options
