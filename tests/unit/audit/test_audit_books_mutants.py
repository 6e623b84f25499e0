"""The ledger held to the objects, on worlds made by hand: amounts in figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend import ledger
from backend.audit import books
from backend.audit.facts import Fact
from backend.audit.goods import Shelf
from backend.audit.model import Card, Station
from backend.ledger import Kind
from tests.support.audit_small import CASH, FOOD, W1, W2, W3, Small
from wire.chain import Posting
from wire.objects import DecisionKind, FundRelease
from wire.receipt import Counters, StatementKind

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32
UNIT1, UNIT2 = "wallet-1", "wallet-2"


def village() -> tuple[Small, Station, Card]:
    """Two programmes, one station, one card with 500 of each."""
    s = Small()
    s.programme(CASH)
    s.programme(FOOD)
    station, card = s.station(), s.card()
    for wallet in (W1, W2):
        s.entitle(card, wallet, 500)
    return s, station, card


def pair(good: str, source: str, target: str, amount: int) -> dict:
    """Both legs."""
    return {(source, good): -amount, (target, good): amount}


def differ(s: Small, expected: dict, kinds: set[str]) -> list[tuple]:
    """Kind, evidence and good of each difference, what it is, and its place."""
    return [(*d.key, d.what.fact, d.sequence) for d in books.differences(s.world, expected, kinds)]


# --- expected entries ------------------------------------------------------------


def test_each_object_gives_its_entry() -> None:
    s, station, card = village()
    funds = s.object(FundRelease("SP2D", CASH, 900, s.time_s))
    again = s.entitle(card, W2, 500)  # no step
    less = s.entitle(card, W2, 450)
    more = s.entitle(card, W2, 650)
    held = s.debit(card, station, W2, 7)
    reversal = s.void(held, station)
    move = s.decide(DecisionKind.MOVE, card, W2, 30, new=card)
    back = s.decide(DecisionKind.RETURN, card, W1, 20)
    s.decide(DecisionKind.MOVE, card, W3, 30, new=card)
    s.decide(DecisionKind.PAY, card, W2, 30)
    s.decide(DecisionKind.WRITE_OFF, card, W2, 30, first=1, last=1)
    food, cash = (card.entitlements[w][0].entitlement.hash for w in (W1, W2))
    found = books.expected_wallets(s.world)
    reserve = {k: v for k, v in found.items() if k[0] in books.RESERVES}
    assert list(reserve.values()) == [pair(UNIT2, "reserved-loss/2", "reserve/2", 30)]
    assert {k: v for k, v in found.items() if k not in reserve} == {
        ("fund-release", funds, "rupiah"): pair("rupiah", "treasury", "funds/2", 900),
        ("issue", food, UNIT1): pair(UNIT1, "issued/1", "outstanding/1", 500),
        ("issue", cash, UNIT2): pair(UNIT2, "issued/2", "outstanding/2", 500),
        ("issue", more.entitlement.hash, UNIT2): pair(UNIT2, "issued/2", "outstanding/2", 150),
        ("debit", held.receipt.hash, UNIT2): pair(UNIT2, "outstanding/2", "redeemed/2", 7),
        ("reversal", reversal.receipt.hash, UNIT2): pair(UNIT2, "outstanding/2", "redeemed/2", -7),
        ("move", move, UNIT2): pair(UNIT2, "outstanding/2", "moved/2", 30),
        ("return", back, UNIT1): pair(UNIT1, "outstanding/1", "returned/1", 20),
    }
    assert (again.step, less.step) == (0, -50)


def test_what_a_debit_drew_above_what_was_issued_is_a_loss() -> None:
    s, station, card = village()
    card.entitlements[W2].clear()
    s.entitle(card, W2, 10)
    whole = s.debit(card, station, W2, 8, counters=Counters(100, 8, 0, 0))
    part = s.debit(card, station, W2, 5, counters=Counters(100, 13, 0, 0))
    beyond = s.debit(card, station, W2, 4, counters=Counters(100, 17, 0, 0))
    back = s.void(beyond, station, counters=Counters(100, 17, 0, 4))
    s.acknowledge(station)
    found = books.expected_wallets(s.world)
    got = {(k, held.receipt.sequence): found.get((k, held.receipt.hash, UNIT2))
           for held in (whole, part, beyond, back)
           for k in ("debit", "loss", "reversal")}  # fmt: skip
    loss, out = ("recorded-loss/2", "loss/2"), ("outstanding/2", "redeemed/2")
    assert {k: v for k, v in got.items() if v} == {
        ("debit", 1): pair(UNIT2, *out, 8), ("debit", 2): pair(UNIT2, *out, 2),
        ("loss", 2): pair(UNIT2, *loss, 3), ("loss", 3): pair(UNIT2, *loss, 4),
        ("loss", 4): pair(UNIT2, *loss, -4),
    }  # fmt: skip


def test_a_reversal_of_less_than_its_debit_lost_takes_back_the_loss_alone() -> None:
    s, station, card = village()
    card.entitlements[W2].clear()
    beyond = s.debit(card, station, W2, 5, counters=Counters(100, 5, 0, 0))
    back = s.void(beyond, station, amount=3, counters=Counters(100, 5, 0, 3))
    s.acknowledge(station)
    found = {k: v for k, v in books.expected_wallets(s.world).items() if k[1] == back.receipt.hash}
    assert found == {("loss", back.receipt.hash, UNIT2): pair(
        UNIT2, "recorded-loss/2", "loss/2", -5)}  # fmt: skip


# --- differences ------------------------------------------------------------


def test_an_entry_that_stands_on_its_object_is_no_difference() -> None:
    s = Small()
    s.post(ledger.debit(A, 2, 5))
    s.post(ledger.debit(B, 1, 6))
    expected = {("debit", A, UNIT2): pair(UNIT2, "outstanding/2", "redeemed/2", 5),
                ("debit", B, UNIT1): pair(UNIT1, "outstanding/1", "redeemed/1", 6)}  # fmt: skip
    assert differ(s, expected, {"debit"}) == []
    assert differ(s, {}, {"issue"}) == []


def test_missing_unexplained_and_other_entries_are_told_apart() -> None:
    s = Small()
    s.post(ledger.debit(A, 2, 5))
    s.post(ledger.debit(B, 2, 5))
    expected = {("debit", B, UNIT2): pair(UNIT2, "outstanding/2", "redeemed/2", 6),
                ("debit", C, UNIT2): pair(UNIT2, "outstanding/2", "redeemed/2", 7)}  # fmt: skip
    assert differ(s, expected, {"debit"}) == [
        ("debit", C, UNIT2, Fact.LEDGER_MISSING, 0),
        ("debit", A, UNIT2, Fact.LEDGER_UNEXPLAINED, 1),
        ("debit", B, UNIT2, Fact.LEDGER_OTHER, 2),
    ]
    s.world.aside_names |= {A, C}
    assert differ(s, expected, {"debit"}) == [("debit", B, UNIT2, Fact.LEDGER_OTHER, 2)]


@pytest.mark.parametrize("kind", [Kind.DEBIT, Kind.HANDED, Kind.STOCK_IN, Kind.UNPAYABLE])
def test_an_entry_booked_twice_is_one_too_many(kind: Kind) -> None:
    s = Small()
    for _ in range(3):
        s.post(ledger.move(kind, A, "beras", 5, source="x", target="y"))
    s.post(ledger.move(kind, B, "beras", 9, source="x", target="y"))
    expected = {(str(kind), A, "beras"): pair("beras", "x", "y", 5)}
    assert differ(s, expected, {str(kind)}) == [
        (str(kind), A, "beras", Fact.LEDGER_UNEXPLAINED, 2),
        (str(kind), A, "beras", Fact.LEDGER_UNEXPLAINED, 3),
        (str(kind), B, "beras", Fact.LEDGER_UNEXPLAINED, 4),
    ]


def test_of_an_entry_booked_twice_each_good_is_one_too_many() -> None:
    s = Small()
    legs = [("x", "beras", -5), ("y", "beras", 5), ("x", "minyak", -1), ("y", "minyak", 1)]
    for _ in range(2):
        s.post(ledger.Transfer(Kind.HANDED, A, tuple(Posting(*leg) for leg in legs)))
    expected = {("handed", A, "beras"): pair("beras", "x", "y", 5),
                ("handed", A, "minyak"): pair("minyak", "x", "y", 1)}  # fmt: skip
    again = [("handed", A, good, Fact.LEDGER_UNEXPLAINED, 2) for good in ("beras", "minyak")]
    assert differ(s, expected, {"handed"}) == again


def lost(s: Small, amount: int, other: str = "stock-loss/1", name: bytes = A) -> None:
    s.post(ledger.move(Kind.STOCK_LOSS, name, "beras", amount, source=other, target="stock/1"))


def test_losses_of_one_record_add_up() -> None:
    s = Small()
    for amount in (-7, 4, -2):
        lost(s, amount)
    expected = {("stock-loss", A, "beras"): pair("beras", "stock-loss/1", "stock/1", -5)}
    assert differ(s, expected, {"stock-loss"}) == []
    lost(s, 5)
    assert differ(s, {}, {"stock-loss"}) == []  # booked and turned round
    assert differ(s, expected, {"stock-loss"}) == [
        ("stock-loss", A, "beras", Fact.LEDGER_MISSING, 1)
    ]
    lost(s, 1)
    assert differ(s, {}, {"stock-loss"}) == [("stock-loss", A, "beras", Fact.LEDGER_UNEXPLAINED, 1)]


def test_losses_onto_different_accounts_add_up_account_by_account() -> None:
    s = Small()
    lost(s, -7)
    lost(s, 7, other="elsewhere")
    lost(s, -1, name=B)
    expected = {
        ("stock-loss", A, "beras"): {("stock-loss/1", "beras"): 7, ("stock/1", "beras"): 0,
                                     ("elsewhere", "beras"): -7},
        ("stock-loss", B, "beras"): pair("beras", "stock-loss/1", "stock/1", -1),
    }  # fmt: skip
    assert differ(s, expected, {"stock-loss"}) == []


def test_losses_of_two_goods_add_up_good_by_good() -> None:
    s = Small()
    for rice, oil in ((-7, -1), (4, 0), (1, -2)):
        legs = [("x", "beras", -rice), ("y", "beras", rice), ("x", "minyak", -oil),
                ("y", "minyak", oil)]  # fmt: skip
        s.post(ledger.Transfer(Kind.STOCK_LOSS, A, tuple(Posting(*leg) for leg in legs)))
    expected = {("stock-loss", A, "beras"): pair("beras", "x", "y", -2),
                ("stock-loss", A, "minyak"): pair("minyak", "x", "y", -3)}  # fmt: skip
    assert differ(s, expected, {"stock-loss"}) == []


def test_what_clears_a_reserve_is_booked_the_other_way() -> None:
    s, station, card = village()
    s.hotlist(1, card)
    move = s.decide(DecisionKind.MOVE, card, W2, 30, new=card)
    lost = s.lose(station)
    found = books.expected_wallets(s.world)
    assert {k: v for k, v in found.items() if k[0] in books.RESERVES} == {
        ("reserve", move, UNIT2): pair(UNIT2, "reserved-loss/2", "reserve/2", 30),
        ("reserve-cleared", lost, UNIT2): pair(UNIT2, "reserved-loss/2", "reserve/2", -30),
    }


def test_a_move_of_nothing_reserves_nothing_under_the_name_the_backend_books() -> None:
    s, station, card = village()
    move = s.decide(DecisionKind.MOVE, card, W2, 0, new=card)
    found = books.expected_wallets(s.world)
    assert station.last == 0
    assert found["reserve", move, UNIT2] == pair(UNIT2, "reserved-loss/2", "reserve/2", 0)
    assert not any(kind == "reserve-cleared" for kind, _, _ in found)


def test_stock_entries_of_every_shelf_are_expected_good_by_good() -> None:
    one, two = Shelf(), Shelf()
    legs = [pair(good, "x", "y", n) for good, n in (("beras", 5), ("minyak", 6), ("beras", 7))]
    one.postings += [("handed", A, legs[0]), ("handed", A, legs[1])]
    two.postings += [("stock-in", B, legs[2])]
    assert books.goods_expected({b"1": one, b"2": two}) == {
        ("handed", A, "beras"): legs[0], ("handed", A, "minyak"): legs[1],
        ("stock-in", B, "beras"): legs[2],
    }  # fmt: skip


def test_other_entries_of_nothing_are_still_entries() -> None:
    s = Small()
    s.post(ledger.move(Kind.HANDED, A, "beras", 0, source="x", target="y"))
    assert differ(s, {}, {"handed"}) == [("handed", A, "beras", Fact.LEDGER_UNEXPLAINED, 1)]


def test_each_good_of_an_entry_is_judged_by_itself_and_legs_on_one_account_add_up() -> None:
    s = Small()
    legs = [("x", "beras", -5), ("y", "beras", 3), ("y", "beras", 2), ("x", "minyak", -1),
            ("y", "minyak", 1)]  # fmt: skip
    s.post(ledger.Transfer(Kind.HANDED, A, tuple(Posting(*x) for x in legs)))
    expected = {("handed", A, "beras"): pair("beras", "x", "y", 5)}
    assert differ(s, expected, {"handed"}) == [("handed", A, "minyak", Fact.LEDGER_UNEXPLAINED, 1)]


# --- forfeits ------------------------------------------------------------


def test_forfeited_is_the_highest_f_anything_proven_shows() -> None:
    s, station, card = village()
    other = s.card(2)
    first = s.debit(card, station, W2, 1, counters=Counters(500, 1, 4, 0))
    s.debit(card, station, W2, 1, counters=Counters(500, 2, 3, 0))
    s.statement(card, station, StatementKind.LOAD, W1, counters=Counters(500, 0, 6, 0))
    s.statement(other, station, StatementKind.LOAD, W2, counters=Counters(500, 0, 9, 0))
    found = {c: dict(w) for c, w in books.forfeited(s.world).items()}
    assert found == {card.card_id: {W2: 4, W1: 6}, other.card_id: {W2: 9}}
    s.world.aside_names.add(first.receipt.hash)
    found = {c: dict(w) for c, w in books.forfeited(s.world).items()}
    assert found == {card.card_id: {W2: 3, W1: 6}, other.card_id: {W2: 9}}
    assert books.forfeited(Small().world)[card.card_id][W2] == 0


def test_forfeits_are_booked_on_what_shows_them() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    said = s.statement(card, station, StatementKind.LOAD, W1).statement
    aside = s.debit(card, station, W2, 1)
    s.world.aside_names.add(aside.receipt.hash)
    s.post(ledger.debit(held.receipt.hash, 2, 1))
    s.post(ledger.forfeit(aside.receipt.hash, 2, 50))
    for name, code, amount in ((held.receipt.hash, 2, 3), (held.receipt.hash, 2, 4),
                               (said.hash, 1, 5)):  # fmt: skip
        s.post(ledger.forfeit(name, code, amount))
    booked, strange = books.forfeits_booked(s.world)
    assert booked == {(card.card_id, W2): 7, (card.card_id, W1): 5}
    assert strange == []


def test_forfeits_on_nothing_or_of_another_shape_are_strange_and_the_next_is_booked() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    loose = s.debit(card, station, W3, 1, counters=Counters(9, 1, 0, 0)).receipt.hash
    name, out = held.receipt.hash, "outstanding/2"
    wrong = [
        ledger.forfeit(A, 2, 5),
        ledger.forfeit(loose, 3, 5),
        ledger.forfeit(name, 1, 5),
        ledger.move(Kind.FORFEIT, name, UNIT2, 5, source=out, target="moved/2"),
        ledger.move(Kind.FORFEIT, name, UNIT2, 5, source="issued/2", target="forfeited/2"),
        ledger.move(Kind.FORFEIT, name, UNIT1, 5, source=out, target="forfeited/2"),
        ledger.move(Kind.FORFEIT, loose, "wallet-None", 5, source="outstanding/None",
                    target="forfeited/None"),
        ledger.Transfer(Kind.FORFEIT, name, (Posting(out, UNIT2, 1), Posting("x", UNIT2, -1))),
    ]  # fmt: skip
    entries = [s.post(t) for t in wrong]
    s.post(ledger.forfeit(name, 2, 2))
    booked, strange = books.forfeits_booked(s.world)
    assert strange == entries
    assert booked == {(card.card_id, W2): 2}


def test_a_forfeit_of_nothing_known_but_of_a_shape_that_is_right_for_none() -> None:
    s, _, _ = village()
    none = ledger.move(Kind.FORFEIT, A, "wallet-None", 5, source="outstanding/None",
                       target="forfeited/None")  # fmt: skip
    entry = s.post(none)
    assert books.forfeits_booked(s.world) == ({}, [entry])
    empty = replace(entry, postings=(), sequence=2)
    s.world.ledger.append(empty)
    assert books.forfeits_booked(s.world) == ({}, [entry, empty])


def test_every_kind_is_judged_by_one_rule() -> None:
    assert {str(k) for k in Kind} == books.KNOWN_KINDS
    assert books.goods_expected({}) == {}
    parts = (books.WALLET_KINDS, books.PAYMENTS, books.GOODS, {books.FORFEIT})
    assert sum(map(len, parts)) == len(books.KNOWN_KINDS)
