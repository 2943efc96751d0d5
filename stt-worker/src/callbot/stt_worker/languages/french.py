"""French; phone numbers are said in pairs."""

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

FRENCH: Final = SpacedLanguage(
    backchannels=words(
        "ah ahah bah bien bon bof compris d'accord eh entendu euh exact exactement hein mhm mmm oh ok okay "
        "ouais oui ouaip parfait super tiens voilà évidemment certes génial nickel"
    ),
    backchannel_phrases=lines(
        "ah bon,ah oui,bien sûr,c'est ça,eh bien,je comprends,je vois,mais oui,oui oui,tout à fait,"
        "très bien,ça marche,ça va"
    ),
    never_last=words(
        "afin ainsi au aux avec ben car ce ces cet cette chez d d'un d'une dans de des donc dont du dès en "
        "et euh il ils j je jusqu'au jusqu'à l la laquelle le lequel les leur leurs lorsque m ma mais "
        "malgré mes mon n ne ni nos notre on ou où par parce parmi pendant pour puis puisque qu qu'elle "
        "qu'il qu'ils qu'on qu'un qu'une quand que quel quelle quelles quels s s'il s'ils sa sans sauf se "
        "selon ses si son sous sur t ta tes ton très tu un une vers voici vos votre y à"
    ),
    alone=words("avec sans un une si"),
    stranded=words("ce il ils je le la les on où que quand quel quelle tu"),
    maybe_last=words(
        "ai aller après as avant avez avoir c'est c'était comme contre depuis derrière devant elle elles "
        "entre es est est-ce faut j'ai l'ai là moins n'est nous peut peux plus qui quoi sont suis tout va "
        "vais vas veut veux voudrais vous était être"
    ),
    beginnings=frozenset(lines(
        "alors,attendez,attends,ben,bon,donc,écoutez,écoute,enfin,euh,eh,excusez-moi,pardon,alors voilà,"
        "c'est-à-dire,eh bien,en fait,je crois,je pense,un instant,un moment,une seconde,vous savez,"
        "du coup,bah en fait,et bien"
    )),
    openings=lines(
        "je m'appelle,mon nom est,mon nom c'est,mon numéro est,mon numéro c'est,le numéro est,"
        "le numéro c'est,mon adresse est,mon adresse c'est,mon mail c'est,mon code est,le code est,"
        "le code c'est,je voudrais,j'aimerais,je souhaiterais,je souhaite,j'ai besoin,je cherche,"
        "laissez-moi voir,attendez voir,est-ce que,il y a,parce que"
    ),
    closings=lines("merci,au revoir,s'il vous plaît,s'il te plaît,c'est tout,bonne journée"),
)  # fmt: skip

_UNITS: Final = listed("zéro un/une deux trois quatre cinq six sept huit neuf")
_TEENS: Final = listed("dix onze douze treize quatorze quinze seize dix_sept dix_huit dix_neuf")
_JOINED: Final = ((), ("et",))


def _scores(name: tuple[str, ...], base: int) -> dict[tuple[str, ...], str]:
    """Sixty and ten, four twenties and seventeen."""
    return {
        (*name, *between, *teen): str(base + int(number))
        for teen, number in _TEENS.items()
        for between in _JOINED
    }


NUMBERS: Final = NumberWords(
    _UNITS
    | {name: str(10 + int(number)) for name, number in _TEENS.items()}
    | tens({20: "vingt/vingts", 30: "trente", 40: "quarante", 50: "cinquante", 60: "soixante", 70: "septante",
            80: "huitante/octante", 90: "nonante"}, _UNITS, joined=_JOINED)
    | _scores(("soixante",), 70)
    | {("quatre", score): "80" for score in ("vingt", "vingts")}
    | {("quatre", "vingt", *unit): str(80 + int(number)) for unit, number in _UNITS.items() if number != "0"}
    | _scores(("quatre", "vingt"), 90)
    | {("double",): "0", ("triple",): "00"}
)  # fmt: skip
DICTATION: Final = DictationWords(
    number_talk=re.compile(
        r"\b(carte|code|commande|compte|dossier|mobile|num[ée]ro|portable|postal|t[ée]l[ée]phone"
        r"|(rappele[rz]|appele[rz])[ -](moi|nous))\b",
        re.IGNORECASE,
    ),
    address_begins=re.compile(
        r"\b(adresse|e-?mail|mail|courriel)(\s+(mail|électronique))? (est|c[’']est)(\s+\S+)?$", re.IGNORECASE
    ),
    address_ends=ends_as_address("point|dot", but="de es in us"),
    named_by_number=words(
        "appartement avenue boulevard bus chambre chapitre étage ligne page place porte quai route rue "
        "salle table train voie vol lot bâtiment escalier"
    ),
    before_a_time=words("à au avant après depuis dès entre et jusqu'à le pour vers de"),
    before_a_year=words(
        "en de depuis année janvier février mars avril mai juin juillet août septembre octobre novembre "
        "décembre"
    ),
    before_an_answer=words("c'est est euh non oui ouais alors d'accord bah ben"),
    marks=words("arobase arobas tiret underscore slash antislash"),
    numbers=NUMBERS,
    lengths={"": NumberLengths(10, 11), "LU": NumberLengths(9, 12), "BE": NumberLengths(10, 11)},
    dots=words("point"),
    in_pairs=True,
    spelled_as=words("comme"),
    short_words=frozenset("aAàÀyYôÔ"),
)
