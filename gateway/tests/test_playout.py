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


def test_a_pause_is_silence_at_once_and_goes_on_from_the_byte_that_was_heard() -> None:
    p = playing("One two three four five.")
    audio = bytes(range(256)) * 63
    whole(p, 0, audio, 0)
    p.due(0)
    assert p.pause(330) == [SendClear()]
    assert p.due(340) == [] and not p.is_audible(340) and p.silent_since_ms(9000, 0) is None
    assert p.unheard_ms(9000) == len(audio) / 8 - 330
    got, now = sent(p.resume(5000)), 5000.0
    while not p.is_over(now) and now < 20_000:
        now += 40
        got += sent(p.due(now))
    assert got == audio[330 * 8 :]
    assert p.heard_text(now) == "One two three four five."


def test_audio_that_arrives_in_a_pause_waits_for_its_end() -> None:
    p = playing("One.", "Two.")
    whole(p, 0, ms(300, 1), 0)
    p.due(0)
    p.pause(100)
    whole(p, 1, ms(200, 2), 150)
    assert p.due(200) == []
    effects = p.resume(400)
    assert sent(effects) == ms(200, 1) + ms(200, 2)
    assert marks(effects) == ["3:0:1", "3:1:1"]


def test_a_mark_from_before_the_pause_says_nothing_about_what_is_sent_after_it() -> None:
    p = playing("one two three four")
    whole(p, 0, ms(500), 0)
    p.due(0)
    p.pause(100)
    p.mark_echoed("3:0:0")
    p.resume(200)
    p.mark_echoed("3:0:0")
    assert not p.is_over(300) and p.heard_text(300) == "one"
    p.mark_echoed("3:0:1")
    assert p.is_over(650)


def test_a_second_pause_counts_what_was_heard_between_the_two() -> None:
    p = playing("one two three four five")
    whole(p, 0, ms(1000), 0)
    p.due(0)
    p.pause(200)
    p.resume(1000)
    assert p.pause(1300) == [SendClear()]
    assert p.unheard_ms(1300) == 500
    assert p.pause(1300) == []


def test_a_sentence_that_is_said_again_by_another_mouth_in_a_pause_is_said_from_its_start() -> None:
    p = playing("One two three.")
    p.add(BotAudio(9, 3, 0, 0, ms(500, 1)), 0)
    p.due(0)
    p.pause(300)
    assert whole(p, 0, ms(400, 7), 350, epoch=10) == []
    assert sent(p.resume(600)) == ms(400, 7)


def test_silence_is_counted_from_the_end_of_a_pause() -> None:
    p = playing("One.")
    p.add(BotAudio(9, 3, 0, 0, ms(100)), 0)
    p.due(0)
    p.pause(50)
    p.resume(1500)
    p.due(1500)
    assert p.silent_since_ms(5000, 0) == 1550


def aside(text: str = "One moment.") -> Sentence:
    return Sentence(3, 99, text, aside=True)


def test_an_aside_is_said_to_its_end_before_the_answer_and_is_no_part_of_it() -> None:
    p = playing()
    filler = aside()
    p.speak(filler, ms(300, 9))
    p.add_aside(filler)
    assert sent(p.due(0)) == ms(300, 9) and p.first_audio_at_ms is None
    assert p.replace([Sentence(3, 0, "Fine.")], 100) == []
    assert p.aside_sounds(299)
    whole(p, 0, ms(200, 1), 120)
    assert sent(p.due(120)) == ms(200, 1) and p.first_audio_at_ms == 120
    assert p.heard_text(600) == "Fine."
    assert not p.aside_sounds(301)


def test_what_replaces_an_answer_behind_an_aside_leaves_the_aside_whole() -> None:
    p = playing("Wrong.")
    filler = aside()
    p.speak(filler, ms(300, 9))
    p.add_aside(filler)
    whole(p, 0, ms(200, 1), 0)
    p.due(0)
    apology = Sentence(3, 100, "Sorry.")
    p.speak(apology, ms(100, 7))
    assert p.replace([apology], 100) == [SendClear()]
    assert sent(p.due(100)) == ms(200, 9) + ms(100, 7)
