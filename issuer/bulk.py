"""Cards one after the other: good and bad counted, a stop when it goes wrong (docs/desk.md).

:class:`Run` counts for whoever swaps the cards: :func:`run_bulk` and the desk's face.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from card_os.host.links import Link, LinkError
from issuer.outcomes import CardDone, Outcome, Refusal, Refused
from issuer.personalise import Desk
from issuer.tally import Done, Tally

MAX_CARDS = 100_000
STOP_AFTER = 3


class End(StrEnum):
    """Why a run ended."""

    ORDERS_DONE = "orders-done"
    NO_MORE_CARDS = "no-more-cards"
    COUNT_DONE = "count-done"
    FAILURES = "failures"
    ORDER_WRONG = "order-wrong"  # the next order names another family's decree row


_NOT_THE_CARD = {Refusal.NO_ORDER: End.ORDERS_DONE, Refusal.OTHER_ROW: End.ORDER_WRONG}


@dataclass(frozen=True, slots=True)
class BulkResult:
    """Cards issued, cards not issued, and why the run ended."""

    good: int
    bad: int
    end: End


@dataclass(slots=True)
class Run:
    """One officer's cards at the desk. ``failures``: how many came one after the other.

    ``tally`` remembers each card. Its methods raise what the desk's own storage raises.
    """

    desk: Desk
    officer: int
    tally: Tally | None = None
    stop_after: int = STOP_AFTER
    scrap: bool = False
    good: int = 0
    bad: int = 0
    failures: int = 0

    @property
    def has_work(self) -> bool:
        """Whether an order is open, or a card was begun and waits to be finished."""
        return self.desk.book.next() is not None or bool(self.desk.book.begun())

    @property
    def is_stopped(self) -> bool:
        """Whether so many failed in a row that something is wrong with more than one card."""
        return self.failures >= self.stop_after

    def one(self, link: Link) -> Outcome:
        """A card begun before goes on with its own order; a fresh one takes the next.

        The link stays with its owner.
        """
        return self._count(self.desk.personalise(link, self.officer, scrap=self.scrap))

    def unready(self, error: LinkError) -> Outcome:
        """No ATR, or pulled again before it was powered."""
        return self._count(self.desk.note_unready(error))

    def _count(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Refused) and outcome.reason in _NOT_THE_CARD:
            return outcome  # nothing was wanted of this card
        if self.tally is not None:
            order = getattr(outcome, "order", b"")
            card_id = getattr(outcome, "card_id", None)
            if card_id is None and order:
                card_id = self.desk.book.job(order).card_id
            done = Done(self.desk.tools.clock(), self.officer, order, card_id, outcome.key,
                        outcome.is_good)  # fmt: skip
            self.tally.add(done)
        self.good, self.bad = self.good + outcome.is_good, self.bad + (not outcome.is_good)
        self.failures = 0 if outcome.is_good else self.failures + 1
        self.desk.emit(CardDone(outcome, self.good, self.bad))
        return outcome


def run_bulk(
    desk: Desk, next_card: Callable[[], Link | None], officer: int, *, count: int = MAX_CARDS,
    stop_after: int = STOP_AFTER, scrap: bool = False, tally: Tally | None = None,
) -> BulkResult:  # fmt: skip
    """Issue up to ``count`` cards. ``next_card`` has the card swapped; None ends the run."""
    run = Run(desk, officer, tally, stop_after, scrap)

    def result(end: End) -> BulkResult:
        return BulkResult(run.good, run.bad, end)

    while run.good + run.bad < min(count, MAX_CARDS):
        if not run.has_work:
            return result(End.ORDERS_DONE)
        outcome = _one(run, next_card)
        if outcome is None:
            return result(End.NO_MORE_CARDS)
        if isinstance(outcome, Refused) and outcome.reason in _NOT_THE_CARD:
            return result(_NOT_THE_CARD[outcome.reason])
        if run.is_stopped:
            return result(End.FAILURES)
    return result(End.COUNT_DONE)


def _one(run: Run, next_card: Callable[[], Link | None]) -> Outcome | None:
    try:
        link = next_card()
    except LinkError as e:
        return run.unready(e)
    if link is None:
        return None
    try:
        return run.one(link)
    finally:
        link.close()
