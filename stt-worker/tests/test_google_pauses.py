"""Where a question about words finds only the beginning of a pause."""

import pytest

from tests.vendors.google_call import MS_PER_CHARACTER, call
from tests.vendors.google_stt import GoogleSpeech, GoogleSpeechV1

NO_GUESS = {"CALLBOT_GOOGLE_STT_STABILITY": "2"}


@pytest.mark.parametrize("made", [GoogleSpeech, GoogleSpeechV1])
async def test_asked_right_behind_the_last_word_it_has_that_word(
    made: type[GoogleSpeech], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with made() as vendor:
        vendor.ms_per_character = MS_PER_CHARACTER
        async with call(vendor.environment, monkeypatch, NO_GUESS) as google:
            google.is_silent(200)
            google.says("one", "four", between_ms=40)
            to_ms = google.now_ms
            google.is_silent(200)
            assert await google.words(0, to_ms) == "one four"
            google.says("five")
            google.is_silent(200)
            assert await google.words(to_ms) == "five"
