"""No silence because something failed: deadlines for the open turn, and when to give up. Pure."""

from dataclasses import dataclass
from typing import Literal

ANSWER_WITHIN_MS = 6000
"""The mind's own deadlines end before this; it only fires when the whole stage is gone."""
AUDIO_WITHIN_MS = 2500
"""From an answer to its first sound, and from one sound of it to the next."""
FAILED_TURNS_IN_A_ROW = 3
EARS_GONE_MS = 10_000
NO_MEDIA_MS = 10_000


@dataclass(frozen=True)
class Watch:
    """What the call is doing, as the watchdog needs to know it."""

    thinking_since_ms: float | None
    """A turn waits for its answer since then."""
    speaking_since_ms: float | None
    """An answer waits for audio since then: its own time, or the end of the last audio sent."""
    ears_gone_since_ms: float | None
    last_media_at_ms: float
    call_ms: float
    max_call_ms: float


Verdict = Literal["fine", "no_answer", "no_audio", "no_ears", "no_media", "too_long"]


def judge(watch: Watch, now_ms: float) -> Verdict:
    """The worst thing that is true now."""
    if now_ms - watch.last_media_at_ms > NO_MEDIA_MS:
        return "no_media"
    if watch.call_ms > watch.max_call_ms:
        return "too_long"
    if watch.ears_gone_since_ms is not None and now_ms - watch.ears_gone_since_ms > EARS_GONE_MS:
        return "no_ears"
    if watch.thinking_since_ms is not None and now_ms - watch.thinking_since_ms > ANSWER_WITHIN_MS:
        return "no_answer"
    if watch.speaking_since_ms is not None and now_ms - watch.speaking_since_ms > AUDIO_WITHIN_MS:
        return "no_audio"
    return "fine"
