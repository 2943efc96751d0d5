"""The streams and buckets of the subject table, as this service creates them."""

import logging

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StreamConfig
from nats.js.errors import APIError

from callbot.schemas.memory import BUCKETS, STREAMS

OURS = "call-router"
DUPLICATES_WITHIN_S = 120
NAME_IN_USE_WITH_ANOTHER_CONFIGURATION = 10058
"""nats-server/server/errors.json, JSStreamNameExistErr."""
log = logging.getLogger(__name__)


async def ensure_memory(js: JetStreamContext, replicas: int) -> None:
    """Creates what is missing, and gives what exists the limits of today. Several replicas may do it at once.

    Raises nats.errors.Error when JetStream does not answer or refuses.
    """
    for stream in STREAMS:
        if stream.creator == OURS:
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
    for bucket in BUCKETS:
        if bucket.creator == OURS:
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
