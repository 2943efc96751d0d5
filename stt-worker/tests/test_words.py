import pytest

from callbot.stt_worker.turn_reports import Decoded
from callbot.stt_worker.words import Completeness, completeness, is_backchannel

DONE, UNSURE = Completeness.DONE, Completeness.UNSURE
INCOMPLETE, COUNTING = Completeness.INCOMPLETE, Completeness.COUNTING


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'd like to book a table for four, please.", DONE),
        ("Do you have anything for vegetarians?", DONE),
        ("No, that is all. Thank you.", DONE),
        ("That's all thank you", DONE),
        ("tomorrow at seven", UNSURE),
        ("I like that.", DONE),
        ("It was great!", DONE),
        ("It's room 312.", DONE),
        ("Where are you from?", DONE),
        ("What is it for?", DONE),
        ("I think so.", DONE),
        ("I'd like to check in.", DONE),
        ("You find it at example.com", DONE),
        # One word that may be all, or the first of many.
        ("Yes.", UNSURE),
        ("No.", UNSURE),
        ("Okay.", UNSURE),
        ("Hello?", UNSURE),
        ("Tomorrow.", DONE),
        ("Four.", DONE),
        # Short answers.
        ("Yes, it is.", UNSURE),
        ("No, we can't.", DONE),
        ("I am.", UNSURE),
        # Trailing, whatever the punctuation.
        ("I'd like a table for", INCOMPLETE),
        ("I'd like a table for.", INCOMPLETE),
        ("We want to come on Friday and", INCOMPLETE),
        ("We want to come on Friday and...", INCOMPLETE),
        ("The", INCOMPLETE),
        ("I wanted to ask about the.", INCOMPLETE),
        ("Is it possible to?", INCOMPLETE),
        ("Can you send me an email with?", INCOMPLETE),
        ("I'm calling because.", INCOMPLETE),
        ("So um", INCOMPLETE),
        ("I need, uh.", INCOMPLETE),
        ("The thing is that.", INCOMPLETE),
        ("My name is", INCOMPLETE),
        ("My name is.", INCOMPLETE),
        ("I would like", INCOMPLETE),
        ("I'd like.", INCOMPLETE),
        ("I'll", INCOMPLETE),
        ("Well.", INCOMPLETE),
        ("So basically,", INCOMPLETE),
        ("I think.", INCOMPLETE),
        ("Let me see.", INCOMPLETE),
        ("Hold on.", INCOMPLETE),
        ("I bought it in March,", INCOMPLETE),
        ("I was –", INCOMPLETE),
        # Dictated.
        ("My number is 415,", COUNTING),
        ("My number is 415.", COUNTING),
        ("My email is J-O-E-", COUNTING),
        ("My number is 415 555 0123", UNSURE),
        ("anna at gmail dot com.", DONE),
        ("M-H-M.", UNSURE),
        ("", UNSURE),
        ("…", INCOMPLETE),
        ("♪", UNSURE),
    ],
)
def test_english(text: str, expected: Completeness) -> None:
    assert completeness(text) is expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("de-DE", "Ich möchte einen Tisch für vier Personen.", DONE),
        ("de-DE", "Ich möchte einen Tisch für", INCOMPLETE),
        ("de-DE", "Meine Nummer ist 0171 234", COUNTING),
        ("fr-FR", "Vous avez une table ?", DONE),
        ("fr-FR", "06 12 34", COUNTING),
        ("fr-FR", "06 12 34 56 78", UNSURE),
        ("es-ES", "Mi nombre es,", INCOMPLETE),
        ("es-ES", "anna@ejemplo.es", DONE),
        ("en-GB", "I'd like a table for.", INCOMPLETE),
    ],
)
def test_other_languages(language: str, text: str, expected: Completeness) -> None:
    assert completeness(text, language) is expected


@pytest.mark.parametrize(
    "text",
    [
        "mm-hm",
        "Mm-hmm.",
        "Mhm.",
        "M-H-M.",
        "Hmm.",
        "Uh-huh.",
        "Yeah.",
        "Yeah, yeah.",
        "Okay.",
        "OK, right.",
        "Sure.",
        "I see.",
        "Got it.",
        "All right.",
        "M-H-N.",
        "M&M",
        "Hn",
        "I see, okay.",
        "Yes.",
    ],
)
def test_backchannels(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        "No.",
        "Stop.",
        "Wait.",
        "Yes, but not today.",
        "I see a problem.",
        "Right now.",
        "Okay, okay, okay, okay.",
        "Tomorrow.",
        "Got it wrong.",
    ],
)
def test_no_backchannels(text: str) -> None:
    assert not is_backchannel(text)


@pytest.mark.parametrize(
    ("decoded", "interrupts"),
    [
        (Decoded("And make them.", 50.0, doubted=True), False),
        (Decoded("And make them.", 50.0), True),
        (Decoded("Excuse me", 50.0, doubted=True), True),
        (Decoded("Stop.", 50.0, doubted=True), True),
        (Decoded("Yeah.", 50.0), False),
    ],
)
def test_what_interrupts_the_bot(decoded: Decoded, interrupts: bool) -> None:
    assert decoded.is_no_interruption("en-US") is not interrupts
