"""What a bot may be made of, and what its maker is told otherwise."""

from typing import Any

import pytest
from pydantic import ValidationError

from callbot.schemas.bots import DEFAULT_GREETING, BotDefinition, BotPatch
from callbot.schemas.voices import VOICE_PROVIDERS

GOOD: dict[str, Any] = {"goal": "Take bookings", "webhook": "https://example.com/hook"}
WRONG: list[tuple[str, Any]] = [
    ("goal", ""),
    ("goal", "   "),
    ("goal", "x" * 2001),
    ("goal", "a\x00b"),
    ("goal", 5),
    ("goal", None),
    ("goal", ["x"]),
    ("webhook", ""),
    ("webhook", "/hook"),
    ("webhook", "example.com/hook"),
    ("webhook", "//example.com/hook"),
    ("webhook", "ftp://example.com/hook"),
    ("webhook", "javascript:alert(1)"),
    ("webhook", "https://"),
    ("webhook", "https:///hook"),
    ("webhook", "https://user@example.com/"),
    ("webhook", "https://user:secret@example.com/"),
    ("webhook", "https://:secret@example.com/"),
    ("webhook", "https://example.com/a b"),
    ("webhook", "https://example.com/\x00"),
    ("webhook", "https://example.com/\r\nX: y"),
    ("webhook", "https://example.com:99999/"),
    ("webhook", "https://[::1"),
    ("webhook", "https://example.com/#part"),
    ("webhook", "https://example.com/" + "x" * 2000),
    ("webhook", 5),
    ("context", "x" * 20_001),
    ("context", "\x00"),
    ("voice", "joe"),
    ("voice", "piper:"),
    ("voice", ":joe"),
    ("voice", "piper:a b"),
    ("voice", "PIPER:joe"),
    ("voice", f"{'p' * 33}:joe"),
    ("greeting", ""),
    ("language", "english please"),
    ("language", ""),
    ("language", "english"),
    ("language", "en_US"),
    ("language", "en-"),
    ("language", "e"),
    ("language", "en-US-"),
    ("language", "en-12"),
    ("language", "en-US-a"),
    ("language", "de-DE\n"),
    ("language", "日本語"),
    ("language", "x-" + "a" * 9),
    ("language", "en" + "-variant" * 8),
    ("language", 5),
    ("transfer_to", "0123"),
    ("transfer_to", "+0123456789"),
    ("transfer_to", "+1415555010012345"),
    ("transfer_to", "+14155550100\n"),
    ("hints", "word"),
    ("hints", [""]),
    ("hints", ["x"] * 201),
    ("suggest", "maybe"),
    ("webhook_secret", "short"),
    ("webhook_secret", "with a space in it"),
    ("max_call_seconds", 29),
    ("max_call_seconds", 14_401),
    ("max_call_seconds", "60"),
    ("max_call_seconds", True),
    ("gaol", "a typing error"),
]
RIGHT: list[tuple[str, Any]] = [
    ("goal", "x"),
    ("goal", "x" * 2000),
    ("context", ""),
    ("context", "x" * 20_000),
    ("webhook", "http://127.0.0.1:5000/hook?x=1"),
    ("webhook", "https://[::1]:8443/hook"),
    *(("voice", f"{provider}:some-name") for provider in (*VOICE_PROVIDERS, "of-another-package")),
    ("language", "de"),
    ("language", "zh-Hant-TW"),
    ("language", "tlh"),
    ("language", "es-419"),
    ("language", "sl-rozaj-biske-1994"),
    ("language", "zh-cmn-Hans-CN"),
    ("language", "de-DE-u-co-phonebk"),
    ("language", "en-US-x-phone-menu"),
    ("language", "x-whatever"),
    ("transfer_to", None),
    ("transfer_to", "+14155550100"),
    ("hints", ["Luigi's", "x" * 100]),
    ("suggest", "off"),
    ("webhook_secret", "0123456789abcdef"),
    ("max_call_seconds", 30),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
@pytest.mark.parametrize("kind", ["definition", "patch"])
def test_what_is_wrong_is_refused_and_the_field_named(kind: str, field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        if kind == "definition":
            BotDefinition.model_validate({**GOOD, field: value})
        else:
            BotPatch.model_validate({field: value})
    assert {error["loc"][0] for error in refused.value.errors()} == {field}


@pytest.mark.parametrize(("field", "value"), RIGHT)
def test_what_is_right_is_kept(field: str, value: Any) -> None:
    assert getattr(BotDefinition.model_validate({**GOOD, field: value}), field) == value
    assert BotPatch.model_validate({field: value}).changes() == {field: value}


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        BotDefinition.model_validate({k: v for k, v in GOOD.items() if k != missing})


@pytest.mark.parametrize("voice", ["Acme:joe", "joe", "-:b"])
def test_a_malformed_voice_is_told_the_providers(voice: str) -> None:
    with pytest.raises(ValidationError) as refused:
        BotDefinition.model_validate({**GOOD, "voice": voice})
    for provider in VOICE_PROVIDERS:
        assert f"{provider}:" in str(refused.value)


def test_the_same_holds_for_json() -> None:
    with pytest.raises(ValidationError, match="goal"):
        BotDefinition.decode(b'{"goal": 5, "webhook": "https://example.com"}')
    bot = BotDefinition.decode(b'{"goal": "x", "webhook": "https://example.com", "suggest": "off"}')
    assert bot.suggest == "off"


def test_a_secret_is_not_shown_where_a_message_is() -> None:
    secret = "a-secret-of-a-webhook"
    made = BotDefinition(goal="x", webhook="https://example.com", webhook_secret=secret)
    assert secret not in repr(made)
    assert secret not in repr(BotPatch(webhook_secret=secret))


@pytest.mark.parametrize(
    ("given", "kept"),
    [("EN-us", "en-US"), ("zh-hANT-tw", "zh-Hant-TW"), ("DE", "de"), ("en-CA-X-CA", "en-CA-x-ca")],
)
def test_a_language_is_kept_in_the_usual_case(given: str, kept: str) -> None:
    assert BotDefinition.model_validate({**GOOD, "language": given}).language == kept
    assert BotPatch.model_validate({"language": given}).changes() == {"language": kept}


@pytest.mark.parametrize(
    ("language", "greeting"),
    [
        ("en-GB", DEFAULT_GREETING),
        ("it-IT", DEFAULT_GREETING),
        ("de-AT", "Guten Tag! Wie kann ich Ihnen helfen?"),
        ("JA", "お電話ありがとうございます。ご用件をお伺いいたします。"),
    ],
)
def test_a_bot_without_a_greeting_greets_in_its_language(language: str, greeting: str) -> None:
    definition = BotDefinition.model_validate({**GOOD, "language": language})
    assert definition.greeting == greeting
    assert BotDefinition.decode(definition.encode()) == definition
    own = BotDefinition.model_validate({**GOOD, "language": language, "greeting": "Moin!"})
    assert own.greeting == "Moin!"


def test_without_a_language_the_greeting_is_english() -> None:
    assert BotDefinition.model_validate(GOOD).greeting == DEFAULT_GREETING
