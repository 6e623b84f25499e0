"""One day of several cards at several terminals, to the last figure.

Whoever is asked about has neighbours on both sides, in cards, wallets, stations and sequences, so
that a question about one of them that is answered with another's rows is noticed.
"""

from __future__ import annotations

from collections import Counter

import pytest
from sqlmodel import select

from backend import ledger
from backend.models import Card, FindingRow, Payable, ReceiptRow, WalletState
from tests.support.backend_world import CASH, FOOD, BackendWorld, SoftCard, SoftStation
from tests.unit.backend.test_losses import OIL, RICE, SUGAR, deliver
from wire import log
from wire.objects import GoodsLine, Unit
from wire.receipt import Counters, Receipt, ReceiptKind, StatementKind


def balances(world: BackendWorld) -> dict[tuple[str, str], int]:
    with world.office.db.read() as session:
        return ledger.balances(session)


def held(world: BackendWorld) -> dict[tuple[int, int], str]:
    """(last byte of the card's id, sequence) → why its debit is not payable."""
    with world.office.db.read() as session:
        return {(r.card_id[-1], r.sequence): r.held for r in session.exec(select(ReceiptRow))}


def findings(world: BackendWorld) -> list[tuple[int, str]]:
    with world.office.db.read() as session:
        return sorted((f.invariant, f.owner) for f in session.exec(select(FindingRow)))


def wallets(world: BackendWorld) -> dict[tuple[int, int], tuple[int, int, int, int]]:
    with world.office.db.read() as session:
        return {(w.card_id[-1], w.wallet): (w.loaded, w.debited, w.forfeited, w.reversed)
                for w in session.exec(select(WalletState))}  # fmt: skip


@pytest.fixture
def three(ready: BackendWorld) -> tuple[list[SoftCard], list[SoftStation]]:
    """Three cards with food and cash, and three terminals with goods for them."""
    both = [c for c in ready.cards(10) if {FOOD, CASH} <= set(c.wallets)][:3]
    assert len(both) == 3
    stations = [ready.terminal(name) for name in (b"TERM0001", b"TERM0002", b"TERM0003")]
    for station in stations:
        goods = deliver(ready, station, RICE, OIL, SUGAR)
        for line in (RICE, OIL, SUGAR):
            station.receive(goods, line)
    return both, stations


def play(cards: list[SoftCard], stations: list[SoftStation]) -> None:
    """Each card takes food once and cash at two terminals; the middle ones also take back."""
    one, two, three = stations
    a, b, c = cards
    intent, receipt = two.debit(b, FOOD, 1)
    two.void(b, intent, receipt, on_counter=True)
    for at, card in ((one, a), (two, b), (three, c)):
        at.debit(card, FOOD, 1)
        at.debit(card, CASH, 1000 * card.sequence)
    for at, card in ((two, a), (three, b), (one, c)):
        at.debit(card, CASH, 100 * card.sequence)
    intent, receipt = two.debit(b, CASH, 700)
    two.void(b, intent, receipt, on_counter=True)
    intent, receipt = two.debit(b, CASH, 7, deliver=False)
    two.void(b, intent, receipt)
    two.debit(c, CASH, 50, deliver=False)
    two.debit(a, CASH, 60)


def test_a_day_adds_up(ready: BackendWorld, three) -> None:
    cards, stations = three
    before = balances(ready)
    play(cards, stations)
    for station in (stations[1], stations[0], stations[2]):
        station.send()
    assert findings(ready) == []
    after = balances(ready)
    change = {k: after.get(k, 0) - before.get(k, 0) for k in set(before) | set(after)}
    change = {k: n for k, n in change.items() if n}
    a, b, c = (x.card_id[-1] for x in cards)
    assert {k: w for k, w in held(ready).items() if w} == {
        (b, 1): "reversed", (b, 6): "reversed", (b, 8): "not-delivered,reversed",
        (c, 4): "not-delivered",
    }  # fmt: skip
    cash = {"5445524d30303031": 1000 + 200, "5445524d30303032": 3000 + 200 + 60,
            "5445524d30303033": 1000 + 400}  # fmt: skip
    paid = sum(cash.values())
    wanted = {("payable/Bank Kalteng", "rupiah"): -paid, ("spent/258", "rupiah"): paid,
              ("handed/258", "rupiah"): paid, ("redeemed/258", "wallet-258"): paid + 50,
              ("outstanding/258", "wallet-258"): -paid - 50, ("spent/257", "rupiah"): 450_000,
              ("payable/Perum Bulog", "rupiah"): -450_000, ("redeemed/257", "wallet-257"): 3,
              ("outstanding/257", "wallet-257"): -3}  # fmt: skip
    for good, sent, basket in (("beras", 500_000, 5_000), ("minyak", 100_000, 1_000),
                               ("gula", 100_000, 1_000)):  # fmt: skip
        wanted["supply/Perum Bulog", good] = -3 * sent
        wanted["handed/257", good] = 3 * basket
        wanted |= {(f"stock/{name}", good): sent - basket for name in cash}
    wanted |= {(f"stock/{name}", "rupiah"): -n for name, n in cash.items()}
    assert change == wanted
    assert wallets(ready) == {
        (a, FOOD): (1, 1, 0, 0), (a, CASH): (250_000, 1260, 0, 0),
        (b, FOOD): (1, 2, 0, 1), (b, CASH): (250_000, 4107, 0, 707),
        (c, FOOD): (1, 1, 0, 0), (c, CASH): (250_000, 1250, 0, 0),
    }  # fmt: skip
    assert acknowledged(ready, cards) == [4, 9, 4]
    payments = {(p.provider, p.programme): p for p in ready.office.settle()}
    assert {k: (p.amount_minor, p.debits, p.taken_back) for k, p in payments.items()} == {
        ("Bank Kalteng", 258): (5860, 7, 0), ("Perum Bulog", 257): (450_000, 3, 0),
    }  # fmt: skip
    assert ready.office.settle() == []
    with ready.office.db.read() as session:
        rows = session.exec(select(Payable)).all()
        assert {p.settlement for p in rows} == {p.evidence for p in payments.values()}
    # The one at the third terminal is taken back after it was paid, another one is paid.
    _, _, three_ = stations
    three_.debit(cards[2], CASH, 5000)
    newest = [r for r in three_.records if r.kind is log.RecordType.INTENT][-1]
    ready.office.settle()
    three_.send()
    assert [(p.amount_minor, p.debits, p.taken_back) for p in ready.office.settle()] == [
        (5000, 1, 0)]  # fmt: skip
    receipt = Receipt.parse(three_.records[-2].body.receipt)
    three_.void(cards[2], newest, receipt, on_counter=True)
    three_.send()
    assert ready.office.settle() == []  # he owes more than he is owed
    three_.debit(cards[0], CASH, 5001)
    three_.send()
    assert [(p.amount_minor, p.debits, p.taken_back) for p in ready.office.settle()] == [
        (1, 1, 1)]  # fmt: skip
    assert findings(ready) == []


def acknowledged(world: BackendWorld, cards: list[SoftCard]) -> list[int]:
    """Up to which receipt nothing of each card is missing."""
    with world.office.db.read() as session:
        return [session.exec(select(Card.acknowledged).where(Card.card_id == c.card_id)).one()
                for c in cards]  # fmt: skip


def test_what_is_missing_stops_its_own_card_alone(ready: BackendWorld, three) -> None:
    """Uploads in another order: a gap holds nothing back but the acknowledgement of its card."""
    (a, b, c), (one, two, three_) = three
    one.debit(b, CASH, 10)
    two.debit(b, CASH, 20)
    three_.debit(b, CASH, 30)
    three_.debit(c, CASH, 40)
    two.debit(a, CASH, 50)
    three_.send()
    assert acknowledged(ready, [a, b, c]) == [0, 0, 1]
    assert wallets(ready)[b.card_id[-1], CASH] == (250_000, 60, 0, 0)
    one.send()
    assert acknowledged(ready, [a, b, c]) == [0, 1, 1]
    two.send()
    assert acknowledged(ready, [a, b, c]) == [1, 3, 1]
    assert findings(ready) == []
    assert set(held(ready).values()) == {""}


BAD = [  # what the second receipt of a card says otherwise, and the invariant that finds it
    ({"link": bytes(32)}, 5), ({"link": b"\xff" * 32}, 5),
    ({"counters": Counters(250_000, 31, 0, 0)}, 6), ({"counters": Counters(250_000, 29, 0, 0)}, 6),
    ({"counters": Counters(250_000, 31, 0, 1)}, 6), ({"counters": Counters(250_001, 30, 0, 0)}, 6),
    ({"entitlement_sequence": 9}, 7), ({"entitlement_sequence": 0}, 7), ({"bypass_count": 255}, 10),
]  # fmt: skip


def new(world: BackendWorld, station: SoftStation, before: Counter[tuple[int, str]]) -> set[int]:
    """The invariants that found something in what this station sends now."""
    station.send()
    return {invariant for invariant, _ in Counter(findings(world)) - before}


def test_a_second_receipt_that_does_not_follow(ready: BackendWorld) -> None:
    cards = [c for c in ready.cards(12) if CASH in c.wallets]
    station = ready.terminal(b"TERM0002")
    for card, (changes, found) in zip(cards, BAD, strict=True):
        station.debit(card, CASH, 10)
        assert new(ready, station, Counter(findings(ready))) == set()
        intent = station.intent(card, CASH, 20)
        made = card.receipt(ReceiptKind.DEBIT, station.name, intent, CASH, 20, **changes)
        station.add(log.Receipted(intent.sequence, bytes(made)))
        assert new(ready, station, Counter(findings(ready))) == {found}, changes


def test_a_receipt_of_another_intent(ready: BackendWorld, three) -> None:
    cards, (_, station, _) = three
    for what, change in (("sequence", 1), ("wallet", 1), ("wallet", -1), ("amount", 1),
                         ("amount", -1)):  # fmt: skip
        card = cards[1]
        before = Counter(findings(ready))
        asked = {"amount": 10, "wallet": CASH, "sequence": card.sequence}
        asked[what] += change
        intent = station.add(log.Intent(
            card.card_id, card.digest, asked["wallet"], asked["amount"], 1, (), asked["sequence"],
            1, 0, 1, 1, 1, ""))  # fmt: skip
        made = card.receipt(ReceiptKind.DEBIT, station.name, intent, CASH, 10)
        station.add(log.Receipted(intent.sequence, bytes(made)))
        assert new(ready, station, before) == {8}, (what, change)


def test_what_a_station_says_of_no_void_is_found(ready: BackendWorld, three) -> None:
    (_, card, _), (_, station, _) = three
    intent, _ = station.debit(card, CASH, 10)
    for body, found in ((log.Returned(intent.sequence), 9), (log.Returned(999), 9),
                        (log.GivenBack(intent.sequence), 9), (log.GivenBack(999), 9),
                        (log.Delivered(intent.sequence), 8), (log.Delivered(999), 8)):  # fmt: skip
        station.add(body)
        before = Counter(findings(ready))
        station.send()
        (new,) = Counter(findings(ready)) - before
        assert new == (found, station.name.hex()), body


@pytest.mark.parametrize("step", [0, 5])
def test_a_statement_raises_what_is_known(ready: BackendWorld, three, step: int) -> None:
    (a, b, c), (_, station, _) = three
    for card in (a, b, c):
        station.debit(card, CASH, 10)
    b.wallets[CASH] = Counters(250_000, 10 + step, 3, step)
    made = b.statement(StatementKind.LOAD, station.name, CASH)
    station.add(log.Collected(bytes(made)))
    station.send()
    before = balances(ready)
    assert wallets(ready)[b.card_id[-1], CASH] == (250_000, 10 + step, 3, step)
    assert wallets(ready)[a.card_id[-1], CASH] == (250_000, 10, 0, 0)
    assert before["forfeited/258", "wallet-258"] == 3
    doubted = {k for k, w in held(ready).items() if "unseen-reversal" in w}
    assert doubted == ({(b.card_id[-1], 1)} if step >= 10 else set())


def test_stock_moves_of_every_kind(ready: BackendWorld, three) -> None:
    _, (_, station, _) = three
    goods = next(r.body.delivery for r in station.records if r.kind is log.RecordType.STOCK)
    shelf = f"stock/{station.name.hex()}"
    loss = f"stock-loss/{station.name.hex()}"

    def line(n: int) -> GoodsLine:
        return GoodsLine("beras", Unit.GRAM, n)

    moves = [
        (log.StockMove.SENT_BACK, goods, 40_000, 460_000, 0),
        (log.StockMove.COUNTED, None, 450_000, 450_000, 10_000),
        (log.StockMove.COUNTED, None, 450_000, 450_000, 10_000),
        (log.StockMove.LOST, None, 1_000, 449_000, 11_000),
        (log.StockMove.COUNTED, None, 449_500, 449_500, 10_500),
        (log.StockMove.RECEIVED, goods, 500, 450_000, 10_500),
    ]
    for move, delivery, n, left, lost in moves:
        station.add(log.Stock(move, delivery, line(n)))
        station.send()
        now = balances(ready)
        assert (now[shelf, "beras"], now.get((loss, "beras"), 0)) == (left, lost), move
    assert findings(ready) == []
