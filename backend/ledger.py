"""Double entry in rupiah, goods and wallet units; hash-chained (docs/ledger.md).

A batch of balanced transfers is appended at once. Each keeps the hash of the signed object it
stands on; nothing is ever changed or removed, a correction is another entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import insert
from sqlmodel import Session, col, func, select

from backend.errors import invariant
from backend.models import Ledger, PostingRow
from wire.chain import GENESIS, LedgerEntry, Posting

RUPIAH = "rupiah"
MAX_BATCH = 1_000_000


class Kind(StrEnum):
    """Kinds of entry (docs/ledger.md#chart)."""

    FUND_RELEASE = "fund-release"
    ISSUE = "issue"
    DEBIT = "debit"
    REVERSAL = "reversal"
    FORFEIT = "forfeit"
    PAYABLE = "payable"
    UNPAYABLE = "unpayable"
    SETTLEMENT = "settlement"
    MOVE = "move"
    RETURN = "return"
    LOSS = "loss"
    RESERVE = "reserve"
    RESERVE_CLEARED = "reserve-cleared"
    STOCK_IN = "stock-in"
    STOCK_BACK = "stock-back"
    HANDED = "handed"
    RETURNED_GOODS = "returned-goods"
    STOCK_LOSS = "stock-loss"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One entry to be: its kind, its evidence (32 bytes) and its balanced legs."""

    kind: Kind
    evidence: bytes
    postings: tuple[Posting, ...]


def wallet_unit(programme: int) -> str:
    """The name under which a programme's wallet units are counted."""
    return f"wallet-{programme}"


def move(
    kind: Kind, evidence: bytes, good: str, amount: int, *, source: str, target: str
) -> Transfer:
    """``amount`` of ``good`` off ``source`` onto ``target``."""
    return Transfer(kind, evidence, (Posting(source, good, -amount), Posting(target, good, amount)))


# --- the chart ------------------------------------------------------------


def fund_release(evidence: bytes, programme: int, amount: int) -> Transfer:
    """Rupiah from the treasury to the programme's funds."""
    return move(Kind.FUND_RELEASE, evidence, RUPIAH, amount,
                source="treasury", target=f"funds/{programme}")  # fmt: skip


def issue(evidence: bytes, programme: int, step: int) -> Transfer:
    """A step of L: outstanding on cards."""
    return move(Kind.ISSUE, evidence, wallet_unit(programme), step,
                source=f"issued/{programme}", target=f"outstanding/{programme}")  # fmt: skip


def debit(evidence: bytes, programme: int, amount: int) -> Transfer:
    """A proven debit."""
    return move(Kind.DEBIT, evidence, wallet_unit(programme), amount,
                source=f"outstanding/{programme}", target=f"redeemed/{programme}")  # fmt: skip


def reversal(evidence: bytes, programme: int, amount: int) -> Transfer:
    """A proven reversal: the opposite of its debit."""
    return move(Kind.REVERSAL, evidence, wallet_unit(programme), amount,
                source=f"redeemed/{programme}", target=f"outstanding/{programme}")  # fmt: skip


def forfeit(evidence: bytes, programme: int, amount: int) -> Transfer:
    """A step of F, as some counter proved it."""
    return move(Kind.FORFEIT, evidence, wallet_unit(programme), amount,
                source=f"outstanding/{programme}", target=f"forfeited/{programme}")  # fmt: skip


def payable(evidence: bytes, programme: int, provider: str, amount: int) -> Transfer:
    """A debit that the provider is owed for."""
    return move(Kind.PAYABLE, evidence, RUPIAH, amount,
                source=f"payable/{provider}", target=f"spent/{programme}")  # fmt: skip


def unpayable(evidence: bytes, programme: int, provider: str, amount: int) -> Transfer:
    """The opposite of a payable."""
    return move(Kind.UNPAYABLE, evidence, RUPIAH, amount,
                source=f"spent/{programme}", target=f"payable/{provider}")  # fmt: skip


def settlement(evidence: bytes, programme: int, provider: str, amount: int) -> Transfer:
    """Paid out of the programme's funds."""
    return move(Kind.SETTLEMENT, evidence, RUPIAH, amount,
                source=f"funds/{programme}", target=f"payable/{provider}")  # fmt: skip


def moved(evidence: bytes, programme: int, amount: int) -> Transfer:
    """A residual moved by decision."""
    return move(Kind.MOVE, evidence, wallet_unit(programme), amount,
                source=f"outstanding/{programme}", target=f"moved/{programme}")  # fmt: skip


def returned(evidence: bytes, programme: int, amount: int) -> Transfer:
    """A held debit returned to its family by decision."""
    return move(Kind.RETURN, evidence, wallet_unit(programme), amount,
                source=f"outstanding/{programme}", target=f"returned/{programme}")  # fmt: skip


def loss(evidence: bytes, programme: int, amount: int) -> Transfer:
    """A debit drawn above what was entitled, or late: charged to no programme."""
    return move(Kind.LOSS, evidence, wallet_unit(programme), amount,
                source=f"recorded-loss/{programme}", target=f"loss/{programme}")  # fmt: skip


def reserve(evidence: bytes, programme: int, amount: int) -> Transfer:
    """Moved while some terminal may still debit the old card: a loss reserved."""
    return move(Kind.RESERVE, evidence, wallet_unit(programme), amount,
                source=f"reserved-loss/{programme}", target=f"reserve/{programme}")  # fmt: skip


def reserve_cleared(evidence: bytes, programme: int, amount: int) -> Transfer:
    """The opposite of a reserve."""
    return move(Kind.RESERVE_CLEARED, evidence, wallet_unit(programme), amount,
                source=f"reserve/{programme}", target=f"reserved-loss/{programme}")  # fmt: skip


def stock(
    kind: Kind, evidence: bytes, good: str, amount: int, *, terminal: bytes, other: str
) -> Transfer:
    """``amount`` onto (or, negative, off) a terminal's shelf, from or to ``other``."""
    return move(kind, evidence, good, amount, source=other, target=f"stock/{terminal.hex()}")


# --- the chain ------------------------------------------------------------


def head(session: Session) -> tuple[int, bytes]:
    """Sequence and hash of the newest entry; (0, 32 zero bytes) of an empty ledger."""
    row = session.exec(
        select(Ledger.sequence, Ledger.hash).order_by(col(Ledger.sequence).desc()).limit(1)
    ).first()
    return (0, GENESIS) if row is None else (row[0], row[1])


def post(session: Session, transfers: Sequence[Transfer], now_s: int) -> list[LedgerEntry]:
    """Append a batch, in order; unbalanced ones raise and the caller's transaction is lost."""
    invariant(len(transfers) <= MAX_BATCH, "too many transfers in one batch")
    if not transfers:
        return []
    sequence, previous = head(session)
    made: list[LedgerEntry] = []
    rows: list[dict[str, Any]] = []
    legs: list[dict[str, Any]] = []
    for t in transfers:
        sequence += 1
        entry = LedgerEntry(sequence, previous, now_s, str(t.kind), t.evidence, t.postings)
        raw = bytes(entry)  # checks that it balances
        previous = sha256(raw).digest()
        rows.append({"sequence": sequence, "hash": previous, "kind": entry.kind,
                     "evidence": t.evidence, "raw": raw})  # fmt: skip
        legs += [
            {"sequence": sequence, "account": p.account, "good": p.good, "amount": p.amount}
            for p in t.postings
        ]
        made.append(entry)
    session.flush()
    # As plain rows: objects of the session would cost ten times as much and nobody changes them.
    session.execute(insert(Ledger), rows)
    session.execute(insert(PostingRow), legs)
    return made


def entries(session: Session) -> Iterable[bytes]:
    """The bytes of every entry, in order."""
    return session.exec(select(Ledger.raw).order_by(col(Ledger.sequence)))


def posted(session: Session, kind: Kind, evidence: bytes) -> bool:
    """Whether an entry of this kind stands on this evidence."""
    found = session.exec(
        select(Ledger.sequence).where(Ledger.evidence == evidence, Ledger.kind == str(kind))
    ).first()
    return found is not None


def balances(session: Session) -> dict[tuple[str, str], int]:
    """(account, good) → its balance, zero ones left out."""
    rows = session.exec(
        select(PostingRow.account, PostingRow.good, func.sum(PostingRow.amount)).group_by(
            PostingRow.account, PostingRow.good
        )
    )
    return {(account, good): int(total) for account, good, total in rows if total}


def balance(session: Session, account: str, good: str) -> int:
    """The balance of one account in one good."""
    total = session.exec(
        select(func.sum(PostingRow.amount)).where(
            PostingRow.account == account, PostingRow.good == good
        )
    ).one()
    return int(total or 0)
