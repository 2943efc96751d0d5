"""Which language a vendor's recogniser is told, for each of our seven."""

import pytest

from callbot.stt_worker.providers.deepgram_languages import flux_language, nova_language
from callbot.stt_worker.providers.google_wire import regional


@pytest.mark.parametrize(
    ("tag", "google", "nova", "flux"),
    [
        ("de", "de-DE", "de", "de"),
        ("de-AT", "de-AT", "de", "de"),
        ("en-GB", "en-GB", "en-GB", "en"),
        ("es", "es-US", "es", "es"),
        ("es-MX", "es-MX", "es-419", "es"),
        ("fr", "fr-FR", "fr", "fr"),
        ("hi-IN", "hi-IN", "hi", "hi"),
        ("hi", "hi-IN", "hi", "hi"),
        ("ja", "ja-JP", "ja", "ja"),
        ("pt-BR", "pt-BR", "pt-BR", "pt"),
        ("pt", "pt-BR", "pt", "pt"),
    ],
)
def test_of_every_language(tag: str, google: str, nova: str, flux: str) -> None:
    assert (regional(tag), nova_language(tag), flux_language(tag)) == (google, nova, flux)
