"""Bots over the bus, in a real database."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callbot.call_router.bots import Bots, utc_now
from callbot.call_router.store import Store, StoredBot, StoreRejected
from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.schemas.bots import (
    Bot,
    BotDefinition,
    BotPatch,
    BotRef,
    BotStatus,
    CreateBot,
    ListBots,
    UpdateBot,
    VoiceStatus,
)
from callbot.schemas.calls import RouteCall
from callbot.schemas.subjects import BOT_DELETE, BOT_GET, BOT_LIST, BOT_UPDATE, CALL_ROUTE

from .conftest import ASK_S, new_bot

pytestmark = pytest.mark.usefixtures("router")


async def get(gateway: Bus, bot_id: str, user_id: str = "public") -> Bot:
    return await gateway.ask(BOT_GET, BotRef(user_id=user_id, bot_id=bot_id), timeout_s=ASK_S)


async def change(gateway: Bus, bot_id: str, user_id: str = "public", **fields: Any) -> Bot:
    question = UpdateBot(user_id=user_id, bot_id=bot_id, changes=BotPatch(**fields))
    return await gateway.ask(BOT_UPDATE, question, timeout_s=ASK_S)


async def test_a_new_bot_is_as_it_was_defined(gateway: Bus) -> None:
    fields: dict[str, Any] = {
        "goal": "Réserver",
        "context": "Open from 5.",
        "voice": "elevenlabs:emma",
        "greeting": "Bonjour !",
        "language": "fr-FR",
        "transfer_to": "+14155550100",
        "hints": ["Luigi"],
        "suggest": "off",
        "max_call_seconds": 60,
    }
    bot = await new_bot(gateway, **fields)
    assert re.fullmatch(r"bot_[A-Za-z0-9]{12}", bot.id)
    assert len(bot.webhook_secret or "") >= 32
    assert bot.model_dump(include=set(fields)) == fields
    assert (bot.number, bot.status, bot.calls_today) == (None, BotStatus.ACTIVE, 0)
    assert bot.voice_status is VoiceStatus.FALLBACK
    assert timedelta(0) <= datetime.now(UTC) - bot.created_at < timedelta(minutes=1)


async def test_the_secret_is_shown_once(gateway: Bus, database: Any) -> None:
    bot = await new_bot(gateway, webhook_secret="0123456789abcdef")
    assert bot.webhook_secret == "0123456789abcdef"
    assert await get(gateway, bot.id) == bot.model_copy(update={"webhook_secret": None})
    changed = await change(gateway, bot.id, webhook_secret="fedcba9876543210")
    assert changed.webhook_secret is None
    kept = database["bots"].find_one({"id": bot.id})
    assert (kept["webhook_secret"], kept["schema_version"]) == ("fedcba9876543210", 1)


async def test_only_what_is_patched_changes(gateway: Bus) -> None:
    bot = await new_bot(gateway, transfer_to="+14155550100", context="old")
    changed = await change(gateway, bot.id, goal="New", transfer_to=None, status="paused", voice="polly:x")
    assert changed == await get(gateway, bot.id)
    assert changed == bot.model_copy(
        update={
            "goal": "New",
            "transfer_to": None,
            "status": BotStatus.PAUSED,
            "voice": "polly:x",
            "voice_status": VoiceStatus.FALLBACK,
            "webhook_secret": None,
        }
    )
    assert await change(gateway, bot.id) == changed


async def test_a_deleted_bot_is_gone(gateway: Bus) -> None:
    bot = await new_bot(gateway)
    question = BotRef(user_id="public", bot_id=bot.id)
    assert (await gateway.ask(BOT_DELETE, question, timeout_s=ASK_S)).message == "Bot deleted"
    for again in (get(gateway, bot.id), gateway.ask(BOT_DELETE, question, timeout_s=ASK_S)):
        with pytest.raises(Refused) as refused:
            await again
        assert refused.value.code == "bot_not_found"


async def test_anothers_bot_does_not_exist(gateway: Bus) -> None:
    bot = await new_bot(gateway, user_id="alice")
    delete = gateway.ask(BOT_DELETE, BotRef(user_id="bob", bot_id=bot.id), timeout_s=ASK_S)
    for asked in (get(gateway, bot.id, "bob"), change(gateway, bot.id, "bob", goal="Mine"), delete):
        with pytest.raises(Refused) as refused:
            await asked
        assert refused.value.code == "bot_not_found"
    assert (await get(gateway, bot.id, "alice")).goal == bot.goal


async def test_a_list_has_pages_that_stay_what_they_were(gateway: Bus) -> None:
    made = [(await new_bot(gateway, user_id="lister", goal=f"Bot {n}")).id for n in range(5)]
    listed: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor:
        question = ListBots(user_id="lister", limit=2, cursor=cursor)
        page = await gateway.ask(BOT_LIST, question, timeout_s=ASK_S)
        listed += [bot.id for bot in page.bots]
        cursor, pages = page.next_cursor, pages + 1
        if pages == 1:
            made.append((await new_bot(gateway, user_id="lister")).id)
    assert pages == 3
    assert set(listed) == set(made) and len(listed) == len(made)
    whole = await gateway.ask(BOT_LIST, ListBots(user_id="lister"), timeout_s=ASK_S)
    assert [bot.id for bot in whole.bots] == listed
    assert whole.next_cursor is None


async def test_bots_of_the_same_millisecond_are_all_listed(store: Store) -> None:
    bots = Bots(
        store,
        http_to_loopback=False,
        working_voices=frozenset(),
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )
    definition = BotDefinition(goal="x", webhook="https://example.com")
    made = {(await bots.create(CreateBot(user_id="twins", definition=definition))).id for _ in range(4)}
    first = await bots.list(ListBots(user_id="twins", limit=3))
    rest = await bots.list(ListBots(user_id="twins", limit=3, cursor=first.next_cursor))
    assert len(first.bots) == 3
    assert {bot.id for bot in [*first.bots, *rest.bots]} == made


@pytest.mark.parametrize("cursor", ["x", "äöü", "bm90IG91cnM", "e30", "a" * 1000])
async def test_a_cursor_that_is_not_ours_is_refused(gateway: Bus, cursor: str) -> None:
    with pytest.raises(Refused) as refused:
        await gateway.ask(BOT_LIST, ListBots(user_id="public", cursor=cursor), timeout_s=ASK_S)
    assert (refused.value.code, refused.value.details) == ("invalid_request", {"field": "cursor"})


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:5000/hook", True),
        ("http://127.1.2.3/", True),
        ("http://[::1]:5000/", True),
        ("http://localhost/", True),
        ("http://LOCALHOST/", True),
        ("http://example.com/", False),
        ("http://10.0.0.1/", False),
        ("http://localhost.example.com/", False),
        ("http://127.0.0.1.example.com/", False),
        ("http://0.0.0.0/", False),
        ("https://example.com/", True),
    ],
)
async def test_http_is_for_this_machine_only(gateway: Bus, store: Store, url: str, allowed: bool) -> None:
    try:
        bot = await new_bot(gateway, webhook=url)
        assert (await change(gateway, bot.id, webhook=url)).webhook == url
        assert allowed
    except Refused as e:
        assert (e.code, e.details) == ("invalid_request", {"field": "webhook"})
        assert "webhook" in e.message
        assert not allowed


async def test_http_is_refused_where_the_operator_does_not_allow_it(store: Store) -> None:
    bots = Bots(store, http_to_loopback=False, working_voices=frozenset())
    definition = BotDefinition(goal="x", webhook="http://127.0.0.1/")
    with pytest.raises(Refused, match="must be https"):
        await bots.create(CreateBot(user_id="public", definition=definition))


async def test_the_calls_of_today_are_counted(gateway: Bus, database: Any) -> None:
    bot = await new_bot(gateway)
    for number in range(3):
        question = RouteCall(bot_id=bot.id, call_id=f"CA{number:032x}")
        await gateway.ask(CALL_ROUTE, question, timeout_s=ASK_S)
        await gateway.ask(CALL_ROUTE, question, timeout_s=ASK_S)
    yesterday = utc_now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(milliseconds=1)
    database["calls"].update_one({"call_id": f"CA{0:032x}"}, {"$set": {"routed_at": yesterday}})
    await change(gateway, bot.id, status="paused")
    await gateway.ask(CALL_ROUTE, RouteCall(bot_id=bot.id, call_id=None), timeout_s=ASK_S)
    assert (await get(gateway, bot.id)).calls_today == 2
    page = await gateway.ask(BOT_LIST, ListBots(user_id="public", limit=100), timeout_s=ASK_S)
    assert {listed.id: listed.calls_today for listed in page.bots}[bot.id] == 2


async def test_two_bots_cannot_have_one_id(store: Store) -> None:
    bot = StoredBot(
        id="twice", user_id="u", created_at=utc_now(), webhook_secret="x" * 16,
        **BotDefinition(goal="x", webhook="https://example.com").model_dump(exclude={"webhook_secret"}),
    )  # fmt: skip
    await store.add_bot(bot)
    with pytest.raises(StoreRejected):
        await store.add_bot(bot)
