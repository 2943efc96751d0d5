"""Tokens that a service account signs itself, and those that Google's token service gives.

The latter for an identity from elsewhere (https://google.aip.dev/auth/4117).
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from callbot.runtime import google_access
from callbot.runtime.errors import ProviderError
from callbot.runtime.google_access import GoogleAccess
from tests.vendors.google_account import write_key, wrong_token
from tests.vendors.tts_vendor import CHATTER

SUBJECT = "subject-token-of-the-tests"


class TokenService:
    """Security Token Service, https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token."""

    def __init__(self) -> None:
        self.lives_s = 3600
        self.broken = False
        self.given = 0
        self._changed = asyncio.Condition()

    async def until_given(self, count: int) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.given >= count)

    async def token(self, request: web.Request) -> web.Response:
        asked = await request.post()
        assert asked["subject_token"] == SUBJECT
        if self.broken:
            refusal = {"error": "invalid_grant", "error_description": f"{CHATTER} {SUBJECT}"}
            return web.json_response(refusal, status=400)
        async with self._changed:
            self.given += 1
            self._changed.notify_all()
        given = {"access_token": f"token-{self.given}", "expires_in": self.lives_s}
        kind = {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer"}
        return web.json_response({**given, **kind})


@pytest_asyncio.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TokenService]:
    """`GOOGLE_APPLICATION_CREDENTIALS` points at it."""
    service = TokenService()
    app = web.Application()
    app.router.add_post("/v1/token", service.token)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    _write(tmp_path, f"http://127.0.0.1:{runner.addresses[0][1]}/v1/token")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "tests")
    yield service
    await runner.cleanup()


def _write(folder: Path, token_url: str) -> None:
    (folder / "subject").write_text(SUBJECT)
    key: dict[str, Any] = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": token_url,
        "credential_source": {"file": str(folder / "subject")},
        "quota_project_id": "who-pays",
    }
    (folder / "key.json").write_text(json.dumps(key))


async def test_a_token_is_kept(service: TokenService, tmp_path: Path) -> None:
    async with GoogleAccess(tmp_path / "key.json") as access:
        metadata = await access.metadata()
        assert metadata == (("authorization", "Bearer token-1"), ("x-goog-user-project", "who-pays"))
        assert await access.metadata() == metadata
    assert service.given == 1


async def test_what_google_auth_finds_itself_is_used_without_a_file(service: TokenService) -> None:
    async with GoogleAccess(None) as access:
        assert ("authorization", "Bearer token-1") in await access.metadata()


async def test_a_token_is_renewed_before_its_end_and_nobody_waits(
    service: TokenService, tmp_path: Path
) -> None:
    service.lives_s = 4
    async with GoogleAccess(tmp_path / "key.json") as access:
        await access.metadata()
        await service.until_given(2)
        # The old one is still good while the new one is on its way.
        assert dict(await access.metadata())["authorization"] in ("Bearer token-1", "Bearer token-2")


async def test_a_refusal_is_told_without_what_it_says(
    service: TokenService, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service.broken = True
    with caplog.at_level(logging.DEBUG):
        async with GoogleAccess(tmp_path / "key.json") as access:
            with pytest.raises(ProviderError) as raised:
                await access.metadata()
    assert str(raised.value) == "refused: no access token: OAuthError"
    assert not raised.value.retryable
    written = "".join(repr(record.__dict__) for record in caplog.records)
    for told in (written, repr(raised.value.__context__), repr(raised.value.__cause__)):
        assert CHATTER not in told
        assert SUBJECT not in told


async def test_an_unreachable_token_service_may_come_back(service: TokenService, tmp_path: Path) -> None:
    _write(tmp_path, "http://127.0.0.1:9/v1/token")
    async with GoogleAccess(tmp_path / "key.json") as access:
        with pytest.raises(ProviderError) as raised:
            await access.metadata()
    assert (raised.value.code, raised.value.retryable) == ("unavailable", True)


async def test_a_token_is_signed_before_it_is_needed_and_names_the_project(tmp_path: Path) -> None:
    async with GoogleAccess(write_key(tmp_path)) as access:
        await access.metadata()
        assert wrong_token(dict(access.latest())["authorization"]) == ""
        assert access.project == "tests"


async def test_a_token_is_renewed_ahead_of_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google_access, "RETRY_AFTER_S", 0.01)
    monkeypatch.setattr(google_access, "AHEAD_S", 7200.0)
    signed = asyncio.Semaphore(0)
    token = google_access._Account.token
    loop = asyncio.get_running_loop()

    def counted(account: google_access._Account) -> tuple[google_access.Metadata, float]:
        loop.call_soon_threadsafe(signed.release)
        metadata, _ = token(account)
        return metadata, 0.1

    monkeypatch.setattr(google_access._Account, "token", counted)
    async with asyncio.timeout(10), GoogleAccess(write_key(tmp_path)) as access:
        for _ in range(3):
            await signed.acquire()
        await access.metadata()


async def test_a_file_that_is_no_key_is_told_without_its_text(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text('{"type": "service_account", "private_key": "do-not-repeat-me"}')
    async with GoogleAccess(file) as access:
        with pytest.raises(ProviderError) as caught:
            await access.metadata()
    assert (caught.value.code, caught.value.retryable) == ("refused", False)
    assert "do-not-repeat-me" not in str(caught.value)
