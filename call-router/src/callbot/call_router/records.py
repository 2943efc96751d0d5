"""The events of calls, from the stream into their records: each once, in whatever order they come."""

import asyncio
import logging
import time

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from pydantic import ValidationError

from callbot.call_router.call_remains import RemainsKept, purge_remains
from callbot.call_router.database import StoreRejected, StoreUnavailable
from callbot.call_router.stores import Stores
from callbot.runtime import tracing
from callbot.schemas.calls import CallEnded, CallEvent
from callbot.schemas.memory import CALL_EVENTS
from callbot.schemas.subjects import CALL_EVENT

CONSUMER = "records"
WAIT_S = 5.0
ACK_WAIT_S = 30.0
REDELIVER_AFTER_S = 2.0
TRIES = 5
log = logging.getLogger(__name__)


async def keep_records(js: JetStreamContext, stores: Stores) -> None:
    """For ever. Raises NatsError when the consumer is lost with its server (nats.py #504): begin again."""
    pulling = await js.pull_subscribe(
        CALL_EVENT.wildcard,
        durable=CONSUMER,
        stream=CALL_EVENTS.name,
        config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S),
    )
    try:
        while True:
            try:
                for msg in await pulling.fetch(1, timeout=WAIT_S):
                    await _keep(msg, js, stores)
            except TimeoutError:
                # Nothing came. Is that so, or is the consumer gone? Then this raises.
                await pulling.consumer_info()
    finally:
        await unsubscribed(pulling)


async def unsubscribed(pulling: JetStreamContext.PullSubscription) -> None:
    try:
        await pulling.unsubscribe()
    except NatsError as e:
        log.debug("already unsubscribed", extra={"reason": type(e).__name__})


async def _keep(msg: Msg, js: JetStreamContext, stores: Stores) -> None:
    try:
        event, began_ns = CallEvent.decode(msg.data), time.time_ns()
        async with asyncio.timeout(WAIT_S):
            await _fold(event, js, stores)
        if (turn := tracing.place_in(msg.headers)) and turn.turn_id:
            tracing.record("turn_recorded", began_ns, time.time_ns(), below=turn, kind="consumer")
    except ValidationError:
        # A newer version's, maybe: during a deploy another replica can read it.
        await again_or_never(msg, "an event that cannot be read")
    except StoreRejected as e:
        await again_or_never(msg, f"the database does not take it: {e}")
    except (StoreUnavailable, RemainsKept, TimeoutError):
        # The database is away: this event and all others wait in the stream.
        await msg.nak(delay=REDELIVER_AFTER_S)
        await asyncio.sleep(REDELIVER_AFTER_S)
    else:
        await msg.ack()


async def _fold(event: CallEvent, js: JetStreamContext, stores: Stores) -> None:
    """Raises StoreUnavailable, StoreRejected, RemainsKept."""
    if not await stores.call_log.fold(event):
        # Too late: the call has been erased, so this event may not stay in the stream either.
        await purge_remains(js, event.call_id)
    if isinstance(event.fact, CallEnded) and await stores.call_log.is_over(event.call_id):
        await stores.live_calls.free(event.user_id, event.call_id)


async def again_or_never(msg: Msg, reason: str) -> None:
    tries = msg.metadata.num_delivered or 1
    if tries < TRIES:
        await msg.nak(delay=REDELIVER_AFTER_S)
        return
    log.error("a message is dropped", extra={"subject": msg.subject, "reason": reason})
    await msg.term()
