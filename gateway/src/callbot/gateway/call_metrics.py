"""What a gateway counts of its calls. The facts of a call's record are counted where they are told."""

import re
from typing import Final, get_args

from callbot.runtime.metrics import METRICS
from callbot.runtime.tracing import trace_id_of
from callbot.schemas.calls import CallFact, CallStarted, EndReason, StageFallback, TurnDone
from callbot.schemas.dialog import WebhookStatus
from callbot.schemas.turn_record import StageTimes, TurnRecord

SHORT_S: Final = (0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 2.5)
VOICE_TO_VOICE_S: Final = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.3, 1.5, 1.75, 2.1, 2.5, 3.1, 5.1)
"""1.5 is the objective, 2.5 the longest silence."""

BEGAN: Final = METRICS.counter("callbot_calls_began_total", "Media streams that became a call.").of()
ENDED: Final = METRICS.counter(
    "callbot_calls_ended_total",
    "Media streams of calls that ended; after line_lost the call may go on in another one.",
    "reason",
).known(*((reason,) for reason in get_args(EndReason)))
ROOM: Final = METRICS.gauge("callbot_calls_room", "Live calls that this gateway may have.").of()
REFUSED: Final = METRICS.counter(
    "callbot_calls_refused_total", "Calls and streams that were not taken.", "reason"
).known(["full"], ["not_routed"], ["stream_try_again_later"])
TURNS: Final = METRICS.counter(
    "callbot_turns_total",
    "Turns that are over, by what began them and who gave the answer; unheard: no sound of it was sent.",
    "input",
    "answer",
).known(["speech", "webhook"], ["speech", "suggestion"], ["speech", "apology"], ["dtmf", "apology"])
VOICE_TO_VOICE: Final = METRICS.histogram(
    "callbot_voice_to_voice_seconds",
    "From the last speech (or key) of the caller to the first sound of the answer, at the gateway.",
    "input",
    bounds=VOICE_TO_VOICE_S,
).known(["speech"])
STAGE: Final = METRICS.histogram(
    "callbot_stage_seconds", "Where the time of a turn went; see docs/metrics.md for each stage.", "stage"
)
STAGES: Final = {
    "endpointing": "endpointing_ms",
    "stt": "stt_ms",
    "llm_first_token": "llm_first_token_ms",
    "webhook": "webhook_ms",
    "answer": "answer_ms",
    "tts_first_audio": "tts_first_audio_ms",
}
BARGE_INS: Final = METRICS.counter("callbot_barge_ins_total", "Answers that the caller has cut off.").of()
PAUSES: Final = METRICS.counter(
    "callbot_pauses_total", "How often a noise or a backchannel has held an answer up."
).of()
FALLBACKS: Final = METRICS.counter(
    "callbot_fallbacks_total", "What was done in the place of a stage that failed.", "stage", "reason"
)
SILENCES: Final = METRICS.counter(
    "callbot_silences_total",
    "Waits of a caller of more than 2.5 s without a sound, since their last word or the bot's last sound.",
    "since",
).known(["last_word"], ["last_sound"])
SEATS_LOST: Final = METRICS.counter(
    "callbot_seats_lost_total", "Seats taken from their holder in the middle of a call.", "role", "reason"
)
FRAMES: Final = METRICS.tally("callbot_caller_frames_total", "Frames of 20 ms of callers.")
FRAMES_AGAIN: Final = METRICS.counter(
    "callbot_caller_frames_again_total", "Frames of callers that the ears have asked for again."
).of()
TORN: Final = METRICS.histogram(
    "callbot_torn_audio_seconds",
    "Gaps in the middle of a sentence, because its audio came, or was sent, too late.",
    bounds=SHORT_S,
).of()
TICK_LATE: Final = METRICS.histogram(
    "callbot_tick_late_seconds",
    "How late the clock of the calls was, by which the audio of bots is sent.",
    bounds=SHORT_S,
).of()
LINE_FULL: Final = METRICS.counter(
    "callbot_line_messages_lost_total", "Messages to Twilio that its socket did not take in time."
).of()
EVENTS_WAITING: Final = METRICS.gauge(
    "callbot_events_waiting", "Events of calls that wait to be stored in the stream."
).of()
EVENTS_LOST: Final = METRICS.counter(
    "callbot_events_lost_total", "Events of calls that were thrown away."
).of()

OF_CALLERS: Final = frozenset({"speech", "dtmf"})
REASONS: Final = frozenset(
    {
        *(
            "no answer in time",
            "no audio in time",
            "no audio",
            "no sound",
            "nothing to say",
            "not understood",
        ),
        *("never understood", "nobody hears", "nobody thinks", "nobody speaks", "the caller is silent"),
        *("longest time reached", "provider_fell_back", "voice_fallback", "transfer", "poison"),
        *("nobody took the seat", "all_failed", "broken_off", "busy", "crashed", "malformed", "no_audio"),
        *("no_provider", "out_of_quota", "refused", "stalled", "timeout", "too_slow", "unavailable"),
        *(status.value for status in WebhookStatus),
    }
)
"""What comes before the details. Everything else is `other`: a provider may have words of its own."""
_DETAILS: Final = re.compile(r":.*|(?<=^poison) .*|(?<=^nobody took the seat) .*", re.DOTALL)


def count(fact: CallFact, call_id: str) -> None:
    """A fact that is told for the record of this call."""
    match fact:
        case CallStarted():
            BEGAN.inc()
        case TurnDone(turn=turn):
            _count_turn(turn, f"{call_id}.{turn.number}")
        case StageFallback(stage=stage, reason=reason):
            FALLBACKS.of(stage, reason_class(reason)).inc()
        case _:
            return


def reason_class(reason: str) -> str:
    """Of a bounded set, whatever a fallback says: `provider_fell_back`, `no_sound`, `other`."""
    known = _DETAILS.sub("", reason)
    return known.replace(" ", "_") if known in REASONS else "other"


def is_answer_to_caller(turn: TurnRecord) -> bool:
    """Sentences that the bot says of its own accord are turns too, but nobody has waited for them."""
    return turn.input == "dtmf" or turn.times.endpointing_ms is not None


def _count_turn(turn: TurnRecord, turn_id: str) -> None:
    times = turn.times
    heard = times.voice_to_voice_ms is not None
    TURNS.of(turn.input, turn.source if heard else "unheard").inc()
    BARGE_INS.inc(int(turn.interrupted))
    PAUSES.inc(turn.pauses)
    _count_stages(times)
    if times.voice_to_voice_ms is not None and is_answer_to_caller(turn):
        trace_id = trace_id_of(turn_id)
        exemplar = {"trace_id": trace_id, "turn_id": turn_id} if trace_id else None
        VOICE_TO_VOICE.of(turn.input).observe(times.voice_to_voice_ms / 1000, exemplar)


def _count_stages(times: StageTimes) -> None:
    for stage, field in STAGES.items():
        if (took_ms := getattr(times, field)) is not None:
            STAGE.of(stage).observe(took_ms / 1000)
