"""Who answers which question, and when this replica is ready to."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from nats.errors import Error as NatsError

from callbot.call_router.access_tokens import AccessTokens
from callbot.call_router.accounts import Accounts
from callbot.call_router.api_keys import ApiKeys
from callbot.call_router.attempts import Attempts
from callbot.call_router.background import ended, kept_running
from callbot.call_router.bots import Bots
from callbot.call_router.calls import Calls
from callbot.call_router.database import StoreRejected, StoreUnavailable
from callbot.call_router.identity import Identity, as_user
from callbot.call_router.instants import utc_now
from callbot.call_router.memory import ensure_memory
from callbot.call_router.numbers import Numbers
from callbot.call_router.passwords import Passwords
from callbot.call_router.prices import Prices
from callbot.call_router.purchases import Purchases
from callbot.call_router.questions import ANSWER_WITHIN_S, Answer, Questions
from callbot.call_router.recordings import Recordings, keep_recordings
from callbot.call_router.records import keep_records
from callbot.call_router.routing import Routing
from callbot.call_router.settings import Settings, ring_of
from callbot.call_router.stores import Stores
from callbot.call_router.sweeper import keep_settled
from callbot.call_router.tokens import CallTokens
from callbot.call_router.twilio_api import open_twilio
from callbot.call_router.users import Users
from callbot.call_router.voices import Voices
from callbot.call_router.webhook_check import WebhookCheck
from callbot.call_router.webhook_test import WebhookTests
from callbot.runtime.bus import Bus
from callbot.runtime.sealing import Sealing
from callbot.runtime.webhook_address import WebhookAddresses
from callbot.schemas.subjects import (
    BOT_CREATE,
    BOT_DELETE,
    BOT_GET,
    BOT_LIST,
    BOT_TEST,
    BOT_UPDATE,
    CALL_ADMIT,
    CALL_CHECK,
    CALL_DELETE,
    CALL_GET,
    CALL_LIST,
    CALL_RECORDING,
    CALL_REENTER,
    CALL_ROUTE,
    KEY_CREATE,
    KEY_DELETE,
    KEY_LIST,
    NUMBER_CONNECT,
    NUMBER_DISCONNECT,
    NUMBER_GET,
    USER_GET,
    USER_SIGN_UP,
    USER_TOKEN,
    USER_UPDATE,
    VOICE_LIST,
    Question,
)
from callbot.schemas.users import OPEN_MODE_USER

PREPARED_WITHIN_S = 900.0
"""Large collections get new indexes, old documents are changed; other replicas answer meanwhile."""
LOOK_EVERY_S = 1.0
log = logging.getLogger(__name__)


class Readiness:
    """What must hold before a request can be answered."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.store_answers = False
        self.memory_exists = False
        self.questions_taken = False

    def __call__(self) -> dict[str, bool]:
        return {
            "nats": self._bus.is_connected,
            "mongodb": self.store_answers,
            "streams": self.memory_exists,
            "questions": self.questions_taken,
        }


@asynccontextmanager
async def answering(bus: Bus, stores: Stores, settings: Settings) -> AsyncIterator[Readiness]:
    """Answers while the block runs. Raises SettingsError: a file that the settings name is unusable."""
    readiness = Readiness(bus)
    async with AsyncExitStack() as stack:
        twilio = await stack.enter_async_context(open_twilio(settings.twilio_api_url))
        numbers, purchases = Numbers(stores, twilio, settings), Purchases(stores, twilio, settings)
        prices = Prices.read(settings.prices) if settings.prices else None
        calls = Calls(stores, bus, prices=prices)
        questions = Questions(bus, _answers(bus, stores, settings, calls, numbers, purchases))
        migrate = partial(stores.migrations.run, Sealing(ring_of(settings.webhook_keys)))
        unfinished = (migrate, purchases.settle, numbers.touching.settle)
        for work in (
            partial(_watch_store, stores, settings, readiness, questions),
            partial(_keep_memory, bus, stores, settings, readiness),
            partial(_keep_recordings, bus, stores, settings, readiness),
            partial(keep_settled, unfinished, lambda: readiness.store_answers),
        ):
            stack.push_async_callback(ended, asyncio.create_task(kept_running(work)))
        stack.push_async_callback(questions.finish, settings.drain_s)
        yield readiness


def _answers(
    bus: Bus, stores: Stores, settings: Settings, calls: Calls, numbers: Numbers, purchases: Purchases
) -> list[tuple[Question[Any, Any], Answer[Any, Any]]]:
    tokens = AccessTokens(ring_of(settings.jwt_keys), settings.access_token_s)
    identity = Identity(tokens, stores.api_keys, open_mode=settings.auth == "open")
    for_user = partial(as_user, identity)
    accounts = Accounts(stores, settings)
    voices = Voices(bus)
    routing = Routing(
        stores, accounts, CallTokens(ring_of(settings.token_keys)), voices.status_in_call, settings
    )
    users = _users(stores, settings, tokens)
    keys = ApiKeys(stores.api_keys, settings.keys_per_user)
    bots = Bots(
        stores,
        bus=bus,
        sealing=Sealing(ring_of(settings.webhook_keys)),
        webhooks=WebhookCheck(WebhookAddresses(settings.webhook_http, settings.webhook_allow)),
        voices=voices,
        purchases=purchases,
        limit=settings.bots_per_user,
    )
    return [
        (CALL_ROUTE, routing.route),
        (CALL_ADMIT, routing.admit),
        (CALL_REENTER, routing.reenter),
        (CALL_CHECK, routing.check),
        (USER_SIGN_UP, users.sign_up),
        (USER_TOKEN, users.token),
        (USER_GET, for_user(users.get)),
        (USER_UPDATE, for_user(users.update)),
        (KEY_CREATE, for_user(keys.create)),
        (KEY_LIST, for_user(keys.list)),
        (KEY_DELETE, for_user(keys.delete)),
        (NUMBER_CONNECT, for_user(numbers.connect)),
        (NUMBER_GET, for_user(numbers.get)),
        (NUMBER_DISCONNECT, for_user(numbers.disconnect)),
        (BOT_CREATE, for_user(bots.create)),
        (BOT_GET, for_user(bots.get)),
        (BOT_LIST, for_user(bots.list)),
        (BOT_UPDATE, for_user(bots.update)),
        (BOT_DELETE, for_user(bots.delete)),
        (BOT_TEST, for_user(WebhookTests(bus, stores.bots).test)),
        (VOICE_LIST, for_user(voices.list)),
        (CALL_GET, for_user(calls.get)),
        (CALL_LIST, for_user(calls.list)),
        (CALL_DELETE, for_user(calls.delete)),
        (CALL_RECORDING, for_user(Recordings(stores, calls, bus).part)),
    ]


def _users(stores: Stores, settings: Settings, tokens: AccessTokens) -> Users:
    attempts = Attempts(
        stores.attempts,
        per_address=settings.auth_attempts_per_address,
        per_account=settings.auth_attempts_per_account,
    )
    return Users(stores.users, attempts, Passwords(), tokens, sign_up_is_open=settings.sign_up == "open")


async def _watch_store(
    stores: Stores, settings: Settings, readiness: Readiness, questions: Questions
) -> None:
    """Whenever the database comes back it may be another one: restored, or empty."""
    said = ""
    while True:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S if readiness.store_answers else PREPARED_WITHIN_S):
                await (stores.ping() if readiness.store_answers else _prepare(stores, settings))
        except (StoreUnavailable, StoreRejected, TimeoutError) as e:
            readiness.store_answers = False
            reason = str(e) or type(e).__name__
            if reason != said:
                said = reason
                log.warning("MongoDB is away", extra={"reason": reason})
        else:
            if not readiness.store_answers:
                said = ""
                log.info("MongoDB answers")
            readiness.store_answers = True
            readiness.questions_taken = await questions.take()
        await asyncio.sleep(LOOK_EVERY_S)


async def _prepare(stores: Stores, settings: Settings) -> None:
    """The indexes, documents of older versions, and in open mode its user."""
    # An index has much more time than this; a database that is away is noticed here.
    await stores.ping()
    await stores.prepare()
    await stores.migrations.run(Sealing(ring_of(settings.webhook_keys)))
    if settings.auth == "open":
        await stores.users.ensure(OPEN_MODE_USER, utc_now())
        await stores.default_bots.fill(OPEN_MODE_USER)


async def _keep_memory(bus: Bus, stores: Stores, settings: Settings, readiness: Readiness) -> None:
    """The streams and buckets, then the records."""
    js = bus.jetstream()
    while True:
        try:
            await ensure_memory(js, settings.nats_replicas)
            readiness.memory_exists = True
            await keep_records(js, stores)
        except NatsError as e:
            # Also when the broker has lost its store: what is not there is made again.
            log.warning("JetStream is not ready", extra={"reason": str(e) or type(e).__name__})
            await asyncio.sleep(LOOK_EVERY_S)


async def _keep_recordings(bus: Bus, stores: Stores, settings: Settings, readiness: Readiness) -> None:
    """Beside the records, which are small and must not wait for audio."""
    while True:
        if readiness.memory_exists:
            try:
                await keep_recordings(bus.jetstream(), stores, settings.recording_days)
            except NatsError as e:
                log.debug("no recordings are kept", extra={"reason": str(e) or type(e).__name__})
        await asyncio.sleep(LOOK_EVERY_S)
