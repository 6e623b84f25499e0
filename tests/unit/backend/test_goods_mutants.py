"""Goods by record: what is on the shelf, what was handed over, what is lost."""

from __future__ import annotations

import pytest
from sqlmodel import Session, select

from backend import ledger
from backend.models import Hold, Object, ScriptRow, StatementRow
from tests.support import backend_rows as rows
from tests.support.backend_rows import (
    CODE,
    NOW_S,
    ONE,
    THREE,
    TWO,
    A,
    B,
    C,
    name,
)  # fmt: skip
from tests.unit.backend.test_records_mutants import LOST, SHELF, Log, delivered, session, two
from wire import cbor, log
from wire.log import StockMove
from wire.objects import GoodsLine, StockDelivery, Tariff, Unit
from wire.receipt import StatementKind

__all__ = ["session", "two"]
BASKET = (
    Tariff(1, 100, (GoodsLine("beras", Unit.GRAM, 5), GoodsLine("gula", Unit.GRAM, 2))),
    Tariff(2, 100, (GoodsLine("beras", Unit.GRAM, 7),)),
)


def goods(two: Log) -> list[tuple[str, str, str, int]]:
    """(kind, good, the other account, onto the shelf) to be posted, since the last time."""
    told = [(str(t.kind), t.postings[1].good, t.postings[0].account, t.postings[1].amount)
            for t in two.book.transfers]  # fmt: skip
    assert all(t.postings[1].account == SHELF for t in two.book.transfers)
    two.book.transfers.clear()
    return told


def test_a_basket_is_its_goods(two: Log) -> None:
    rows.programme(two.session, version=2, unit=Unit.BASKET, tariffs=BASKET)
    delivered(two, amount=3)
    two.add(8, log.Delivered(7))
    handed = f"handed/{CODE}"
    assert goods(two) == [("handed", "beras", handed, -15), ("handed", "gula", handed, -6)]
    two.add(9, log.VoidIntent(7, B, 1, 1, 0, True, "x"))
    two.intent(9).receipt = name("r")
    two.add(10, log.Returned(9))
    assert goods(two) == [("returned-goods", "beras", handed, 15),
                          ("returned-goods", "gula", handed, 6)]  # fmt: skip
    two.found()


def test_the_goods_are_those_of_the_version_asked_for(two: Log) -> None:
    rows.programme(two.session, version=2, unit=Unit.BASKET, tariffs=BASKET)
    delivered(two, amount=3).basket_version = 2
    two.add(8, log.Delivered(7))
    assert goods(two) == [("handed", "beras", f"handed/{CODE}", -21)]


def test_rupiah_are_counted_one_by_one(two: Log) -> None:
    rows.programme(two.session, version=2, unit=Unit.RUPIAH, tariffs=(Tariff(1, 1, ()),))
    delivered(two, amount=30)
    two.add(8, log.Delivered(7))
    assert goods(two) == [("handed", "rupiah", f"handed/{CODE}", -30)]


@pytest.mark.parametrize("unit", [u for u in Unit if u not in {Unit.RUPIAH, Unit.BASKET}])
def test_pieces_and_visits_are_no_goods(two: Log, unit: Unit) -> None:
    rows.programme(two.session, version=2, unit=unit)
    delivered(two)
    two.add(8, log.Delivered(7))
    assert goods(two) == []


def test_what_is_not_stocked_is_not_counted(two: Log) -> None:
    rows.programme(two.session, version=2, unit=Unit.BASKET, tariffs=BASKET, stocked=False)
    delivered(two)
    two.add(8, log.Delivered(7))
    delivered(two, 9, wallet=99)
    two.add(10, log.Delivered(9))
    assert goods(two) == []
    two.found()


# --- stock -------------------------------------------------------------------------------------


def line(quantity: int, good: str = "beras") -> GoodsLine:
    return GoodsLine(good, Unit.GRAM, quantity)


def delivery(session: Session, terminal: bytes = TWO) -> bytes:
    shape = StockDelivery("D-1", "Bulog", terminal, (line(9),), NOW_S)
    return rows.signed(session, shape, f"D-{terminal.hex()}")


def test_goods_come_and_go_with_a_signed_delivery(two: Log) -> None:
    sent = delivery(two.session)
    two.add(1, log.Stock(StockMove.RECEIVED, sent, line(9)))
    assert goods(two) == [("stock-in", "beras", "supply/Bulog", 9)]
    two.add(2, log.Stock(StockMove.SENT_BACK, sent, line(4)))
    assert goods(two) == [("stock-back", "beras", "supply/Bulog", -4)]
    two.found()


@pytest.mark.parametrize("move", [StockMove.RECEIVED, StockMove.SENT_BACK])
def test_no_goods_without_a_delivery_to_this_terminal(two: Log, move: StockMove) -> None:
    others = [delivery(two.session, at) for at in (ONE, THREE)]
    decree = two.session.exec(select(Object.hash).where(Object.kind == "programme")).first()
    for n, named in enumerate((None, name("x"), *others, decree), 1):
        two.add(n, log.Stock(move, named, line(9)))
        two.found((15, n))
    assert goods(two) == []


def onto(session: Session, at: bytes, good: str, n: int) -> None:
    ledger.post(session, [ledger.stock(ledger.Kind.STOCK_IN, name(), good, n, terminal=at,
                                       other="supply/Bulog")], NOW_S)  # fmt: skip


def test_a_count_books_what_is_missing(two: Log) -> None:
    for at, good, n in ((TWO, "beras", 100), (ONE, "beras", 7), (THREE, "beras", 11),
                        (TWO, "abon", 13), (TWO, "gula", 17)):  # fmt: skip
        onto(two.session, at, good, n)
    two.add(1, log.Stock(StockMove.COUNTED, None, line(100)))
    assert goods(two) == []
    two.add(2, log.Stock(StockMove.COUNTED, None, line(97)))
    assert rows.legs(two.book.transfers)[0][1] == rows.record(
        2, log.Stock(StockMove.COUNTED, None, line(97))).hash  # fmt: skip
    # What this batch posts is counted, too.
    two.add(3, log.Stock(StockMove.COUNTED, None, line(97)))
    two.add(4, log.Stock(StockMove.COUNTED, None, line(98)))
    assert goods(two) == [("stock-loss", "beras", LOST, -3), ("stock-loss", "beras", LOST, 1)]
    two.add(5, log.Stock(StockMove.COUNTED, None, line(101)))
    assert goods(two) == [("stock-loss", "beras", LOST, 1)]


def test_lost_is_lost(two: Log) -> None:
    two.add(1, log.Stock(StockMove.LOST, None, line(4)))
    assert goods(two) == [("stock-loss", "beras", LOST, -4)]


def test_a_lost_terminal_has_no_shelf(two: Log) -> None:
    """Its shelf was written off: what a later record brings or takes is more or less lost."""
    sent = delivery(two.session)
    two.station.lost = name("lost")
    for n, (move, named) in enumerate(((StockMove.COUNTED, None), (StockMove.LOST, None)), 1):
        two.add(n, log.Stock(move, named, line(5)))
    assert goods(two) == []
    two.add(3, log.Stock(StockMove.RECEIVED, sent, line(9)))
    assert goods(two) == [("stock-in", "beras", "supply/Bulog", 9),
                          ("stock-loss", "beras", LOST, -9)]  # fmt: skip
    two.add(4, log.Stock(StockMove.SENT_BACK, sent, line(9)))
    assert goods(two) == [("stock-back", "beras", "supply/Bulog", -9),
                          ("stock-loss", "beras", LOST, 9)]  # fmt: skip


# --- what cards did here -----------------------------------------------------------------------


def test_a_receipt_or_statement_is_carried_home(two: Log) -> None:
    rows.entitlement(two.session, 1000)
    receipt, statement = rows.receipt(3, terminal=ONE), rows.statement(StatementKind.PIN_SET)
    two.add(1, log.Collected(two.item(receipt)))
    two.add(2, log.Collected(two.item(statement)))
    two.found()
    assert two.session.get(rows.ReceiptRow, receipt.hash) is not None
    assert two.session.get(StatementRow, statement.hash) is not None


@pytest.mark.parametrize("what", ["pin", "handover"])
def test_a_statement_at_this_station(two: Log, what: str) -> None:
    of_card = rows.statement(StatementKind.ACTIVATION)
    raw = two.item(of_card)
    two.add(1, log.Pin(raw) if what == "pin" else log.Handover("B-1", 1, "Balai", "", raw))
    assert two.session.get(StatementRow, of_card.hash) is not None
    two.found()


def test_a_load_stands_on_an_entitlement_of_the_log(two: Log) -> None:
    of_card = rows.statement(StatementKind.LOAD, counters=(5, 0, 0, 0))
    e = rows.entitlement(two.session, 5)
    two.add(1, log.Load(name("x"), two.item(of_card)))
    two.found((19, 1))
    assert two.session.get(StatementRow, of_card.hash) is None
    two.add(2, log.Load(e.hash, two.item(of_card)))
    two.found()
    assert two.session.get(StatementRow, of_card.hash) is not None


def test_a_script_stands_in_the_log(two: Log) -> None:
    of_card = rows.statement(StatementKind.SCRIPT, number=1, script_count=1)
    two.add(1, log.ScriptDone(name("x"), two.item(of_card)))
    two.found((19, 1))
    assert two.session.get(StatementRow, of_card.hash) is None
    rows.put(two.session, ScriptRow(hash=name("s"), card_id=B, number=1, action=1, raw=b""))
    two.add(2, log.ScriptDone(name("s"), two.item(of_card)))
    two.found()
    assert two.session.get(StatementRow, of_card.hash) is not None


# --- disputes ----------------------------------------------------------------------------------


def test_a_dispute_holds_the_receipt_it_names(two: Log) -> None:
    receipt = rows.receipt(3)
    rows.held(two.session, receipt)
    others = [(B, 3, bytes(32)), (B, 3, b"\xff" * 32), (B, 4, receipt.hash), (A, 3, receipt.hash)]
    for n, (card_id, at, named) in enumerate(others, 1):
        two.add(n, log.Dispute(card_id, at, named))
        two.found((8, n))
    assert two.session.exec(select(Hold)).all() == []
    record = two.add(9, log.Dispute(B, 3, receipt.hash))
    two.found()
    assert [(h.receipt, h.why, h.evidence) for h in two.session.exec(select(Hold))] == [
        (receipt.hash, "disputed", record.hash)]  # fmt: skip
    assert two.judged() == {(B, 3)}


@pytest.mark.parametrize("first", [True, False])
def test_a_dispute_over_a_clones_other_body_is_no_second_finding(two: Log, *, first: bool) -> None:
    small, large = sorted((rows.receipt(3, 10), rows.receipt(3, 11)), key=lambda r: r.hash)
    kept, clone = (small, large) if first else (large, small)
    rows.held(two.session, kept)
    two.add(1, log.Collected(two.item(clone)))
    wanted = [(3, f"{B.hex()}/3/{clone.hash.hex()}")]
    assert rows.findings(two.session) == wanted
    two.add(2, log.Dispute(B, 3, clone.hash))
    assert rows.findings(two.session) == wanted
    for n, other in ((3, bytes(32)), (4, b"\xff" * 32)):
        two.add(n, log.Dispute(B, 3, other))
        wanted.append((8, f"{TWO.hex()}/{n}"))
        assert rows.findings(two.session) == wanted


# --- SYNC --------------------------------------------------------------------------------------


def test_a_sync_is_of_a_bundle_that_was_issued(two: Log) -> None:
    low, mid, high = sorted(name(n) for n in range(3))
    rows.put(two.session, Object(kind="bundle", payload=b"", raw=b"x", hash=mid, name="1"),
             Object(kind="bundle", payload=b"", hash=high, name="2"))  # fmt: skip
    for n, bundle in enumerate((low, high, name(9)), 1):
        two.add(n, log.Sync(1, 1, bundle, 99, (3, 4)))
        two.found((19, n))
    assert two.station.hotlist_version == 0
    assert (two.station.synced_s, two.station.pending) == (NOW_S, cbor.encode([3, 4]))
    for version, known in ((3, 3), (2, 3), (4, 4)):
        two.add(10 + version, log.Sync(1, 1, mid, version, ()))
        assert two.station.hotlist_version == known
    two.found()
    assert two.station.pending == cbor.encode([])
    assert [s.hotlist_version for s in two.session.exec(select(rows.Station))] == [0, 4, 0]


def test_a_sync_ends_what_waited_for_it_alone(two: Log) -> None:
    for n, card_id in enumerate((A, B, C), 1):
        held = two.session.get(rows.Card, card_id)
        assert held is not None
        held.blocked_version = n
        rows.reserve(two.session, 10 * n, card_id=card_id)
    rows.put(two.session, Object(kind="bundle", payload=b"", raw=b"x", hash=name(), name="1"))
    record = two.add(1, log.Sync(1, 1, name(), 2, ()))
    assert two.legs() == [("reserve-cleared", record.hash, f"reserved-loss/{CODE}", 30)]
