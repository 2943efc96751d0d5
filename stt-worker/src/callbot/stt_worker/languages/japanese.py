"""Japanese. It has no spaces between its words: what stands at the end of a text decides.

A polite sentence ends with です or ます. けど and が end sentences as often as they join them: whoever says
「予約をお願いしたいんですが」 has asked. So they are unsure, and the sound of the voice decides.
"""

import re
from typing import Final
from unicodedata import normalize

from callbot.stt_worker.languages.language_words import WORDS_OF_A_BACKCHANNEL
from callbot.stt_worker.languages.verdicts import Completeness, Dictation

_BACKCHANNELS: Final = (
    r"はい|うん|ええ|へえ|ああ|おお|ふーん|うーん|うんうん|そうそう|そうですか|そうですね|そうです|そうか|そっか|そうなんですか|そうなんですね"
    r"|なるほど|なるほどですね|確かに|たしかに|ほんとに|本当に|もちろん|了解|了解です|了解しました|分かりました|わかりました|かしこまりました"
    r"|承知しました|承知いたしました|オーケー|オッケー|OK|いいですね|いいですよ|大丈夫です|ん|mhm|mm"
)
_ONE_BACKCHANNEL: Final = rf"(?:{'|'.join(sorted(_BACKCHANNELS.split('|'), key=len, reverse=True))})"
"""Longest first, so that そうですね is one."""
_SPACE: Final = re.compile(r"[\s、。，．,.!?！？…・~〜]+")
_LONG: Final = re.compile(r"ー+")
_FILLERS: Final = "あの|その|えっと|ええと|えと|うんと|んと|まあ|なんか|なんていうか|というか|ていうか"
"""Without their long vowels."""
_UNFINISHED: Final = re.compile(
    rf"(?:{_FILLERS}|そして|それで|それから|それと|あと|でも|だから|ですから|なので|しかし|ただ|例えば|たとえば|つまり|もし|または|あるいは"
    r"|を|とか|や|たり|ながら|ために|ように|ような|という|といった|ての|たら|なら|れば|けれど|について|に関して|として|による|によって"
    r"|名前は|番号は|電話は|住所は|メールは|アドレスは|コードは|予約を|ちょっと待って|少々お待ち)$"
)
_OPEN: Final = re.compile(
    r"(?:けど|けれども|けども|が|から|ので|のに|し|て|で|って|に|へ|と|は|も|の|まで|より|だけ|くらい|ぐらい|ほど|ば|んです|のです|ん)$"
)
_POLITE: Final = re.compile(
    r"(?:です|ます|でした|ました|ません|ませんでした|でしょう|ましょう|ください|下さい|くださいませ|お願いします|お願いいたします"
    r"|いただけます|ございます|いいえ|以上)(?:か|ね|よ|よね|かね|かしら)?$"
)
_ENDS: Final = ("。", "？", "！", "?", "!", ".")

_KANJI_DIGITS: Final = str.maketrans("〇零一二三四五六七八九", "00123456789")
_DIGIT_NAMES: Final = re.compile(r"ゼロ|ぜろ|まる|マル|れい|レイ")
_NUMBER: Final = r"(?:プラス|\+)?[0-9](?:[0-9の、,\s・()-]*[0-9])?"
_NUMBER_TALK: Final = re.compile(
    r"番号|電話|携帯|暗証|コード|口座|カード|郵便|会員|注文|予約番号|かけ直|折り返"
)
_BEFORE: Final = re.compile(r"(?:はい|えーと|えっと|ええと|あの|では|じゃあ|番号は|電話は|は|、|。|\s)*")
_ADDRESS_ENDS: Final = re.compile(
    r"(?:\.|ドット)(?:com|net|org|jp|co\.jp|ne\.jp|コム|ネット|ジェーピー|ジェイピー|シーオードットジェーピー)(?:です|になります)?$",
    re.IGNORECASE,
)
_MARKS: Final = re.compile(
    r"(?:アットマーク|アット|@|ドット|ハイフン|アンダーバー|アンダースコア|スラッシュ)[\w.ー]{0,12}$"
)
_LETTERS: Final = re.compile(r"(?:^|[\sは、])(?:[A-Za-z][\s、.-]+)+[A-Za-z]$")
NATIONAL_DIGITS: Final = 10
"""Of a landline; the eleventh of a mobile phone comes with the last four."""
POSTAL_DIGITS: Final = 7


class Japanese:
    """Like every `LanguageWords`."""

    def is_backchannel(self, text: str) -> bool:
        parts = [part for part in _SPACE.split(normalize("NFKC", text)) if part]
        counts = [_backchannels_in(part) for part in parts]
        return 0 < sum(counts) <= WORDS_OF_A_BACKCHANNEL and 0 not in counts

    def completeness(self, text: str) -> Completeness:
        said = _plain(text)
        if not said:
            return Completeness.UNSURE
        asked = text.endswith(("？", "?"))
        if _POLITE.search(said) and not said.endswith(("んです", "のです")):
            return Completeness.DONE
        if not asked and _UNFINISHED.search(said):
            return Completeness.INCOMPLETE
        if not asked and _OPEN.search(said):
            return Completeness.UNSURE
        return Completeness.DONE if text.endswith(_ENDS) else Completeness.UNSURE

    def dictation(self, text: str) -> Dictation:
        said = normalize("NFKC", text).strip().rstrip("。.、,!?…").strip()
        if _ADDRESS_ENDS.search(said):
            return Dictation.ADDRESS
        if _MARKS.search(said) or _LETTERS.search(said):
            return Dictation.GOES_ON
        return _number(said)


def _number(said: str) -> Dictation:
    ended = re.sub(r"(?:です|でございます|になります)(?:ね|よ)?$", "", said)
    as_digits = _DIGIT_NAMES.sub("0", ended).translate(_KANJI_DIGITS)
    as_digits = re.sub(r"(?<=[0-9])[ー－―‐](?=[0-9]|$)", "-", as_digits)
    more = re.search(r"(?<=[0-9])[の、\s-]+$", as_digits) is not None
    as_digits = as_digits.rstrip("の、- ")
    match = re.search(rf"{_NUMBER}$", as_digits)
    if match is None:
        return Dictation.NONE
    digits = sum(map(str.isdigit, match.group()))
    before = as_digits[: match.start()]
    talk = _NUMBER_TALK.search(before) is not None
    alone = _BEFORE.fullmatch(before) is not None and digits >= 3
    if not (talk and digits >= 2) and not alone and not (more and digits >= 3):
        return Dictation.NONE
    enough = POSTAL_DIGITS if "郵便" in before else NATIONAL_DIGITS
    return Dictation.WHOLE if digits >= enough or ended != said else Dictation.GOES_ON


def _plain(text: str) -> str:
    """Without spaces, punctuation, and what a hesitating voice draws out."""
    return _LONG.sub("", _SPACE.sub("", normalize("NFKC", text)))


def _backchannels_in(said: str) -> int:
    """How many; 0: it has something else in it."""
    found = re.fullmatch(rf"(?:{_ONE_BACKCHANNEL}ー*っ?)+", said, re.IGNORECASE)
    return len(re.findall(_ONE_BACKCHANNEL, said, re.IGNORECASE)) if found else 0
