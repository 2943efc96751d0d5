"""The OpenAPI 3.1 document of the API, made from the table of routes and from the models.

`python -m callbot.gateway.api.openapi [--check] [--root DIR]` writes docs/openapi.yaml and
docs/postman-collection.json, or says which of them are stale (exit code 1).
"""

import argparse
import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from callbot.gateway.api import postman
from callbot.gateway.api.openapi_errors import HEADERS, error_schema, shared_responses
from callbot.gateway.api.openapi_examples import INTRODUCTION, TAGS
from callbot.gateway.api.openapi_operations import models, operation
from callbot.gateway.api.openapi_schemas import schemas_of
from callbot.gateway.api.openapi_streams import SHOWN, stream_paths
from callbot.gateway.api.openapi_voice import voice_paths
from callbot.gateway.api.openapi_webhook import webhooks
from callbot.gateway.api.routes import ROUTES
from callbot.schemas.webhook import WebhookAnswer, WebhookRequest

Json = dict[str, Any]
GENERATED = "# Generated from gateway/src/callbot/gateway/api by `python -m callbot.gateway.api.openapi`.\n"
SERVERS = [
    {"url": "/v1", "description": "Version 1"},
    {"url": "/", "description": "Without prefix, as in the first document"},
]
"""Beside the document: whoever reads it asks the host that served it."""
SCHEMES: Json = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "From `POST /auth/token`. An API key is taken here too.",
    },
    "api_key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "From `POST /api-keys`.",
    },
}


def document(*, is_open: bool = False) -> Json:
    """`is_open`: of a platform in open mode, where credentials may be left out."""
    taken, given = models()
    refs, schemas = schemas_of(taken | {WebhookAnswer}, given | {WebhookRequest, *SHOWN})
    paths: dict[str, Json] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route, refs, is_open=is_open)
    paths |= voice_paths(is_open=is_open) | stream_paths(refs, is_open=is_open)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CallBot Studio API",
            "version": version("callbot-gateway"),
            "summary": "Phone bots by REST.",
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": SERVERS,
        "security": [{"bearer": []}, {"api_key": []}, *([{}] if is_open else [])],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "webhooks": webhooks(refs),
        "components": {
            "schemas": {**schemas, "Error": error_schema()},
            "responses": shared_responses(is_open=is_open),
            "headers": HEADERS,
            "securitySchemes": SCHEMES,
        },
    }


class _Plain(yaml.SafeDumper):
    """Long texts as blocks; a thing that appears twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)


def as_yaml(found: Json) -> str:
    return yaml.dump(found, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)


def as_json(found: Json) -> str:
    return json.dumps(found, ensure_ascii=False)


def generated(root: Path) -> Iterator[tuple[Path, str]]:
    """Each generated file under `root`, and what it should contain."""
    found = document()
    yield root / "docs" / "openapi.yaml", GENERATED + as_yaml(found)
    collection = json.dumps(postman.collection(found), ensure_ascii=False, indent=2)
    yield root / "docs" / "postman-collection.json", collection + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m callbot.gateway.api.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when something is stale")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: here)")
    options = parser.parse_args()
    if not (options.root / "gateway").is_dir():
        parser.error(f"{options.root.resolve()} is not the repository")
    files = dict(generated(options.root))
    if not options.check:
        for path, text in files.items():
            path.write_text(text, "utf-8")
        return
    old = [p for p, text in files.items() if not p.exists() or p.read_text("utf-8") != text]
    if old:
        named = ", ".join(map(str, old))
        sys.exit(f"stale: {named}; run `python -m callbot.gateway.api.openapi`")


if __name__ == "__main__":
    main()
