"""`callbot up`: the whole platform on this machine until it is told to stop."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from callbot.runtime.settings import wrong_settings
from callbot.studio.up.auth import auth_mode
from callbot.studio.up.data_dir import DataDir
from callbot.studio.up.lines import Lines
from callbot.studio.up.plan import Options, planned
from callbot.studio.up.ports import hold_port
from callbot.studio.up.problems import CannotStart
from callbot.studio.up.settings import UpSettings
from callbot.studio.up.state import write_state
from callbot.studio.up.supervisor import Supervisor
from callbot.studio.up.undertaker import Undertaker


def up(host: str, port: int, data: Path, *, replicas: int, scripted: bool, until_stdin_ends: bool) -> int:
    """Runs until SIGTERM, SIGINT or SIGHUP; the exit code. What prevents it is one sentence on stderr."""
    try:
        settings = UpSettings()
        auth = auth_mode(host, settings.public_url, settings.auth)
        with DataDir(data, min_free_mib=settings.min_free_mib) as directory, hold_port(host, port) as held:
            options = Options(host, int(held.getsockname()[1]), replicas, scripted, auth)
            asyncio.run(_run(options, settings, directory, until_stdin_ends=until_stdin_ends))
    except ValidationError as e:
        return _refused(f"the settings are wrong: {wrong_settings(e, UpSettings)}")
    except CannotStart as e:
        return _refused(str(e))
    except OSError as e:
        return _refused(f"{e.strerror}: {e.filename or data}")
    return 0


def _refused(sentence: str) -> int:
    print(f"callbot up: {sentence}", file=sys.stderr)
    return 1


async def _run(options: Options, settings: UpSettings, data: DataDir, *, until_stdin_ends: bool) -> None:
    write_state(data.path, [])
    stop = _stop_requested(until_stdin_ends=until_stdin_ends)
    lines = Lines(sys.stderr, colours=sys.stderr.isatty() and settings.no_color is None)
    parts = planned(options, settings, data, os.environ)
    undertaker = Undertaker(data.lock_fd)
    try:
        supervisor = Supervisor(
            parts,
            lines=lines,
            undertaker=undertaker,
            changed=lambda running: write_state(data.path, running.keepers),
        )
        await supervisor.run(stop, lambda: print(f"ready {_url(options)}", flush=True))
        lines.say("stopped")
    finally:
        undertaker.close()


def _url(options: Options) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{options.port}"


def _stop_requested(*, until_stdin_ends: bool) -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if until_stdin_ends:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end_of_input, loop, stop)
    return stop


def _stop_at_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        loop.remove_reader(sys.stdin.fileno())
        stop.set()
