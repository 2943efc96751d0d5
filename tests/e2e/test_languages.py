"""Calls of bots that speak other languages, through every service: all that is heard is in the bot's."""

import asyncio

from callbot.schemas.fixed_sentences import ours_in
from callbot.studio.emulator import Emulator
from tests.conftest import BotMaker

SAID = {
    "de-DE": ["Haben Sie z. B. am 3. Mai noch Platz?"],
    "fr-FR": ["M. Dupont voudrait une table.", "Merci."],
    "hi-IN": ["ठीक है।", "कल चार लोग आएँगे।"],
    "ja-JP": ["予約をお願いします。", "四人です。"],
}
"""What the caller says, as it is cut when the bot says it again."""
REMINDED_WITHIN_S = 15.0


async def heard_in(language: str, emulator: Emulator, bot_id: str) -> list[str]:
    """All texts of one call: greeted, answered, then silent until the bot asks whether somebody is there."""
    between = "" if language == "ja-JP" else " "
    async with emulator.dial(bot_id=bot_id) as call:
        await call.hears()
        await call.says(between.join(SAID[language]))
        await call.hears(SAID[language][-1])
        await call.hears(ours_in(language)["still_there"], within_s=REMINDED_WITHIN_S)
        return call.texts_heard


async def test_a_call_is_held_in_the_bots_language(emulator: Emulator, make_bot: BotMaker) -> None:
    bots = {language: await make_bot("echo", language=language) for language in SAID}
    calls = [heard_in(language, emulator, bot_id) for language, bot_id in bots.items()]
    for language, texts in zip(bots, await asyncio.gather(*calls), strict=True):
        ours, (first, *rest) = ours_in(language), SAID[language]
        assert texts == [ours["hello"], f"I heard {first}", *rest, ours["still_there"]]
