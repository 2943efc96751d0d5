"""The platform's record of a call (`GET /v1/calls/{id}`), read while the call goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp

WRITTEN_WITHIN_S = 1.5
"""A turn is in the record a moment after it was heard."""
ANSWERS_WITHIN_S = 1.0
LOOK_EVERY_S = 0.1


class CallRecord:
    """A platform that gives no record is no error: there is just nothing to read."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self._read = 0
        self.unauthorized = False
        """The platform wanted a credential, or another one."""

    @classmethod
    @asynccontextmanager
    async def of(cls, platform_url: str, call_sid: str, token: str | None = None) -> AsyncIterator[Self]:
        timeout = aiohttp.ClientTimeout(total=ANSWERS_WITHIN_S)
        # An API key is good for a bearer token too.
        headers = {"Authorization": f"Bearer {token}"} if token else None
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as http:
            yield cls(http, f"{platform_url.rstrip('/')}/v1/calls/{call_sid}")

    async def turns(self) -> list[dict[str, Any]] | None:
        """None: there is no record, or none that we may read."""
        try:
            async with self._http.get(self._url) as answer:
                self.unauthorized = answer.status == 401
                record = await answer.json() if answer.status == 200 else {}
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
        return record.get("turns")

    async def newest_words(self) -> str:
        """What the caller heard in the turns that were not read before."""
        try:
            async with asyncio.timeout(WRITTEN_WITHIN_S):
                while (turns := await self.turns()) is not None:
                    if len(turns) > self._read:
                        new, self._read = turns[self._read :], len(turns)
                        return " ".join(turn["heard"] for turn in new)
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            return ""
        return ""
