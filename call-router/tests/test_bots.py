"""Bots over the bus, in a real database."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.runtime.keyring import KeyRing
from callbot.runtime.sealing import Sealing, webhook_secret_of
from callbot.schemas.bots import (
    Bot,
    BotPatch,
    BotRef,
    BotStatus,
    ListBots,
    UpdateBot,
    VoiceStatus,
)
from callbot.schemas.subjects import BOT_DELETE, BOT_GET, BOT_LIST, BOT_UPDATE

from .conftest import ASK_S, RINGS, as_user, new_bot

pytestmark = pytest.mark.usefixtures("router")
SEALING = Sealing(KeyRing.parse(RINGS["webhook_keys"]))


async def get(gateway: Bus, bot_id: str, user_id: str = "public") -> Bot:
    return await gateway.ask(BOT_GET, BotRef(credential=as_user(user_id), bot_id=bot_id), timeout_s=ASK_S)


async def change(
    gateway: Bus, bot_id: str, user_id: str = "public", if_version: int | None = None, **fields: Any
) -> Bot:
    question = UpdateBot(
        credential=as_user(user_id), bot_id=bot_id, if_version=if_version, changes=BotPatch(**fields)
    )
    return await gateway.ask(BOT_UPDATE, question, timeout_s=ASK_S)


async def delete(gateway: Bus, bot_id: str, user_id: str = "public") -> str:
    question = BotRef(credential=as_user(user_id), bot_id=bot_id)
    return (await gateway.ask(BOT_DELETE, question, timeout_s=ASK_S)).message


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
    shown_later = bot.model_copy(update={"webhook_secret": None, "rate_limit": None})
    assert await get(gateway, bot.id) == shown_later
    changed = await change(gateway, bot.id, webhook_secret="fedcba9876543210")
    assert changed.webhook_secret is None
    kept = database["bots"].find_one({"id": bot.id})
    assert "fedcba9876543210" not in str(kept)
    assert SEALING.open(kept["sealed_webhook_secret"], webhook_secret_of(bot.id)) == "fedcba9876543210"


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
            "rate_limit": None,
            "version": 2,
        }
    )
    assert await change(gateway, bot.id) == changed


async def test_a_change_is_made_to_the_version_that_was_meant(gateway: Bus) -> None:
    bot = await new_bot(gateway)
    assert bot.version == 1
    both = [change(gateway, bot.id, if_version=1, goal=f"Goal {n}") for n in range(2)]
    changed, refused = sorted(
        await asyncio.gather(*both, return_exceptions=True), key=lambda one: isinstance(one, Exception)
    )
    assert isinstance(changed, Bot) and isinstance(refused, Refused)
    assert (refused.code, refused.details) == ("precondition_failed", {"version": "2"})
    assert changed.version == 2
    assert await get(gateway, bot.id) == changed
    with pytest.raises(Refused, match="precondition_failed"):
        await change(gateway, bot.id, if_version=1)
    with pytest.raises(Refused, match="bot_not_found"):
        await change(gateway, bot.id, "stranger", if_version=2, goal="Mine")
    with pytest.raises(Refused, match="precondition_failed"):
        await change(gateway, bot.id, if_version=1, default=True)


async def test_a_deleted_bot_is_gone(gateway: Bus) -> None:
    bot = await new_bot(gateway)
    assert await delete(gateway, bot.id) == "Bot deleted"
    for again in (get(gateway, bot.id), delete(gateway, bot.id), change(gateway, bot.id, goal="New")):
        with pytest.raises(Refused) as refused:
            await again
        assert refused.value.code == "bot_not_found"


async def test_anothers_bot_does_not_exist(gateway: Bus) -> None:
    bot = await new_bot(gateway, user_id="alice")
    for asked in (
        get(gateway, bot.id, "bob"),
        change(gateway, bot.id, "bob", goal="Mine"),
        delete(gateway, bot.id, "bob"),
    ):
        with pytest.raises(Refused) as refused:
            await asked
        assert refused.value.code == "bot_not_found"
    assert (await get(gateway, bot.id, "alice")).goal == bot.goal


async def test_a_list_has_pages_that_stay_what_they_were(gateway: Bus) -> None:
    made = [(await new_bot(gateway, user_id="lister", goal=f"Bot {n}")).id for n in range(5)]
    listed: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor:
        question = ListBots(credential=as_user("lister"), limit=2, cursor=cursor)
        page = await gateway.ask(BOT_LIST, question, timeout_s=ASK_S)
        listed += [bot.id for bot in page.bots]
        cursor, pages = page.next_cursor, pages + 1
        if pages == 1:
            made.append((await new_bot(gateway, user_id="lister")).id)
    assert pages == 3
    assert set(listed) == set(made) and len(listed) == len(made)
    whole = await gateway.ask(BOT_LIST, ListBots(credential=as_user("lister")), timeout_s=ASK_S)
    assert [bot.id for bot in whole.bots] == listed
    assert whole.next_cursor is None


@pytest.mark.parametrize("cursor", ["x", "äöü", "bm90IG91cnM", "e30", "a" * 200])
async def test_a_cursor_that_is_not_ours_is_refused(gateway: Bus, cursor: str) -> None:
    with pytest.raises(Refused) as refused:
        await gateway.ask(BOT_LIST, ListBots(credential=as_user(), cursor=cursor), timeout_s=ASK_S)
    assert (refused.value.code, refused.value.details) == ("invalid_request", {"field": "cursor"})
