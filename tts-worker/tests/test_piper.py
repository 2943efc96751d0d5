"""The local voice, with its child process."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import aclosing
from pathlib import Path

import pytest

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.tts_worker.providers.piper import PiperSynthesizer
from callbot.tts_worker.providers.piper_child import PiperChild
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice
from callbot.tts_worker.urgency import Urgency

VOICE = Voice("piper", "joe", "en-US")
SENTENCE = "Thank you for calling, your table is booked for seven, see you tonight."
LONG = "We have a table by the window, it is quiet there, " * 6


async def said(piper: PiperSynthesizer, text: str) -> bytes:
    return b"".join([chunk async for chunk in piper.speak(text, VOICE)])


async def test_a_sentence_is_heard_in_chunks(piper: PiperSynthesizer) -> None:
    chunks = [chunk async for chunk in piper.speak(SENTENCE, VOICE)]
    assert len(chunks) > 2
    assert 2.5 < sum(map(len, chunks)) / 8000 < 7


async def test_several_speak_at_once(piper: PiperSynthesizer) -> None:
    sizes = [len(audio) for audio in await asyncio.gather(*[said(piper, SENTENCE) for _ in range(4)])]
    assert min(sizes) > 20_000


async def test_closing_the_iterator_cancels(piper: PiperSynthesizer) -> None:
    async with aclosing(piper.speak(LONG * 8, VOICE)) as chunks:
        await anext(chunks)
    child = piper._child
    assert child is not None and not child._answers
    # Whoever listens for the cancelled one hears at most what was under way, while others are served.
    late = child._answers[next(child._ids) - 1] = asyncio.Queue()
    await asyncio.gather(said(piper, LONG), said(piper, LONG))
    assert late.qsize() <= 1
    child._answers.clear()


async def test_a_child_that_dies_in_mid_sentence_is_not_heard(piper: PiperSynthesizer) -> None:
    whole = len(await said(piper, LONG))
    pid = piper.child_pid
    assert pid
    chunks = piper.speak(LONG, VOICE)
    audio = await anext(chunks)
    os.kill(pid, signal.SIGKILL)
    audio += b"".join([chunk async for chunk in chunks])
    assert piper.child_pid not in (None, pid)
    # The model speaks a little faster or slower each time; a missing or repeated piece would be 20 %.
    assert len(audio) == pytest.approx(whole, rel=0.08)


async def test_a_stuck_child_is_replaced_and_nothing_is_left_behind() -> None:
    async with PiperSynthesizer(Settings(tts_first_audio_s=0.5)) as piper:
        stuck = piper.child_pid
        assert stuck
        os.kill(stuck, signal.SIGSTOP)
        assert await said(piper, "Yes.")
        replaced = piper.child_pid
        assert replaced and replaced != stuck
    for pid in (stuck, replaced):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_missing_model_is_a_wrong_setting(tmp_path: Path) -> None:
    settings = Settings(piper_model=tmp_path / "none.onnx")
    with pytest.raises(SettingsError, match=r"none\.onnx"):
        async with PiperSynthesizer(settings):
            pass


async def test_a_text_that_kills_twice_is_given_up(piper: PiperSynthesizer) -> None:
    chunks = piper.speak(LONG, VOICE)
    await anext(chunks)
    with pytest.raises(ProviderError, match="piper_died"):
        pids = set()
        while True:
            if (pid := piper.child_pid) and pid not in pids:
                pids.add(pid)
                os.kill(pid, signal.SIGKILL)
            await anext(chunks)


async def test_what_is_spoken_ahead_gives_way_until_it_is_asked_for(piper: PiperSynthesizer) -> None:
    order: list[str] = []

    async def speak(name: str, urgency: Urgency) -> int:
        size = 0
        async with aclosing(piper.speak(LONG, VOICE, urgency)) as chunks:
            async for chunk in chunks:
                order.append(name)
                size += len(chunk)
        return size

    ahead, asked_for = Urgency(waited_for=False), Urgency(waited_for=False)
    runs = [speak("ahead", ahead), speak("asked for", asked_for), speak("said", Urgency(waited_for=True))]
    tasks = [asyncio.create_task(run) for run in runs]
    while not order:
        await asyncio.sleep(0)
    asked_for.rise()
    sizes = await asyncio.gather(*tasks)
    assert min(sizes) > 60_000
    others = [at for at, name in enumerate(order) if name != "ahead"]
    assert len([name for name in order[: others[-1]] if name == "ahead"]) <= 1, order


BUSY_CHILD = """
import sys, time
sys.stdin.readline()
for n in range(30):
    print('{"id": 99, "end": true}', flush=True)
    time.sleep(0.05)
print('{"id": 1, "end": true}', flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("waited_for", [False, True])
async def test_what_nobody_waits_for_may_take_as_long_as_others_are_served(waited_for: bool) -> None:
    program = (sys.executable, "-c", BUSY_CHILD)
    child = PiperChild(await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE))
    child._reading = asyncio.create_task(child._read_for_ever())
    pieces = child.pieces("Yes.", skip=0, within_s=0.8, urgency=Urgency(waited_for=waited_for))
    if waited_for:
        with pytest.raises(ProviderError, match="too_slow"):
            await anext(pieces)
    else:
        assert [piece async for piece in pieces] == []
    await child.stop()
