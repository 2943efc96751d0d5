"""What call-router keeps: bots and call records. `mongo.py` is the one that keeps them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from callbot.runtime.errors import CallbotError
from callbot.schemas.bots import BotStatus, Suggest
from callbot.schemas.calls import CallDetail, CallEvent, RouteVerdict
from callbot.schemas.message import BotId, CallId, Message, Timestamp, UserId


class StoreUnavailable(CallbotError):
    """The database does not answer; the same may work later."""


class StoreRejected(CallbotError):
    """The database understood and will never take this."""


class StoredBot(Message):
    id: BotId
    user_id: UserId
    status: BotStatus = BotStatus.ACTIVE
    created_at: Timestamp
    """To the millisecond, as the database keeps it."""
    goal: str
    webhook: str
    webhook_secret: str
    context: str
    voice: str
    greeting: str
    language: str
    transfer_to: str | None
    hints: list[str]
    suggest: Suggest
    max_call_seconds: int


class CallRecord(Message):
    """What routing needs of a call's record; the facts of the call lie beside it in the same document."""

    call_id: CallId
    bot_id: BotId
    user_id: UserId
    verdict: RouteVerdict
    account_sid: str = ""
    from_number: str = ""
    to_number: str = ""
    routed_at: Timestamp
    token_issued_at: Timestamp
    generation: int = 0
    """How many streams of this call have been admitted."""
    ended_at: Timestamp | None = None


class Store(Protocol):
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    async def prepare(self) -> None:
        """Indexes. May be called by several replicas at once, and again."""

    async def ping(self) -> None: ...

    async def add_bot(self, bot: StoredBot) -> None: ...

    async def bot(self, bot_id: str) -> StoredBot | None: ...

    async def bots_of(self, user_id: str, after: tuple[datetime, str] | None, limit: int) -> list[StoredBot]:
        """Oldest first, beginning behind the bot that was created at `after[0]` and is called `after[1]`."""

    async def change_bot(
        self, user_id: str, bot_id: str, changes: Mapping[str, object]
    ) -> StoredBot | None: ...

    async def remove_bot(self, user_id: str, bot_id: str) -> bool: ...

    async def calls_since(self, bot_ids: Iterable[str], since: datetime) -> dict[str, int]:
        """How many calls each bot has been given since then; a bot without one is not named."""

    async def keep_call(self, record: CallRecord) -> CallRecord:
        """The record that is kept for this call: the first one."""

    async def call(self, call_id: str) -> CallRecord | None: ...

    async def call_detail(self, user_id: str, call_id: str) -> CallDetail | None:
        """Its turns in the order of their numbers."""

    async def renew_token(self, call_id: str, was: datetime, now: datetime) -> CallRecord | None:
        """Move the time of the token from `was`; None when somebody else has moved it."""

    async def begin_stream(self, call_id: str, max_generation: int) -> int | None:
        """The next generation; None when the call is over, unknown, or has had too many."""

    async def fold(self, event: CallEvent) -> None:
        """Into the record of its call, once by its id, in whatever order events come."""
