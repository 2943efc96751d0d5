"""Google's access tokens, renewed ahead of their end and never while a call waits for one.

A service account's key signs its tokens itself, without a request (https://google.aip.dev/auth/4111). Others
(a login of gcloud, workload identity, a machine's own account) ask Google's token service, in a thread.
Imported by Google's providers alone, when they are opened: its package is an extra.
"""

import asyncio
import functools
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import google.auth
import google.auth.exceptions
import google.auth.transport.requests
from google.oauth2 import service_account

from callbot.runtime.errors import ProviderError

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
TOKEN_WITHIN_S: Final = 10.0
AHEAD_S: Final = 600.0
"""A token lives for an hour; a stream that is opened with it is not ended with it."""
RETRY_AFTER_S: Final = 1.0
MAX_RETRY_AFTER_S: Final = 60.0
Metadata = tuple[tuple[str, str], ...]
log = logging.getLogger(__name__)
# At `debug` it writes down its requests and answers, with what they hold.
logging.getLogger("google").setLevel(logging.INFO)


class GoogleAccess:
    """Use as an async context manager: it renews while the block runs."""

    def __init__(self, key_file: Path | None) -> None:
        """None: whatever google-auth finds on this machine."""
        self._account = _Account(key_file)
        self._metadata: Metadata = ()
        self._valid_until_s = 0.0
        self._failure: ProviderError | None = None
        self._told = asyncio.Event()
        self._wanted = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._renewing = asyncio.create_task(self._renew_for_ever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)

    async def metadata(self) -> Metadata:
        """What proves who asks. Waits only while the first token is on its way. Raises ProviderError."""
        await self._told.wait()
        return self.latest()

    def latest(self) -> Metadata:
        """As `metadata`, without waiting. Raises ProviderError."""
        if asyncio.get_running_loop().time() < self._valid_until_s:
            return self._metadata
        e = self._failure or ProviderError("unavailable", "no access token yet", retryable=True)
        raise ProviderError(e.code, e.message, retryable=e.retryable)

    def was_refused(self) -> None:
        """A token was not taken: the key may be a new one by now."""
        self._wanted.set()

    @property
    def project(self) -> str:
        """The credentials' own; empty while there is no token, or where they name none."""
        return self._account.project

    async def _renew_for_ever(self) -> None:
        retry_s = RETRY_AFTER_S
        while True:
            self._failure = await self._renew()
            self._told.set()
            if self._failure is None:
                retry_s = RETRY_AFTER_S
                lives_s = self._valid_until_s - asyncio.get_running_loop().time()
                pause_s = max(lives_s - AHEAD_S, lives_s / 2, RETRY_AFTER_S)
            else:
                log.warning("no access to Google", extra={"reason": str(self._failure)})
                pause_s, retry_s = retry_s, min(2 * retry_s, MAX_RETRY_AFTER_S)
            await self._pause(pause_s)

    async def _pause(self, seconds: float) -> None:
        """A refusal shortens it, within bounds."""
        least_s = min(seconds, RETRY_AFTER_S)
        await asyncio.sleep(least_s)
        try:
            async with asyncio.timeout(seconds - least_s):
                await self._wanted.wait()
        except TimeoutError:
            return
        finally:
            self._wanted.clear()

    async def _renew(self) -> ProviderError | None:
        try:
            async with asyncio.timeout(TOKEN_WITHIN_S):
                metadata, lives_s = await asyncio.to_thread(self._account.token)
        except (google.auth.exceptions.GoogleAuthError, TimeoutError, OSError, ValueError) as e:
            return _failure(e)
        self._metadata, self._valid_until_s = metadata, asyncio.get_running_loop().time() + lives_s
        return None


def _failure(error: Exception) -> ProviderError:
    """Nothing of what the error says: it may repeat what it was shown."""
    told = f"no access token: {type(error).__name__}"
    passing = isinstance(error, google.auth.exceptions.TransportError | OSError)
    if passing or getattr(error, "retryable", False):
        return ProviderError("unavailable", told, retryable=True)
    return ProviderError("refused", told, retryable=False)


class _Account:
    """Whose tokens they are. Used in one thread at a time, as all of it blocks."""

    def __init__(self, key_file: Path | None) -> None:
        self.project = ""
        self._key_file = key_file
        self._read = b""
        self._credentials: Any = None

    def token(self) -> tuple[Metadata, float]:
        """A new one, and for how many seconds it lives. The file is read again: keys are replaced."""
        read = self._key_file.read_bytes() if self._key_file else b"{}"
        if self._credentials is None or read != self._read:
            # To check a key takes 30 ms in which no other thread of Python runs: not at each renewal.
            self._credentials, self.project = _credentials(json.loads(read))
            self._read = read
        request = google.auth.transport.requests.Request()
        self._credentials.refresh(functools.partial(request, timeout=TOKEN_WITHIN_S))
        headers = [("authorization", f"Bearer {self._credentials.token}")]
        if project := getattr(self._credentials, "quota_project_id", None):
            headers.append(("x-goog-user-project", project))
        # google-auth's times are UTC without saying so.
        expiry = self._credentials.expiry
        lives_s = (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds() if expiry else AHEAD_S
        return tuple(headers), lives_s


def _credentials(info: Any) -> tuple[Any, str]:
    if isinstance(info, dict) and info.get("type") == "service_account":
        made = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            info, scopes=SCOPES
        )
        return made.with_always_use_jwt_access(True), str(info.get("project_id", ""))
    # It reads the same variable itself, and knows every other kind of file.
    found, project = google.auth.default(scopes=SCOPES)
    return found, project or ""
