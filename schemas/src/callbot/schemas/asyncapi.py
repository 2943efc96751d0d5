"""The subject table as AsyncAPI 3.0 documents (one a service) and as the flow diagram.

`python -m callbot.schemas.asyncapi [--check] [--root DIR]` writes docs/asyncapi/*.yaml, docs/flow.md and
the README's diagram, or says which of them are stale (exit code 1). Needs PyYAML, a development dependency.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from callbot.schemas.audio import BotAudio, CallerAudio
from callbot.schemas.flow import flow_page, with_diagram
from callbot.schemas.memory import BUCKETS, STREAMS
from callbot.schemas.message import Refusal, Wire
from callbot.schemas.recording import RecordingPart, RecordingPiece
from callbot.schemas.subjects import SERVICES, SUBJECTS, Question, Subject

Json = dict[str, Any]
GENERATED = (
    "# Generated from schemas/src/callbot/schemas/subjects.py by `python -m callbot.schemas.asyncapi`.\n"
)
DESCRIPTIONS = {
    "gateway": "Takes the calls: REST, TwiML, media sockets; sequencer and supervisor of every live call.",
    "call-router": "Bots, call records and routing; creates the streams and buckets.",
    "stt-worker": "The ears of a call: audio in, what was said out.",
    "dialog-worker": "The mind of a call: what to say and do.",
    "tts-worker": "The mouth of a call: sentences in, audio out.",
}
BINARY = (CallerAudio, BotAudio, RecordingPiece, RecordingPart)
REFUSED_HEADERS: Json = {
    "type": "object",
    "properties": {"Callbot-Refused": {"type": "string", "const": "1"}},
    "required": ["Callbot-Refused"],
}


def document(service: str) -> Json:
    """The AsyncAPI document of one service: what it sends and receives."""
    rows = [row for row in SUBJECTS if service in row.speakers | row.listeners]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": service, "version": "1", "description": DESCRIPTIONS[service]},
        "defaultContentType": "application/json",
        "servers": {"nats": {"host": "localhost:4222", "protocol": "nats"}},
        "channels": dict(_channels(rows)),
        "operations": {
            f"{verb}_{row.name}": _operation(row, verb)
            for row in rows
            for verb, who in (("send", row.speakers), ("receive", row.listeners))
            if service in who
        },
        "components": _components(rows),
        "x-jetstream": _memory(service),
    }


def _channels(rows: list[Subject[Wire]]) -> Iterator[tuple[str, Json]]:
    for row in rows:
        channel: Json = {"address": row.template, "messages": _messages(row.message)}
        names = re.findall(r"\{(\w+)\}", row.template)
        if names:
            channel["parameters"] = {name: {} for name in names}
        yield row.name, channel
        if isinstance(row, Question):
            about = "The asker's inbox; a refusal carries the header Callbot-Refused."
            messages = _messages(row.answer, Refusal)
            yield f"{row.name}_answer", {"address": None, "description": about, "messages": messages}


def _messages(*types: type[Wire]) -> Json:
    return {t.__name__: {"$ref": f"#/components/messages/{t.__name__}"} for t in types}


def _operation(row: Subject[Wire], verb: str) -> Json:
    operation: Json = {"action": verb, "channel": {"$ref": f"#/channels/{row.name}"}}
    if isinstance(row, Question):
        operation["reply"] = {"channel": {"$ref": f"#/channels/{row.name}_answer"}}
    return operation


def _components(rows: list[Subject[Wire]]) -> Json:
    answers = [row.answer for row in rows if isinstance(row, Question)]
    types = {row.message for row in rows} | set(answers) | ({Refusal} if answers else set())
    in_order = sorted(types, key=lambda t: t.__name__)
    models = [t for t in in_order if issubclass(t, BaseModel)]
    _, found = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    return {
        "messages": {t.__name__: _message(t) for t in in_order},
        "schemas": _without_discriminators(found["$defs"]),
    }


def _message(message: type[Wire]) -> Json:
    if issubclass(message, BINARY):
        layout = (message.__doc__ or "").strip().replace("\n    ", "\n")
        payload = {"type": "string", "format": "binary", "description": layout}
        return {"contentType": "application/octet-stream", "payload": payload}
    told: Json = {"payload": {"$ref": f"#/components/schemas/{message.__name__}"}}
    return {**told, "headers": REFUSED_HEADERS} if message is Refusal else told


def _without_discriminators(schema: Any) -> Any:
    """AsyncAPI's `discriminator` is another thing than OpenAPI's; every variant has its `const` anyway."""
    if isinstance(schema, dict):
        return {k: _without_discriminators(v) for k, v in schema.items() if k != "discriminator"}
    return [_without_discriminators(v) for v in schema] if isinstance(schema, list) else schema


def _memory(service: str) -> Json:
    """Which part the service has in each stream and bucket; nothing where it has none."""
    memory: Json = {}
    for stream in STREAMS:
        part: Json = {"creates": True} if service == stream.creator else {}
        if service in stream.subject.speakers:
            part["publishes"] = stream.subject.template
        if pulled := sorted(name for name, puller in stream.consumers.items() if service == puller):
            part["pulls"] = pulled
        if part:
            memory[f"stream {stream.name}"] = part
    for bucket in BUCKETS:
        roles = {"creates": {bucket.creator}, "writes": bucket.writers, "reads": bucket.readers}
        if part := {role: True for role, who in roles.items() if service in who}:
            memory[f"bucket {bucket.name}"] = part
    return memory


def generated(root: Path) -> Iterator[tuple[Path, str]]:
    """Each generated file under `root`, and what it should contain."""
    for service in SERVICES:
        text = yaml.safe_dump(document(service), sort_keys=False, allow_unicode=True, width=100)
        yield root / "docs" / "asyncapi" / f"{service}.yaml", GENERATED + text
    yield root / "docs" / "flow.md", flow_page()
    readme = root / "README.md"
    if readme.exists():
        yield readme, with_diagram(readme.read_text("utf-8"))


def stale(root: Path) -> list[Path]:
    return [path for path, text in generated(root) if not path.exists() or path.read_text("utf-8") != text]


def write(root: Path) -> None:
    for path, text in generated(root):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m callbot.schemas.asyncapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when something is stale")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: here)")
    options = parser.parse_args()
    if not (options.root / "schemas").is_dir():
        parser.error(f"{options.root.resolve()} is not the repository")
    if not options.check:
        write(options.root)
    elif old := stale(options.root):
        named = ", ".join(str(path) for path in old)
        sys.exit(f"stale: {named}; run `python -m callbot.schemas.asyncapi`")


if __name__ == "__main__":
    main()
