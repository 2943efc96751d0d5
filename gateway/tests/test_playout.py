"""What was heard, by clock and marks; attempts replaced, never spliced."""

from callbot.gateway.playout import LEAD_MS, Playout, SendAudio, SendClear, Sending, SendMark, Sentence
from callbot.schemas.audio import BotAudio


def ms(n: int, byte: int = 1) -> bytes:
    return bytes([byte]) * (n * 8)


def sent(effects: list[Sending]) -> bytes:
    return b"".join(e.payload for e in effects if isinstance(e, SendAudio))


def marks(effects: list[Sending]) -> list[str]:
    return [e.name for e in effects if isinstance(e, SendMark)]


def playing(*texts: str) -> Playout:
    p = Playout()
    p.begin([Sentence(3, i, t) for i, t in enumerate(texts)])
    return p


def whole(p: Playout, number: int, audio: bytes, now: float, epoch: int = 9) -> list[Sending]:
    effects = p.add(BotAudio(epoch, 3, number, 0, audio), now)
    return effects + p.add(BotAudio(epoch, 3, number, len(audio), b"", len(audio)), now)


def test_audio_goes_out_at_once_and_a_mark_follows_its_end() -> None:
    p = playing("Hello there.")
    whole(p, 0, ms(300), 100)
    effects = p.due(100)
    assert sent(effects) == ms(300)
    assert marks(effects) == ["3:0:0"]
    assert not p.is_over(399)
    p.mark_echoed("3:0:0")
    assert p.is_over(399)


def test_no_more_than_the_lead_is_sent_ahead() -> None:
    p = playing("A long sentence.")
    whole(p, 0, ms(5000), 0)
    first = len(sent(p.due(0))) / 8
    assert LEAD_MS <= first <= LEAD_MS + 200
    assert p.due(0) == []
    total = first
    for now in range(0, 5000, 40):
        total += len(sent(p.due(now))) / 8
        assert total <= now + LEAD_MS + 200
    assert total == 5000


def test_an_end_message_that_comes_after_everything_was_sent_still_gets_a_mark() -> None:
    p = playing("Hi.")
    p.add(BotAudio(9, 3, 0, 0, ms(100)), 0)
    assert marks(p.due(0)) == []
    p.add(BotAudio(9, 3, 0, 800, b"", 800), 50)
    assert marks(p.due(50)) == ["3:0:0"]


def test_sentences_are_played_in_order_even_when_the_second_comes_first() -> None:
    p = playing("One.", "Two.")
    whole(p, 1, ms(100, 2), 0)
    assert p.due(0) == []
    whole(p, 0, ms(100, 1), 10)
    assert sent(p.due(10)) == ms(100, 1) + ms(100, 2)


def test_heard_text_is_cut_at_the_share_that_was_heard() -> None:
    p = playing("one two three four five")
    whole(p, 0, ms(1000), 0)
    p.due(0)
    assert p.heard_text(0) == ""
    p.clear(500)
    assert p.heard_text(9999) == "one two"


def test_all_is_heard_when_the_mark_comes_back_and_nothing_counts_after_a_clear() -> None:
    p = playing("one two three four")
    whole(p, 0, ms(400), 0)
    p.due(0)
    assert p.clear(100) == [SendClear()]
    p.mark_echoed("3:0:0")
    assert p.heard_text(1000) != "one two three four"


def test_a_missing_mark_is_not_waited_for_for_ever() -> None:
    p = playing("Hi.")
    whole(p, 0, ms(100), 0)
    p.due(0)
    assert not p.is_over(1000)
    assert p.is_over(100 + 1500)


def test_a_new_attempt_replaces_an_unheard_one() -> None:
    p = playing("One.", "Two.")
    whole(p, 0, ms(400, 1), 0)
    p.add(BotAudio(9, 3, 1, 0, ms(50, 2)), 0)
    p.due(0)
    effects = whole(p, 1, ms(300, 7), 200, epoch=10)
    assert effects == [SendClear()]
    rest = sent(p.due(200))
    assert rest == ms(200, 1) + ms(300, 7)


def test_a_new_attempt_says_a_partly_heard_sentence_again_from_its_start() -> None:
    p = playing("One two three.")
    p.add(BotAudio(9, 3, 0, 0, ms(500, 1)), 0)
    p.due(0)
    whole(p, 0, ms(900, 7), 300, epoch=10)
    now, got = 300.0, b""
    while len(got) < 900 * 8 and now < 5000:
        got += sent(p.due(now))
        now += 40
    assert got == ms(900, 7)


def test_late_audio_of_an_older_attempt_is_nothing() -> None:
    p = playing("One.")
    p.add(BotAudio(10, 3, 0, 0, ms(100, 7)), 0)
    p.add(BotAudio(9, 3, 0, 800, ms(100, 1)), 0)
    assert sent(p.due(0)) == ms(100, 7)


def test_audio_of_a_complete_sentence_or_of_another_turn_is_nothing() -> None:
    p = playing("One.")
    whole(p, 0, ms(100, 1), 0)
    whole(p, 0, ms(100, 7), 0, epoch=10)
    p.add(BotAudio(10, 2, 0, 0, ms(100, 7)), 0)
    assert sent(p.due(0)) == ms(100, 1)


def test_a_gap_in_an_attempt_is_seen_and_nothing_after_it_is_played() -> None:
    p = playing("One.")
    p.add(BotAudio(9, 3, 0, 0, ms(100)), 0)
    lost = BotAudio(9, 3, 0, 1600, ms(100))
    assert p.gap(lost)
    p.add(lost, 0)
    assert sent(p.due(0)) == ms(100)
    assert p.gap(BotAudio(9, 3, 0, 1600, b"", 1600))


def test_a_lost_beginning_of_an_attempt_is_a_gap_too() -> None:
    p = playing("One.")
    assert p.gap(BotAudio(9, 3, 0, 800, ms(100)))
    assert not p.gap(BotAudio(9, 3, 0, 0, ms(100)))


def test_silence_is_counted_only_while_something_is_missing() -> None:
    p = playing("One.", "Two.")
    assert p.silent_since_ms(500, 100) == 100
    whole(p, 0, ms(200), 500)
    p.due(500)
    assert p.silent_since_ms(600, 100) is None
    assert p.silent_since_ms(900, 100) == 700
    whole(p, 1, ms(200), 900)
    assert p.silent_since_ms(900, 100) is None


def test_an_empty_sentence_is_over_at_once() -> None:
    p = playing("…")
    p.add(BotAudio(9, 3, 0, 0, b"", 0), 0)
    assert p.due(0) == []
    assert p.is_over(0)


def test_a_dropped_sentence_does_not_hold_up_the_next() -> None:
    p = playing("One.", "Two.")
    whole(p, 1, ms(100, 2), 0)
    p.drop(0)
    assert sent(p.due(0)) == ms(100, 2)
