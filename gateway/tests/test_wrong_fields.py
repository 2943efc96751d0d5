"""What is wrong with a field is said in words, whatever the field."""

from collections.abc import Iterator
from typing import Any

import pytest

from callbot.gateway.api.routes import ROUTES
from callbot.gateway.wrong_fields import SENTENCES

from .api_site import Site

BOT = {"goal": "Book a table", "webhook": "https://example.com/bot"}
LOGIN = {"email": "a@example.com", "password": "0123456789"}
NUMBER = {"account_sid": "AC" + "0" * 32, "auth_token": "t", "phone_number_sid": "PN" + "0" * 32}


def patterns() -> Iterator[str]:
    """Every field of a body or a question that has a pattern."""
    for route in ROUTES:
        for model in (route.row.message, *([route.body[1]] if route.body else [])):
            for name, field in model.model_json_schema().get("properties", {}).items():
                if any("pattern" in one for one in (field, *field.get("anyOf", []), field.get("items", {}))):
                    yield name


def test_every_pattern_has_its_sentence() -> None:
    assert set(patterns()) == SENTENCES.keys()


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/bots", {**BOT, "language": "?"}, "language"),
        ("/v1/bots", {**BOT, "transfer_to": "0800"}, "transfer_to"),
        ("/v1/bots", {**BOT, "webhook_secret": "short"}, "webhook_secret"),
        ("/v1/auth/signup", {**LOGIN, "timezone": "?"}, "timezone"),
        ("/v1/connect-twilio", {**NUMBER, "account_sid": "x"}, "account_sid"),
        ("/v1/connect-twilio", {**NUMBER, "auth_token": "a b"}, "auth_token"),
        ("/v1/connect-twilio", {**NUMBER, "phone_number_sid": "x"}, "phone_number_sid"),
    ],
)
async def test_a_pattern_is_said_in_words(site: Site, path: str, body: Any, field: str) -> None:
    status, _, answer = await site.ask("POST", path, json=body)
    assert status == 400
    assert answer["error"]["details"] == [{"field": field, "message": SENTENCES[field]}]


async def test_a_field_that_nobody_knows(site: Site) -> None:
    _, _, answer = await site.ask("POST", "/v1/bots", json={**BOT, "gaol": "x"})
    assert answer["error"]["message"] == "gaol: is not a known field"
