"""Settings that cannot work are refused when the service starts."""

import pytest
from pydantic import SecretStr, ValidationError

from callbot.dialog_worker.settings import Settings
from tests.samples import WEBHOOK_KEYS

NAMES = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL")


@pytest.mark.parametrize(
    ("environment", "wrong"),
    [
        ({"OPENAI_API_KEY": "sk-1", "OPENAI_MODEL": "m"}, ""),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_MODEL": "m"}, ""),
        ({"OPENAI_MODEL": "m"}, "OPENAI_API_KEY is needed"),
        ({"OPENAI_API_KEY": "sk-1"}, "OPENAI_MODEL"),
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


@pytest.mark.parametrize(
    ("url", "llm_warm", "warms"),
    [
        ("http://127.0.0.1:8000/v1", None, True),
        ("http://localhost:8000/v1", None, True),
        ("http://[::1]:8000/v1", None, True),
        ("http://127.0.0.1:8000/v1", False, False),
        ("https://api.openai.com/v1", None, False),
        ("https://llm.example.com/v1", None, False),
        ("https://llm.example.com/v1", True, True),
    ],
)
def test_prompts_are_read_ahead_where_that_costs_nothing(
    url: str, llm_warm: bool | None, warms: bool
) -> None:
    settings = Settings(
        openai_base_url=url,
        openai_api_key=SecretStr("sk-1"),
        openai_model="m",
        llm_warm=llm_warm,
        webhook_keys=SecretStr(WEBHOOK_KEYS),
    )
    assert settings.warms_prompts is warms
