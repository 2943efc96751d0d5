"""The package's sentences, a bot's own, and the memory between."""

from callbot.gateway.phrases import NAMES, PhraseBook, PhraseMemory, load, texts_of
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
    assert texts_of(BRIEF).texts == ["Guten Tag!", "Moment.", "Tschüss."]
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
