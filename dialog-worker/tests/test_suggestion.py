"""How long a suggestion is waited for."""

import asyncio
from collections.abc import AsyncGenerator

from callbot.dialog_worker.suggestion import Suggestion

NEVER_S = 30.0


class Model:
    def __init__(self) -> None:
        self.pieces: asyncio.Queue[str | None] = asyncio.Queue()

    async def reply(self) -> AsyncGenerator[str]:
        while (piece := await self.pieces.get()) is not None:
            yield piece


async def test_settled_is_a_first_sentence_and_a_little_more() -> None:
    model = Model()
    suggestion = Suggestion(model.reply(), max_sentences=3)
    begun = asyncio.create_task(suggestion.wait_settled(NEVER_S, settle_s=0))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not begun.done()
    model.pieces.put_nowait("Sure. F")
    await begun
    assert suggestion.sentences == ["Sure."]

    complete = asyncio.create_task(suggestion.wait_settled(NEVER_S, settle_s=NEVER_S))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not complete.done()
    model.pieces.put_nowait("or when?")
    model.pieces.put_nowait(None)
    await complete
    assert suggestion.text == "Sure. For when?"
    await suggestion.stop()


async def test_a_reply_without_words_is_said_to_be_one() -> None:
    model = Model()
    model.pieces.put_nowait(" 😀\n")
    model.pieces.put_nowait(None)
    suggestion = Suggestion(model.reply(), max_sentences=3)
    await suggestion.wait_complete(NEVER_S)
    assert (suggestion.sentences, suggestion.error) == ([], "llm_empty: no words in the reply")


async def test_the_first_whole_sentence_is_told_once() -> None:
    model, told = Model(), list[str]()
    suggestion = Suggestion(model.reply(), max_sentences=3, on_first=told.append)
    for piece in ("Su", "re. For", " when? And", None):
        model.pieces.put_nowait(piece)
    await suggestion.wait_complete(NEVER_S)
    assert suggestion.sentences == ["Sure.", "For when?", "And"]
    assert told == ["Sure."]
