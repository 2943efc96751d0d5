"""What the parts of a platform are told, by how it is reached and what the operator brings along."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from callbot.studio.account import Accounts
from callbot.studio.up.auth import AuthMode, auth_mode
from callbot.studio.up.data_dir import DataDir
from callbot.studio.up.plan import Options, planned
from callbot.studio.up.settings import UpSettings

SERVICES = {"gateway", "call-router", "stt-worker", "dialog-worker", "tts-worker"}


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDir]:
    with DataDir(tmp_path, min_free_mib=0) as data:
        yield data


@pytest.fixture(autouse=True)
def neutral_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "CALLBOT_AUTH",
        "CALLBOT_PUBLIC_URL",
        "CALLBOT_TWILIO_ACCOUNT_SID",
        "CALLBOT_TWILIO_API_URL",
    ):
        monkeypatch.delenv(name, raising=False)


def environments(data: DataDir, host: str = "127.0.0.1", **settings: str) -> dict[str, Mapping[str, str]]:
    """By service."""
    options = Options(host, 8080, 1, scripted=True, auth="open")
    return {part.service: part.env for part in planned(options, UpSettings(**settings), data, {})}


@pytest.mark.parametrize(
    ("host", "public_url", "wanted", "mode"),
    [
        ("127.0.0.1", None, None, "open"),
        ("::1", "http://localhost:8080", None, "open"),
        ("127.0.0.1", None, "required", "required"),
        ("0.0.0.0", None, None, "required"),
        ("0.0.0.0", None, "open", "required"),
        ("example.test", None, None, "required"),
        ("127.0.0.1", "https://tunnel.example", None, "required"),
        ("127.0.0.1", "https://tunnel.example", "open", "required"),
    ],
)
def test_who_may_use_the_api(
    host: str, public_url: str | None, wanted: AuthMode | None, mode: AuthMode
) -> None:
    assert auth_mode(host, public_url, wanted) == mode


def test_the_emulated_account_is_told_to_call_router_alone(data: DataDir) -> None:
    envs = environments(data)
    account = Accounts.read(data.path).platform
    assert envs["call-router"]["CALLBOT_TWILIO_ACCOUNT_SID"] == account.sid
    assert envs["call-router"]["CALLBOT_TWILIO_AUTH_TOKEN"] == account.auth_token
    knowing = {s for s, env in envs.items() if any(account.auth_token in v for v in env.values())}
    assert knowing == {"call-router"}
    assert (data.path / "twilio-accounts.json").stat().st_mode & 0o777 == 0o600
    assert str(account.auth_token) not in repr(account)


def test_the_accounts_stay_the_same(data: DataDir) -> None:
    first = environments(data)["call-router"]
    again = environments(data)["call-router"]
    assert first["CALLBOT_TWILIO_AUTH_TOKEN"] == again["CALLBOT_TWILIO_AUTH_TOKEN"]


@pytest.mark.parametrize(
    "settings",
    [
        {"twilio_account_sid": "AC" + "a" * 32},
        {"twilio_api_url": "http://127.0.0.1:1"},
        {"public_url": "https://tunnel.example"},
    ],
)
def test_an_own_twilio_replaces_the_emulated_one(data: DataDir, settings: dict[str, str]) -> None:
    envs = environments(data, **settings)
    assert "twilio" not in envs
    assert "CALLBOT_TWILIO_API_URL" not in envs["call-router"]


def test_webhooks_on_this_machine_are_for_this_machine(data: DataDir) -> None:
    assert environments(data)["dialog-worker"]["CALLBOT_WEBHOOK_HTTP"] == "loopback"
    assert environments(data, host="0.0.0.0")["call-router"]["CALLBOT_WEBHOOK_HTTP"] == "never"
    told = environments(data, host="0.0.0.0", webhook_http="loopback")
    assert told["call-router"]["CALLBOT_WEBHOOK_HTTP"] == "loopback"


@pytest.mark.parametrize(
    ("variable", "owners"),
    [
        ("CALLBOT_LLM_2_API_KEY", {"dialog-worker"}),
        ("DEEPGRAM_API_KEY", {"stt-worker", "tts-worker"}),
        ("ELEVENLABS_API_KEY", {"tts-worker"}),
        ("AWS_SECRET_ACCESS_KEY", {"tts-worker"}),
        ("GOOGLE_APPLICATION_CREDENTIALS", {"stt-worker", "tts-worker"}),
    ],
)
def test_a_vendors_key_reaches_those_who_need_it(data: DataDir, variable: str, owners: set[str]) -> None:
    options = Options("127.0.0.1", 8080, 1, scripted=True, auth="open")
    parts = planned(options, UpSettings(), data, {variable: "its-key"})
    assert {p.service for p in parts if p.service in SERVICES and p.env.get(variable) == "its-key"} == owners
