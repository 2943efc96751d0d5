"""What Deepgram is asked for."""

import pytest

from callbot.stt_worker.providers.deepgram import (
    DeepgramOptions,
    flux_parameters,
    keyterms,
    nova_parameters,
)
from callbot.stt_worker.providers.deepgram_languages import nova_language


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("en-US", "en-US"),
        ("en-gb", "en-GB"),
        ("en-ZA", "en"),
        ("es-ES", "es"),
        ("es-MX", "es-419"),
        ("es-419", "es-419"),
        ("fr-FR", "fr"),
        ("de", "de"),
        ("pt-BR", "pt-BR"),
        ("hi-IN", "hi"),
        ("ja-JP", "ja"),
        ("zh-Hant-TW", "zh-TW"),
    ],
)
def test_nova_languages(tag: str, wanted: str) -> None:
    assert nova_language(tag) == wanted


@pytest.mark.parametrize(
    ("model", "language", "wanted"),
    [
        ("flux-general-en", "en-GB", [("model", "flux-general-en")]),
        ("flux-general-en", "es-MX", [("model", "flux-general-multi"), ("language_hint", "es")]),
        ("flux-general-multi", "en-US", [("model", "flux-general-multi"), ("language_hint", "en")]),
    ],
)
def test_flux_languages(model: str, language: str, wanted: list[tuple[str, str]]) -> None:
    parameters = flux_parameters(DeepgramOptions(model=model), language, [])
    assert [p for p in parameters if p[0] in ("model", "language_hint", "language")] == wanted


def test_words_to_expect_as_many_as_it_takes() -> None:
    assert keyterms(["Anna Miller", " ", "Trattoria"]) == [
        ("keyterm", "Anna Miller"),
        ("keyterm", "Trattoria"),
    ]
    assert sum(len(term) for _, term in keyterms(["x" * 99] * 90)) <= 1000
    assert len(keyterms(["x"] * 90)) == 50
    named = [name for name, _ in nova_parameters(DeepgramOptions(model="nova-2"), "en", ["Miller"])]
    assert "keyterm" not in named


def test_the_key_is_not_shown() -> None:
    options = DeepgramOptions.model_validate({"api_key": "my-secret"})
    assert "my-secret" not in repr(options) + str(options)
