"""Streaming and batch providers behind one seam: who is asked, what each hears, who takes over."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from callbot.runtime.errors import ProviderError
from callbot.schemas.text_audio import audible
from callbot.schemas.usage import Used
from callbot.stt_worker.audio_ring import AudioRing
from callbot.stt_worker.call_recognition import CATCH_UP_MS, CallRecognition
from callbot.stt_worker.providers.scripted import ScriptedRecognizer
from callbot.stt_worker.recognition import LocalGuards, Recognition
from callbot.stt_worker.recognizer import AnyRecognizer, Utterance
from callbot.stt_worker.settings import Settings
from callbot.stt_worker.turn_reports import Decoded
from tests.streaming_vendor import Stream, StreamingVendor

SILENCE_MS = b"\xff" * 8
BROKEN = ProviderError("broken_off", "for this test", retryable=True)
REFUSED = ProviderError("refused", "for this test", retryable=False)


class Call:
    """What the ears are for it: audio, and where the utterance in progress began."""

    def __init__(self, recognition: Recognition) -> None:
        self.ring = AudioRing(0)
        self.now_ms = 0
        self.speech_from_ms: int | None = None
        self.fell_back: list[tuple[str, str, str]] = []
        self.recognition = CallRecognition(
            recognition,
            "en-US",
            ("Miller",),
            needed_from_ms=lambda: self.now_ms if self.speech_from_ms is None else self.speech_from_ms,
            between=self.ring.between,
            fell_back=lambda *told: self.fell_back.append(told),
        )

    def hears(self, audio: bytes) -> None:
        from_ms = self.now_ms
        self.now_ms += len(audio) // 8
        self.ring.append(audio[: self.now_ms * 8])
        self.recognition.hear(from_ms, audio)

    async def final(self, from_ms: int) -> Decoded:
        heard = self.ring.between(from_ms, self.now_ms)
        return await self.recognition.final(Utterance(heard, "en-US", ("Miller",), from_ms))


class Begin:
    def __init__(self) -> None:
        self.guards = LocalGuards()

    @asynccontextmanager
    async def __call__(self, **providers: AnyRecognizer) -> AsyncIterator[Call]:
        settings = Settings(decode_deadline_s=5, stt_deadline_s=0.2)
        call = Call(Recognition(providers, self.guards, settings))
        call.recognition.open()
        try:
            yield call
        finally:
            await call.recognition.close()


@pytest.fixture
def begin() -> Begin:
    return Begin()


@pytest.fixture
def vendor() -> StreamingVendor:
    return StreamingVendor()


Batch = ScriptedRecognizer


async def test_who_listens_along_is_asked_first(begin: Begin, vendor: StreamingVendor) -> None:
    async with begin(vendor=vendor, local=Batch()) as call:
        await vendor.until(opened=1)
        await asyncio.sleep(0)
        call.hears(SILENCE_MS * 500)
        call.hears(audible("a table"))
        assert call.recognition.so_far(500) == "a table"
        decoded = await call.final(500)
        assert (decoded.text, decoded.error) == ("a table", "")
        assert vendor.opened[0].asked == [(500, call.now_ms)]
        assert call.recognition.heard_ms == {"vendor": call.now_ms}
    assert call.fell_back == []
    assert vendor.closed == 1


@pytest.mark.parametrize("error", [BROKEN, REFUSED])
async def test_one_that_breaks_is_followed_by_the_next_and_opened_again(
    begin: Begin, vendor: StreamingVendor, error: ProviderError
) -> None:
    async with begin(vendor=vendor, local=Batch()) as call:
        await vendor.until(opened=1)
        await asyncio.sleep(0)
        call.speech_from_ms = 0
        call.hears(audible("a table"))
        vendor.opened[0].error = error
        assert (await call.final(0)).text == "a table"
        await vendor.until(closed=1)
        assert call.fell_back == [("vendor", error.code, "local")]
        if error.retryable:
            await vendor.until(opened=2)
            call.hears(SILENCE_MS * 100 + audible("for four"))
            assert (await call.final(0)).text == "a table for four"
            assert vendor.opened[1].asked == [(0, call.now_ms)]
            assert len(call.fell_back) == 1
        else:
            assert call.recognition.so_far(0) is None
            assert (await call.final(0)).text == "a table"
            assert len(call.fell_back) == 1, "told again although nothing has changed"


async def test_one_that_misses_its_deadline_is_followed_by_the_next(
    begin: Begin, vendor: StreamingVendor
) -> None:
    async with begin(vendor=vendor, local=Batch()) as call:
        await vendor.until(opened=1)
        await asyncio.sleep(0)
        call.hears(audible("a table"))
        vendor.opened[0].may_answer.clear()
        assert (await call.final(0)).text == "a table"
        assert call.fell_back == [("vendor", "too_slow", "local")]
        await vendor.until(closed=1, opened=2)


async def test_a_slow_one_is_overtaken_where_a_decoder_is_free(begin: Begin, vendor: StreamingVendor) -> None:
    for _ in range(40):
        begin.guards.guard("vendor").succeeded(5)
    async with begin(vendor=vendor, local=Batch()) as call:
        await vendor.until(opened=1)
        await asyncio.sleep(0)
        call.hears(audible("a table"))
        vendor.opened[0].may_answer.clear()
        decoded = await call.final(0)
        assert decoded.text == "a table"
        assert call.fell_back == [("vendor", "too_slow", "local")]
        assert vendor.closed == 0, "it was slow once"


class Busy(ScriptedRecognizer):
    free_decoders = 0


async def test_it_is_not_overtaken_by_who_has_no_time(begin: Begin, vendor: StreamingVendor) -> None:
    async with begin(vendor=vendor, local=Busy()) as call:
        await vendor.until(opened=1)
        await asyncio.sleep(0)
        ways = call.recognition._ways(call.recognition._kept.open)
        assert [way.name for way in ways] == ["vendor", "local"]
        assert not call.recognition._can_hedge(ways)


@pytest.mark.parametrize(
    ("speech_ms", "other", "begins_ms"),
    [
        (400, Batch(), 1000),
        (CATCH_UP_MS + 400, Batch(), 1000 + CATCH_UP_MS + 400),
        (CATCH_UP_MS + 400, None, 1000),
    ],
)
async def test_where_a_new_connection_begins(
    begin: Begin, vendor: StreamingVendor, speech_ms: int, other: Batch | None, begins_ms: int
) -> None:
    """With the utterance so far, unless that is too much to catch up with and another can decode it."""
    others: dict[str, AnyRecognizer] = {} if other is None else {"local": other}
    vendor.error = BROKEN
    async with begin(vendor=vendor, **others) as call:
        await asyncio.sleep(0)
        call.hears(SILENCE_MS * 1000)
        call.speech_from_ms = 1000
        call.hears(audible("table", speech_ms // 5))
        vendor.error = None
        await vendor.until(opened=1)
        await asyncio.sleep(0)
        call.hears(SILENCE_MS * 20)
        assert vendor.opened[0].begins_ms == begins_ms
        assert (await call.final(1000)).text == "table"
        assert vendor.opened[0].asked == ([(1000, call.now_ms)] if begins_ms == 1000 else [])


async def test_alone_it_is_told_everything_anew(begin: Begin, vendor: StreamingVendor) -> None:
    async with begin(vendor=vendor) as call:
        await vendor.until(opened=1)
        await asyncio.sleep(0)
        call.speech_from_ms = 0
        call.hears(audible("a table") + SILENCE_MS * 2000)
        vendor.opened[0].error = BROKEN
        assert (await call.final(0)).text == "a table"
        assert [(0, call.now_ms)] in [stream.asked for stream in vendor.opened[1:]]
        assert call.fell_back == [("vendor", "broken_off", "vendor")]


async def test_behind_a_batch_provider_nobody_listens_along(begin: Begin, vendor: StreamingVendor) -> None:
    class Failing(ScriptedRecognizer):
        async def transcribe(self, utterance: Utterance) -> str:
            raise BROKEN

    async with begin(local=Failing(), vendor=vendor) as call:
        call.hears(audible("a table"))
        assert call.recognition.so_far(0) is None
        assert vendor.opened == []
        assert (await call.final(0)).text == "a table"
        assert (len(vendor.opened), vendor.closed) == (1, 1)
        assert call.fell_back == [("local", "broken_off", "vendor")]


async def test_the_next_vendor_listens_where_the_first_cannot_be_had(
    begin: Begin, vendor: StreamingVendor
) -> None:
    refusing = StreamingVendor()
    refusing.error = REFUSED
    async with begin(refusing=refusing, vendor=vendor, local=Batch()) as call:
        await vendor.until(opened=1)
        await asyncio.sleep(0)
        call.hears(audible("a table"))
        assert (await call.final(0)).text == "a table"
        assert len(vendor.opened[0].asked) == 1
        assert call.fell_back == [("refusing", "refused", "vendor")]


async def test_whoever_resumes_leaves_the_stream_as_it_is(begin: Begin, vendor: StreamingVendor) -> None:
    async with begin(vendor=vendor, local=Batch()) as call:
        await vendor.until(opened=1)
        await asyncio.sleep(0)
        call.hears(audible("a table"))
        vendor.opened[0].may_answer.clear()
        asked = asyncio.create_task(call.final(0))
        await asyncio.sleep(0.01)
        asked.cancel()
        await asyncio.wait({asked})
        vendor.opened[0].may_answer.set()
        call.hears(SILENCE_MS * 100 + audible("for four"))
        assert (await call.final(0)).text == "a table for four"
        assert (len(vendor.opened), vendor.closed, call.fell_back) == (1, 0, [])


async def test_nothing_is_left_behind_while_one_is_opened() -> None:
    class Endless(StreamingVendor):
        @asynccontextmanager
        async def stream(self, language: str, hints: Sequence[str]) -> AsyncIterator[Stream]:
            self.closed -= 1
            await asyncio.Event().wait()
            yield Stream()

    vendor = Endless()
    async with Begin()(vendor=vendor, local=Batch()) as call:
        while vendor.closed == 0:
            await asyncio.sleep(0)
        call.hears(audible("a table"))
        assert (await call.final(0)).text == "a table"
    assert not [t for t in asyncio.all_tasks() if "kept_stream" in repr(t)]


class Priced(Batch):
    def model_of(self, language: str) -> str:
        return f"whisper-{language}"


class Refusing(Batch):
    async def transcribe(self, utterance: Utterance) -> str:
        raise REFUSED


def heard(provider: str, ms: int, model: str = "") -> Used:
    return Used(role="stt", provider=provider, model=model, seconds=ms / 1000)


async def test_what_each_was_given_counts_also_in_vain(begin: Begin, vendor: StreamingVendor) -> None:
    async with begin(vendor=vendor, local=Priced()) as call:
        await vendor.until(opened=1)
        await asyncio.sleep(0)
        assert call.recognition.used() == []
        call.hears(SILENCE_MS * 500 + audible("a table"))
        vendor.opened[0].may_answer.clear()
        assert (await call.final(500)).text == "a table"
    assert call.recognition.used() == [
        heard("local", call.now_ms - 500, "whisper-en-US"),
        heard("vendor", call.now_ms),
    ]


async def test_what_is_refused_is_not_counted(begin: Begin) -> None:
    async with begin(refusing=Refusing(), local=Batch()) as call:
        call.hears(audible("a table"))
        assert (await call.final(0)).text == "a table"
    assert call.recognition.used() == [heard("local", call.now_ms)]
