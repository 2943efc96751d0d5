"""Servers of chat completions that the environment names: `OPENAI_…` and `CALLBOT_LLM_2_…` to `_9_…`."""

from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator

from callbot.runtime.errors import SettingsError
from callbot.runtime.settings import ProviderOptions

FIRST: Final = "openai"
_NUMBERS: Final = range(2, 10)
_NEED_A_KEY: Final = ("api.openai.com", ".azure.com")

TokensField = Literal["max_completion_tokens", "max_tokens"]
"""OpenAI's reasoning models refuse the second, some servers know only the second."""


def http_url(url: str) -> str:
    """Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https URL")
    return url


class Endpoint(ProviderOptions):
    """One server and the model to ask there. Read it with `first_endpoint` or `more_endpoints`."""

    name: str
    """In `CALLBOT_LLM`, in records and in prices: `openai`, `llm-2`, … or what `…_NAME` says."""
    variables: str
    """What the names of its variables begin with."""
    base_url: str = "https://api.openai.com/v1"
    api_key: SecretStr = SecretStr("")
    model: str = ""
    """No default: vendors switch models off on dates that they announce."""
    api_version: str = ""
    """Azure's; with it the key goes as `api-key`, and the model's name is that of the deployment."""
    max_tokens_field: TokensField | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    reasoning_effort: str | None = None
    """These three: None: as `CALLBOT_LLM_…` says for all."""

    _is_http = field_validator("base_url")(http_url)

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""

    def check(self) -> None:
        """Raises SettingsError when it cannot be used."""
        if not self.model:
            raise SettingsError(f"{self.variables}MODEL is not set")
        if not self.api_key.get_secret_value() and self.host.endswith(_NEED_A_KEY):
            raise SettingsError(f"{self.variables}API_KEY is not set")


def first_endpoint(base_url: str, api_key: SecretStr, model: str) -> Endpoint:
    """The one of `OPENAI_…`; the rest of it comes from the environment. Raises SettingsError."""
    return _read("OPENAI_", name=FIRST, base_url=base_url, api_key=api_key, model=model)


def more_endpoints() -> list[Endpoint]:
    """Those of `CALLBOT_LLM_2_…` and so on that the environment has, in order. Raises SettingsError."""
    found = []
    for number in _NUMBERS:
        endpoint = _read(f"CALLBOT_LLM_{number}_")
        if endpoint.model_fields_set - {"name", "variables"}:
            found.append(endpoint)
    return found


class _Name(ProviderOptions):
    name: str = Field("", pattern=r"^[a-z0-9_-]{0,32}$")


def _read(variables: str, **given: object) -> Endpoint:
    try:
        if "name" not in given:
            number = variables.removesuffix("_").rpartition("_")[2]
            given["name"] = _Name(_env_prefix=variables).name or f"llm-{number}"
        return Endpoint(_env_prefix=variables, variables=variables, **given)  # type: ignore[arg-type]
    except ValidationError as e:
        wrong = e.errors(include_input=False, include_url=False, include_context=False)[0]
        field = str(wrong["loc"][0]) if wrong["loc"] else ""
        variable = field if field.upper().startswith(variables) else f"{variables}{field}"
        raise SettingsError(f"{variable.upper()}: {wrong['msg'].removeprefix('Value error, ')}") from None
