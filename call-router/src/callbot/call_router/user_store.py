"""Users in the database, with the number that each has connected. Collection `users`."""

import logging
from datetime import datetime

from pydantic import Field

from callbot.call_router.database import SCHEMA_VERSION, AlreadyThere, Database, Document
from callbot.schemas.message import BotId, Message, Timestamp, UserId

log = logging.getLogger(__name__)


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
    password_hash: str | None = Field(None, repr=False)
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

    async def change_password_hash(self, user_id: str, was: str, password_hash: str) -> None:
        """Unless it has changed since it was read."""
        wanted = {"user_id": user_id, "password_hash": was}
        await self._users.update(wanted, {"$set": {"password_hash": password_hash}})

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

    async def by_number_sid(self, phone_number_sid: str) -> StoredUser | None:
        return _user(await self._users.one({"number.phone_number_sid": phone_number_sid}))

    async def swap_number(self, user_id: str, old_sid: str | None, number: StoredNumber | None) -> bool:
        """False: the user's number is not `old_sid` any more. Raises AlreadyThere as `set_number` does."""
        wanted = {"user_id": user_id, "number.phone_number_sid": old_sid or {"$exists": False}}
        update: Document = (
            {"$unset": {"number": ""}} if number is None else {"$set": {"number": number.model_dump()}}
        )
        return await self._users.update(wanted, update)

    async def take_number_from_others(self, number: StoredNumber) -> None:
        """A number that has moved to another Twilio account is another resource there: it has one user."""
        others = {
            "number.phone_number": number.phone_number,
            "number.phone_number_sid": {"$ne": number.phone_number_sid},
        }
        await self._users.change_all(others, {"$unset": {"number": ""}})

    async def ensure(self, user_id: str, now: datetime) -> None:
        """For the user of the open mode, who never signs up."""
        first = {"timezone": "UTC", "created_at": now, "schema_version": SCHEMA_VERSION}
        try:
            await self._users.update({"user_id": user_id}, {"$setOnInsert": first}, upsert=True)
        except AlreadyThere:
            log.debug("another replica was first")


def _user(found: Document | None) -> StoredUser | None:
    return None if found is None else StoredUser.model_validate(found)
