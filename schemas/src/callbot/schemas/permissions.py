"""What each service may say and hear on NATS, from the subject table; and a server's configuration with it.

A speaker publishes its rows, a listener subscribes to them, everybody has an inbox of their own
(`_INBOX.{service}.…`), and who is asked may answer once. JetStream and key-value subjects are those that
nats-py 2.16 sends (nats/js/manager.py, kv.py, client.py); a bucket is read through its stream's leader, so
that a gateway which takes a call over reads the newest journal.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypedDict

from callbot.schemas.memory import BUCKETS, STREAMS
from callbot.schemas.subjects import SERVICES, SUBJECTS, Question

ANSWER_WITHIN_S = 10
"""Longer than any asker waits; then the right to answer that question is gone."""
MAX_PAYLOAD_BYTES = 1024 * 1024
WRITE_DEADLINE_S = 2
"""A client that does not take its messages for so long is a dead one."""


class Allowed(TypedDict):
    allow: list[str]


class Permissions(TypedDict, total=False):
    """Permissions of one NATS user, as its server's configuration has them."""

    publish: Allowed
    subscribe: Allowed
    allow_responses: dict[str, int | str]


def permissions(service: str) -> Permissions:
    """Everything that is not named here is refused by the server. Raises ValueError: no such service."""
    if service not in SERVICES:
        raise ValueError(f"no such service: {service}")
    spoken = [row.wildcard for row in SUBJECTS if service in row.speakers]
    heard = [row.wildcard for row in SUBJECTS if service in row.listeners]
    heard += [bucket.wildcard for bucket in BUCKETS if bucket.watched and service in bucket.readers]
    granted: Permissions = {
        "publish": {"allow": sorted({*spoken, *_stream_subjects(service), *_bucket_subjects(service)})},
        "subscribe": {"allow": sorted({*heard, f"_INBOX.{service}.>"})},
    }
    if any(isinstance(row, Question) and service in row.listeners for row in SUBJECTS):
        granted["allow_responses"] = {"max": 1, "expires": f"{ANSWER_WITHIN_S}s"}
    return granted


def _stream_subjects(service: str) -> Iterator[str]:
    for stream in STREAMS:
        if service == stream.creator:
            yield from _created(stream.name)
            yield f"$JS.API.STREAM.PURGE.{stream.name}"
        if service in stream.readers:
            yield f"$JS.API.STREAM.INFO.{stream.name}"
            yield f"$JS.API.STREAM.MSG.GET.{stream.name}"
        for consumer, puller in stream.consumers.items():
            if service == puller:
                path = f"{stream.name}.{consumer}"
                yield f"$JS.API.CONSUMER.INFO.{path}"
                yield f"$JS.API.CONSUMER.CREATE.{path}.{stream.subject.wildcard}"
                yield f"$JS.API.CONSUMER.MSG.NEXT.{path}"
                yield f"$JS.ACK.{path}.>"


def _bucket_subjects(service: str) -> Iterator[str]:
    for bucket in BUCKETS:
        stream = f"KV_{bucket.name}"
        if service == bucket.creator:
            yield from _created(stream)
            yield f"$JS.API.STREAM.PURGE.{stream}"
        if service in bucket.readers | bucket.writers:
            yield f"$JS.API.STREAM.INFO.{stream}"
            yield f"$JS.API.STREAM.MSG.GET.{stream}"
        if service in bucket.writers:
            yield bucket.wildcard


def _created(stream: str) -> Iterator[str]:
    for verb in ("CREATE", "INFO", "UPDATE"):
        yield f"$JS.API.STREAM.{verb}.{stream}"


def nats_config(
    passwords: Mapping[str, str],
    *,
    store_dir: Path,
    port: int,
    http_port: int | None = None,
    host: str = "127.0.0.1",
) -> str:
    """A whole configuration for nats-server: JetStream, and one user for each service that has a password.

    Nobody else may connect. The monitoring page (`http_port`) is on loopback whatever `host` is; it asks for
    no password and names live calls, so there is none unless it is asked for.
    Raises ValueError for an unknown service and for what cannot stand in the file.
    """
    users = "\n".join(_user(service, password) for service, password in sorted(passwords.items()))
    monitor = f'http: "127.0.0.1:{http_port}"\n' if http_port else ""
    return f"""\
host: {_quoted(host)}
port: {port}
{monitor}max_payload: {MAX_PAYLOAD_BYTES}
write_deadline: "{WRITE_DEADLINE_S}s"
jetstream {{
  store_dir: {_quoted(str(store_dir))}
}}
authorization {{
  users: [
{users}
  ]
}}
"""


def _user(service: str, password: str) -> str:
    granted = permissions(service)
    if not password:
        raise ValueError(f"{service} has no password")
    lines = [f"publish: {_allow(granted['publish'])}", f"subscribe: {_allow(granted['subscribe'])}"]
    if "allow_responses" in granted:
        limits = ", ".join(f"{k}: {_value(v)}" for k, v in granted["allow_responses"].items())
        lines.append(f"allow_responses: {{{limits}}}")
    told = "\n".join(f"        {line}" for line in lines)
    return (
        f"    {{\n      user: {_quoted(service)}\n      password: {_quoted(password)}\n"
        f"      permissions: {{\n{told}\n      }}\n    }}"
    )


def _allow(allowed: Allowed) -> str:
    return "{allow: [" + ", ".join(_quoted(subject) for subject in allowed["allow"]) + "]}"


def _value(value: int | str) -> str:
    return str(value) if isinstance(value, int) else _quoted(value)


def _quoted(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a control character cannot stand in the NATS configuration")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
