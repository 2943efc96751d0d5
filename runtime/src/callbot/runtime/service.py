"""A service from start to stop: settings, logs, event loop, SIGTERM."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import ValidationError

from callbot.runtime import tracing
from callbot.runtime.errors import CallbotError
from callbot.runtime.settings import ServiceSettings, wrong_settings
from callbot.runtime.telemetry import set_up_logs

S = TypeVar("S", bound=ServiceSettings)
log = logging.getLogger(__name__)


GARBAGE_AFTER = (5_000, 5, 4)
"""Allocations until a collection. The default, 700, is for scripts: frames come to more each second.

A call of 10 s leaves some 800 objects in cycles, and 150 kB with them. What is dead is taken away after some
hundred calls: to look through 60 of them takes 6 ms, and 600 take 237 ms in which every other call waits.
"""


def collect_rarely() -> None:
    """Everything is open: what has been imported and opened lives to the end.

    No collection need look through it again: with models' libraries it is so much that calls would wait.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_AFTER)


async def stop_requested() -> None:
    """Everything is open: returns when the process is asked to stop (SIGTERM or SIGINT)."""
    collect_rarely()
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    await asked.wait()
    log.info("stopping")


def run(serve: Callable[[S], Coroutine[None, None, None]], settings_type: type[S], service: str) -> None:
    """Run a service until it stops. A wrong setting is one sentence and exit code 1."""
    # onnxruntime is imported later, and by child processes. Told nothing, it writes down an id of this
    # machine and reports to Microsoft what it does (its Privacy.md).
    os.putenv("ORT_DISABLE_TELEMETRY", "1")
    try:
        settings = settings_type()
    except ValidationError as e:
        sys.exit(f"{service}: the settings are wrong: {wrong_settings(e, settings_type)}")
    set_up_logs(
        service,
        as_json=settings.log_format == "json",
        level=settings.log_level,
        show_pii=settings.log_pii,
    )
    try:
        with traces(settings, service), asyncio.Runner(loop_factory=event_loop()) as runner:
            runner.run(serve(settings))
    except CallbotError as e:
        log.error("cannot run", extra={"reason": str(e)})
        sys.exit(f"{service}: {e}")


@contextmanager
def traces(settings: ServiceSettings, service: str) -> Iterator[None]:
    """Of the calls while the block runs, where a collector is named; the SDK is imported only then."""
    if not settings.traces_url or not settings.traces_sample:
        yield
        return
    from callbot.runtime.trace_export import Exported

    exported = Exported(settings, service)
    tracing.switch(exported)
    try:
        yield
    finally:
        tracing.switch(None)
        exported.close()


def event_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop, where there is one."""
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop
