"""The redemption engine: commands in, typed outcomes and events out (PROTOCOL.md §4).

It never prints, asks or sleeps, and nothing here or below it knows a network. Link, clock,
randomness, journal and roster are given. A visit with a card begins with :meth:`Engine.begin`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from card_os.host.links import Link
from keys.signer import KeyAgreement
from terminal import recovery
from terminal.errors import StepError
from terminal.guard import StoppedError, guarded
from terminal.journal import IntentRow, Journal
from terminal.opening import begin_visit
from terminal.outcomes import (
    CardRefused,
    Delivered,
    Event,
    GoodsGivenBack,
    GoodsReturned,
    Outcome,
    Step,
    Stop,
)
from terminal.projection import State
from terminal.roster import Roster, Version
from terminal.visit import Visit
from wire import cvc, log
from wire.dates import day_of
from wire.log import Reason, Record, StockMove
from wire.objects import GoodsLine, StockDelivery
from wire.schema import Shape

SOFTWARE = "betang-terminal"


@dataclass(frozen=True, slots=True)
class Officer:
    """A person's key, unlocked for one operation at this terminal."""

    number: int
    key: KeyAgreement = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a session is opened with: one role's certificate and its key."""

    certificate: cvc.Certificate
    key: KeyAgreement = field(repr=False)

    @property
    def officer(self) -> int:
        """The officer the certificate names, 0 for none."""
        extension = self.certificate.extension
        return extension.officer if isinstance(extension, cvc.TerminalExtension) else 0


def _nobody(event: Event) -> None:
    """Events go nowhere."""


class Engine:
    """One terminal at work. Not for two threads at a time."""

    def __init__(
        self, journal: Journal, roster: Roster, *, channel_key: KeyAgreement,
        clock: Callable[[], int], random: Callable[[int], bytes],
        emit: Callable[[Event], None] = _nobody,
    ) -> None:  # fmt: skip
        self.journal, self.roster = journal, roster
        self.random, self.emit = random, emit
        self._channel_key, self._clock = channel_key, clock
        self._seen_s = 0
        self._clock_noted = False

    # --- time and records ----------------------------------------------------------------------

    def now_s(self) -> int:
        """Terminal time: never behind the last record or the newest signed object seen."""
        return max(self._clock(), self.proven_s())

    def proven_s(self) -> int:
        """The latest time that a record or a signed object proves."""
        return max(self.journal.head().time_s, self.roster.newest_s, self._seen_s)

    def saw(self, time_s: int) -> None:
        """A signed object names this time."""
        self._seen_s = max(self._seen_s, time_s)

    @property
    def is_clock_suspect(self) -> bool:
        """Whether the machine's clock runs behind what is proven."""
        return self._clock() < self.proven_s()

    def write(self, *bodies: Shape, certificate: bytes | None = None) -> list[Record]:
        """Append records in one commit; a clock that ran behind is noted first, once."""
        notes: list[Shape] = []
        if self.is_clock_suspect and not self._clock_noted:
            notes = [log.Clock(max(0, self._clock()), self.proven_s(), suspect=True)]
            self._clock_noted = True
        made = self.journal.append(self.now_s(), *notes, *bodies, certificate=certificate)
        return made[len(notes) :]

    def start(self) -> None:
        """After opening the journal: BOOT, and SYNC where a crash came between two stores."""
        self.write(log.Boot(SOFTWARE), *self._sync_due())
        recovery.resolve_from_roster(self)

    def _sync_due(self) -> list[Shape]:
        if self.roster.is_empty:
            return []
        v, synced = self.roster.version, self.journal.synced()
        if synced is not None and (synced.epoch, synced.counter) >= (v.epoch, v.counter):
            return []
        pending = tuple(x.sequence for x in self.journal.open_intents())
        return [log.Sync(v.epoch, v.counter, v.hash, v.hotlist_version, pending)]

    def install(self, file: bytes) -> Version:
        """Install one bundle file and record the SYNC, then use the receipts it brought.

        Raises :class:`terminal.errors.BundleRefusedError` (nothing changed) and
        :class:`terminal.errors.JournalError`; after the latter :meth:`start` records the SYNC.
        """
        synced = self.journal.synced()
        floor = (synced.epoch, synced.counter) if synced else (0, 0)
        version = self.roster.install(file, floor=floor)
        due = self._sync_due()
        if due:
            self.write(*due)
        recovery.resolve_from_roster(self)
        return version

    # --- who may work ---------------------------------------------------------------------------

    def credentials(self, role: cvc.Role, officer: Officer | None) -> Credentials:
        """Certificate and key of this role, valid today; :class:`StoppedError`."""
        key = self._channel_key if officer is None else officer.key
        number = 0 if officer is None else officer.number
        found = [
            c for c in self.roster.certificates()
            if isinstance(c.extension, cvc.TerminalExtension)
            and (c.extension.role, c.extension.officer) == (role, number)
            and c.public_key == key.public_key
        ]  # fmt: skip
        today = day_of(self.now_s())
        valid = [c for c in found if c.effective <= today <= c.expires]
        if not valid:
            ended = any(c.expires < today for c in found)
            raise StoppedError(Stop.CERTIFICATE_ENDED if ended else Stop.NO_CERTIFICATE)
        return Credentials(max(valid, key=lambda c: (c.expires, c.serial)), key)

    def check_usable(self) -> None:
        """Raise :class:`StoppedError` while the terminal may not serve any card."""
        if self.journal.stopped:
            raise StoppedError(Stop.RESTORED_IMAGE)
        if self.roster.is_empty:
            raise StoppedError(Stop.NO_DATA)

    # --- commands --------------------------------------------------------------------------------

    def begin(
        self, link: Link, role: cvc.Role = cvc.Role.TERMINAL, officer: Officer | None = None
    ) -> Visit | Outcome:
        """A visit with the card on ``link``, recovered, loaded and collected; or why not.

        ``officer`` is needed for the roles `supervisor` and `handover`. Close the visit.
        """
        return guarded(self, Step.OPENING, lambda: begin_visit(self, link, role, officer))

    def reject_dead(self, detail: str) -> Outcome:
        """Note a card that cannot be spoken to at all (the reader said so)."""

        def note() -> Outcome:
            self.write(log.Rejected(Reason.DEAD_CARD, None, detail[:400]))
            return CardRefused(Reason.DEAD_CARD, None, detail)

        return guarded(self, Step.OPENING, note)

    def delivered(self, intent: int, visit: Visit | None = None) -> Outcome:
        """DELIVERED durable, then CONFIRM if the card is still there and nothing speaks against.

        After a crash the caller has asked a person first: goods are never handed over twice.
        """

        def deliver() -> Outcome:
            row = self.journal.intent(intent)
            self._check_untouched(row)
            self.write(log.Delivered(intent))
            final = visit is not None and visit.confirm(row)
            return Delivered(intent, final)

        return guarded(self, Step.WRITING, deliver)

    def _check_untouched(self, row: IntentRow) -> None:
        for void in self.journal.voids_of(row.sequence):
            if void.state in {State.OPEN, State.RECEIPTED, State.RETURNED}:
                raise StepError("a void of this debit is open or proven: no goods move")

    def returned(self, void: int) -> Outcome:
        """RETURNED: after a proven void the goods from the counter are back in stock.

        ``void``: the void's sequence. An outcome, refused before its RECEIPT and when no goods of
        it lie on the counter.
        """

        def note() -> Outcome:
            row = self.journal.intent(void)
            if not row.on_counter or row.debit is None:
                raise StepError("no goods of that void lie on the counter")
            self.write(log.Returned(void))
            return GoodsReturned(void)

        return guarded(self, Step.WRITING, note)

    def given_back(self, void: int) -> Outcome:
        """GIVEN_BACK: the void did not happen, the family has its goods again.

        ``void``: the void's sequence. An outcome, refused before ABORTED has proven that it did
        not happen, and when no goods of it lie on the counter.
        """

        def note() -> Outcome:
            if not self.journal.intent(void).on_counter:
                raise StepError("no goods of that void lie on the counter")
            self.write(log.GivenBack(void))
            return GoodsGivenBack(void)

        return guarded(self, Step.WRITING, note)

    # --- shift and stock ------------------------------------------------------------------------

    def open_shift(self, officer: int) -> None:
        """SHIFT opened; :class:`StepError` when one is open already."""
        if self.journal.shift_officer() is not None:
            raise StepError("a shift is open already")
        self.write(log.Shift(opened=True, officer=officer))

    def close_shift(self) -> tuple[GoodsLine, ...]:
        """SHIFT closed with a CHECKPOINT; what should lie on the shelf. :class:`StepError`."""
        officer = self.journal.shift_officer()
        if officer is None:
            raise StepError("no shift is open")
        stock = self.journal.stock()
        checkpoint = log.Checkpoint(len(self.journal.open_intents()), stock)
        self.write(log.Shift(opened=False, officer=officer), checkpoint)
        return stock

    def receive(self, number: str) -> StockDelivery:
        """Take in a signed delivery whole; :class:`StepError` when unknown or taken already."""
        found = [(h, d) for h, d in self.roster.deliveries() if d.number == number]
        if not found:
            raise StepError("no signed delivery of that number came in a bundle")
        digest, delivery = found[0]
        if any(self.journal.received(digest, x.good) for x in delivery.lines):
            raise StepError("that delivery was taken in already")
        self.write(*[log.Stock(StockMove.RECEIVED, digest, x) for x in delivery.lines])
        return delivery

    def move_stock(self, move: StockMove, line: GoodsLine, delivery: bytes | None = None) -> None:
        """COUNTED, LOST or SENT_BACK, which and only which names the delivery it came with.

        ``delivery``: the object's hash, 32 bytes. :class:`StepError` for RECEIVED or a misfit.
        """
        if move == StockMove.RECEIVED:
            raise StepError("goods come in by their signed delivery")
        if (move == StockMove.SENT_BACK) != (delivery is not None):
            raise StepError("what is sent back names its delivery")
        self.write(log.Stock(move, delivery, line))
