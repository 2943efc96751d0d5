"""The emulated Twilio of `callbot up`: its accounts, where it is, which parts of the platform know of it."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from callbot.studio.account import ACCOUNTS_FILE, Account, Accounts
from callbot.studio.up.auth import is_public
from callbot.studio.up.data_dir import DataDir, write_private
from callbot.studio.up.parts import Part, python
from callbot.studio.up.ports import FreePorts
from callbot.studio.up.settings import UpSettings
from callbot.studio.up.state import STATE_FILE

SERVICE = "twilio"


@dataclass(frozen=True, slots=True)
class LocalTwilio:
    """A running emulated Twilio."""

    api_url: str
    accounts: Accounts


def local_twilio(data: Path) -> LocalTwilio | None:
    """None: no platform with an emulated Twilio runs on this data directory."""
    try:
        parts = json.loads((data / STATE_FILE).read_text())
        port = next((part["port"] for part in parts if part["service"] == SERVICE), None)
        return LocalTwilio(f"http://127.0.0.1:{port}", Accounts.read(data)) if port else None
    except (OSError, ValueError):
        return None


def twilio_part(
    settings: UpSettings, data: DataDir, ports: FreePorts, inherited: Mapping[str, str]
) -> tuple[Part | None, dict[str, str]]:
    """The emulator's part, and what call-router must know of it.

    None where the operator has a Twilio account, or a public URL: then the real Twilio reaches the platform,
    and its users connect real numbers.
    """
    if settings.twilio_account_sid or settings.twilio_api_url or is_public("127.0.0.1", settings.public_url):
        return None, {}
    account = _accounts(data.path).platform
    port = ports.take()
    argv = python("callbot.studio.emulator.rest", "--port", str(port), "--data", str(data.path))
    env = {
        "CALLBOT_TWILIO_API_URL": f"http://127.0.0.1:{port}",
        "CALLBOT_TWILIO_ACCOUNT_SID": account.sid,
        "CALLBOT_TWILIO_AUTH_TOKEN": account.auth_token or "",
    }
    return Part(SERVICE, 1, argv, port, env=inherited, ready_path="/health"), env


def _accounts(data: Path) -> Accounts:
    """Random ones, made at the first start, the same ever after."""
    if not (data / ACCOUNTS_FILE).exists():
        platform, customer = (Account("AC" + secrets.token_hex(16), secrets.token_hex(16)) for _ in range(2))
        write_private(data / ACCOUNTS_FILE, Accounts(platform, customer).written())
    return Accounts.read(data)
