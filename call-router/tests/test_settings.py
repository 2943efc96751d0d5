"""Settings from the environment: what is wrong is said at the start."""

import base64

import pytest
from pydantic import ValidationError

from callbot.call_router.settings import Settings, ring_of

KEY = base64.b64encode(b"\x01" * 32).decode()
KEYS = f"k1:{KEY}"
RINGS = ("CALLBOT_TOKEN_KEYS", "CALLBOT_JWT_KEYS", "CALLBOT_SECRET_KEYS", "CALLBOT_WEBHOOK_KEYS")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One in which the service starts."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CALLBOT_{name.upper()}", raising=False)
    monkeypatch.delenv("MONGO_URL", raising=False)
    for name in RINGS:
        monkeypatch.setenv(name, KEYS)
    return monkeypatch


def test_they_are_read_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MONGO_URL", "mongodb://db.example/?replicaSet=a")
    environment.setenv("CALLBOT_WEBHOOK_ALLOW", "10.0.0.0/8, fd00::/8")
    settings = Settings()
    assert settings.auth == "required"
    assert settings.mongo_url == "mongodb://db.example/?replicaSet=a"
    assert [str(network) for network in settings.webhook_allow] == ["10.0.0.0/8", "fd00::/8"]
    assert list(ring_of(settings.jwt_keys).keys) == ["k1"]
    assert KEY not in repr(settings)
    assert "db.example" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CALLBOT_AUTH", "optional", "'open' or 'required'"),
        *((name, "k1:short", "base64") for name in RINGS),
        *((name, KEYS + "," + KEYS, "ids unique") for name in RINGS),
        ("MONGO_URL", "localhost:27017", "mongodb://"),
        ("CALLBOT_WEBHOOK_HTTP", "yes", "loopback"),
        ("CALLBOT_WEBHOOK_ALLOW", "10.0.0.1/8", "webhook_allow"),
        ("CALLBOT_ACCESS_TOKEN_S", "0", "access_token_s"),
        ("CALLBOT_AUTH_ATTEMPTS_PER_ADDRESS", "0", "auth_attempts_per_address"),
        ("CALLBOT_PUBLIC_URL", "http://bots.example.com", "must be https"),
        ("CALLBOT_TWILIO_ACCOUNT_SID", "AC" + "0" * 32, "belong together"),
    ],
)
def test_what_is_wrong_is_said(environment: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert said in str(refused.value)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("auth", ["open", "required"])
@pytest.mark.parametrize("name", RINGS)
def test_keys_may_be_missing_only_where_they_need_not_outlive_the_process(
    environment: pytest.MonkeyPatch, name: str, auth: str
) -> None:
    environment.delenv(name)
    environment.setenv("CALLBOT_AUTH", auth)
    if auth == "open" and name in ("CALLBOT_TOKEN_KEYS", "CALLBOT_JWT_KEYS"):
        Settings()
        return
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert name.lower().removeprefix("callbot_") in str(refused.value).lower()


def test_open_mode_makes_keys_of_its_own(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CALLBOT_AUTH", "open")
    environment.delenv("CALLBOT_JWT_KEYS")
    assert ring_of(Settings().jwt_keys) != ring_of(Settings().jwt_keys)
