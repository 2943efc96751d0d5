"""The conversation as the language model is shown it."""

from collections.abc import Sequence

from callbot.dialog_worker.language_model import ChatMessage
from callbot.schemas.calls import CallBrief
from callbot.schemas.language_tags import base_of, region_of
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
_REGIONAL = {
    "es-MX": "Mexican Spanish",
    "fr-CA": "Canadian French",
    "pt-BR": "Brazilian Portuguese",
    "pt-PT": "European Portuguese",
    "zh-TW": "Taiwanese Mandarin",
}
"""Where a caller would notice the other one at once."""


def conversation(
    brief: CallBrief, history: Sequence[HistoryEntry], user_text: str, *, history_characters: int
) -> list[ChatMessage]:
    """The same start in every turn of a call and in every call of a bot: so the server's prefix cache holds.

    Nothing that differs between them (a time, a number, who calls) may stand before the words of the caller.
    """
    return [
        ChatMessage("system", _system(brief)),
        *(
            ChatMessage("user" if entry.role == "user" else "assistant", entry.content)
            for entry in _newest(history, history_characters)
        ),
        ChatMessage("user", user_text.strip() or UNINTELLIGIBLE),
    ]


def _system(brief: CallBrief) -> str:
    language = _language(brief.language)
    rules = (
        f"You are a friendly phone agent. A customer calls you. Your task: {brief.goal}\n"
        f"Answer in {language}, in one or two short spoken sentences, without lists or markup."
    )
    return f"{rules}\n\nWhat you know:\n{brief.context}" if brief.context else rules


def _language(tag: str) -> str:
    base = base_of(tag)
    return _REGIONAL.get(f"{base}-{region_of(tag)}") or _LANGUAGES.get(base, tag)


def _newest(history: Sequence[HistoryEntry], characters: int) -> list[HistoryEntry]:
    """Whole entries from the end, as many as fit in `characters`; those without words are left out.

    What does not fit goes in large steps: else every turn of a long call would begin differently, and no
    server's cache would know it. Decided from the first entry on, so each turn decides as the one before.
    """
    kept: list[HistoryEntry] = []
    size = 0
    for entry in history:
        kept.append(entry)
        size += len(entry.content)
        if size > characters:
            while len(kept) > 1 and size > characters // 2:
                size -= len(kept.pop(0).content)
        if size > characters:
            kept, size = [], 0
    return [entry for entry in kept if entry.content.strip()]
