"""`callbot numbers`: what the emulated Twilio owns, and how to connect the customer's number."""

import json
import sys

import aiohttp

from callbot.studio.emulator.rest_client import owned
from callbot.studio.up.twilio import LocalTwilio


async def show_numbers(twilio: LocalTwilio, *, as_json: bool) -> int:
    """Exit code 1 when it does not answer. The credentials are the emulator's own and open nothing else."""
    customer = twilio.accounts.customer
    try:
        of_customer = await owned(twilio, customer)
        of_platform = await owned(twilio, twilio.accounts.platform)
    except (aiohttp.ClientError, TimeoutError) as e:
        print(f"callbot numbers: the emulated Twilio does not answer: {e}", file=sys.stderr)
        return 1
    rows = [
        {
            "phone_number": n["phone_number"],
            "owner": owner,
            "name": n["friendly_name"],
            "voice": n["voice_url"],
        }
        for owner, found in (("customer", of_customer), ("platform", of_platform))
        for n in found
    ]
    connect = {
        "account_sid": customer.sid,
        "auth_token": customer.auth_token,
        "phone_number_sid": of_customer[0]["sid"] if of_customer else None,
    }
    if as_json:
        print(json.dumps({"api_url": twilio.api_url, "numbers": rows, "connect_twilio": connect}))
        return 0
    print(f"{'number':14} {'owner':9} {'name':40} voice URL")
    for row in rows:
        print(f"{row['phone_number']:14} {row['owner']:9} {row['name']:40} {row['voice'] or '-'}")
    print("\nTo try POST /v1/connect-twilio, send this body:\n")
    print(json.dumps(connect, indent=2))
    return 0
