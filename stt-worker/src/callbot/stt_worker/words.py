"""What the words so far say about the end of a turn. Pure; English, the others are in `languages`."""

import re
from typing import Final

from callbot.schemas.language_tags import base_of
from callbot.stt_worker.dictation import Dictation, dictation
from callbot.stt_worker.languages.floor_words import wants_the_floor_in
from callbot.stt_worker.languages.language_words import tokens
from callbot.stt_worker.languages.tables import word_count as word_count
from callbot.stt_worker.languages.tables import words_in
from callbot.stt_worker.languages.verdicts import Completeness as Completeness


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BACKCHANNELS: Final = _words(
    "ah aha alright cool em exactly fine good great huh oh ok okay right sure uh uhhuh um wow yeah yep yes "
    "yup"
)
"""What listeners say without wanting the floor (Ward and Tsukahara 2000, "Prosodic features which cue
back-channel responses"); the answer to a question is one of them too: who is speaking decides."""
BACKCHANNELS_EVERYWHERE: Final = _words("ah aha mm-hm oh ok okay uh-huh")
"""Also where no other word is known."""
PHRASES_OF_A_BACKCHANNEL: Final = ("all right", "got it", "i see")
WORDS_OF_A_BACKCHANNEL: Final = 3

WANTS_THE_FLOOR: Final = _words("excuse hello hold no not question sorry stop wait")
"""In however short a sound, and however unsure the recogniser is of it."""

NEVER_LAST: Final = _words(
    "a an and because but er every i i'd i'll i'm i've if it's its my or our than the their there's they're "
    "to uh um unless very we'd we'll we're we've whether while your you're"
)
"""Whatever the punctuation says: a recogniser ends whatever it hears with a full stop."""
SELDOM_LAST: Final = _words(
    "about as at by for from in into like of on so that through until when where which who with without"
)
"""Unless a question strands them ("Where are you from?")."""
QUESTION_WORDS: Final = _words("what what's where where's who who's which how how's when why")
AUXILIARIES: Final = _words("am are can could did do does had has have is should was were will would")
"""After a pronoun they may end a short answer ("Yes, it is."), else something follows."""
PRONOUNS: Final = _words("he i it she that there they this we you")
LAST_AFTER: Final = {
    "so": _words("believe guess hope said say think"),
    "in": _words("break check come drop fill get go it log move sign stay"),
    "on": _words("come go hang hold it later move turn"),
    "by": _words("come drop stop"),
}
"""Pairs that do end sentences: "I think so", "I'd like to check in"."""
THAT_BEGINS_A_CLAUSE_AFTER: Final = _words("believe hope is know mean said say so sure tell think told was")
OPENINGS: Final = (
    "i would like",
    "i want",
    "i need",
    "name is",
    "number is",
    "code is",
    "email is",
    "e-mail is",
    "address is",
    "let me see",
    "let me think",
)
"""Something follows, soon or late."""
BEGINNINGS: Final = frozenset(
    """actually|anyway|basically|so|so actually|so basically|wait|well|you know|i guess|i mean|i think
    |hold on|just a moment|just a second|one moment|one second""".replace("\n    ", "").split("|")
)
"""Alone they say that the speaker is about to speak."""
OPENERS: Final = _words("hello hey hi no nope")
"""Alone they are a whole turn, or open a longer one, as backchannels do."""
_TOKEN = re.compile(r"[a-z0-9][a-z0-9'-]*", re.IGNORECASE)


def is_backchannel(text: str, language: str = "en-US") -> bool:
    """Nothing but "mm-hm", "yeah", "okay". A recogniser may spell a hum by its sound: "M-H-N."."""
    if (known := words_in(language)) is not None:
        return known.is_backchannel(text)
    if base_of(language) != "en":
        return all(word in BACKCHANNELS_EVERYWHERE or not word.strip("hmn") for word in tokens(text) or ["?"])
    words = [re.sub(r"[^a-z]", "", word) for word in text.lower().split()]
    words = [word for word in words if word]
    if " ".join(words).startswith(PHRASES_OF_A_BACKCHANNEL):
        words = words[2:] or ["ok"]
    hummed = [word in BACKCHANNELS or not word.strip("hmn") for word in words]
    return 0 < len(words) <= WORDS_OF_A_BACKCHANNEL and all(hummed)


def wants_the_floor(text: str, language: str = "en-US") -> bool:
    """Where the words for it are not known, whatever is said may be one."""
    if base_of(language) != "en":
        return wants_the_floor_in(language, text) is not False
    return any(re.sub(r"[^a-z]", "", word) in WANTS_THE_FLOOR for word in text.lower().split())


def completeness(text: str, language: str = "en-US") -> Completeness:
    """Of an utterance that has just gone quiet."""
    text = text.strip()
    if is_backchannel(text, language):
        # An answer, or the first word of a longer one: "Yes, but …".
        return Completeness.UNSURE
    match dictation(text, language):
        case Dictation.GOES_ON:
            return Completeness.COUNTING
        case Dictation.WHOLE:
            return Completeness.UNSURE
        case Dictation.ADDRESS:
            return Completeness.DONE
    known = words_in(language)
    if known is None and base_of(language) != "en":
        # Silence and prosody decide.
        return Completeness.UNSURE
    if text.endswith(("...", "…", ",", "、", "-", "–", ":", ";")):
        return Completeness.INCOMPLETE
    if known is not None:
        return known.completeness(text)
    words = _TOKEN.findall(text.lower().replace("’", "'"))
    if not words:
        return Completeness.UNSURE
    return _of_a_sentence(text, words)


def _of_a_sentence(text: str, words: list[str]) -> Completeness:
    said = " ".join(words)
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in NEVER_LAST or said in BEGINNINGS:
        return Completeness.INCOMPLETE
    if said in OPENERS:
        return Completeness.UNSURE
    if last in AUXILIARIES and before in PRONOUNS:
        return Completeness.UNSURE
    stranded = text.endswith("?") and words[0] in QUESTION_WORDS
    if not stranded and _asks_for_more(last, before, len(words)):
        return Completeness.INCOMPLETE
    if said.endswith(OPENINGS):
        return Completeness.INCOMPLETE
    whole = text.endswith((".", "?", "!")) or said.endswith(("thank you", "thanks", "bye", "please"))
    return Completeness.DONE if whole else Completeness.UNSURE


def _asks_for_more(last: str, before: str, count: int) -> bool:
    if last == "that":
        return before in THAT_BEGINS_A_CLAUSE_AFTER
    if last in SELDOM_LAST:
        return count > 1 and before not in LAST_AFTER.get(last, ())
    return last in AUXILIARIES and count > 1
