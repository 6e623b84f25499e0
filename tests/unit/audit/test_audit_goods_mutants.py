"""The shelf of a station from its records, on worlds made by hand: figures of each good."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.audit import goods
from backend.audit.facts import Fact
from backend.audit.forms import Amount
from backend.audit.goods import Shelf
from backend.audit.model import Card, Held, Station
from tests.support.audit_small import CASH, FOOD, OTHER, W1, W2, W3, Small
from wire import log
from wire.log import StockMove
from wire.objects import GoodsLine, StockDelivery, Tariff, Unit

RICE, OIL = "beras", "minyak"
GRAM, ML = Unit.GRAM, Unit.MILLILITRE
BASKET = (Tariff(1, 150, (GoodsLine(RICE, GRAM, 5), GoodsLine(OIL, ML, 1))),
          Tariff(2, 160, (GoodsLine(RICE, GRAM, 7),)))  # fmt: skip


def village() -> tuple[Small, Station, Card]:
    """Baskets (5 rice, 1 oil) and cash counted, school not; one card, one station."""
    s = Small()
    s.programme(FOOD, unit=Unit.BASKET, tariffs=BASKET)
    s.programme(CASH)
    s.programme(OTHER, stocked=False)
    station, card = s.station(), s.card()
    for wallet in (W1, W2, W3):
        s.entitle(card, wallet, 500)
    return s, station, card


def deliver(s: Small, station: Station, *lines: tuple, provider: str = "Bulog") -> bytes:
    """A signed delivery of these goods."""
    made = tuple(GoodsLine(g, u, n) for g, u, n in lines)
    return s.object(StockDelivery("SJ", provider, station.station, made, s.time_s))


def stock(  # noqa: PLR0917 - the order of the record
    s: Small, station: Station, move: StockMove, good: str, quantity: int, name: bytes | None = None
) -> bytes:
    """A STOCK record; its hash. ``name``: of its delivery."""
    line = GoodsLine(good, GRAM, quantity)
    return s.record(station, log.Stock(move, name, line)).record.hash


def receive(s: Small, station: Station, good: str, quantity: int, *, signed: int | None = None,
            ) -> bytes:  # fmt: skip
    """So much comes in of a delivery that says so, or ``signed``; the record's hash."""
    name = deliver(s, station, (good, GRAM, quantity if signed is None else signed))
    return stock(s, station, StockMove.RECEIVED, good, quantity, name)


def count(s: Small, station: Station, **lines: int) -> None:
    """CHECKPOINT."""
    made = tuple(GoodsLine(g, GRAM, n) for g, n in lines.items())
    s.record(station, log.Checkpoint(0, made))


def shelf(s: Small, n: int = 1) -> Shelf:
    return goods.shelves(s.world)[b"TERM%04d" % n]


def faults(s: Small) -> list[Fact]:
    return [what.fact for _, what in shelf(s).faults]


def booked(s: Small, kind: str) -> list[tuple]:
    """Evidence, good, onto the shelf, and the other account of entries of a kind."""
    found = []
    for k, evidence, legs in shelf(s).postings:
        if k == kind:
            ((own, n), (other, m)) = legs.items()
            assert (own[0], own[1], n) == (f"stock/{b'TERM0001'.hex()}", other[1], -m)
            found.append((evidence, own[1], n, other[0]))
    return found


# --- what an amount is in goods ------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "version", "amount", "found"),
    [(FOOD, 1, 1, {RICE: 5, OIL: 1}), (FOOD, 1, 3, {RICE: 15, OIL: 3}), (FOOD, 2, 3, {RICE: 21}),
     (FOOD, 3, 3, {}), (CASH, 1, 70, {"rupiah": 70}), (OTHER, 1, 70, {})],
)  # fmt: skip
def test_what_an_amount_is_in_goods(code: int, version: int, amount: int, found: dict) -> None:
    s, _, _ = village()
    programme = next(p for p in s.world.programmes().values() if p.code == code)
    assert goods.goods_of(programme, version, amount) == found


def test_lines_of_one_good_in_a_tariff_add_up() -> None:
    s = Small()
    lines = (GoodsLine(RICE, GRAM, 5), GoodsLine(RICE, GRAM, 2))
    programme = s.programme(FOOD, unit=Unit.BASKET, tariffs=(Tariff(1, 1, lines),))
    assert goods.goods_of(programme, 1, 10) == {RICE: 70}


# --- what comes and goes ------------------------------------------------------------


def test_delivered_handed_out_lost_and_left() -> None:
    s, station, card = village()
    rice, oil = receive(s, station, RICE, 100), receive(s, station, OIL, 20)
    one, two = s.debit(card, station, W1, 2), s.debit(card, station, W1, 1)
    s.debit(card, station, W3, 9)
    lost = stock(s, station, StockMove.LOST, RICE, 30)
    found = shelf(s)
    assert (found.delivered, found.handed, found.loss) == (
        {RICE: 100, OIL: 20}, {RICE: 15, OIL: 3}, {RICE: 30}
    )  # fmt: skip
    assert found.left == {RICE: 55, OIL: 17}
    assert found.handed_by_programme == {FOOD: {RICE: 15, OIL: 3}, OTHER: {}}
    assert [found.difference(g) for g in (RICE, OIL)] == [0, 0]
    assert found.goods() == [RICE, OIL]
    assert (found.faults, found.is_tainted, found.counted) == ([], False, None)
    handed = [s.world.ask_of(h.receipt).delivered[0].hash for h in (one, two)]
    assert booked(s, "stock-in") == [(rice, RICE, 100, "supply/Bulog"),
                                     (oil, OIL, 20, "supply/Bulog")]  # fmt: skip
    assert booked(s, "handed") == [
        (handed[0], RICE, -10, "handed/1"), (handed[0], OIL, -2, "handed/1"),
        (handed[1], RICE, -5, "handed/1"), (handed[1], OIL, -1, "handed/1"),
    ]  # fmt: skip
    assert booked(s, "stock-loss") == [(lost, RICE, -30, f"stock-loss/{b'TERM0001'.hex()}")]


def test_stations_have_their_own_shelves() -> None:
    s, station, card = village()
    other = s.station(2)
    receive(s, station, RICE, 100)
    s.debit(card, other, W1, 2)
    assert (shelf(s).left, shelf(s, 2).left) == ({RICE: 100}, {RICE: -10, OIL: -2})
    assert list(goods.shelves(s.world)) == [b"TERM0001", b"TERM0002"]


def test_without_a_receipt_or_of_an_unknown_wallet_nothing_is_handed_out() -> None:
    s, station, card = village()
    s.hand(s.intent(station, card, W1, 2))
    s.debit(card, station, 7, 1, counters=s.counters[card.card_id, W1])
    assert (shelf(s).left, shelf(s).postings) == ({}, [])


def test_goods_sent_back_to_their_provider() -> None:
    s, station, _ = village()
    name = deliver(s, station, (RICE, GRAM, 100))
    stock(s, station, StockMove.RECEIVED, RICE, 100, name)
    back = stock(s, station, StockMove.SENT_BACK, RICE, 40, name)
    found = shelf(s)
    assert (found.delivered, found.left, found.faults) == ({RICE: 60}, {RICE: 60}, [])
    assert found.difference(RICE) == 0
    assert booked(s, "stock-back") == [(back, RICE, -40, "supply/Bulog")]


# --- voids ------------------------------------------------------------


def test_goods_come_back_by_a_proven_void_of_what_was_handed_over() -> None:
    s, station, card = village()
    receive(s, station, RICE, 100)
    void = s.void(s.debit(card, station, W1, 2), station)
    s.debit(card, station, W1, 1)
    returned = s.world.ask_of(void.receipt).returned[0].hash
    found = shelf(s)
    assert (found.handed, found.left) == ({RICE: 5, OIL: 1}, {RICE: 95, OIL: -1})
    assert found.handed_by_programme == {FOOD: {RICE: 5, OIL: 1}}
    assert booked(s, "returned-goods") == [(returned, RICE, 10, "handed/1"),
                                           (returned, OIL, 2, "handed/1")]  # fmt: skip


def back(s: Small, station: Station, held: Held, *, is_proven: bool) -> None:
    """RETURNED after a void, whether it is proven or not."""
    if is_proven:
        void = s.world.ask_of(s.void(held, station, back=False).receipt)
    else:
        void = s.void_ask(station, s.world.ask_of(held.receipt))
    void.returned.append(s.record(station, log.Returned(void.place.record.sequence)).record)


def test_nothing_comes_back_by_a_void_unproven_or_of_what_was_not_handed_over() -> None:
    s, station, card = village()
    back(s, station, s.debit(card, station, W1, 2), is_proven=False)
    back(s, station, s.debit(card, station, W1, 1, deliver=False), is_proven=True)
    assert shelf(s).handed == {RICE: 10, OIL: 2}
    assert booked(s, "returned-goods") == []
    void = next(a for a in station.asks.values() if a.is_void)
    void.void_of = None
    assert shelf(s).handed == {RICE: 10, OIL: 2}


def test_only_the_first_return_of_a_void_counts() -> None:
    s, station, card = village()
    void = s.world.ask_of(s.void(s.debit(card, station, W1, 2), station).receipt)
    void.returned.append(s.record(station, log.Returned(void.place.record.sequence)).record)
    s.debit(card, station, W1, 1)
    assert shelf(s).handed == {RICE: 5, OIL: 1}


# --- deliveries ------------------------------------------------------------


@pytest.mark.parametrize("signed", [99, 101])
def test_delivered_is_what_the_provider_signed(signed: int) -> None:
    s, station, _ = village()
    receive(s, station, RICE, 100, signed=signed)
    ((_, what),) = shelf(s).faults
    assert (what.fact, dict(what.values)) == (Fact.RECEIVED_OTHER, {
        "good": RICE, "quantity": Amount(100, GRAM), "signed": Amount(signed, GRAM)})  # fmt: skip
    assert (shelf(s).delivered, shelf(s).left) == ({RICE: signed}, {RICE: 100})


def test_lines_of_one_good_in_a_delivery_add_up_and_each_good_comes_once() -> None:
    s, station, _ = village()
    name = deliver(s, station, (RICE, GRAM, 60), (OIL, ML, 5), (RICE, GRAM, 40))
    stock(s, station, StockMove.RECEIVED, RICE, 100, name)
    stock(s, station, StockMove.RECEIVED, OIL, 5, name)
    again = deliver(s, station, (RICE, GRAM, 8))
    stock(s, station, StockMove.RECEIVED, RICE, 8, again)
    assert (shelf(s).delivered, faults(s)) == ({RICE: 108, OIL: 5}, [])
    stock(s, station, StockMove.RECEIVED, OIL, 5, name)
    assert (shelf(s).delivered, faults(s)) == ({RICE: 108, OIL: 5}, [Fact.RECEIVED_TWICE])
    assert shelf(s).left == {RICE: 108, OIL: 10}


@pytest.mark.parametrize("move", [StockMove.RECEIVED, StockMove.SENT_BACK])
def test_goods_of_no_delivery_or_another_terminal_s_do_not_move(move: StockMove) -> None:
    s, station, _ = village()
    other = deliver(s, s.station(2), (RICE, GRAM, 100))
    for name in (None, b"x" * 32, other):
        stock(s, station, move, RICE, 100, name)
    assert faults(s) == [Fact.NO_DELIVERY] * 3
    assert (shelf(s).left, shelf(s).postings, shelf(s).is_tainted) == ({}, [], False)
    s.world.aside_names.add(b"x" * 32)
    assert faults(s) == [Fact.NO_DELIVERY] * 2
    assert shelf(s).is_tainted
    s.world.aside_names = {other}
    assert faults(s) == [Fact.NO_DELIVERY] * 2


# --- counts ------------------------------------------------------------


@pytest.mark.parametrize(("counted", "is_right"), [(94, False), (95, True), (96, False)])
def test_a_checkpoint_counts_what_the_records_leave(counted: int, is_right: bool) -> None:
    s, station, card = village()
    receive(s, station, RICE, 100)
    receive(s, station, OIL, 1)
    s.debit(card, station, W1, 1)
    count(s, station, beras=counted)
    assert faults(s) == ([] if is_right else [Fact.COUNTED_OTHER])
    assert shelf(s).counted == {RICE: counted}
    assert shelf(s).difference(RICE) == 95 - counted
    if not is_right:
        ((_, what),) = shelf(s).faults
        assert dict(what.values) == {"good": RICE, "counted": Amount(counted, GRAM),
                                     "left": Amount(95, GRAM)}  # fmt: skip


def test_a_good_that_a_checkpoint_leaves_out_counts_nothing() -> None:
    s, station, _ = village()
    receive(s, station, RICE, 3)
    receive(s, station, OIL, 1)
    count(s, station, beras=3)
    assert faults(s) == [Fact.COUNTED_OTHER]
    assert (shelf(s).difference(OIL), shelf(s).difference(RICE)) == (1, 0)
    count(s, station, beras=3, minyak=1, gula=1)
    assert faults(s) == [Fact.COUNTED_OTHER] * 2


def test_more_out_than_in_counts_as_nothing_left() -> None:
    s, station, card = village()
    s.debit(card, station, W1, 1)
    count(s, station)
    assert faults(s) == []
    count(s, station, beras=1)
    assert faults(s) == [Fact.COUNTED_OTHER]


def test_what_the_terminal_counted_stands_only_while_it_is_its_last_record() -> None:
    s, station, _ = village()
    receive(s, station, RICE, 100)
    count(s, station, beras=90)
    assert shelf(s).difference(RICE) == 10
    s.record(station, log.Boot("x"))
    assert (shelf(s).counted, shelf(s).difference(RICE)) == (None, 0)


def spoiled(s: Small, station: Station, card: Card, wallet: int, amount: int) -> bytes:
    """A hand-over on a receipt that is set aside; the record's hash."""
    ask = s.intent(station, card, wallet, amount)
    ask.spoiled = True
    return s.hand(ask).record.hash


@pytest.mark.parametrize(
    ("counted", "is_right"), [(84, False), (85, True), (90, True), (100, True), (101, False)]
)
def test_goods_of_a_receipt_set_aside_may_be_there_or_not(counted: int, is_right: bool) -> None:
    s, station, card = village()
    receive(s, station, RICE, 100)
    records = {spoiled(s, station, card, W1, n) for n in (1, 2)}
    spoiled(s, station, card, 7, 2)
    count(s, station, beras=counted)
    assert faults(s) == ([] if is_right else [Fact.COUNTED_OTHER])
    found = shelf(s)
    assert (found.slack, found.handed, found.is_tainted) == ({RICE: 15, OIL: 3}, {}, False)
    assert found.skipped > records
    assert found.left == {RICE: 100}


def test_more_goods_of_receipts_set_aside_than_are_there() -> None:
    s, station, card = village()
    receive(s, station, RICE, 4)
    spoiled(s, station, card, W1, 1)
    count(s, station, beras=0)
    assert faults(s) == []


def test_a_void_set_aside_taints_the_shelf() -> None:
    s, station, card = village()
    void = s.void_ask(station, s.world.ask_of(s.debit(card, station, W1, 1).receipt))
    assert not shelf(s).is_tainted
    void.spoiled = True
    assert shelf(s).is_tainted
    again = s.void_ask(station, void.void_of)
    again.spoiled = True
    assert shelf(s).is_tainted
    void.spoiled, again.spoiled, station.is_tainted = False, False, True
    assert shelf(s).is_tainted


@pytest.mark.parametrize(("counted", "lost"), [(90, 10), (100, 0), (105, -5), (0, 100)])
def test_a_count_of_the_shelf_loses_what_is_not_there(counted: int, lost: int) -> None:
    s, station, _ = village()
    receive(s, station, RICE, 100)
    name = stock(s, station, StockMove.COUNTED, RICE, counted)
    found = shelf(s)
    assert (found.left[RICE], found.loss[RICE], found.difference(RICE)) == (counted, lost, 0)
    account = f"stock-loss/{b'TERM0001'.hex()}"
    assert booked(s, "stock-loss") == ([(name, RICE, -lost, account)] if lost else [])
    count(s, station, beras=counted)
    assert faults(s) == []


# --- TERMINAL_LOST ------------------------------------------------------------


def closed() -> tuple[Small, Station, Card, bytes]:
    """100 rice came, 10 went out, then the terminal is lost; a record later 5 more go out."""
    s, station, card = village()
    receive(s, station, RICE, 100)
    s.debit(card, station, W1, 2)
    name = s.lose(station)
    return s, station, card, name


def test_what_nobody_can_count_any_more_is_lost() -> None:
    s, _, _, name = closed()
    found, account = shelf(s), f"stock-loss/{b'TERM0001'.hex()}"
    assert (found.left, found.loss) == ({RICE: 0, OIL: 0}, {RICE: 90, OIL: -2})
    assert (found.unseen, found.should_be()) == ({RICE: 90, OIL: -2}, {RICE: 90, OIL: -2})
    assert booked(s, "stock-loss") == [(name, RICE, -90, account), (name, OIL, 2, account)]
    assert [found.difference(g) for g in (RICE, OIL)] == [0, 0]


def test_records_that_come_later_change_what_is_lost() -> None:
    s, station, card, name = closed()
    held = s.debit(card, station, W1, 1)
    handed = s.world.ask_of(held.receipt).delivered[0].hash
    found, account = shelf(s), f"stock-loss/{b'TERM0001'.hex()}"
    assert (found.left, found.loss) == ({RICE: 0, OIL: 0}, {RICE: 85, OIL: -3})
    assert (found.unseen, found.handed) == ({RICE: 85, OIL: -3}, {RICE: 15, OIL: 3})
    assert booked(s, "stock-loss")[2:] == [(handed, RICE, 5, account), (handed, OIL, 1, account)]
    assert booked(s, "stock-loss")[0][0] == name
    count(s, station, beras=85)
    assert (faults(s), shelf(s).counted) == ([], None)
    count(s, station, beras=84)
    assert faults(s) == [Fact.COUNTED_OTHER]


def test_what_a_closed_terminal_writes_off_is_in_the_loss_account_already() -> None:
    s, station, _, _ = closed()
    before = len(shelf(s).postings)
    stock(s, station, StockMove.LOST, RICE, 30)
    found = shelf(s)
    assert (found.unseen[RICE], found.loss[RICE], len(found.postings)) == (60, 90, before)
    stock(s, station, StockMove.COUNTED, RICE, 50)
    found = shelf(s)
    assert (found.unseen[RICE], found.loss[RICE], len(found.postings)) == (50, 90, before)


def test_a_terminal_lost_before_anything_came() -> None:
    s, station, card = village()
    name = s.lose(station, 0)
    receive(s, station, RICE, 100)
    s.debit(card, station, W1, 2)
    found = shelf(s)
    assert (found.left, found.loss) == ({RICE: 0, OIL: 0}, {RICE: 90, OIL: -2})
    assert name not in {e for _, e, _ in found.postings}


@pytest.mark.parametrize("by", [-1, 0, 1])
def test_a_shelf_is_closed_after_the_last_record_named(by: int) -> None:
    s, station, *_ = closed()
    handed = station.last
    station.lost = replace(station.lost, last=handed - 1 + by)
    assert shelf(s).postings[-1][0] == "stock-loss"
    first_loss = booked(s, "stock-loss")[0]
    assert first_loss[2] == (-90 if by == 1 else -100)


def test_an_empty_shelf_loses_nothing() -> None:
    s, station, _ = village()
    receive(s, station, RICE, 10)
    stock(s, station, StockMove.LOST, RICE, 10)
    s.lose(station)
    assert len(booked(s, "stock-loss")) == 1
    assert shelf(s).loss == {RICE: 10}
