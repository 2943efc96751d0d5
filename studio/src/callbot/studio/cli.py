"""The `callbot` command. What a subcommand needs is imported when it runs: `--help` stays quick."""

import asyncio
import importlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

app = typer.Typer(
    name="callbot",
    help="CallBot Studio on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="CALLBOT_DATA",
        help="Where NATS, the database and the keys are kept.",
        show_default="~/.local/share/callbot",
    ),
]
DEFAULT_DATA = Path.home() / ".local" / "share" / "callbot"


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    data: DataOption = DEFAULT_DATA,
    replicas: Annotated[int, typer.Option(min=1, max=16, help="Processes of each service.")] = 1,
    scripted: Annotated[bool, typer.Option("--scripted", help="Without models: text as audio.")] = False,
    until_stdin_ends: Annotated[bool, typer.Option("--until-stdin-ends", hidden=True)] = False,
) -> None:
    """Start the whole platform and keep it running until Ctrl-C."""
    from callbot.studio.up import command

    raise typer.Exit(
        command.up(host, port, data, replicas=replicas, scripted=scripted, until_stdin_ends=until_stdin_ends)
    )


@app.command()
def ps(
    data: DataOption = DEFAULT_DATA,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What runs: each process, its port and its live calls."""
    from callbot.studio.up.state import NothingRuns, running_parts

    try:
        rows = asyncio.run(running_parts(data))
    except NothingRuns as e:
        raise _sentence(f"callbot ps: {e}") from e
    if as_json:
        print(json.dumps(rows))
        return
    print(f"{'service':15} {'replica':>7} {'pid':>8} {'port':>6} {'live calls':>10}")
    for row in rows:
        calls = "no answer" if row["live_calls"] is None else row["live_calls"]
        print(f"{row['service']:15} {row['replica']:>7} {row['pid']:>8} {row['port']:>6} {calls:>10}")


class InGivenOrder(TyperCommand):
    """Keeps the command line as it was given: `--say` and `--dtmf` are one sequence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta["callbot.given"] = list(args)
        return super().parse_args(ctx, args)


@app.command(cls=InGivenOrder)
def call(
    ctx: typer.Context,
    to: Annotated[str, typer.Option(help="The bot's id, or a number (+1…) of `callbot numbers`.")],
    say: Annotated[list[str] | None, typer.Option(help="A text to speak, or a .wav; repeatable.")] = None,
    dtmf: Annotated[list[str] | None, typer.Option(help="Keys to press; repeatable, in order.")] = None,
    record: Annotated[Path | None, typer.Option(help="Write both sides to this WAV.")] = None,
    url: Annotated[str, typer.Option(help="The platform.")] = "http://127.0.0.1:8080",
    voice: Annotated[str, typer.Option(help="The caller's voice: piper or scripted.")] = "piper",
    data: DataOption = DEFAULT_DATA,
    token: Annotated[
        str | None,
        typer.Option(envvar="CALLBOT_TOKEN", help="Access token or API key, to read the record of the call."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Call a bot or a number as a telephone would, and print the conversation."""
    from callbot.studio.emulator.call_command import Step, StepKind, place_call
    from callbot.studio.up.twilio import local_twilio

    steps = [Step(StepKind(kind), value) for kind, value in said_and_pressed(ctx.meta["callbot.given"])]
    twilio = local_twilio(data)
    placed = place_call(
        to, steps, url=url, record=record, voice=voice, twilio=twilio, token=token, as_json=as_json
    )
    raise typer.Exit(asyncio.run(placed))


def said_and_pressed(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """`("say" | "dtmf", value)` in the order of the command line."""
    steps = []
    left = iter(arguments)
    for argument in left:
        name, equals, value = argument.partition("=")
        if name in ("--say", "--dtmf"):
            steps.append((name[2:], value if equals else next(left)))
        elif not equals and name in ("--to", "--record", "--url", "--voice", "--data", "--token"):
            next(left)
    return steps


@app.command()
def numbers(
    data: DataOption = DEFAULT_DATA,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """The numbers of the emulated Twilio, and the account to try POST /v1/connect-twilio with."""
    from callbot.studio.emulator.numbers_command import show_numbers
    from callbot.studio.up.twilio import local_twilio

    if (twilio := local_twilio(data)) is None:
        raise _sentence(f"callbot numbers: no emulated Twilio runs with the data directory {data}")
    raise typer.Exit(asyncio.run(show_numbers(twilio, as_json=as_json)))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the recording is put.")] = Path("build/demo"),
    webhook: Annotated[Path, typer.Option(help="The bot's program.")] = Path(
        "examples/webhooks/python/booking_bot.py"
    ),
) -> None:
    """A whole conversation with a booking bot, on this machine, with real voices."""
    from callbot.studio.demo import demo as run_demo

    raise typer.Exit(asyncio.run(run_demo(out, webhook)))


@app.command()
def trace(
    out: Annotated[Path, typer.Option(help="The picture, as SVG.")] = Path("build/turn-trace.svg"),
    say: Annotated[list[str] | None, typer.Option(help="Repeatable; the last one's turn is drawn.")] = None,
    llm_tokens: Annotated[
        int, typer.Option(min=0, help="A model of set pace, as in bench latency, with so many tokens.")
    ] = 0,
    scripted: Annotated[bool, typer.Option("--scripted", help="Without models: text as audio.")] = False,
) -> None:
    """A call on this machine, and where the time of its last turn went, over all services."""
    from callbot.studio.trace.command import draw
    from callbot.studio.up.scripted_llm import Pace

    texts = say or ["I'd like to book a table for four, please.", "Tomorrow at seven in the evening."]
    pace = Pace(first_token_ms=200, tokens_per_s=60, tokens=llm_tokens) if llm_tokens else None
    raise typer.Exit(draw(out, texts, scripted=scripted, llm=pace))


@app.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def bench(ctx: typer.Context) -> None:
    """Measure: latency, turns, soak, api, density, providers."""
    name = "callbot.studio.bench.cli"
    if importlib.util.find_spec("callbot.studio.bench") is None:
        raise _sentence("callbot bench: the benches are not part of this installation")
    benches: Any = importlib.import_module(name).app
    benches(args=ctx.args, prog_name="callbot bench")


def _sentence(text: str) -> typer.Exit:
    print(text, file=sys.stderr)
    return typer.Exit(1)


def main() -> None:
    app(prog_name="callbot")


if __name__ == "__main__":
    main()
