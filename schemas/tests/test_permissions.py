"""The generated permissions, in force on a real server: all that the table says, and nothing else."""

import asyncio
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from nats.js.api import StreamConfig
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

from callbot.schemas.memory import BUCKETS, STREAMS
from callbot.schemas.permissions import nats_config
from callbot.schemas.subjects import SERVICES, SUBJECTS, Question, Subject

from .conftest import User

Users = dict[str, User]
TIMEOUT_S = 5
ARROWS = [(row, *pair) for row in SUBJECTS for pair in product(sorted(row.speakers), sorted(row.listeners))]


def concrete(row: Subject) -> str:
    ids = {name: f"x{number}" for number, name in enumerate(re.findall(r"\{(\w+)\}", row.template))}
    return row.of(**ids)


@pytest.mark.parametrize(("row", "speaker", "listener"), ARROWS, ids=lambda v: getattr(v, "name", v))
@pytest.mark.parametrize("queue", ["", "some-group"])
async def test_what_a_speaker_says_reaches_each_listener(
    users: Users, row: Subject, speaker: str, listener: str, queue: str
) -> None:
    heard: asyncio.Queue[Msg] = asyncio.Queue()

    async def hear(msg: Msg) -> None:
        await heard.put(msg)
        if isinstance(row, Question):
            await msg.respond(b"answer")

    listening = await users[listener].client.subscribe(row.wildcard, queue=queue, cb=hear)
    assert await users[listener].complained() == []
    if isinstance(row, Question):
        answer = await users[speaker].client.request(concrete(row), b"question", timeout=TIMEOUT_S)
        assert answer.data == b"answer"
    else:
        await users[speaker].client.publish(concrete(row), b"told")
    msg = await asyncio.wait_for(heard.get(), TIMEOUT_S)
    await listening.unsubscribe()
    assert msg.subject == concrete(row)
    assert await users[speaker].complained() == await users[listener].complained() == []


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_may_not_publish_what_is_not_its_own(users: Users, service: str) -> None:
    foreign = {concrete(row) for row in SUBJECTS if service not in row.speakers}
    foreign |= {"x", "call.x", "_INBOX.gateway.x", "_INBOX.tts-worker.x", "$SYS.REQ.SERVER.PING"}
    foreign |= set(foreign_memory(service))
    for subject in foreign:
        await users[service].client.publish(subject, b"")
    complaints = await users[service].complained()
    assert refused(complaints, "publish") == {subject.lower() for subject in foreign}


def foreign_memory(service: str) -> Iterator[str]:
    """JetStream subjects that this service has no part in."""
    yield from ("$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.CREATE.x")
    creators = {s.name: s.creator for s in STREAMS} | {f"KV_{b.name}": b.creator for b in BUCKETS}
    for name, creator in creators.items():
        yield from (f"$JS.API.STREAM.{verb}.{name}" for verb in ("DELETE", "MSG.DELETE"))
        yield f"$JS.API.CONSUMER.DELETE.{name}.x"
        if service != creator:
            yield from (f"$JS.API.STREAM.{verb}.{name}" for verb in ("CREATE", "UPDATE", "PURGE"))
    for stream in STREAMS:
        for name, puller in stream.consumers.items():
            if service != puller:
                path = f"{stream.name}.{name}"
                yield from (f"$JS.API.CONSUMER.{verb}.{path}" for verb in ("INFO", "CREATE", "MSG.NEXT"))
                yield f"$JS.ACK.{path}.1.1.1.1.0"
    for bucket in BUCKETS:
        if service not in bucket.writers:
            yield f"$KV.{bucket.name}.x"
        if service not in bucket.readers | bucket.writers:
            yield f"$JS.API.STREAM.MSG.GET.KV_{bucket.name}"


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_may_not_hear_what_is_not_its_own(users: Users, service: str) -> None:
    foreign = {row.wildcard for row in SUBJECTS if service not in row.listeners}
    foreign |= {f"_INBOX.{other}.>" for other in SERVICES if other != service}
    foreign |= {b.wildcard for b in BUCKETS if not b.watched or service not in b.readers}
    foreign |= {">", "call.>", "call.*.*.*", "_INBOX.>", "$KV.>", "$JS.API.>", "$SYS.>"}
    for subject in foreign:
        await users[service].client.subscribe(subject)
    complaints = await users[service].complained()
    assert refused(complaints, "subscription") == {subject.lower() for subject in foreign}


def refused(complaints: list[str], what: str) -> set[str]:
    found = (
        re.search(rf'permissions violation for {what} to "([^"]+)"', said.lower()) for said in complaints
    )
    return {match[1] for match in found if match}


async def test_a_question_is_answered_once(users: Users) -> None:
    seen: asyncio.Queue[Msg] = asyncio.Queue()
    listening = await users["tts-worker"].client.subscribe("seats.mouth.offer", cb=seen.put)
    await users["tts-worker"].flush()
    asked = asyncio.create_task(
        users["gateway"].client.request("seats.mouth.offer", b"", timeout=TIMEOUT_S),
    )
    msg = await asyncio.wait_for(seen.get(), TIMEOUT_S)
    await msg.respond(b"first")
    await msg.respond(b"second")
    assert (await asked).data == b"first"
    await listening.unsubscribe()
    assert len(await users["tts-worker"].complained()) == 1


@pytest.fixture(scope="module")
async def memory(users: Users) -> Users:
    """All streams and buckets, made by their creators, twice as replicas do."""
    for _ in range(2):
        for stream in STREAMS:
            js = users[stream.creator].client.jetstream(timeout=TIMEOUT_S)
            config = StreamConfig(name=stream.name, subjects=[stream.subject.wildcard])
            await js.add_stream(config)
            await js.update_stream(config)
        for bucket in BUCKETS:
            js = users[bucket.creator].client.jetstream(timeout=TIMEOUT_S)
            await js.create_key_value(bucket=bucket.name)
            await js.stream_info(f"KV_{bucket.name}")
    return users


@pytest.mark.parametrize("stream", STREAMS, ids=lambda s: s.name)
async def test_events_are_published_pulled_and_acknowledged(memory: Users, stream) -> None:
    for speaker in stream.subject.speakers:
        ack = await memory[speaker].client.jetstream().publish(concrete(stream.subject), b"event")
        assert ack.stream == stream.name
    for consumer, puller in stream.consumers.items():
        js = memory[puller].client.jetstream(timeout=TIMEOUT_S)
        pulling = await js.pull_subscribe(stream.subject.wildcard, durable=consumer, stream=stream.name)
        first, *rest = await pulling.fetch(len(stream.subject.speakers), timeout=TIMEOUT_S)
        await first.in_progress()
        for msg in (first, *rest):
            await msg.ack_sync(timeout=TIMEOUT_S)
        assert (await pulling.consumer_info()).num_ack_pending == 0
        assert await memory[puller].complained() == []
        await pulling.unsubscribe()


@pytest.mark.parametrize("bucket", BUCKETS, ids=lambda b: b.name)
async def test_a_bucket_is_written_by_its_writers_and_read_by_its_readers(memory: Users, bucket) -> None:
    for writer, reader in product(bucket.writers, bucket.readers):
        key = f"{writer}-{reader}"
        written = await memory[writer].client.jetstream(timeout=TIMEOUT_S).key_value(bucket.name)
        read = await memory[reader].client.jetstream(timeout=TIMEOUT_S).key_value(bucket.name)
        revision = await written.create(key, b"1")
        revision = await written.update(key, b"2", last=revision)
        assert (await read.get(key)).value == b"2"
        with pytest.raises(KeyWrongLastSequenceError):
            await written.update(key, b"3", last=revision - 1)
        with pytest.raises(KeyWrongLastSequenceError):
            await written.create(key, b"3")
        await written.put(key, b"4")
        await written.delete(key)
        with pytest.raises(KeyNotFoundError):
            await read.get(key)
        await written.create(key, b"5")
        assert (await read.get(key)).value == b"5"
        assert await memory[writer].complained() == await memory[reader].complained() == []


@pytest.mark.parametrize("bucket", [b for b in BUCKETS if b.watched], ids=lambda b: b.name)
async def test_readers_hear_each_write_to_a_watched_bucket(memory: Users, bucket) -> None:
    for writer, reader in product(bucket.writers, bucket.readers):
        heard: asyncio.Queue[Msg] = asyncio.Queue()
        listening = await memory[reader].client.subscribe(bucket.wildcard, cb=heard.put)
        await memory[reader].flush()
        written = await memory[writer].client.jetstream(timeout=TIMEOUT_S).key_value(bucket.name)
        await written.put("a.key", b"told")
        msg = await asyncio.wait_for(heard.get(), TIMEOUT_S)
        await listening.unsubscribe()
        assert (msg.subject, msg.data) == (bucket.wildcard.removesuffix(">") + "a.key", b"told")
        assert await memory[writer].complained() == await memory[reader].complained() == []


@pytest.mark.parametrize("login", ['{"user": "gateway", "pass": "guess"}', "{}"], ids=["wrong", "none"])
async def test_without_the_right_password_nobody_connects(nats_port: int, login: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", nats_port)
    writer.write(f"CONNECT {login}\r\nPING\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), TIMEOUT_S)
    writer.close()
    await writer.wait_closed()
    assert b"-ERR 'Authorization Violation'" in answer
    assert b"PONG" not in answer


@pytest.mark.parametrize(
    ("passwords", "host"),
    [({"studio": "x"}, "127.0.0.1"), ({"gateway": ""}, "127.0.0.1"), ({"gateway": "x"}, "a\nb")],
    ids=["unknown service", "no password", "line break"],
)
def test_a_configuration_that_would_not_hold_is_not_made(passwords: dict[str, str], host: str) -> None:
    with pytest.raises(ValueError):
        nats_config(passwords, store_dir=Path("/x"), port=1, http_port=2, host=host)
