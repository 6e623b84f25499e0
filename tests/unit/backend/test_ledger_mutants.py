"""The chart to the letter, and questions about one account beside its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlmodel import Session

from backend import ledger
from backend.errors import BackendError
from backend.ledger import Kind, Transfer
from tests.support import backend_rows as rows
from tests.support.backend_rows import name
from wire.chain import GENESIS, LedgerEntry, Posting

E = name("evidence")


@pytest.fixture
def session() -> Iterator[Session]:
    with rows.empty() as made:
        yield made


CHART = [  # made, kind, good, off, onto
    (lambda: ledger.fund_release(E, 7, 5), "fund-release", "rupiah", "treasury", "funds/7"),
    (lambda: ledger.issue(E, 7, 5), "issue", "wallet-7", "issued/7", "outstanding/7"),
    (lambda: ledger.debit(E, 7, 5), "debit", "wallet-7", "outstanding/7", "redeemed/7"),
    (lambda: ledger.reversal(E, 7, 5), "reversal", "wallet-7", "redeemed/7", "outstanding/7"),
    (lambda: ledger.forfeit(E, 7, 5), "forfeit", "wallet-7", "outstanding/7", "forfeited/7"),
    (lambda: ledger.payable(E, 7, "P", 5), "payable", "rupiah", "payable/P", "spent/7"),
    (lambda: ledger.unpayable(E, 7, "P", 5), "unpayable", "rupiah", "spent/7", "payable/P"),
    (lambda: ledger.settlement(E, 7, "P", 5), "settlement", "rupiah", "funds/7", "payable/P"),
    (lambda: ledger.moved(E, 7, 5), "move", "wallet-7", "outstanding/7", "moved/7"),
    (lambda: ledger.returned(E, 7, 5), "return", "wallet-7", "outstanding/7", "returned/7"),
    (lambda: ledger.loss(E, 7, 5), "loss", "wallet-7", "recorded-loss/7", "loss/7"),
    (lambda: ledger.reserve(E, 7, 5), "reserve", "wallet-7", "reserved-loss/7", "reserve/7"),
    (lambda: ledger.reserve_cleared(E, 7, 5), "reserve-cleared", "wallet-7", "reserve/7",
     "reserved-loss/7"),
    (lambda: ledger.stock(Kind.HANDED, E, "beras", 5, terminal=b"\x01\x02", other="handed/7"),
     "handed", "beras", "handed/7", "stock/0102"),
]  # fmt: skip


@pytest.mark.parametrize("line", CHART, ids=lambda line: line[1])
def test_each_entry_moves_what_the_chart_says(
    line: tuple[Callable[[], Transfer], str, str, str, str],
) -> None:
    make, kind, good, source, target = line
    made = make()
    assert (str(made.kind), made.evidence) == (kind, E)
    assert made.postings == (Posting(source, good, -5), Posting(target, good, 5))


def test_the_head_is_that_of_the_newest_entry(session: Session) -> None:
    assert ledger.head(session) == (0, GENESIS)
    assert ledger.post(session, [], 1) == []
    assert ledger.head(session) == (0, GENESIS)
    first = ledger.post(session, [ledger.issue(E, 1, n) for n in (1, 2)], 1)
    (third,) = ledger.post(session, [ledger.issue(E, 1, 3)], 2)
    assert [(e.sequence, e.previous) for e in (*first, third)] == [
        (1, GENESIS), (2, first[0].hash), (3, first[1].hash)]  # fmt: skip
    assert ledger.head(session) == (3, third.hash)
    assert [LedgerEntry.parse(raw) for raw in ledger.entries(session)] == [*first, third]


def test_an_entry_is_known_by_its_kind_and_its_evidence(session: Session) -> None:
    low, mid, high = sorted(name(n) for n in range(3))
    ledger.post(session, [ledger.debit(low, 1, 1), ledger.debit(high, 1, 1),
                          ledger.issue(mid, 1, 1), ledger.debit(mid, 1, 1)], 1)  # fmt: skip
    assert ledger.posted(session, Kind.DEBIT, mid)
    assert ledger.posted(session, Kind.ISSUE, mid)
    assert not ledger.posted(session, Kind.HANDED, mid)  # between debit and issue
    assert not ledger.posted(session, Kind.DEBIT, name(9))
    assert not ledger.posted(session, Kind.ISSUE, low)
    assert not ledger.posted(session, Kind.ISSUE, high)


@pytest.mark.parametrize("kind", [Kind.DEBIT, Kind.HANDED, Kind.ISSUE])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_another_kind_or_evidence_says_nothing(session: Session, kind: Kind, at: int) -> None:
    """The only entry of all is about its own kind and evidence, none before or after them."""
    every = sorted(name(n) for n in range(3))
    ledger.post(session, [ledger.stock(Kind.HANDED, every[1], "beras", 1, terminal=b"T",
                                       other="x")], 1)  # fmt: skip
    assert ledger.posted(session, kind, every[at]) == ((kind, at) == (Kind.HANDED, 1))


def test_a_balance_is_of_one_account_in_one_good(session: Session) -> None:
    every = [
        ledger.move(Kind.MOVE, E, good, amount, source="z", target=account)
        for account, good, amount in (
            ("b", "m", 1), ("b", "m", 2), ("a", "m", 10), ("c", "m", 100), ("b", "l", 1000),
            ("b", "n", 10_000), ("d", "m", 5), ("d", "m", -5))
    ]  # fmt: skip
    assert ledger.balance(session, "b", "m") == 0
    assert ledger.balances(session) == {}
    ledger.post(session, every, 1)
    assert ledger.balance(session, "b", "m") == 3
    assert ledger.balances(session) == {
        ("b", "m"): 3, ("a", "m"): 10, ("c", "m"): 100, ("b", "l"): 1000, ("b", "n"): 10_000,
        ("z", "m"): -113, ("z", "l"): -1000, ("z", "n"): -10_000,
    }  # fmt: skip


class Many(list[Transfer]):
    """A batch that says how long it is and is not."""

    def __init__(self, count: int) -> None:
        super().__init__([ledger.issue(E, 1, 1)])
        self.count = count

    def __len__(self) -> int:
        return self.count


def test_a_batch_has_its_limit(session: Session) -> None:
    ledger.post(session, Many(1_000_000), 1)
    with pytest.raises(BackendError, match="too many"):
        ledger.post(session, Many(1_000_001), 1)
    assert ledger.head(session)[0] == 1
