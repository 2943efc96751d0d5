"""The whole conversation on one screen: every subject, who speaks on it and who listens.

The only place where a subject exists. The bus refuses a service that is not on the arrow; the AsyncAPI
documents, the README's diagram and the NATS permissions are generated from this table and from `memory.py`.
"""

import re
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from callbot.schemas.audio import BotAudio, CallerAudio
from callbot.schemas.bots import (
    Bot,
    BotPage,
    BotRef,
    CreateBot,
    ListBots,
    TestWebhook,
    TryWebhook,
    UpdateBot,
    WebhookTested,
)
from callbot.schemas.calls import (
    AdmitStream,
    CallBrief,
    CallChecked,
    CallDetail,
    CallEvent,
    CallPage,
    CallRef,
    CallRoute,
    CheckCall,
    ListCalls,
    ReenterCall,
    RouteCall,
)
from callbot.schemas.dialog import (
    PrepareSentence,
    SaySentence,
    SentenceFailed,
    TurnAnswered,
    TurnCancelled,
    TurnForeseen,
    TurnOpened,
    TurnWithdrawn,
)
from callbot.schemas.message import Receipt, Wire
from callbot.schemas.numbers import Connected, ConnectTwilio, DisconnectNumber, GetNumber, MyNumber
from callbot.schemas.providers import ProviderFellBack
from callbot.schemas.recording import CallRecordingPart, RecordingPart, RecordingPiece
from callbot.schemas.seats import CallOver, SeatAccept, SeatMoved, SeatOffer, SeatRenew, WorkerBeat
from callbot.schemas.speech import (
    EarsProgress,
    InterimTranscript,
    SpeechConfirmed,
    SpeechJudged,
    TurnEager,
    TurnEnded,
    TurnResumed,
)
from callbot.schemas.turn_taking import SpeakPhrases
from callbot.schemas.usage import SeatUsage
from callbot.schemas.users import (
    AccessToken,
    ApiKeyList,
    ApiKeyRef,
    CreateApiKey,
    Done,
    GetMe,
    IssueToken,
    ListApiKeys,
    Me,
    NewApiKey,
    SignedUp,
    SignUp,
    UpdateMe,
)
from callbot.schemas.voices import ListVoices, VoiceList

M = TypeVar("M", bound=Wire)
A = TypeVar("A", bound=Wire)

SERVICES: Final = ("gateway", "call-router", "stt-worker", "dialog-worker", "tts-worker")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_SAFE_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Subject(Generic[M]):
    """One row: what is said here (`message`), by whom, to whom."""

    name: str
    template: str
    message: type[M]
    speakers: frozenset[str]
    listeners: frozenset[str]

    @property
    def wildcard(self) -> str:
        return _PLACEHOLDER.sub("*", self.template)

    def of(self, **ids: str) -> str:
        """The concrete subject. Raises ValueError for an id that may not become part of a subject."""
        for name, value in ids.items():
            if not _SAFE_TOKEN.fullmatch(value):
                raise ValueError(f"{name}={value!r} cannot be part of a subject")
        return self.template.format(**ids)


@dataclass(frozen=True)
class Question(Subject[M], Generic[M, A]):
    """A subject whose message is answered by exactly one listener, or refused."""

    answer: type[A]


def _arrow(who: str) -> tuple[frozenset[str], frozenset[str]]:
    speakers, listeners = (frozenset(s.strip() for s in side.split(",")) for side in who.split("->"))
    unknown = (speakers | listeners) - set(SERVICES)
    if unknown:
        raise ValueError(f"no such service: {', '.join(sorted(unknown))}")
    return speakers, listeners


def _tell(name: str, template: str, message: type[M], who: str) -> Subject[M]:
    return Subject(name, template, message, *_arrow(who))


def _ask(name: str, template: str, message: type[M], answer: type[A], who: str) -> Question[M, A]:
    return Question(name, template, message, *_arrow(who), answer)


WORKERS: Final = "stt-worker, dialog-worker, tts-worker"

# fmt: off
# ruff: noqa: E501
# The seats                name               subject                             message         answer       who speaks -> who listens
EARS_OFFER      = _ask ("ears_offer",      "seats.ears.offer",                 SeatOffer,      SeatAccept, "gateway -> stt-worker")
MIND_OFFER      = _ask ("mind_offer",      "seats.mind.offer",                 SeatOffer,      SeatAccept, "gateway -> dialog-worker")
MOUTH_OFFER     = _ask ("mouth_offer",     "seats.mouth.offer",                SeatOffer,      SeatAccept, "gateway -> tts-worker")
SEAT_RENEW      = _ask ("seat_renew",      "call.{call_id}.seat.renew",        SeatRenew,      Receipt,    f"{WORKERS} -> gateway")
SEAT_MOVED      = _tell("seat_moved",      "call.{call_id}.seat.moved",        SeatMoved,                  f"gateway -> {WORKERS}")
CALL_OVER       = _tell("call_over",       "call.{call_id}.over",              CallOver,                   f"gateway -> {WORKERS}")
WORKER_BEAT     = _tell("worker_beat",     "workers.{worker_id}.beat",         WorkerBeat,                 f"{WORKERS} -> gateway")

# A live call
CALLER_AUDIO    = _tell("caller_audio",    "call.{call_id}.audio.in",          CallerAudio,                "gateway -> stt-worker")
EARS_PROGRESS   = _tell("ears_progress",   "call.{call_id}.ears.progress",     EarsProgress,               "stt-worker -> gateway")
TURN_ENDED      = _ask ("turn_ended",      "call.{call_id}.turn.ended",        TurnEnded,      Receipt,    "stt-worker -> gateway")
TURN_OPENED     = _ask ("turn_opened",     "call.{call_id}.turn.opened",       TurnOpened,     Receipt,    "gateway -> dialog-worker")
TURN_CANCELLED  = _tell("turn_cancelled",  "call.{call_id}.turn.cancelled",    TurnCancelled,              "gateway -> dialog-worker, tts-worker")
TURN_ANSWERED   = _ask ("turn_answered",   "call.{call_id}.turn.answered",     TurnAnswered,   Receipt,    "dialog-worker -> gateway")
SPEECH_CONFIRMED = _tell("speech_confirmed", "call.{call_id}.speech.confirmed", SpeechConfirmed,           "stt-worker -> gateway")
SPEECH_JUDGED   = _tell("speech_judged",   "call.{call_id}.speech.judged",     SpeechJudged,               "stt-worker -> gateway")
TRANSCRIPT_INTERIM = _tell("transcript_interim", "call.{call_id}.transcript.interim", InterimTranscript,   "stt-worker -> gateway")
TURN_EAGER      = _tell("turn_eager",      "call.{call_id}.turn.eager",        TurnEager,                  "stt-worker -> gateway")
TURN_RESUMED    = _tell("turn_resumed",    "call.{call_id}.turn.resumed",      TurnResumed,                "stt-worker -> gateway")
TURN_FORESEEN   = _tell("turn_foreseen",   "call.{call_id}.turn.foreseen",     TurnForeseen,               "gateway -> dialog-worker")
TURN_WITHDRAWN  = _tell("turn_withdrawn",  "call.{call_id}.turn.withdrawn",    TurnWithdrawn,              "gateway -> dialog-worker")
SENTENCE_PREPARE = _tell("sentence_prepare", "call.{call_id}.sentence.prepare", PrepareSentence,           "dialog-worker -> tts-worker")
SAY_SENTENCE    = _ask ("say_sentence",    "call.{call_id}.sentence.say",      SaySentence,    Receipt,    "gateway -> tts-worker")
SENTENCE_FAILED = _ask ("sentence_failed", "call.{call_id}.sentence.failed",   SentenceFailed, Receipt,    "tts-worker -> gateway")
PROVIDER_FELL_BACK = _ask("provider_fell_back", "call.{call_id}.provider.fell_back", ProviderFellBack, Receipt, f"{WORKERS} -> gateway")
SEAT_USAGE      = _ask ("seat_usage",      "call.{call_id}.usage",             SeatUsage,      Receipt,    f"{WORKERS} -> gateway")
BOT_AUDIO       = _tell("bot_audio",       "call.{call_id}.audio.out",         BotAudio,                   "tts-worker -> gateway")

# Around a call
CALL_ROUTE      = _ask ("call_route",      "calls.route",                      RouteCall,      CallRoute,  "gateway -> call-router")
CALL_ADMIT      = _ask ("call_admit",      "calls.admit",                      AdmitStream,    CallBrief,  "gateway -> call-router")
CALL_REENTER    = _ask ("call_reenter",    "calls.reenter",                    ReenterCall,    CallRoute,  "gateway -> call-router")
CALL_CHECK      = _ask ("call_check",      "calls.check",                      CheckCall,      CallChecked, "gateway -> call-router")
WEBHOOK_TRY     = _ask ("webhook_try",     "webhooks.try",                     TryWebhook,     WebhookTested, "call-router -> dialog-worker")

PHRASES_SPEAK   = _ask ("phrases_speak",   "phrases.speak",                    SpeakPhrases,   Receipt,    "call-router, gateway -> tts-worker")

# The API
USER_SIGN_UP    = _ask ("user_sign_up",    "users.sign_up",                    SignUp,         SignedUp,   "gateway -> call-router")
USER_TOKEN      = _ask ("user_token",      "users.token",                      IssueToken,     AccessToken, "gateway -> call-router")
USER_GET        = _ask ("user_get",        "users.get",                        GetMe,          Me,         "gateway -> call-router")
USER_UPDATE     = _ask ("user_update",     "users.update",                     UpdateMe,       Me,         "gateway -> call-router")
KEY_CREATE      = _ask ("key_create",      "keys.create",                      CreateApiKey,   NewApiKey,  "gateway -> call-router")
KEY_LIST        = _ask ("key_list",        "keys.list",                        ListApiKeys,    ApiKeyList, "gateway -> call-router")
KEY_DELETE      = _ask ("key_delete",      "keys.delete",                      ApiKeyRef,      Done,       "gateway -> call-router")
NUMBER_CONNECT  = _ask ("number_connect",  "numbers.connect",                  ConnectTwilio,  Connected,  "gateway -> call-router")
NUMBER_GET      = _ask ("number_get",      "numbers.get",                      GetNumber,      MyNumber,   "gateway -> call-router")
NUMBER_DISCONNECT = _ask("number_disconnect", "numbers.disconnect",            DisconnectNumber, Done,     "gateway -> call-router")
BOT_CREATE      = _ask ("bot_create",      "bots.create",                      CreateBot,      Bot,        "gateway -> call-router")
BOT_GET         = _ask ("bot_get",         "bots.get",                         BotRef,         Bot,        "gateway -> call-router")
BOT_LIST        = _ask ("bot_list",        "bots.list",                        ListBots,       BotPage,    "gateway -> call-router")
BOT_UPDATE      = _ask ("bot_update",      "bots.update",                      UpdateBot,      Bot,        "gateway -> call-router")
BOT_DELETE      = _ask ("bot_delete",      "bots.delete",                      BotRef,         Done,       "gateway -> call-router")
BOT_TEST        = _ask ("bot_test",        "bots.test_webhook",                TestWebhook,    WebhookTested, "gateway -> call-router")
VOICE_LIST      = _ask ("voice_list",      "voices.list",                      ListVoices,     VoiceList,  "gateway -> call-router")
CALL_GET        = _ask ("call_get",        "calls.get",                        CallRef,        CallDetail, "gateway -> call-router")
CALL_LIST       = _ask ("call_list",       "calls.list",                       ListCalls,      CallPage,   "gateway -> call-router")
CALL_DELETE     = _ask ("call_delete",     "calls.delete",                     CallRef,        Done,       "gateway -> call-router")
CALL_RECORDING  = _ask ("call_recording",  "calls.recording",                  CallRecordingPart, RecordingPart, "gateway -> call-router")

# Remembered
CALL_EVENT      = _tell("call_event",      "events.{call_id}",                 CallEvent,                  "gateway -> call-router, gateway")
RECORDING_PIECE = _tell("recording_piece", "recordings.{call_id}",             RecordingPiece,             "gateway -> call-router")
# fmt: on

SUBJECTS: Final[tuple[Subject[Wire], ...]] = tuple(
    v for v in list(globals().values()) if isinstance(v, Subject)
)


OFFERS: Final = {"ears": EARS_OFFER, "mind": MIND_OFFER, "mouth": MOUTH_OFFER}
