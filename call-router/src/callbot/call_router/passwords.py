"""Passwords as Argon2id hashes (RFC 9106), computed beside the event loop, a few at once."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from callbot.runtime.errors import Refused

MEMORY_KIB = 47_104
PASSES = 1
LANES = 1
"""OWASP Password Storage Cheat Sheet, Argon2id: m=47104 (46 MiB), t=1, p=1; about 40 ms of one core."""
AT_ONCE = 2
MOST_WAITING = 24
"""As many as get their turn well within the time of an answer; more are refused at once."""
T = TypeVar("T")


class Passwords:
    """Every method raises Refused(`unavailable`): too many are waiting."""

    def __init__(self, at_once: int = AT_ONCE, most_waiting: int = MOST_WAITING) -> None:
        self._hasher = PasswordHasher(memory_cost=MEMORY_KIB, time_cost=PASSES, parallelism=LANES)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="passwords")
        self._places = BoundedSemaphore(at_once + most_waiting)
        # Of no password: what the password of an unknown user is compared with.
        self._nobodys = self._hasher.hash("")

    async def hash(self, password: str) -> str:
        return await self._beside_the_loop(lambda: self._hasher.hash(_one_spelling(password)))

    async def matches(self, password: str, kept_hash: str | None) -> bool:
        """Takes the same time where there is no hash to compare with; the answer is False then."""
        matches = await self._beside_the_loop(lambda: self._verifies(kept_hash or self._nobodys, password))
        return matches and kept_hash is not None

    def is_outdated(self, kept_hash: str) -> bool:
        """Was it made with other costs than today's? Then its check takes another time than others' do."""
        return self._hasher.check_needs_rehash(kept_hash)

    def _verifies(self, kept_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept_hash, _one_spelling(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _beside_the_loop(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise Refused("unavailable", "Too many sign-ins at this moment. Please try again.")
        running = self._threads.submit(work)
        # Not when the asker goes: a thread that has begun computes to its end.
        running.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(running)


def _one_spelling(password: str) -> str:
    """Keyboards differ in how they send the same letters (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)
