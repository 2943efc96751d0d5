"""Spanish, of Spain and of America."""

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
from callbot.stt_worker.languages.number_words import NumberWords, listed, tens

SPANISH: Final = SpacedLanguage(
    backchannels=words(
        "ah ahá ajá aha anda bien bueno claro correcto dale eh entiendo exacto genial hala listo mhm mmm "
        "oh ok okay okey perfecto sí si sip uy vale vaya ya órale"
    ),
    backchannel_phrases=lines(
        "ah sí,así es,claro que sí,de acuerdo,está bien,eso es,muy bien,por supuesto,qué bien,sí claro,ya veo"
    ),
    never_last=words(
        "a al aunque cada como con cuando cuya cuyo de del desde donde durante e eeh ehm el em en entre "
        "hacia hasta la las le les los me mediante mi mis muy ni nos nuestra nuestro o para pero por "
        "porque pues que quien se si sin sino sobre su sus te tu tus u un una unas unos y"
    ),
    alone=words("si sin una"),
    stranded=words("como cuando donde que quien"),
    maybe_last=words(
        "bueno cuál eh entonces era eran es esta estas este esto estos estoy está están fue ha había han "
        "has hay he lo más menos mientras puede puedo quiere quiero quisiera según ser soy son tan tanto "
        "tengo tiene tienen va van voy"
    ),
    beginnings=frozenset(lines(
        "bueno,oiga,oye,pues,mira,mire,entonces,perdón,perdone,espere,espera,disculpe,a ver,es que,"
        "la verdad,o sea,un momento,un segundo,verá usted,yo creo,creo que"
    )),
    openings=lines(
        "mi nombre es,me llamo,mi número es,el número es,mi teléfono es,mi correo es,mi dirección es,"
        "mi código es,el código es,me gustaría,yo quisiera,yo quería,yo quiero,yo necesito,necesito,"
        "déjeme ver,déjame ver,déjeme pensar,lo que pasa es,es decir,soy el,soy la"
    ),
    closings=lines("gracias,por favor,adiós,hasta luego,nada más,eso es todo"),
)  # fmt: skip

_UNITS: Final = listed("cero uno/un/una dos tres cuatro cinco seis siete ocho nueve")
_TENS: Final = {30: "treinta", 40: "cuarenta", 50: "cincuenta", 60: "sesenta", 70: "setenta", 80: "ochenta",
                90: "noventa"}  # fmt: skip
NUMBERS: Final = NumberWords(
    _UNITS
    | listed("diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve veinte", 10)
    | listed("veintiuno/veintiún/veintiuna veintidós veintitrés veinticuatro veinticinco veintiséis", 21)
    | listed("veintisiete veintiocho veintinueve", 27)
    | tens(_TENS, _UNITS, joined=[("y",)])
    | {("doble",): "0", ("triple",): "00"}
)
DICTATION: Final = DictationWords(
    number_talk=re.compile(
        r"\b(celular|clave|código|cuenta|extensión|móvil|número|pedido|pin|postal|tarjeta|tel[eé]fono|dni"
        r"|ll[aá]m[ae](me|nos))\b",
        re.IGNORECASE,
    ),
    address_begins=re.compile(
        r"\b(correo|e-?mail|direcci[oó]n)(\s+electrónic[oa])? es(\s+\S+)?$", re.IGNORECASE
    ),
    address_ends=ends_as_address(r"(?<!\bel\W)(?<!\bun\W)punto|dot", but="de in"),
    named_by_number=words(
        "andén autobús avenida calle capítulo carretera casa escalera habitación kilómetro línea mesa "
        "página piso planta portal puerta sala suite tren vuelo apartamento departamento"
    ),
    before_a_time=words("a las la desde hasta hacia sobre entre y el día de del para"),
    before_a_year=words(
        "en de del desde hasta año enero febrero marzo abril mayo junio julio agosto septiembre setiembre "
        "octubre noviembre diciembre"
    ),
    before_an_answer=words("es eh em bueno no pues sí si vale"),
    marks=words("arroba guion guión subrayado"),
    numbers=NUMBERS,
    lengths={
        "": NumberLengths(10, 12),
        "ES": NumberLengths(9, 11),
        "PE": NumberLengths(9, 11),
        "CL": NumberLengths(9, 11),
        "PY": NumberLengths(9, 12),
        "EC": NumberLengths(9, 12),
        "BO": NumberLengths(8, 11),
        "CR": NumberLengths(8, 11),
        "GT": NumberLengths(8, 11),
        "PA": NumberLengths(8, 11),
        "SV": NumberLengths(8, 11),
        "HN": NumberLengths(8, 11),
        "NI": NumberLengths(8, 11),
        "UY": NumberLengths(9, 11),
        "US": NumberLengths(10, 11, local=7),
    },
    dots=words("punto"),
    plus=words("más plus"),
    spelled_as=words("de como"),
    short_words=frozenset("aAeEoOuUyY"),
)
