"""NATS, as the subject table allows it: tell, hear, ask, answer."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.kv import KeyValue
from pydantic import ValidationError

from callbot.runtime import tracing
from callbot.runtime.errors import NoResponders, NotAllowed, Refused, SettingsError, Silent, TimedOut
from callbot.runtime.link_watch import LINK_ERRORS, LinkWatch, close
from callbot.runtime.soon import Soon
from callbot.schemas.audio import BotAudio, CallerAudio, MalformedAudio
from callbot.schemas.memory import Bucket
from callbot.schemas.message import Refusal, Wire
from callbot.schemas.subjects import SERVICES, Question, Subject

M = TypeVar("M", bound=Wire)
A = TypeVar("A", bound=Wire)
log = logging.getLogger(__name__)

REFUSED_HEADER = "Callbot-Refused"
CONNECT_TIMEOUT_S = 10.0
LONG_QUESTION_S = 3.0
FINISH_WITHIN_S = 1.0
PENDING_MESSAGES = 4096
"""A subscription that is this far behind drops what is new; an ears' replay of 30 s is 1,500 messages."""
UNTRACED: frozenset[type[Any]] = frozenset({CallerAudio, BotAudio})  # Too many to carry headers.


class Listening:
    """One subscription."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    async def stop(self) -> None:
        """Nothing is delivered after this returns. Safe to call twice, and on a broken connection."""
        try:
            await self._subscription.unsubscribe()
        except LINK_ERRORS as e:
            log.debug("already unsubscribed", extra={"reason": str(e)})

    async def finish(self) -> None:
        """Takes nothing new; what the server has sent by now is still delivered. As safe as `stop`."""
        try:
            async with asyncio.timeout(FINISH_WITHIN_S):
                await self._subscription.drain()  # type: ignore[no-untyped-call]
        except (*LINK_ERRORS, TimeoutError) as e:
            log.debug("not finished", extra={"reason": str(e) or type(e).__name__})


class Bus:
    def __init__(self, client: Client, service: str) -> None:
        self._client = client
        self._tasks: set[asyncio.Task[None]] = set()
        self._soon = Soon(client)
        self.service = service

    @property
    def is_connected(self) -> bool:
        return bool(self._client.is_connected)

    def require_link(self) -> None:
        """Raises TimedOut while the server is away: a question that waits in a buffer is asked too late."""
        if not self._client.is_connected:
            raise TimedOut("the bus is away")

    async def tell(self, row: Subject[M], message: M, **ids: str) -> None:
        """At most once. Raises NotAllowed, TimedOut (the connection is away and its buffer full)."""
        self._check(row, speaks=True)
        try:
            headers = None if row.message in UNTRACED else tracing.headers()
            await self._client.publish(row.of(**ids), message.encode(), headers=headers)
        except LINK_ERRORS as e:
            raise TimedOut(f"{row.name}: {e}") from e

    def teller(self, row: Subject[M], **ids: str) -> Callable[[M], None]:
        """For many messages that may be lost: checked once, told without waiting, sent a moment later.

        A `tell` meanwhile overtakes them. Raises NotAllowed."""
        self._check(row, speaks=True)
        return self._soon.teller(row.of(**ids))

    async def ask(self, row: Question[M, A], message: M, *, timeout_s: float, **ids: str) -> A:
        """Raises Refused, NoResponders, TimedOut, NotAllowed."""
        self._check(row, speaks=True)
        self.require_link()
        try:
            if timeout_s > LONG_QUESTION_S:
                # A server that stands still would be noticed only by its pings, seconds later.
                await self._client.flush(timeout=1)
            to, headers = row.of(**ids), tracing.headers()
            reply = await self._client.request(to, message.encode(), timeout=timeout_s, headers=headers)
        except NoRespondersError as e:
            raise NoResponders(row.name) from e
        except LINK_ERRORS as e:
            raise TimedOut(f"{row.name}: no answer in {timeout_s} s") from e
        tracing.answered(reply.headers)
        if reply.headers and REFUSED_HEADER in reply.headers:
            refusal = Refusal.decode(reply.data)
            raise Refused(refusal.code, refusal.message, refusal.details)
        try:
            return row.answer.decode(reply.data)
        except (ValidationError, MalformedAudio) as e:
            raise TimedOut(f"{row.name}: an answer that cannot be read") from e

    async def hear(
        self, row: Subject[M], on: Callable[[M], None], *, queue: str = "", **ids: str
    ) -> Listening:
        """`on` gets one message at a time, in order; it must be quick. Ids not given match anything."""
        self._check(row, speaks=False)

        async def deliver(msg: Msg) -> None:
            message = _decode(row, msg)
            if message is not None:
                try:
                    on(message)
                except Exception:
                    log.exception("a message could not be handled", extra={"subject": row.name})

        return await self._subscribe(row, deliver, queue, ids)

    async def answer(
        self, row: Question[M, A], on: Callable[[M], Awaitable[A]], *, queue: str = "", **ids: str
    ) -> Listening:
        """Each request gets a task of its own; tasks begin in the order of the requests."""
        self._check(row, speaks=False)

        async def respond(message: M, msg: Msg) -> None:
            try:
                answer = (await on(message)).encode()
                await self._client.publish(msg.reply, answer, headers=tracing.headers())
            except Silent:
                return
            except Refused as e:
                await self._refuse(msg, e)
            except Exception:
                log.exception("a request could not be answered", extra={"subject": row.name})
                await self._refuse(msg, Refused("internal_error", "Something went wrong on our side."))

        async def deliver(msg: Msg) -> None:
            message = _decode(row, msg)
            if message is not None:
                task = asyncio.create_task(respond(message, msg))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            elif queue:
                # Nobody else has got it: the asker would wait for nothing.
                await self._refuse(msg, Refused("unavailable", "A question of another version."))

        return await self._subscribe(row, deliver, queue, ids)

    async def answered(self, within_s: float) -> None:
        """Waits for what is being answered, so long at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)

    async def _refuse(self, msg: Msg, refused: Refused) -> None:
        refusal = Refusal(code=refused.code, message=refused.message, details=refused.details)
        try:
            await self._client.publish(msg.reply, refusal.encode(), headers={REFUSED_HEADER: "1"})
        except LINK_ERRORS as e:
            log.warning("a refusal was not sent", extra={"code": refused.code, "reason": str(e)})

    async def flush(self, timeout_s: float = 2.0) -> None:
        """Returns when the server has seen everything sent so far. Raises TimedOut."""
        # Twice: nats-py writes its PING ahead of what still waits to be written, the second is behind it.
        try:
            for _ in range(2):
                await self._client.flush(timeout=max(1, int(timeout_s)))
        except LINK_ERRORS as e:
            raise TimedOut(f"flush: {e}") from e

    def jetstream(self, timeout_s: float = 2.0) -> JetStreamContext:
        return self._client.jetstream(timeout=timeout_s)

    async def remember(
        self, row: Subject[M], message: M, *, message_id: str, timeout_s: float, **ids: str
    ) -> None:
        """Into the stream that holds this subject, once by its id. Raises TimedOut when it is not stored."""
        self._check(row, speaks=True)
        self.require_link()
        headers = {"Nats-Msg-Id": message_id, **(tracing.headers() or {})}
        try:
            js = self.jetstream(timeout_s)
            await js.publish(row.of(**ids), message.encode(), timeout=timeout_s, headers=headers)
        except LINK_ERRORS as e:
            raise TimedOut(f"{row.name}: not stored: {type(e).__name__}") from e

    async def bucket(self, bucket: Bucket) -> KeyValue:
        """Raises NotAllowed, TimedOut (the bucket's leader or the server is away, or it does not exist)."""
        if self.service not in bucket.writers | bucket.readers:
            raise NotAllowed(f"{self.service} has no part in the bucket {bucket.name}")
        try:
            return await self.jetstream().key_value(bucket.name)
        except LINK_ERRORS as e:
            raise TimedOut(f"bucket {bucket.name}: {type(e).__name__}") from e

    async def watch(self, bucket: Bucket, on: Callable[[str, bytes], None]) -> Listening:
        """`on` gets the key and the value of each write from now on, also of those that the bucket refuses.

        In order and at most once; it must be quick. Raises NotAllowed, TimedOut.
        """
        if not bucket.watched or self.service not in bucket.readers:
            raise NotAllowed(f"{self.service} does not watch the bucket {bucket.name}")
        beginning = bucket.wildcard.removesuffix(">")

        async def deliver(msg: Msg) -> None:
            try:
                on(msg.subject.removeprefix(beginning), msg.data)
            except Exception:
                log.exception("a write could not be handled", extra={"bucket": bucket.name})

        return await self._listen(bucket.name, bucket.wildcard, deliver)

    async def _subscribe(
        self, row: Subject[Any], deliver: Callable[[Msg], Awaitable[None]], queue: str, ids: dict[str, str]
    ) -> Listening:
        deliver = deliver if row.message in UNTRACED else tracing.restoring(deliver)
        return await self._listen(row.name, row.of(**ids) if ids else row.wildcard, deliver, queue)

    async def _listen(
        self, name: str, subject: str, deliver: Callable[[Msg], Awaitable[None]], queue: str = ""
    ) -> Listening:
        try:
            subscription = await self._client.subscribe(
                subject, queue=queue, cb=deliver, pending_msgs_limit=PENDING_MESSAGES
            )
        except LINK_ERRORS as e:
            raise TimedOut(f"{name}: {e}") from e
        return Listening(subscription)

    def _check(self, row: Subject[Any], *, speaks: bool) -> None:
        if self.service not in (row.speakers if speaks else row.listeners):
            raise NotAllowed(f"{self.service} does not {'speak' if speaks else 'listen'} on {row.name}")


def _decode(row: Subject[M], msg: Msg) -> M | None:
    try:
        return row.message.decode(msg.data)
    except (ValidationError, MalformedAudio) as e:
        log.error("a message that cannot be read", extra={"subject": row.name, "reason": type(e).__name__})
        return None


@asynccontextmanager
async def connect(nats_url: str, *, speaks_as: str) -> AsyncIterator[Bus]:
    """A bus for one service, reconnecting for ever. Raises SettingsError when no server answers at first.

    And, out of the block, when the server refuses who was welcome before (its passwords were changed): a
    process that nobody can reach must end, so that it is started again.
    Pings every second: a server that dies without a word is noticed within two.
    """
    if speaks_as not in SERVICES:
        raise SettingsError(f"no such service: {speaks_as}")

    watch = LinkWatch()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            client = await nats.connect(
                nats_url,
                name=speaks_as,
                skip_subject_validation=True,  # Subject.of has seen to them
                inbox_prefix=f"_INBOX.{speaks_as}".encode(),
                ping_interval=1,
                max_outstanding_pings=2,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.25,
                error_cb=watch.on_error,
                disconnected_cb=watch.on_disconnect,
                reconnected_cb=watch.on_reconnect,
                closed_cb=watch.on_close,
            )
            watch.follow(client)
    except (TimeoutError, OSError, NatsError) as e:
        raise SettingsError("NATS does not answer at NATS_URL") from e
    try:
        yield Bus(client, speaks_as)
    except asyncio.CancelledError:
        user = asyncio.current_task()
        if not watch.refused or user is None:
            raise
        user.uncancel()
        raise SettingsError("NATS has closed the connection for good: is the password still right?") from None
    finally:
        watch.closing = True
        await close(client)
