"""Rules 13 to 15 on worlds made by hand: two of everything, sums at their edge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend import ledger
from backend.audit.facts import Fact
from backend.audit.forms import Amount
from backend.audit.model import Card, Issued, Station
from backend.audit.rules import RULES
from backend.ledger import Kind
from tests.support.audit_small import (
    CASH,
    FOOD,
    W1,
    W2,
    Small,
    facts,
    subjects,
)
from wire import log
from wire.invariants import Invariant
from wire.log import StockMove
from wire.objects import (
    DecisionKind,
    GoodsLine,
    StockDelivery,
    Unit,
)
from wire.receipt import Counters, StatementKind

RULE_13, RULE_14, RULE_15 = (Invariant(n) for n in (13, 14, 15))
A = b"a" * 32
RICE, GRAM = "beras", Unit.GRAM


def village() -> tuple[Small, Station, Card]:
    """Baskets of 5 rice at 150 and cash, unstocked; no entitlement yet."""
    s = Small()
    s.programme(FOOD, unit=Unit.BASKET, price=150, lines=((RICE, GRAM, 5),))
    s.programme(CASH, stocked=False)
    return s, s.station(), s.card()


def issue(s: Small, card: Card, wallet: int, loaded: int, **changes) -> Issued:
    """An entitlement, booked."""
    made = s.entitle(card, wallet, loaded, **changes)
    s.post(ledger.issue(made.entitlement.hash, made.entitlement.programme, made.step))
    return made


# --- 13 ------------------------------------------------------------


def test_what_is_owed_is_payable_and_nothing_else_is() -> None:
    s, station, card = village()
    s.entitle(card, W2, 500)
    right, missing, early, late = (s.debit(card, station, W2, n) for n in (1, 2, 3, 4))
    for held in (early, late):
        s.world.disputes[held.receipt.hash] = held.place
    card.doubles[4] = []
    for held in (right, early, late):
        s.post(ledger.payable(held.receipt.hash, CASH, "P2", held.receipt.amount))
    s.post(ledger.payable(A, CASH, "P2", 9))
    found = {f.subject: (f.what.fact, dict(f.what.values)) for f in RULES[RULE_13](s.world)}
    assert found == {
        "ledger/4": (Fact.PAYABLE_UNPROVEN, {}),
        missing.name: (Fact.NOT_OWED, {}),
        early.name: (Fact.PAID_BUT_HELD, {"holds": ("disputed",)}),
        late.name: (Fact.PAID_BUT_HELD, {"holds": ("clone", "disputed")}),
    }


# --- 14 ------------------------------------------------------------


def test_each_entry_in_wallet_units_is_what_an_object_gives() -> None:
    s, station, card = village()
    issue(s, card, W2, 500)
    first = s.debit(card, station, W2, 5)
    s.post(ledger.debit(first.receipt.hash, CASH, 5))
    assert facts(s, RULE_14) == []
    missing = s.debit(card, station, W2, 6)
    s.post(ledger.debit(A, CASH, 6))
    s.post(ledger.payable(A, CASH, "P2", 6))  # invariant 13's
    s.post(ledger.move(Kind.STOCK_IN, A, RICE, 6, source="x", target="y"))  # and 15's
    assert facts(s, RULE_14) == [Fact.LEDGER_MISSING, Fact.LEDGER_UNEXPLAINED]
    assert subjects(s, RULE_14) == ["ledger/missing", "ledger/3"]
    evidence = [f.evidence for f in RULES[RULE_14](s.world)]
    assert evidence == [(missing.receipt.hash.hex(),), (A.hex(),)]


def test_a_kind_of_entry_that_does_not_exist_is_named() -> None:
    s, _, _ = village()
    entry = s.post(ledger.debit(A, CASH, 6))
    s.world.ledger[:] = [replace(entry, kind=k) for k in ("gift", "payable", "bonus")]
    assert facts(s, RULE_14) == [Fact.LEDGER_KIND] * 2


def forfeits(s: Small, station: Station, card: Card, wallet: int, shown: int) -> bytes:
    """A load that shows so much forfeited; its hash."""
    return s.statement(card, station, StatementKind.LOAD, wallet,
                       counters=Counters(500, 0, shown, 0)).statement.hash  # fmt: skip


@pytest.mark.parametrize(("booked", "is_right"), [(6, False), (7, True), (8, False)])
def test_what_was_forfeited_is_booked(booked: int, is_right: bool) -> None:
    s, station, card = village()
    other = s.card(2)
    name = forfeits(s, station, card, W2, 7)
    more = forfeits(s, station, other, W1, 3)
    s.post(ledger.forfeit(name, CASH, booked))
    s.post(ledger.forfeit(more, FOOD, 2))
    s.post(ledger.forfeit(more, FOOD, 1))
    assert facts(s, RULE_14) == ([] if is_right else [Fact.FORFEIT_OTHER])
    for f in RULES[RULE_14](s.world):
        assert f.subject == f"{card.card_id.hex()}/{W2}"
        assert dict(f.what.values) == {"booked": booked, "shown": 7}


def test_forfeits_that_are_not_booked_or_not_shown_are_both_named() -> None:
    s, station, card = village()
    forfeits(s, station, card, W2, 7)
    name = forfeits(s, station, s.card(2), W2, 0)
    s.post(ledger.forfeit(name, CASH, 4))
    s.post(ledger.forfeit(A, CASH, 5))
    assert facts(s, RULE_14) == [Fact.FORFEIT_UNSHOWN, *[Fact.FORFEIT_OTHER] * 2]
    assert subjects(s, RULE_14)[0] == "ledger/2"


def test_only_reserves_of_a_programme_that_cannot_be_judged_are_left_out() -> None:
    s, station, card = village()
    new = s.card(2, card.family)
    for wallet in (W1, W2):
        issue(s, card, wallet, 500)
    s.hotlist(1, card)
    cash = s.decide(DecisionKind.MOVE, card, W2, 30, new=new)
    s.post(ledger.moved(cash, CASH, 30))
    assert facts(s, RULE_14) == [Fact.LEDGER_MISSING]  # the reserve
    station.is_tainted = True
    assert facts(s, RULE_14) == []
    s.post(ledger.reserve(cash, CASH, 99))
    s.post(ledger.reserve_cleared(A, CASH, 99))
    assert facts(s, RULE_14) == []
    s.post(ledger.debit(A, CASH, 6))  # no reserve
    s.post(ledger.reserve(A, FOOD, 4))  # of another programme
    assert facts(s, RULE_14) == [Fact.LEDGER_UNEXPLAINED] * 2
    assert subjects(s, RULE_14) == ["ledger/6", "ledger/7"]


# --- 15 ------------------------------------------------------------


def stock(s: Small, station: Station, move: StockMove, good: str, quantity: int) -> bytes:
    """A STOCK record, with a delivery of as much where it needs one; its hash."""
    line, name = GoodsLine(good, GRAM, quantity), None
    if move == StockMove.RECEIVED:
        name = s.object(StockDelivery("SJ", "Bulog", station.station, (line,), s.time_s))
    return s.record(station, log.Stock(move, name, line)).record.hash


def book(s: Small, station: Station, kind: Kind, name: bytes, quantity: int, *, other: str) -> None:
    s.post(ledger.stock(kind, name, RICE, quantity, terminal=station.station, other=other))


@pytest.mark.parametrize(
    ("lost", "found"), [(99, []), (100, []), (101, [Fact.MORE_OUT, Fact.LEDGER_UNEXPLAINED])]
)
def test_no_more_goes_out_than_came_in(lost: int, found: list) -> None:
    s, station, _ = village()
    name = stock(s, station, StockMove.RECEIVED, RICE, 100)
    book(s, station, Kind.STOCK_IN, name, 100, other="supply/Bulog")
    gone = stock(s, station, StockMove.LOST, RICE, lost)
    book(s, station, Kind.STOCK_LOSS, gone, -lost, other=f"stock-loss/{station.station.hex()}")
    assert facts(s, RULE_15) == found[:1]
    for f in RULES[RULE_15](s.world):
        assert dict(f.what.values) == {"good": RICE, "quantity": Amount(1, GRAM)}
        assert f.subject == station.station.hex()


def test_of_a_shelf_with_a_fault_the_sums_are_not_judged_and_the_next_good_is() -> None:
    s, station, _ = village()
    other = s.station(2)
    s.record(station, log.Checkpoint(0, (GoodsLine(RICE, GRAM, 1),)))
    names = [stock(s, station, StockMove.LOST, RICE, 5), stock(s, other, StockMove.LOST, RICE, 5),
             stock(s, other, StockMove.LOST, "gula", 5)]  # fmt: skip
    for at, name, good in zip((station, other, other), names, (RICE, RICE, "gula"), strict=True):
        s.post(ledger.stock(Kind.STOCK_LOSS, name, good, -5, terminal=at.station,
                            other=f"stock-loss/{at.station.hex()}"))  # fmt: skip
    assert facts(s, RULE_15) == [Fact.COUNTED_OTHER, Fact.MORE_OUT, Fact.MORE_OUT]
    place = next(p for p in station.chain() if p.record.kind == log.RecordType.CHECKPOINT)
    assert subjects(s, RULE_15) == [place.name, *[other.station.hex()] * 2]


def test_stock_entries_are_what_the_records_give_unless_the_shelf_is_tainted() -> None:
    s, station, _ = village()
    other = s.station(2)
    for at in (station, other):
        stock(s, at, StockMove.RECEIVED, RICE, 100)
        book(s, at, Kind.STOCK_IN, A[:-1] + at.station[-1:], 100, other="supply/Bulog")
    s.post(ledger.debit(A, CASH, 5))
    assert facts(s, RULE_15) == [Fact.LEDGER_MISSING] * 2 + [Fact.LEDGER_UNEXPLAINED] * 2
    assert subjects(s, RULE_15) == ["ledger/missing"] * 2 + ["ledger/1", "ledger/2"]
    station.is_tainted = True
    assert subjects(s, RULE_15) == ["ledger/missing", "ledger/2"]
    s.record(station, log.Stock(StockMove.RECEIVED, None, GoodsLine(RICE, GRAM, 5)))
    assert subjects(s, RULE_15) == ["ledger/missing", "ledger/2"]


def test_a_tainted_station_does_not_end_the_judging_of_the_next() -> None:
    s, station, _ = village()
    other = s.station(2)
    for at in (station, other):
        s.record(at, log.Stock(StockMove.RECEIVED, None, GoodsLine(RICE, GRAM, 5)))
    station.is_tainted = True
    assert facts(s, RULE_15) == [Fact.NO_DELIVERY]


def test_hand_overs_on_a_receipt_set_aside_are_asked_of_no_ledger() -> None:
    s, station, card = village()
    ask = s.intent(station, card, W1, 1)
    ask.spoiled = True
    handed = s.hand(ask).record.hash
    assert facts(s, RULE_15) == []
    book(s, station, Kind.HANDED, handed, -5, other="handed/1")
    assert facts(s, RULE_15) == []
    book(s, station, Kind.HANDED, A, -5, other="handed/1")
    assert facts(s, RULE_15) == [Fact.LEDGER_UNEXPLAINED]
