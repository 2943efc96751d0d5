"""Users in the database, with the number that each has connected. Collection `users`."""

from datetime import datetime

from callbot.call_router.database import SCHEMA_VERSION, Database, Document
from callbot.schemas.message import BotId, Message, Timestamp, UserId


class StoredNumber(Message):
    """A user's Twilio number, and what it was set to before it was ours."""

    phone_number: str
    phone_number_sid: str
    account_sid: str
    sealed_auth_token: str
    """Bound to `auth_token_of(user_id)`."""
    before: dict[str, str]
    """Twilio's fields of the number (`VoiceUrl`, …) as they are put back at the end."""
    connected_at: Timestamp


class StoredUser(Message):
    user_id: UserId
    email: str | None = None
    """Lower case; None for the user of the open mode."""
    password_hash: str | None = None
    timezone: str = "UTC"
    created_at: Timestamp
    default_bot_id: BotId | None = None
    """Takes the number's calls that name no bot; None, or a bot that is gone: the oldest one does."""
    number: StoredNumber | None = None


def auth_token_of(user_id: str) -> str:
    """What a user's Twilio auth token is bound to (`callbot.runtime.sealing`)."""
    return f"twilio auth token of {user_id}"


class UserStore:
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    def __init__(self, database: Database) -> None:
        self._users = database.collection("users")

    async def prepare(self) -> None:
        await self._users.index([("user_id", 1)], unique=True)
        await self._users.index([("email", 1)], unique=True, sparse=True)
        await self._users.index([("number.phone_number_sid", 1)], unique=True, sparse=True)
        await self._users.index([("number.phone_number", 1)], sparse=True)

    async def add(self, user: StoredUser) -> None:
        """Raises AlreadyThere: the id or the e-mail address is taken."""
        document = {k: v for k, v in user.model_dump().items() if v is not None}
        await self._users.insert({**document, "schema_version": SCHEMA_VERSION})

    async def get(self, user_id: str) -> StoredUser | None:
        return _user(await self._users.one({"user_id": user_id}))

    async def by_email(self, email: str) -> StoredUser | None:
        return _user(await self._users.one({"email": email}))

    async def by_phone_number(self, phone_number: str) -> StoredUser | None:
        return _user(await self._users.one({"number.phone_number": phone_number}))

    async def set_timezone(self, user_id: str, timezone: str) -> StoredUser | None:
        return _user(await self._users.change({"user_id": user_id}, {"$set": {"timezone": timezone}}))

    async def set_default_bot(self, user_id: str, bot_id: str | None) -> None:
        update = (
            {"$unset": {"default_bot_id": ""}} if bot_id is None else {"$set": {"default_bot_id": bot_id}}
        )
        await self._users.update({"user_id": user_id}, update)

    async def set_number(self, user_id: str, number: StoredNumber | None) -> None:
        """Raises AlreadyThere: another user has connected this number."""
        update: Document = (
            {"$unset": {"number": ""}} if number is None else {"$set": {"number": number.model_dump()}}
        )
        await self._users.update({"user_id": user_id}, update)

    async def ensure(self, user_id: str, now: datetime) -> None:
        """For the user of the open mode, who never signs up."""
        first = {"timezone": "UTC", "created_at": now, "schema_version": SCHEMA_VERSION}
        await self._users.update({"user_id": user_id}, {"$setOnInsert": first}, upsert=True)


def _user(found: Document | None) -> StoredUser | None:
    return None if found is None else StoredUser.model_validate(found)
