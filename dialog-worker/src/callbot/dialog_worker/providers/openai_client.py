"""A client of one server, and a connection to it that is open before a turn needs it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Final

import httpx2
import openai

from callbot.dialog_worker.endpoints import Endpoint
from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.shutdown_dates import shut_on

log = logging.getLogger(__name__)

KEPT_S: Final = 120.0
"""An idle connection is kept this long on our side."""
WARM_EVERY_S: Final = 20.0
"""Servers and balancers close idle connections, some after 30 s."""
WARM_WITHIN_S: Final = 2.0
OPENAI: Final = "api.openai.com"


@asynccontextmanager
async def open_client(
    endpoint: Endpoint, settings: Settings
) -> AsyncIterator[tuple[openai.AsyncOpenAI, httpx2.AsyncClient]]:
    """No request is made. Not retried: a repeated request would only eat the turn's time."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=KEPT_S)
    timeout = httpx2.Timeout(settings.llm_first_token_s, connect=settings.llm_connect_s)
    # The key and what callers say are for this server alone.
    http = openai.DefaultAsyncHttpxClient(limits=limits, timeout=timeout, follow_redirects=False)
    # The SDK insists on a key; a server of one's own needs none.
    key = endpoint.api_key.get_secret_value() or "none"
    client: openai.AsyncOpenAI
    if endpoint.api_version:
        client = openai.AsyncAzureOpenAI(
            base_url=endpoint.base_url,
            api_key=key,
            api_version=endpoint.api_version,
            max_retries=0,
            timeout=timeout,
            http_client=http,
        )
    else:
        client = openai.AsyncOpenAI(
            base_url=endpoint.base_url, api_key=key, max_retries=0, timeout=timeout, http_client=http
        )
    if endpoint.host != OPENAI:
        # The SDK takes them from OPENAI_ORG_ID and OPENAI_PROJECT_ID: nobody else's business.
        client.organization = client.project = None
    async with client:
        yield client, http


class KeptWarm:
    """Keeps a connection ready while the block runs: TCP and TLS cost a turn two or three round trips."""

    def __init__(self, client: openai.AsyncOpenAI, http: httpx2.AsyncClient, endpoint: Endpoint) -> None:
        self._client = client
        self._http = http
        self._endpoint = endpoint
        self._lost = asyncio.Event()
        self.ready = asyncio.Event()
        """The server has answered, whatever it said, and no connection was lost since."""

    def lost(self) -> None:
        """A reply was broken off, and with it its connection: there should be another one soon."""
        self.ready.clear()
        self._lost.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        _warn_of_shutdown(self._endpoint, shut_on(self._endpoint.model) if self._is_openai else None)
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    @property
    def _is_openai(self) -> bool:
        return self._endpoint.host == OPENAI

    async def _keep(self) -> None:
        async with _warned(self._endpoint, logging.WARNING):
            await self._list_models()
        while True:
            try:
                async with asyncio.timeout(WARM_EVERY_S):
                    await self._lost.wait()
            except TimeoutError:
                log.debug("a connection to the language model is used, so that it stays open")
            self._lost.clear()
            async with _warned(self._endpoint, logging.DEBUG):
                await self._knock()

    async def _list_models(self) -> None:
        """Also tells whether the key is taken, and whether the server knows a day on which the model ends."""
        try:
            models = (await self._client.models.list()).data or []
        except openai.APIStatusError as e:
            self.ready.set()
            if e.status_code in (401, 403):
                raise
            return
        self.ready.set()
        told = next((m.shutdown_date for m in models if m.id == self._endpoint.model), None)
        if told and not (self._is_openai and shut_on(self._endpoint.model)):
            _warn_of_shutdown(self._endpoint, _day(told))

    async def _knock(self) -> None:
        """HEAD: a list of models may be long, and any answer will do."""
        url = f"{self._endpoint.base_url.rstrip('/')}/models"
        key = self._endpoint.api_key.get_secret_value() or "none"
        azure = self._endpoint.api_version
        await self._http.head(
            url,
            headers={"api-key": key} if azure else {"Authorization": f"Bearer {key}"},
            params={"api-version": azure} if azure else None,
        )
        self.ready.set()


@asynccontextmanager
async def _warned(endpoint: Endpoint, level: int) -> AsyncIterator[None]:
    """Nothing that happens here is more than a warning."""
    try:
        async with asyncio.timeout(WARM_WITHIN_S):
            yield
    except (TimeoutError, openai.OpenAIError, httpx2.HTTPError, ValueError) as e:
        status = f" HTTP {e.status_code}" if isinstance(e, openai.APIStatusError) else ""
        extra = {"provider": endpoint.name, "reason": f"{type(e).__name__}{status}"}
        log.log(level, "the language model does not answer yet", extra=extra)


def _warn_of_shutdown(endpoint: Endpoint, day: date | None) -> None:
    if day is not None:
        log.warning(
            "the language model's vendor switches it off on a day that is known: name another model",
            extra={"provider": endpoint.name, "model": endpoint.model, "shut_on": day.isoformat()},
        )


def _day(told: str) -> date | None:
    try:
        return date.fromisoformat(told[:10])
    except ValueError:
        return None
