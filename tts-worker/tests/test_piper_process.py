"""The child program, spoken to as a parent would."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callbot.tts_worker.providers.piper_process import Desk, Request
from callbot.tts_worker.providers.piper_voice import MAX_PHONEMES, StoppableSession, Stopped, cut

PROGRAM = (sys.executable, "-m", "callbot.tts_worker.providers.piper_process")
HELLO = {"ready": True, "rate_hz": 22050, "name": "joe", "language": "en-US"}
LONG = "We have a table by the window, it is quiet there, " * 8


class Child:
    def __init__(self, *options: str, home: Path) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [*PROGRAM, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": str(home)},
        )

    def ask(self, line: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(line).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> tuple[dict[str, Any], bytes]:
        assert self.process.stdout
        header = json.loads(self.process.stdout.readline())
        return header, self.process.stdout.read(header.get("bytes", 0))

    def answers_to(self, number: int) -> list[tuple[dict[str, Any], bytes]]:
        """All answers, of whatever request, until this one is over."""
        answers = []
        while True:
            answers.append(self.answer())
            header = answers[-1][0]
            if header["id"] == number and "bytes" not in header:
                return answers


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    child = Child(home=tmp_path_factory.mktemp("home"))
    assert child.answer()[0] == HELLO
    yield child
    assert child.process.stdin and child.process.stdout
    child.process.stdin.close()
    child.process.stdout.close()
    child.process.wait(10)


def test_a_text_comes_in_pieces_and_an_end(child: Child) -> None:
    child.ask({"id": 1, "text": "Thank you, your table is booked. Goodbye!"})
    *pieces, end = child.answers_to(1)
    assert end == ({"id": 1, "end": True}, b"")
    assert len(pieces) == 3
    for header, pcm in pieces:
        assert header == {"id": 1, "rate_hz": 22050, "bytes": len(pcm)}
        assert 0.3 < len(pcm) / 2 / 22050 < 4


def test_pieces_that_were_heard_before_are_left_out(child: Child) -> None:
    child.ask({"id": 2, "text": "Thank you, your table is booked. Goodbye!", "skip": 2})
    assert len(child.answers_to(2)) == 2


def test_it_keeps_no_notes_about_its_user(child: Child) -> None:
    assert list(child.home.iterdir()) == []


def test_a_cancelled_request_ends_without_a_word(child: Child) -> None:
    child.ask({"id": 3, "text": LONG})
    header, _ = child.answer()
    assert header["id"] == 3 and "bytes" in header
    child.ask({"cancel": 3})
    child.ask({"id": 4, "text": "Next."})
    headers = [header for header, _ in child.answers_to(4)]
    child.ask({"id": 5, "text": "And on."})
    headers += [header for header, _ in child.answers_to(5)]
    assert not any("end" in h for h in headers if h["id"] == 3)
    assert headers[-1]["id"] == 5 and len([h for h in headers if h["id"] == 3]) < 10


def test_a_cancelled_request_that_waits_never_begins(child: Child) -> None:
    child.ask({"id": 6, "text": LONG})
    child.ask({"id": 7, "text": "Never said."})
    child.ask({"cancel": 7})
    child.ask({"cancel": 6})
    child.ask({"id": 8, "text": "Done."})
    assert not any(header["id"] == 7 for header, _ in child.answers_to(8)[:-1] if "end" in header)


def test_a_short_text_does_not_wait_for_a_long_one(child: Child) -> None:
    child.ask({"id": 9, "text": LONG})
    child.answer()
    child.ask({"id": 10, "text": "Yes."})
    assert len(child.answers_to(10)) < 6
    assert child.answers_to(9)


def test_what_nobody_waits_for_comes_after_what_somebody_waits_for(child: Child) -> None:
    child.ask({"id": 20, "text": LONG, "ahead": True})
    child.answer()
    child.ask({"id": 21, "text": LONG})
    answers = child.answers_to(21)
    pieces = [header["id"] for header, _ in answers]
    # One of the first may have been in work.
    assert pieces.count(20) <= 1 and pieces.count(21) > 4
    assert "end" in child.answers_to(20)[-1][0]


def test_what_somebody_waits_for_now_waits_no_longer(child: Child) -> None:
    child.ask({"id": 22, "text": "Yes, of course.", "ahead": True})
    child.ask({"id": 23, "text": LONG})
    child.ask({"urgent": 22})
    assert [header["id"] for header, _ in child.answers_to(22)].count(23) <= 2
    child.ask({"urgent": 99})
    assert child.answers_to(23)


def test_the_order_of_the_desk() -> None:
    desk = Desk()
    desk.add(Request(1, "", 0, dry_at_s=1.0, ahead=True))
    assert desk.most_urgent().id == 1
    desk.add(Request(2, "", 0, dry_at_s=time.monotonic() + 100))
    desk.add(Request(3, "", 0, dry_at_s=0.5, ahead=True, said_s=50.0))
    assert desk.most_urgent().id == 2
    desk.hurry(3)
    assert desk.most_urgent().id == 3, "its listener has 50 s to hear, the other one's 100"
    desk.hurry(1)
    assert desk.most_urgent().id == 1
    desk.drop(1)
    desk.hurry(1)
    assert desk.most_urgent().id == 3


def test_what_is_stopped_in_the_middle_of_a_piece() -> None:
    stopped: list[str] = []
    desk = Desk(interrupt=lambda: stopped.append(event))

    def ahead(number: int) -> Request:
        return Request(number, "", 0, dry_at_s=number, ahead=True)

    event = "before anything is in work"
    desk.add(ahead(1))
    desk.add(Request(2, "", 0, dry_at_s=2.0))
    desk.drop(2)
    assert desk.most_urgent().id == 1
    event = "another that nobody waits for"
    desk.add(ahead(3))
    desk.drop(3)
    event = "somebody waits"
    desk.add(Request(4, "", 0, dry_at_s=4.0))
    assert desk.most_urgent().id == 4
    event = "two that are waited for"
    desk.add(Request(5, "", 0, dry_at_s=1.0))
    desk.hurry(1)
    event = "cancelled"
    desk.drop(4)
    desk.drop(4)
    desk.drop(5)
    assert desk.most_urgent().id == 1
    desk.add(ahead(6))
    desk.drop(1)
    assert desk.most_urgent().id == 6
    desk.add(ahead(7))
    event = "asked for now"
    desk.hurry(7)
    assert stopped == ["somebody waits", "cancelled", "cancelled", "asked for now"]
    assert desk.most_urgent().id == 7
    event = "what is in work is asked for"
    desk.drop(6)
    desk.hurry(7)
    assert stopped[4:] == []


def test_a_session_that_is_stopped() -> None:
    class Options:
        terminate = False
        log_severity_level = 2

    class Session:
        def run(self, outputs: Any, inputs: Any, options: Options) -> str:
            if inputs == "stop":
                stoppable.stop()
            if inputs == "fail" or options.terminate:
                raise RuntimeError("Exiting due to terminate flag")
            return "sound"

    stoppable = StoppableSession(Session(), Options)
    stoppable.stop()
    assert stoppable.run(None, "") == "sound"
    with pytest.raises(Stopped):
        stoppable.run(None, "stop")
    with pytest.raises(RuntimeError):
        stoppable.run(None, "fail")


@pytest.mark.parametrize("text", ["", "...", "[[", "\x00", " \n "])
def test_a_text_without_a_sound_just_ends(child: Child, text: str) -> None:
    child.ask({"id": 11, "text": text})
    assert child.answers_to(11) == [({"id": 11, "end": True}, b"")]


def test_what_cannot_be_said_costs_only_itself(child: Child) -> None:
    child.ask({"id": 12, "text": "\ud800 half a character"})
    assert "error" in child.answers_to(12)[-1][0]
    child.ask({"id": 13, "text": "a" * 20_000})
    assert "error" in child.answers_to(13)[-1][0]
    lines: list[Any] = [[], {"id": "x", "text": "y"}, {"id": 1}, 7]
    for unreadable in lines:
        child.ask(unreadable)
        header, _ = child.answer()
        assert header["id"] is None and "error" in header


def test_the_end_of_stdin_ends_it_in_the_middle_of_a_sentence(child: Child) -> None:
    child.process.send_signal(signal.SIGINT)
    child.ask({"id": 14, "text": LONG})
    child.answer()
    assert child.process.stdin
    child.process.stdin.close()
    assert child.process.wait(10) == 0


def test_it_does_not_outlive_a_parent_that_is_killed() -> None:
    starts_one = (
        "import subprocess, time; p = subprocess.Popen("
        f"{list(PROGRAM)!r}, stdin=subprocess.PIPE); print('started', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", starts_one], stdout=subprocess.PIPE)
    assert parent.stdout and parent.stdout.readline() == b"started\n"
    parent.kill()
    parent.wait(10)
    # The pipe that both write to ends when the last of them is gone.
    parent.stdout.read()
    parent.stdout.close()


def test_a_model_that_is_missing_is_said_in_the_first_line(tmp_path: Path) -> None:
    child = Child("--model", str(tmp_path / "none.onnx"), home=tmp_path)
    header, _ = child.answer()
    assert header["ready"] is False and "none.onnx" in header["error"]
    assert child.process.wait(10) == 1
    assert child.process.stdin and child.process.stdout
    child.process.stdin.close()
    child.process.stdout.close()


def test_pieces_end_where_a_clause_ends_and_lose_nothing() -> None:
    sentence = list("a table for four, at seven, is that right, or shall we say eight?")
    pieces = cut(sentence)
    assert [p for piece in pieces for p in piece] == sentence
    assert "".join(pieces[0]) == "a table for four, "
    assert len(pieces) == 2
    endless = list("word " * 200)
    assert max(map(len, cut(endless))) <= MAX_PHONEMES + 4
    assert cut(list("Yes, sir.")) == [list("Yes, sir.")]
