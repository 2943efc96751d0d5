"""The conversation as the language model is shown it."""

from collections.abc import Sequence

from callbot.dialog_worker.language_model import ChatMessage
from callbot.schemas.calls import CallBrief
from callbot.schemas.webhook import HistoryEntry

UNINTELLIGIBLE = "(The caller said something that could not be understood.)"
_LANGUAGES = {
    "ar": "Arabic",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "sv": "Swedish",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "zh": "Chinese",
}


def conversation(
    brief: CallBrief, history: Sequence[HistoryEntry], user_text: str, *, history_characters: int
) -> list[ChatMessage]:
    """The same start in every turn of a call, so that the server's prefix cache holds."""
    return [
        ChatMessage("system", _system(brief)),
        *(
            ChatMessage("user" if entry.role == "user" else "assistant", entry.content)
            for entry in _newest(history, history_characters)
        ),
        ChatMessage("user", user_text.strip() or UNINTELLIGIBLE),
    ]


def _system(brief: CallBrief) -> str:
    language = _LANGUAGES.get(brief.language.split("-")[0].lower(), brief.language)
    rules = (
        f"You are a friendly phone agent. A customer calls you. Your task: {brief.goal}\n"
        f"Answer in {language}, in one or two short spoken sentences, without lists or markup."
    )
    return f"{rules}\n\nWhat you know:\n{brief.context}" if brief.context else rules


def _newest(history: Sequence[HistoryEntry], characters: int) -> list[HistoryEntry]:
    """As many whole entries from the end as fit; those without words are left out."""
    kept: list[HistoryEntry] = []
    for entry in reversed(history):
        characters -= len(entry.content)
        if characters < 0:
            break
        if entry.content.strip():
            kept.append(entry)
    return kept[::-1]
