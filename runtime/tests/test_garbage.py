"""What calls leave behind is not kept until it is so much that looking through it makes live calls wait."""

import gc
from collections import deque
from collections.abc import Iterator

import pytest

from callbot.runtime.service import collect_rarely

OF_A_CALL = 800
"""Objects in cycles, as the gateway leaves them."""
AT_ONCE = 100
MOST_DEAD = 400


class Piece:
    def __init__(self) -> None:
        self.other: Piece = self


def a_call() -> list[Piece]:
    pieces = [Piece() for _ in range(OF_A_CALL)]
    for number, piece in enumerate(pieces):
        piece.other = pieces[number - 1]
    return pieces


@pytest.fixture
def as_in_a_service() -> Iterator[None]:
    before = gc.get_threshold()
    collect_rarely()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_dead_calls_are_taken_away_before_they_are_many(as_in_a_service: None) -> None:
    live: deque[list[Piece]] = deque(maxlen=AT_ONCE)
    most = 0
    for call in range(3000):
        live.append(a_call())
        if call % 50 == 0:
            pieces = sum(type(one) is Piece for one in gc.get_objects())
            most = max(most, pieces // OF_A_CALL - len(live))
    assert most <= MOST_DEAD
