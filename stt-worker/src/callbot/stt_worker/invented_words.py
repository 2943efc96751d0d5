"""Words that a recogniser has made up: for noise and silence Whisper says something. Pure."""

import re
from typing import Final

WHOLE_TEXTS: Final = frozenset(
    {
        "amara.org",
        "please subscribe",
        "please subscribe to my channel",
        "see you in the next video",
        "subtitles by the amara.org community",
        "thank you for watching",
        "thank you so much for watching",
        "thanks for watching",
        "transcription by castingwords",
        "gracias por ver el video",
        "legendas pela comunidade amara.org",
        "merci d'avoir regardé cette vidéo",
        "obrigado por assistir",
        "sous titrage société radio canada",
        "sous titres réalisés par la communauté d'amara.org",
        "sous titres réalisés para la communauté d'amara.org",
        "subtítulos por la comunidad de amara.org",
        "subtítulos realizados por la comunidad de amara.org",
        "untertitel der amara.org community",
        "untertitel im auftrag des zdf für funk 2017",
        "vielen dank fürs zuschauen",
        "ご視聴ありがとうございました",
        "ご覧いただきありがとうございます",
        "チャンネル登録お願いします",
        "チャンネル登録をお願いします",
    }
)
"""What Whisper has learnt from the ends of videos; on the phone nobody says it and nothing else."""
NO_SPEECH: Final = 0.9
CHARACTERS_PER_S: Final = 35
"""Nobody speaks so fast; somebody who hurries reaches 25."""
AT_LEAST_CHARACTERS: Final = 40
_CAPTION: Final = re.compile(r"\[[^\]]*\]|\([^)]*\)|[♪♫*]+")
_WORDS: Final = re.compile(r"[^\w.' ]+")


def is_invented(text: str, score: float, no_speech: float) -> bool:
    """By Whisper's own doubts: mean log probability of the tokens, probability that there is no speech.

    Measured on noise, hum, clicks, tones; speech down to 10 dB. A murmur becomes one word of a low score.
    """
    lowest = -1.5 if len(text.split()) == 1 else -2.0
    return no_speech > NO_SPEECH or score < lowest or (no_speech > 0.5 and score < -1.0)


def without_captions(text: str) -> str:
    """Without what describes a sound: `[BLANK_AUDIO]`, `(music)`."""
    return " ".join(_CAPTION.sub(" ", text).split())


def cannot_be_said(text: str, seconds: float, prompt: str = "") -> bool:
    """What no caller says in that time: too much, nothing, the end of a video, the prompt back again."""
    said = " ".join(_WORDS.sub(" ", text.lower().replace("’", "'")).split()).strip(". ")
    if not any(c.isalnum() for c in said) or said in WHOLE_TEXTS:
        return True
    prompted = " ".join(_WORDS.sub(" ", prompt.lower()).split()).strip(". ")
    if len(prompted.split()) >= 3 and said == prompted:
        return True
    return len(said) > max(AT_LEAST_CHARACTERS, CHARACTERS_PER_S * seconds)
