"""One character a chunk of 32 ms.

`#` loud speech, `?` maybe speech, `+` only where it goes on, `.` silence, `q` quiet speech, `~` what the
detector remembers.
"""

import pytest

from callbot.stt_worker.end_of_turn import (
    BUSY_QUIET_MS,
    Began,
    Ended,
    EndOfTurn,
    Happening,
    Resumed,
    StayedQuiet,
    WentQuiet,
)

HEARD = {
    "#": (0.9, -20.0),
    "?": (0.55, -20.0),
    "+": (0.4, -20.0),
    ".": (0.1, -65.0),
    "q": (0.9, -42.0),
    "~": (0.9, -64.0),
}
BEGAN, QUIET, STAYED, RESUMED, ENDED = Began, WentQuiet, StayedQuiet, Resumed, Ended


def course(chunks: str, *, silence_ms: int = 500, **settings: int) -> list[tuple[int, Happening]]:
    """What happened at which chunk, where every silence is weighed at once."""
    turns = EndOfTurn(**settings)
    happened = []
    for i, c in enumerate(chunks):
        if (happening := turns.hear((i + 1) * 32, *HEARD[c])) is not None:
            happened.append((i, happening))
        if isinstance(happening, WentQuiet):
            assert turns.wait_until(silence_ms) is None
    return happened


@pytest.mark.parametrize(
    ("chunks", "happenings"),
    [
        ("." * 50, []),
        ("+" * 50, []),
        ("#.#.#.", []),
        ("##", [(1, BEGAN)]),
        ("#+", []),
        ("??", []),
        ("???", [(2, BEGAN)]),
        ("?#", []),
        ("#?#", [(2, BEGAN)]),
        ("?.##", [(3, BEGAN)]),
        ("+##.", [(2, BEGAN), (3, QUIET)]),
        ("##.#", [(1, BEGAN), (2, QUIET)]),
        ("##..", [(1, BEGAN), (2, QUIET)]),
        ("##+++..", [(1, BEGAN), (5, QUIET)]),
        ("##..##", [(1, BEGAN), (2, QUIET), (5, RESUMED)]),
        ("##..#.", [(1, BEGAN), (2, QUIET), (5, STAYED)]),
        ("##..++++", [(1, BEGAN), (2, QUIET), (4, STAYED)]),
        ("##" + "." * 16, [(1, BEGAN), (2, QUIET), (4, STAYED), (17, ENDED)]),
        # A click in the silence neither ends nor prolongs the turn …
        ("##" + "." * 5 + "#" + "." * 10, [(1, BEGAN), (2, QUIET), (4, STAYED), (17, ENDED)]),
        # … but what may be speech is waited for when the turn would end.
        ("##" + "." * 15 + "#.", [(1, BEGAN), (2, QUIET), (4, STAYED), (18, ENDED)]),
        ("##" + "." * 15 + "##", [(1, BEGAN), (2, QUIET), (4, STAYED), (18, RESUMED)]),
        # Our own voice comes back quietly; who has begun may go on quietly, and so after a pause.
        ("q" * 50, []),
        ("#qqqq", []),
        ("##qqqq..", [(1, BEGAN), (6, QUIET)]),
        ("##..qq", [(1, BEGAN), (2, QUIET), (5, RESUMED)]),
        # The detector remembers speech for a while: the level tells when it ended.
        ("##~~.", [(1, BEGAN), (2, QUIET), (4, STAYED)]),
        ("##~~~~##", [(1, BEGAN), (2, QUIET), (4, STAYED), (7, RESUMED)]),
        (
            ("##" + "." * 16) * 2,
            [
                (1, BEGAN),
                (2, QUIET),
                (4, STAYED),
                (17, ENDED),
                (19, BEGAN),
                (20, QUIET),
                (22, STAYED),
                (35, ENDED),
            ],
        ),
    ],
)
def test_course(chunks: str, happenings: list[tuple[int, type]]) -> None:
    assert [(i, type(h)) for i, h in course(chunks)] == happenings


def test_positions() -> None:
    happened = [h for _, h in course("." * 20 + "####" + "~" + "." * 16)]
    assert happened == [
        Began(20 * 32 - 300, 20 * 32),
        WentQuiet(20 * 32 - 300, 25 * 32, 24 * 32, 4 * 32),
        StayedQuiet(),
        Ended(20 * 32 - 300, 24 * 32, 40 * 32, 4 * 32),
    ]


def test_a_resumption_says_since_when() -> None:
    assert course("##....##")[-1] == (7, Resumed(6 * 32))


def test_the_lead_does_not_reach_into_the_turn_before() -> None:
    happened = [h for _, h in course("##" + "." * 16 + "..##")]
    assert happened[-1] == Began(18 * 32, 20 * 32)


def test_until_the_words_are_known_the_longest_silence_is_waited_for() -> None:
    turns = EndOfTurn(longest_silence_ms=640)
    ends = [
        i for i in range(40) if isinstance(turns.hear((i + 1) * 32, *HEARD["#" if i < 2 else "."]), Ended)
    ]
    assert ends == [21]


def test_a_silence_that_has_lasted_long_enough_ends_the_turn_at_once() -> None:
    turns = EndOfTurn()
    for i, c in enumerate("##" + "." * 10):
        turns.hear((i + 1) * 32, *HEARD[c])
    assert turns.wait_until(352) is None
    assert turns.wait_until(320) == Ended(0, 64, 12 * 32, 64)
    assert turns.in_progress_from_ms is None
    assert turns.wait_until(0) is None


def test_each_silence_is_weighed_anew() -> None:
    turns = EndOfTurn(longest_silence_ms=640)
    happened = []
    for i, c in enumerate("##...##" + "." * 30):
        if happening := turns.hear((i + 1) * 32, *HEARD[c]):
            happened.append((i, type(happening)))
        if i == 3:
            turns.wait_until(128)
    assert happened == [
        (1, BEGAN),
        (2, QUIET),
        (4, STAYED),
        (6, RESUMED),
        (7, QUIET),
        (9, STAYED),
        (26, ENDED),
    ]


def test_endless_speech_is_ended_by_force_and_goes_on_as_the_next_turn() -> None:
    happened = course("#" * 200, max_utterance_ms=3200)
    kinds = [(i, type(h)) for i, h in happened]
    assert kinds[:3] == [(1, BEGAN), (99, ENDED), (101, BEGAN)]
    assert happened[2][1] == Began(3200, 3200)


def test_long_speech_ends_at_its_next_short_pause() -> None:
    happened = course("#" * 92 + "...", max_utterance_ms=3200)
    assert [(i, type(h)) for i, h in happened] == [(1, BEGAN), (92, QUIET), (93, ENDED)]


def test_voiced_time_leaves_pauses_out() -> None:
    ended = course("###...####" + "." * 16)[-1][1]
    assert isinstance(ended, Ended)
    assert ended.voiced_ms == 7 * 32


def test_where_decodes_are_dear_a_longer_silence_is_waited_for() -> None:
    turns = EndOfTurn()
    turns.quiet_ms = BUSY_QUIET_MS
    happened = [(i, type(h)) for i, c in enumerate("##...") if (h := turns.hear((i + 1) * 32, *HEARD[c]))]
    assert happened == [(1, BEGAN), (3, QUIET), (4, STAYED)]
