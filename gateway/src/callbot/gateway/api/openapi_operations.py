"""The operations of the document, one for each row of `routes.py`."""

import re
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from callbot.gateway.api.openapi_errors import RATE_LIMIT, codes_of_all, error_responses, header_refs
from callbot.gateway.api.openapi_examples import ANSWERS, BODIES, DESCRIPTIONS, PARAMETERS
from callbot.gateway.api.openapi_schemas import IN_HEADERS, Refs, field_schemas
from callbot.gateway.api.routes import ROUTES, Route
from callbot.schemas.message import Message

Json = dict[str, Any]
IF_MATCH: Json = {
    "name": "If-Match",
    "in": "header",
    "description": "The `ETag` of the version that is to be changed, or `*`. Without it, any.",
    "schema": {"type": "string", "pattern": r'^(\*|"[0-9]{1,15}")?$', "examples": ['"3"']},
}
GIVE_IDS = {"bot_create": "$response.body#/id", "key_create": "$response.body#/id"}
"""Operation → where its answer holds the id that other operations take."""


def answer_of(route: Route) -> type[Message]:
    """The model of the body; of one element where it is a list."""
    answer: type[Message] = route.row.answer
    if route.lists:
        (answer,) = get_args(answer.model_fields[route.lists].annotation)
    return answer


def models() -> tuple[set[type[BaseModel]], set[type[BaseModel]]]:
    """What bodies and what answers are made of."""
    return {r.body[1] for r in ROUTES if r.body}, {answer_of(r) for r in ROUTES}


def operation(route: Route, refs: Refs, *, is_open: bool) -> Json:
    name = route.row.name
    found: Json = {"operationId": name, "tags": [route.tag], "summary": route.summary}
    if text := DESCRIPTIONS.get(name):
        found["description"] = text
    if route.public:
        found["security"] = []
    if parameters := _parameters(route):
        found["parameters"] = parameters
    if route.body:
        found["requestBody"] = _body(route, refs)
    found["responses"] = {
        str(route.status): _success(route, refs),
        **error_responses(_codes(route, is_open=is_open)),
    }
    return found


def path_parameters(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def parameter(name: str, where: str, schema: Json, *, required: bool) -> Json:
    text, example = PARAMETERS[name]
    found: Json = {"name": name, "in": where, "description": text, "required": required, "schema": schema}
    return found if example is None else {**found, "example": example}


def _parameters(route: Route) -> list[Json]:
    fields = field_schemas(route.row.message)
    in_path = [parameter(n, "path", fields[n], required=True) for n in path_parameters(route.path)]
    in_query = [parameter(n, "query", fields[n], required=False) for n in route.query]
    return [*in_path, *in_query, *([IF_MATCH] if route.if_match else [])]


def _body(route: Route, refs: Refs) -> Json:
    assert route.body
    content = {"schema": _ref(refs, route.body[1], "validation"), "example": BODIES[route.row.name]}
    return {"required": not route.body_may_miss, "content": {"application/json": content}}


def _success(route: Route, refs: Refs) -> Json:
    schema = _ref(refs, answer_of(route), "serialization")
    if route.lists:
        schema = {"type": "array", "items": schema}
    headers = [
        *(["ETag"] if route.etag else []),
        *(["Link"] if "cursor" in route.query else []),
        *(RATE_LIMIT if IN_HEADERS in route.row.answer.model_fields else []),
    ]
    found: Json = {
        "description": "Made." if route.status == 201 else "Done.",
        "headers": header_refs(*headers),
        "content": {"application/json": {"schema": schema, "example": ANSWERS[route.row.name]}},
    }
    if links := _links(route):
        found["links"] = links
    return found


def _links(route: Route) -> Json:
    """From what was made to the operations that take its id."""
    place = GIVE_IDS.get(route.row.name)
    below = [r for r in ROUTES if place and r.path.startswith(f"{route.path}/{{")]
    return {
        r.row.name: {"operationId": r.row.name, "parameters": {path_parameters(r.path)[0]: place}}
        for r in below
    }


def _codes(route: Route, *, is_open: bool) -> set[str]:
    codes = {"invalid_request", "unavailable", *route.refusals} | codes_of_all(is_open=is_open)
    codes |= set() if route.public else {"unauthorized"}
    codes |= {"too_large", "unsupported_media_type", "request_timeout"} if route.body else set()
    return codes


def _ref(refs: Refs, model: type[BaseModel], mode: JsonSchemaMode) -> Json:
    return dict(refs[model, mode])
