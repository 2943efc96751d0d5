"""A written sentence as it is spoken: without markup, emoji and control characters, on one line."""

import re

_LINK = re.compile(r"!?\[([^\[\]\n]{0,300})\]\([^()\s]{0,2000}\)")
_LINE_MARK = re.compile(r"(?:(?:[-*•+>]|#{1,6})\s+)+")
_EMPHASIS = re.compile(r"(?<=\S)\*+|\*+(?=\S)|(?<!\w)_+(?=\w)|(?<=[^\W_])_+(?!\w)|~~+|`+")
_EMOJI = re.compile(
    " ?["
    "\U0001f000-\U0001faff"  # pictographs, flags, skin tones
    "\u2600-\u27bf\u2b05-\u2b55\u231a-\u23ff"  # weather, hands, dingbats, stars, clocks
    "\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f"  # what joins and varies them
    "]+"
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b\ufeff]")
_WORD_CHARACTER = re.compile(r"[^\W_]")


def spoken(sentence: str) -> str:
    """Empty where nothing of it can be said."""
    text = " ".join(_CONTROL.sub("", sentence).split())
    text = _LINE_MARK.sub("", text, count=1) if _LINE_MARK.match(text) else text
    text = _EMOJI.sub("", _EMPHASIS.sub("", _LINK.sub(r"\1", text)))
    return " ".join(text.split()) if _WORD_CHARACTER.search(text) else ""
