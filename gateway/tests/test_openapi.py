"""The document says of the API what is so: routes, refusals, models, examples."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from callbot.gateway.api import openapi
from callbot.gateway.api.openapi_errors import MEANINGS, STATUS_OF
from callbot.gateway.api.openapi_examples import ANSWERS, BODIES, DESCRIPTIONS
from callbot.gateway.api.openapi_operations import answer_of
from callbot.gateway.api.routes import ROUTES, Route
from callbot.gateway.errors import CODES, STATUS_OF_REFUSAL
from callbot.schemas.message import Message

from .conftest import Site

ROOT = Path(__file__).parents[2]
DOCUMENT = openapi.document()
NOT_DOCUMENTED = re.compile(r"/(docs.*|openapi\.(yaml|json))?")
"""What shows the document is not in it."""


def operations(document: dict[str, Any] = DOCUMENT) -> Iterator[tuple[str, str, Any]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "servers":
                yield method.upper(), path, operation


def of(route: Route) -> Any:
    return DOCUMENT["paths"][route.path][route.method.lower()]


def status_and_code(operation: Any) -> set[tuple[str, str]]:
    """Each error that an operation documents."""
    found = set()
    for status, response in operation["responses"].items():
        if "$ref" in response:
            response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
        examples = response.get("content", {}).get("application/json", {}).get("examples", {})
        found |= {(status, code) for code in examples}
    return found


def test_the_document_is_of_what_the_gateway_serves(site: Site) -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in site.app.router.routes()
        if route.resource and route.method not in ("HEAD", "OPTIONS")
    }
    documented = set()
    for method, path, _ in operations():
        for server in DOCUMENT["paths"][path].get("servers", DOCUMENT["servers"]):
            documented.add((method, server["url"].rstrip("/") + path))
    described = {(m, p) for m, p in served if not NOT_DOCUMENTED.fullmatch(p.removeprefix("/v1"))}
    assert documented == described


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.row.name)
def test_every_refusal_of_a_route_is_documented(route: Route) -> None:
    documented = status_and_code(of(route))
    assert documented >= {(str(STATUS_OF_REFUSAL[code]), code) for code in route.refusals}
    assert (("401", "unauthorized") in documented) is not route.public
    assert (("415", "unsupported_media_type") in documented) is (route.body is not None)
    assert str(route.status) in of(route)["responses"]


def test_every_code_is_explained() -> None:
    assert {*STATUS_OF_REFUSAL, *CODES.values()} <= MEANINGS.keys() == STATUS_OF.keys()
    error = DOCUMENT["components"]["schemas"]["Error"]["properties"]["error"]
    assert set(error["properties"]["code"]["enum"]) == MEANINGS.keys()


@pytest.mark.parametrize("route", [r for r in ROUTES if r.body], ids=lambda route: route.row.name)
def test_examples_of_bodies_are_taken(route: Route) -> None:
    assert route.body
    route.body[1].model_validate(BODIES[route.row.name])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.row.name)
def test_examples_of_answers_are_whole(route: Route) -> None:
    example = ANSWERS[route.row.name]
    if route.lists:
        (example,) = example
    answer_of(route).model_validate(example)
    schema = DOCUMENT["components"]["schemas"][answer_of(route).__name__]
    assert set(schema["required"]) <= example.keys() <= schema["properties"].keys()


def test_no_example_is_of_an_operation_that_is_gone() -> None:
    names = {route.row.name for route in ROUTES}
    assert ANSWERS.keys() == names
    assert BODIES.keys() == {route.row.name for route in ROUTES if route.body}
    assert DESCRIPTIONS.keys() <= names


def test_references_lead_somewhere() -> None:
    text = openapi.as_json(DOCUMENT)
    for ref in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        found: Any = DOCUMENT
        for part in ref.split("/"):
            found = found[part]
        assert found


def test_an_answer_has_all_its_fields_but_those_that_are_left_out() -> None:
    bot = DOCUMENT["components"]["schemas"]["Bot"]
    assert "rate_limit" not in bot["properties"]
    assert set(bot["properties"]) - set(bot["required"]) == {"webhook_secret"}
    call = DOCUMENT["components"]["schemas"]["CallDetail"]
    assert set(call["properties"]) == set(call["required"]) >= {"from", "to", "turns"}


def test_a_patch_shows_no_defaults() -> None:
    """A client that fills them in would change what nobody asked for."""
    patch = DOCUMENT["components"]["schemas"]["BotPatch"]
    assert [name for name, field in patch["properties"].items() if "default" in field] == []
    assert "default" in DOCUMENT["components"]["schemas"]["BotDefinition"]["properties"]["greeting"]


def test_fields_are_described_by_their_docstrings() -> None:
    fields = DOCUMENT["components"]["schemas"]["BotDefinition"]["properties"]
    assert fields["webhook_secret"]["description"].startswith("Made by us when absent")


def test_pages_are_plain_lists_with_a_link() -> None:
    for route in (r for r in ROUTES if r.lists):
        success = of(route)["responses"]["200"]
        assert success["content"]["application/json"]["schema"]["type"] == "array"
        assert ("Link" in success["headers"]) is ("cursor" in route.query)
        (element,) = get_args(route.row.answer.model_fields[route.lists].annotation)
        assert issubclass(element, Message)


def test_open_mode_is_another_document() -> None:
    is_open = openapi.document(is_open=True)
    assert {} in is_open["security"]
    assert {} not in DOCUMENT["security"]
    assert all("421" in operation["responses"] for _, _, operation in operations(is_open))
    assert not any("421" in operation["responses"] for _, _, operation in operations())


def test_twilio_and_the_auth_endpoints_need_no_credentials() -> None:
    public = {(method, path) for method, path, operation in operations() if operation.get("security") == []}
    twilio = {(m, p) for m, p, _ in operations() if p.startswith(("/voice", "/stream")) and p != "/voices"}
    assert public == twilio | {("POST", "/auth/signup"), ("POST", "/auth/token")}


def test_yaml_and_json_say_the_same() -> None:
    assert yaml.safe_load(openapi.as_yaml(DOCUMENT)) == DOCUMENT
    assert yaml.safe_load(openapi.as_json(DOCUMENT)) == DOCUMENT


def test_what_is_stale_is_named(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "callbot.gateway.api.openapi", "--root", str(tmp_path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    (tmp_path / "docs").mkdir()
    (tmp_path / "gateway").mkdir()
    assert run().returncode == 0
    assert run("--check").returncode == 0
    for name in ("openapi.yaml", "postman-collection.json"):
        assert (tmp_path / "docs" / name).read_text() == (ROOT / "docs" / name).read_text(), "run it again"
    with (tmp_path / "docs" / "openapi.yaml").open("a") as file:
        file.write("# more\n")
    checked = run("--check")
    assert checked.returncode == 1
    assert "openapi.yaml" in checked.stderr and "postman" not in checked.stderr
