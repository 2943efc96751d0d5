import itertools

from callbot.stt_worker.interims import InterimBudget


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_interims_cost_no_more_than_their_share() -> None:
    clock = Clock()
    budget = InterimBudget(0.25, clock)
    begun = []
    for _ in range(100):
        if budget.begin(2):
            begun.append(clock.now_s)
            clock.now_s += 0.1
            budget.end()
        clock.now_s += 0.05
    assert len(begun) >= 10
    assert all(later - earlier >= 0.399 for earlier, later in itertools.pairwise(begun))


def test_one_at_a_time() -> None:
    budget = InterimBudget(1.0, Clock())
    assert budget.begin(8)
    assert not budget.begin(8)
    budget.end()
    assert budget.begin(8)


def test_a_decoder_is_left_for_a_final() -> None:
    budget = InterimBudget(1.0, Clock())
    assert not budget.begin(1)
    assert not budget.begin(0)
    assert budget.begin(2)


def test_none_at_all() -> None:
    assert not InterimBudget(0.0, Clock()).begin(64)


def test_the_end_of_none_is_nothing() -> None:
    budget = InterimBudget(0.5, Clock())
    budget.end()
    assert budget.begin(2)
