"""Every voice's vendor on its good and bad days: the same expectations of each provider.

`pytest tests/contract/test_tts_providers.py --live google` asks the vendor itself, with the keys of the
environment; what needs the server's view or a bad day is left out then.
"""

import asyncio
import importlib
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from importlib.metadata import entry_points
from typing import Any

import pytest

from callbot.runtime.errors import SettingsError
from callbot.schemas.usage import Used
from callbot.tts_worker.counted_speech import counted
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import GROUP, Synthesizer
from callbot.tts_worker.urgency import WAITED_FOR
from tests.contract.tts_suite import (
    EXPECTED,
    LOCAL,
    MODELS,
    OTHER,
    SERVERS,
    SHORT_S,
    TEXT,
    Live,
    failure,
    our_tasks,
    provider_of,
    says,
    spoken,
    voice_of,
)
from tests.vendors.speech_tones import begins, is_said
from tests.vendors.tts_vendor import CHATTER, PATIENCE_S, Day, TtsVendor


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vendor" in metafunc.fixturenames:
        live = [f"live:{name}" for name in metafunc.config.getoption("--live")]
        without_vendor = [] if "server" in metafunc.fixturenames else [f"live:{name}" for name in LOCAL]
        vendors = live or [*sorted(SERVERS), *without_vendor]
        if "day" not in metafunc.fixturenames:
            metafunc.parametrize("vendor", vendors, indirect=True)
            return
        days = [
            (name, day)
            for name in vendors
            for day in Day
            if day in metafunc.function.on_days and (live or day in played(name).days)
        ]
        metafunc.parametrize(("vendor", "day"), days, indirect=["vendor"])


def on_days(*days: Day) -> Callable[[Any], Any]:
    """On each of these that the vendor's protocol has."""

    def marked(test: Any) -> Any:
        test.on_days = days
        return test

    return marked


def played(name: str) -> type[TtsVendor]:
    module, _, class_name = SERVERS[name].partition(":")
    vendor: type[TtsVendor] = getattr(importlib.import_module(f"tests.vendors.{module}"), class_name)
    return vendor


@pytest.fixture
async def vendor(request: pytest.FixtureRequest) -> AsyncIterator[TtsVendor]:
    if request.param.startswith("live:"):
        made: TtsVendor = Live(request.param.removeprefix("live:"))
    else:
        made = played(request.param)()
    async with made as vendor:
        yield vendor


@pytest.fixture
def server(vendor: TtsVendor) -> TtsVendor:
    """For tests that need what only our own server can tell."""
    if isinstance(vendor, Live):
        pytest.skip("the vendor itself does not tell")
    return vendor


@pytest.fixture
def no_secrets(vendor: TtsVendor, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[str], None]]:
    """To give texts to; every log of the test is looked at besides."""
    caplog.set_level("DEBUG")

    def look(text: str) -> None:
        assert not any(secret in text for secret in (*vendor.secrets, CHATTER))

    yield look
    for record in caplog.records:
        look(f"{record.getMessage()} {vars(record)}")


@pytest.fixture
def open_provider(vendor: TtsVendor, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for name, value in vendor.environment.items():
        monkeypatch.setenv(name, value)

    @asynccontextmanager
    async def opened(deadline_s: float = 20.0) -> AsyncIterator[Synthesizer]:
        [entry] = entry_points(group=GROUP, name=provider_of(vendor))
        async with entry.load()(Settings(tts_first_audio_s=deadline_s)) as synthesizer:
            yield synthesizer

    return opened


def test_every_provider_has_its_row() -> None:
    ours = {entry.name for entry in entry_points(group=GROUP) if entry.value.startswith("callbot.")}
    assert {row.partition("-")[0] for row in SERVERS} | set(LOCAL) == ours


async def test_texts_are_said(vendor: TtsVendor, open_provider: Any) -> None:
    async with open_provider() as synthesizer:
        for voice in (voice_of(vendor), voice_of(vendor, "")):
            for text in (TEXT, OTHER):
                assert says(vendor, await spoken(synthesizer, text, voice), text)
    if not isinstance(vendor, Live):
        assert vendor.asked == [TEXT, OTHER] * 2
        assert vendor.voices_asked[0] == vendor.voices_asked[1] != vendor.voices_asked[2]
        assert vendor.complaints == [] and vendor.given_up == 0


async def test_what_a_text_is_billed_as_is_known_when_it_is_heard(
    server: TtsVendor, open_provider: Any
) -> None:
    used: list[Used] = []
    async with open_provider() as synthesizer:
        for voice in (voice_of(server), voice_of(server, "")):
            speech = counted(synthesizer, TEXT, voice, WAITED_FOR, used.append)
            async with asyncio.timeout(20), aclosing(speech) as chunks:
                _ = [chunk async for chunk in chunks]
    assert [one.characters for one in used] == [len(TEXT)] * 2
    assert {one.provider for one in used} == {server.name}
    expected = MODELS.get(server.name, server.environment.get("CALLBOT_OPENAI_TTS_MODEL"))
    assert used[1].model == expected


async def test_two_at_once_do_not_mix(vendor: TtsVendor, open_provider: Any) -> None:
    voice = voice_of(vendor)
    async with open_provider() as synthesizer:
        said = await asyncio.gather(*[spoken(synthesizer, text, voice) for text in (TEXT, OTHER)])
    assert says(vendor, said[0], TEXT) and says(vendor, said[1], OTHER)
    assert vendor.complaints == []


@on_days(*EXPECTED)
async def test_a_bad_day(
    server: TtsVendor, open_provider: Any, no_secrets: Callable[[str], None], day: Day
) -> None:
    code, retryable, retry_after_s = EXPECTED[day]
    voice = voice_of(server)
    async with open_provider(SHORT_S if day in (Day.SLOW, Day.STALLS) else 20.0) as synthesizer:
        server.day = day
        error, audio = await failure(synthesizer, voice)
        assert (error.code, error.retryable, error.retry_after_s) == (code, retryable, retry_after_s)
        no_secrets(f"{error!r} {error.args} {''.join(traceback.format_exception(error))}")
        if day in (Day.STALLS, Day.CUT):
            assert begins(audio, TEXT) and not is_said(audio, TEXT)
        else:
            assert audio == b""
        assert len(server.asked) <= 1, "asked again without being told to"
    server.day = Day.GOOD
    async with open_provider() as synthesizer:
        assert is_said(await spoken(synthesizer, OTHER, voice), OTHER)


@on_days(Day.BROKEN, Day.BUSY, Day.CUT, Day.MALFORMED, Day.REFUSED)
async def test_after_a_bad_day_it_speaks_again(server: TtsVendor, open_provider: Any, day: Day) -> None:
    async with open_provider() as synthesizer:
        server.day = day
        await failure(synthesizer, voice_of(server))
        server.day = Day.GOOD
        assert is_said(await spoken(synthesizer, OTHER, voice_of(server)), OTHER)


async def test_an_unknown_voice(
    server: TtsVendor, open_provider: Any, no_secrets: Callable[[str], None]
) -> None:
    async with open_provider() as synthesizer:
        error, audio = await failure(synthesizer, voice_of(server, server.unknown_voice))
        assert (error.code, error.retryable, audio) == ("unknown_voice", False, b"")
        no_secrets("".join(traceback.format_exception(error)))
        assert is_said(await spoken(synthesizer, TEXT, voice_of(server)), TEXT)


async def test_a_speech_that_nobody_wants_any_more_stops_at_the_vendor(
    server: TtsVendor, open_provider: Any
) -> None:
    async with open_provider() as synthesizer:
        server.day = Day.STALLS if Day.STALLS in server.days else Day.SLOW
        speech = synthesizer.speak(TEXT, voice_of(server))
        if server.day is Day.STALLS:
            assert await anext(speech)
            await speech.aclose()
        else:
            waiting = asyncio.create_task(anext(speech))
            await server.until(lambda: len(server.asked) == 1)
            waiting.cancel()
            await asyncio.wait({waiting})
        await server.until(lambda: server.given_up == 1)
        server.day = Day.GOOD
        assert is_said(await spoken(synthesizer, OTHER, voice_of(server)), OTHER)
    assert server.complaints == []


async def test_a_speech_is_cancelled_before_its_first_audio(server: TtsVendor, open_provider: Any) -> None:
    async with open_provider() as synthesizer:
        server.day = Day.SLOW
        waiting = asyncio.create_task(spoken(synthesizer, TEXT, voice_of(server)))
        await server.until(lambda: len(server.asked) == 1)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        await server.until(lambda: server.given_up == 1)
        server.day = Day.GOOD
        assert is_said(await spoken(synthesizer, OTHER, voice_of(server)), OTHER)


@on_days(*Day)
async def test_warming_raises_nothing(
    server: TtsVendor, open_provider: Any, no_secrets: Callable[[str], None], day: Day
) -> None:
    server.day = day
    async with asyncio.timeout(PATIENCE_S), open_provider(SHORT_S) as synthesizer:
        await synthesizer.warm(voice_of(server))
        await synthesizer.warm(voice_of(server, server.unknown_voice))


async def test_after_warming_a_text_goes_over_a_connection_that_is_open(
    server: TtsVendor, open_provider: Any
) -> None:
    async with open_provider() as synthesizer:
        await synthesizer.warm(voice_of(server))
        before = list(server.connections)
        assert is_said(await spoken(synthesizer, TEXT, voice_of(server)), TEXT)
        assert server.connection_of_last is not None
        assert any(server.connection_of_last is one or server.connection_of_last == one for one in before)


async def test_leaving_ends_what_is_being_said(server: TtsVendor, open_provider: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async with open_provider() as synthesizer:
            server.day = Day.SLOW
            speaking = asyncio.create_task(spoken(synthesizer, TEXT, voice_of(server)))
            await server.until(lambda: len(server.asked) == 1)
        speaking.cancel()
        await asyncio.wait({speaking})
    assert our_tasks() == set()


async def test_without_its_key_it_is_not_opened(
    server: TtsVendor, open_provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in server.environment:
        monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=r"[A-Z_]{6,} is not set"):
        async with open_provider():
            pass
    assert server.connections == []


async def test_the_first_audio_is_handed_on_at_once(server: TtsVendor, open_provider: Any) -> None:
    """The least of twenty: whatever else the machine does, it does not do it twenty times."""
    took_ms = []
    async with open_provider() as synthesizer:
        for _ in range(20):
            async with aclosing(synthesizer.speak(TEXT, voice_of(server))) as chunks:
                await anext(chunks)
                took_ms.append((time.monotonic() - server.first_audio_at_s) * 1000)
                async for _ in chunks:
                    pass
    print(f"{server.name}: {min(took_ms):.2f} ms at best, {sorted(took_ms)[10]:.2f} ms in the middle")
    assert min(took_ms) < 5
