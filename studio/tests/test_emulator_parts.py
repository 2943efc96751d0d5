"""The emulator's pure parts: signature, play-out buffer, TwiML, messages, ear, line, mu-law."""

import asyncio
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.schemas.text_audio import TONE, audible
from callbot.studio.emulator import twiml
from callbot.studio.emulator.clock import Clock, Lateness
from callbot.studio.emulator.complaints import Code, Rejected
from callbot.studio.emulator.ear import Ear
from callbot.studio.emulator.line import Line
from callbot.studio.emulator.loudness import SILENT_FRAME, is_audible
from callbot.studio.emulator.playout import Playout
from callbot.studio.emulator.recording import decode, encode
from callbot.studio.emulator.signature import request_signature, signed_url


def test_the_signature_is_the_one_of_twilios_page() -> None:
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert request_signature("12345", url, form) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert request_signature("12345", url, {**form, "To": ""}) != "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("http://h:8080/v1/voice?bot_id=a%20b", "http://h:8080/v1/voice?bot_id=a%20b"),
        ("https://h:8443/v1/voice", "https://h/v1/voice"),
        ("https://user:secret@h/v1/voice#rc=2", "https://h/v1/voice"),
        ("https://[::1]:8443/v1", "https://[::1]/v1"),
    ],
)
def test_what_is_signed_of_a_url(url: str, signed: str) -> None:
    assert signed_url(url) == signed


def a(letter: str, ms: int) -> bytes:
    return letter.encode() * (ms * 8)


def test_audio_plays_from_the_frame_after_its_arrival_and_in_order() -> None:
    playout = Playout()
    playout.append(a("a", 10), at_ms=5)
    assert playout.next_frame(0).audio == SILENT_FRAME
    playout.append(a("b", 25), at_ms=15)
    first, second, third = (playout.next_frame(at_ms) for at_ms in (20, 40, 60))
    assert (first.audio, first.arrived_ms) == (a("a", 10) + a("b", 10), 5)
    assert (second.audio, second.arrived_ms) == (a("b", 15) + b"\xff" * 40, 15)
    assert (third.audio, third.arrived_ms) == (SILENT_FRAME, None)


@pytest.mark.parametrize(
    ("audio_ms", "mark_at_ms", "echoed_at_ms"),
    [
        (0, 3, 3),  # idle: at once
        (20, 3, 40),  # behind one frame
        (30, 3, 60),
        (20, 25, 40),  # the audio is playing
        (10, 35, 35),  # it was over in the middle of the frame
        (40, 25, 60),
    ],
)
def test_a_mark_echoes_when_the_audio_before_it_has_been_played(
    audio_ms: int, mark_at_ms: int, echoed_at_ms: int
) -> None:
    playout = Playout()
    playout.append(a("a", audio_ms), at_ms=1)
    echoes = []
    for now_ms in range(1, 100):
        if now_ms == mark_at_ms:
            echoes += [(name, now_ms) for name in playout.mark("m", now_ms)]
        if now_ms % 20 == 0:
            echoes += [(name, now_ms) for name in playout.next_frame(now_ms).echoed]
    assert echoes == [("m", echoed_at_ms)]


def test_clear_drops_the_audio_and_gives_back_every_mark_once() -> None:
    playout = Playout()
    playout.append(a("a", 10), 0)
    assert playout.mark("playing", 0) == ()
    playout.append(a("b", 60_000), 0)
    assert playout.mark("queued", 0) == ()
    playout.next_frame(0)
    assert playout.clear(5) == ("playing", "queued")
    assert playout.queued_bytes == 0
    assert playout.next_frame(20).audio == SILENT_FRAME
    assert playout.clear(25) == ()
    assert playout.mark("idle", 40) == ("idle",)


@given(st.lists(st.one_of(st.binary(max_size=700), st.just("mark"))))
def test_all_audio_is_played_once_and_all_marks_echo_in_order(sent: list[bytes | str]) -> None:
    playout, expected, echoed, heard = Playout(), [], [], b""
    for number, item in enumerate(sent):
        if isinstance(item, bytes):
            playout.append(item, 0)
        else:
            expected.append(f"{number}")
            echoed += playout.mark(f"{number}", 0)
    total = b"".join(item for item in sent if isinstance(item, bytes))
    for frame in range(math.ceil(len(total) / 160) + 1):
        played = playout.next_frame(frame * 20)
        heard += played.audio
        echoed += played.echoed
    assert heard[: len(total)] == total
    assert echoed == expected


def test_the_documents_that_the_platform_answers() -> None:
    document = twiml.parse(
        b'<?xml version="1.0"?><Response><Connect action="/next?call=1&amp;x=2"><Stream url="wss://h/s">'
        b'<Parameter name="token" value="t"/></Stream></Connect><Say voice="man">Bye &amp; thanks</Say>'
        b'<Dial callerId="+1" timeout="5" action="/dialed"><Number>+2</Number></Dial><Dial>+3</Dial>'
        b'<Redirect method="get">/again</Redirect><Pause/><Reject/><Hangup/></Response>',
        "application/xml; charset=utf-8",
    )
    assert document.warnings == ()
    assert document.verbs == (
        twiml.Connect(twiml.Stream("wss://h/s", {"token": "t"}), "/next?call=1&x=2", "POST"),
        twiml.Say("Bye & thanks"),
        twiml.Dial(("+2",), "/dialed", "POST", "+1", 5),
        twiml.Dial(("+3",), None, "POST", None, 30),
        twiml.Redirect("/again", "GET"),
        twiml.Pause(1),
        twiml.Reject("rejected"),
        twiml.Hangup(),
    )


@pytest.mark.parametrize(
    ("inside", "verbs"),
    [
        ("<say>x</say>", 0),
        ('<Say loudness="3">x</Say>', 1),
        ("<Connect/>", 0),
        ("<Connect><Stream/></Connect>", 0),
        ('<Connect><Stream url="wss://h/"/><Stream url="wss://h/"/></Connect>', 0),
        ('<Connect><Stream url="wss://h/"><Say>x</Say></Stream></Connect>', 1),
        ('<Connect><Stream url="wss://h/"><Parameter value="x"/></Stream></Connect>', 1),
        (
            '<Connect><Stream url="wss://h/"><Parameter name="t" value="'
            + "x" * 499
            + '"/></Stream></Connect>',
            1,
        ),
        ("<Dial/>", 1),
        ('<Pause length="long"/>', 1),
        ('<Redirect method="PUT">/x</Redirect>', 1),
        ("<Play>/x.mp3</Play>", 0),
    ],
)
def test_what_the_schema_does_not_allow_is_warned_of(inside: str, verbs: int) -> None:
    document = twiml.parse(f"<Response>{inside}</Response>".encode(), "text/xml")
    assert [warning.code for warning in document.warnings] == [Code.SCHEMA]
    assert len(document.verbs) == verbs


def test_a_parameter_may_have_499_characters() -> None:
    parameter = f'<Parameter name="t" value="{"x" * 498}"/>'
    body = f'<Response><Connect><Stream url="wss://h/">{parameter}</Stream></Connect></Response>'
    assert twiml.parse(body.encode(), "text/xml").warnings == ()


def test_bytes_that_are_no_text_are_bad_xml() -> None:
    for body in (b"", b"\xff\xfe\x00", b'<?xml version="1.0" encoding="klingon"?><Response/>'):
        with pytest.raises(Rejected) as rejected:
            twiml.parse(body, "text/xml")
        assert rejected.value.complaint.code is Code.BAD_XML


def test_mu_law_is_g711() -> None:
    codes = bytes(range(256))
    assert encode(decode(codes)) == codes.replace(b"\x7f", b"\xff")  # both zeros become the positive one
    assert decode(b"\x00\x80\xff\x7f\xaf").tolist() == [-32124, 32124, 0, 0, 4092]
    samples = np.arange(-32768, 32768, 7).astype(np.int16)
    error = np.abs(decode(encode(samples)).astype(int) - samples)
    assert (error <= np.maximum(8, np.abs(samples.astype(int)) / 16 + 132 / 16)).sum() >= len(samples) - 100


def test_what_a_person_would_hear() -> None:
    noise = np.random.default_rng(1)
    assert not is_audible(SILENT_FRAME)
    assert not is_audible(b"\x7f" * 160)
    assert not is_audible(encode(noise.normal(0, 30, 160).astype(np.int16)))
    assert is_audible(encode(noise.normal(0, 400, 160).astype(np.int16)))
    assert is_audible(TONE * 20)
    assert is_audible(audible("x", 0))


def hear(ear: Ear, *sounds: bytes, arrived_ms: float = 0) -> None:
    for sound in sounds:
        for at in range(0, len(sound), 160):
            ear.hear(ear.now_ms, sound[at : at + 160].ljust(160, b"\xff"), arrived_ms)


def test_the_ear_joins_words_and_parts_turns() -> None:
    ear = Ear()
    hear(
        ear, SILENT_FRAME, TONE * 40, SILENT_FRAME * 9, TONE * 40, SILENT_FRAME * 10, TONE * 20, arrived_ms=7
    )
    assert [(s.started_ms, s.ended_ms) for s in ear.segments] == [(20, 280), (480, 500)]
    assert ear.segments[0].arrived_ms == 7
    assert ear.silent_ms == 0
    ear.cleared()
    hear(ear, TONE * 20)
    assert [(s.started_ms, s.ended_ms) for s in ear.segments][1:] == [(480, 500), (500, 520)]


def test_the_ear_reads_texts_one_after_the_other_and_forgets_damaged_ones() -> None:
    ear = Ear()
    hear(
        ear,
        audible("one", 20) + audible("two", 20),
        audible("three")[:20],
        SILENT_FRAME * 20,
        audible("four"),
    )
    assert [text.text for text in ear.texts] == ["one", "two", "four"]
    ear.hear_text("five")
    assert ear.texts[-1].text == "five"


async def test_who_waits_for_the_ear_is_woken_or_told_that_it_is_over() -> None:
    ear = Ear()
    first_text = lambda: ear.texts[0].text if ear.texts else None  # noqa: E731
    assert await ear.until(first_text, within_s=0.01) is None
    waiting = asyncio.create_task(ear.until(first_text, within_s=5))
    await asyncio.sleep(0)
    ear.hear_text("here")
    assert await waiting == "here"
    waiting = asyncio.create_task(ear.until(lambda: None, within_s=5))
    await asyncio.sleep(0)
    ear.over()
    assert await waiting is None


async def test_a_line_does_not_drift_and_says_how_late_it_was() -> None:
    line = Line(None, speed=1.0)
    line.start()
    begun = line.clock
    speech = line.say(TONE * 400)  # twenty frames
    await asyncio.sleep(0)
    line.start()
    assert line.clock is begun
    sent_ms = await speech.sent
    assert sent_ms >= 380
    assert speech.last_word_ms == sent_ms
    assert line.ear.now_ms in (380, 400)  # the frame that goes out is heard in the same moment
    assert line.lateness.count in (20, 21)
    await line.stop()
    assert line.ear.is_over


async def test_a_late_line_catches_up() -> None:
    clock = Clock(speed=1000)
    await clock.sleep_until(100)
    assert clock.now_ms() >= 100
    line = Line(None, speed=1000)
    speech = line.say(TONE * 20 * 100)
    line.start()
    await speech.sent
    assert line.lateness.count == 100
    await line.stop()


def test_lateness() -> None:
    lateness = Lateness()
    assert (lateness.p99_ms, lateness.max_ms) == (0, 0)
    for late_ms in [0.5] * 98 + [3, 9, -1]:
        lateness.add(late_ms)
    assert (lateness.p99_ms, lateness.max_ms, lateness.count) == (3, 9, 101)
