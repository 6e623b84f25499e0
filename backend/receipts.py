"""Receipts and statements: each (card, sequence) settled once, counters only ever grow (§4, §7)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sqlmodel import Session, func, select

from backend import ledger, reserves
from backend.book import Book
from backend.findings import Fault
from backend.held import CardHeld, Past
from backend.models import (
    Card,
    DecisionRow,
    Hold,
    ReceiptRow,
    StatementRow,
    WalletState,
    fresh,
)
from wire.objects import DecisionKind
from wire.receipt import Counters, Receipt, ReceiptKind, Statement, StatementKind

DAY_FORMAT = "%Y%m%d"


def find(session: Session, card_id: bytes, sequence: int) -> ReceiptRow | None:
    """The receipt held at this place."""
    return session.exec(
        select(ReceiptRow).where(ReceiptRow.card_id == card_id, ReceiptRow.sequence == sequence)
    ).first()


def settle(book: Book, receipt: Receipt) -> ReceiptRow | None:
    """Enter a proven receipt, once.

    Equal body: it exists. Another body with the same sequence: a clone, a finding (invariant 3),
    and the one held is not paid automatically; None.
    """
    held = book.held.row(receipt.card_id, receipt.sequence)
    if held is not None and held.hash == receipt.hash:
        return held
    name = f"{receipt.card_id.hex()}/{receipt.sequence}"
    if held is not None:
        hold(book, held, "clone", receipt.hash)
        book.fault(Fault(3, f"{name}/{receipt.hash.hex()}", receipt.hash, "issuer",
                         f"two bodies with one card and sequence: {name}"))  # fmt: skip
        return None
    row = _row(book, receipt)
    book.held.add(row)
    _see_counters(book, receipt.card_id, receipt.wallet, receipt.counters, receipt.hash)
    _book_amount(book, row)
    _see_card(book, receipt)
    book.debits.add((row.card_id, row.sequence))
    if _tells_of_the_one_before(book, row):
        book.debits.add((row.card_id, row.sequence - 1))
    _check_rules(book, receipt, name)
    return row


def _tells_of_the_one_before(book: Book, row: ReceiptRow) -> bool:
    """It reverses the receipt before it, or was the gap that an unseen reversal hid in."""
    before = book.held.card(row.card_id).receipts.get(row.sequence - 1)
    is_doubted = before is not None and "unseen-reversal" in before.held
    return row.kind != ReceiptKind.DEBIT or is_doubted


def hold(book: Book, row: ReceiptRow, why: str, evidence: bytes) -> None:
    """Hold a receipt for a reason outside its own chain."""
    found = book.session.exec(
        select(Hold.id).where(Hold.receipt == row.hash, Hold.why == why)
    ).first()
    if found is None:
        book.session.add(Hold(receipt=row.hash, why=why, evidence=evidence))
        book.session.flush()
    book.debits.add((row.card_id, row.sequence))


def _row(book: Book, receipt: Receipt) -> ReceiptRow:
    c = receipt.counters
    return fresh(
        ReceiptRow, hash=receipt.hash, environment=int(book.env), card_id=receipt.card_id,
        sequence=receipt.sequence, kind=int(receipt.kind), wallet=receipt.wallet,
        amount=receipt.amount, basket_version=receipt.basket_version, loaded=c.loaded,
        debited=c.debited, forfeited=c.forfeited, reversed=c.reversed,
        terminal=receipt.terminal_id, terminal_sequence=receipt.terminal_sequence,
        terminal_time_s=receipt.terminal_time_s, intent_hash=receipt.intent_hash,
        raw=receipt.raw, arrived_s=book.now_s,
        lost=_lost(book.held.card(receipt.card_id), receipt), held="",
    )  # fmt: skip


def _lost(card: CardHeld, receipt: Receipt) -> int:
    """What of a receipt's amount is a recorded loss (docs/ledger.md).

    Of a debit what lies above what was entitled, unless its reversal came first; of a reversal
    what its debit lost.
    """
    if receipt.kind == ReceiptKind.REVERSAL:
        debit = card.receipts.get(receipt.sequence - 1)
        return 0 if debit is None or debit.kind != ReceiptKind.DEBIT else debit.lost
    after = card.receipts.get(receipt.sequence + 1)
    if after is not None and after.kind == ReceiptKind.REVERSAL:
        return 0
    above = receipt.counters.consumed - card.entitled(receipt.wallet)
    return min(receipt.amount, max(0, above))


def moved_away(session: Session, card_id: bytes, wallet: int) -> int:
    """What decisions moved from this wallet to other cards."""
    total = session.exec(
        select(func.sum(DecisionRow.amount)).where(
            DecisionRow.card_id == card_id, DecisionRow.wallet == wallet,
            DecisionRow.kind == int(DecisionKind.MOVE),
        )
    ).one()  # fmt: skip
    return int(total or 0)


def _book_amount(book: Book, row: ReceiptRow) -> None:
    programme = book.programme(row.wallet)
    if programme is None:
        return  # invariant 7 finds it: no entitlement can name this wallet
    code, is_debit, rest = programme.code, row.kind == ReceiptKind.DEBIT, row.amount - row.lost
    if rest:
        make = ledger.debit if is_debit else ledger.reversal
        book.add(make(row.hash, code, rest))
    if row.lost:
        book.add(ledger.loss(row.hash, code, row.lost if is_debit else -row.lost))
        reserves.settled(book, row)


def _see_counters(
    book: Book, card_id: bytes, wallet: int, c: Counters, evidence: bytes
) -> WalletState:
    """Raise the wallet's highest counters; a step of F is booked on what showed it."""
    card = book.held.card(card_id)
    state = card.wallets.get(wallet)
    if state is None:
        state = card.wallets[wallet] = WalletState(card_id=card_id, wallet=wallet)
    programme = book.programme(wallet)
    if programme is not None and c.forfeited > state.forfeited:
        book.add(ledger.forfeit(evidence, programme.code, c.forfeited - state.forfeited))
    if c.reversed > state.reversed:
        book.debits |= _last_before_a_gap(card, card_id, wallet)
    for name in ("loaded", "debited", "forfeited", "reversed"):
        if getattr(c, name) > getattr(state, name):
            setattr(state, name, getattr(c, name))
    book.session.add(state)
    return state


def _last_before_a_gap(card: CardHeld, card_id: bytes, wallet: int) -> set[tuple[bytes, int]]:
    """Debits of this wallet whose next receipt is missing: a step of R may be their reversal."""
    held = card.receipts
    return {(card_id, n) for n, r in held.items() if r.wallet == wallet and n + 1 not in held}


def _see_card(book: Book, item: Receipt | Statement) -> Card | None:
    card = book.card(item.card_id)
    if card is not None:
        card.card_date = max(card.card_date, int(item.card_date.strftime(DAY_FORMAT)))
        book.session.add(card)
        book.cards.add(card.card_id)
    return card


def _check_rules(book: Book, receipt: Receipt, name: str) -> None:
    """What one receipt shows by itself: invariants 6 (of L), 7 and 10."""
    named = receipt.wallet, receipt.entitlement_sequence
    loaded = book.held.card(receipt.card_id).issued.get(named)
    owner = receipt.terminal_id.hex()
    if loaded is None:
        book.fault(Fault(7, name, receipt.hash, owner,
                         "the receipt names an entitlement that was never issued"))  # fmt: skip
    elif receipt.counters.loaded != loaded:
        book.fault(Fault(6, name, receipt.hash, owner,
                         "L of the receipt is not that of the entitlement it names"))  # fmt: skip
    programme = book.programme(receipt.wallet)
    if programme is None or receipt.kind != ReceiptKind.DEBIT:
        return
    if receipt.amount > programme.cap:
        book.fault(Fault(10, f"{name}/cap", receipt.hash, owner, "above the cap"))
    t = receipt.terminal_time_s
    if programme.windows and not any(w.from_s <= t < w.to_s for w in programme.windows):
        book.fault(Fault(10, f"{name}/window", receipt.hash, owner, "outside every window"))
    if receipt.bypass_count > programme.bypass_total:
        book.fault(Fault(10, f"{name}/bypass", receipt.hash, owner, "more bypasses than allowed"))


# --- statements ------------------------------------------------------------


def state(book: Book, statement: Statement) -> None:
    """Enter a proven statement; the same again is harmless."""
    if book.session.get(StatementRow, statement.hash) is None:
        book.session.add(
            StatementRow(hash=statement.hash, card_id=statement.card_id,
                         kind=int(statement.kind), number=statement.number, raw=statement.raw)
        )  # fmt: skip
        book.session.flush()
        if statement.kind == StatementKind.LOAD:
            book.held.card(statement.card_id).loads.append(statement)
    card = _see_card(book, statement)
    if card is None:
        return
    match statement.kind:
        case StatementKind.LOAD:
            _see_counters(book, card.card_id, statement.wallet, statement.counters, statement.hash)
        case StatementKind.ACTIVATION:
            card.active = True
        case StatementKind.PIN_SET:
            card.pin_set_count = max(card.pin_set_count, statement.pin_set_count)
        case StatementKind.SCRIPT:
            card.script_count = max(card.script_count, statement.script_count)


# --- one card's row of receipts ------------------------------------------------------------


def check_card(book: Book, card_id: bytes) -> None:
    """1. acknowledge the contiguous prefix; 2. links; 3. steps of the counters."""
    held = book.held.card(card_id)
    card = held.card
    if card is None:
        return
    rows = [held.receipts[n] for n in sorted(held.receipts)]
    card.acknowledged = max(card.acknowledged, _prefix(held))  # 1
    book.session.add(card)
    links = {0: card.digest} | {r.sequence: r.hash for r in rows}
    for row in rows:
        before = links.get(row.sequence - 1)
        if before is not None and row.link != before:  # 2
            _chain_fault(book, 5, card_id, row, "does not link to the receipt before it")
    _check_steps(book, card_id, rows)  # 3


def _prefix(card: CardHeld) -> int:
    """The highest sequence up to which nothing is missing; gaps closed by decision count."""
    closed = [d for d in card.decisions if d.kind == int(DecisionKind.CLOSE_GAP)]
    at = 0
    while at + 1 in card.receipts or any(d.first <= at + 1 <= d.last for d in closed):
        at += 1
    return at


def _check_steps(book: Book, card_id: bytes, rows: Sequence[Past]) -> None:
    """D and R step exactly by the amount where nothing is missing between (invariant 6)."""
    per_wallet: dict[int, list[Past]] = {}
    for row in rows:
        per_wallet.setdefault(row.wallet, []).append(row)
    held = {r.sequence for r in rows}
    for of_wallet in per_wallet.values():
        first = of_wallet[0]
        if all(n in held for n in range(1, first.sequence)):
            _check_step(book, card_id, (0, 0), first)
        for before, after in pairwise(of_wallet):
            if all(n in held for n in range(before.sequence, after.sequence)):
                _check_step(book, card_id, (before.debited, before.reversed), after)


def _check_step(book: Book, card_id: bytes, before: tuple[int, int], row: Past) -> None:
    is_debit = row.kind == ReceiptKind.DEBIT
    wanted = (before[0] + row.amount * is_debit, before[1] + row.amount * (not is_debit))
    if (row.debited, row.reversed) != wanted:
        _chain_fault(book, 6, card_id, row, "D and R do not step by the amount")


def _chain_fault(book: Book, invariant: int, card_id: bytes, row: Past, why: str) -> None:
    name = f"{card_id.hex()}/{row.sequence}"
    book.fault(Fault(invariant, name, row.hash, "issuer", f"{name}: {why}"))
