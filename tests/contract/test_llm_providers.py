"""Language models on good and bad days, and the manners of servers that call themselves compatible.

`pytest tests/contract/test_llm_providers.py --live openai` asks the endpoint of `OPENAI_…` itself; what needs
the server's view or a bad day is left out then.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from callbot.dialog_worker.language_model import TokensUsed
from callbot.dialog_worker.providers.openai_compatible import OpenAICompatible, open_endpoint
from callbot.dialog_worker.settings import Settings
from callbot.runtime.errors import SettingsError
from tests.contract.llm_suite import (
    EXPECTED,
    MESSAGES,
    PATIENCE_S,
    WEBHOOK_KEYS_NAME,
    Vendor,
    failure,
    replied,
)
from tests.samples import WEBHOOK_KEYS
from tests.vendors.openai_server import Day, Manner
from tests.vendors.stt_vendor import CHATTER, KEY

LIVE = "live"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vendor" in metafunc.fixturenames:
        live = "openai" in metafunc.config.getoption("--live")
        metafunc.parametrize("vendor", [LIVE] if live else ["openai", "azure"], indirect=True)


@pytest.fixture
async def vendor(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Vendor | None]:
    """None: the environment names the endpoint."""
    monkeypatch.setenv(WEBHOOK_KEYS_NAME, WEBHOOK_KEYS)
    if request.param == LIVE:
        yield None
        return
    async with Vendor(request.param) as vendor:
        for name, value in vendor.environment.items():
            monkeypatch.setenv(name, value)
        yield vendor


@pytest.fixture
def server(vendor: Vendor | None) -> Any:
    """For tests that need what only our own server can tell."""
    if vendor is None:
        pytest.skip("the vendor itself does not tell")
    return vendor.server


@pytest.fixture
def no_secrets(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[object], None]]:
    """To give texts to; every log of the test is looked at besides."""
    caplog.set_level("DEBUG")

    def look(text: object) -> None:
        assert KEY not in str(text) and CHATTER not in str(text)

    yield look
    for record in caplog.records:
        look(f"{record.getMessage()} {vars(record)}")


@asynccontextmanager
async def opened(**settings: float) -> AsyncIterator[OpenAICompatible]:
    patient = {"llm_first_token_s": 20.0, "llm_next_token_s": 20.0} | settings
    given = Settings(**patient)  # type: ignore[arg-type]
    async with open_endpoint(given.endpoints[0], given) as model:
        yield model


async def test_a_reply(vendor: Vendor | None) -> None:
    used: list[TokensUsed] = []
    async with opened() as model:
        pieces = await replied(model, used)
    assert "".join(pieces).strip() and len(used) == 1
    assert (used[0].estimated, used[0].tokens_in > 5, used[0].tokens_out > 0) == (False, True, True)
    if vendor is not None:
        assert pieces == ["I suggest. ", "Now."]
        assert used == [TokensUsed("openai", "test", 42, 2, estimated=False)]
        assert (vendor.server.complaints, vendor.server.given_up) == ([], 0)


@pytest.mark.parametrize("day", EXPECTED)
async def test_a_bad_day(server: Any, no_secrets: Callable[[object], None], day: Day) -> None:
    code, retryable, retry_after_s, heard_before = EXPECTED[day]
    short = {"llm_first_token_s": 0.3} if day is Day.SLOW else {}
    short |= {"llm_next_token_s": 0.3} if day is Day.STALLS else {}
    async with opened(**short) as model:
        server.day = day
        error, heard = await failure(model)
        assert (error.code, error.retryable, error.retry_after_s) == (code, retryable, retry_after_s)
        assert heard == heard_before
        assert len(server.bodies) == 1, "asked again without being told to"
        no_secrets(f"{error!r} {error.args} {''.join(traceback.format_exception(error))}")
        assert (error.__cause__, error.__context__) == (None, None)
        server.day = Day.GOOD
        if day not in (Day.SLOW, Day.STALLS):
            assert await replied(model) == server.says
    if day in (Day.SLOW, Day.STALLS):
        await server.until(lambda: server.given_up == 1)


@pytest.mark.parametrize("manner", Manner)
async def test_servers_that_differ(server: Any, manner: Manner) -> None:
    server.manner = manner
    server.says = ["Grüße, 你好 🎉. ", "तुम कैसे हो।"]
    async with opened() as model:
        for _ in range(2):
            assert await replied(model) == server.says
    assert server.complaints == []
    assert len(server.bodies) == (3 if manner is Manner.NO_USAGE else 2), "what it refuses is remembered"


@pytest.mark.parametrize("day", [Day.GOOD, Day.STALLS])
async def test_a_reply_that_nobody_wants_any_more_stops_at_the_vendor(server: Any, day: Day) -> None:
    server.manner = Manner.NO_DONE
    server.day = day
    async with opened() as model:
        async with aclosing(model.reply(MESSAGES)) as pieces:
            assert await anext(pieces) == "I suggest. "
        await server.until(lambda: server.given_up == 1)


async def test_a_reply_is_cancelled_before_its_first_token(server: Any) -> None:
    server.day = Day.SLOW
    async with opened() as model:
        waiting = asyncio.create_task(replied(model))
        await server.until(lambda: len(server.bodies) == 1)
        waiting.cancel()
        await asyncio.wait({waiting})
        await server.until(lambda: server.given_up == 1)


async def test_a_connection_is_open_before_each_reply(server: Any) -> None:
    async with asyncio.timeout(PATIENCE_S), opened() as model:
        await model.warmth.ready.wait()
        for _ in range(3):
            before = list(server.connections)
            assert await replied(model) == server.says
            assert server.connection_of_last in before
        server.day = Day.STALLS
        async with aclosing(model.reply(MESSAGES)) as pieces:
            await anext(pieces)
        server.day = Day.GOOD
        await model.warmth.ready.wait()
        before = list(server.connections)
        assert await replied(model) == server.says
        assert server.connection_of_last in before
        assert len(server.connections) == 2


async def test_opening_waits_for_nobody(server: Any) -> None:
    for day in (Day.REFUSED, Day.BROKEN, Day.SLOW):
        server.day = day
        async with asyncio.timeout(PATIENCE_S), opened():
            pass


async def test_without_its_key_or_model_it_is_not_opened(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_MODEL", "")
    with pytest.raises(SettingsError, match="OPENAI_MODEL is not set"):
        async with opened():
            pass
    monkeypatch.setenv("OPENAI_MODEL", "m")
    monkeypatch.delenv("OPENAI_API_KEY")
    for url in ("https://api.openai.com/v1", "https://we.openai.azure.com/openai"):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with pytest.raises(SettingsError, match="OPENAI_API_KEY is not set"):
            async with opened():
                pass
    assert server.connections == []


async def test_the_server_says_that_the_model_ends(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    server.shutdown_date = "2027-01-14"
    async with asyncio.timeout(PATIENCE_S), opened() as model:
        await model.warmth.ready.wait()
    assert [vars(record)["shut_on"] for record in caplog.records] == ["2027-01-14"]


async def test_the_first_token_is_handed_on_at_once(
    server: Any, record_property: Callable[[str, object], None]
) -> None:
    """The least of twenty: whatever else the machine does, it does not do it twenty times."""
    took_ms = []
    async with opened() as model:
        for _ in range(20):
            async with aclosing(model.reply(MESSAGES)) as pieces:
                await anext(pieces)
                took_ms.append((time.monotonic() - server.first_token_at_s) * 1000)
                async for _ in pieces:
                    pass
    record_property("first_token_overhead_ms", sorted(round(ms, 2) for ms in took_ms))
    assert min(took_ms) < 5
