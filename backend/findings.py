"""Findings: violations of the 19 invariants, each counted once by its key (PROTOCOL.md §7)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, col, select

from backend.models import FindingRow

MAX_DETAIL = 400  # characters


@dataclass(frozen=True, slots=True)
class Fault:
    """A violation seen: which invariant, on what evidence (a hash), whose it is to explain."""

    invariant: int
    key: str
    evidence: bytes
    owner: str
    detail: str
    severity: str = "high"


def record(session: Session, fault: Fault, now_s: int) -> None:
    """Keep a fault; the same key again is the same finding."""
    key = f"{fault.invariant}/{fault.key}"
    if session.exec(select(FindingRow.id).where(FindingRow.key == key)).first() is None:
        session.add(
            FindingRow(
                invariant=fault.invariant, key=key, evidence=fault.evidence, owner=fault.owner,
                severity=fault.severity, detail=fault.detail[:MAX_DETAIL], opened_s=now_s,
            )
        )  # fmt: skip
        session.flush()


def every(session: Session) -> list[FindingRow]:
    """All findings, oldest first."""
    return list(session.exec(select(FindingRow).order_by(col(FindingRow.id))))
