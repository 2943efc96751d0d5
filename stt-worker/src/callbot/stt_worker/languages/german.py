"""German, of Germany, Austria and Switzerland. Its verbs leave their prepositions at the end."""

import re
from typing import Final

from callbot.stt_worker.languages.language_words import (
    DictationWords,
    NumberLengths,
    SpacedLanguage,
    ends_as_address,
    lines,
    words,
)
from callbot.stt_worker.languages.number_words import NumberWords, listed

GERMAN: Final = SpacedLanguage(
    backchannels=words(
        "ach ah aha äh ähm eben echt freilich genau gut gell hm ja jaja jawohl jo joa jep klar mhm mmh "
        "naja natürlich oh ok okay perfekt prima richtig schön sicher so super stimmt super tja toll "
        "verstehe verstanden wow"
    ),
    backchannel_phrases=lines(
        "ach ja,ach so,alles klar,alles gut,das stimmt,ist gut,ja klar,na gut,na ja,na klar,in ordnung,"
        "ich verstehe,ganz genau,sehr gut,so so,wie schön"
    ),
    never_last=words(
        "aber als am beim bevor beziehungsweise bis bzw circa dass dein deine deinem deinen dem den der "
        "des dessen die ein eine einem einen einer eines entweder falls für gegen ihrem ihren im in indem "
        "ins je mein meine meinem meinen meiner nachdem ob obwohl oder ohne pro seit sobald solange "
        "sondern sowie sowohl statt trotz und unser unsere vom von weder wegen weil wenn während zirka zum "
        "zur zwischen äh ähm"
    ),
    alone=words("den der die ein eine einen einer eines ohne"),
    stranded=words("als ob oder und wenn"),
    maybe_last=words(
        "ab also an auf aus bei bin da damit dann das dazu denn diese diesen dieser dieses doch durch "
        "gegenüber habe haben hat hatte her hier hin hinter hätte ich ihr ihre ist kann kein keine keinem "
        "keinen können könnte mehr mit muss möchte müssen nach neben noch nur sein seine sich sie sind "
        "soll sonst um ungefähr unter vor war waren was welche wer werde werden wie will wir wird wo "
        "wollte würde zu über"
    ),
    beginnings=frozenset(lines(
        "also,eigentlich,entschuldigung,moment,nun,sekunde,tja,warten,äh,ähm,also ich,also gut,"
        "einen moment,einen augenblick,eine sekunde,ich glaube,ich meine,moment mal,sagen sie,"
        "sagen sie mal,warten sie,warte mal,wissen sie,und zwar,es geht um,ja also,die sache ist,sagen wir,"
        "na ja also"
    )),
    openings=lines(
        "mein name ist,ich heiße,meine nummer ist,meine nummer lautet,die nummer ist,die nummer lautet,"
        "meine telefonnummer ist,meine adresse ist,meine adresse lautet,meine e-mail ist,meine mail ist,"
        "meine postleitzahl ist,der code ist,der code lautet,ich möchte,ich möchte gern,ich möchte gerne,"
        "ich hätte gern,ich hätte gerne,ich würde gern,ich würde gerne,ich wollte,ich bräuchte,ich brauche,"
        "mal sehen,lassen sie mich überlegen,das heißt,und zwar"
    ),
    closings=lines("danke,danke schön,vielen dank,bitte,tschüss,auf wiederhören,das war's,das wär's"),
)  # fmt: skip

_UNITS: Final = "null eins/ein/eine zwei/zwo drei vier fünf/fuenf sechs sieben acht neun"
_TENS: Final = (
    "zwanzig",
    "dreißig/dreissig",
    "vierzig",
    "fünfzig",
    "sechzig",
    "siebzig",
    "achtzig",
    "neunzig",
)


def _tens() -> dict[tuple[str, ...], str]:
    """Vierunddreißig, and as three words, since recognisers split it."""
    found: dict[tuple[str, ...], str] = {}
    for ten, spelled in enumerate(_TENS, 2):
        for name in spelled.split("/"):
            found[(name,)] = str(10 * ten)
            for unit, names in enumerate(_UNITS.split()[1:], 1):
                for first in names.split("/"):
                    found[(f"{first}und{name}",)] = found[(first, "und", name)] = str(10 * ten + unit)
    return found


NUMBERS: Final = NumberWords(
    listed(_UNITS)
    | listed("zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn", 10)
    | _tens()
    | {("doppel",): "0"}
)
DICTATION: Final = DictationWords(
    number_talk=re.compile(
        r"\b(bestellnummer|code|durchwahl|handy|iban|karte|konto|kontonummer|kundennummer|mobil|nummer|pin|plz"
        r"|postleitzahl|rückruf|telefon|\w*nummer|erreichen sie mich|rufen sie mich)\b",
        re.IGNORECASE,
    ),
    address_begins=re.compile(r"\b(e-?mail|mail|adresse|mailadresse) (ist|lautet)(\s+\S+)?$", re.IGNORECASE),
    address_ends=ends_as_address("punkt|dot", but="in es"),
    named_by_number=words(
        "abteil autobahn bahn bus eingang etage flug gate gleis hausnummer kapitel linie platz seite stock "
        "straße strasse terminal tisch tor wagen wohnung zimmer zug"
    ),
    before_a_time=words("um ab bis gegen vor nach am von zwischen und seit so"),
    before_a_year=words(
        "in seit bis jahr jahre von vor nach im januar jänner februar märz april mai juni juli august "
        "september oktober november dezember"
    ),
    before_an_answer=words("ist ja nein äh ähm also gut okay das lautet"),
    marks=words("at-zeichen klammeraffe bindestrich unterstrich schrägstrich minus"),
    numbers=NUMBERS,
    lengths={"": NumberLengths(11, 12), "CH": NumberLengths(10, 11)},
    at=words("at ät"),
    dots=words("punkt"),
    spelled_as=words("wie"),
)
