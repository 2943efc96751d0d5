"""What the words tell in each language but English: endings and backchannels."""

import pytest

from callbot.schemas.turn_taking import TurnTaking
from callbot.stt_worker.patience import silence_wanted_ms
from callbot.stt_worker.words import Completeness, completeness, is_backchannel, word_count

DONE, UNSURE = Completeness.DONE, Completeness.UNSURE
INCOMPLETE = Completeness.INCOMPLETE
Table = dict[str, dict[Completeness, str]]

ENDINGS: Table = {
    "es-ES": {
        DONE: (
            "Quisiera reservar una mesa para cuatro personas.|¿Tienen algo para vegetarianos?|"
            "¿De dónde es usted?|Nada más, gracias|Yo también.|A las ocho y media.|"
            "Vale, entonces el viernes."
        ),
        UNSURE: "Sí.|Vale.|No|mañana a las ocho|Una.|Perfecto entonces.|Quiero esto.|Claro que sí.",
        INCOMPLETE: (
            "Quisiera reservar una mesa para|Quisiera reservar una mesa para.|Queremos ir el viernes y|"
            "Queremos ir el viernes y...|Quería preguntar por la.|Llamo porque.|No sé si.|Mi nombre es|"
            "Me llamo.|O sea.|A ver.|Bueno, es que.|Necesito|El|Lo compré en marzo,"
        ),
    },
    "fr-FR": {
        DONE: (
            "Je voudrais réserver une table pour quatre personnes.|Vous avez une table ?|Vous êtes où ?|"
            "Quel est le prix ?|Non, c'est tout, merci|Je cherche quelqu'un.|Vers huit heures et demie."
        ),
        UNSURE: (
            "Oui.|D'accord.|Non|demain à huit heures|Une.|C'est pour elle.|Oui, c'est ça.|Il y en a plus."
        ),
        INCOMPLETE: (
            "Je voudrais une table pour|Je voudrais une table pour.|On voudrait venir vendredi et|"
            "Je voudrais parler avec le.|J'appelle parce que.|Je ne sais pas s'il|"
            "Je cherche un restaurant qu'on|Je voudrais une|Mon nom est|Je m'appelle.|J'aimerais|"
            "Il me faut, euh.|Alors en fait…|En fait.|Il y a"
        ),
    },
    "de-DE": {
        DONE: (
            "Ich möchte einen Tisch für vier Personen.|Haben Sie etwas Vegetarisches?|"
            "Nein, das war's, vielen Dank|Ich rufe morgen wieder zurück.|Um halb neun.|Geht das, oder?"
        ),
        UNSURE: (
            "Ja.|Genau.|Nein|morgen um acht|Ohne.|Eine.|Ich rufe später an.|Da komme ich mit.|"
            "Wissen Sie, wo das ist.|Ich habe keine.|Na klar."
        ),
        INCOMPLETE: (
            "Ich möchte einen Tisch für|Ich möchte einen Tisch für.|Wir kommen am Freitag und|"
            "Wir kommen am Freitag und …|Ich rufe an, weil.|Ich wollte fragen, ob.|Ich hätte gern eine|"
            "Ich suche den|Mein Name ist|Ich möchte gerne.|Ich heiße.|Also.|Morgen, ähm.|Und zwar|"
            "Moment mal."
        ),
    },
    "pt-BR": {
        DONE: (
            "Queria reservar uma mesa para quatro pessoas.|Vocês têm opções vegetarianas?|"
            "Só isso, obrigada|Eu também.|Às oito e meia."
        ),
        UNSURE: "Sim.|Tá bom.|Não|amanhã às oito|Uma.|É.|Sim, é.|Está bem então.|Acho que não.",
        INCOMPLETE: (
            "Queria uma mesa para|Queria uma mesa para.|A gente vem na sexta e|Eu liguei porque.|"
            "Queria falar com o.|Não sei se.|Eu queria uma|Meu nome é|O meu nome é.|Eu gostaria|"
            "Quer dizer.|Bom então.|Eu vou às"
        ),
    },
    "hi-IN": {
        DONE: (
            "मुझे चार लोगों के लिए टेबल चाहिए।|मुझे चार लोगों के लिए टेबल चाहिए|"
            "क्या आपके पास शाकाहारी खाना है?|कल आठ बजे आना है|बस इतना ही, धन्यवाद|आप कहाँ हैं?"
        ),
        UNSURE: "हाँ।|जी हाँ।|ठीक है।|नहीं|कल शाम को|दिल्ली से|एक।|कल आठ बजे",
        INCOMPLETE: (
            "मुझे टेबल चाहिए और|मुझे टेबल चाहिए और।|मैं आना चाहता हूँ लेकिन|मैंने फ़ोन किया क्योंकि।|"
            "मैं पूछना चाहता था कि|मुझे एक|राहुल ने|होटल के|मेरा नाम|अगर|मतलब।|एक मिनट।"
        ),
    },
    "ja-JP": {
        DONE: (
            "四人で予約をお願いします|金曜日の七時です。|ベジタリアンのメニューはありますか|"
            "駐車場はありますか？|お名前は？|明日行きたい。|ありがとうございます|東京。|それで大丈夫ですよ"
        ),
        UNSURE: (
            "はい。|うん|明日|予約をお願いしたいんですけど|予約をお願いしたいのですが。|七時から|金曜日に|"
            "四人で。|友達が来るので|電話して|予約したいんです|"
        ),
        INCOMPLETE: (
            "金曜日の予約を|予約を。|えっと|えーっと、あのー|金曜日に行きたくて、|それで|でも|明日とか|"
            "私の名前は|電話番号は。|というか|もし時間があれば|予約…"
        ),
    },
}


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (tag, text, kind)
        for tag, kinds in ENDINGS.items()
        for kind, texts in kinds.items()
        for text in texts.split("|")
    ],
)
def test_endings(language: str, text: str, expected: Completeness) -> None:
    assert completeness(text, language) is expected


@pytest.mark.parametrize("language", ["it-IT", "zh-CN", "x-none", "nl"])
@pytest.mark.parametrize(
    "text",
    ["Vorrei un tavolo per", "Vorrei un tavolo.", "D'accordo,", "好的。", "at", "My name is", "alle 8 30"],
)
def test_words_that_nobody_knows_say_nothing(language: str, text: str) -> None:
    assert completeness(text, language) is UNSURE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ok.", True),
        ("Mm-hm.", True),
        ("", False),
        ("fine", False),
        ("да ok", False),
        ("好的", False),
        ("Sure.", False),
    ],
)
def test_where_no_word_is_known_only_hums_are_backchannels(text: str, expected: bool) -> None:
    assert is_backchannel(text, "it-IT") == expected


def test_without_a_table_it_is_as_with_silence_alone() -> None:
    assert silence_wanted_ms(completeness("Vorrei un tavolo per", "it"), None, TurnTaking()) == (500, "words")


BACKCHANNELS = {
    "es": "ajá|Ajá.|Sí, sí.|vale|Claro.|Ya veo.|Mm-hm.|De acuerdo, vale.|Ah, sí.",
    "fr": "ouais|Ouais, ouais.|D’accord.|Oui.|Ah bon ?|Mhm.|Je vois.|Tout à fait.|OK, ça marche.",
    "de": "genau|Genau.|Ja, ja.|Ach so.|Alles klar.|Mhm.|Na gut, okay.|Stimmt.|Aha.",
    "pt": "sim|Sim, sim.|Tá bom.|Uhum.|Entendi.|Pois é.|Ahã.|Está bem.|Certo, tá.",
    "hi": "हाँ|हां जी।|जी हाँ|अच्छा, ठीक है।|हम्म|ठीक है|जी|Okay.|सही है।",
    "ja": "はい|うん|はい、はい。|うんうん|そうですね。|なるほどー|へえー|ええ、そうです。|うーん",
}
NO_BACKCHANNELS = {
    "es": ["", "No.", "Espere.", "Sí, pero hoy no.", "Vale, vale, vale, vale.", "Claro que no.", "Mañana."],
    "fr": ["", "Non.", "Attendez.", "Oui, mais pas aujourd'hui.", "Je vois un problème.", "Bon courage."],
    "de": ["", "Nein.", "Warten Sie.", "Ja, aber nicht heute.", "Genau dort.", "Alles falsch."],
    "pt": ["", "Não.", "Espere.", "Sim, mas hoje não.", "Tá errado.", "Isso não."],
    "hi": ["", "नहीं।", "रुकिए।", "हाँ, लेकिन आज नहीं।", "ठीक नहीं है।"],
    "ja": ["", "いいえ", "待ってください", "はい、でも今日は", "うどん", "はいはいはいはい", "そうじゃない"],
}


@pytest.mark.parametrize(
    ("language", "text"), [(tag, text) for tag, texts in BACKCHANNELS.items() for text in texts.split("|")]
)
def test_backchannels(language: str, text: str) -> None:
    assert is_backchannel(text, language)
    assert completeness(text, language) is UNSURE


@pytest.mark.parametrize(
    ("language", "text"), [(tag, text) for tag, texts in NO_BACKCHANNELS.items() for text in texts]
)
def test_no_backchannels(language: str, text: str) -> None:
    assert not is_backchannel(text, language)


@pytest.mark.parametrize(
    ("text", "language", "count"),
    [
        ("予約したいんです", "ja", 4),
        ("はい", "ja-JP", 1),
        ("", "ja", 0),
        ("我想预订", "zh", 2),
        ("ja gut", "de", 2),
        ("हाँ जी", "hi", 2),
    ],
)
def test_words_are_counted_also_without_spaces(text: str, language: str, count: int) -> None:
    assert word_count(text, language) == count
