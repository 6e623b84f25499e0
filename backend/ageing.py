"""What is open too long becomes a finding (PROTOCOL.md §7); the ages are signed parameters."""

from __future__ import annotations

from sqlmodel import Session, col, select

from backend import findings, objects, report
from backend.findings import Fault
from backend.models import IntentRow, RecordRow, Station
from wire.objects import Parameters


def age(session: Session, now_s: int) -> None:
    """Record gaps in a card's receipts (4) and goods not returned after a void (9)."""
    rules = max((p for _, p in objects.payloads_of(session, Parameters)),
                key=lambda p: p.version, default=None)  # fmt: skip
    if rules is None:
        return
    for gap in report.open_gaps(session):
        if now_s - gap["since_s"] > rules.gap_age_s:
            card, after = gap["card"], gap["acknowledged"]
            fault = Fault(4, f"{card}/{after + 1}", bytes.fromhex(card), "issuer",
                          f"receipts of {card} are missing after {after}", "medium")  # fmt: skip
            findings.record(session, fault, now_s)
    for void in _not_returned(session, now_s - rules.returned_age_s):
        name = f"{void.station.hex()}/{void.sequence}"
        why = f"{name}: void after hand-over, goods not returned"
        findings.record(
            session, Fault(9, f"returned/{name}", void.hash, void.station.hex(), why), now_s
        )


def _not_returned(session: Session, before_s: int) -> list[IntentRow]:
    """Proven voids of delivered debits without RETURNED, older than this, at living terminals."""
    rows = session.exec(
        select(IntentRow)
        .join(RecordRow, (col(RecordRow.station) == col(IntentRow.station))
              & (col(RecordRow.sequence) == col(IntentRow.sequence)))
        .join(Station, col(Station.station) == col(IntentRow.station))
        .where(
            col(IntentRow.void_of).is_not(None), col(IntentRow.receipt).is_not(None),
            col(IntentRow.returned).is_(None), col(Station.lost).is_(None),
            RecordRow.time_s < before_s,
        )
    )  # fmt: skip
    found = []
    for void in rows:
        debit = session.get(IntentRow, (void.station, void.void_of))
        if debit is not None and debit.delivered is not None:
            found.append(void)
    return found
