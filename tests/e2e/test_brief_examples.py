"""The two brief documents' own examples, as they stand there: only host and ids are ours."""

import json
import subprocess
from xml.etree import ElementTree

import aiohttp

from callbot.studio.up import Platform
from tests.conftest import BotMaker
from tests.e2e.user import buy_number, signed_up

FIRST = {
    "goal": "Take restaurant reservations",
    "webhook": "https://api.eatery.com/bot",
    "context": "Open 5PM–10PM. Tables for 2,4,6. No pets.",
    "voice": "elevenlabs:emma",
}


async def test_the_first_document_without_prefix_and_token(api: aiohttp.ClientSession) -> None:
    async with api.post("/bots", json=FIRST) as answer:
        assert answer.status == 200
        made = await answer.json()
    assert made["id"].startswith("bot_") and made["status"] == "active"
    assert made["number"].startswith("+1") and made["created_at"].endswith("Z")
    async with api.get("/bots?limit=100") as answer:
        found = [bot for bot in await answer.json() if bot["id"] == made["id"]]
        link = answer.headers.get("Link", "")
    while not found:
        async with api.get(link.partition(">")[0].lstrip("<")) as answer:
            found = [bot for bot in await answer.json() if bot["id"] == made["id"]]
            link = answer.headers.get("Link", "")
    listed = {k: found[0][k] for k in ("id", "number", "goal", "status", "calls_today")}
    assert listed == {**{k: made[k] for k in ("id", "number", "goal", "status")}, "calls_today": 0}
    async with api.get(f"/bots/{made['id']}") as answer:
        assert FIRST.items() <= (await answer.json()).items()
    async with api.delete(f"/bots/{made['id']}") as answer:
        assert await answer.json() == {"message": "Bot deleted"}


def curl(*arguments: str) -> str:
    return subprocess.run(
        ["curl", "-s", *arguments], capture_output=True, text=True, timeout=20, check=True
    ).stdout


async def test_the_documents_curls(platform: Platform, make_bot: BotMaker) -> None:
    body = '{\n    "goal": "Book dentist",\n    "webhook": "https://clinic.com/api/callbot",\n' + (
        '    "context": "Dr. Smith, Mon-Fri 9-5"\n  }'
    )
    made = json.loads(
        curl("-X", "POST", f"{platform.url}/bots", "-H", "Content-Type: application/json", "-d", body)
    )
    assert {"id", "number"} <= set(made)
    form = "Content-Type: application/x-www-form-urlencoded"
    document = curl("-X", "POST", f"{platform.url}/voice?bot_id={made['id']}", "-H", form)
    connect = ElementTree.fromstring(document)[0]
    assert (connect.tag, connect[0].tag) == ("Connect", "Stream")
    assert connect[0].attrib["url"].endswith(f"/voice/stream/{made['id']}")


async def test_the_second_document_with_a_token(strict_platform: Platform) -> None:
    async with signed_up(strict_platform) as user:
        number = await buy_number(strict_platform)
        account = strict_platform.twilio.accounts.customer
        body = {
            "account_sid": account.sid,
            "auth_token": account.auth_token,
            "phone_number_sid": number["sid"],
        }
        connected = await user.ask("POST", "/v1/connect-twilio", 200, body)
        assert connected == {"message": "Connected", "phone_number": number["phone_number"]}
        bot = await user.ask(
            "POST", "/v1/bots", 200, {"goal": "Book table", "webhook": "https://example.com/"}
        )
        assert bot["number"] == number["phone_number"]
        shown = await user.ask("GET", "/v1/my-number")
        assert shown == {"phone_number": number["phone_number"], "bots_count": 1}
        changed = await user.ask("PATCH", f"/v1/bots/{bot['id']}", 200, {"goal": "Book another table"})
        assert changed["goal"] == "Book another table"
        assert await user.ask("DELETE", f"/v1/bots/{bot['id']}") == {"message": "Bot deleted"}
        await user.ask("DELETE", "/v1/my-number")


async def test_voice_errors_in_the_documents_words(api: aiohttp.ClientSession) -> None:
    for query, status, says in (("", 400, "Invalid bot"), ("?bot_id=abc123", 404, "Bot not found")):
        async with api.post(f"/voice{query}") as answer:
            assert (answer.status, answer.content_type) == (status, "application/xml")
            assert ElementTree.fromstring(await answer.text()).findtext("Say") == says
