"""What is remembered: the streams and buckets of JetStream, by whom they are made, written and read."""

from dataclasses import dataclass
from typing import Any, Final

from callbot.schemas.subjects import CALL_EVENT, RECORDING_PIECE, Subject


@dataclass(frozen=True)
class Stream:
    """A JetStream stream; its consumers are durable and pulled."""

    name: str
    subject: Subject[Any]
    creator: str
    consumers: dict[str, str]
    """Durable name → the service that pulls it."""
    readers: frozenset[str]
    """Who reads single messages by their number, without a consumer."""
    max_age_s: int
    max_bytes: int
    until_taken: bool = False
    """What a consumer has taken is gone (a work queue), and what is new is refused while it is full."""
    dispensable: bool = False
    """Calls can be held without it."""


@dataclass(frozen=True)
class Bucket:
    """A JetStream key-value bucket."""

    name: str
    creator: str
    writers: frozenset[str]
    readers: frozenset[str]
    ttl_s: int
    max_bytes: int
    watched: bool = False
    """Its readers are told of each write; they hear also those that compare-and-set refuses."""
    forgets_oldest: bool = False
    """While it is full; else what is new is refused."""
    dispensable: bool = False

    @property
    def wildcard(self) -> str:
        """Where each write is published (nats/js/kv.py): this, with the key in the place of `>`."""
        return f"$KV.{self.name}.>"


CALL_EVENTS: Final = Stream(
    name="call-events",
    subject=CALL_EVENT,
    creator="call-router",
    consumers={"records": "call-router"},
    readers=frozenset({"gateway"}),
    max_age_s=7 * 24 * 3600,
    max_bytes=256 * 1024 * 1024,
)
RECORDINGS: Final = Stream(
    name="recordings",
    subject=RECORDING_PIECE,
    creator="call-router",
    consumers={"recordings": "call-router"},
    readers=frozenset(),
    max_age_s=24 * 3600,
    max_bytes=1024 * 1024 * 1024,
    until_taken=True,
    dispensable=True,
)
CALLS: Final = Bucket(
    name="calls",
    creator="call-router",
    writers=frozenset({"gateway"}),
    readers=frozenset({"gateway", "call-router"}),
    ttl_s=6 * 3600,
    max_bytes=256 * 1024 * 1024,
)
VOICES: Final = Bucket(
    name="voices",
    creator="call-router",
    writers=frozenset({"tts-worker"}),
    readers=frozenset({"call-router"}),
    ttl_s=60,
    max_bytes=32 * 1024 * 1024,
)
WEBHOOK_PERMITS: Final = Bucket(
    name="webhook-permits",
    creator="call-router",
    writers=frozenset({"dialog-worker"}),
    readers=frozenset({"dialog-worker"}),
    ttl_s=60,
    max_bytes=32 * 1024 * 1024,
)
PHRASES: Final = Bucket(
    name="phrases",
    creator="call-router",
    writers=frozenset({"tts-worker"}),
    readers=frozenset({"gateway", "tts-worker"}),
    ttl_s=30 * 24 * 3600,
    max_bytes=512 * 1024 * 1024,
    forgets_oldest=True,
    dispensable=True,
)
BREAKERS: Final = Bucket(
    name="breakers",
    creator="call-router",
    writers=frozenset({"stt-worker", "dialog-worker", "tts-worker"}),
    readers=frozenset({"stt-worker", "dialog-worker", "tts-worker"}),
    ttl_s=120,
    max_bytes=4 * 1024 * 1024,
    watched=True,
)
STREAMS: Final = (CALL_EVENTS, RECORDINGS)
BUCKETS: Final = (CALLS, VOICES, WEBHOOK_PERMITS, PHRASES, BREAKERS)
