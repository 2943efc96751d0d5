"""What the contract suite of the language models expects, of whom, and how it looks at it."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Final, Self

import pytest
from aiohttp import web

from callbot.dialog_worker.language_model import ChatMessage, LanguageModel, TokensUsed
from callbot.runtime.errors import ProviderError
from tests.vendors.openai_server import Day
from tests.vendors.openai_server import LanguageModel as Server
from tests.vendors.stt_vendor import KEY, RETRY_AFTER_S

PATIENCE_S: Final = 10.0
WEBHOOK_KEYS_NAME: Final = "CALLBOT_WEBHOOK_KEYS"
MESSAGES: Final = [
    ChatMessage("system", "You book tables. Answer in one short sentence."),
    ChatMessage("user", "A table for four at seven, please."),
]
BEFORE: Final = ["I suggest. ", "And then"]
"""What was heard on a day that turns bad in the middle."""
EXPECTED: Final[dict[Day, tuple[str, bool, float | None, list[str]]]] = {
    Day.REFUSED: ("refused", False, None, []),
    Day.BUSY: ("busy", True, None, []),
    Day.BUSY_FOR: ("busy", True, RETRY_AFTER_S, []),
    Day.OUT_OF_QUOTA: ("out_of_quota", False, None, []),
    Day.UNKNOWN_MODEL: ("unknown_model", False, None, []),
    Day.BROKEN: ("unavailable", True, None, []),
    Day.SLOW: ("too_slow", True, None, []),
    Day.STALLS: ("too_slow", True, None, BEFORE),
    Day.CUT: ("broken_off", True, None, BEFORE),
    Day.ENDS_EARLY: ("broken_off", True, None, BEFORE),
    Day.TOLD: ("broken_off", True, None, BEFORE),
    Day.MALFORMED: ("malformed", True, None, BEFORE),
}
"""Code, retryable, retry_after_s, what was heard."""


class Vendor:
    """A server on this machine, and what points an endpoint at it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        azure = kind == "azure"
        self.server = Server(KEY, azure=azure)
        self._path = "/openai" if azure else "/v1"
        self._url = ""
        self._runner: web.AppRunner | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        named = {
            "OPENAI_BASE_URL": f"{self._url}{self._path}",
            "OPENAI_API_KEY": KEY,
            "OPENAI_MODEL": "test",
        }
        return named | ({"OPENAI_API_VERSION": "2026-10-01"} if self.kind == "azure" else {})

    async def __aenter__(self) -> Self:
        runner = web.AppRunner(
            self.server.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        self._runner = runner
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()


async def replied(model: LanguageModel, used: list[TokensUsed] | None = None) -> list[str]:
    tell = (lambda one: None) if used is None else used.append
    async with asyncio.timeout(2 * PATIENCE_S), aclosing(model.reply(MESSAGES, tell)) as pieces:
        return [piece async for piece in pieces if isinstance(piece, str)]


async def failure(model: LanguageModel) -> tuple[ProviderError, list[str]]:
    """And what was heard before it."""
    heard: list[str] = []
    with pytest.raises(ProviderError) as caught:
        async with asyncio.timeout(2 * PATIENCE_S), aclosing(model.reply(MESSAGES)) as pieces:
            async for piece in pieces:
                assert isinstance(piece, str) and piece
                heard.append(piece)
    return caught.value, heard
