"""Who wants to speak now, in each language; what listeners say is not it."""

import pytest

from callbot.stt_worker.words import is_backchannel, wants_the_floor

WANTS = {
    "en-GB": "Wait.|No|No, no.|Excuse me|Stop!|Hello?|I have a question|Hold on",
    "es-MX": "Espere.|¡Espera!|No|No, no.|Un momento|Perdone|¡Alto!|¿Hola?|Oiga|Para.|Tengo una pregunta",
    "fr-CA": "Attendez.|Attends !|Non.|Un instant|Une minute|Pardon|Excusez-moi|Arrêtez|Allô ?|STOP",
    "de-AT": "Warten Sie.|Warte mal|Nein.|Nein, nein|Halt!|Moment mal|Stopp|Entschuldigung|Hallo?|Eine Frage",
    "pt-BR": "Espera.|Espere aí|Não|Não, não.|Um momento|Desculpe|Com licença|Pare!|Alô?|Peraí",
    "hi-IN": "रुकिए।|रुको|नहीं|नहीं नहीं|एक मिनट|माफ़ कीजिए|सुनिए|हैलो?|stop|बस",
    "ja-JP": (
        "待って。|ちょっと待ってください|まって|いいえ|いや、|違います|すみません|ストップ|もしもし?"
        "|質問があります|あの、"
    ),
}
DOES_NOT = {
    "en-GB": "Yeah.|the|a lovely day|thank you|tomorrow",
    "es-MX": "Sí.|claro|la mesa|para mañana|gracias|notable",
    "fr-CA": "Oui.|d'accord|la table|merci|nonante",
    "de-AT": "Ja.|genau|der Tisch|danke|Haltestelle",
    "pt-BR": "Sim.|claro|a mesa|obrigado|para amanhã",
    "hi-IN": "हाँ|ठीक है|मेज़|धन्यवाद|कल शाम",
    "ja-JP": "はい。|なるほど|予約を|ありがとう|明日の夜|嫌いです|家にいます",
}


def cases(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(language, text) for language, texts in table.items() for text in texts.split("|")]


@pytest.mark.parametrize(("language", "text"), cases(WANTS))
def test_who_wants_the_floor(language: str, text: str) -> None:
    assert wants_the_floor(text, language)
    assert not is_backchannel(text, language)


@pytest.mark.parametrize(("language", "text"), cases(DOES_NOT))
def test_who_does_not(language: str, text: str) -> None:
    assert not wants_the_floor(text, language)


@pytest.mark.parametrize("language", ["it-IT", "zh-CN", "tlh"])
def test_where_the_words_are_not_known_any_may_be_one(language: str) -> None:
    assert wants_the_floor("qualcosa", language) and wants_the_floor("好", language)
