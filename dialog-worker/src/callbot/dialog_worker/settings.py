"""What the dialog worker can be told."""

from functools import cached_property

from pydantic import Field, SecretStr, field_validator

from callbot.dialog_worker.endpoints import Endpoint, TokensField, first_endpoint, http_url, more_endpoints
from callbot.runtime.keyring import KeyRing
from callbot.runtime.settings import ChainSettings, Networks, WebhookHttp


class Settings(ChainSettings):
    room: int = Field(128, ge=1)
    """How many calls this worker thinks for at once."""

    llm: str = ""
    """The chain: `openai` (the endpoint of `OPENAI_…`), `llm-2` (of `CALLBOT_LLM_2_…`), entry points of
    `callbot.llm`, by commas. Empty: all endpoints that can be used, in this order."""
    openai_base_url: str = Field("https://api.openai.com/v1", validation_alias="OPENAI_BASE_URL")
    openai_api_key: SecretStr = Field(SecretStr(""), validation_alias="OPENAI_API_KEY")
    openai_model: str = Field("", validation_alias="OPENAI_MODEL")
    """No default: vendors switch models off on dates that they announce."""

    llm_max_tokens: int = Field(80, ge=1)
    llm_max_tokens_field: TokensField = "max_completion_tokens"
    llm_temperature: float | None = Field(None, ge=0, le=2)
    """None: not sent; some reasoning models refuse it."""
    llm_reasoning_effort: str = ""
    """Empty: not sent."""
    llm_connect_s: float = Field(1.0, gt=0)
    llm_first_token_s: float = Field(4.0, gt=0)
    llm_switch_s: float = Field(1.5, gt=0)
    """To the first token, for a model that has another one after it in the chain."""
    llm_next_token_s: float = Field(1.5, gt=0)
    llm_hedge: bool = True
    """A model that is slower than it mostly is gets the next one of the chain beside it."""

    llm_warm: bool | None = None
    """One token is asked for when a call begins, so that the server has read the prompt before it is needed.

    None: only where the model is on this machine, and so costs no money.
    """

    max_sentences: int = Field(3, ge=1)
    """A suggestion ends here, whatever the model would like to add."""
    history_characters: int = Field(4000, ge=0)
    """The newest part of the conversation that the model is shown."""

    foreseen_s: float = Field(10.0, gt=0)
    """What the model thinks ahead of a turn is given up when that turn has not come within this time."""
    suggestion_s: float = Field(1.0, ge=0)
    """The webhook is called so long after the end of the turn, with the whole sentences there are."""
    webhook_s: float = Field(3.0, gt=0)
    """For the webhook's whole answer, from when it is called."""
    turn_s: float = Field(4.5, gt=0)
    """After a failed webhook the model is waited for until so long after the end of the turn."""
    settle_s: float = Field(0.5, ge=0)
    """After a failed webhook a suggestion that has begun gets so long to become complete."""

    webhook_http: WebhookHttp = "never"
    webhook_allow: Networks = ()
    """Private ranges in which webhooks may be."""
    webhook_calls_per_s: int = Field(5, ge=0)
    """For one user, all workers together; more wait inside their deadline. 0: no limit."""
    webhook_keys: SecretStr
    """`kid:base64,…`: opens the webhooks' secrets; the same ring as call-router's."""

    @cached_property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All that the environment names, also those that cannot be used. Raises SettingsError."""
        first = first_endpoint(self.openai_base_url, self.openai_api_key, self.openai_model)
        return (first, *more_endpoints())

    @field_validator("webhook_keys")
    @classmethod
    def _readable_keys(cls, keys: SecretStr) -> SecretStr:
        KeyRing.parse(keys.get_secret_value())
        return keys

    _is_http = field_validator("openai_base_url")(http_url)
