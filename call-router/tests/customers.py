"""Users as routing sees them: their Twilio account, their number, their bots, and what that account asks."""

import itertools
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from callbot.call_router.accounts import Accounts
from callbot.call_router.bot_store import StoredBot
from callbot.call_router.purchase_store import Purchase, PurchaseState
from callbot.call_router.routing import Routing
from callbot.call_router.settings import Settings, ring_of
from callbot.call_router.stores import Stores
from callbot.call_router.tokens import CallTokens
from callbot.call_router.user_store import StoredNumber, StoredUser, auth_token_of
from callbot.runtime.keyring import KeyRing
from callbot.runtime.sealing import Sealing
from callbot.schemas.bots import Suggest
from callbot.schemas.calls import CallRoute, CheckCall, RouteCall, TwilioRequest

from .conftest import every_voice_works
from .test_routing import new_call_id
from .test_signatures import sign

PUBLIC = "https://bots.example"
PLATFORM_SID, PLATFORM_TOKEN = "AC" + "f" * 32, "token of the platform"
BEGAN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
KEYS = KeyRing.random()
_seconds = itertools.count()


class Customer:
    """A user with a Twilio account of their own, a number in it, and as many bots as a test wants."""

    def __init__(self, stores: Stores, settings: Settings) -> None:
        name = secrets.token_hex(8)
        self.stores, self.settings = stores, settings
        self.user_id = f"user_{name}"
        self.sid, self.token = f"AC{name * 2}", f"token of {name}"
        self.number = f"+1{secrets.randbelow(9 * 10**9) + 10**9}"
        self.routing = Routing(
            stores, Accounts(stores, settings), CallTokens(KEYS), every_voice_works, settings
        )

    async def signs_up(self, *, connected: bool = True) -> "Customer":
        await self.stores.users.add(StoredUser(user_id=self.user_id, created_at=BEGAN))
        if connected:
            sealed = Sealing(ring_of(self.settings.secret_keys)).seal(self.token, auth_token_of(self.user_id))
            number = StoredNumber(
                phone_number=self.number,
                phone_number_sid=f"PN{secrets.token_hex(16)}",
                account_sid=self.sid,
                sealed_auth_token=sealed,
                before={},
                connected_at=BEGAN,
            )
            await self.stores.users.set_number(self.user_id, number)
        return self

    async def makes_bot(self, *, bought: str | None = None) -> str:
        bot_id = f"bot_{secrets.token_hex(6)}"
        bot = StoredBot(
            id=bot_id,
            user_id=self.user_id,
            created_at=BEGAN + timedelta(seconds=next(_seconds)),
            number=bought,
            goal="Book",
            webhook="https://example.com",
            sealed_webhook_secret="sealed",
            context="",
            voice="piper:joe",
            greeting="Hello!",
            language="en-US",
            transfer_to=None,
            hints=[],
            suggest=Suggest.OFF,
            max_call_seconds=600,
        )
        await self.stores.bots.add(bot, limit=100)
        if bought is not None:
            purchase = Purchase(
                bot_id=bot_id,
                user_id=self.user_id,
                account_sid=PLATFORM_SID,
                state=PurchaseState.OWNED,
                phone_number=bought,
                began_at=BEGAN,
                due_at=BEGAN,
            )
            await self.stores.purchases.keep(purchase)
        return bot_id

    async def calls(
        self, bot_id: str | None = None, call_id: str | None = None, *, to: str = "", **over: Any
    ) -> CallRoute:
        """Twilio asks what to do, in the name of this customer's account."""
        call_id = call_id or new_call_id()
        to = to or self.number
        asked = self.request(f"/v1/voice?bot_id={bot_id}" if bot_id else "/v1/voice", call_id, To=to, **over)
        question = RouteCall(
            request=asked,
            bot_id=bot_id,
            call_id=call_id,
            account_sid=dict(asked.form)["AccountSid"],
            to_number=to,
        )
        return await self.routing.route(question)

    def request(
        self, target: str, call_id: str, *, token: str = "", signed: bool = True, **fields: str
    ) -> TwilioRequest:
        form = list({"CallSid": call_id, "AccountSid": self.sid, "ToCity": "", **fields}.items())
        signature = sign(PUBLIC + target, form, token or self.token) if signed else ""
        return TwilioRequest(target=target, form=form, signature=signature)

    async def asks_about(
        self, routed: CallRoute, call_id: str | None = None, *, signed_call: str | None = None, **over: Any
    ) -> str:
        """Of which call it is told that it is about."""
        call_id = call_id or routed.call_id
        shown = routed.signed_call if signed_call is None else signed_call
        asked = self.request(f"/v1/voice/next?call={shown}", call_id, **over)
        question = CheckCall(request=asked, signed_call=shown, call_id=call_id)
        return (await self.routing.check(question)).call_id
