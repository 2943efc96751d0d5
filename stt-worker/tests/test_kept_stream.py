"""A connection that the vendor ends while nothing is asked of it: another is there before it is needed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from callbot.runtime.chain import Link
from callbot.runtime.errors import ProviderError
from callbot.runtime.guard import LocalGuard
from callbot.stt_worker.kept_stream import KeptStream
from callbot.stt_worker.recognizer import StreamingRecognizer
from tests.streaming_vendor import Stream, StreamingVendor

BROKEN = ProviderError("broken_off", "for this test", retryable=True)
REFUSED = ProviderError("refused", "for this test", retryable=False)


@pytest.fixture
def vendor() -> StreamingVendor:
    return StreamingVendor()


@pytest.fixture
def guard() -> LocalGuard:
    return LocalGuard("vendor")


@pytest.fixture
async def kept(vendor: StreamingVendor, guard: LocalGuard) -> AsyncIterator[KeptStream]:
    link: Link[StreamingRecognizer] = Link("vendor", vendor, guard, deadline_s=1)
    kept = KeptStream([link], "en-US", (), lambda: (700, b"\xff" * 160), lambda _, __: None)
    kept.begin()
    await vendor.until(opened=1)
    yield kept
    await kept.close()


async def test_one_that_is_lost_is_opened_again_unasked(kept: KeptStream, vendor: StreamingVendor) -> None:
    vendor.opened[0].breaks(BROKEN)
    await vendor.until(opened=2, closed=1)
    await asyncio.sleep(0)
    assert kept.open is not None and kept.open.stream is vendor.opened[1]
    assert (vendor.opened[1].begins_ms, len(vendor.opened[1].audio)) == (700, 160)
    assert kept.errors == {"vendor": "broken_off"}


async def test_a_vendor_that_ends_every_one_is_left_alone(
    kept: KeptStream, vendor: StreamingVendor, guard: LocalGuard
) -> None:
    vendor.opened[0].breaks(BROKEN)
    for number in (2, 3):
        await vendor.until(opened=number)
        assert guard.breaker.state == "closed"
        vendor.opened[-1].breaks(BROKEN)
    await vendor.until(closed=3)
    assert guard.breaker.state == "open"
    assert kept.open is None


async def test_a_vendor_that_refuses_after_the_handshake_is_left_alone_at_once(
    kept: KeptStream, vendor: StreamingVendor, guard: LocalGuard
) -> None:
    vendor.opened[0].breaks(REFUSED)
    await vendor.until(closed=1)
    assert guard.breaker.state == "open"
    assert kept.open is None


@pytest.mark.parametrize("opens", [False, True], ids=["when opened", "once open"])
async def test_who_cannot_do_this_call_gives_way_to_the_next(
    vendor: StreamingVendor, guard: LocalGuard, opens: bool
) -> None:
    next_one = StreamingVendor()
    unfit = ProviderError("language_unknown", "for this test", retryable=False)
    vendor.error = None if opens else unfit
    links: list[Link[StreamingRecognizer]] = [
        Link("vendor", vendor, guard, deadline_s=1),
        Link("next", next_one, LocalGuard("next"), deadline_s=1),
    ]
    kept = KeptStream(links, "tlh", (), lambda: (700, b"\xff" * 160), lambda _, __: None)
    kept.begin()
    if opens:
        await vendor.until(opened=1)
        vendor.opened[0].breaks(unfit)
    await next_one.until(opened=1)
    await asyncio.sleep(0)
    assert kept.open is not None and kept.open.link.name == "next"
    assert kept.errors == {"vendor": "language_unknown"}
    assert guard.breaker.state == "closed", "other calls may be in a language that it knows"
    await kept.close()


async def test_who_cannot_do_this_call_is_not_asked_all_the_time(
    vendor: StreamingVendor, guard: LocalGuard
) -> None:
    vendor.error = ProviderError("language_unknown", "for this test", retryable=False)
    link: Link[StreamingRecognizer] = Link("vendor", vendor, guard, deadline_s=1)
    kept = KeptStream([link], "tlh", (), lambda: (0, b""), lambda _, __: None)
    pauses = [kept.missed(link, vendor.error) for _ in range(9)]
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert kept.missed(link, BROKEN) == 0, "that is the breaker's business"


@pytest.mark.parametrize("where", ["hear", "lost"])
async def test_code_that_fails_costs_its_connection_and_not_the_call(
    vendor: StreamingVendor, guard: LocalGuard, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("a caller's words")

    link: Link[StreamingRecognizer] = Link("vendor", vendor, guard, deadline_s=1)
    kept = KeptStream([link], "en-US", (), lambda: (0, b""), lambda _, __: None)
    with monkeypatch.context() as patched:
        patched.setattr(Stream, where, fails)
        kept.begin()
        await vendor.until(opened=1)
        await asyncio.sleep(0)
        kept.hear(0, b"\xff" * 160)
        await vendor.until(closed=1)
    async with asyncio.timeout(10):
        while kept.open is None:
            await asyncio.sleep(0.001)
    assert kept.errors == {"vendor": "crashed"}
    kept.hear(0, b"\xff" * 160)
    assert vendor.opened[1].audio == b"\xff" * 160
    await kept.close()
