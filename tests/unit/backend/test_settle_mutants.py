"""Settlement without a world: each payable in exactly one batch, whatever its price."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import pytest
from sqlmodel import Session, SQLModel, create_engine

from backend import ledger
from backend.errors import FundsError
from backend.models import Payable
from backend.settle import Payment, settle


@pytest.fixture
def session() -> Iterator[Session]:
    """A database with 100 rupiah in the funds of programmes 1 and 2."""
    engine = create_engine("sqlite://")
    SQLModel.metadata.create_all(engine)
    with Session(engine) as made:
        ledger.post(made, [ledger.fund_release(bytes(32), n, 100) for n in (1, 2)], 1)
        yield made
    engine.dispose()


def owed(session: Session, name: bytes, minor: int, programme: int = 1, who: str = "P") -> Payable:
    made = Payable(receipt=name * 32, provider=who, programme=programme, amount_minor=minor,
                   ledger_sequence=name[0])  # fmt: skip
    session.add(made)
    session.flush()
    return made


def paid(minor: int, debits: int, backs: int, names: bytes, *, programme: int = 1,
         who: str = "P") -> Payment:  # fmt: skip
    evidence = sha256(b"".join(bytes([n]) * 32 for n in names)).digest()
    return Payment(who, programme, minor, debits, backs, evidence)


def test_what_costs_nothing_is_paid_once(session: Session) -> None:
    owed(session, b"a", 0)
    assert settle(session, 1) == []
    owed(session, b"b", 5)
    assert settle(session, 1) == [paid(5, 2, 0, b"ab")]
    owed(session, b"c", 5)
    assert settle(session, 1) == [paid(5, 1, 0, b"c")]
    assert settle(session, 1) == []


def test_batches_are_by_provider_and_programme_in_ledger_order(session: Session) -> None:
    for name, minor, programme, who in ((b"d", 4, 2, "P"), (b"c", 3, 1, "Q"), (b"b", 2, 1, "P"),
                                        (b"a", 1, 1, "P")):  # fmt: skip
        owed(session, name, minor, programme, who)
    assert settle(session, 1) == [
        paid(3, 2, 0, b"ab"), paid(4, 1, 0, b"d", programme=2), paid(3, 1, 0, b"c", who="Q"),
    ]  # fmt: skip
    funds = [ledger.balance(session, f"funds/{n}", ledger.RUPIAH) for n in (1, 2)]
    assert funds == [100 - 6, 100 - 4]


def test_no_more_than_the_funds(session: Session) -> None:
    owed(session, b"a", 100)
    assert settle(session, 1) == [paid(100, 1, 0, b"a")]
    owed(session, b"b", 1)
    with pytest.raises(FundsError):
        settle(session, 1)


def test_what_was_paid_and_undone_is_taken_off_once(session: Session) -> None:
    row = owed(session, b"a", 10)
    settle(session, 1)
    row.undone_sequence, row.undone_evidence = ord("c"), b"x" * 32
    assert settle(session, 1) == []  # he owes ten
    owed(session, b"b", 10)
    assert settle(session, 1) == []  # and is owed as much
    owed(session, b"d", 1)
    assert settle(session, 1) == [paid(1, 2, 1, b"bxd")]
    assert row.settlement != row.undone_settlement is not None
    assert settle(session, 1) == []


def test_what_was_undone_before_it_was_paid_is_in_no_batch(session: Session) -> None:
    row = owed(session, b"a", 10)
    row.undone_sequence, row.undone_settlement = ord("b"), bytes(32)
    owed(session, b"c", 1)
    assert settle(session, 1) == [paid(1, 1, 0, b"c")]
