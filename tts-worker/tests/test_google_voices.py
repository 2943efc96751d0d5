"""Google's voices by their full and their short names."""

import pytest

from callbot.runtime.errors import ProviderError
from callbot.tts_worker.providers.google_voices import GoogleVoice, GoogleVoices, chosen, locale_of
from tests.vendors.google_tts import VOICES

KNOWN = GoogleVoices(VOICES)


@pytest.mark.parametrize(
    ("name", "language", "full"),
    [
        ("", "en-US", "en-US-Chirp3-HD-Aoede"),
        ("", "en", "en-US-Chirp3-HD-Aoede"),
        # In none of its regions, and not in this kind.
        ("", "en-AU", "en-US-Chirp3-HD-Aoede"),
        ("", "fr-CA", "fr-FR-Wavenet-E"),
        ("Kore", "de", "de-DE-Chirp3-HD-Kore"),
        ("kore", "en-gb", "en-GB-Chirp3-HD-Kore"),
        ("Chirp3-HD-Kore", "en-GB", "en-GB-Chirp3-HD-Kore"),
        ("Wavenet-A", "en-US", "en-US-Wavenet-A"),
        ("F", "de-DE", "de-DE-Neural2-F"),
        ("en-us-chirp3-hd-aoede", "de-DE", "en-US-Chirp3-HD-Aoede"),
        ("en-US-Chirp9-HD-Unlisted", "en-US", "en-US-Chirp9-HD-Unlisted"),
    ],
)
def test_names_of_voices(name: str, language: str, full: str) -> None:
    assert chosen(name, language, usual="Aoede", known=KNOWN) == GoogleVoice(full)


@pytest.mark.parametrize(
    ("usual", "language", "full"),
    [
        ("en-US-Neural2-A", "en-GB", "en-US-Neural2-A"),
        ("en-US-Neural2-A", "de-DE", "de-DE-Chirp3-HD-Aoede"),
        ("Wavenet-E", "fr-FR", "fr-FR-Wavenet-E"),
    ],
)
def test_the_usual_voice_can_be_set(usual: str, language: str, full: str) -> None:
    assert chosen("", language, usual=usual, known=KNOWN) == GoogleVoice(full)


@pytest.mark.parametrize(
    ("language", "full"),
    [("ja", "ja-JP-Chirp3-HD-Aoede"), ("pt-PT", "pt-PT-Chirp3-HD-Aoede"), ("hi", "hi-IN-Chirp3-HD-Aoede")],
)
def test_the_usual_voice_needs_no_list(language: str, full: str) -> None:
    assert chosen("", language, usual="Aoede", known=None) == GoogleVoice(full)


@pytest.mark.parametrize(
    ("name", "language", "code"),
    [
        ("nobody", "en-US", "unknown_voice"),
        ("Aoede", "sw-KE", "unknown_voice"),
        ("A", "en-US", "ambiguous_voice"),
    ],
)
def test_names_that_say_too_little(name: str, language: str, code: str) -> None:
    with pytest.raises(ProviderError) as raised:
        chosen(name, language, usual="Aoede", known=KNOWN)
    assert (raised.value.code, raised.value.retryable) == (code, False)
    assert code == "unknown_voice" or "one of en-US-Neural2-A, en-US-Wavenet-A" in str(raised.value)


@pytest.mark.parametrize(
    ("tag", "locale"),
    [("en", "en-US"), ("EN-gb", "en-GB"), ("de", "de-DE"), ("zh-Hans-CN", "cmn-CN"), ("es-419", "es-419")],
)
def test_locales(tag: str, locale: str) -> None:
    assert locale_of(tag) == locale


def test_which_voices_stream() -> None:
    streaming = [voice.name for voice in KNOWN if voice.streams]
    assert streaming == [name for name in sorted(VOICES) if "Chirp" in name]
    assert all(voice.locale == voice.name[:5] for voice in KNOWN)
