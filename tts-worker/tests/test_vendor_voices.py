"""Names of voices: which one is meant, what is told of them, and how long an answer is remembered."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callbot.runtime.errors import ProviderError
from callbot.tts_worker.providers import elevenlabs, listing, vendor_voices
from callbot.tts_worker.providers.elevenlabs import ElevenLabsSynthesizer
from callbot.tts_worker.providers.vendor_voices import (
    KNOWN_FOR_S,
    MISSED_FOR_S,
    VendorVoice,
    VoiceDirectory,
    chosen,
    told,
)
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice
from tests.vendors.elevenlabs_tts import ALICE, SAMS, ElevenLabsTts
from tests.vendors.tts_vendor import Day

EMMA = VendorVoice("id-1", "Emma", "en-GB")
EMMAS = (EMMA, VendorVoice("id-2", "EMMA"))
NOT_TOLD = (VendorVoice("", "Nobody else"), VendorVoice("id-5", "so long " * 26))
LONG = VendorVoice("id-3", "Emma from  Leeds", "en-GB")


@pytest.mark.parametrize(
    ("name", "found", "result"),
    [
        ("emma", [LONG, EMMA], "id-1"),
        ("EMMA", [EMMA, EMMA], "id-1"),
        ("emma from leeds", [LONG, EMMA], "id-3"),
        ("emma", [LONG], "unknown_voice"),
        ("em", [EMMA], "unknown_voice"),
        ("emma", [], "unknown_voice"),
        ("emma", EMMAS, "ambiguous_voice"),
    ],
)
def test_a_name_is_compared_whole(name: str, found: list[VendorVoice], result: str) -> None:
    try:
        assert chosen("elevenlabs", name, found).id == result
    except ProviderError as e:
        assert (e.code, e.retryable) == (result, False)


def test_who_asks_for_an_ambiguous_name_is_told_the_candidates() -> None:
    with pytest.raises(ProviderError, match="elevenlabs:id-1, elevenlabs:id-2"):
        chosen("elevenlabs", "emma", EMMAS)


def test_voices_are_told_so_that_a_bot_can_have_them() -> None:
    infos = told("elevenlabs", [*EMMAS, LONG, VendorVoice("id-4", "Joe"), *NOT_TOLD])
    assert [(info.voice, info.name) for info in infos] == [
        ("elevenlabs:id-1", "Emma"),
        ("elevenlabs:id-2", "EMMA"),
        ("elevenlabs:id-3", "Emma from  Leeds"),
        ("elevenlabs:Joe", "Joe"),
    ]


class Vendor:
    """What a directory asks."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.voices: list[VendorVoice] = [EMMA]
        self.searches: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: ProviderError | None = None
        self.directory = VoiceDirectory(
            "elevenlabs",
            is_id=lambda name: name.startswith("id-"),
            search=self._search,
            listing=self._list,
            clock=lambda: self.now_s,
        )

    async def _search(self, name: str) -> list[VendorVoice]:
        self.searches.append(name)
        await self.answers.wait()
        if self.error:
            raise self.error
        return self.voices

    async def _list(self) -> list[VendorVoice]:
        return self.voices


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    vendor = Vendor()
    async with vendor.directory:
        yield vendor


async def refusal(vendor: Vendor, name: str) -> str:
    with pytest.raises(ProviderError) as caught:
        await vendor.directory.id_of(name)
    return caught.value.code


async def test_an_id_is_taken_as_it_is(vendor: Vendor) -> None:
    assert await vendor.directory.id_of("id-77") == "id-77"
    assert vendor.searches == []


async def test_several_who_ask_at_once_share_one_question(vendor: Vendor) -> None:
    assert (
        await asyncio.gather(*[vendor.directory.id_of(n) for n in ("emma", "Emma", "EMMA")]) == ["id-1"] * 3
    )
    assert await vendor.directory.id_of("emma") == "id-1"
    assert len(vendor.searches) == 1


async def test_who_gives_up_does_not_end_the_question_for_others(vendor: Vendor) -> None:
    vendor.answers.clear()
    first, second = (asyncio.create_task(vendor.directory.id_of("emma")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    vendor.answers.set()
    assert await second == "id-1" and len(vendor.searches) == 1


async def test_an_old_answer_serves_until_there_is_a_new_one(vendor: Vendor) -> None:
    await vendor.directory.id_of("emma")
    vendor.now_s, vendor.voices = KNOWN_FOR_S, [VendorVoice("id-9", "Emma")]
    vendor.answers.clear()
    assert await vendor.directory.id_of("emma") == "id-1"
    vendor.answers.set()
    async with asyncio.timeout(5):
        while await vendor.directory.id_of("emma") != "id-9":
            await asyncio.sleep(0)
    assert len(vendor.searches) == 2


async def test_an_old_answer_outlasts_a_vendor_that_is_away(vendor: Vendor) -> None:
    await vendor.directory.id_of("emma")
    vendor.now_s = KNOWN_FOR_S
    vendor.error = ProviderError("unavailable", "HTTP 500", retryable=True)
    for _ in range(3):
        assert await vendor.directory.id_of("emma") == "id-1"
        await asyncio.sleep(0)


async def test_a_name_that_was_not_found_is_looked_up_again_in_a_minute(vendor: Vendor) -> None:
    vendor.voices = []
    assert await refusal(vendor, "emma") == await refusal(vendor, "emma") == "unknown_voice"
    assert len(vendor.searches) == 1
    vendor.now_s, vendor.voices = MISSED_FOR_S, [EMMA]
    assert await vendor.directory.id_of("emma") == "id-1"


async def test_an_error_of_the_vendor_is_not_remembered(vendor: Vendor) -> None:
    vendor.error = ProviderError("unavailable", "HTTP 500", retryable=True)
    assert await refusal(vendor, "emma") == "unavailable"
    vendor.error = None
    assert await vendor.directory.id_of("emma") == "id-1"


async def test_an_id_that_the_vendor_has_lost_is_looked_up_anew(vendor: Vendor) -> None:
    await vendor.directory.id_of("emma")
    vendor.directory.forget("id-1")
    vendor.voices = [VendorVoice("id-9", "Emma")]
    assert await vendor.directory.id_of("emma") == "id-9"


async def test_names_that_nobody_has_do_not_fill_the_memory(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vendor_voices, "REMEMBERED", 3)
    await vendor.directory.id_of("emma")
    for number in range(9):
        assert await refusal(vendor, f"nobody {number}") == "unknown_voice"
    asked = len(vendor.searches)
    assert await refusal(vendor, "nobody 8") == "unknown_voice" and len(vendor.searches) == asked
    assert await vendor.directory.id_of("emma") == "id-1" and len(vendor.searches) == asked + 1
    assert len(vendor.directory._found) == 3


async def test_voices_that_were_wanted_once_keep_no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elevenlabs, "MAX_VOICES_AT_ONCE", 2)
    async with ElevenLabsTts() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        async with ElevenLabsSynthesizer(Settings()) as synthesizer:
            server.day = Day.STALLS
            speaking = synthesizer.speak("A sentence.", Voice("elevenlabs", ALICE, "en"))
            assert await anext(speaking)
            server.day = Day.GOOD
            for language in ("de", "es", "fr", "it", "pt"):
                await synthesizer.warm(Voice("elevenlabs", ALICE, language))
            assert {code for _, code in synthesizer._pools} == {"en", "pt"}, "one speaks, one is the last"
            await server.until(lambda: len(server.sockets) == 2)
            await speaking.aclose()
            assert [chunk async for chunk in synthesizer.speak("Hola.", Voice("elevenlabs", ALICE, "es"))]
    assert server.complaints == []


async def test_a_list_that_nobody_understands_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "RETRY_AFTER_S", 0.0)
    answers: list[Any] = [["no mapping"], [{"name": "Emma"}]]

    async def ask() -> list[str]:
        return [voice["name"] for voice in answers.pop(0)]

    async with listing.Listing("elevenlabs", ask) as voices, asyncio.timeout(5):
        with pytest.raises(ProviderError, match="crashed: TypeError"):
            await voices.known()
        while voices.latest is None:
            await asyncio.sleep(0)
        assert voices.latest == ["Emma"]


async def test_elevenlabs_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """130 other voices are found by the same search, on the pages before."""
    async with ElevenLabsTts() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        async with ElevenLabsSynthesizer(Settings()) as synthesizer:
            for name in ("alice", "Alice", ALICE):
                async for _ in synthesizer.speak("Hello.", Voice("elevenlabs", name, "en")):
                    pass
            assert server.voices_asked == [ALICE] * 3
            assert server.searches.count("alice") == 2, "two pages of one search"
            with pytest.raises(ProviderError, match="ambiguous_voice") as caught:
                await anext(synthesizer.speak("Hello.", Voice("elevenlabs", "sam", "en")))
            assert all(f"elevenlabs:{id}" in caught.value.message for id in SAMS)
            async with asyncio.timeout(5):
                while not synthesizer.voices:
                    await asyncio.sleep(0.01)
            voices = {info.voice for info in synthesizer.voices}
            assert {"elevenlabs:Alice", *(f"elevenlabs:{id}" for id in SAMS)} <= voices
            assert "elevenlabs:Sam" not in voices
    assert server.complaints == []
