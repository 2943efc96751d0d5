"""The phone emulator: Twilio as seen from our side, and the caller at the other end.

async with Emulator("http://127.0.0.1:8080") as emulator, emulator.dial(bot_id="bot_1") as call:
    await call.hears("Hello")
    await call.says("a table for four")
    print((await call.reply()).voice_to_voice_ms)
"""

from callbot.studio.account import UNSIGNED, Account
from callbot.studio.emulator.call import APPLICATION_ERROR, Call, CallEnd, CallStep, EndReason
from callbot.studio.emulator.call_parameters import CallStatus, DialOutcome
from callbot.studio.emulator.caller import Caller, CallOver, Heard, NotHeard, Said
from callbot.studio.emulator.complaints import Code, Complaint, Complaints
from callbot.studio.emulator.cut import Cut
from callbot.studio.emulator.emulator import Emulator
from callbot.studio.emulator.number import Hook, Number
from callbot.studio.emulator.surroundings import Echo
from callbot.studio.emulator.voices import PiperVoice, ScriptedVoice, Voice, VoiceError, piper_voice
from callbot.studio.emulator.webhooks import Deadlines

__all__ = [
    "APPLICATION_ERROR",
    "UNSIGNED",
    "Account",
    "Call",
    "CallEnd",
    "CallOver",
    "CallStatus",
    "CallStep",
    "Caller",
    "Code",
    "Complaint",
    "Complaints",
    "Cut",
    "Deadlines",
    "DialOutcome",
    "Echo",
    "Emulator",
    "EndReason",
    "Heard",
    "Hook",
    "NotHeard",
    "Number",
    "PiperVoice",
    "Said",
    "ScriptedVoice",
    "Voice",
    "VoiceError",
    "piper_voice",
]
