"""The platform on one machine: `callbot up`, and the same as a child process (`running_platform`)."""

from callbot.studio.up.running import WITHOUT_LIMITS, Platform, PlatformFailed, running_platform
from callbot.studio.up.state import NothingRuns, PartRow
from callbot.studio.up.twilio import LocalTwilio, local_twilio

__all__ = [
    "WITHOUT_LIMITS",
    "LocalTwilio",
    "NothingRuns",
    "PartRow",
    "Platform",
    "PlatformFailed",
    "local_twilio",
    "running_platform",
]
