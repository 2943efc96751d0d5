"""The languages whose words are known, but English: that one is in `words` and `dictation`."""

from typing import Final

from callbot.schemas.language_tags import base_of
from callbot.stt_worker.languages import french, german, hindi, portuguese, spanish
from callbot.stt_worker.languages.japanese import Japanese
from callbot.stt_worker.languages.language_words import DictationWords, LanguageWords

SPACELESS: Final = frozenset({"ja", "zh", "cmn", "yue", "th", "lo", "km", "my"})
CHARACTERS_OF_A_WORD: Final = 2
"""About as many as a word has where nothing stands between words."""
_WORDS: Final[dict[str, LanguageWords]] = {
    "de": german.GERMAN,
    "es": spanish.SPANISH,
    "fr": french.FRENCH,
    "hi": hindi.HINDI,
    "ja": Japanese(),
    "pt": portuguese.PORTUGUESE,
}
_DICTATION: Final = {
    "de": german.DICTATION,
    "es": spanish.DICTATION,
    "fr": french.DICTATION,
    "hi": hindi.DICTATION,
    "pt": portuguese.DICTATION,
}


def words_in(language: str) -> LanguageWords | None:
    """Of a BCP 47 tag; None: nothing is known of its words."""
    return _WORDS.get(base_of(language))


def dictation_in(language: str) -> DictationWords | None:
    """None as well for Japanese, which tells by itself."""
    return _DICTATION.get(base_of(language))


def word_count(text: str, language: str) -> int:
    if base_of(language) in SPACELESS:
        return sum(c.isalnum() for c in text) // CHARACTERS_OF_A_WORD
    return len(text.split())
