"""What the ears have done for a turn, as stages of its trace."""

import time
from typing import TYPE_CHECKING

from callbot.runtime import tracing
from callbot.stt_worker.end_of_turn import LEAD_MS

if TYPE_CHECKING:
    from callbot.stt_worker.turn_reports import Decoded, Turn


def trace_hearing(turn: "Turn", decoded: "Decoded", root: tracing.Place | None) -> None:
    """`root`: of the turn that the gateway has opened for it; None where it was none, or is not traced.

    The stream's positions become times by the moment at which the end was judged; in a replay, which is
    faster than the caller was, they come out later than they were.
    """
    if root is None:
        return
    ended = turn.ended

    def ns_of(position_ms: int) -> int:
        return turn.at_ns - (ended.ended_at_ms - position_ms) * 1_000_000

    silent_ns = ns_of(ended.speech_ended_at_ms)
    voiced_ns = min(ns_of(ended.from_ms + LEAD_MS), silent_ns)
    tracing.record("caller_speech", voiced_ns, silent_ns, below=root, voiced_ms=ended.voiced_ms)
    reported_ns = max(turn.at_ns, min(decoded.at_ns, time.time_ns()))
    waiting = tracing.record("end_of_turn", silent_ns, reported_ns, below=root, waited_for=turn.waited_for)
    began_ns = max(silent_ns, decoded.at_ns - int(decoded.stt_ms * 1e6))
    tracing.record(
        "stt",
        began_ns,
        decoded.at_ns,
        below=waiting,
        failed=bool(decoded.error),
        doubted=decoded.doubted,
        pii_text=decoded.text,
    )
