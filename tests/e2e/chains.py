"""Calls on a chain whose first provider has a bad day: which rows there are, when its answer is heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from callbot.studio.emulator import Emulator
from callbot.studio.emulator.caller import Caller, Said
from callbot.studio.emulator.voices import ScriptedVoice
from callbot.studio.up.running import WITHOUT_LIMITS, Platform

MS_PER_CHARACTER = 20
"""Of the caller, so that rows take less time."""
WITHOUT_BREAKERS = {**WITHOUT_LIMITS, "CALLBOT_LEFT_ALONE_S": "0"}
"""Every row asks the broken provider anew."""
AND_S = 1.0
"""Beyond the vendor's deadline: for all that is not the vendor."""
PATIENCE_S = 8.0

D = TypeVar("D")


class When(StrEnum):
    """Since when the provider has its bad day."""

    AT_ONCE = "before the call"
    CALLER_SPEAKS = "while the caller speaks"
    BOT_SPEAKS = "while the bot speaks"


@dataclass(frozen=True)
class Row:
    primary: str
    day: str
    when: When
    deadline_s: float
    """How long the chain waits for this provider on such a day."""
    answered_ms: float
    """From the caller's last word, or the end of what the bot had said before, to the answer."""

    @property
    def late(self) -> bool:
        return self.answered_ms > (self.deadline_s + AND_S) * 1000

    def __str__(self) -> str:
        told = f"{self.primary:<22} {self.day:<14} {self.when:<24} {self.deadline_s:>4} s"
        return f"{told} {self.answered_ms:>6.0f} ms{'  LATE' if self.late else ''}"


class Table:
    """What was measured. `file`: where the whole table goes; None: only half of its rows are made."""

    def __init__(self, title: str, file: Path | None) -> None:
        self.rows: list[Row] = []
        self._title = title
        self._file = file

    @property
    def is_whole(self) -> bool:
        return self._file is not None

    def chosen(self, primary: int, days: Sequence[D], *, begun_on: D) -> list[tuple[D, When]]:
        """All; or every second day, at either moment in turn: the next provider has the other half."""
        if self.is_whole:
            return [(day, when) for when in When for day in days]
        moments = (When.CALLER_SPEAKS, When.BOT_SPEAKS)
        once = [(day, moments[(primary // 2 + at) % 2]) for at, day in enumerate(days[primary % 2 :: 2])]
        return [(begun_on, When.AT_ONCE), *sorted(once, key=lambda row: row[1])]

    def close(self) -> None:
        """Shows it; in a whole table no row may be late."""
        shown = "\n".join([self._title, *map(str, self.rows), ""])
        print(f"\n{shown}")
        if self._file is not None:
            with self._file.open("a") as file:
                file.write(f"{shown}\n")
            assert not [str(row) for row in self.rows if row.late]


def emulator_of(platform: Platform) -> Emulator:
    voice = ScriptedVoice(MS_PER_CHARACTER)
    return Emulator(platform.url, account=platform.twilio.accounts.platform, voice=voice)


async def answered_ms(call: Caller, text: str, since_ms: float) -> float:
    """Raises NotHeard."""
    await call.hears(text, within_s=PATIENCE_S)
    ear = call.call.line.ear
    return next(heard.at_ms for heard in reversed(ear.texts) if text in heard.text) - since_ms


async def silence(call: Caller, ms: int = 240) -> None:
    """Until the bot has said what it had to say."""
    ear = call.call.line.ear
    if not await ear.until(lambda: True if ear.silent_ms >= ms else None, PATIENCE_S):
        raise AssertionError(f"it speaks on and on, or the call is over: {call.call.end}")


async def first_sound_ms(call: Caller, said: Said) -> float:
    """Where the bot's answer to this began."""
    ear = call.call.line.ear

    def begun() -> float | None:
        return next((s.started_ms for s in ear.segments if s.started_ms > said.last_word_ms), None)

    began_ms = await ear.until(begun, PATIENCE_S)
    assert began_ms is not None, "the bot was not heard"
    return began_ms
