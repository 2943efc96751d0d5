import pytest

from callbot.stt_worker.invented_words import cannot_be_said, is_invented, without_captions


@pytest.mark.parametrize(
    ("text", "score", "no_speech", "invented"),
    [
        ("I'd like a table.", -0.3, 0.02, False),
        ("I'd like a table.", -1.4, 0.4, False),
        ("I'd like a table.", -1.2, 0.6, True),
        ("I'd like a table.", -2.1, 0.1, True),
        ("Yes.", -1.4, 0.1, False),
        ("Yes.", -1.6, 0.1, True),
        ("Yes.", -0.1, 0.95, True),
    ],
)
def test_by_its_own_doubts(text: str, score: float, no_speech: float, invented: bool) -> None:
    assert is_invented(text, score, no_speech) == invented


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[BLANK_AUDIO]", ""),
        ("(wind blowing) Hello?", "Hello?"),
        ("♪ ♪", ""),
        (" a  table ", "a table"),
    ],
)
def test_a_caption_is_no_speech(text: str, words: str) -> None:
    assert without_captions(text) == words


@pytest.mark.parametrize(
    ("text", "seconds", "prompt", "cannot"),
    [
        ("Thank you for watching!", 1.5, "", True),
        ("Thank you.", 1.5, "", False),
        ("ご視聴ありがとうございました。", 3, "", True),
        ("ありがとうございました。", 3, "", False),
        ("Sous-titres réalisés par la communauté d’Amara.org", 3, "", True),
        ("Untertitel im Auftrag des ZDF für funk, 2017", 3, "", True),
        ("¡Gracias por ver el video!", 3, "", True),
        ("Vielen Dank.", 3, "", False),
        ("...", 1.5, "", True),
        ("", 1.5, "", True),
        ("テーブルをお願いします。", 1.5, "", False),
        ("मुझे एक मेज़ चाहिए", 1.5, "", False),
        ("Miller, Smith, Jones", 2.0, "Miller, Smith, Jones", True),
        ("Miller", 2.0, "Miller", False),
        ("It is Miller, Smith, Jones.", 2.0, "Miller, Smith, Jones", False),
        ("a word " * 30, 1.0, "", True),
        ("No, we are four, and one of us is a child", 1.0, "", False),
    ],
)
def test_what_nobody_says(text: str, seconds: float, prompt: str, cannot: bool) -> None:
    assert cannot_be_said(text, seconds, prompt) == cannot
