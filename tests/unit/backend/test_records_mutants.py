"""What one record of a log changes, and that it changes nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import Session, select

from backend.models import IntentRow, RecordRow
from backend.records import Reader
from backend.verify import Bad, CardItem
from tests.support import backend_rows as rows
from tests.support.backend_rows import (
    HIGH,
    LOW,
    NOW_S,
    ONE,
    THREE,
    TWO,
    WALLET,
    A,
    B,
    C,
    name,
)  # fmt: skip
from wire import log
from wire.log import Record
from wire.receipt import Receipt, ReceiptKind, Statement
from wire.schema import Shape

DEBIT, REVERSAL = ReceiptKind.DEBIT, ReceiptKind.REVERSAL
SHELF = f"stock/{TWO.hex()}"
LOST = f"stock-loss/{TWO.hex()}"


class Log:
    """The log of station TWO, each record applied as it is written."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.book = rows.book(session)
        self.station = session.get(rows.Station, TWO) or rows.station(session)
        self.items: dict[bytes, CardItem | Bad] = {}
        self.reader = Reader(self.book, self.station, self.items)

    def add(self, sequence: int, body: Shape) -> Record:
        record = rows.record(sequence, body)
        rows.put(self.session, RecordRow(station=TWO, sequence=sequence, hash=record.hash,
                                         kind=int(record.kind), time_s=NOW_S,
                                         raw=record.raw))  # fmt: skip
        self.reader.apply(record)
        self.session.flush()
        return record

    def item(self, of: Receipt | Statement, bad: Bad | None = None) -> bytes:
        self.items[of.raw] = bad or of
        return of.raw

    def found(self, *invariants: tuple[int, int]) -> None:
        """These (invariant, sequence) and no other findings since the last time."""
        every = rows.findings(self.session)
        assert every == [(i, f"{TWO.hex()}/{n}") for i, n in invariants]
        for row in self.session.exec(select(rows.FindingRow)):
            self.session.delete(row)
        self.session.flush()

    def intent(self, sequence: int) -> IntentRow:
        found = self.session.get(IntentRow, (TWO, sequence))
        assert found is not None
        return found

    def judged(self) -> set[tuple[bytes, int]]:
        """What is to be judged again since the last time."""
        told = set(self.book.debits)
        self.book.debits.clear()
        return told

    def legs(self) -> list[tuple[str, bytes, str, int]]:
        """What is to be posted, since the last time."""
        told = rows.legs(self.book.transfers)
        self.book.transfers.clear()
        return told


@pytest.fixture
def session() -> Iterator[Session]:
    with rows.empty() as made:
        rows.programmes(made)
        rows.cards(made)
        rows.stations(made)
        yield made


@pytest.fixture
def two(session: Session) -> Log:
    return Log(session)


def of(intent: Record | int, n: int, amount: int = 10, **changes: object) -> Receipt:
    """The receipt of an intent of this log."""
    if isinstance(intent, Record):
        changes = {"intent_hash": intent.hash, "terminal_sequence": intent.sequence} | changes
    else:
        changes = {"terminal_sequence": intent} | changes
    return rows.receipt(n, amount, **changes)  # type: ignore[arg-type]


# --- intents -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "station", "wanted"), [(3, 2, 3), (2, 3, 3), (3, 3, 3)])
def test_an_intent_is_entered_with_the_newest_hotlist_known(
    two: Log, own: int, station: int, wanted: int
) -> None:
    two.station.hotlist_version = station
    record = two.add(7, rows.asked(expected=4, amount=30, wallet=LOW, hotlist=own))
    assert two.intent(7).model_dump() == IntentRow(
        station=TWO, sequence=7, hash=record.hash, void_of=None, card_id=B, expected=4,
        wallet=LOW, amount=30, basket_version=1, on_counter=False, hotlist_version=wanted,
        receipt=None, aborted=False, delivered=None, returned=None, given_back=None,
    ).model_dump()  # fmt: skip
    assert two.judged() == {(B, 5)}
    assert two.book.held.intent(TWO, 7) is two.intent(7)
    two.found()


def test_a_void_is_of_a_debit_of_this_card(two: Log) -> None:
    two.station.hotlist_version = 6
    two.add(7, rows.asked(expected=4, amount=30, wallet=LOW))
    two.judged()
    record = two.add(8, log.VoidIntent(7, B, 5, 1, 0, True, "x"))
    two.found()
    assert two.intent(8).model_dump() == IntentRow(
        station=TWO, sequence=8, hash=record.hash, void_of=7, card_id=B, expected=5, wallet=LOW,
        amount=30, basket_version=1, on_counter=True, hotlist_version=6,
    ).model_dump()  # fmt: skip
    assert two.judged() == {(B, 5)}
    for n, (at, card_id) in enumerate(((7, A), (7, C), (8, B), (9, B)), 20):
        two.add(n, log.VoidIntent(at, card_id, 5, 1, 0, False, "x"))
        two.found((9, n))
        assert two.session.get(IntentRow, (TWO, n)) is None
    assert two.judged() == set()


# --- receipts ----------------------------------------------------------------------------------


def test_a_receipt_of_its_intent(two: Log) -> None:
    intent = two.add(7, rows.asked())
    rows.entitlement(two.session, 1000)
    carried = rows.held(two.session, rows.receipt(9, terminal_sequence=7))
    two.judged()
    receipt = of(intent, 1)
    two.add(8, log.Receipted(7, two.item(receipt)))
    two.found()
    assert two.intent(7).receipt == receipt.hash
    assert two.judged() == {(B, 1), (B, carried.sequence)}
    two.add(9, log.Receipted(7, two.item(receipt)))
    two.found()


@pytest.mark.parametrize(("changes", "found"), [
    ({}, 0), ({"kind": REVERSAL, "counters": (1000, 10, 0, 10)}, 8), ({"card_id": A}, 8),
    ({"card_id": C}, 8), ({"sequence": 2}, 8), ({"sequence": 4}, 8), ({"wallet": LOW}, 8),
    ({"wallet": HIGH}, 8), ({"amount": 9}, 8), ({"amount": 11}, 8),
])  # fmt: skip
def test_a_receipt_is_what_was_asked(two: Log, changes: dict[str, object], found: int) -> None:
    for card_id in rows.CARDS:
        for wallet in rows.WALLETS:
            rows.entitlement(two.session, 1000, card_id=card_id, wallet=wallet)
    intent = two.add(7, rows.asked(expected=2))
    values: dict[str, object] = {"sequence": 3, "amount": 10}
    values |= {"intent_hash": intent.hash, "terminal_sequence": 7} | changes
    receipt = rows.receipt(**values)  # type: ignore[arg-type]
    two.add(8, log.Receipted(7, two.item(receipt)))
    two.found(*([(found, 8)] if found else []))


@pytest.mark.parametrize(("changes", "found"), [
    ({}, 0), ({"kind": DEBIT}, 9), ({"sequence": 3}, 9), ({"amount": 9}, 9),
])  # fmt: skip
def test_the_receipt_of_a_void_is_its_reversal(
    two: Log, changes: dict[str, object], found: int
) -> None:
    rows.entitlement(two.session, 1000)
    two.add(7, rows.asked())
    void = two.add(8, log.VoidIntent(7, B, 1, 1, 0, False, "x"))
    values: dict[str, object] = {"sequence": 2, "amount": 10, "kind": REVERSAL}
    values |= {"intent_hash": void.hash, "terminal_sequence": 8} | changes
    receipt = rows.receipt(**values)  # type: ignore[arg-type]
    two.judged()
    two.add(9, log.Receipted(8, two.item(receipt)))
    two.found(*([(found, 9)] if found else []))
    assert two.intent(8).receipt == receipt.hash
    assert (B, 1) in two.judged()


def test_a_receipt_that_names_another_intent_is_not_this_ones(two: Log) -> None:
    """Its own record of the same log says which; one of another terminal belongs to none."""
    rows.entitlement(two.session, 1000)
    first, second = two.add(7, rows.asked()), two.add(8, rows.asked())
    two.add(9, log.Receipted(8, two.item(of(first, 1))))
    two.found((8, 9))
    two.add(10, log.Receipted(99, two.item(of(second, 2))))
    two.found((8, 10))
    for n, at in ((11, ONE), (12, THREE)):
        two.add(n, log.Receipted(7, two.item(of(first, n, terminal=at))))
        two.found((8, n))
        two.add(n + 10, log.Receipted(7, two.item(of(7, n + 10, terminal=at))))
        two.found((8, n + 10))
    assert (two.intent(7).receipt, two.intent(8).receipt) == (None, None)


@pytest.mark.parametrize("other", [bytes(32), b"\xff" * 32])
def test_a_receipt_of_an_intent_that_is_missing_is_judged_elsewhere(two: Log, other: bytes) -> None:
    rows.entitlement(two.session, 1000)
    two.add(7, rows.asked())
    two.add(8, log.Receipted(7, two.item(of(7, 1, intent_hash=other))))
    two.add(9, log.Receipted(7, two.item(of(99, 2))))
    two.found()
    assert two.intent(7).receipt is None


@pytest.mark.parametrize("other", [None, bytes(32), b"\xff" * 32])
def test_an_aborted_intent_or_one_with_a_receipt_takes_no_other(
    two: Log, other: bytes | None
) -> None:
    rows.entitlement(two.session, 1000)
    intent = two.add(7, rows.asked())
    two.intent(7).receipt, two.intent(7).aborted = other, other is None
    two.add(8, log.Receipted(7, two.item(of(intent, 1, 11))))
    two.found()
    assert two.intent(7).receipt == other


def test_a_receipt_that_is_set_aside_settles_nothing(two: Log) -> None:
    intent = two.add(7, rows.asked())
    receipt = of(intent, 1)
    two.add(8, log.Receipted(7, two.item(receipt, Bad(16, "another world"))))
    two.found((16, 8))
    assert two.session.get(rows.ReceiptRow, receipt.hash) is None
    first, clone = of(intent, 2, 11), of(intent, 2, 12)
    rows.held(two.session, first)
    two.add(9, log.Receipted(7, two.item(clone)))
    assert [i for i, _ in rows.findings(two.session)] == [3]
    assert two.intent(7).receipt is None


# --- outcomes ----------------------------------------------------------------------------------


def test_aborted_excludes_a_receipt(two: Log) -> None:
    rows.entitlement(two.session, 1000)
    two.add(7, rows.asked(expected=4))
    rows.held(two.session, rows.receipt(9, terminal_sequence=7))
    other = of(99, 3, card_id=A)
    two.book.debits = {(B, 9)}
    two.add(8, log.Aborted(7, 4, two.item(other)))
    assert two.intent(7).aborted
    assert two.judged() == {(B, 5), (B, 9), (A, 3)}
    assert two.session.get(rows.ReceiptRow, other.hash) is not None
    for row in two.session.exec(select(rows.FindingRow)):
        assert row.invariant == 7  # A has no entitlement
        two.session.delete(row)
    two.add(9, log.Aborted(99, 4, None))
    two.found((8, 9))
    two.add(10, rows.asked())
    two.intent(10).receipt = name("r")
    two.add(11, log.Aborted(10, 4, None))
    two.found((8, 11))
    assert not two.intent(10).aborted


def delivered(two: Log, n: int = 7, wallet: int = WALLET, amount: int = 10) -> IntentRow:
    """An intent of ``n`` with its receipt."""
    two.add(n, rows.asked(wallet=wallet, amount=amount))
    two.intent(n).receipt = name("receipt", n)
    two.judged()
    return two.intent(n)


def test_delivered_is_of_a_debit_with_its_receipt_and_once(two: Log) -> None:
    intent = delivered(two)
    record = two.add(8, log.Delivered(7))
    assert intent.delivered == record.hash
    assert two.judged() == {(B, 1)}
    two.add(9, log.Delivered(7))
    two.found((8, 9))
    assert intent.delivered == record.hash
    two.add(10, log.Delivered(99))
    two.found((8, 10))
    two.add(11, rows.asked())
    two.add(12, log.Delivered(11))
    two.found((8, 12))
    two.add(13, log.VoidIntent(7, B, 1, 1, 0, False, "x"))
    two.intent(13).receipt = name("r")
    two.add(14, log.Delivered(13))
    two.found((8, 14))


@pytest.mark.parametrize(("at", "n", "names", "excused"), [
    (TWO, 12, 10, True), (TWO, 11, 10, True), (TWO, 14, 10, True), (TWO, 15, 10, False),
    (TWO, 16, 10, False), (TWO, 9, 10, False), (TWO, 10, 10, False), (TWO, 12, 9, False),
    (TWO, 12, 11, False), (ONE, 12, 10, False), (THREE, 12, 10, False),
])  # fmt: skip
def test_what_follows_a_receipt_set_aside_is_set_aside_too(
    two: Log, at: bytes, n: int, names: int, *, excused: bool
) -> None:
    """The receipt recorded between the intent (10) and DELIVERED (15), in this very log."""
    receipted = rows.record(n, log.Receipted(names, of(10, 1).raw))
    rows.intent(two.session, 10)
    rows.put(two.session, RecordRow(station=at, sequence=n, hash=name(n), raw=receipted.raw,
                                    kind=int(receipted.kind), time_s=NOW_S))  # fmt: skip
    record = rows.record(15, log.Delivered(10))
    two.reader.apply(record)
    two.found(*([] if excused else [(8, 15)]))
    assert two.intent(10).delivered is None


@pytest.mark.parametrize("body", [log.Aborted(10, 1, None), log.Pending(10), log.Boot("x")])
def test_only_a_receipt_excuses(two: Log, body: Shape) -> None:
    rows.intent(two.session, 10)
    other = rows.record(12, body)
    rows.put(two.session, RecordRow(station=TWO, sequence=12, hash=name(12), raw=other.raw,
                                    kind=int(other.kind), time_s=NOW_S))  # fmt: skip
    two.reader.apply(rows.record(15, log.Delivered(10)))
    two.found((8, 15))


def voided(two: Log, *, receipt: bytes | None = name("reversal")) -> IntentRow:
    """A delivered debit (10) and its void (20)."""
    rows.intent(two.session, 10, receipt=name("receipt"), delivered=name("delivered"))
    return rows.intent(two.session, 20, void_of=10, receipt=receipt, expected=1)


def test_returned_is_of_a_proven_void_of_a_delivered_debit_and_once(two: Log) -> None:
    void = voided(two)
    record = two.add(31, log.Returned(20))
    two.found()
    assert void.returned == record.hash
    two.add(32, log.Returned(20))
    two.found((9, 32))
    assert void.returned == record.hash
    two.add(33, log.Returned(10))
    two.found((9, 33))
    two.add(34, log.Returned(99))
    two.found((9, 34))
    void.returned = None
    two.intent(10).delivered = None
    two.add(35, log.Returned(20))
    two.found((9, 35))
    two.intent(10).delivered, void.receipt = name("delivered"), None
    two.add(36, log.Returned(20))
    two.found((9, 36))
    assert void.returned is None


def test_returned_after_a_receipt_set_aside_is_set_aside(two: Log) -> None:
    void = voided(two, receipt=None)
    two.add(31, log.Returned(20))
    two.found((9, 31))
    two.add(32, log.Receipted(20, two.item(of(20, 2), Bad(1, "x"))))
    two.found((1, 32))
    two.add(33, log.Returned(20))
    two.found()
    assert void.returned is None


def test_returned_of_a_debit_whose_receipt_was_set_aside(two: Log) -> None:
    void = voided(two)
    two.intent(10).receipt = two.intent(10).delivered = None
    two.add(31, log.Receipted(10, two.item(of(10, 1), Bad(1, "x"))))
    two.found((1, 31))
    two.add(32, log.Returned(20))
    two.found()
    assert void.returned is None


def test_given_back_is_of_an_aborted_void(two: Log) -> None:
    void = voided(two, receipt=None)
    two.add(31, log.GivenBack(20))
    two.found((9, 31))
    void.aborted = two.intent(10).aborted = True
    two.add(32, log.GivenBack(10))
    two.found((9, 32))
    two.add(33, log.GivenBack(99))
    two.found((9, 33))
    assert (void.given_back, two.judged()) == (None, set())
    record = two.add(34, log.GivenBack(20))
    two.found()
    assert void.given_back == record.hash
    assert two.judged() == {(B, 1)}


def test_what_no_rule_is_about_changes_nothing(two: Log) -> None:
    for n, body in enumerate((log.Boot("x"), log.Shift(True, 1), log.Pending(3)), 1):
        two.add(n, body)
    two.found()
    assert (two.legs(), two.judged()) == ([], set())
