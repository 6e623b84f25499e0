"""A bulk run: card after card from the stack, good and bad counted, a stop when it goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from card_os.host.links import Link, LinkError
from issuer.outcomes import CardDone, Outcome, Refusal, Refused
from issuer.personalise import Desk

MAX_CARDS = 100_000
STOP_AFTER = 3


class End(StrEnum):
    """Why a run ended."""

    ORDERS_DONE = "orders-done"
    NO_MORE_CARDS = "no-more-cards"
    COUNT_DONE = "count-done"
    FAILURES = "failures"


@dataclass(frozen=True, slots=True)
class BulkResult:
    """Cards issued, cards not issued, and why the run ended."""

    good: int
    bad: int
    end: End


def run_bulk(
    desk: Desk, next_card: Callable[[], Link | None], officer: int, *, count: int = MAX_CARDS,
    stop_after: int = STOP_AFTER, scrap: bool = False,
) -> BulkResult:  # fmt: skip
    """Issue up to ``count`` cards. ``next_card`` has the card swapped; None ends the run.

    A card begun before goes on with its own order; a fresh one takes the next. After
    ``stop_after`` failures one after the other the run stops: something is wrong with more than
    one card. Raises what the desk's own storage raises.
    """
    good = bad = failures = 0
    while good + bad < min(count, MAX_CARDS):
        if desk.book.next() is None and not desk.book.begun():
            return BulkResult(good, bad, End.ORDERS_DONE)
        outcome = _one(desk, next_card, officer, scrap=scrap)
        if outcome is None:
            return BulkResult(good, bad, End.NO_MORE_CARDS)
        if isinstance(outcome, Refused) and outcome.reason == Refusal.NO_ORDER:
            return BulkResult(good, bad, End.ORDERS_DONE)
        good, bad = good + outcome.is_good, bad + (not outcome.is_good)
        failures = 0 if outcome.is_good else failures + 1
        desk.emit(CardDone(outcome, good, bad))
        if failures >= stop_after:
            return BulkResult(good, bad, End.FAILURES)
    return BulkResult(good, bad, End.COUNT_DONE)


def _one(
    desk: Desk, next_card: Callable[[], Link | None], officer: int, *, scrap: bool
) -> Outcome | None:
    try:
        link = next_card()
    except LinkError as e:  # no ATR, or pulled again before it was powered
        return desk.note_unready(e)
    if link is None:
        return None
    try:
        return desk.personalise(link, officer, scrap=scrap)
    finally:
        link.close()
