"""Settlement: one batch per provider and programme, each payable paid exactly once (§7.13)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256

from sqlmodel import Session, select

from backend import ledger
from backend.errors import FundsError
from backend.models import Payable


@dataclass(frozen=True, slots=True)
class Payment:
    """What one provider is paid out of one programme's funds; ``evidence`` names its payables."""

    provider: str
    programme: int
    amount_minor: int
    debits: int
    taken_back: int
    evidence: bytes


def settle(session: Session, now_s: int) -> list[Payment]:
    """Pay what is payable and not yet paid, less what was paid and is owed back.

    A provider who owes more than is owed to him waits. Raises :class:`FundsError` when a
    programme's funds do not suffice, which the entitlements make impossible.
    """
    groups: dict[tuple[str, int], list[tuple[int, bytes, int, Payable]]] = defaultdict(list)
    for p in session.exec(select(Payable)):
        key = (p.provider, p.programme)
        if p.settlement is None and p.undone_sequence is None:
            groups[key].append((p.ledger_sequence, p.receipt, p.amount_minor, p))
        elif p.undone_sequence is not None and p.undone_settlement is None:
            evidence = p.undone_evidence or p.receipt
            groups[key].append((p.undone_sequence, evidence, -p.amount_minor, p))
    made = []
    for (provider, programme), lines in sorted(groups.items()):
        payment = _pay(session, provider, programme, sorted(lines, key=lambda x: x[0]), now_s)
        if payment is not None:
            made.append(payment)
    return made


def _pay(
    session: Session,
    provider: str,
    programme: int,
    lines: list[tuple[int, bytes, int, Payable]],
    now_s: int,
) -> Payment | None:
    amount = sum(minor for _, _, minor, _ in lines)
    if amount <= 0:
        return None
    if ledger.balance(session, f"funds/{programme}", ledger.RUPIAH) < amount:
        raise FundsError(f"programme {programme} has less than its payables")
    # docs/ledger.md#settlement: the evidence hashes in ledger order, concatenated.
    evidence = sha256(b"".join(e for _, e, _, _ in lines)).digest()
    ledger.post(session, [ledger.settlement(evidence, programme, provider, amount)], now_s)
    for _, _, _, row in lines:
        if row.undone_sequence is None:  # not by its sign: what costs nothing is paid once, too
            row.settlement = evidence
        else:
            row.undone_settlement = evidence
        session.add(row)
    session.flush()
    backs = sum(row.undone_sequence is not None for _, _, _, row in lines)
    return Payment(provider, programme, amount, len(lines) - backs, backs, evidence)
