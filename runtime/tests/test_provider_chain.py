"""Which providers can be used is found out at the start, and said in one line."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from pydantic import Field

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.provider_chain import brought_along, opened
from callbot.runtime.settings import ProviderOptions

GROUP = "callbot.test"
AUTO = ("good", "no_key", "not_there", "no_package", "fine")
closed: list[str] = []


class Options(ProviderOptions):
    port: int = Field(validation_alias="VENDOR_PORT")


@asynccontextmanager
async def good() -> AsyncIterator[str]:
    yield "a good one"
    closed.append("good")


@asynccontextmanager
async def fine() -> AsyncIterator[str]:
    yield "a fine one"
    closed.append("fine")


@asynccontextmanager
async def no_key() -> AsyncIterator[str]:
    raise SettingsError("VENDOR_API_KEY is not set")
    yield


@asynccontextmanager
async def bad_port() -> AsyncIterator[str]:
    Options.model_validate({"VENDOR_PORT": "sk-a-secret"})
    yield ""


@asynccontextmanager
async def away() -> AsyncIterator[str]:
    raise ProviderError("unavailable", "sk-a-secret", retryable=True)
    yield


@asynccontextmanager
async def stuck() -> AsyncIterator[str]:
    await asyncio.Event().wait()
    yield ""


@asynccontextmanager
async def wrong() -> AsyncIterator[str]:
    raise KeyError("sk-a-secret")
    yield


def open_one(entry: Any) -> AbstractAsyncContextManager[str]:
    return entry()


def chain(setting: str = "", auto: Iterable[str] = AUTO, within_s: float = 60) -> Any:
    return opened(GROUP, setting, open_one, variable="CALLBOT_X", auto=tuple(auto), within_s=within_s)


@pytest.fixture(autouse=True)
def entries(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    here = {
        f.__name__: f"{__name__}:{f.__name__}" for f in (good, fine, no_key, bad_port, away, stuck, wrong)
    }
    here |= {"no_package": "a_package_that_is_not_here.inside:thing", "no_name": f"{__name__}:nothing"}
    found = [EntryPoint(name, value, GROUP) for name, value in here.items()]
    monkeypatch.setattr(
        "callbot.runtime.provider_chain.entry_points", lambda group: found if group == GROUP else []
    )
    caplog.set_level(logging.INFO)
    closed.clear()


async def test_auto_takes_what_can_be_used_in_its_order_and_says_why_not_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with chain() as providers:
        assert list(providers.items()) == [("good", "a good one"), ("fine", "a fine one")]
    assert closed == ["fine", "good"]
    (line,) = caplog.records
    assert (line.levelname, line.getMessage()) == ("INFO", "providers")
    assert vars(line)["setting"] == "CALLBOT_X"
    assert vars(line)["usable"] == "good, fine"
    assert vars(line)["unusable"] == (
        "no_key: VENDOR_API_KEY is not set; not_there: not installed; "
        "no_package: a package is missing: a_package_that_is_not_here"
    )


async def test_a_name_that_comes_twice_is_opened_once() -> None:
    async with chain(auto=("good", "fine", "good")) as providers:
        assert list(providers) == ["good", "fine"]
    assert closed == ["fine", "good"]


def test_other_packages_are_known_by_their_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"ours": "callbot.tts_worker.x:y", "zeta": "callbots.of_theirs:y", "acme": "callbot_acme:y"}
    found = [EntryPoint(name, value, GROUP) for name, value in values.items()]
    monkeypatch.setattr("callbot.runtime.provider_chain.entry_points", lambda group: found)
    assert brought_along(GROUP) == ["acme", "zeta"]


async def test_the_setting_decides_order_and_choice(caplog: pytest.LogCaptureFixture) -> None:
    async with chain(" fine,good , fine,") as providers:
        assert list(providers) == ["fine", "good"]
    async with chain("no_key,fine") as providers:
        assert list(providers) == ["fine"]
    assert [r.levelname for r in caplog.records] == ["INFO", "WARNING"], "what was asked for is missed"


async def test_a_name_that_is_misspelt_does_not_go_unnoticed() -> None:
    with pytest.raises(SettingsError, match=r"CALLBOT_X=goood: no such provider; installed: .*fine, good"):
        async with chain("good,goood"):
            pass


async def test_whatever_goes_wrong_with_one_the_others_are_used(caplog: pytest.LogCaptureFixture) -> None:
    async with chain("bad_port,away,stuck,wrong,no_name,good", within_s=0.05) as providers:
        assert list(providers) == ["good"]
    line = caplog.records[-1]
    assert vars(line)["unusable"].split("; ") == [
        "bad_port: VENDOR_PORT: Input should be a valid integer, unable to parse string as an integer",
        "away: unavailable",
        "stuck: not open within 0.05 s",
        "wrong: its code has failed: KeyError",
        "no_name: its code has failed: AttributeError",
    ]
    assert "sk-a-secret" not in "".join(str(vars(r)) for r in caplog.records)


@pytest.mark.parametrize("setting", ["", "no_key,no_package"])
async def test_nobody_to_use_is_one_sentence_with_each_reason(setting: str) -> None:
    with pytest.raises(
        SettingsError, match=r"CALLBOT_X: no provider can be used \(no_key: VENDOR_API_KEY is"
    ):
        async with chain(setting, auto=("no_key", "no_package")):
            pass
    assert closed == []


async def test_an_error_inside_passes_and_all_are_closed() -> None:
    with pytest.raises(SettingsError, match="of another"):
        async with chain():
            raise SettingsError("of another")
    assert closed == ["fine", "good"]


async def test_a_provider_that_closes_slowly_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("callbot.runtime.provider_chain.CLOSE_WITHIN_S", 0.05)

    @asynccontextmanager
    async def slow() -> AsyncIterator[str]:
        yield "slow"
        await asyncio.Event().wait()

    async with opened(GROUP, "good", lambda _: slow(), variable="CALLBOT_X", auto=()):
        pass
    assert caplog.records[-1].getMessage() == "providers are slow to close"
