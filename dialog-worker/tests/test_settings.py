"""Settings that cannot work are refused when the service starts."""

import pytest
from pydantic import ValidationError

from callbot.dialog_worker.settings import Settings
from tests.samples import WEBHOOK_KEYS

NAMES = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL")


@pytest.mark.parametrize(
    ("environment", "wrong"),
    [
        ({"OPENAI_API_KEY": "sk-1", "OPENAI_MODEL": "m"}, ""),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_MODEL": "m"}, ""),
        ({"OPENAI_BASE_URL": "localhost:1", "OPENAI_MODEL": "m"}, "must be an http or https URL"),
        ({"OPENAI_API_KEY": "sk-1", "OPENAI_MODEL": "m", "CALLBOT_WEBHOOK_HTTP": "yes"}, "never"),
        ({"OPENAI_API_KEY": "sk-1", "OPENAI_MODEL": "m", "CALLBOT_WEBHOOK_ALLOW": "10.0.0.1/8"}, "network"),
        ({"OPENAI_API_KEY": "sk-1", "OPENAI_MODEL": "m", "CALLBOT_WEBHOOK_KEYS": "k:sk-1"}, "kid:base64"),
    ],
)
def test_the_environment(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], wrong: str) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CALLBOT_WEBHOOK_KEYS", WEBHOOK_KEYS)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if not wrong:
        assert Settings().openai_model == "m"
        return
    with pytest.raises(ValidationError, match=wrong) as e:
        Settings()
    assert "sk-1" not in str(e.value)
