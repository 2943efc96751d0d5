"""Our fixed sentences in every language, and which of them a bot needs."""

import unicodedata

import pytest

from callbot.schemas.fixed_sentences import FIXED_SENTENCES, HELLO, greeting_in, ours_in
from callbot.schemas.language_tags import base_of, region_of
from callbot.schemas.turn_taking import Phrases, SpeakPhrases

WANTED = (Phrases.model_fields.keys() - {"recorded"}) | {HELLO}


@pytest.mark.parametrize("language", sorted(FIXED_SENTENCES))
def test_every_language_has_every_sentence(language: str) -> None:
    ours = ours_in(language)
    assert ours.keys() == WANTED
    assert len(set(ours.values())) == len(ours)
    for name, text in ours.items():
        assert text == " ".join(text.split()) and 0 < len(text) < 130, name
        assert text == unicodedata.normalize("NFC", text), name
        assert text[-1] in ".?!。।", name
    assert Phrases.model_validate({name: text for name, text in ours.items() if name != HELLO})


@pytest.mark.parametrize(
    ("tag", "has"),
    [
        ("de-CH", True),
        ("PT-pt", True),
        ("hi", True),
        ("en-US", False),
        ("en", False),
        ("it-IT", False),
        ("x-de", False),
    ],
)
def test_only_what_is_not_recorded_is_here(tag: str, has: bool) -> None:
    assert bool(ours_in(tag)) == has


@pytest.mark.parametrize(
    ("tag", "base", "region"),
    [
        ("en", "en", ""),
        ("PT-br", "pt", "BR"),
        ("zh-Hant-TW", "zh", "TW"),
        ("es-419", "es", "419"),
        ("de-1996", "de", ""),
        ("en-x-us", "en", ""),
    ],
)
def test_the_parts_of_a_tag(tag: str, base: str, region: str) -> None:
    assert (base_of(tag), region_of(tag)) == (base, region)


def test_an_english_bot_needs_only_its_own() -> None:
    own = Phrases(apology="Sorry.", goodbye="Bye.")
    wanted = SpeakPhrases.of(voice="piper:joe", language="en-GB", greeting="Hi.", phrases=own)
    assert wanted.texts == ["Hi.", "Sorry.", "Bye."]


def test_a_french_bot_needs_ours_where_it_has_none_of_its_own() -> None:
    own = Phrases(apology="Pardon.", recorded="Cet appel est enregistré.")
    wanted = SpeakPhrases.of(voice="polly:Lea", language="fr-CA", greeting="Allô.", phrases=own)
    assert wanted.texts[:3] == ["Allô.", "Pardon.", "Cet appel est enregistré."]
    assert set(wanted.texts[3:]) == set(ours_in("fr").values()) - {ours_in("fr")["apology"]}


def test_all_of_its_own_and_ours_fit_into_one_request() -> None:
    own = Phrases(**{name: f"{name}." for name in Phrases.model_fields})
    wanted = SpeakPhrases.of(voice="polly:Vicki", language="de", greeting="Moin.", phrases=own)
    assert len(wanted.texts) == 12 and greeting_in("de") in wanted.texts
