"""One card's counters, wallet by wallet: what must follow from what (PROTOCOL.md §7.4, §7.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from backend.audit.facts import Fact
from backend.audit.findings import What, say
from backend.audit.model import Card, Held, Place, Said, World
from wire.objects import DecisionKind
from wire.receipt import Counters, Receipt, ReceiptKind, Statement, StatementKind

Item = Receipt | Statement


@dataclass(frozen=True, slots=True)
class Event:
    """A receipt or LOAD statement of one wallet, in the card's own order."""

    item: Item
    place: Place

    @property
    def order(self) -> tuple[int, int, int]:
        """Receipts before loads at their sequence, loads by entitlement sequence."""
        is_load = isinstance(self.item, Statement)
        return self.item.sequence, int(is_load), self.item.entitlement_sequence


def events(card: Card, wallet: int) -> list[Event]:
    """Everything that shows this wallet's counters."""
    found = [Event(h.receipt, h.place) for h in card.of_wallet(wallet)]
    found += [
        Event(s.statement, s.place)
        for s in card.statements
        if s.statement.kind == StatementKind.LOAD and s.statement.wallet == wallet
    ]
    return sorted(found, key=lambda e: e.order)


def is_contiguous(card: Card, after: int, item: Item) -> bool:
    """Whether nothing is missing and nothing doubled between a sequence and this item."""
    end = item.sequence - isinstance(item, Receipt)
    if any(after <= n <= item.sequence for n in card.doubles):
        return False
    return all(n in card.receipts for n in range(after + 1, end + 1))


def wrong_steps(card: Card, wallet: int) -> Iterator[tuple[Event, What]]:
    """Events whose counters do not follow from the ones before, and why."""
    at, sequence, state = 0, 0, Counters(0, 0, 0, 0)
    last: Item | None = None
    shared = sequence, state  # what both chips of a cloned card have behind them
    for event in events(card, wallet):
        item, shown = event.item, event.item.counters
        named = item.entitlement_sequence
        if is_other := last is not None and not card.is_one_body(last, item):
            sequence, state = shared
        issued = card.entitlement(wallet, named)
        is_judged = (
            issued is not None and named >= sequence and (wallet, named) not in (card.unlogged)
        )
        if is_other or not is_contiguous(card, at, item):
            before = (state.loaded, state.debited, state.forfeited, state.reversed)
            after = (shown.loaded, shown.debited, shown.forfeited, shown.reversed)
            if any(b > a for b, a in zip(before, after, strict=True)):
                yield event, say(Fact.COUNTER_FELL)
        elif is_judged and issued is not None:
            base = state if named == sequence else issued.entitlement.apply(state)
            wanted = _moved(base, item)
            if shown != wanted:
                yield event, say(Fact.COUNTERS_WRONG, shown=_text(shown), wanted=_text(wanted))
        at, sequence, state, last = item.sequence, max(sequence, named), shown, item
        if item.sequence + isinstance(item, Statement) < card.fork:
            shared = sequence, shown


def _moved(c: Counters, item: Item) -> Counters:
    if not isinstance(item, Receipt):
        return c
    if item.kind == ReceiptKind.DEBIT:
        return replace(c, debited=c.debited + item.amount)
    return replace(c, reversed=c.reversed + item.amount)


def _text(c: Counters) -> str:
    return f"L {c.loaded} D {c.debited} F {c.forfeited} R {c.reversed}"


# --- gaps ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gap:
    """One missing receipt: since when something shows it."""

    card: Card
    sequence: int
    since_s: int


def gaps(world: World, card: Card) -> Iterator[Gap]:
    """Missing receipts that nothing accounts for.

    Not those a decision closed, an item set aside claims to be, or which a step of R shows to be
    the reversal of the one before (PROTOCOL.md §7.4).
    """
    closed = [d for _, d in world.decisions_on(card.card_id, DecisionKind.CLOSE_GAP)]
    for n in card.missing():
        is_closed = any(d.first <= n <= d.last for d in closed)
        if is_closed or n in card.excused or _is_reversal(card, n):
            continue
        shown: list[Held | Said] = [h for m, h in card.receipts.items() if m > n]
        shown += [s for s in card.statements if s.statement.sequence >= n]
        yield Gap(card, n, min(x.place.record.time_s for x in shown))


def _is_reversal(card: Card, n: int) -> bool:
    before = card.receipts.get(n - 1)
    is_single = before is not None and n + 1 not in card.missing()
    if before is None or not is_single or before.receipt.kind != ReceiptKind.DEBIT:
        return False
    r = before.receipt
    for event in events(card, r.wallet):
        item = event.item
        if item.sequence < n or (item.sequence == n and isinstance(item, Receipt)):
            continue
        own = sum(
            h.receipt.amount
            for h in card.of_wallet(r.wallet)
            if n < h.receipt.sequence <= item.sequence and h.receipt.kind == ReceiptKind.REVERSAL
        )
        return item.counters.reversed - r.counters.reversed - own == r.amount
    return False
