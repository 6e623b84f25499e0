"""Which debits are owed to their providers, judged from signed objects alone (§7.13).

payable = proven debits with DELIVERED in their terminal's own chain, not held, not in suspense,
not named by a proven reversal, plus decisions to pay; the reasons are those of docs/ledger.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.audit.model import Ask, Card, Held, World
from wire.errors import FormatError
from wire.objects import DecisionKind, Programme
from wire.receipt import ReceiptKind, StatementKind

FINAL = {"reversed", "returned", "clone", "written-off"}
"""Reasons that no decision to pay sets aside."""


@dataclass(frozen=True, slots=True)
class Owed:
    """One debit: to whom, how much, and why it is held (nothing when it is payable)."""

    held: Held
    programme: Programme
    minor: int
    why: frozenset[str]


def price_of(programme: Programme, version: int) -> int | None:
    """Rupiah of one unit of the wallet at this tariff; None without such a version."""
    try:
        return programme.tariff(version).price_minor
    except FormatError:
        return None


def judge(world: World) -> dict[bytes, Owed]:
    """Every proven debit of a known programme, by receipt hash."""
    programmes = world.programmes()
    judged: dict[bytes, Owed] = {}
    for card in world.cards.values():
        for held in card.receipts.values():
            r = held.receipt
            programme = programmes.get(r.wallet)
            price = price_of(programme, r.basket_version) if programme else None
            if r.kind != ReceiptKind.DEBIT or programme is None or price is None:
                continue
            why = frozenset(_reasons(world, card, held))
            judged[r.hash] = Owed(held, programme, r.amount * price, why)
    return judged


def _reasons(world: World, card: Card, held: Held) -> set[str]:
    r = held.receipt
    reasons: set[str] = set()
    ask = world.ask_of(r)
    station = world.stations.get(r.terminal_id)
    if station is None:
        reasons.add("unknown-terminal")
    elif station.is_closed_before(r.terminal_sequence):
        reasons.add("terminal-lost")
    elif ask is None:
        is_passed = station.last >= r.terminal_sequence
        reasons.add("no-intent" if is_passed else "awaiting-log")
    else:
        reasons |= _of_ask(world, held, ask)
    if world.lost(held):
        reasons.add("loss")
    if r.hash in world.disputes:
        reasons.add("disputed")
    if r.sequence in card.doubles:
        reasons.add("clone")
    decided = {
        d.kind
        for _, d in world.decisions_on(r.card_id, *DecisionKind)
        if d.wallet == r.wallet and d.first <= r.sequence <= d.last
    }
    if DecisionKind.PAY in decided:
        reasons &= FINAL
    if DecisionKind.RETURN in decided:
        reasons.add("returned")
    if DecisionKind.WRITE_OFF in decided:
        reasons.add("written-off")
    return reasons | _reversed(card, held)


def _of_ask(world: World, held: Held, ask: Ask) -> set[str]:
    reasons = set()
    own = ask.receipt
    if ask.handed is None or own is None or own.hash != held.receipt.hash:
        # DELIVERED is about the one receipt its own chain records for this intent.
        reasons.add("not-delivered")
    for void in ask.voids:
        is_open = void.receipt is None and not void.aborted
        lies_there = bool(void.aborted) and void.on_counter and not void.given_back
        if is_open or lies_there:
            reasons.add("suspense")
    if world.names_card(ask.hotlist, held.receipt.card_id):
        reasons.add("blocked")
    return reasons


def _reversed(card: Card, held: Held) -> set[str]:
    r = held.receipt
    after = card.receipts.get(r.sequence + 1)
    if after is not None:
        a = after.receipt
        is_it = (a.kind, a.wallet, a.amount) == (ReceiptKind.REVERSAL, r.wallet, r.amount)
        return {"reversed"} if is_it else set()
    # A single missing receipt in which R steps is the reversal of the one before it (§7.4).
    later = [h.receipt for h in card.of_wallet(r.wallet) if h.receipt.sequence > r.sequence]
    shown = [x.counters.reversed for x in later]
    shown += [
        s.statement.counters.reversed
        for s in card.statements
        if s.statement.kind == StatementKind.LOAD
        and s.statement.wallet == r.wallet
        and s.statement.sequence > r.sequence
    ]
    known = sum(x.amount for x in later if x.kind == ReceiptKind.REVERSAL)
    step = max([r.counters.reversed, *shown]) - r.counters.reversed - known
    return {"unseen-reversal"} if step >= r.amount else set()
