"""What a language model is to us: a conversation in, pieces of its reply out."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from callbot.runtime.errors import ProviderError

TRUNCATED = "truncated"
"""Code of the ProviderError that ends a reply at the model's token limit."""
FILTERED = "content_refused"
"""Code of the ProviderError that ends a reply which the vendor does not want said."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Anew:
    """Among the pieces: the reply was broken off, and what follows is another reply from its beginning.

    Nobody who is content with what came before need ask for the next piece: it is not begun before that.
    """

    because: ProviderError


@dataclass(frozen=True, slots=True)
class TokensUsed:
    """What one request has cost, also when it was stopped or thrown away."""

    provider: str
    """The name in `CALLBOT_LLM`."""
    model: str
    tokens_in: int
    tokens_out: int
    estimated: bool
    """The server has not said it: four characters were taken for a token."""


TellUsed = Callable[[TokensUsed], None]


def tell_nobody(used: TokensUsed) -> None:
    """For a reply that nobody counts."""


class LanguageModel(Protocol):
    def reply(
        self, messages: Sequence[ChatMessage], tell_used: TellUsed = tell_nobody
    ) -> AsyncGenerator[str | Anew]:
        """Pieces of text as they are made; `aclose` stops the model. Raises ProviderError.

        The message of an error never carries words of the conversation. One model alone never yields Anew.
        `tell_used` is called once for each request that a server has accepted, at its end.
        """
        ...

    async def read_ahead(self, messages: Sequence[ChatMessage], tell_used: TellUsed = tell_nobody) -> None:
        """Have the server read a conversation that begins like those to come, for its prefix cache.

        It takes nothing from a reply that somebody waits for. Whoever needs the model cancels it. Raises
        nothing; does nothing where it costs money and was not asked for.
        """
