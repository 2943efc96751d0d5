"""Google's access tokens, renewed ahead of their end and never while somebody waits for a voice.

A service account's key signs its tokens itself, without a request (https://google.aip.dev/auth/4111). Others
(a login of gcloud, workload identity, a machine's own account) ask Google's token service, in a thread.
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
AHEAD_S: Final = 300.0
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
        self._changed = asyncio.Condition()
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
        """What proves who asks. Waits only as long as the first token is on its way. Raises ProviderError."""
        if not self._is_valid():
            async with self._changed:
                await self._changed.wait_for(lambda: self._is_valid() or self._failure is not None)
        if self._is_valid():
            return self._metadata
        assert self._failure is not None
        raise self._failure

    def was_refused(self) -> None:
        """A token was not taken: the key may be a new one by now."""
        self._wanted.set()

    def _is_valid(self) -> bool:
        return asyncio.get_running_loop().time() < self._valid_until_s

    async def _renew_for_ever(self) -> None:
        retry_s = RETRY_AFTER_S
        while True:
            failure = await self._renew()
            if failure is None:
                retry_s = RETRY_AFTER_S
                pause_s = max(self._valid_until_s - asyncio.get_running_loop().time() - AHEAD_S, retry_s)
            else:
                log.warning("no access to Google", extra={"reason": str(failure)})
                pause_s, retry_s = retry_s, min(2 * retry_s, MAX_RETRY_AFTER_S)
            async with self._changed:
                self._failure = failure
                self._changed.notify_all()
            # A refusal hastens the next one, within bounds.
            await asyncio.sleep(min(pause_s, RETRY_AFTER_S))
            try:
                async with asyncio.timeout(pause_s - min(pause_s, RETRY_AFTER_S)):
                    await self._wanted.wait()
            except TimeoutError:
                continue
            finally:
                self._wanted.clear()

    async def _renew(self) -> ProviderError | None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TOKEN_WITHIN_S):
                metadata, lives_s = await asyncio.to_thread(self._account.token)
        except (google.auth.exceptions.GoogleAuthError, TimeoutError, OSError, ValueError) as e:
            return _failure(e)
        self._metadata, self._valid_until_s = metadata, loop.time() + lives_s
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
        self._key_file = key_file
        self._read = b""
        self._credentials: Any = None

    def token(self) -> tuple[Metadata, float]:
        """A new one, and for how many seconds it lives. The file is read again: keys are replaced."""
        read = self._key_file.read_bytes() if self._key_file else b"{}"
        if self._credentials is None or read != self._read:
            # To check a key takes 30 ms in which no other thread of Python runs: not at each renewal.
            self._read, self._credentials = read, _credentials(json.loads(read))
        request = google.auth.transport.requests.Request()
        self._credentials.refresh(functools.partial(request, timeout=TOKEN_WITHIN_S))
        headers = [("authorization", f"Bearer {self._credentials.token}")]
        if project := getattr(self._credentials, "quota_project_id", None):
            headers.append(("x-goog-user-project", project))
        # google-auth's times are UTC without saying so.
        expiry = self._credentials.expiry
        lives_s = (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds() if expiry else AHEAD_S
        return tuple(headers), lives_s


def _credentials(info: Any) -> Any:
    if isinstance(info, dict) and info.get("type") == "service_account":
        made = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            info, scopes=SCOPES
        )
        return made.with_always_use_jwt_access(True)
    # It reads the same variable itself, and knows every other kind of file.
    found, _ = google.auth.default(scopes=SCOPES)
    return found
