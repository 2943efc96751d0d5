"""The models of the API as JSON schemas: the same classes that read requests and write answers."""

import ast
import inspect
import textwrap
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema

from callbot.gateway.api.handling import NEVER_EMPTY
from callbot.schemas.bots import BotPatch
from callbot.schemas.users import RateLimit
from callbot.schemas.voices import VOICE_PROVIDERS

Json = dict[str, Any]
Refs = dict[Any, Json]
"""(model, mode) → reference."""
REF = "#/components/schemas/{model}"
IN_HEADERS = "rate_limit"
"""A field of answers that is not part of their bodies."""
MAY_MISS = {IN_HEADERS, *NEVER_EMPTY}
ONLY_CHANGES = (BotPatch,)
"""A field that is absent from these keeps its value: their defaults mean nothing."""
CHECKED_IN_CODE: dict[str, Json] = {
    "webhook": {"format": "uri", "pattern": r"^https?://[^\s@#]+$"},
    "voice": {"pattern": rf"^({'|'.join(VOICE_PROVIDERS)}):[^\s]+$"},
}
"""What a validator of ours demands of a field, as far as a schema can say it."""


class ApiSchemas(GenerateJsonSchema):
    """Fields are described by the docstrings below them; an answer always has all its fields."""

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().model_schema(schema)
        properties = found.get("properties", {})
        properties.pop(IN_HEADERS, None)
        for name, text in _field_docstrings(schema["cls"]).items():
            if name in properties:
                properties[name]["description"] = text
        for name in properties.keys() & CHECKED_IN_CODE.keys():
            properties[name] |= CHECKED_IN_CODE[name] if self.mode == "validation" else {}
        for field in properties.values():
            field.pop("title", None)
            if self.mode == "serialization" or issubclass(schema["cls"], ONLY_CHANGES):
                field.pop("default", None)
        found.pop("title", None)
        return found

    def field_is_required(self, field: Any, total: bool) -> bool:
        return self.mode == "serialization" or super().field_is_required(field, total)


def schemas_of(
    taken: Iterable[type[BaseModel]], given: Iterable[type[BaseModel]]
) -> tuple[Refs, dict[str, Json]]:
    """References to the models that bodies (`taken`) and answers (`given`) are made of, and their schemas."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((model, "validation") for model in taken),
        *((model, "serialization") for model in given),
    ]
    wanted.sort(key=lambda entry: (entry[0].__name__, entry[1]))
    refs, found = models_json_schema(wanted, ref_template=REF, schema_generator=ApiSchemas)
    schemas: dict[str, Json] = {k: v for k, v in found["$defs"].items() if k != RateLimit.__name__}
    for schema in schemas.values():
        if "required" in schema:
            schema["required"] = [name for name in schema["required"] if name not in MAY_MISS]
        if text := schema.get("description"):
            schema["description"] = _first_paragraph(text)
    return {**refs}, dict(sorted(schemas.items()))


def field_schemas(model: type[BaseModel]) -> dict[str, Json]:
    """The fields of a question as schemas of parameters: a parameter is absent instead of null."""
    schema = model.model_json_schema(ref_template=REF, schema_generator=ApiSchemas)
    return {name: _not_null(field) for name, field in schema.get("properties", {}).items()}


def _not_null(field: Json) -> Json:
    variants = [variant for variant in field.get("anyOf", []) if variant != {"type": "null"}]
    if len(variants) != 1:
        return field
    return {**variants[0], **{k: v for k, v in field.items() if k not in ("anyOf", "default")}}


def _first_paragraph(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


def _field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The string literal below a field, for each field that has one; of the bases too."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            found |= _docstrings_in(cls)
    return {model.model_fields[field].alias or field: text for field, text in found.items()}


def _docstrings_in(cls: type[BaseModel]) -> dict[str, str]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = below.value if isinstance(below, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                found[field.target.id] = _first_paragraph(text.value)
    return found
