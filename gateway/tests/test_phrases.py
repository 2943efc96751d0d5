"""The package's sentences, a bot's own, and the memory between."""

from callbot.gateway.phrases import NAMES, Phrase, PhraseBook, PhraseMemory, load, texts_of
from callbot.schemas.fixed_sentences import FIXED_SENTENCES, ours_in
from callbot.schemas.turn_taking import Phrases, phrase_key
from tests.samples import a_brief

OURS = load()
BRIEF = a_brief(
    greeting="Guten Tag!", language="de-DE", phrases=Phrases(one_moment="Moment.", goodbye="Tschüss.")
)


def key(text: str) -> str:
    return phrase_key(BRIEF.voice, BRIEF.language, text)


def test_every_phrase_of_ours_is_short_and_audible() -> None:
    assert set(OURS) == set(NAMES) >= set(Phrases.model_fields) - {"recorded"}
    for name, phrase in OURS.items():
        assert phrase.text and 0.5 < len(phrase.audio) / 8000 < 6, name
    assert len(OURS["one_moment"].audio) < 8000


def test_the_bots_own_sentence_is_used_when_it_is_in_memory() -> None:
    memory = PhraseMemory()
    book = PhraseBook(BRIEF, OURS, memory)
    assert book.get("one_moment") == OURS["one_moment"]
    memory.put(key("Moment."), b"\x01" * 800)
    assert book.get("one_moment").text == "Moment."
    assert book.get("apology") == OURS["apology"]
    memory.put(key("Guten Tag!"), b"\x02" * 800)
    assert book.get("hello").audio == book.spoken("Guten Tag!") == b"\x02" * 800


def test_another_voice_does_not_speak_this_bots_sentences() -> None:
    memory = PhraseMemory()
    memory.put(phrase_key("piper:other", BRIEF.language, "Moment."), b"\x01")
    assert PhraseBook(BRIEF, OURS, memory).get("one_moment") == OURS["one_moment"]


def test_what_a_bot_needs_is_its_greeting_and_what_is_set_each_once() -> None:
    assert texts_of(BRIEF).texts[:3] == ["Guten Tag!", "Moment.", "Tschüss."]
    german = ours_in("de")
    assert set(texts_of(BRIEF).texts[3:]) == set(german.values()) - {german["one_moment"], german["goodbye"]}
    same = a_brief(greeting="Hi.", phrases=Phrases(apology="Hi."))
    assert texts_of(same).texts == ["Hi."]


def test_the_memory_is_bounded_and_forgets_what_was_used_longest_ago() -> None:
    memory = PhraseMemory(room_bytes=100)
    for name in "abc":
        memory.put(name, bytes(30))
    memory.get("a")
    memory.put("d", bytes(30))
    assert [memory.get(n) is not None for n in "abcd"] == [True, False, True, True]
    memory.put("a", bytes(40))
    memory.put("e", bytes(1000))
    assert len(memory) == 0


def test_ours_exist_in_each_language_by_the_names_of_those_that_are_recorded() -> None:
    assert all(sentences.keys() == set(NAMES) for sentences in FIXED_SENTENCES.values())


def test_ours_in_the_bots_language_come_before_the_recorded_ones() -> None:
    memory = PhraseMemory()
    book = PhraseBook(BRIEF, OURS, memory)
    for name in ("apology", "one_moment", "hello"):
        assert book.get(name) == OURS[name]
        text = ours_in("de")[name]
        memory.put(key(text), b"\x03" * 800)
        assert book.get(name) == Phrase(text, b"\x03" * 800)
    memory.put(key("Moment."), b"\x04" * 800)
    memory.put(key("Guten Tag!"), b"\x05" * 800)
    assert book.get("one_moment").text == "Moment." and book.get("hello").text == "Guten Tag!"


def test_for_an_english_bot_nothing_else_is_looked_for() -> None:
    memory = PhraseMemory()
    brief = BRIEF.model_copy(update={"language": "en-GB"})
    for sentences in FIXED_SENTENCES.values():
        for text in sentences.values():
            memory.put(phrase_key(brief.voice, brief.language, text), b"\x06")
    assert PhraseBook(brief, OURS, memory).get("apology") == OURS["apology"]
