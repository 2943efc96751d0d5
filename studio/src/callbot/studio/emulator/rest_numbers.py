"""Phone numbers to buy (Twilio's AvailablePhoneNumbers) and those that were bought (IncomingPhoneNumbers).

Kept in one file, rewritten after each change. A failure leaves the memory as the file is.
"""

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from callbot.studio.account import Account
from callbot.studio.emulator.call_parameters import new_sid
from callbot.studio.emulator.number import Hook, Number
from callbot.studio.emulator.rest_answers import API_VERSION, TwilioError, now, path_of
from callbot.studio.up.data_dir import write_private

Resource = dict[str, Any]

_PLACES = {
    "US": {
        "415": ("San Francisco", "CA", "37.774900", "-122.419400"),
        "212": ("New York", "NY", "40.712800", "-74.006000"),
        "312": ("Chicago", "IL", "41.878100", "-87.629800"),
        "512": ("Austin", "TX", "30.267200", "-97.743100"),
        "206": ("Seattle", "WA", "47.606200", "-122.332100"),
        "617": ("Boston", "MA", "42.360100", "-71.058900"),
    },
    "CA": {
        "416": ("Toronto", "ON", "43.653200", "-79.383200"),
        "604": ("Vancouver", "BC", "49.282700", "-123.120700"),
    },
}
COUNTRIES = frozenset(_PLACES)
_EXCHANGE = "555"
_LINES = 10_000
_MINE = re.compile(rf"\+1([0-9]{{3}}){_EXCHANGE}[0-9]{{4}}")

_FIELDS = {
    "FriendlyName": "friendly_name",
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
    "VoiceApplicationSid": "voice_application_sid",
    "TrunkSid": "trunk_sid",
    "SmsUrl": "sms_url",
    "SmsMethod": "sms_method",
    "SmsFallbackUrl": "sms_fallback_url",
    "SmsFallbackMethod": "sms_fallback_method",
    "SmsApplicationSid": "sms_application_sid",
    "BundleSid": "bundle_sid",
    "AddressSid": "address_sid",
}
_CAPABILITIES = {"voice": True, "sms": True, "mms": True, "fax": False}


class Numbers:
    def __init__(self, file: Path) -> None:
        """Raises OSError, ValueError for a file that is not ours."""
        self._file = file
        self._owned: dict[str, Resource] = {}
        if file.exists():
            self._owned = {number["sid"]: number for number in json.loads(file.read_text())}

    def search(self, country: str, query: Mapping[str, str], count: int) -> list[Resource]:
        """Free numbers, from a random one on: two buyers who look at once seldom want the same."""
        places = _PLACES[country]
        if area := query.get("AreaCode"):
            places = {area: places.get(area, ("", "", "", ""))} if re.fullmatch("[2-9][0-9]{2}", area) else {}
        matches = _pattern(query.get("Contains", ""))
        taken = {number["phone_number"] for number in self._owned.values()}
        free = (
            _available(country, f"+1{area}{_EXCHANGE}{line:04}", place)
            for area, place in places.items()
            for line in _lines()
            if (number := f"+1{area}{_EXCHANGE}{line:04}") not in taken and matches(number)
        )
        return list(itertools.islice(free, count))

    def buy(self, account_sid: str, form: Mapping[str, str]) -> Resource:
        """Raises TwilioError 21421, 21422, 21452, and what a change raises."""
        phone_number = form.get("PhoneNumber") or self._any_in(form.get("AreaCode", ""))
        if not re.fullmatch(r"\+[1-9][0-9]{6,14}", phone_number):
            raise TwilioError(400, 21421, f"{phone_number} is not a valid number")
        owned = any(number["phone_number"] == phone_number for number in self._owned.values())
        if owned or not _MINE.fullmatch(phone_number):
            raise TwilioError(400, 21422, f"{phone_number} is not available.")
        bought = _changed(_fresh(account_sid, phone_number), form)
        self._keep({**self._owned, bought["sid"]: bought})
        return bought

    def listed(self, account_sid: str, query: Mapping[str, str]) -> list[Resource]:
        """Newest first, by exact FriendlyName and by PhoneNumber: a part of it, `*` for a digit."""
        name = query.get("FriendlyName")
        matches = _pattern(query.get("PhoneNumber", ""))
        return [
            number
            for number in reversed(self._owned.values())
            if number["account_sid"] == account_sid
            and (not name or number["friendly_name"] == name)
            and matches(number["phone_number"])
        ]

    def get(self, account_sid: str, sid: str) -> Resource | None:
        number = self._owned.get(sid)
        return number if number and number["account_sid"] == account_sid else None

    def change(self, number: Resource, form: Mapping[str, str]) -> Resource:
        """Raises TwilioError 21402, 21403, 21405: nothing is changed then."""
        changed = {**_changed(number, form), "date_updated": now()}
        self._keep({**self._owned, number["sid"]: changed})
        return changed

    def release(self, number: Resource) -> None:
        self._keep({sid: other for sid, other in self._owned.items() if sid != number["sid"]})

    def called(self, phone_number: str, accounts: Mapping[str, Account]) -> Number | None:
        """The number as it rings; None where nobody owns it or it has no voice URL."""
        found = next((n for n in self._owned.values() if n["phone_number"] == phone_number), None)
        return number_of(found, accounts[found["account_sid"]]) if found else None

    def _any_in(self, area: str) -> str:
        if not area:
            raise TwilioError(400, 21421, "PhoneNumber or AreaCode is required")
        found = self.search("US", {"AreaCode": area}, 1)
        if not found:
            raise TwilioError(400, 21452, f"No phone numbers found in area code {area}")
        return str(found[0]["phone_number"])

    def _keep(self, owned: dict[str, Resource]) -> None:
        write_private(self._file, json.dumps(list(owned.values())))
        self._owned = owned


def number_of(resource: Mapping[str, Any], account: Account) -> Number | None:
    """None: it has no voice URL, nobody would answer."""

    def hook(name: str, method: str) -> Hook | None:
        return Hook(resource[name], resource[method] or "POST") if resource[name] else None

    voice = hook("voice_url", "voice_method")
    if voice is None:
        return None
    return Number(
        resource["phone_number"],
        voice=voice,
        fallback=hook("voice_fallback_url", "voice_fallback_method"),
        status=hook("status_callback", "status_callback_method"),
        account=account,
        sid=resource["sid"],
        friendly_name=resource["friendly_name"],
    )


def _fresh(account_sid: str, phone_number: str) -> Resource:
    sid, at = new_sid("PN"), now()
    return {
        "sid": sid,
        "account_sid": account_sid,
        "phone_number": phone_number,
        **dict.fromkeys(_FIELDS.values(), ""),
        **{field: "POST" for field in _FIELDS.values() if field.endswith("_method")},
        **dict.fromkeys(("trunk_sid", "address_sid", "identity_sid", "bundle_sid"), None),
        "friendly_name": _national(phone_number),
        "capabilities": _CAPABILITIES,
        "address_requirements": "none",
        "api_version": API_VERSION,
        "beta": False,
        "origin": "twilio",
        "status": "in-use",
        "type": "local",
        "voice_caller_id_lookup": False,
        "voice_receive_mode": "voice",
        "emergency_status": "Inactive",
        "emergency_address_sid": None,
        "emergency_address_status": "unregistered",
        "date_created": at,
        "date_updated": at,
        "uri": path_of(account_sid, "IncomingPhoneNumbers", sid),
    }


def _changed(number: Resource, form: Mapping[str, str]) -> Resource:
    changes: Resource = {field: form[name] for name, field in _FIELDS.items() if name in form}
    for field, value in changes.items():
        if (field.endswith("_url") or field == "status_callback") and not _is_url(value):
            raise TwilioError(400, 21402, f"Url is not a valid URL: {value:.100}")
        if field.endswith("_method") and value not in ("GET", "POST"):
            raise TwilioError(400, 21403, f"Method must be GET or POST, not {value:.20}")
    changed = {**number, **changes}
    if changed["voice_fallback_url"] and not changed["voice_url"]:
        raise TwilioError(400, 21405, "Cannot set VoiceFallbackUrl without setting VoiceUrl")
    return changed


def _is_url(text: str) -> bool:
    """An empty one clears the field."""
    return not text or re.fullmatch(r"https?://[^\s/?#]+[^\s]*", text) is not None


def _available(country: str, number: str, place: tuple[str, str, str, str]) -> Resource:
    locality, region, latitude, longitude = place
    return {
        "phone_number": number,
        "friendly_name": _national(number),
        "iso_country": country,
        "locality": locality,
        "region": region,
        "rate_center": locality.upper(),
        "latitude": latitude,
        "longitude": longitude,
        "lata": None,
        "postal_code": None,
        "address_requirements": "none",
        "beta": False,
        "capabilities": {name: _CAPABILITIES[name] for name in ("voice", "sms", "mms")},
    }


def _national(number: str) -> str:
    return f"({number[2:5]}) {number[5:8]}-{number[8:]}"


def _lines() -> Iterator[int]:
    first = random.randrange(_LINES)
    return (at % _LINES for at in range(first, first + _LINES))


def _pattern(wanted: str) -> Callable[[str], bool]:
    """Digits in a row anywhere in the number; `*` and `%` stand for one digit each, `$` for the end."""
    digits = "".join(
        "[0-9]" if sign in "*%" else "$" if sign == "$" else re.escape(sign)
        for sign in wanted.removeprefix("+")
    )
    compiled = re.compile(digits)
    return lambda number: compiled.search(number) is not None
