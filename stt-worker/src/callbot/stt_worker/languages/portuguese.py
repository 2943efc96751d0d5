"""Portuguese, of Brazil and of Portugal."""

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

PORTUGUESE: Final = SpacedLanguage(
    backchannels=words(
        "ah ahã aham beleza bem bom certo claro combinado correto entendi entendo exato exatamente hum "
        "isso joia legal mhm mmm oh ok okay ótimo perfeito pois sim show tá tudo uau uhum"
    ),
    backchannel_phrases=lines(
        "ah sim,com certeza,está bem,está bom,está certo,isso mesmo,muito bem,pois é,pois sim,sim sim,"
        "tá bem,tá bom,tá certo,tudo bem"
    ),
    never_last=words(
        "a ao aos as até cada com como conforme da das de desde do dos durante e ehm em embora enquanto "
        "entre hã mas me meu meus minha minhas na nas nem no nos nossa nosso num numa o os ou para pela "
        "pelas pelo pelos por porque pra pro quando que se sem seu seus sob sobre sua suas te teu tua tão "
        "um uma umas uns à às"
    ),
    alone=words("sem um uma se"),
    stranded=words("como meu minha nosso nossa quando que seu sua teu tua"),
    maybe_last=words(
        "agora aquela aquele aí bem ela ele então era essa esse esta estas este estou está estão eu faz "
        "foi há isso isto lhe mais menos muito não pode posso preciso quer queria quero ser seria sou são "
        "só tem temos tenho ter tinha vai vou você é"
    ),
    beginnings=frozenset(lines(
        "bem,bom,então,olha,olhe,espera,espere,desculpe,desculpa,tipo,é que,eu acho,eu acho que,na verdade,"
        "ou seja,quer dizer,um momento,um minuto,um segundo,um instante,sabe o que é,deixa ver,olha só,"
        "pois então,bom então"
    )),
    openings=lines(
        "meu nome é,o meu nome é,eu me chamo,chamo-me,meu número é,o meu número é,o número é,"
        "meu telefone é,meu email é,meu e-mail é,o meu email é,meu endereço é,a minha morada é,"
        "meu código é,o código é,eu gostaria,gostaria de,eu queria,eu quero,eu preciso,deixa eu ver,"
        "deixe-me ver,deixa eu pensar,eu sou o,eu sou a,o problema é"
    ),
    closings=lines("obrigado,obrigada,por favor,tchau,até logo,só isso,é só isso,é tudo"),
)  # fmt: skip

_UNITS: Final = listed("zero um/uma dois/duas três quatro cinco seis/meia sete oito nove")
_TENS: Final = {20: "vinte", 30: "trinta", 40: "quarenta", 50: "cinquenta", 60: "sessenta", 70: "setenta",
                80: "oitenta", 90: "noventa"}  # fmt: skip
NUMBERS: Final = NumberWords(
    _UNITS
    | listed(
        "dez onze doze treze catorze/quatorze quinze dezesseis/dezasseis dezessete/dezassete dezoito", 10
    )
    | listed("dezenove/dezanove", 19)
    | tens(_TENS, _UNITS, joined=[("e",)])
    | {("duplo",): "0", ("dobro",): "0"}
)
DICTATION: Final = DictationWords(
    number_talk=re.compile(
        r"\b(cartão|celular|cep|código|conta|cpf|encomenda|fone|nif|n[úu]mero|pedido|pin|postal|ramal|senha"
        r"|telefone|telem[óo]vel|whatsapp|lig(ar|ue) (para mim|pra mim))\b",
        re.IGNORECASE,
    ),
    address_begins=re.compile(
        r"\b(e-?mail|endereço|correio)(\s+(de e-?mail|eletr[óô]nico))? é(\s+\S+)?$", re.IGNORECASE
    ),
    address_ends=ends_as_address("ponto|dot", but="de es in"),
    named_by_number=words(
        "andar apartamento avenida bloco capítulo casa comboio estrada linha mesa ônibus página plataforma "
        "portão quarto rodovia rua sala trem voo autocarro porta lote"
    ),
    before_a_time=words("às à as a até das de dia e entre para desde pelas por o ao"),
    before_a_year=words(
        "em de desde até ano janeiro fevereiro março abril maio junho julho agosto setembro outubro "
        "novembro dezembro"
    ),
    before_an_answer=words("é sim não bem bom então tá hum são"),
    marks=words("arroba hífen traço underline underscore"),
    numbers=NUMBERS,
    lengths={"": NumberLengths(11, 13, local=9), "PT": NumberLengths(9, 12), "AO": NumberLengths(9, 12),
             "MZ": NumberLengths(9, 12)},
    dots=words("ponto"),
    plus=words("mais plus"),
    spelled_as=words("de como"),
    short_words=frozenset("aAàÀeEéÉoO"),
)  # fmt: skip
