"""Twilio's Calls, as far as a platform's own number is called: `To` rings, a silent caller listens.

A number that the emulator does not know is recorded and not answered.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping
from typing import Any

from callbot.studio.account import Account
from callbot.studio.emulator.call_parameters import CallStatus, new_sid
from callbot.studio.emulator.caller import NotHeard
from callbot.studio.emulator.emulator import Emulator
from callbot.studio.emulator.number import Number
from callbot.studio.emulator.rest_answers import API_VERSION, TOO_MANY_REQUESTS, TwilioError, now, path_of

AT_ONCE = 50
KEPT = 1000
"""The newest calls that can be asked for."""
TIME_LIMIT_S = 60
"""Without a `TimeLimit` the caller hangs up after so long."""
_ENDED = frozenset({"completed", "canceled", "no-answer", "busy", "failed"})
_SID = re.compile(r"CA[0-9a-f]{32}")


class Calls:
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._made: dict[str, dict[str, Any]] = {}
        self._live: dict[str, asyncio.Task[None]] = {}

    def create(self, account: Account, form: Mapping[str, str], number: Number | None) -> dict[str, Any]:
        """Raises TwilioError: 21201 no To, 21213 no From, 21205 nothing to run, 20429 too many at once."""
        for name, code in (("To", 21201), ("From", 21213)):
            if not form.get(name):
                raise TwilioError(400, code, f"{name} is required")
        if not any(form.get(name) for name in ("Url", "Twiml", "ApplicationSid")):
            raise TwilioError(400, 21205, "Url, Twiml or ApplicationSid is required")
        limit = form.get("TimeLimit", str(TIME_LIMIT_S))
        if not limit.isdigit():
            raise TwilioError(400, 21223, "TimeLimit must be a number of seconds")
        if len(self._live) >= AT_ONCE:
            raise TwilioError(429, TOO_MANY_REQUESTS, "Too many calls at once")
        call = _resource(account.sid, form["From"], form["To"])
        self._made[call["sid"]] = call
        if len(self._made) > KEPT:
            self._made.pop(next(iter(self._made)))
        if number is None:
            call["status"] = "no-answer"
        else:
            running = asyncio.create_task(self._run(call, number, float(limit)))
            self._live[call["sid"]] = running
            running.add_done_callback(lambda _: self._live.pop(call["sid"]))
        return dict(call)

    def get(self, account_sid: str, sid: str) -> dict[str, Any] | None:
        call = self._made.get(sid) if _SID.fullmatch(sid) else None
        return dict(call) if call and call["account_sid"] == account_sid else None

    def update(self, sid: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Only the end of a call. Raises TwilioError: 21220 it is over, 20001 anything else."""
        call = self._made[sid]
        if call["status"] in _ENDED:
            raise TwilioError(400, 21220, "Call is not in-progress. Cannot redirect.")
        if form.get("Status") not in ("completed", "canceled"):
            raise TwilioError(400, 20001, "This emulator only ends calls: Status=completed")
        self._live[sid].cancel()
        call |= {"status": form["Status"], "end_time": now(), "date_updated": now()}
        return dict(call)

    async def close(self) -> None:
        running = list(self._live.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, call: dict[str, Any], number: Number, limit_s: float) -> None:
        """The leg that the platform sees is a call of its own, with a CallSid of its own."""
        call["status"] = CallStatus.RINGING.value
        began = time.monotonic()
        try:
            async with self._emulator.dial(to=number, from_number=call["from"]) as caller:
                call |= {"status": CallStatus.IN_PROGRESS.value, "start_time": now()}
                with contextlib.suppress(NotHeard):
                    await caller.ended(within_s=limit_s)
            call["status"] = (await caller.ended()).status.value
        except asyncio.CancelledError:
            call["status"] = CallStatus.COMPLETED.value
            raise
        finally:
            call |= {
                "end_time": now(),
                "date_updated": now(),
                "duration": str(round(time.monotonic() - began)),
            }


def _resource(account_sid: str, from_number: str, to_number: str) -> dict[str, Any]:
    sid, at = new_sid("CA"), now()
    return {
        "sid": sid,
        "account_sid": account_sid,
        "from": from_number,
        "from_formatted": from_number,
        "to": to_number,
        "to_formatted": to_number,
        "status": "queued",
        "direction": "outbound-api",
        "api_version": API_VERSION,
        "date_created": at,
        "date_updated": at,
        "start_time": None,
        "end_time": None,
        "duration": None,
        "price": None,
        "price_unit": "USD",
        "queue_time": "0",
        **dict.fromkeys(("answered_by", "caller_name", "forwarded_from", "group_sid"), None),
        **dict.fromkeys(("parent_call_sid", "phone_number_sid", "trunk_sid"), None),
        "uri": path_of(account_sid, "Calls", sid),
        "subresource_uris": {},
    }
