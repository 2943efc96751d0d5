"""Asks the emulated Twilio of a running platform what its numbers are."""

from collections.abc import Mapping
from typing import Any

import aiohttp

from callbot.studio.account import Account
from callbot.studio.emulator.number import Number
from callbot.studio.emulator.rest_answers import LONGEST_PAGE, path_of
from callbot.studio.emulator.rest_numbers import number_of
from callbot.studio.up.twilio import LocalTwilio

_WITHIN_S = 3.0


async def owned(twilio: LocalTwilio, account: Account) -> list[dict[str, Any]]:
    """The account's numbers, as Twilio shows them. Raises aiohttp.ClientError, TimeoutError."""
    return await _listed(twilio, account, {})


async def number_called(twilio: LocalTwilio, phone_number: str) -> Number | None:
    """As its account has set it up; None where it has no voice URL. Raises LookupError: nobody owns it."""
    for account in (twilio.accounts.customer, twilio.accounts.platform):
        for found in await _listed(twilio, account, {"PhoneNumber": phone_number}):
            if found["phone_number"] == phone_number:
                return number_of(found, account)
    raise LookupError(phone_number)


async def account_and_number_of(
    twilio: LocalTwilio, bot_id: str, platform_url: str
) -> tuple[Account, str | None] | None:
    """Whose signature the calls of a bot bear: the platform's for a bought number, the customer's for a
    connected one; None where the emulated Twilio knows neither. With the number, where there is only one."""
    platform, customer = twilio.accounts.platform, twilio.accounts.customer
    if bought := await _listed(twilio, platform, {"FriendlyName": f"callbot {bot_id}"}):
        return platform, bought[0]["phone_number"]
    listed = await _listed(twilio, customer, {})
    connected = [n["phone_number"] for n in listed if n["voice_url"].startswith(f"{platform_url}/")]
    return (customer, connected[0] if len(connected) == 1 else None) if connected else None


async def _listed(twilio: LocalTwilio, account: Account, query: Mapping[str, str]) -> list[dict[str, Any]]:
    auth = {"Authorization": aiohttp.encode_basic_auth(account.sid, account.auth_token or "")}
    timeout = aiohttp.ClientTimeout(total=_WITHIN_S)
    path = path_of(account.sid, "IncomingPhoneNumbers")
    async with (
        aiohttp.ClientSession(headers=auth, timeout=timeout) as http,
        http.get(twilio.api_url + path, params={**query, "PageSize": str(LONGEST_PAGE)}) as answer,
    ):
        answer.raise_for_status()
        found: list[dict[str, Any]] = (await answer.json())["incoming_phone_numbers"]
        return found
