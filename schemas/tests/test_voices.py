"""Names of voices, and how many fit into a message."""

import pytest
from pydantic import ValidationError

from callbot.schemas.permissions import MAX_PAYLOAD_BYTES
from callbot.schemas.users import Credential
from callbot.schemas.voices import ListVoices, VoiceInfo, VoiceList, fitting, folded


def test_names_are_compared_without_case_and_kind_of_space() -> None:
    assert folded("  Anna\tMaria ") == folded("ANNA MARIA") == "anna maria"
    assert folded("Straße") == folded("STRASSE")


@pytest.mark.parametrize("name", ["a", "Ä" * 90])
def test_a_list_that_fits_leaves_nobody_out_and_another_its_end(name: str) -> None:
    one = VoiceInfo(voice=f"elevenlabs:{name}", provider="elevenlabs", name=name, language="en-US", id="x")
    few = [one] * 10
    assert fitting(few) == few
    many = fitting([one] * 20_000)
    assert 0.8 * MAX_PAYLOAD_BYTES < len(VoiceList(voices=many).encode()) < 0.95 * MAX_PAYLOAD_BYTES


@pytest.mark.parametrize("wrong", [{"provider": "Piper"}, {"provider": ""}, {"language": "english"}])
def test_a_question_that_no_voice_can_answer_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ListVoices.model_validate({"credential": Credential(), **wrong})
