"""The desk: which order a card serves, how far it came, and what became of it.

A job is resumable at any command: whatever was interrupted, the next insertion reads what the
card is and goes on, or says why this card must be scrapped (PROTOCOL.md §6). Every step is in
the desk log before the next begins. Nothing is printed here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from card_os.host import errors
from card_os.host.links import CardMute, Link, LinkError
from issuer import orders
from issuer.cardwork import CardWork, StopError, Tools
from issuer.desklog import DeskLog
from issuer.errors import ScrapRefusedError, SkipRefusedError
from issuer.evidence import EvidenceBook
from issuer.identify import Found, Kind, examine
from issuer.orders import Job, JobState, OrderBook
from issuer.outcomes import (
    Event,
    Faulty,
    Interrupted,
    Issued,
    KeyServiceRefused,
    Outcome,
    Progress,
    Refusal,
    Refused,
    Scrapped,
    Turned,
    TurnedAway,
    Unfinishable,
)
from keys.errors import ChannelError, KeysError, StockError
from wire import log
from wire.errors import WireError
from wire.log import Desk as DeskRecord
from wire.log import DeskStep, Reason
from wire.schema import Shape

MAX_DETAIL = 400  # of a log record's text
_TURNED = {
    Kind.FOREIGN: Turned.NOT_A_CHIP_OF_OURS,
    Kind.UNKNOWN_VERSION: Turned.UNKNOWN_VERSION,
    Kind.OTHER_WORLD: Turned.OTHER_WORLD,
}
_DONE_ANEW = {DeskStep.INSTALLED, DeskStep.KEYS_MADE}  # never found: always made again
_REJECTED = {
    Turned.MUTE: Reason.DEAD_CARD,
    Turned.SPECIMEN: Reason.SPECIMEN_CARD,
}


def _nothing(_: Event) -> None:
    """No one listens."""


@dataclass(slots=True)
class _JobJournal:
    """Logs each step of a job once, and tells who listens."""

    desk: Desk
    job: Job
    officer: int
    last: DeskStep | None = None

    def reach(self, step: DeskStep, card_id: bytes | None = None) -> None:
        """See :class:`issuer.cardwork.Journal`."""
        number, before = self.job.number, self.job.step
        found = before is not None and step <= before and step not in _DONE_ANEW
        if not found:
            self.desk.record(
                DeskRecord(step, self.officer, number, card_id, ""),
                also=lambda db: orders.reach(db, number, step, card_id),
            )
        self.last = step
        self.desk.emit(Progress(number, step, card_id, found))

    def note(self, body: Shape) -> None:
        """See :class:`issuer.cardwork.Journal`."""
        self.desk.record(body)


class Desk:
    """One desk of one environment; a live desk can make no specimen and the other way round.

    ``evidence`` may show that an order names another family's decree row: such a one is refused.
    ``emit`` hears of progress. Raises only :class:`issuer.errors.IssuerError` (its own storage);
    everything about a card is an outcome.
    """

    def __init__(
        self, desk_log: DeskLog, book: OrderBook, tools: Tools,
        emit: Callable[[Event], None] = _nothing, *, evidence: EvidenceBook | None = None,
    ) -> None:  # fmt: skip
        self.log, self.book, self.tools, self.emit = desk_log, book, tools, emit
        self._evidence = evidence

    def record(
        self, *bodies: Shape, also: Callable[[sqlite3.Connection], None] | None = None
    ) -> None:
        """Write to the desk log at the desk's time."""
        self.log.append(self.tools.clock(), *bodies, also=also)

    def personalise(
        self, link: Link, officer: int, number: bytes | None = None, *, scrap: bool = False
    ) -> Outcome:
        """Make the card on the link an order's card, or go on where it was interrupted.

        ``number``: the order; None: the card's own if it was begun, else the next. ``scrap``:
        scrap at once what proves unfinishable. The link stays with its owner.
        """
        try:
            found = examine(link, self.tools.trust.env)
        except (errors.MuteCardError, CardMute) as e:
            return self._turn_away(Turned.MUTE, str(e))
        except LinkError as e:
            return Interrupted(number or b"", None, str(e))
        except errors.ProtocolError as e:
            return self._turn_away(Turned.NOT_A_CHIP_OF_OURS, str(e))
        chosen = self._choose(found, number)
        if not isinstance(chosen, Job):
            return chosen
        refused = self.wrong_row(chosen)
        if refused is not None:
            return refused
        outcome = self._work(link, chosen, found.chip, officer)
        if scrap and isinstance(outcome, Unfinishable):
            return self.scrap(chosen.number, f"{outcome.reason}: {outcome.detail}", officer,
                              card_id=outcome.card_id)  # fmt: skip
        return outcome

    def note_unready(self, error: LinkError) -> Outcome:
        """A card that could not even be powered: turned away if mute, else it was not there."""
        if isinstance(error, CardMute):
            return self._turn_away(Turned.MUTE, str(error))
        return Interrupted(b"", None, str(error))

    # --- orders of another family's row ---------------------------------------------------------

    def wrong_row(self, job: Job) -> Refused | None:
        """The refusal of an order that names another family's decree row, else None."""
        if self._evidence is None or self._evidence.fits(job.order):
            return None
        return Refused(Refusal.OTHER_ROW, job.number, job.card_id)

    def can_skip(self, job: Job) -> bool:
        """Whether :meth:`skip` would: it is refused, and no card is bound to it."""
        is_open = job.state == JobState.OPEN and not job.is_bound
        return is_open and self.wrong_row(job) is not None

    def skip(self, number: bytes, officer: int) -> None:
        """Set a refused order aside, logged; raises :class:`SkipRefusedError` for any other."""
        job = self.book.job(number)
        refused = self.wrong_row(job)
        if refused is None or not self.can_skip(job):
            raise SkipRefusedError("only an order of another family's row is skipped")
        self.record(
            DeskRecord(DeskStep.FAILED, officer, number, None, f"{refused.key}: set aside"),
            also=lambda db: orders.set_aside(db, number),
        )

    # --- before the work -----------------------------------------------------------------------

    def _turn_away(self, reason: Turned, detail: str) -> Outcome:
        why = _REJECTED.get(reason, Reason.FOREIGN_CARD)
        self.record(log.Rejected(why, None, detail[:MAX_DETAIL]))
        return TurnedAway(reason, detail)

    def _choose(self, found: Found, number: bytes | None) -> Job | Outcome:
        """The job for this card: 1. is it one of our chips, 2. its own order, 3. the wanted one."""
        turned = _TURNED.get(found.kind)  # 1
        if turned is not None:
            if found.env is not None and found.env.is_specimen:
                turned = Turned.SPECIMEN
            return self._turn_away(turned, "" if found.env is None else found.env.name)
        reason = self.book.scrap_reason(found.chip)
        if reason is not None:
            return self._turn_away(Turned.SCRAPPED, reason)
        own = self.book.job_of_chip(found.chip)  # 2
        if own is not None and (number in {None, own.number} or own.is_bound):
            if number not in {None, own.number}:
                return Refused(Refusal.CARD_OF_OTHER_ORDER, own.number, own.card_id)
            if own.state == JobState.ISSUED:
                return Refused(Refusal.CARD_ISSUED, own.number, own.card_id)
            return own
        job = self.book.next() if number is None else self.book.job(number)  # 3
        if job is None:
            return Refused(Refusal.NO_ORDER, b"")
        if job.state == JobState.ISSUED:
            return Refused(Refusal.ORDER_ISSUED, job.number, job.card_id)
        if job.chip not in {b"", found.chip} and job.is_bound:
            return Refused(Refusal.ORDER_HAS_CARD, job.number, job.card_id)
        if self.tools.clock() > job.order.valid_until_s:
            return Refused(Refusal.ORDER_ENDED, job.number)
        return job

    # --- the work ------------------------------------------------------------------------------

    def _work(self, link: Link, job: Job, chip: bytes, officer: int) -> Outcome:
        resumed = job.step is not None and job.chip == chip
        name = f"chip {chip.hex() or '?'}" + (", resumed" if resumed else "")
        started = DeskRecord(DeskStep.STARTED, officer, job.number, job.card_id, name)

        def begin(db: sqlite3.Connection) -> None:
            if not resumed:
                orders.begin(db, job.number, chip)
            orders.reach(db, job.number, DeskStep.STARTED, None)

        self.record(started, also=begin)
        journal = _JobJournal(self, self.book.job(job.number), officer)
        self.emit(Progress(job.number, DeskStep.STARTED, job.card_id, resumed))
        work = CardWork(link, self.tools, journal.job, officer, journal)
        outcome = self._outcome(work, journal, resumed=resumed)
        if not outcome.is_good:
            card_id = self.book.job(job.number).card_id
            detail = f"{outcome.key}: {getattr(outcome, 'detail', '')}"[:MAX_DETAIL]
            self.record(DeskRecord(DeskStep.FAILED, officer, job.number, card_id, detail))
        return outcome

    def _outcome(self, work: CardWork, journal: _JobJournal, *, resumed: bool) -> Outcome:
        number = journal.job.number
        try:
            card_id, wallets = work.run()
        except StopError as e:
            return e.outcome
        except (LinkError, errors.MuteCardError) as e:
            return Interrupted(number, journal.last, str(e))
        except (errors.CardError, ChannelError, WireError) as e:
            return Faulty(number, journal.last, str(e))
        except KeysError as e:
            return KeyServiceRefused(number, str(e.code), str(e))
        self.tools.mail.release(card_id)
        journal.reach(DeskStep.VERIFIED, card_id)
        return Issued(number, card_id, wallets, resumed)

    # --- scrapping -----------------------------------------------------------------------------

    def scrap(
        self, number: bytes, reason: str, officer: int, *, card_id: bytes | None = None
    ) -> Outcome:
        """The order's card never becomes one: certificate void at the key service, order open.

        ``card_id``: when the desk did not hear of the certificate. The intention is durable first,
        so that a scrap interrupted after the service took it is completed by the next one. Raises
        :class:`ScrapRefusedError`; :class:`KeysError` leaves everything as it was.
        """
        job = self.book.job(number)
        if not reason.strip():
            raise ScrapRefusedError("scrapping needs a reason")
        if job.state == JobState.ISSUED:
            raise ScrapRefusedError("the card was issued; block and replace it instead")
        if job.step is None and card_id is None:
            raise ScrapRefusedError("no card was begun for this order")
        card_id = job.card_id or card_id
        if card_id is not None:
            self._void(job, card_id, reason)
            self.tools.mail.discard(card_id)
        detail = f"chip {job.chip.hex() or '?'}: {reason}"[:MAX_DETAIL]
        self.record(
            DeskRecord(DeskStep.SCRAPPED, officer, number, card_id, detail),
            also=lambda db: orders.scrap(db, job, reason),
        )
        return Scrapped(number, card_id, reason)

    def _void(self, job: Job, card_id: bytes, reason: str) -> None:
        was_told = job.scrapping is not None
        self.record(also=lambda db: orders.mark_scrapping(db, job.number, reason))
        try:
            self.tools.keys.scrap_card(card_id, reason)
        except StockError:
            if not was_told:
                raise
