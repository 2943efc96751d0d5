"""A bot that names no voice of a provider is spoken for in its language, whichever of our seven it is."""

import pytest

from callbot.tts_worker.providers import google_voices, polly_voices
from callbot.tts_worker.providers.elevenlabs_wire import language_code

LANGUAGES = {
    "de-DE": "Vicki",
    "en-US": "Joanna",
    "es-ES": "Lucia",
    "es-MX": "Mia",
    "fr-FR": "Lea",
    "hi-IN": "Kajal",
    "ja-JP": "Takumi",
    "pt-BR": "Camila",
    "pt-PT": "Ines",
}


@pytest.mark.parametrize(("tag", "polly"), LANGUAGES.items())
def test_of_every_language(tag: str, polly: str) -> None:
    assert polly_voices.chosen("", tag, usual="", engine="neural", known=None).id == polly
    assert google_voices.chosen("", tag, usual="Aoede", known=None).name == f"{tag}-Chirp3-HD-Aoede"
    assert language_code("eleven_flash_v2_5", tag) == tag[:2]


@pytest.mark.parametrize("base", ["de", "en", "es", "fr", "hi", "ja", "pt"])
def test_without_a_region_there_is_a_usual_one(base: str) -> None:
    assert (
        polly_voices.chosen("", base, usual="", engine="neural", known=None).id in polly_voices.USUAL.values()
    )
    assert google_voices.locale_of(base).lower() in {tag.lower() for tag in LANGUAGES}
