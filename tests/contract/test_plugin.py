"""A provider of another package: installed, it does what every provider does, and a platform speaks with it.

The package is examples/provider-plugin, as docs/providers.md shows it.
"""

import importlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from callbot.studio.up.running import running_platform
from tests.conftest import record_in
from tests.contract.test_tts_providers import (  # noqa: F401
    no_secrets,
    open_provider,
    server,
    test_a_bad_day,
    test_a_speech_is_cancelled_before_its_first_audio,
    test_a_speech_that_nobody_wants_any_more_stops_at_the_vendor,
    test_after_a_bad_day_it_speaks_again,
    test_after_warming_a_text_goes_over_a_connection_that_is_open,
    test_an_unknown_voice,
    test_texts_are_said,
    test_the_first_audio_is_handed_on_at_once,
    test_two_at_once_do_not_mix,
    test_warming_raises_nothing,
    test_without_its_key_it_is_not_opened,
)
from tests.e2e.chains import emulator_of, first_sound_ms
from tests.vendors.acme_tts import AcmeTts
from tests.vendors.customer import Customer

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "provider-plugin"
FILES = ("pyproject.toml", "src/callbot_acme/__init__.py")
MOST_LINES = 60


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "day" in metafunc.fixturenames:
        metafunc.parametrize("day", metafunc.function.on_days)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which it is installed, as it is for an operator; nothing is fetched."""
    folder = tmp_path_factory.mktemp("site")
    uv = Path(sys.executable).with_name("uv")
    command: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--offline",
        "--no-deps",
        "--quiet",
        "--target",
        folder,
        PLUGIN,
    ]
    subprocess.run([*command, "--python", sys.executable], check=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def installed(package: Path) -> Iterator[None]:
    sys.path.append(str(package))
    importlib.invalidate_caches()
    yield
    sys.path.remove(str(package))


@pytest.fixture
async def vendor(request: pytest.FixtureRequest, installed: None) -> AsyncIterator[AcmeTts]:
    async with AcmeTts() as vendor:
        yield vendor


@pytest.mark.parametrize("name", FILES)
def test_the_documents_show_the_package_as_it_is(name: str) -> None:
    shown = re.findall(r"^```\w+\n(.*?)^```$", (ROOT / "docs" / "providers.md").read_text(), re.M | re.S)
    text = (PLUGIN / name).read_text()
    assert text in shown
    assert sum(1 for line in text.splitlines() if line) <= MOST_LINES


async def test_a_platform_speaks_with_it(package: Path, vendor: AcmeTts, customer: Customer) -> None:
    """Processes of their own; the chain's order comes from what is installed and has its key."""
    env = {
        **vendor.environment,
        "CALLBOT_STT": "scripted",
        "CALLBOT_VAD": "energy",
        "PYTHONPATH": str(package),
    }
    bot: dict[str, Any] = {
        "goal": "Test",
        "webhook": customer.webhook("echo", "plugin"),
        "voice": "acme:bert",
        "greeting": "Hello from another package.",
    }
    async with running_platform(env=env) as platform, aiohttp.ClientSession(platform.url) as api:
        async with api.get("/v1/voices?provider=acme&language=de") as answer:
            assert [voice["voice"] for voice in await answer.json()] == ["acme:bert"]
        async with api.post("/v1/bots", json=bot | {"voice": "nobody:bert"}) as answer:
            assert answer.status == 400
            assert "acme:…" in (await answer.json())["error"]["message"]
        async with api.post("/v1/bots", json=bot) as answer:
            made = await answer.json()
            assert (answer.status, made["voice_status"]) == (200, "ok")
        async with emulator_of(platform) as emulator, emulator.dial(bot_id=made["id"]) as call:
            await first_sound_ms(call, await call.makes(b""))
        assert (await record_in(api, call.sid))["fallbacks"] == []
        log = platform.log.read_text()
    assert "setting=CALLBOT_TTS usable=acme, piper" in log
    assert bot["greeting"] in vendor.asked
    assert set(vendor.voices_asked) == {"bert"}
    assert vendor.complaints == []
