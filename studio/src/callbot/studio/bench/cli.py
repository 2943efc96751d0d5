"""`callbot bench …`: each prints its machine and its settings with its figures."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, cast

import typer

from callbot.studio.bench.results import OtherSettings
from callbot.studio.bench.webhook import Says
from callbot.studio.up import PlatformFailed

app = typer.Typer(help="Measure.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the measurement in --out.")]
Seed = Annotated[int, typer.Option(help="Same seed, same calls.")]


@app.command()
def latency(
    turns: Annotated[int, typer.Option(min=1)] = 30,
    calls: Annotated[int, typer.Option(min=1, help="Calls at once.")] = 1,
    turns_per_call: Annotated[int, typer.Option(min=1)] = 6,
    webhook_ms: Annotated[float, typer.Option(min=0, help="The webhook's own time.")] = 20.0,
    webhook_says: Annotated[str, typer.Option(help="own, or suggestion: what the model suggests.")] = "own",
    suggest: Annotated[str, typer.Option(help="full or off.")] = "full",
    llm_tokens: Annotated[
        int, typer.Option(min=0, help="A model of set pace, with suggestions of so many tokens.")
    ] = 0,
    llm_first_token_ms: Annotated[float, typer.Option(min=0, help="Of that model.")] = 200.0,
    llm_tokens_per_s: Annotated[float, typer.Option(min=0, help="Of that model.")] = 60.0,
    scripted: Annotated[bool, typer.Option("--scripted", help="Without models.")] = False,
    seed: Seed = 1,
    out: Path = Path("build/bench/latency.jsonl"),
    resume: Resume = False,
) -> None:
    """From the caller's last word to the bot's first sound, end of turn included, and each stage."""
    from callbot.studio.bench.latency import LatencyPlan, measure
    from callbot.studio.up.scripted_llm import Pace

    if webhook_says not in ("own", "suggestion"):
        raise typer.BadParameter("own or suggestion", param_hint="--webhook-says")
    llm = Pace(first_token_ms=llm_first_token_ms, tokens_per_s=llm_tokens_per_s, tokens=llm_tokens)
    plan = LatencyPlan(
        turns,
        calls,
        turns_per_call,
        webhook_ms,
        suggest,
        scripted,
        seed,
        webhook_says=cast(Says, webhook_says),
        llm=llm if llm_tokens else None,
    )
    _run(measure(plan, out, resume=resume))


@app.command()
def turns(
    manners: Annotated[int, typer.Option(min=1, max=4, help="Of speaking: one voice as so many.")] = 2,
    pause_ms: Annotated[
        list[int] | None, typer.Option(help="Inside sentences; repeatable. 300, 600.")
    ] = None,
    trials: Annotated[int, typer.Option(min=0, help="Over the bot: coughs, hums, words, so many each.")] = 10,
    ends: Annotated[bool, typer.Option(help="The end of turn too.")] = True,
    calls: Annotated[int, typer.Option(min=1, help="Calls at once.")] = 2,
    out: Path = Path("build/bench/turns.jsonl"),
    resume: Resume = False,
) -> None:
    """End of turn and barge-in: cut-offs, delays, false stops, over a set of voices and noises."""
    from callbot.studio.bench.turns import TurnsPlan, turns

    _run(turns(TurnsPlan(manners, tuple(pause_ms or (300, 600)), trials, ends, calls), out, resume=resume))


@app.command()
def soak(
    calls: Annotated[int, typer.Option(min=1)] = 200,
    at_once: Annotated[int, typer.Option(min=1)] = 10,
    turns: Annotated[int, typer.Option(min=0, help="In each call.")] = 2,
    minutes: Annotated[float, typer.Option(min=0, help="Calls for so long, in the place of --calls.")] = 0.0,
    replicas: Annotated[int, typer.Option(min=1)] = 1,
    seed: Seed = 1,
    out: Path = Path("build/bench/soak.jsonl"),
    resume: Resume = False,
) -> None:
    """Short calls with scripted providers: memory flat, nothing left behind."""
    from callbot.studio.bench.soak import SoakPlan, soak

    _run(soak(SoakPlan(calls, at_once, turns, replicas, seed, minutes), out, resume=resume))


@app.command()
def api(
    rate: Annotated[list[float] | None, typer.Option(min=1, help="A second; repeatable. 250, 500.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="For each measurement.")] = 15.0,
    connections: Annotated[int, typer.Option(min=1, help="Of the closed loop.")] = 16,
    replicas: Annotated[int, typer.Option(min=1)] = 1,
    cores: Annotated[int, typer.Option(min=1, help="For all processes together.")] = 2,
    out: Path = Path("build/bench/api.jsonl"),
    resume: Resume = False,
) -> None:
    """How many GET /v1/bots/{id} a second, how long they take, and in which process."""
    from callbot.studio.bench.api import ApiPlan, api

    plan = ApiPlan(tuple(rate or (250.0, 500.0)), seconds, connections, replicas, cores)
    _run(api(plan, out, resume=resume))


@app.command()
def density(
    begin: Annotated[int, typer.Option(min=1, help="Calls of the first step.")] = 20,
    step: Annotated[int, typer.Option(min=1, help="More calls in each step.")] = 20,
    most: Annotated[int, typer.Option(min=1, help="Calls of the last step at most.")] = 400,
    seconds: Annotated[float, typer.Option(min=1, help="Of each step.")] = 15.0,
    vad: Annotated[str, typer.Option(help="silero, or energy, which needs no voice.")] = "silero",
    generators: Annotated[int, typer.Option(min=1, help="Processes that make the calls.")] = 1,
    replicas: Annotated[int, typer.Option(min=1)] = 1,
    end_of_turn: Annotated[
        bool, typer.Option("--end-of-turn", help="With its model, and interim transcripts.")
    ] = False,
    profile: Annotated[str, typer.Option(help="A service: flame graph of each step, by py-spy.")] = "",
    seed: Seed = 1,
    out: Path = Path("build/bench/density.jsonl"),
    resume: Resume = False,
) -> None:
    """How many calls at once, how late their frames, what each costs in each service and the broker."""
    from callbot.studio.bench.density import DensityPlan, density

    if vad not in ("silero", "energy"):
        raise typer.BadParameter("silero or energy", param_hint="--vad")
    plan = DensityPlan(begin, step, most, seconds, vad, generators, replicas, end_of_turn, seed)
    _run(density(plan, out, resume=resume, profile=profile))


@app.command()
def providers(
    requests: Annotated[int, typer.Option(min=1, help="Of each provider.")] = 200,
    only: Annotated[
        list[str] | None, typer.Option(help="tts, stt, llm, or a provider's name; repeatable. All.")
    ] = None,
    servers: Annotated[
        str, typer.Option(help="Package of the vendors' servers, seen from the working directory.")
    ] = "tests.vendors",
    live: Annotated[
        bool, typer.Option("--live", help="The vendors themselves, with the environment's keys and URLs.")
    ] = False,
    limit_ms: Annotated[float, typer.Option(min=0, help="That an adapter may add, at the median.")] = 5.0,
    out: Path = Path("build/bench/providers.jsonl"),
    resume: Resume = False,
) -> None:
    """What each provider's adapter adds to its vendor's own time to the first result."""
    from callbot.studio.bench.providers import ProvidersPlan, providers

    plan = ProvidersPlan(requests, tuple(only or ()), "" if live else servers, limit_ms)
    _run(providers(plan, out, resume=resume))


def _run(measurement: Coroutine[None, None, int]) -> None:
    try:
        code = asyncio.run(measurement)
    except (OtherSettings, PlatformFailed, OSError) as e:
        typer.echo(f"callbot bench: {e}", err=True)
        code = 1
    raise typer.Exit(code)
