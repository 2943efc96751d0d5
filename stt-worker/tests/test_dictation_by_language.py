"""What is being dictated, in each language but English: numbers, spelled words, addresses."""

import pytest

from callbot.stt_worker.dictation import Dictation, dictation
from callbot.stt_worker.words import Completeness, completeness

NONE, GOES_ON, WHOLE, ADDRESS = Dictation.NONE, Dictation.GOES_ON, Dictation.WHOLE, Dictation.ADDRESS
DICTATED: dict[str, dict[Dictation, str]] = {
    "es-ES": {
        GOES_ON: (
            "Mi número es el 612.|612 34|seis uno dos|seis doce treinta y cuatro|"
            "Mi teléfono es seis uno dos, treinta y cuatro|El código es 47.|G-A-R-C|M de María|"
            "ana punto garcía arroba|ana arroba gmail|Mi correo es ana.|+34 612 34 56"
        ),
        WHOLE: (
            "612 34 56 78|+34 612 34 56 78|seis uno dos treinta y cuatro cincuenta y seis setenta y ocho"
        ),
        ADDRESS: "ana@ejemplo.es|ana arroba gmail punto com|ana arroba correo punto es.",
        NONE: (
            "A las ocho treinta|a las 8 30|Para cuatro|Somos veintidós.|Nací en 1984.|Son 1.000,50 euros|"
            "A las ocho en punto.|El punto es|Voy a Madrid|La habitación 312.|en la barra|El 3 de mayo"
        ),
    },
    "es-MX": {
        GOES_ON: "55 1234 567",
        WHOLE: "55 1234 5678",
    },
    "fr-FR": {
        GOES_ON: (
            "06|C'est le 06 12 34.|06 12 34 56|zéro six|zéro six douze trente-quatre|"
            "zéro six, quatre-vingt-dix-huit|Mon numéro c'est le zéro six|"
            "zéro six soixante et onze quatre vingt douze|+33 6 12 34 56 7|M comme Marie|jean tiret|"
            "jean arobase|marie arobase orange|D-U-P"
        ),
        WHOLE: (
            "06 12 34 56 78|zéro six douze trente-quatre cinquante-six soixante-dix-huit|+33 6 12 34 56 78"
        ),
        ADDRESS: "marie@orange.fr|marie arobase orange point fr",
        NONE: (
            "à huit heures trente|à 8 30|le 12 03|pour quatre|Nous sommes vingt-deux.|en 1984|"
            "1.000,50 euros|c'est un bon point|la chambre 312|Il y a"
        ),
    },
    "de-DE": {
        GOES_ON: (
            "Meine Nummer ist 0171 234|null eins sieben eins|null eins sieben eins, vierunddreißig|"
            "null eins sieben eins zwölf vier und dreißig sechsundfünfzig|0171 1234 56|"
            "Die Postleitzahl ist 80|M wie Martha|K-O-W-A|M U E L L E R Punkt|anna Unterstrich|"
            "anna Klammeraffe gmx"
        ),
        WHOLE: "0171 1234567|null eins sieben eins zwölf vierunddreißig sechsundfünfzig sieben",
        ADDRESS: "anna@gmx.de|anna at gmx Punkt de",
        NONE: (
            "um 19 30|für vier|Wir sind zweiundzwanzig.|im Jahr 1984|am 24. 12.|1.000,50 Euro|"
            "um acht Uhr, Punkt|Zimmer 312|so wie immer|Der Punkt ist"
        ),
    },
    "pt-BR": {
        GOES_ON: (
            "Meu número é 11 9|onze, nove oito|onze nove oito sete meia cinco|11 98765|O CEP é 01310|"
            "M de Maria|ana arroba|ana arroba gmail|Meu e-mail é ana."
        ),
        WHOLE: "11 98765 4321|98765 4321|onze nove oito sete meia cinco quatro três dois um zero",
        ADDRESS: "ana@exemplo.com.br|ana arroba gmail ponto com",
        NONE: (
            "às oito e trinta|às 8 30|para quatro|Somos vinte e dois.|em 1984|às oito em ponto|sala 312|ou a"
        ),
    },
    "pt-PT": {
        GOES_ON: "912 345",
        WHOLE: "912 345 678",
    },
    "hi-IN": {
        GOES_ON: (
            "मेरा नंबर है 98|98765|नौ आठ सात|नाइन एट डबल सेवन|९८७६५ ४३|मेरा नंबर है अट्ठानवे छिहत्तर|"
            "मेरा ईमेल है अनु|अनु अंडरस्कोर|anu@gmail"
        ),
        WHOLE: "98765 43210|९८७६५ ४३२१०|नौ आठ सात छह पाँच चार तीन दो एक शून्य",
        ADDRESS: "anu@example.in|अनु ऐट याहू डॉट कॉम|anu at gmail dot com",
        NONE: "शाम 7 30|चार|हम बाईस लोग हैं|सन 1984|कमरा 312|ईमेल भेजिए|1,00,000 रुपये",
    },
    "ja-JP": {
        GOES_ON: (
            "090|090の|090の1234|090-1234-|はい、090の1234の|電話番号は090|ゼロ九〇|〇九〇|郵便番号は150|"
            "アットマーク|tanakaアットマークgmail|tanaka@gmail|T、A、N"
        ),
        WHOLE: (
            "090の1234の5678|09012345678です|電話番号は03-1234-5678です。|郵便番号は150の0001|"
            "０９０－１２３４－５６７８"
        ),
        ADDRESS: "tanaka@example.co.jp|tanakaアットマークgmailドットコムです",
        NONE: "七時三十分|四人|1984年|19:30|部屋は312号室です|三千円|7時|1,000円です|4名で|",
    },
}


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (tag, text, kind)
        for tag, kinds in DICTATED.items()
        for kind, texts in kinds.items()
        for text in texts.split("|")
    ],
)
def test_dictation(language: str, text: str, expected: Dictation) -> None:
    assert dictation(text, language) is expected
    if expected is GOES_ON:
        assert completeness(text, language) is Completeness.COUNTING


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("06 1234", GOES_ON),
        ("il mio numero è 347 12 34", GOES_ON),
        ("347 123 4567", NONE),
        ("alle 8 30", NONE),
        ("il 3 5 2024", NONE),
        ("12345", NONE),
        ("A-N-N-A", NONE),
        ("four one five", NONE),
        ("", NONE),
    ],
)
def test_of_other_languages_only_digits_are_known(text: str, expected: Dictation) -> None:
    assert dictation(text, "it-IT") is expected
