"""Sounds of the caller while the bot speaks: when to fall silent, go on, or give way. Pure.

The bot is held up at the first confirmed speech; the ears' verdict decides what follows:

    speaking ── confirmed ──▶ paused ── noise, backchannel ──────────────────▶ goes on from the byte heard
                                     ── backchannel at the very end ─────────▶ an answer: the floor is given
                                     ── speech; 1.5 s while the sound lasts ─▶ cancelled: the caller's floor

Messages of the ears come at most once, so nothing here waits for one: how far they have settled the audio
(`EarsProgress.keep_from_seq`) says that an utterance is over although its verdict was lost, and ears that say
nothing at all are no reason to stay silent.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from callbot.schemas.speech import SpeechVerdict, TurnEnded

VERDICT_WITHIN_MS = 1500
SIGN_WITHIN_MS = 700
"""The ears tell their progress every 200 ms; three in a row missing: they are away."""
FORGOTTEN_MS = 2500
"""A sound that nobody has spoken of for so long is over."""
NEARLY_OVER_MS = 300
"""With less than this unheard, "yeah" is an answer to what was asked."""
SAME_SOUND_MS = 250
"""A turn whose speech ends later than this after what was judged holds more than was judged."""
REMEMBERED = 8

Doing = Literal["nothing", "thinking", "speaking", "protected"]
"""`protected`: says something that no sound stops. `speaking`: says, or is about to say, an answer."""


@dataclass(frozen=True)
class Bot:
    """What the bot is doing when something is heard."""

    doing: Doing
    closing: bool = False
    """It says the last sentence of the call: it is held up, never cancelled."""
    unheard_ms: float = 0.0


class Step(Enum):
    NOTHING = auto()
    PAUSE = auto()
    RESUME = auto()
    CANCEL = auto()
    """The turn is over; the caller has the floor until the end of their turn."""
    GIVE_FLOOR = auto()
    """The turn is over, as good as heard."""
    ASK_AGAIN = auto()
    """The caller had the floor and nothing came of it."""


@dataclass
class _Sound:
    """The newest utterance that is not settled."""

    from_seq: int
    since_ms: float
    sign_at_ms: float
    is_speech: bool = False
    has_floor: bool = False
    """A turn was cancelled for it."""
    overruled: bool = False
    """The bot goes on over it."""


class BargeIn:
    def __init__(self) -> None:
        self.paused = False
        self._sound: _Sound | None = None
        self._dismissed: dict[int, int | None] = {}
        """Utterances that are no turn, and where their sound ended (milliseconds of the stream)."""

    @property
    def sounds(self) -> bool:
        """The caller makes a sound, or has the floor."""
        return self._sound is not None

    def is_dismissed(self, from_seq: int) -> bool:
        return from_seq in self._dismissed

    def turn_over(self) -> None:
        """The bot's turn has ended, whatever the reason: nothing is left to go on with."""
        self.paused = False

    def slept(self, now_ms: float) -> None:
        """This process stood still: what it did not hear in that time proves nothing."""
        if self._sound is not None:
            self._sound.since_ms = self._sound.sign_at_ms = now_ms

    def confirmed(self, from_seq: int, bot: Bot, now_ms: float) -> Step:
        if self._sound is not None and from_seq < self._sound.from_seq:
            return Step.NOTHING
        has_floor = self._sound is not None and self._sound.has_floor
        self._sound = _Sound(from_seq, now_ms, now_ms, has_floor=has_floor)
        return self._hold(bot)

    def judged(
        self, from_seq: int, verdict: SpeechVerdict, sound_ended_at_ms: int | None, bot: Bot, now_ms: float
    ) -> Step:
        sound = self._sound
        if verdict is SpeechVerdict.SPEECH:
            self._dismissed.pop(from_seq, None)
            if sound is None or from_seq > sound.from_seq:
                # Its beginning was lost on the way.
                sound = self._sound = _Sound(from_seq, now_ms, now_ms)
            if from_seq == sound.from_seq:
                sound.is_speech, sound.sign_at_ms = True, now_ms
            return self._give_way(sound, bot)
        if bot.doing != "nothing" or self.paused:
            self._dismiss(from_seq, sound_ended_at_ms)
        if sound is not None and from_seq < sound.from_seq:
            return Step.NOTHING
        self._sound = None
        if sound is not None and sound.has_floor:
            return self._came_to_nothing(sound, verdict, sound_ended_at_ms)
        nearly_over = bot.unheard_ms < NEARLY_OVER_MS and not bot.closing
        if self.paused and verdict is SpeechVerdict.BACKCHANNEL and nearly_over:
            self._dismissed.pop(from_seq, None)
            self._sound = _Sound(from_seq, now_ms, now_ms, is_speech=True, has_floor=True)
            self.paused = False
            return Step.GIVE_FLOOR
        return self._go_on()

    def ended(self, turn: TurnEnded, bot: Bot) -> tuple[bool, Step]:
        """The end of the caller's turn always wins. Is it to be opened; and what else is to be done."""
        had_floor = self._sound is not None and self._sound.has_floor
        if self._sound is not None and self._sound.from_seq <= turn.to_seq:
            self._sound = None
        noise = not (turn.text or turn.error)
        busy = bot.doing != "nothing" or self.paused
        if bot.closing or self._was_dismissed(turn) or (noise and busy and not had_floor):
            # A noise in the middle of an answer is no reason to stop it.
            return False, self._go_on() if self._sound is None else Step.NOTHING
        if self._sound is not None:
            self._sound.has_floor = False
        self.paused = False
        return True, Step.NOTHING

    def progressed(self, keep_from_seq: int, now_ms: float) -> Step:
        """Audio before this frame is settled; what is not settled is still being heard."""
        if self._sound is None:
            return Step.NOTHING
        if keep_from_seq > self._sound.from_seq:
            return self._lost(self._sound)
        self._sound.sign_at_ms = now_ms
        return Step.NOTHING

    def sign_of(self, from_seq: int, now_ms: float) -> None:
        """The ears have spoken of this sound."""
        if self._sound is not None and from_seq == self._sound.from_seq:
            self._sound.sign_at_ms = now_ms

    def tick(self, bot: Bot, now_ms: float) -> Step:
        """A verdict that does not come; an answer that would begin in the middle of the caller's words."""
        sound = self._sound
        if sound is None:
            return self._go_on()
        unknown_ms = now_ms - sound.sign_at_ms
        if unknown_ms > FORGOTTEN_MS:
            return self._lost(sound)
        if self.paused and now_ms - sound.since_ms >= VERDICT_WITHIN_MS:
            if bot.closing or unknown_ms > SIGN_WITHIN_MS:
                sound.overruled = True
                return self._go_on()
            sound.is_speech = True
        return self._give_way(sound, bot) if sound.is_speech else self._hold(bot)

    def _hold(self, bot: Bot) -> Step:
        """A sound, and nobody knows yet what it is."""
        overruled = self._sound is not None and self._sound.overruled
        if bot.doing != "speaking" or self.paused or overruled:
            return Step.NOTHING
        self.paused = True
        return Step.PAUSE

    def _give_way(self, sound: _Sound, bot: Bot) -> Step:
        """Words: the turn that the bot is in is over, unless it is the last of the call or protected."""
        if bot.closing:
            return self._hold(bot)
        if bot.doing not in ("thinking", "speaking"):
            return Step.NOTHING
        sound.has_floor = True
        self.paused = False
        return Step.CANCEL

    def _go_on(self) -> Step:
        if not self.paused:
            return Step.NOTHING
        self.paused = False
        return Step.RESUME

    def _lost(self, sound: _Sound) -> Step:
        """The utterance is over and no verdict came: nobody shall wait for it."""
        self._sound = None
        return Step.ASK_AGAIN if sound.has_floor else self._go_on()

    def _came_to_nothing(self, sound: _Sound, verdict: SpeechVerdict, sound_ended_at_ms: int | None) -> Step:
        """A turn was cancelled for what was no speech after all."""
        if verdict is SpeechVerdict.BACKCHANNEL:
            # It is all that the caller has said: it will come as a turn.
            self._dismissed.pop(sound.from_seq, None)
            self._sound = sound
            return Step.NOTHING
        self._dismiss(sound.from_seq, sound_ended_at_ms)
        return Step.ASK_AGAIN

    def _dismiss(self, from_seq: int, sound_ended_at_ms: int | None) -> None:
        self._dismissed[from_seq] = sound_ended_at_ms
        while len(self._dismissed) > REMEMBERED:
            del self._dismissed[min(self._dismissed)]

    def _was_dismissed(self, turn: TurnEnded) -> bool:
        """Judged to be no turn, and nothing was said after what was judged."""
        if turn.from_seq not in self._dismissed:
            return False
        ended_at_ms = self._dismissed.pop(turn.from_seq)
        return ended_at_ms is None or turn.speech_ended_at_ms <= ended_at_ms + SAME_SOUND_MS
