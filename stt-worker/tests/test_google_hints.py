"""What Google does not take of one bot's request, it may take of another's."""

from collections import ChainMap
from contextlib import AbstractAsyncContextManager

import pytest

from callbot.stt_worker.providers import google_channels
from callbot.stt_worker.providers.google_stream import GoogleStream
from tests.vendors.google_call import MS_PER_CHARACTER, GoogleCall, recognizer
from tests.vendors.google_stt import GoogleSpeech

TAKES_HINTS = {"CALLBOT_GOOGLE_STT_MODEL": "latest_long"}
CLASS_TOKEN = ("$NO_SUCH_CLASS",)
PLAIN = ("Chirac",)


@pytest.mark.parametrize(
    ("language", "hints", "remembered", "streams"),
    [
        ("en-US", CLASS_TOKEN, 10, [()]),
        ("en-US", PLAIN, 10, [PLAIN]),
        ("de-DE", CLASS_TOKEN, 10, [CLASS_TOKEN]),
        ("en-US", CLASS_TOKEN, 0, [CLASS_TOKEN]),
    ],
    ids=["the same bot", "other hints", "another language", "forgotten"],
)
async def test_one_bots_hints_take_none_from_others(
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    hints: tuple[str, ...],
    remembered: int,
    streams: list[tuple[str, ...]],
) -> None:
    monkeypatch.setattr(google_channels, "REMEMBERED", remembered)
    vendor = GoogleSpeech()
    vendor.ms_per_character = MS_PER_CHARACTER
    async with vendor, recognizer(ChainMap(TAKES_HINTS, dict(vendor.environment)), monkeypatch) as google:
        vendor.takes_no = frozenset({"config.adaptation"})
        await one_word(google.stream("en-US", CLASS_TOKEN))
        vendor.takes_no = frozenset()
        before = len(vendor.streams)
        await one_word(google.stream(language, hints))
        heard = [stream.asked.hints for stream in vendor.streams[before:] if stream.asked]
    assert heard[:1] == streams


async def one_word(opening: AbstractAsyncContextManager[GoogleStream]) -> None:
    async with opening as stream:
        call = GoogleCall(stream)
        call.says("one")
        call.is_silent(200)
        assert await call.words(0) == "one"
