"""Lost terminals and decisions over what they leave open (PROTOCOL.md §5)."""

from __future__ import annotations

from sqlmodel import Session, select

from backend import ingest, objects
from backend.admit import admit
from backend.book import Book
from backend.errors import ConflictError, UnknownError
from backend.models import DecisionRow, ReceiptRow, Station
from wire.env import Environment
from wire.objects import Decision, DecisionKind, TerminalLost


def draft_terminal_lost(session: Session, station: bytes, reason: str, now_s: int) -> TerminalLost:
    """Draft the closing of a terminal's chain after the last record received.

    :class:`UnknownError`, and as :func:`backend.admit.admit` for one that is closed.
    """
    row = session.get(Station, station)
    if row is None:
        raise UnknownError("no such terminal")
    lost = TerminalLost(station, row.last, reason, now_s)
    admit(session, lost)
    return TerminalLost.parse(objects.draft(session, lost, station.hex()).payload)


def draft_decision(
    session: Session, kind: DecisionKind, card_id: bytes, wallet: int, *, first: int, last: int,
    amount: int, number: str, reason: str, now_s: int,
) -> Decision:  # fmt: skip
    """Draft a decision over receipts ``first``..``last``; MOVE has a function of its own.

    ``amount`` in wallet units. :class:`ConflictError` for MOVE, and as
    :func:`backend.admit.admit`.
    """
    if kind == DecisionKind.MOVE:
        raise ConflictError("a residual is moved by backend.replace.draft_move")
    decision = Decision(number, kind, card_id, wallet, first, last, amount, None, reason, now_s)
    if not objects.exists(session, decision, number):
        admit(session, decision)
    return Decision.parse(objects.draft(session, decision, number).payload)


def conclude(session: Session, env: Environment, digest: bytes, now_s: int) -> None:
    """Judge again what a TERMINAL_LOST or decision of this hash is about."""
    book = Book(session, env, now_s)
    decision = session.get(DecisionRow, digest)
    if decision is not None:
        rows = session.exec(
            select(ReceiptRow).where(
                ReceiptRow.card_id == decision.card_id, ReceiptRow.sequence >= decision.first,
                ReceiptRow.sequence <= decision.last,
            )
        ).all()  # fmt: skip
        book.cards.add(decision.card_id)
    else:
        station = session.exec(select(Station).where(Station.lost == digest)).first()
        if station is None:
            return
        rows = session.exec(select(ReceiptRow).where(ReceiptRow.terminal == station.station)).all()
    book.debits |= {(r.card_id, r.sequence) for r in rows}
    ingest.conclude(book)
