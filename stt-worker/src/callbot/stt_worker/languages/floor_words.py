"""What somebody says who wants to speak now: "wait", "no", "excuse me". English is in `words`.

They count in however short a sound, and however unsure the recogniser is of it: a bot that stops for nothing
is a smaller evil than one that does not stop for "no". In doubt a word stands here.
"""

import re
from typing import Final
from unicodedata import normalize

from callbot.schemas.language_tags import base_of
from callbot.stt_worker.languages.language_words import tokens, words

_WORDS: Final = {
    "de": words(
        "augenblick entschuldige entschuldigen entschuldigung falsch frage hallo halt moment nee nein nicht "
        "sekunde stop stopp verzeihung warte warten wartet zuhören"
    ),
    "es": words(
        "aguarda aguarde alto basta disculpa disculpe espera esperad espere espérate espérese hola "
        "momentico momentito momento no oiga oye pare párate perdón perdona perdone pregunta segundo "
        "silencio stop"
    ),
    "fr": words(
        "allo allô arrête arrêtez attends attendez bonjour écoute écoutez excuse excuse-moi excusez "
        "excusez-moi faux instant minute moment nan non pardon question seconde stop"
    ),
    "hi": words(
        "एक्सक्यूज़ एक्सक्यूज क्षमा गलत ग़लत ठहरिए ठहरिये ठहरो नमस्ते नहीं नही बस माफ माफ़ मिनट रुक "
        "रुकिए रुकिये रुकें रुको रुकना सवाल सुनिए सुनिये सुनें सुनो सेकंड सेकेंड सॉरी स्टॉप हेलो हैलो "
        "hello nahin nahi no ruko rukiye sorry stop suniye wait"
    ),
    "pt": words(
        "aguarda aguarde alô alo calma desculpa desculpe escuta escute espera espere instante licença minuto "
        "momento não nao olá pare pera peraí perdão pergunta segundo stop"
    ),
}
_ALONE: Final = {"es": words("para"), "pt": words("para")}
"""Among other words they are a preposition."""
_JAPANESE: Final = re.compile(
    r"待っ|まって|待った|お待ち|ストップ|止め|止まって|やめて|すみません|すいません|失礼|ごめん|違う|違い|ちがう|ちがい"
    r"|いいえ|質問|もしもし|聞いて|きいて|^(?:いや|いえ|ううん|だめ|ダメ|駄目|あのさ|あのね|あのう|あのー|あの$)"
)
"""待った is "wait" as well as "waited". いや and いえ stand at the beginning: else they are in words."""


def wants_the_floor_in(language: str, text: str) -> bool | None:
    """None: the words for it are not known."""
    base = base_of(language)
    if base == "ja":
        return _JAPANESE.search(re.sub(r"[\s、。，．,.!?！？…]+", "", normalize("NFKC", text))) is not None
    if base not in _WORDS:
        return None
    said = tokens(text)
    return not _WORDS[base].isdisjoint(said) or (len(said) == 1 and said[0] in _ALONE.get(base, ()))
