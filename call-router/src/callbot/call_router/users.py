"""Answers what the API asks about users."""

import asyncio
import secrets
import string
from collections.abc import Callable
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from callbot.call_router.access_tokens import AccessTokens
from callbot.call_router.attempts import Attempts
from callbot.call_router.database import AlreadyThere
from callbot.call_router.identity import unauthorized
from callbot.call_router.instants import utc_now
from callbot.call_router.passwords import Passwords
from callbot.call_router.time_zones import check_time_zone
from callbot.call_router.user_store import StoredUser, UserStore
from callbot.runtime.errors import Refused
from callbot.schemas.message import UserId
from callbot.schemas.users import (
    AccessToken,
    Email,
    GetMe,
    IssueToken,
    Me,
    SignedUp,
    SignUp,
    UpdateMe,
)

ID_LETTERS = string.ascii_letters + string.digits
ID_LENGTH = 16
_EMAIL: TypeAdapter[str] = TypeAdapter(Email)


class Users:
    def __init__(
        self,
        users: UserStore,
        attempts: Attempts,
        passwords: Passwords,
        tokens: AccessTokens,
        *,
        sign_up_is_open: bool = True,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._users = users
        self._attempts = attempts
        self._passwords = passwords
        self._tokens = tokens
        self._open = sign_up_is_open
        self._now = now

    async def sign_up(self, question: SignUp) -> SignedUp:
        if not self._open:
            raise Refused("sign_up_closed", "Nobody can sign up here at the moment.")
        body = question.body
        check_time_zone(body.timezone)
        taken = await self._attempts.by_address(question.address)
        # Asked first only to spare the hash; the unique index decides.
        if await self._users.by_email(body.email):
            raise _email_taken()
        user = StoredUser(
            user_id="user_" + "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH)),
            email=body.email,
            password_hash=await self._passwords.hash(body.password),
            timezone=body.timezone,
            created_at=self._now(),
        )
        try:
            await self._users.add(user)
        except AlreadyThere as e:
            raise _email_taken() from e
        return SignedUp(user_id=user.user_id, email=body.email, rate_limit=taken.rate_limit)

    async def token(self, question: IssueToken) -> AccessToken:
        """The same work and the same answer whether the user is unknown or the password wrong."""
        email, password = _normalised(question.body.email), question.body.password
        by_address = await self._attempts.by_address(question.address)
        # Taken before the password is looked at: twenty guesses at once are twenty attempts.
        for_account = await self._attempts.for_account(email)
        try:
            user = await self._users.by_email(email)
            right = await self._passwords.matches(password, user.password_hash if user else None)
        except BaseException:
            # Nobody has learnt anything, and who knows the password is not to blame for a slow database.
            await asyncio.shield(self._attempts.give_back(for_account))
            raise
        if user is None or not right:
            raise Refused("invalid_credentials", "The e-mail address or the password is wrong.")
        await self._attempts.give_back(for_account)
        await self._keep_up_to_date(user, password)
        return AccessToken(
            access_token=self._tokens.issue(user.user_id),
            expires_in=self._tokens.valid_s,
            rate_limit=by_address.rate_limit,
        )

    async def get(self, user_id: UserId, question: GetMe) -> Me:
        return _shown(await self._users.get(user_id))

    async def update(self, user_id: UserId, question: UpdateMe) -> Me:
        check_time_zone(question.changes.timezone)
        return _shown(await self._users.set_timezone(user_id, question.changes.timezone))

    async def _keep_up_to_date(self, user: StoredUser, password: str) -> None:
        kept = user.password_hash or ""
        if self._passwords.is_outdated(kept):
            await self._users.change_password_hash(user.user_id, kept, await self._passwords.hash(password))


def _shown(user: StoredUser | None) -> Me:
    """Raises Refused(`unauthorized`): a token outlives its user."""
    if user is None:
        raise unauthorized()
    return Me(**user.model_dump(include=set(Me.model_fields)))


def _normalised(email: str) -> str:
    """As sign-up writes it. What is no address belongs to nobody, and is asked for all the same."""
    try:
        return _EMAIL.validate_python(email)
    except ValidationError:
        return email.lower()


def _email_taken() -> Refused:
    return Refused("email_taken", "There is a user with this e-mail address.")
