"""Where sentences end in languages other than English, and that nothing is lost in any of them."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbot.dialog_worker.sentence_rules import rules_for
from callbot.dialog_worker.sentences import SentenceCutter, cut

CUTS = {
    "de": [
        "Guten Tag! |Wie kann ich Ihnen helfen?",
        "Wir haben z. B. Pizza und Pasta. |Möchten Sie bestellen?",
        "Das sind z.B. Nudeln, d. h. Teigwaren. |Gut?",
        "Das kostet 1.000,50 Euro. |Ist das in Ordnung?",
        "Der Tisch ist am 3. Mai um 19.30 Uhr frei. |Passt das?",
        "Am 24.12. Haben wir geschlossen. |Leider.",
        "Herr Dr. Müller ist in der Hauptstr. Nr. 5. Bis gleich! |Danke.",
        "Fr. Schmidt bzw. Hr. Meier, ggf. Prof. Weber, ca. Mitte Mai. |Gut.",
        "Pizza, Pasta usw. |Danach gibt es Eis.",
        "I. d. R. Antworten wir bald. |Ja.",
        "Seit 2024. |Wir freuen uns.",
        "Er sagte: „Ja.“ |Dann ging er.",
        "»Ja.« |„Dr. Müller?“ fragte er.",
        "Nun … |Moment.",
        "Bis 20 Uhr, max. 4 Personen. |Gut.",
    ],
    "fr": [
        "Bonjour ! |Que puis-je faire pour vous ?",
        "M. Dupont est là. |Mme Martin aussi.",
        "Demandez MM. Durand et Petit, ou Mme. Leroy. |Merci.",
        "Cela coûte 1.000,50 euros. |C'est bon ?",
        "Cela fait 1\u202f250,90\u00a0€. |Vous êtes d'accord\u00a0?",
        "Nous sommes au 12 av. Foch, bd. Voltaire. |À bientôt.",
        "Il a dit : « Bonjour. » |Puis il est parti.",
        "« Vous venez ? » demanda-t-il. |« Oui. »",
        "Un plat, p. ex. Une pizza, etc. |Ensuite ?",
        "Le n° 5, art. 7, vol. 2. |Votre vol. |Il part.",
        "À 20 h. |Merci.",
        "Attendez… |Voilà.",
    ],
    "es": [
        "¿Cuántas personas? |¡Perfecto!",
        "Muy bien.|¿Para qué día?|¡Genial!",
        "La Sra. García y el Sr. López llegan mañana. |Gracias.",
        "Son 1.000,50 euros. |¿Le parece bien?",
        "Abrimos a las 9 a. m. |¿Le reservo?",
        "Vive en EE. UU. |Llame a Ud. Pérez.",
        "Avda. Diagonal, núm. 5, p. ej. Barcelona. |Bien.",
        "¡Hola!, ¿cómo está? |Bien.",
        "«¿Viene usted?» preguntó. |«Sí.»",
        "Bueno... ¿qué más?",
        "El 3 de mayo. |A las ocho.",
    ],
    "pt": [
        "Olá! |Em que posso ajudar?",
        "A Sra. Silva e o Sr. Dr. Costa vêm às 20h30. |Obrigada.",
        "São R$ 1.000,50. |Está bem?",
        "Fica na Av. Paulista, nº 5, apto. 12. |Certo?",
        "A Profa. Ana e o Eng. Rui, V. Exa. Senhor. |Sim.",
        "A Costa Lda. |É ali.",
        "Bem… |Até logo.",
    ],
    "hi": [
        "नमस्ते। |आप कैसे हैं? |ठीक।",
        "नमस्ते।|आप कैसे हैं?|ठीक है।",
        "डॉ. शर्मा कल आएँगे। |ठीक है?",
        "कीमत 1,00,000.50 रुपये है। |और कुछ?",
        "एम. के. गांधी रोड, मकान नं. 5। |धन्यवाद।",
        "समझ नहीं आई. |फिर से कहिए.",
        "अच्छा… |ठीक है॥ |हाँ!",
    ],
    "ja": [
        "かしこまりました。|何名様でしょうか？|お待ちください！",
        "はい!|少々お待ちください。",
        "「はい。」と申しました。|ありがとうございます。",
        "「はい。」|ありがとう。",
        "えっと…少々お待ちください。|確認いたします。",
        "合計は1,000.50円です。|よろしいですか。",
        "ＡＢＣ社の山田でございます。|www.example.jpをご覧ください。",
        "本当ですか？！|はい。",
    ],
    "it": ["Buongiorno. |Come posso aiutarla? |Sono 1.000,50 euro."],
    "zh-TW": ["你好。|你要订位吗？|几位！"],
    "x-unknown": ["Nuqneh? |Qapla'!"],
}


@pytest.mark.parametrize(("language", "text"), [(tag, text) for tag in CUTS for text in CUTS[tag]])
def test_cuts_where_a_sentence_ends(language: str, text: str) -> None:
    whole = text.replace("|", "")
    wanted = [" ".join(sentence.split()) for sentence in text.split("|")]
    assert cut(whole, language) == wanted
    assert streamed(list(whole), language) == wanted


LONG_JAPANESE = "お問い合わせの件につきまして担当の者に確認いたしましたところ" * 12


def test_long_japanese_is_cut_where_a_phrase_begins() -> None:
    pieces = cut(LONG_JAPANESE, "ja-JP")
    assert "".join(pieces) == LONG_JAPANESE
    assert all(45 < len(piece) <= 90 for piece in pieces[:-1])
    for before, after in pairwise(pieces):
        assert "ぁ" <= before[-1] <= "ん" and after[0] >= "一"
    with_commas = "確認いたしましたところ、" * 20
    assert all(piece.endswith("、") for piece in cut(with_commas, "ja")) and len(cut(with_commas, "ja")) > 2


@pytest.mark.parametrize("tag", ["de", "de-AT", "DE-ch", "de-Latn-DE-1996"])
def test_the_region_makes_no_difference(tag: str) -> None:
    assert cut("Wir haben z. B. Pizza. Gut?", tag) == ["Wir haben z. B. Pizza.", "Gut?"]


def streamed(pieces: list[str], language: str) -> list[str]:
    cutter = SentenceCutter(language=language)
    return [s for piece in pieces for s in cutter.feed(piece)] + cutter.finish()


LANGUAGES = ["en-US", "de-DE", "es-MX", "fr-FR", "pt-BR", "hi-IN", "ja-JP", "zh-CN", "it-IT", "x-none"]
CHARACTERS = "aZñßéçãअहिको।॥はいです一三。、！？「」『』と¿¡«»“”„.,;:!?…()'\"0123 \u00a0\u202f\u3000\n-–"
PARTS = [
    *(
        "z. B. ",
        "Dr. ",
        "Sra. ",
        "M. ",
        "3. ",
        "1.000,50",
        "डॉ. ",
        "नमस्ते। ",
        "はい。",
        "です",
        "「はい。」",
        "と言う",
    ),
    *(
        "«Sí.» ",
        "« Oui. » ",
        "¿Qué?",
        ".¿",
        "!お",
        "… ",
        "...",
        "a. m. ",
        "p. ej. ",
        "usw. ",
        "Bonjour ",
        "Tag",
    ),
]
texts = st.one_of(
    st.text(CHARACTERS, max_size=400),
    st.lists(st.sampled_from([*PARTS, " "]), max_size=60).map("".join),
    st.text(),
)


@settings(deadline=None)
@given(texts, st.sampled_from(LANGUAGES), st.lists(st.integers(0, 10_000), max_size=30))
def test_pieces_do_not_matter(text: str, language: str, cuts: list[int]) -> None:
    at = sorted({0, len(text), *(c % (len(text) + 1) for c in cuts)})
    whole = cut(text, language)
    assert streamed([text[a:b] for a, b in pairwise(at)], language) == whole
    assert streamed(list(text), language) == whole


speakable = st.one_of(
    st.lists(
        st.sampled_from(["はい", "東京", "デス", "予約", "12", "、", "。", "？", "」", "「"]), max_size=150
    ).map("".join),
    st.lists(st.sampled_from([*PARTS, "Wort ", "हाँ ", "5. Mai "]), max_size=60).map("".join),
).map(lambda text: f"{text}a")


@settings(deadline=None)
@given(speakable, st.sampled_from(LANGUAGES))
def test_nothing_is_lost_but_space(text: str, language: str) -> None:
    pieces = cut(text, language)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < len(piece) <= rules_for(language).max_characters for piece in pieces)
