"""The streams and buckets of the subject table, as this service creates them."""

import logging

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StreamConfig
from nats.js.errors import APIError

from callbot.schemas.memory import BUCKETS, STREAMS, Bucket, Stream

OURS = "call-router"
DUPLICATES_WITHIN_S = 120
NAME_IN_USE_WITH_ANOTHER_CONFIGURATION = 10058
NO_ROOM = frozenset({10005, 10023, 10047})
"""nats-server/server/errors.json: JSStreamNameExistErr; JSClusterNoPeersErrF, JSInsufficientResourcesErr,
JSStorageResourcesExceededErr."""
log = logging.getLogger(__name__)


async def ensure_memory(js: JetStreamContext, replicas: int) -> None:
    """Creates what is missing, and gives what exists the limits of today. Several replicas may do it at once.

    Each reserves its bytes. What calls can do without comes last, and is left out where there is no room.
    Raises nats.errors.Error when JetStream does not answer or refuses.
    """
    ours = [stored for stored in (*STREAMS, *BUCKETS) if stored.creator == OURS]
    for stored in sorted(ours, key=lambda stored: stored.dispensable):
        try:
            if isinstance(stored, Stream):
                await _ensure_stream(js, stored, replicas)
            else:
                await _ensure_bucket(js, stored, replicas)
        except APIError as e:
            if not stored.dispensable or e.err_code not in NO_ROOM:
                raise
            log.error("JetStream has no room", extra={"stream": stored.name, "bytes": stored.max_bytes})


async def _ensure_stream(js: JetStreamContext, stream: Stream, replicas: int) -> None:
    config = StreamConfig(
        name=stream.name,
        subjects=[stream.subject.wildcard],
        max_age=stream.max_age_s,
        max_bytes=stream.max_bytes,
        retention=RetentionPolicy.WORK_QUEUE if stream.until_taken else RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW if stream.until_taken else DiscardPolicy.OLD,
        duplicate_window=DUPLICATES_WITHIN_S,
        num_replicas=replicas,
    )
    try:
        await js.add_stream(config)
    except APIError as e:
        await _change(js, config, e)


async def _ensure_bucket(js: JetStreamContext, bucket: Bucket, replicas: int) -> None:
    config = StreamConfig(
        name=f"KV_{bucket.name}",
        max_age=bucket.ttl_s,
        max_bytes=bucket.max_bytes,
        num_replicas=replicas,
    )
    try:
        await js.create_key_value(
            bucket=bucket.name, ttl=bucket.ttl_s, max_bytes=bucket.max_bytes, replicas=replicas
        )
    except APIError as e:
        await _change(js, config, e)
    if bucket.forgets_oldest:
        await _let_forget(js, f"KV_{bucket.name}")


async def _let_forget(js: JetStreamContext, name: str) -> None:
    """nats-py makes every bucket refuse what is new while it is full."""
    found = (await js.stream_info(name)).config
    if found.discard != DiscardPolicy.OLD:
        await js.update_stream(found.evolve(discard=DiscardPolicy.OLD))


async def _change(js: JetStreamContext, wanted: StreamConfig, refusal: APIError) -> None:
    """What exists under this name gets the wanted limits."""
    if refusal.err_code != NAME_IN_USE_WITH_ANOTHER_CONFIGURATION:
        raise refusal
    name = wanted.name or ""
    found = (await js.stream_info(name)).config
    # The server takes no window that is longer than the messages live.
    window = min(found.duplicate_window or DUPLICATES_WITHIN_S, wanted.max_age or DUPLICATES_WITHIN_S)
    await js.update_stream(
        found.evolve(
            max_age=wanted.max_age,
            max_bytes=wanted.max_bytes,
            num_replicas=wanted.num_replicas,
            duplicate_window=window,
        )
    )
    log.info("limits changed", extra={"stream": name})
