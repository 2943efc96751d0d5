"""Every recogniser's vendor on its good and bad days: the same expectations of each provider.

`pytest tests/contract/test_stt_providers.py --live deepgram` asks the vendor itself in real time, with the
keys of the environment; what needs the server's view or a bad day is left out then.
"""

import asyncio
import importlib
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.stt_worker.recognizer import HasModels
from tests.contract.stt_suite import (
    BATCH,
    CODE,
    EXPECTED,
    LATE_S,
    MODELS,
    OTHER,
    PATIENCE_S,
    SERVERS,
    SILENCE,
    TEXT,
    TORN_WITHIN_S,
    Ears,
    Live,
    all_closed,
    our_tasks,
    provider,
    said,
    scripted,
    with_silence,
)
from tests.piper_voice import spoken_by_piper
from tests.vendors.stt_vendor import CHATTER, KEY, Day, SttVendor

Call = Callable[[], AbstractAsyncContextManager[Ears]]
"""A call at the provider, which is opened for it."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "row" in metafunc.fixturenames:
        known = {name for name, _ in SERVERS.values()}
        live = [f"live:{name}" for name in metafunc.config.getoption("--live") if name in known]
        rows = [row for row in sorted(SERVERS) if "along" not in metafunc.fixturenames or row not in BATCH]
        metafunc.parametrize("row", live or rows)


@pytest.fixture
def name(row: str) -> str:
    return row.removeprefix("live:") if row.startswith("live:") else SERVERS[row][0]


@pytest.fixture
async def vendor(row: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SttVendor]:
    if row.startswith("live:"):
        made: SttVendor = Live()
    else:
        module, _, of = SERVERS[row][1].partition(":")
        made = getattr(importlib.import_module(f"tests.vendors.{module}"), of)()
    async with made as vendor:
        for variable, value in vendor.environment.items():
            monkeypatch.setenv(variable, value)
        yield vendor


@pytest.fixture
def server(vendor: SttVendor) -> SttVendor:
    """For tests that need what only our own server can tell."""
    if isinstance(vendor, Live):
        pytest.skip("the vendor itself does not tell")
    return vendor


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    def speak(text: str) -> bytes:
        folder: Path = tmp_path_factory.mktemp("spoken")
        return with_silence(spoken_by_piper([text], folder)[0] + SILENCE * 100)

    return speak


@pytest.fixture
def call(vendor: SttVendor, name: str) -> Call:
    @asynccontextmanager
    async def begun() -> AsyncIterator[Ears]:
        async with (
            asyncio.timeout(6 * PATIENCE_S),
            provider(name) as recognizer,
            Ears(recognizer, real_time=isinstance(vendor, Live)) as ears,
        ):
            yield ears

    return begun


@pytest.fixture
def along(call: Call, server: SttVendor) -> Call:
    """For what only those can do who listen along."""
    return call


@pytest.fixture
def no_secrets(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[str], None]]:
    """To give texts to; every log of the test is looked at besides."""
    caplog.set_level("DEBUG")

    def look(text: str) -> None:
        assert KEY not in text and CHATTER not in text

    yield look
    for record in caplog.records:
        look(f"{record.getMessage()} {vars(record)}")


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    yield
    assert our_tasks() == set()


pytestmark = pytest.mark.usefixtures("nothing_left")


async def test_what_is_said_is_understood_each_time(
    vendor: SttVendor, call: Call, voice: Callable[[str], bytes]
) -> None:
    live = isinstance(vendor, Live)
    async with call() as ears:
        for text in (TEXT, OTHER):
            from_ms = ears.now_ms
            await ears.hears(voice(text) if live else scripted(text))
            assert said(await ears.words(from_ms), text, exactly=not live)
            await ears.hears(SILENCE * 600)
    assert vendor.complaints == []
    await all_closed(vendor)


async def test_silence_has_no_words(vendor: SttVendor, call: Call) -> None:
    async with call() as ears:
        await ears.hears(SILENCE * 1000)
        assert await ears.words(0) == ""
    assert vendor.complaints == []


async def test_an_utterance_is_asked_for_at_each_of_its_pauses(server: SttVendor, call: Call) -> None:
    async with call() as ears:
        await ears.hears(scripted(TEXT))
        assert await ears.words(0) == TEXT
        assert await ears.words(0) == TEXT, "the same stretch again"
        await ears.hears(SILENCE * 400 + scripted(OTHER))
        assert await ears.words(0) == f"{TEXT} {OTHER}"
    assert server.complaints == []


async def test_it_may_begin_late_and_at_once(server: SttVendor, call: Call) -> None:
    """As a new holder of the seat hears it: in the middle of a call, faster than it was said."""
    async with call() as ears:
        ears.skips(7000)
        await ears.hears(SILENCE * 200)
        from_ms = ears.now_ms
        await ears.hears(scripted(TEXT) + SILENCE * 200)
        assert await ears.words(from_ms) == TEXT
    assert server.complaints == []


async def test_words_come_before_the_end(server: SttVendor, along: Call) -> None:
    async with along() as ears:
        assert ears.stream is not None
        assert ears.stream.so_far(0) == ""
        assert ears.stream.says_over(0) in (None, False)
        await ears.hears(scripted(TEXT)[: -80 * 8])
        async with asyncio.timeout(PATIENCE_S):
            while ears.stream.so_far(0) != TEXT:
                await asyncio.sleep(0.01)
    assert server.complaints == []


async def test_slow_words_are_the_words(server: SttVendor, call: Call) -> None:
    server.day = Day.SLOW
    async with call() as ears:
        await ears.hears(scripted(TEXT))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ears.words(0), LATE_S)
        assert await asyncio.wait_for(ears.words(0), PATIENCE_S) == TEXT


async def test_finals_that_come_twice_count_once(server: SttVendor, call: Call) -> None:
    server.day = Day.TWICE
    async with call() as ears:
        for text in (TEXT, OTHER):
            from_ms = ears.now_ms
            await ears.hears(scripted(text))
            assert await ears.words(from_ms) == text
            await ears.hears(SILENCE * 600)


async def test_who_says_nothing_is_waited_for_no_longer_than_wanted(server: SttVendor, call: Call) -> None:
    server.day = Day.STALLS
    async with asyncio.timeout(PATIENCE_S), call() as ears:
        await ears.hears(scripted(TEXT))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ears.words(0), LATE_S)
    await all_closed(server)


@pytest.mark.parametrize("day", EXPECTED)
async def test_a_bad_day(
    server: SttVendor, call: Call, no_secrets: Callable[[str], None], day: Day, row: str
) -> None:
    server.day = day
    with pytest.raises(ProviderError) as caught:
        async with asyncio.timeout(TORN_WITHIN_S), call() as ears:
            await ears.hears(scripted(TEXT))
            await ears.words(0)
    error = caught.value
    assert (error.retryable, error.retry_after_s) == EXPECTED[day]
    assert error.code == CODE.get(day, error.code)
    no_secrets(f"{error!r} {error.args} {''.join(traceback.format_exception(error))}")
    if row != "openai-pcm":
        assert server.begun == (2 if row.startswith("openai") and day is Day.WRONG_RATE else 1)
    server.day = Day.GOOD
    async with call() as ears:
        await ears.hears(scripted(OTHER))
        assert await ears.words(0) == OTHER


@pytest.mark.parametrize("day", [Day.CUT, Day.MALFORMED])
async def test_a_lost_connection_stays_lost(server: SttVendor, along: Call, day: Day) -> None:
    """Whoever holds it decides when there is another one."""
    server.day = day
    async with along() as ears:
        assert ears.stream is not None
        await ears.hears(scripted(TEXT))
        for _ in range(2):
            with pytest.raises(ProviderError):
                await asyncio.wait_for(ears.words(0), TORN_WITHIN_S)
        await ears.hears(scripted(OTHER))
        assert isinstance(ears.stream.so_far(0), str)
    assert server.begun == 1


async def test_leaving_ends_what_is_waited_for(server: SttVendor, call: Call) -> None:
    server.day = Day.STALLS
    async with asyncio.timeout(PATIENCE_S):
        async with call() as ears:
            await ears.hears(scripted(TEXT))
            waiting = asyncio.create_task(ears.words(0))
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
    await all_closed(server)


async def test_calls_do_not_mix(server: SttVendor, name: str) -> None:
    async with provider(name) as recognizer, Ears(recognizer) as one, Ears(recognizer) as other:
        await one.hears(scripted(TEXT))
        await other.hears(scripted(OTHER))
        heard = await asyncio.wait_for(asyncio.gather(one.words(0), other.words(0)), PATIENCE_S)
    assert list(heard) == [TEXT, OTHER]


async def test_without_its_key_it_is_not_opened(
    server: SttVendor, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in server.environment:
        monkeypatch.delenv(variable)
    with pytest.raises(SettingsError, match=r"[A-Z_]{6,} is not set"):
        async with provider(name):
            pass


async def test_a_vendor_that_is_away_is_no_reason_not_to_start(server: SttVendor, name: str) -> None:
    await server.__aexit__(None, None, None)
    async with provider(name) as recognizer:
        assert recognizer.working
        with pytest.raises(ProviderError) as caught:
            async with asyncio.timeout(TORN_WITHIN_S), Ears(recognizer) as ears:
                await ears.hears(scripted(TEXT))
                await ears.words(0)
    assert (caught.value.code, caught.value.retryable) == ("unavailable", True)


async def test_what_a_call_is_billed_as_is_known(row: str, name: str, server: SttVendor) -> None:
    async with provider(name) as recognizer:
        assert isinstance(recognizer, HasModels)
        expected = MODELS.get(row, server.environment.get("CALLBOT_OPENAI_STT_MODEL"))
        assert recognizer.model_of("en-US") == expected
