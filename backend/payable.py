"""Whether a debit is owed to its provider, judged anew whenever something about it is learnt.

payable = proven debits with DELIVERED in their terminal's own chain, not held, not in suspense,
not named by a proven reversal, plus decisions to pay (PROTOCOL.md §7.13).
"""

from __future__ import annotations

from backend import ledger, objects
from backend.book import Book
from backend.findings import Fault
from backend.held import CardHeld, Judged
from backend.models import IntentRow, Payable, ReceiptRow
from wire.objects import DecisionKind
from wire.receipt import ReceiptKind

FINAL = {"reversed", "returned", "clone", "written-off"}
"""Reasons that no decision to pay sets aside."""
Reasons = dict[str, bytes]
"""Why a debit is not payable, each with the hash of what says so (or the receipt's own)."""


def judge_all(book: Book) -> None:
    """Judge every debit of this work that something was learnt about, in order."""
    book.session.flush()
    book.held.load_rows(book.debits)
    found = (book.held.row(card_id, sequence) for card_id, sequence in sorted(book.debits))
    rows = [row for row in found if row is not None]
    known = Judged.of(book.session, rows)
    for row in rows:
        _judge(book, known, row)


def _judge(book: Book, known: Judged, row: ReceiptRow) -> None:
    """Post what is now payable, or no longer; keep the reasons on the receipt."""
    if row.kind != ReceiptKind.DEBIT:
        _own_chain(book, row, {})  # for its findings; a reversal is owed to nobody
        return
    programme = book.programme(row.wallet)
    reasons = why_not(book, known, row)
    owed = known.owed.get(row.hash)
    is_owed = owed is not None and owed.undone_sequence is None
    tariff = objects.tariff_of(programme, row.basket_version) if programme else None
    if programme is None:
        reasons["no-programme"] = row.hash
    elif tariff is None and not is_owed:  # a card signs whatever version its terminal names
        reasons["no-tariff"] = row.hash
    why = ",".join(sorted(reasons))
    if why != row.held:
        row.held = why
    if programme is None or bool(reasons) != is_owed:
        return
    if reasons:
        _undo(book, owed, reasons.get("reversed") or next(iter(reasons.values())))
    elif tariff is not None:
        minor = row.amount * tariff.price_minor
        book.add(ledger.payable(row.hash, programme.code, programme.provider, minor))
        _owe(book, owed, Payable(receipt=row.hash, provider=programme.provider,
                                 programme=programme.code, amount_minor=minor,
                                 ledger_sequence=book.next_entry()))  # fmt: skip


def _owe(book: Book, held: Payable | None, new: Payable) -> None:
    if held is not None and held.undone_settlement is None:
        # Undone and owed again before the provider gave anything back: what was paid stands.
        held.undone_sequence = held.undone_evidence = None
        book.session.add(held)
        return
    if held is not None:
        book.session.delete(held)
        book.session.flush()
    book.session.add(new)


def _undo(book: Book, owed: Payable | None, evidence: bytes) -> None:
    if owed is None:
        return
    book.add(ledger.unpayable(evidence, owed.programme, owed.provider, owed.amount_minor))
    if owed.settlement is None:
        book.session.delete(owed)  # the pair cancels; no settlement ever covers it
        return
    owed.undone_sequence, owed.undone_evidence = book.next_entry(), evidence
    book.session.add(owed)


def why_not(book: Book, known: Judged, row: ReceiptRow) -> Reasons:
    """Every reason for which this debit is not payable now; none when it is."""
    reasons: Reasons = {}
    intent = _own_chain(book, row, reasons)
    if intent is not None:
        if intent.delivered is None or intent.receipt != row.hash:
            # DELIVERED is about the one receipt its own chain records for this intent.
            reasons["not-delivered"] = row.hash
        _suspense(known, intent, reasons)
        card = book.card(row.card_id)
        if card and card.blocked_version and intent.hotlist_version >= card.blocked_version:
            reasons["blocked"] = row.hash
            name, owner = f"{row.card_id.hex()}/{row.sequence}", row.terminal.hex()
            why = "debit after the hotlist naming the card"
            book.fault(Fault(12, name, row.hash, owner, why))
    if row.lost:
        reasons["loss"] = row.hash
    for held in known.holds.get(row.hash, ()):
        reasons[held.why] = held.evidence
    card_held = book.held.card(row.card_id)
    decided = _decisions(card_held, row)
    if DecisionKind.PAY in decided:
        reasons = {why: e for why, e in reasons.items() if why in FINAL}
    for kind, why in ((DecisionKind.RETURN, "returned"), (DecisionKind.WRITE_OFF, "written-off")):
        if kind in decided:
            reasons[why] = decided[kind]
    _reversed(card_held, row, reasons)
    return reasons


def _own_chain(book: Book, row: ReceiptRow, reasons: Reasons) -> IntentRow | None:
    """The intent in its terminal's own chain, if that chain proves it."""
    station = book.held.station(row.terminal)
    if station is None:
        reasons["unknown-terminal"] = row.hash
        book.fault(Fault(19, f"terminal/{row.terminal.hex()}", row.hash, "issuer",
                         "a receipt names a terminal that was never enrolled"))  # fmt: skip
        return None
    if station.lost is not None and row.terminal_sequence > station.lost_last:
        reasons["terminal-lost"] = station.lost
        return None
    intent = book.held.intent(row.terminal, row.terminal_sequence)
    if intent is not None and intent.hash == row.intent_hash:
        if intent.aborted or intent.receipt not in {None, row.hash}:
            name = f"{row.terminal.hex()}/{row.terminal_sequence}"
            book.fault(Fault(8, f"{name}/{row.hash.hex()}", row.hash, row.terminal.hex(),
                             f"{name}: another receipt, or an aborted intent's"))  # fmt: skip
        return intent
    if station.last >= row.terminal_sequence:
        reasons["no-intent"] = row.hash
        book.fault(Fault(2, f"intent/{row.hash.hex()}", row.hash, row.terminal.hex(),
                         "the terminal's chain has no such intent"))  # fmt: skip
    else:
        reasons["awaiting-log"] = row.hash
    return None


def _suspense(known: Judged, intent: IntentRow, reasons: Reasons) -> None:
    """While a void is open nothing of its debit moves (PROTOCOL.md §6)."""
    for void in known.voids.get((intent.station, intent.sequence), ()):
        is_open = void.receipt is None and not void.aborted
        goods_lie_there = void.aborted and void.on_counter and void.given_back is None
        if is_open or goods_lie_there:
            reasons["suspense"] = void.hash


def _decisions(card: CardHeld, row: ReceiptRow) -> dict[DecisionKind, bytes]:
    return {
        DecisionKind(d.kind): d.hash for d in card.decisions
        if d.wallet == row.wallet and d.first <= row.sequence <= d.last
    }  # fmt: skip


def _reversed(card: CardHeld, row: ReceiptRow, reasons: Reasons) -> None:
    after = card.receipts.get(row.sequence + 1)
    if after is not None:
        same = (after.kind, after.wallet, after.amount) == (
            ReceiptKind.REVERSAL, row.wallet, row.amount,
        )  # fmt: skip
        if same:
            reasons["reversed"] = after.hash
        return
    # A single missing receipt in which R steps is the reversal of the one before it (§7.4).
    if _reversed_after(card, row) >= row.amount:
        reasons["unseen-reversal"] = row.hash


def _reversed_after(card: CardHeld, row: ReceiptRow) -> int:
    """The step of R which only counters after this receipt show, no reversal that is held.

    A jump of R inside the receipt itself says nothing about it (invariant 6 finds that).
    """
    later = [
        r for r in card.receipts.values() if r.wallet == row.wallet and r.sequence > row.sequence
    ]
    known = sum(r.amount for r in later if r.kind == ReceiptKind.REVERSAL)
    shown = [row.reversed, *(r.reversed for r in later)]
    shown += [
        s.counters.reversed for s in card.loads
        if s.wallet == row.wallet and s.sequence > row.sequence
    ]  # fmt: skip
    return max(shown) - row.reversed - known
