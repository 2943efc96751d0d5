"""What differs between languages where sentences end: abbreviations, ordinals, how long a piece may be."""

import re
from dataclasses import dataclass
from typing import Final

from callbot.schemas.language_tags import base_of

MAX_CHARACTERS: Final = 250
"""Longer sentences are cut at a comma or a space: about 15 s of speech."""


def _any_of(alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives.split()))


@dataclass(frozen=True, slots=True)
class SentenceRules:
    """Abbreviations are lower-case and without their last stop."""

    never_last: re.Pattern[str]
    never_before_number: re.Pattern[str]
    last_before_capital: re.Pattern[str] = re.compile(r"a\.m|p\.m|etc|inc|ltd|co|corp")
    """They may end a sentence, and do where a capital letter follows."""
    closers: re.Pattern[str] = re.compile(r"[\"'”’»)\]}」』）*_~`]*")
    """What closes with a sentence, directly behind its stops."""
    max_characters: int = MAX_CHARACTERS


_TITLES: Final = "dr mr mrs ms prof st vs mme mlle sr sra srta"
NEUTRAL: Final = SentenceRules(
    _any_of(
        r"approx asst ave blvd bzw capt col dept dr e\.g est fig gen gov hon hwy i\.e jr lt maj messrs mme"
        r" mr mrs ms mt prof rd rep rev sen sgt sr sra srta st vs"
    ),
    _any_of("apr art aug dec ext feb jan jul jun mar no nos nov oct pp? sept? sec tel vol"),
)
"""Of English, and of languages that have none of their own."""
GERMAN: Final = SentenceRules(
    # Single letters: z. B., d. h., u. a., i. d. R.; numbers: am 3. Mai, am 3.5. Sie.
    _any_of(
        rf"{_TITLES} [a-zäöü] (\d{{1,2}}\.)?\d{{1,2}} abs abt allg bd bez bsp bspw bzgl bzw ca dipl-ing"
        r" einschl entspr ev evtl exkl fam fr frl geb gegr ggf hbf hl hr hrn ing inh inkl jew kath lt med"
        r" mind mio mrd möbl mwst nachm nr o\.ä od öffentl pfr pkt präs rd s\.o sog sen std stk \w*str tägl"
        r" tel u\.a usf v\.a verh vgl vorm wg z\.b z\.t zb zt zz zzgl"
    ),
    _any_of("apr art aug dez di do feb jan jul jun kap mär max mi min mo mrz nov okt s sa sept? so vol"),
    _any_of("usw etc gmbh co"),
    closers=re.compile(r"[\"'“‘”’«»)\]}*_~`]*"),
)
FRENCH: Final = SentenceRules(
    _any_of(
        rf"{_TITLES} mm mmes mlles mgr pr ste stes apt appt av bd boul bât bat c\.-à-d cf chap dépt éd env"
        r" ex fbg hab p\.ex p\.-ex pl sté tél"
    ),
    _any_of("art avr déc fév févr janv juill? max min n nos? nov oct pp? r sept vol"),
    closers=re.compile(r"[\"'”’»)\]}*_~`]*(?:\s{1,2}»)?"),
)
SPANISH: Final = SentenceRules(
    _any_of(
        rf"{_TITLES} d dña dra dras dres drs sres sras ud uds vd vds lic ing arq gral avda av apdo aprox art"
        r" cap col cra ctra dpto depto dcha ej esq excmo excma fig hnos izda izq máx mín núm núms pág págs"
        r" p\.ej pl prof profa prol pza s\.a tel teléf tlf tfno urb vol ee"
    ),
    _any_of("ene feb mar abr may jun jul ago sept? set oct nov dic no nos c n p"),
    _any_of(r"a\.m|p\.m|etc|cía|ltda|uu"),
)
PORTUGUESE: Final = SentenceRules(
    _any_of(
        rf"{_TITLES} d dra dras drs srs sras sres exa exmo exma ilmo ilma profa eng enga arq adv gen sto sta"
        r" al ap apto aprox art av bl cap cel cj cond ed esq ex fig jd máx mín núm obs pág págs p\.ex pça"
        r" prç r\.s rod séc tel telef tv trav vol"
    ),
    _any_of("jan fev mar abr mai jun jul ago set out nov dez no nos n p r"),
    _any_of(r"a\.m|p\.m|etc|cia|lda|ltda"),
)
HINDI: Final = SentenceRules(
    # The letters of initials, by their names: एम. के. गांधी. Those that are words too are left out.
    _any_of(
        "डॉ डाॅ डा श्री सुश्री प्रो मो पं कु रु नं क्र सं पू कि मी कि\\.मी जि ए बी डी ई एफ एच जे के एल एम एन"
        f" क्यू आर एस टी यू वी डब्ल्यू एक्स वाई ज़ेड {_TITLES}"
    ),
    _any_of("nos? tel"),
)
JAPANESE: Final = SentenceRules(NEUTRAL.never_last, NEUTRAL.never_before_number, max_characters=90)
"""Six characters take a second to say."""
CHINESE: Final = SentenceRules(NEUTRAL.never_last, NEUTRAL.never_before_number, max_characters=70)
_RULES: Final = {
    "de": GERMAN,
    "es": SPANISH,
    "fr": FRENCH,
    "hi": HINDI,
    "ja": JAPANESE,
    "pt": PORTUGUESE,
    "zh": CHINESE,
}


def rules_for(language: str) -> SentenceRules:
    """Of a BCP 47 tag."""
    return _RULES.get(base_of(language), NEUTRAL)
