"""What each service may say and hear on NATS, from the subject table; and a server's configuration with it.

A speaker publishes its rows, a listener subscribes to them, everybody has an inbox of their own
(`_INBOX.{service}.…`), and who is asked may answer once. JetStream and key-value subjects are those that
nats-py 2.16 sends (nats/js/manager.py, kv.py, client.py); a bucket is read through its stream's leader, so
that a gateway which takes a call over reads the newest journal.

`python -m callbot.schemas.permissions [--check] [--root DIR]` writes the configurations of the servers in
Kubernetes (`CLUSTERS`), or says which of them are stale (exit code 1).
"""

import argparse
import sys
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
MIB = 1024 * 1024
CLUSTERS = {"k8s/components/nats/nats.conf": 3, "k8s/components/nats-single/nats.conf": 1}
"""Generated file → how many servers share it."""


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
    if nobody := [service for service, password in passwords.items() if not password]:
        raise ValueError(f"{', '.join(nobody)} has no password")
    users = "\n".join(_user(service, _quoted(password)) for service, password in sorted(passwords.items()))
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


def cluster_config(servers: int) -> str:
    """The configuration of every server of a cluster in Kubernetes; there is no secret in it.

    The server reads from its environment: POD_NAME; the passwords (`password_variable`, also of `routes`);
    and with more than one server NATS_ROUTE_0 … with the URLs of all of them. What is in the environment is
    read as if it stood here: a password needs its quotation marks there.

    `no_advertise`, because nats-py goes to an address that it has been told of without its password: clients
    know the Service alone. A server keeps one copy of everything, at most the limits of all streams; in
    memory it keeps nothing of ours. A tenth more, as the server counts what a full stream is about to drop.
    """
    users = "\n".join(_user(service, f"${password_variable(service)}") for service in sorted(SERVICES))
    stored = sum(one.max_bytes for one in (*STREAMS, *BUCKETS))
    return f"""\
# Generated from schemas/src/callbot/schemas/subjects.py by `python -m callbot.schemas.permissions`.
server_name: $POD_NAME
host: "0.0.0.0"
port: 4222
http: "127.0.0.1:8222"
pid_file: "/tmp/nats.pid"
max_payload: {MAX_PAYLOAD_BYTES}
write_deadline: "{WRITE_DEADLINE_S}s"
lame_duck_grace_period: "5s"
lame_duck_duration: "30s"
jetstream {{
  store_dir: "/data"
  max_file_store: {-(-stored * 11 // 10 // MIB)}MiB
  max_memory_store: 16MiB
}}
{_cluster(servers) if servers > 1 else ""}authorization {{
  users: [
{users}
  ]
}}
"""


def password_variable(user: str) -> str:
    return f"NATS_PASSWORD_{user.replace('-', '_').upper()}"


def _cluster(servers: int) -> str:
    routes = ", ".join(f"$NATS_ROUTE_{number}" for number in range(servers))
    return f"""\
cluster {{
  name: callbot
  host: "0.0.0.0"
  port: 6222
  no_advertise: true
  authorization {{user: routes, password: ${password_variable("routes")}, timeout: 5}}
  routes: [{routes}]
}}
"""


def _user(service: str, password: str) -> str:
    granted = permissions(service)
    lines = [f"publish: {_allow(granted['publish'])}", f"subscribe: {_allow(granted['subscribe'])}"]
    if "allow_responses" in granted:
        limits = ", ".join(f"{k}: {_value(v)}" for k, v in granted["allow_responses"].items())
        lines.append(f"allow_responses: {{{limits}}}")
    told = "\n".join(f"        {line}" for line in lines)
    return (
        f"    {{\n      user: {_quoted(service)}\n      password: {password}\n"
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


def stale(root: Path) -> list[Path]:
    """Which of the generated files under `root` are missing or say something else."""
    wanted = {root / path: cluster_config(servers) for path, servers in CLUSTERS.items()}
    return [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]


def write(root: Path) -> None:
    for path, servers in CLUSTERS.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(cluster_config(servers), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m callbot.schemas.permissions", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when something is stale")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: here)")
    options = parser.parse_args()
    if not (options.root / "schemas").is_dir():
        parser.error(f"{options.root.resolve()} is not the repository")
    if not options.check:
        write(options.root)
    elif old := stale(options.root):
        named = ", ".join(str(path) for path in old)
        sys.exit(f"stale: {named}; run `python -m callbot.schemas.permissions`")


if __name__ == "__main__":
    main()
