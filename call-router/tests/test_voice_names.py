"""What a bot's voice means, and which it may not be."""

import pytest

from callbot.call_router.voice_names import KnownVoices
from callbot.runtime.errors import Refused
from callbot.schemas.voices import VOICE_PROVIDERS, ListVoices, VoiceInfo

from .conftest import as_user


def info(voice: str, name: str = "", language: str = "en-US", voice_id: str = "") -> VoiceInfo:
    provider, _, after = voice.partition(":")
    return VoiceInfo(voice=voice, provider=provider, name=name or after, language=language, id=voice_id)


KNOWN = KnownVoices(
    [
        info("polly:Joanna"),
        info("elevenlabs:Emma", voice_id="EmmaEmmaEmmaEmmaEmma"),
        info("elevenlabs:AnnaAnnaAnnaAnnaAnn1", "Anna", voice_id="AnnaAnnaAnnaAnnaAnn1"),
        info("elevenlabs:AnnaAnnaAnnaAnnaAnn2", "anna", "de", voice_id="AnnaAnnaAnnaAnnaAnn2"),
        info("google:Aoede", language="und"),
        info("google:en-GB-Neural2-A", language="en-GB"),
        info("acme:Anna", language="de-AT"),
    ]
)


@pytest.mark.parametrize(
    ("voice", "works"),
    [
        ("polly:Joanna", True),
        ("polly:joanna", True),
        ("elevenlabs:emma", True),
        ("elevenlabs:EmmaEmmaEmmaEmmaEmma", True),
        ("elevenlabs:emmaemmaemmaemmaemma", False),
        ("elevenlabs:AnnaAnnaAnnaAnnaAnn1", True),
        ("elevenlabs:annaannaannaannaann1", False),
        ("elevenlabs:Anna", False),
        ("google:aoede", True),
        ("google:Joanna", False),
        ("acme:anna", True),
        ("polly:", False),
    ],
)
def test_letter_case_counts_in_ids_only(voice: str, works: bool) -> None:
    assert (voice in KNOWN) == works


@pytest.mark.parametrize(
    "voice",
    [
        *(
            "elevenlabs:AnnaAnnaAnnaAnnaAnn1",
            "elevenlabs:EMMA",
            "elevenlabs:nobody",
            "acme:anna",
            "acme:other",
        ),
        *(f"{provider}:nobody-here" for provider in VOICE_PROVIDERS),
    ],
)
def test_what_may_be_set(voice: str) -> None:
    assert KNOWN.refuse_unsettable(voice) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize("voice", ["elevenlabs:Anna", "elevenlabs:ANNA"])
def test_a_name_that_several_have_is_refused_with_all_of_them(voice: str) -> None:
    with pytest.raises(Refused) as refused:
        KNOWN.refuse_unsettable(voice)
    assert refused.value.code == "ambiguous_voice"
    assert refused.value.details == {
        "field": "voice",
        "candidates": "elevenlabs:AnnaAnnaAnnaAnnaAnn1 elevenlabs:AnnaAnnaAnnaAnnaAnn2",
    }
    for candidate in refused.value.details["candidates"].split():
        assert candidate in KNOWN


def test_a_provider_that_nobody_has_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(Refused) as refused:
        KNOWN.refuse_unsettable("nobody:anna")
    assert (refused.value.code, refused.value.details) == ("invalid_request", {"field": "voice"})
    assert all(f"{provider}:…" in refused.value.message for provider in (*VOICE_PROVIDERS, "acme"))
    with pytest.raises(Refused):
        KnownVoices(()).refuse_unsettable("acme:anna")


@pytest.mark.parametrize(
    ("question", "voices"),
    [
        ({"provider": "polly"}, ["polly:Joanna"]),
        ({"provider": "piper"}, []),
        ({"language": "de"}, ["acme:Anna", "elevenlabs:AnnaAnnaAnnaAnnaAnn2", "google:Aoede"]),
        ({"language": "de-AT"}, ["acme:Anna", "google:Aoede"]),
        ({"language": "EN-gb"}, ["google:Aoede", "google:en-GB-Neural2-A"]),
        ({"language": "en", "provider": "google"}, ["google:Aoede", "google:en-GB-Neural2-A"]),
    ],
)
def test_a_list_may_be_narrowed(question: dict[str, str], voices: list[str]) -> None:
    asked = ListVoices.model_validate({"credential": as_user(), **question})
    assert [info.voice for info in KNOWN.wanted(asked)] == voices
