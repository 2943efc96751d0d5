"""Which of Google's results answer a question, and where the words of parted streams meet."""

import pytest

from callbot.stt_worker.providers.google_transcript import Guess, Part, Transcript, Word, new_words

STABLE = 0.85


def never(_: int, __: int) -> bool:
    return False


def silent(_: int, __: int) -> bool:
    return True


def timed(*words: tuple[str, int, int]) -> list[Word]:
    return [Word(*word) for word in words]


def transcript(*parts: Part, language: str = "en-US") -> Transcript:
    made = Transcript(language)
    for part in parts:
        made.add(part)
    return made


def test_a_final_result_that_reaches_the_end_is_the_answer() -> None:
    part = Part(0, 0)
    made = transcript(part)
    made.begin(0)
    assert made.answer(1000, never, STABLE) is None
    part.settle("hello there", 900)
    assert made.answer(1000, never, STABLE) == "hello there"
    assert not made.guessed


@pytest.mark.parametrize(
    ("stability", "to_ms", "answer"),
    [(0.9, 950, "hello there"), (0.5, 950, None), (0.9, 700, None)],
    ids=["stable", "it may change", "it has not heard all"],
)
def test_a_guess_is_an_answer_when_it_is_stable_and_has_heard_all(
    stability: float, to_ms: int, answer: str | None
) -> None:
    part = Part(0, 0)
    part.guess = Guess("hello there", to_ms, stability)
    made = transcript(part)
    made.begin(0)
    assert made.answer(1000, never, STABLE) == answer
    assert made.guessed is (answer is not None)


def test_silence_after_the_words_needs_no_result() -> None:
    part = Part(0, 0)
    part.settle("hello", 400)
    made = transcript(part)
    made.begin(0)
    assert made.answer(2000, silent, STABLE) == "hello"
    made.begin(2500)
    assert made.answer(4000, silent, STABLE) == ""


def test_a_result_that_comes_twice_counts_once() -> None:
    part = Part(0, 0)
    part.settle("hello", 400)
    part.settle("hello", 400)
    assert [s.text for s in part.settled] == ["hello"]


def test_a_late_result_is_not_the_next_utterances() -> None:
    """The first was answered by a guess; its final result ends where the second has begun."""
    part = Part(0, 0)
    part.guess = Guess("one", 980, 0.9)
    made = transcript(part)
    made.begin(0)
    assert made.answer(1000, never, STABLE) == "one"
    part.settle("One. Two", 2400, timed(("One.", 200, 600), ("Two", 1900, 2300)))
    made.begin(1500)
    assert made.answer(2500, never, STABLE) == "Two"


def test_a_guess_with_the_words_of_two_utterances_is_no_answer() -> None:
    part = Part(0, 0)
    part.guess = Guess("one", 980, 0.9)
    made = transcript(part)
    made.begin(0)
    made.answer(1000, never, STABLE)
    part.guess = Guess("one two", 2450, 0.9)
    made.begin(1500)
    assert made.answer(2500, never, STABLE) is None


def test_a_stream_that_was_parted_in_a_pause_answers_when_it_is_over() -> None:
    first, second = Part(0, 0, to_ms=1000), Part(1000, 1000)
    made = transcript(first, second)
    made.begin(0)
    first.settle("one", 500)
    assert made.answer(1000, never, STABLE) is None
    first.guess = Guess("two", 800, 0.2)
    first.end(1000)
    assert made.answer(1000, never, STABLE) == "one two", "what it had not settled is all there is"
    second.settle("three", 1900)
    assert made.answer(2000, never, STABLE) == "one two three"
    made.begin(1500)
    assert made.answer(2000, never, STABLE) == "", "it was said already"


def test_a_torn_word_is_the_next_streams() -> None:
    first, second = Part(0, 0, to_ms=5000, torn_ms=5000), Part(3000, 5000)
    made = transcript(first, second)
    made.begin(0)
    first.settle(
        "a b c to", 5000, timed(("a", 0, 900), ("b", 2000, 2900), ("c", 3500, 4500), ("to", 4600, 5000))
    )
    first.end(5000)
    made.mend(first)
    assert made.answer(5000, never, STABLE) == "a b c"
    made.begin(5000)
    second.settle("c tomorrow", 6000, timed(("c", 3510, 4490), ("tomorrow", 4610, 5400)))
    assert made.answer(6000, never, STABLE) == "tomorrow"


def test_without_times_the_words_tell_where_streams_meet() -> None:
    first, second = Part(0, 0, to_ms=5000, torn_ms=5000), Part(3000, 5000)
    made = transcript(first, second)
    first.settle("we would like a", 5000)
    first.end(5000)
    made.mend(first)
    second.settle("like a table", 6000)
    made.begin(0)
    assert made.answer(6000, never, STABLE) == "we would like a table"


def test_so_far_is_all_that_is_known_since_then() -> None:
    part = Part(0, 0)
    made = transcript(part)
    assert made.so_far(0) == ""
    part.settle(" I would", 900)
    part.guess = Guess(" like a table", 1500, 0.1)
    assert made.so_far(0) == "I would like a table"
    assert made.so_far(1000) == "like a table"
    assert made.so_far(1600) == ""


def test_some_languages_put_nothing_between_words() -> None:
    part = Part(0, 0)
    part.settle("四名様の", 500)
    part.settle("テーブル", 900)
    made = transcript(part, language="ja-JP")
    made.begin(0)
    assert made.answer(1000, never, STABLE) == "四名様のテーブル"


@pytest.mark.parametrize(
    ("before", "text", "rest"),
    [
        ("we would like a", "like a table", "table"),
        ("we would like a ta", "like a table", "table"),
        ("we would like a", "d like a table", "table"),
        ("We would like, a", "like A table", "table"),
        ("we would like", "a table", "a table"),
        ("", "a table", "a table"),
        ("a table", "a table", ""),
    ],
)
def test_what_two_streams_have_heard_counts_once(before: str, text: str, rest: str) -> None:
    assert new_words(before, text) == rest
