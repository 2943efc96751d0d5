"""`callbot bench turns`: when the bot thinks that the caller has finished, and when it is stopped.

A set of utterances and sounds is made on the spot and played to a whole platform, call by call; every call is
one unit of the measurement, so that a broken one can be gone on with.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import aiohttp

from callbot.studio.bench.results import Results, Row
from callbot.studio.bench.turns_score import print_scores
from callbot.studio.bench.turns_set import MANNERS, Line, Said, TurnSet, make_set
from callbot.studio.bench.webhook import answering_webhook, create_bot
from callbot.studio.emulator import Caller, CallOver, Emulator, NotHeard
from callbot.studio.emulator.call_record import CallRecord
from callbot.studio.up import WITHOUT_LIMITS, running_platform

UTTERANCES_PER_CALL = 8
TRIALS_PER_CALL = 12
TRIALS_PER_ANSWER = 5
"""The long answer takes half a minute; each trial a few seconds of it."""
BOT_SPEAKS_MS = 900
"""Before a sound is made over it."""
GOES_ON_WITHIN_S = 3.0
GOES_ON_MS = 200
LISTENED_MS = 10_000
"""To the bot on a line that is not quiet."""
QUESTION = "Could you tell me all about your restaurant?"
QUIET = Line("quiet")


@dataclass(frozen=True)
class TurnsPlan:
    manners: int
    pauses_ms: tuple[int, ...]
    trials: int
    """Over the bot, of each kind: coughs, hums, assent, words. 0: none."""
    ends: bool
    """Whether the end of turn is measured."""
    calls: int
    """At once."""


@dataclass(frozen=True)
class Unit:
    """One call."""

    number: int
    kind: str
    """end of turn, over the bot, background"""
    line: Line
    sounds: tuple[Said, ...] = ()


@dataclass(frozen=True)
class Room:
    """What the calls share."""

    emulator: Emulator
    url: str
    short_bot: str
    long_bot: str
    question: bytes


async def turns(plan: TurnsPlan, out: Path, *, resume: bool) -> int:
    """Prints the scores; exit code 1 when the bot did not go on after a cough or a hum."""
    results = Results(out, {**asdict(plan), "pauses_ms": list(plan.pauses_ms)}, resume=resume)
    print("The callers' voices are being prepared …", flush=True)
    made = await make_set(MANNERS[: plan.manners], plan.pauses_ms, plan.trials)
    done = {row["unit"] for row in results.rows}
    left = [unit for unit in _units(plan, made) if unit.number not in done]
    async with _room(made) as room:
        waiting = iter(left)

        async def caller() -> None:
            for unit in waiting:
                results.add(await _call(room, unit))
                print(
                    f"{unit.number + 1} of {left[-1].number + 1}: {unit.kind}, {unit.line.name}", flush=True
                )

        await asyncio.gather(*(caller() for _ in range(plan.calls)))
    return print_scores(plan, results.rows)


@asynccontextmanager
async def _room(made: TurnSet) -> AsyncIterator[Room]:
    question = next(said.audio for said in made.in_noise)
    async with (
        running_platform(env=WITHOUT_LIMITS) as platform,
        answering_webhook(0) as short,
        answering_webhook(0, "long") as long,
        aiohttp.ClientSession() as http,
        Emulator(platform.url, account=platform.twilio.accounts.platform) as emulator,
    ):
        bots = [
            await create_bot(
                http, platform.url, goal="Answer", webhook=url, suggest="off", greeting="Hello there."
            )
            for url in (short, long)
        ]
        yield Room(emulator, platform.url, bots[0], bots[1], question)


def _units(plan: TurnsPlan, made: TurnSet) -> Iterator[Unit]:
    parts: list[tuple[str, Line, Sequence[Said]]] = [
        ("end of turn", QUIET, part) for part in _pieces(made.utterances, UTTERANCES_PER_CALL)
    ]
    parts += [("end of turn", line, made.in_noise) for line in made.lines]
    if not plan.ends:
        parts = []
    over = list(islice(cycle(made.over_the_bot), plan.trials))
    parts += [("over the bot", QUIET, part) for part in _pieces(made.no_turns, TRIALS_PER_CALL)]
    parts += [("over the bot", QUIET, part) for part in _pieces(over, TRIALS_PER_CALL)]
    if plan.trials:
        parts += [("background", line, ()) for line in made.lines]
    for number, (kind, line, sounds) in enumerate(parts):
        yield Unit(number, kind, line, tuple(sounds))


def _pieces(said: Sequence[Said], size: int) -> list[Sequence[Said]]:
    return [said[at : at + size] for at in range(0, len(said), size)]


async def _call(room: Room, unit: Unit) -> list[Row]:
    bot = room.short_bot if unit.kind == "end of turn" else room.long_bot
    rows: list[dict[str, Any]] = []
    line = unit.line
    async with room.emulator.dial(bot_id=bot, echo=line.echo, background=line.background) as call:
        try:
            await call.hears()
            match unit.kind:
                case "end of turn":
                    async with CallRecord.of(room.url, call.sid) as record:
                        await _end_of_turns(call, record, unit, rows)
                case "over the bot":
                    await _over_the_bot(room, call, unit, rows)
                case _:
                    await _background(room, call, rows)
        except (NotHeard, CallOver) as e:
            rows.append({"kind": unit.kind, "what": unit.line.name, "error": str(e)})
        late_ms = call.lateness.p99_ms
    common = {"unit": unit.number, "line": unit.line.name, "emulator_late_ms": late_ms}
    return [{**common, **row} for row in rows or [{"kind": unit.kind, "error": "nothing was measured"}]]


async def _end_of_turns(call: Caller, record: CallRecord, unit: Unit, rows: list[dict[str, Any]]) -> None:
    """Each utterance is one turn; more are false cut-offs."""
    known = 0
    for said in unit.sounds:
        await call.says(said.audio)
        try:
            ear_ms = (await call.reply(within_s=6)).voice_to_voice_ms
        except NotHeard:
            ear_ms = None
        turns = await _turns_after(record, known)
        new, known = turns[known:], len(turns)
        heard = [turn for turn in new if turn["input"] == "speech"]
        rows.append(
            {
                "kind": "end of turn",
                "what": said.kind if unit.line is QUIET else unit.line.name,
                "said": said.text,
                "manner": said.manner,
                "heard": [turn["user_text"] for turn in heard],
                "turns": len(heard),
                "delay_ms": heard[-1]["times"]["endpointing_ms"] if heard else None,
                "ear_ms": ear_ms,
            }
        )


async def _turns_after(record: CallRecord, known: int) -> list[dict[str, Any]]:
    """The turns so far, once a turn of the caller that was answered is the newest, or after two seconds."""
    for _ in range(20):
        turns = await record.turns() or []
        if len(turns) > known and turns[-1]["input"] == "speech" and turns[-1]["heard"]:
            return turns
        await asyncio.sleep(0.1)
    return turns


async def _over_the_bot(room: Room, call: Caller, unit: Unit, rows: list[dict[str, Any]]) -> None:
    trials = TRIALS_PER_ANSWER
    for said in unit.sounds:
        if trials >= TRIALS_PER_ANSWER:
            await call.says(room.question)
            trials = 0
        await call.listens(BOT_SPEAKS_MS)
        row, goes_on = await _one_trial(call, said)
        rows.append(row)
        # Words are answered by the long answer from its beginning.
        trials = 0 if said.kind == "words" else trials + 1 if goes_on else TRIALS_PER_ANSWER


async def _one_trial(call: Caller, said: Said) -> tuple[dict[str, Any], bool]:
    """A sound over the bot: was it stopped, when, and did it go on where it was."""
    made = await (call.says if said.kind == "words" else call.makes)(said.audio)
    cut = await call.cut_by(made)
    row: dict[str, Any] = {
        "kind": "over the bot",
        "what": said.kind,
        "said": said.text,
        "manner": said.manner,
    }
    row["stopped_after_ms"] = None if cut is None else round(cut.at_ms - made.started_ms, 1)
    if said.kind == "words" or cut is None:
        return row, cut is None
    try:
        # A cough of two bursts may hold it up twice: the last time counts.
        await call.listens(GOES_ON_MS, within_s=GOES_ON_WITHIN_S)
        last = call.call.cuts[-1]
        went_on_ms = await call.hears_on_after(last)
    except NotHeard:
        return row, False
    row["went_on_after_ms"] = max(0.0, went_on_ms - made.last_word_ms)
    row["skipped_ms"] = last.skipped_ms()
    return row, row["skipped_ms"] is not None


async def _background(room: Room, call: Caller, rows: list[dict[str, Any]]) -> None:
    """The bot speaks and nobody else does: whatever stops it is wrong."""
    await call.says(room.question)
    await call.listens(200)
    before, began_ms = len(call.call.cuts), call.now_ms
    while call.now_ms - began_ms < LISTENED_MS:
        await call.listens(400, within_s=4)
    stopped = len(call.call.cuts) - before
    rows.append({"kind": "background", "stopped": stopped, "listened_ms": call.now_ms - began_ms})
