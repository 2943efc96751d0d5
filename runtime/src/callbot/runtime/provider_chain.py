"""Which providers of a role this process can use: found by entry points, opened in order, said once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import entry_points
from typing import Any, Final, Protocol, TypeVar

from pydantic import ValidationError

from callbot.runtime.attempt import place_of
from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.settings import ProviderOptions, wrong_settings

P = TypeVar("P")
log = logging.getLogger(__name__)

OPEN_WITHIN_S: Final = 60.0
"""Models may have to be loaded."""
CLOSE_WITHIN_S: Final = 5.0
OURS: Final = "callbot."
"""What our own modules' names begin with; another package's have its own name."""


class Installed(Protocol):
    """An entry point, or something that does as one."""

    @property
    def name(self) -> str: ...

    def load(self) -> Any: ...


def brought_along(group: str) -> list[str]:
    """Names of the entry points that come from packages outside of this repository."""
    return sorted({e.name for e in entry_points(group=group) if not e.value.startswith(OURS)})


@asynccontextmanager
async def opened(
    group: str,
    setting: str,
    open_one: Callable[[Any], AbstractAsyncContextManager[P]],
    *,
    variable: str,
    auto: Sequence[str],
    more: Sequence[Installed] = (),
    within_s: float = OPEN_WITHIN_S,
) -> AsyncIterator[Mapping[str, P]]:
    """Name → what was opened, in the order of the chain; at least one.

    `setting` is the value of `variable` (`CALLBOT_TTS`): names by commas, or empty for those of `auto` that
    can be used. `open_one` gets what the entry point of `group` names, loaded only now.
    `more`: beside the entry points, and before one of the same name.
    Left out and said: who is not installed (of `auto`), lacks a package (ImportError), or raises
    anything (SettingsError with its sentence, the others with their kind), or is not open `within_s`.
    Raises SettingsError for a name in the setting that is not installed, and when nobody can be used.
    """
    installed: dict[str, Installed] = {entry.name: entry for entry in [*entry_points(group=group), *more]}
    chosen = _chosen(setting, variable, installed)
    usable: dict[str, P] = {}
    unusable: dict[str, str] = {}
    stack = AsyncExitStack()
    try:
        for name in chosen or dict.fromkeys(auto):
            if name not in installed:
                unusable[name] = "not installed"
                continue
            reason = await _enter(stack, installed[name], open_one, within_s, usable)
            if reason:
                unusable[name] = reason
        _say(variable, usable, unusable, was_chosen=bool(chosen))
        yield usable
    finally:
        await _close(stack, variable)


def _chosen(setting: str, variable: str, installed: Mapping[str, Installed]) -> list[str]:
    """Each name once. Raises SettingsError: a name that is misspelt must not go unnoticed."""
    names = list(dict.fromkeys(name.strip() for name in setting.split(",") if name.strip()))
    known = ", ".join(sorted(installed)) or "none"
    for name in names:
        if name not in installed:
            raise SettingsError(f"{variable}={name}: no such provider; installed: {known}")
    return names


async def _enter(
    stack: AsyncExitStack,
    entry: Installed,
    open_one: Callable[[Any], AbstractAsyncContextManager[P]],
    within_s: float,
    usable: dict[str, P],
) -> str:
    """Why it cannot be used; empty: it is open."""
    try:
        async with asyncio.timeout(within_s):
            usable[entry.name] = await stack.enter_async_context(open_one(entry.load()))
    except SettingsError as e:
        return str(e)
    except ValidationError as e:
        return wrong_settings(e, ProviderOptions)
    except ProviderError as e:
        return e.code
    except ImportError as e:
        return f"a package is missing: {e.name}" if e.name else "a package is missing"
    except TimeoutError:
        return f"not open within {within_s:g} s"
    except Exception as e:
        # What it says is not told on: a library's text may have a key in it.
        kind = type(e).__name__
        facts = {"provider": entry.name, "error": kind, "at": place_of(e)}
        log.error("a provider's code has failed", extra=facts)
        return f"its code has failed: {kind}"
    return ""


def _say(variable: str, usable: Mapping[str, Any], unusable: Mapping[str, str], *, was_chosen: bool) -> None:
    """Raises SettingsError when nobody can be used."""
    why = "; ".join(f"{name}: {reason}" for name, reason in unusable.items())
    if not usable:
        raise SettingsError(f"{variable}: no provider can be used ({why or 'none is known'})")
    level = logging.WARNING if was_chosen and unusable else logging.INFO
    log.log(level, "providers", extra={"setting": variable, "usable": ", ".join(usable), "unusable": why})


async def _close(stack: AsyncExitStack, variable: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await stack.aclose()
    except TimeoutError:
        log.warning("providers are slow to close", extra={"setting": variable})
