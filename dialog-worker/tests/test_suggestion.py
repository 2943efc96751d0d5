"""How long a suggestion is waited for."""

import asyncio
from collections.abc import AsyncGenerator

from callbot.dialog_worker.language_model import Anew
from callbot.dialog_worker.suggestion import Suggestion
from callbot.runtime.errors import ProviderError

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


class Broken:
    """A reply that is broken off and begun anew."""

    def __init__(self, before: str, after: str) -> None:
        self.before = before
        self.after = after
        self.begun_anew = False

    async def reply(self) -> AsyncGenerator[str | Anew]:
        yield self.before
        yield Anew(ProviderError("broken_off", "it ended early", retryable=True))
        self.begun_anew = True
        yield self.after


async def test_what_was_broken_off_before_its_first_sentence_is_dropped() -> None:
    model, told = Broken("Let me lo", "We are open."), list[str]()
    suggestion = Suggestion(model.reply(), max_sentences=3, on_first=told.append)
    await suggestion.wait_complete(NEVER_S)
    assert (suggestion.sentences, suggestion.error, told) == (["We are open."], "", ["We are open."])


async def test_what_was_broken_off_after_a_sentence_keeps_it() -> None:
    model = Broken("Sure. Let me lo", "We are open.")
    suggestion = Suggestion(model.reply(), max_sentences=3)
    await suggestion.wait_complete(NEVER_S)
    assert (suggestion.sentences, suggestion.error) == (["Sure."], "broken_off: it ended early")
    assert not model.begun_anew
