"""One character a chunk of 32 ms: `#` speech, `+` between the thresholds, `.` silence."""

import pytest

from callbot.stt_worker.end_of_turn import Began, Ended, EndOfTurn, Resumed, WentQuiet

PROBABILITY = {"#": 0.9, "+": 0.4, ".": 0.1}
BEGAN, QUIET, RESUMED, ENDED = Began, WentQuiet, Resumed, Ended


def course(chunks: str, **settings: int) -> list[tuple[int, object]]:
    """What happened at which chunk."""
    turns = EndOfTurn(**settings)
    heard = [(i, turns.hear((i + 1) * 32, PROBABILITY[c])) for i, c in enumerate(chunks)]
    return [(i, happening) for i, happening in heard if happening is not None]


@pytest.mark.parametrize(
    ("chunks", "happenings"),
    [
        ("." * 50, []),
        ("+" * 50, []),
        ("##..##..##..", []),
        ("###", [(2, BEGAN)]),
        ("#++", [(2, BEGAN)]),
        ("+##.", []),
        ("###..#", [(2, BEGAN)]),
        ("###...", [(2, BEGAN), (5, QUIET)]),
        ("###+++...", [(2, BEGAN), (8, QUIET)]),
        ("###...##", [(2, BEGAN), (5, QUIET), (7, RESUMED)]),
        ("###...#.", [(2, BEGAN), (5, QUIET)]),
        ("###...++++", [(2, BEGAN), (5, QUIET)]),
        ("###" + "." * 16, [(2, BEGAN), (5, QUIET), (18, ENDED)]),
        # A click in the silence neither ends nor prolongs the turn …
        ("###" + "." * 5 + "#" + "." * 10, [(2, BEGAN), (5, QUIET), (18, ENDED)]),
        # … but what may be speech is waited for when the turn would end.
        ("###" + "." * 15 + "#.", [(2, BEGAN), (5, QUIET), (19, ENDED)]),
        ("###" + "." * 15 + "##", [(2, BEGAN), (5, QUIET), (19, RESUMED)]),
        (
            ("###" + "." * 16) * 2,
            [(2, BEGAN), (5, QUIET), (18, ENDED), (21, BEGAN), (24, QUIET), (37, ENDED)],
        ),
    ],
)
def test_course(chunks: str, happenings: list[tuple[int, type]]) -> None:
    assert [(i, type(h)) for i, h in course(chunks)] == happenings


def test_positions() -> None:
    happened = [h for _, h in course("." * 20 + "####" + "." * 16)]
    assert happened == [
        Began(20 * 32 - 300),
        WentQuiet(20 * 32 - 300, 27 * 32),
        Ended(20 * 32 - 300, 24 * 32, 40 * 32, 4 * 32),
    ]


def test_the_lead_does_not_reach_into_the_turn_before() -> None:
    happened = [h for _, h in course("###" + "." * 16 + "..###")]
    assert happened[-1] == Began(19 * 32)


def test_a_longer_end_silence_waits_longer() -> None:
    assert course("###" + "." * 31, end_silence_ms=1000)[-1] != (33, Ended)
    assert isinstance(course("###" + "." * 32, end_silence_ms=1000)[-1][1], Ended)


def test_endless_speech_is_ended_by_force_and_goes_on_as_the_next_turn() -> None:
    happened = course("#" * 200, max_utterance_ms=3200)
    kinds = [(i, type(h)) for i, h in happened]
    assert kinds[:3] == [(2, BEGAN), (99, ENDED), (102, BEGAN)]
    assert happened[2][1] == Began(3200)


def test_long_speech_ends_at_its_next_short_pause() -> None:
    happened = course("#" * 92 + "...", max_utterance_ms=3200)
    assert [(i, type(h)) for i, h in happened] == [(2, BEGAN), (94, ENDED)]


def test_voiced_time_leaves_pauses_out() -> None:
    ended = course("###...####" + "." * 16)[-1][1]
    assert isinstance(ended, Ended)
    assert ended.voiced_ms == 7 * 32
