"""The gateway's half of a seat: offer, accept, beat, lose, move. Pure: time comes in, effects go out.

One machine for ears, mind and mouth. `Seat` decides; `seating.py` does what it says.
"""

from dataclasses import dataclass, field

from callbot.schemas.seats import EPOCHS_PER_GENERATION, Role

ACCEPT_WITHIN_MS = 200
FALLBACK_AFTER_MS = 2000
LOST_AFTER_MS = 600
"""Four missed beats of 150 ms."""
CYCLE_EVERY_MS = 2000
"""At most one round of offers in this time for one seat, so that no storm begins."""
SLOW_OFFER_EVERY_MS = 1000
"""Once the stage has fallen back, this often somebody is asked again."""
POISON_AFTER_LOSSES = 2


@dataclass(frozen=True)
class Offer:
    """Ask the queue group; the answer comes back as `accepted` or `declined`."""

    epoch: int


@dataclass(frozen=True)
class Install:
    """There is a new holder: hand it what is not settled."""

    epoch: int
    worker_id: str


@dataclass(frozen=True)
class FallBack:
    """Nobody has taken the seat in time: the stage's fallback is due, once for each round of offers."""

    reason: str


@dataclass(frozen=True)
class Drop:
    """This item has cost two holders: it must not cost a third."""

    item: str


Effect = Offer | Install | FallBack | Drop


@dataclass
class Holder:
    worker_id: str
    epoch: int
    heard_at_ms: float
    leaving: bool = False


@dataclass
class Seat:
    """One seat of one call."""

    role: Role
    generation: int
    holder: Holder | None = None
    offered_epoch: int | None = None
    """The offer that is out."""
    item: str | None = None
    """What the holder is working on; a holder lost with it counts against it."""
    closed: bool = False
    _epochs_used: int = 0
    _newest_held: int = 0
    _cycle_began_at_ms: float | None = None
    _sought_at_ms: float = 0.0
    _seeking: bool = False
    _fell_back: bool = False
    _next_offer_at_ms: float = 0.0
    _losses: dict[str, int] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The epoch whose messages count now: the holder's, until a new one has accepted."""
        return self.holder.epoch if self.holder else 0

    @property
    def has_fallen_back(self) -> bool:
        """Nobody holds it, and nobody has taken it in time."""
        return self.holder is None and self._fell_back

    def is_current(self, epoch: int) -> bool:
        return self.holder is not None and self.holder.epoch == epoch and not self.closed

    def seek(self, now_ms: float) -> list[Effect]:
        """The seat needs a holder: at the start, after a loss, or because the holder is leaving."""
        if self.closed or self._seeking:
            return []
        earliest_ms = now_ms if self._cycle_began_at_ms is None else self._cycle_began_at_ms + CYCLE_EVERY_MS
        self._seeking = True
        self._fell_back = False
        self._next_offer_at_ms = max(now_ms, earliest_ms)
        self._cycle_began_at_ms = self._next_offer_at_ms
        self._sought_at_ms = now_ms
        return self._offer_if_due(now_ms)

    def accepted(self, epoch: int, worker_id: str, now_ms: float) -> list[Effect]:
        """A late accept counts while nobody has the seat, or workers that are all slow would never get one.

        Where somebody has it, or has had a newer one, it is nothing: a newer epoch relieves its worker.
        """
        late = epoch != self.offered_epoch
        if self.closed or (late and (self.holder is not None or epoch <= self._newest_held)):
            return []
        if not late:
            self.offered_epoch = None
        self._newest_held = epoch
        self._seeking = False
        self._fell_back = False
        self.holder = Holder(worker_id, epoch, now_ms)
        return [Install(epoch, worker_id)]

    def declined(self, epoch: int, now_ms: float) -> list[Effect]:
        """Nobody answered this offer, or nobody is there."""
        if self.closed or epoch != self.offered_epoch:
            return []
        self.offered_epoch = None
        pause_ms = SLOW_OFFER_EVERY_MS if self._fell_back else ACCEPT_WITHIN_MS
        self._next_offer_at_ms = max(self._next_offer_at_ms + pause_ms, now_ms)
        return self._fall_back_if_due(now_ms) + self._offer_if_due(now_ms)

    def heard_from(self, now_ms: float, *, leaving: bool = False) -> None:
        """A beat of the holder."""
        if self.holder is not None:
            self.holder.heard_at_ms = max(self.holder.heard_at_ms, now_ms)
            self.holder.leaving = leaving

    def unreachable(self, epoch: int, now_ms: float, *, blameless: bool = False) -> list[Effect]:
        """A hand-over found nobody there, or the work itself shows that the holder is stuck.

        `blameless`: a message was lost on the way; the item that was in work has cost nobody.
        """
        if self.closed or not self.is_current(epoch):
            return []
        return self._lose(now_ms, blameless=blameless)

    def at_boundary(self, now_ms: float) -> list[Effect]:
        """Between two turns nothing is in work: the time to move away from a holder that leaves."""
        if self.holder is not None and self.holder.leaving and not self.closed:
            return self.seek(now_ms)
        return []

    def tick(self, now_ms: float) -> list[Effect]:
        if self.closed:
            return []
        if self.holder is not None and now_ms - self.holder.heard_at_ms > LOST_AFTER_MS:
            return self._lose(now_ms)
        if not self._seeking:
            return []
        return self._fall_back_if_due(now_ms) + self._offer_if_due(now_ms)

    def link_restored(self, now_ms: float) -> None:
        """The gateway's own link was down: what it did not hear in that time proves nothing."""
        if self.holder is not None:
            self.holder.heard_at_ms = now_ms
        if self._seeking:
            self._sought_at_ms = now_ms
            self._next_offer_at_ms = now_ms
            self.offered_epoch = None

    def close(self) -> None:
        self.closed = True

    def _lose(self, now_ms: float, *, blameless: bool = False) -> list[Effect]:
        self.holder = None
        effects: list[Effect] = []
        if self.item is not None and not blameless:
            losses = self._losses[self.item] = self._losses.get(self.item, 0) + 1
            if losses >= POISON_AFTER_LOSSES:
                effects.append(Drop(self.item))
                self.item = None
        return effects + self.seek(now_ms)

    def _fall_back_if_due(self, now_ms: float) -> list[Effect]:
        waiting = self._seeking and self.holder is None and not self._fell_back
        if waiting and now_ms - self._sought_at_ms >= FALLBACK_AFTER_MS:
            self._fell_back = True
            return [FallBack(f"nobody took the seat of the {self.role} in {FALLBACK_AFTER_MS} ms")]
        return []

    def _offer_if_due(self, now_ms: float) -> list[Effect]:
        if not self._seeking or self.offered_epoch is not None or now_ms < self._next_offer_at_ms:
            return []
        self._epochs_used = min(self._epochs_used + 1, EPOCHS_PER_GENERATION - 1)
        self.offered_epoch = self.generation * EPOCHS_PER_GENERATION + self._epochs_used
        self._next_offer_at_ms = now_ms
        return [Offer(self.offered_epoch)]
