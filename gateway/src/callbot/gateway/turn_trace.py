"""A turn that is over, as the root of its trace and the stages that the gateway itself has seen."""

import time
from typing import TYPE_CHECKING

from callbot.runtime import tracing

if TYPE_CHECKING:
    from callbot.gateway.turns import Turn


def trace_turn(turn: "Turn") -> None:
    """From the caller's first sound, or where there was none from its opening, until now."""
    if not tracing.is_on():
        return
    since_ns = tracing.ns_of
    ended_ns, answer = time.time_ns(), turn.answer
    began_ms = turn.opened_at_ms if turn.spoken_from_ms is None else turn.spoken_from_ms
    root = tracing.record_root(
        "turn",
        since_ns(began_ms),
        ended_ns,
        turn.turn_id,
        input=turn.input,
        source=turn.source,
        action=turn.action.value,
        webhook_status=answer.webhook_status.value if answer else None,
        speculation=answer.speculation if answer else None,
        prepared=turn.prepared,
        interrupted=turn.interrupted,
        pauses=turn.pauses,
        fillers=turn.fillers,
        errors=len(turn.errors),
        pii_user_text=turn.user_text,
        pii_say=turn.say,
    )
    if root is None or turn.first_audio_at_ms is None:
        return
    audible_ns = since_ns(turn.first_audio_at_ms)
    ready_ms = turn.answered_at_ms if turn.arrived_at_ms is None else turn.arrived_at_ms
    tracing.record("voice_to_voice", since_ns(turn.speech_ended_at_ms), audible_ns, below=root)
    if ready_ms is not None:
        tracing.record("first_audible", min(since_ns(ready_ms), audible_ns), audible_ns, below=root)
    tracing.record("bot_speech", audible_ns, ended_ns, below=root)


def trace_call(call_id: str, began_at_s: float, reason: str) -> None:
    """The whole call, earlier streams included, until now; every turn's trace has a link to it."""
    if tracing.is_on():
        tracing.record_root("call", int(began_at_s * 1e9), time.time_ns(), call_id, reason=reason)
