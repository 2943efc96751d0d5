"""What a language model is to us: a conversation in, pieces of its reply out."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

TRUNCATED = "llm_truncated"
"""Code of the ProviderError that ends a reply at the model's token limit."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: Literal["system", "user", "assistant"]
    content: str


class LanguageModel(Protocol):
    def reply(self, messages: Sequence[ChatMessage]) -> AsyncGenerator[str]:
        """Pieces of text as they are made; `aclose` stops the model. Raises ProviderError.

        The message of an error never carries words of the conversation.
        """
        ...

    async def read_ahead(self, messages: Sequence[ChatMessage]) -> None:
        """Have the server read a conversation that begins like those to come, for its prefix cache.

        It takes nothing from a reply that somebody waits for. Whoever needs the model cancels it. Raises
        nothing.
        """
