"""What is checked of a draft before anyone is asked to sign it.

A signed object stands in the issuance log for ever, so nothing may be refused after it was
signed (PROTOCOL.md §5). The same checks run when a draft is made and again before the signer is
asked: between the two another job may have changed what the draft stands on.
"""

from __future__ import annotations

from sqlmodel import Session, select

from backend import objects, replace
from backend.errors import ConflictError, UnknownError
from backend.models import Card, DecisionRow, ReceiptRow, Station
from wire.objects import Decision, DecisionKind, SignedShape, TerminalLost
from wire.receipt import ReceiptKind


def admit(session: Session, shape: SignedShape) -> None:
    """Raise for what may not be signed now.

    :class:`UnknownError` (card, wallet, terminal), :class:`ConflictError` (more than was taken, a
    chain closed or grown since), :class:`backend.errors.ReserveError` of a MOVE.
    """
    match shape:
        case Decision():
            _decision(session, shape)
        case TerminalLost():
            _terminal_lost(session, shape)


def _decision(session: Session, d: Decision) -> None:
    if session.get(Card, d.card_id) is None:
        raise UnknownError("no such card")
    if d.kind not in {DecisionKind.MOVE, DecisionKind.RETURN}:
        return
    if objects.by_wallet(session).get(d.wallet) is None:
        raise UnknownError(f"no programme has wallet {d.wallet}")
    if d.kind == DecisionKind.MOVE:
        replace.check_move(session, d)
    elif d.amount > returnable(session, d):
        raise ConflictError("more would be returned than these receipts took")


def returnable(session: Session, d: Decision) -> int:
    """What the debits of this range took that was not reversed, returned before or a loss.

    In wallet units.
    """
    before = session.exec(
        select(DecisionRow).where(
            DecisionRow.card_id == d.card_id, DecisionRow.wallet == d.wallet,
            DecisionRow.kind == int(DecisionKind.RETURN),
        )
    ).all()  # fmt: skip
    rows = session.exec(
        select(ReceiptRow).where(
            ReceiptRow.card_id == d.card_id, ReceiptRow.wallet == d.wallet,
            ReceiptRow.kind == int(ReceiptKind.DEBIT), ReceiptRow.sequence >= d.first,
            ReceiptRow.sequence <= d.last,
        )
    )  # fmt: skip
    return sum(
        r.amount - r.lost for r in rows
        if "reversed" not in r.held.split(",")
        and not any(b.first <= r.sequence <= b.last for b in before)
    )  # fmt: skip


def _terminal_lost(session: Session, lost: TerminalLost) -> None:
    row = session.get(Station, lost.terminal)
    if row is None:
        raise UnknownError("no such terminal")
    if row.lost is not None:
        raise ConflictError("this terminal's chain is closed already")
    if row.last != lost.last:
        raise ConflictError("more of this terminal's chain came since; close it anew")
