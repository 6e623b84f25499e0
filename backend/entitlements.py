"""Entitlements as the issuance log takes them: many at a time, each step of L on its cause (§7.18).

A round is tens of thousands of them. What they are held to is read at once and kept true while
they are entered in their order; rows, ledger and log stand in the caller's one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, update
from sqlmodel import Session, col, func, select

from backend import ledger
from backend.errors import FundsError
from backend.models import Card, DecisionRow, EntitlementRow, Row
from keys.trust import TrustStore
from wire.chain import Citation, IssuanceEntry
from wire.entitlement import Entitlement
from wire.objects import DecisionKind

_AT_ONCE = 500  # ids a query, below SQLite's limit of variables


@dataclass(slots=True)
class _Funded:
    """A decree row: whose, how much, and what it funded."""

    row_id: int
    family: bytes
    programme: int
    amount: int
    funded: bool
    entitlement: bytes | None


@dataclass(slots=True)
class _Known:
    """What entitlements are held to: families, highest L so far, decree rows."""

    families: dict[bytes, bytes] = field(default_factory=dict)
    loaded: dict[tuple[bytes, int], int] = field(default_factory=dict)
    rows: dict[tuple[bytes, int], _Funded] = field(default_factory=dict)

    @classmethod
    def read(cls, session: Session, made: Sequence[tuple[Entitlement, Citation | None]]) -> _Known:
        """Of all of these."""
        known = cls()
        cards = sorted({e.card_id for e, _ in made})
        for at in range(0, len(cards), _AT_ONCE):
            part = cards[at : at + _AT_ONCE]
            known.families |= dict(
                session.exec(select(Card.card_id, Card.family).where(col(Card.card_id).in_(part)))
                .all()
            )  # fmt: skip
            e = EntitlementRow
            for card_id, wallet, loaded in session.exec(
                select(e.card_id, e.wallet, func.max(e.loaded))
                .where(col(e.card_id).in_(part)).group_by(col(e.card_id), col(e.wallet))
            ):  # fmt: skip
                known.loaded[card_id, wallet] = loaded
        for decree in sorted({c.source for _, c in made if c is not None and c.row}):
            numbers = sorted({c.row for _, c in made if c is not None and c.source == decree})
            for at in range(0, len(numbers), _AT_ONCE):
                known._read_rows(session, decree, numbers[at : at + _AT_ONCE])
        return known

    def _read_rows(self, session: Session, decree: bytes, numbers: list[int]) -> None:
        columns = (Row.row, Row.id, Row.family, Row.programme, Row.amount, Row.funded,
                   Row.entitlement)  # fmt: skip
        for number, *rest in session.execute(
            select(*columns).where(Row.decree == decree, col(Row.row).in_(numbers))  # type: ignore[call-overload]
        ):
            self.rows[decree, number] = _Funded(*rest)


def enter(
    session: Session, trust: TrustStore, entries: Sequence[IssuanceEntry], now_s: int
) -> None:
    """Enter these entries of the log, in order.

    1. each verifies; 2. its step of L stands on an unused row or decision; 3. rows, ledger.
    Raises :class:`FundsError`, :class:`wire.errors.WireError`, :class:`keys.errors.KeysError`.
    """
    made = [(trust.entitlement(entry.item), entry.cause) for entry in entries]  # 1
    session.flush()
    known = _Known.read(session, made)
    rows: list[dict[str, Any]] = []
    used: list[dict[str, Any]] = []
    transfers: list[ledger.Transfer] = []
    for e, cause in made:
        before = known.loaded.get((e.card_id, e.wallet), 0)
        step = e.loaded - before
        if (step > 0) != (cause is not None) or step < 0:
            raise FundsError("L rises exactly when a decree row or decision is cited")
        if cause is not None:  # 2
            row_id = _use_cause(session, known, e, cause, step)
            if row_id is not None:
                used.append({"id": row_id, "entitlement": e.hash})
        known.loaded[e.card_id, e.wallet] = e.loaded
        rows.append(
            {"hash": e.hash, "card_id": e.card_id, "wallet": e.wallet, "sequence": e.sequence,
             "programme": e.programme, "loaded": e.loaded,
             "forfeited_through": e.forfeited_through, "acknowledged": e.acknowledged,
             "cause": cause.source if cause else None, "cause_row": cause.row if cause else None,
             "raw": e.raw}
        )  # fmt: skip
        if step:
            transfers.append(ledger.issue(e.hash, e.programme, step))
    session.flush()
    session.execute(insert(EntitlementRow), rows)  # 3
    if used:
        session.execute(update(Row), used)
    ledger.post(session, transfers, now_s)


def _use_cause(
    session: Session, known: _Known, e: Entitlement, cause: Citation, step: int
) -> int | None:
    """Each row and each decision funds at most one step of L (invariant 18); the row's id."""
    if cause.row == 0:
        _use_decision(session, e, cause, step)
        return None
    row, family = known.rows.get((cause.source, cause.row)), known.families.get(e.card_id)
    if row is None or family is None or row.family != family or row.programme != e.programme:
        raise FundsError("the decree row cited is not this family's and programme's")
    if row.entitlement is not None or row.amount != step:
        raise FundsError("the decree row cited was used, or is for another amount")
    if not row.funded:
        raise FundsError("no funds were released for the decree row cited")
    row.entitlement = e.hash
    return row.row_id


def _use_decision(session: Session, e: Entitlement, cause: Citation, step: int) -> None:
    decision = session.get(DecisionRow, cause.source)
    target = decision and (decision.new_card or decision.card_id)
    if decision is None or target != e.card_id or decision.wallet != e.wallet:
        raise FundsError("the decision cited is not about this card and wallet")
    if decision.kind not in {DecisionKind.MOVE, DecisionKind.RETURN}:
        raise FundsError("the decision cited gives nothing to a card")
    if decision.used or decision.amount != step:
        raise FundsError("the decision cited was used, or is for another amount")
    decision.used = True
    session.flush()
