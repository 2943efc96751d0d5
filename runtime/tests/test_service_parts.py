"""Logs, settings and health."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Self

import aiohttp
import pytest
from pydantic import Field, ValidationError, model_validator

from callbot.runtime.errors import SettingsError
from callbot.runtime.health import health
from callbot.runtime.loop_lag import EVERY_S, KEPT, LoopLag
from callbot.runtime.settings import (
    Networks,
    ProviderOptions,
    PublicSettings,
    ServiceSettings,
    wrong_settings,
)
from callbot.runtime.telemetry import set_up_logs


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("callbot")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def logged(*, as_json: bool, show_pii: bool) -> str:
    stream = io.StringIO()
    set_up_logs("gateway", as_json=as_json, level="info", show_pii=show_pii, stream=stream)
    log = logging.getLogger("test")
    log.info("turn ended", extra={"call_id": "CA1", "pii.text": "my number is 5"})
    log.debug("not at this level")
    return stream.getvalue()


def test_json_lines_and_redaction() -> None:
    line = json.loads(logged(as_json=True, show_pii=False))
    assert line["message"] == "turn ended" and line["service"] == "gateway" and line["call_id"] == "CA1"
    assert "my number" not in json.dumps(line)
    assert json.loads(logged(as_json=True, show_pii=True))["pii.text"] == "my number is 5"


@pytest.mark.parametrize("odd", ["/v1/\udcff", 1 << 80])
def test_a_line_is_never_lost_for_what_it_tells(odd: object) -> None:
    """Bytes of a header that are not UTF-8 arrive as halves of surrogate pairs."""
    stream = io.StringIO()
    set_up_logs("gateway", as_json=True, level="info", show_pii=False, stream=stream)
    logging.getLogger("test").error("a request failed", extra={"odd": odd, "path": "/é"})
    (line,) = stream.getvalue().splitlines()
    assert (json.loads(line)["odd"], json.loads(line)["path"]) == (odd, "/é")


def test_details_are_told_by_our_own_code_only() -> None:
    """An HTTP client's would tell the headers of requests, with the keys in them."""
    stream = io.StringIO()
    set_up_logs("gateway", as_json=False, level="debug", show_pii=False, stream=stream)
    logging.getLogger("httpcore2.http11").debug("Authorization: Bearer of-the-tests")
    logging.getLogger("callbot.runtime.chain").debug("tried")
    assert "tried" in stream.getvalue() and "of-the-tests" not in stream.getvalue()


def test_text_lines_and_redaction() -> None:
    assert "my number" not in logged(as_json=False, show_pii=False)
    assert "turn ended call_id=CA1 pii.text=my number is 5" in logged(as_json=False, show_pii=True)


def test_an_exception_is_in_the_line() -> None:
    stream = io.StringIO()
    set_up_logs("gateway", as_json=True, level="info", show_pii=False, stream=stream)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("test").exception("failed")
    assert "ValueError: broken" in json.loads(stream.getvalue())["exception"]


def test_settings_come_from_the_environment_and_are_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "nats://elsewhere")
    monkeypatch.setenv("CALLBOT_HEALTH_PORT", "81")
    settings = ServiceSettings()
    assert (settings.nats_url, settings.health_port) == ("nats://elsewhere", 81)
    with pytest.raises(ValidationError):
        settings.health_port = 82  # type: ignore[misc]


def test_a_wrong_setting_is_one_sentence_without_its_value() -> None:
    code = (
        "from callbot.runtime.service import run\n"
        "from callbot.runtime.settings import ServiceSettings\n"
        "run(None, ServiceSettings, 'gateway')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"CALLBOT_HEALTH_PORT": "a-secret"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("gateway: the settings are wrong: ") and done.stderr.count("\n") == 1
    assert ": CALLBOT_HEALTH_PORT: Input should be" in done.stderr and "a-secret" not in done.stderr


def test_wrong_settings_have_the_names_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    class Settings(PublicSettings):
        mongo_url: int = Field(1, validation_alias="MONGO_URL")
        within: Networks = ()

        @model_validator(mode="after")
        def _never(self) -> Self:
            raise ValueError("CALLBOT_A and CALLBOT_B belong together")

    monkeypatch.setenv("CALLBOT_PUBLIC_URL", "http://bots.example")
    monkeypatch.setenv("CALLBOT_WITHIN", "10.0.0.0/8,x")
    monkeypatch.setenv("MONGO_URL", "x")
    with pytest.raises(ValidationError) as refused:
        Settings()
    told = wrong_settings(refused.value, Settings)
    assert "CALLBOT_PUBLIC_URL: must be https: Twilio" in told
    assert "; MONGO_URL: Input should be" in told and "; CALLBOT_WITHIN: " in told
    for name in ("CALLBOT_PUBLIC_URL", "CALLBOT_WITHIN", "MONGO_URL"):
        monkeypatch.delenv(name)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert wrong_settings(refused.value, Settings) == "CALLBOT_A and CALLBOT_B belong together"


def test_a_providers_wrong_options_have_the_names_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    class Options(ProviderOptions):
        acme_rate: int = 8000
        key_length: int = Field(1, validation_alias="ACME_KEY_LENGTH")

    monkeypatch.setenv("CALLBOT_ACME_RATE", "fast")
    monkeypatch.setenv("ACME_KEY_LENGTH", "a-secret")
    with pytest.raises(SettingsError, match=r"CALLBOT_ACME_RATE: .*; ACME_KEY_LENGTH: ") as refused:
        Options.of_environment()
    assert "secret" not in str(refused.value) and "fast" not in str(refused.value)


async def test_health_tells_live_ready_and_status() -> None:
    good = True
    settings = ServiceSettings(worker_id="w1")
    async with (
        health(settings, service="gateway", ready=lambda: {"nats": good}, live_calls=lambda: 3) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        assert (await http.get("/live")).status == 200
        assert (await http.get("/ready")).status == 200
        good = False
        answer = await http.get("/ready")
        assert answer.status == 503 and (await answer.json())["checks"] == {"nats": False}
        status = await (await http.get("/status")).json()
        assert {"service": "gateway", "worker_id": "w1", "live_calls": 3}.items() <= status.items()
        assert set(status["loop_lag_ms"]) == {"p50", "p99", "max"}
        with pytest.raises(SettingsError, match="cannot be used"):
            async with health(
                ServiceSettings(health_port=port), service="x", ready=dict, live_calls=lambda: 0
            ):
                pass


async def test_how_late_the_loop_was_is_known_for_the_last_minute() -> None:
    lag = LoopLag()
    assert lag.told() == {"p50": 0, "p99": 0, "max": 0}
    for _ in range(98):
        lag.add(1)
    lag.add(30)
    lag.add(70)
    assert lag.told() == {"p50": 1, "p99": 70, "max": 70}
    for _ in range(KEPT):
        lag.add(2)
    assert lag.told() == {"p50": 2, "p99": 2, "max": 2}


async def test_a_loop_that_stands_still_was_late_for_all_that_was_due() -> None:
    lag = LoopLag()
    async with lag.measured():
        await asyncio.sleep(0)
        time.sleep(8 * EVERY_S)  # noqa: ASYNC251 - it is what is measured
        await asyncio.sleep(0.01)
    assert lag.told()["max"] >= 6 * EVERY_S * 1000
    assert lag.told()["p50"] >= 2 * EVERY_S * 1000
