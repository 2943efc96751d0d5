"""The Postman collection goes through the whole document, with ids that it has got before."""

import json
import re
from collections.abc import Iterator
from typing import Any

from callbot.gateway.api import openapi, postman
from callbot.gateway.api.postman_steps import STEPS, VARIABLES

DOCUMENT = openapi.document()
COLLECTION = postman.collection(DOCUMENT)
MADE_UP = {"email", "call_id"}
"""Before the first request."""
ONLY_A_SOCKET = {"stream"}
"""The other name of the media stream, without prefix."""


def requests() -> Iterator[Any]:
    for folder in COLLECTION["item"]:
        yield from folder["item"]


def test_every_operation_is_in_it() -> None:
    named = {step.operation for steps in STEPS.values() for step in steps}
    documented = {
        operation["operationId"]
        for item in DOCUMENT["paths"].values()
        for method, operation in item.items()
        if method != "servers"
    }
    # What Twilio may ask by GET is the same as by POST.
    by_get_too = {name for name in documented if name.removesuffix("_get") in documented - {name}}
    assert named == documented - by_get_too - ONLY_A_SOCKET


def test_a_variable_is_known_before_it_is_used() -> None:
    known = {name for name, value in VARIABLES.items() if value} | MADE_UP
    known |= {name for name in VARIABLES if name.startswith("twilio_")}
    for item in requests():
        used = set(re.findall(r"\{\{(\w+)\}\}", json.dumps(item["request"])))
        if "auth" not in item["request"]:
            used |= {"token"}
        assert used <= known, item["name"]
        script = "\n".join(line for event in item["event"] for line in event["script"]["exec"])
        known |= set(re.findall(r"collectionVariables\.set\('(\w+)'", script))


def test_every_request_is_judged() -> None:
    for item in requests():
        (test,) = [event for event in item["event"] if event["listen"] == "test"]
        assert any("pm.test('answers" in line for line in test["script"]["exec"]), item["name"]


def test_saved_fields_are_in_the_answers() -> None:
    by_id = {
        operation["operationId"]: operation
        for item in DOCUMENT["paths"].values()
        for method, operation in item.items()
        if method != "servers"
    }
    for step in (step for steps in STEPS.values() for step in steps):
        for field in step.saves.values():
            success = by_id[step.operation]["responses"][str(step.expect[0])]
            name = success["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert field in DOCUMENT["components"]["schemas"][name]["properties"]


def test_it_has_no_secret_and_no_host_of_its_own() -> None:
    text = json.dumps(COLLECTION)
    assert VARIABLES["token"] == VARIABLES["api_key"] == VARIABLES["twilio_auth_token"] == ""
    assert all(item["request"]["url"]["raw"].startswith("{{base}}/v1/") for item in requests())
    assert set(re.findall(r"https?://[\w.:]+", text)) <= {
        "https://schema.getpostman.com",
        "https://api.eatery.com",
        "http://127.0.0.1:8080",
        "https://api.callbot.studio",
    }
