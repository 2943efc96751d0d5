"""What is left of a call in JetStream: its events, its journal, pieces of its recording."""

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from callbot.runtime.errors import CallbotError
from callbot.schemas.memory import CALL_EVENTS, CALLS, RECORDINGS
from callbot.schemas.subjects import CALL_EVENT, RECORDING_PIECE


class RemainsKept(CallbotError):
    """JetStream is away: something of the call is still there."""


async def purge_remains(js: JetStreamContext, call_id: str) -> None:
    """Every event and piece, and the journal with all its revisions. Safe to repeat. Raises RemainsKept."""
    for stream, subject in (
        (CALL_EVENTS.name, CALL_EVENT.of(call_id=call_id)),
        (RECORDINGS.name, RECORDING_PIECE.of(call_id=call_id)),
        # A key of a bucket is a subject of the bucket's stream (nats.py, js/kv.py).
        (f"KV_{CALLS.name}", f"$KV.{CALLS.name}.{call_id}"),
    ):
        try:
            await js.purge_stream(stream, subject=subject)
        except NotFoundError:
            continue
        except NatsError as e:
            raise RemainsKept(f"{stream}: {type(e).__name__}") from e
