"""Settings from the environment: what is wrong is said at the start."""

import pytest
from pydantic import ValidationError

from callbot.call_router.settings import Settings

KEYS = "k1:" + "A" * 43 + "="


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("CALLBOT_AUTH", "CALLBOT_TOKEN_KEYS", "MONGO_URL", "CALLBOT_VOICE_PROVIDERS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_they_are_read_from_the_environment(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("CALLBOT_TOKEN_KEYS", KEYS)
    clean.setenv("MONGO_URL", "mongodb://db.example/?replicaSet=a")
    clean.setenv("CALLBOT_VOICE_PROVIDERS", "piper, elevenlabs")
    settings = Settings()
    assert settings.mongo_url == "mongodb://db.example/?replicaSet=a"
    assert settings.voice_providers == {"piper", "elevenlabs"}
    assert list(settings.key_ring().keys) == ["k1"]
    assert "AAAA" not in repr(settings)
    assert "db.example" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CALLBOT_AUTH", "required", "CALLBOT_TOKEN_KEYS is needed"),
        ("CALLBOT_TOKEN_KEYS", "k1:short", "base64"),
        ("MONGO_URL", "localhost:27017", "mongodb://"),
        ("CALLBOT_VOICE_PROVIDERS", "acme", "unknown: acme; known: cartesia"),
        ("CALLBOT_WEBHOOK_HTTP", "yes", "loopback"),
    ],
)
def test_what_is_wrong_is_said(clean: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    if name != "CALLBOT_AUTH":
        clean.setenv("CALLBOT_AUTH", "open")
    clean.setenv(name, value)
    with pytest.raises(ValidationError, match=said):
        Settings()


def test_open_mode_makes_a_key_of_its_own(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("CALLBOT_AUTH", "open")
    assert Settings().key_ring() != Settings().key_ring()
