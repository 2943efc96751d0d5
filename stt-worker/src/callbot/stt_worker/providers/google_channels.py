"""Connections to Google that are open before a call needs them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import grpc

from callbot.runtime.errors import ProviderError
from callbot.runtime.google_access import GoogleAccess
from callbot.stt_worker.providers.google import GoogleOptions
from callbot.stt_worker.providers.google_hearing import Line
from callbot.stt_worker.providers.google_v1 import V1
from callbot.stt_worker.providers.google_v2 import V2
from callbot.stt_worker.providers.google_wire import Dialect

CALLS_OF_ONE: Final = 40
"""Google allows 100 streams in a connection; beyond them gRPC lets new ones wait without a word. A call has
two for a moment whenever it changes from one to the next."""
REMEMBERED: Final = 10_000
"""Of how many kinds of requests it is known what the model did not take."""
OPTIONS: Final = (
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5000),
)
"""A stream's audio cannot be sent again by gRPC: it is replayed by us or not at all. Channels share no
connection. A connection that is dead without a word is noticed."""


class Channels:
    def __init__(self, options: GoogleOptions, access: GoogleAccess, room: int) -> None:
        """`room`: calls at once."""
        self._options = options
        self._access = access
        self._refused: dict[int, set[str]] = {}
        self._live = {_channel(options.url): 0 for _ in range(-(-room // CALLS_OF_ONE))}

    @asynccontextmanager
    async def kept_open(self) -> AsyncIterator[None]:
        keeping = [asyncio.create_task(_keep_open(channel)) for channel in self._live]
        try:
            yield
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
            for channel in self._live:
                await channel.close(None)

    @asynccontextmanager
    async def line(self, language: str, hints: tuple[str, ...]) -> AsyncIterator[Line]:
        """One call's. Waits while a connection is being made. Raises ProviderError."""
        channel = min(self._live, key=self._live.__getitem__)
        self._live[channel] += 1
        try:
            await self._access.metadata()
            await _connected(channel)
            yield Line(
                channel,
                self._dialect(),
                self._access.latest,
                self._options.google_stt_speed,
                self._refused_of(language, hints),
            )
        finally:
            self._live[channel] -= 1

    def _refused_of(self, language: str, hints: tuple[str, ...]) -> set[str]:
        """What the model was seen not to take: of such requests alone, as the hints are each customer's."""
        kind = hash((language, hints))
        refused = self._refused.pop(kind, set())
        self._refused[kind] = refused
        if len(self._refused) > REMEMBERED:
            del self._refused[next(iter(self._refused))]
        return refused

    def _dialect(self) -> Dialect:
        options = self._options
        if options.google_stt_api == "v1":
            return V1(options.google_stt_model)
        project = options.google_project or self._access.project
        if not project:
            raise ProviderError("refused", "the credentials name no project", retryable=False)
        return V2(project, options.google_stt_location, options.google_stt_model)


def _channel(url: str) -> grpc.aio.Channel:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return grpc.aio.insecure_channel(f"{host}:{parts.port or 80}", options=OPTIONS)
    target = f"{host}:{parts.port or 443}"
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=OPTIONS)


async def _keep_open(channel: grpc.aio.Channel) -> None:
    """Unused for half an hour, gRPC would let it go. How long it waits between attempts is gRPC's affair."""
    while True:
        state = channel.get_state(try_to_connect=True)
        await channel.wait_for_state_change(state)


async def _connected(channel: grpc.aio.Channel) -> None:
    while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
        if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
            raise ProviderError("unavailable", "no connection", retryable=True)
        await channel.wait_for_state_change(state)
