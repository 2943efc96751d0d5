"""The platform on one machine: `callbot up`, and the same as a child process (`running_platform`)."""

from callbot.studio.up.running import Platform, PlatformFailed, running_platform
from callbot.studio.up.state import NothingRuns, PartRow

__all__ = ["NothingRuns", "PartRow", "Platform", "PlatformFailed", "running_platform"]
