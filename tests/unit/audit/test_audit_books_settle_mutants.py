"""Payables and settlements replayed, on worlds made by hand: two debits, programmes, providers."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from backend import ledger
from backend.audit import books
from backend.audit.books import Settlement
from backend.audit.facts import Fact
from backend.audit.model import Ask, Card, Held, Station
from backend.audit.payable import judge
from backend.ledger import Kind
from tests.support.audit_small import CASH, FOOD, OTHER, W1, W2, W3, Small
from wire import log
from wire.chain import Posting
from wire.objects import DecisionKind, Unit

A = b"a" * 32
OF = {W1: (FOOD, "P1", 150), W2: (CASH, "P2", 1), W3: (OTHER, "P2", 1)}


class Books:
    """A small world with three debits of 5, 6 and 7 of cash, and one basket."""

    def __init__(self) -> None:
        self.s = s = Small()
        s.programme(CASH)
        s.programme(FOOD, unit=Unit.BASKET, price=150, lines=(("beras", Unit.GRAM, 5),))
        s.programme(OTHER, provider="P2")
        self.station: Station = s.station()
        self.card: Card = s.card()
        for wallet in (W1, W2, W3):
            s.entitle(self.card, wallet, 500)
        self.a, self.b, self.c = (s.debit(self.card, self.station, W2, n) for n in (5, 6, 7))
        self.food = s.debit(self.card, self.station, W1, 1)

    def owe(self, *held: Held) -> None:
        """PAYABLE of each."""
        for h in held:
            code, who, price = OF[h.receipt.wallet]
            self.s.post(ledger.payable(h.receipt.hash, code, who, h.receipt.amount * price))

    def take(self, held: Held, evidence: bytes) -> None:
        """UNPAYABLE."""
        code, who, price = OF[held.receipt.wallet]
        self.s.post(ledger.unpayable(evidence, code, who, held.receipt.amount * price))

    def pay(self, amount: int, *names: bytes | Held, code: int = CASH, who: str = "P2") -> int:
        """SETTLEMENT over these; its place."""
        raw = [n.receipt.hash if isinstance(n, Held) else n for n in names]
        evidence = sha256(b"".join(raw)).digest()
        return self.s.post(ledger.settlement(evidence, code, who, amount)).sequence

    def replay(self) -> Settlement:
        return books.replay(self.s.world, judge(self.s.world))

    def wrong(self) -> list[tuple[int, Fact]]:
        """Place and fact of what is wrong."""
        return [(entry.sequence, what.fact) for entry, what in self.replay().wrong]


def names(*held: Held) -> set[bytes]:
    return {h.receipt.hash for h in held}


def test_a_settlement_is_the_sum_of_what_was_owed_since_the_last() -> None:
    x = Books()
    x.owe(x.a, x.food, x.b)
    first = x.pay(11, x.a, x.b)
    food = x.pay(150, x.food, code=FOOD, who="P1")
    x.owe(x.c)
    found = x.replay()
    assert found.wrong == []
    assert found.payable == names(x.a, x.b, x.c, x.food)
    assert found.open == names(x.c)
    assert found.settled == {"P2": 11, "P1": 150}
    assert found.covers == {first: ((x.a.receipt.hash, 5), (x.b.receipt.hash, 6)),
                            food: ((x.food.receipt.hash, 150),)}  # fmt: skip
    second = x.pay(7, x.c)
    found = x.replay()
    assert (found.wrong, found.open) == ([], set())
    assert found.settled == {"P2": 18, "P1": 150}
    assert found.covers[second] == ((x.c.receipt.hash, 7),)


def test_lines_are_paid_in_the_order_of_the_ledger() -> None:
    x = Books()
    x.owe(x.c, x.a)
    x.pay(12, x.a, x.c)
    assert x.wrong() == [(3, Fact.SETTLEMENT_SUM)]
    x.s.world.ledger.pop()
    x.pay(12, x.c, x.a)
    assert x.wrong() == []


@pytest.mark.parametrize("amount", [4, 6])
def test_another_sum_or_other_evidence_is_wrong(amount: int) -> None:
    x = Books()
    x.owe(x.a)
    x.pay(amount, x.a)
    assert x.wrong() == [(2, Fact.SETTLEMENT_SUM)]
    x.s.world.ledger.pop()
    x.pay(5, x.b)
    assert x.wrong() == [(2, Fact.SETTLEMENT_SUM)]


def test_another_programme_of_the_provider_is_settled_by_itself() -> None:
    x = Books()
    other = x.s.debit(x.card, x.station, W3, 9)
    x.owe(x.a, other)
    x.pay(5, x.a)
    x.pay(9, other, code=OTHER)
    assert x.wrong() == []
    x.owe(x.b)
    x.pay(6, x.b, who="P1")
    assert x.wrong() == [(6, Fact.SETTLEMENT_SUM)]


@pytest.mark.parametrize(
    "legs",
    [
        [("funds/2", -5), ("payable/P2", 3), ("payable/P1", 2)],
        [("funds/2", -3), ("funds/1", -2), ("payable/P2", 5)],
        [("funds/2", -5), ("spent/2", 5)],
        [("treasury", -5), ("payable/P2", 5)],
        [("funds/x", -5), ("payable/P2", 5)],
    ],
)
def test_a_settlement_goes_from_one_fund_to_one_provider(legs: list) -> None:
    x = Books()
    x.owe(x.a)
    evidence = sha256(x.a.receipt.hash).digest()
    postings = tuple(Posting(account, "rupiah", n) for account, n in legs)
    x.s.post(ledger.Transfer(Kind.SETTLEMENT, evidence, postings))
    x.s.post(ledger.move(Kind.SETTLEMENT, evidence, "beras", 5, source="funds/2",
                         target="payable/P2"))  # fmt: skip
    assert x.wrong() == [(2, Fact.SETTLEMENT_SHAPE), (3, Fact.SETTLEMENT_SHAPE)]
    assert x.replay().settled == {}
    assert x.replay().open == names(x.a)


@pytest.mark.parametrize("kind", ["debit", "payabl", "payablf", "unpayabld", "unpayablf", "zzz"])
def test_entries_of_other_kinds_pay_nothing(kind: str) -> None:
    x = Books()
    x.owe(x.a)
    for name in (x.a.receipt.hash, x.b.receipt.hash, A):
        entry = x.s.post(ledger.payable(name, CASH, "P2", 6))
        x.s.world.ledger[-1] = replace(entry, kind=kind)
    found = x.replay()
    assert (found.wrong, found.payable, found.settled) == ([], names(x.a), {})
    x.pay(5, x.a)
    assert x.wrong() == []


# --- payable ------------------------------------------------------------


def test_a_payable_stands_on_a_proven_debit() -> None:
    x = Books()
    x.s.post(ledger.payable(A, CASH, "P2", 5))
    assert x.wrong() == [(1, Fact.PAYABLE_UNPROVEN)]
    x.pay(5, A)
    assert x.wrong() == [(1, Fact.PAYABLE_UNPROVEN), (2, Fact.SETTLEMENT_SUM)]
    x.s.world.aside_names.add(A)
    assert x.wrong() == []  # listed with what set it aside, and what paid it cannot be summed
    x.owe(x.food)
    x.pay(149, x.food, code=FOOD, who="P1")
    assert x.wrong() == [(4, Fact.SETTLEMENT_SUM)]


@pytest.mark.parametrize(
    "transfer",
    [("P2", CASH, 4), ("P2", CASH, 6), ("P1", CASH, 5), ("P2", FOOD, 5), ("P2", CASH, -5)],
)
def test_a_payable_is_the_amount_to_the_provider(transfer: tuple) -> None:
    x = Books()
    who, code, amount = transfer
    x.s.post(ledger.payable(x.a.receipt.hash, code, who, amount))
    x.owe(x.b)
    assert x.wrong() == [(1, Fact.PAYABLE_OTHER)]
    assert x.replay().payable == names(x.b)
    x.pay(amount, x.a, code=code, who=who)  # what such an entry is paid by cannot be summed
    assert x.wrong() == [(1, Fact.PAYABLE_OTHER)]


def test_a_debit_is_owed_once_at_a_time() -> None:
    x = Books()
    x.owe(x.a, x.a)
    assert x.wrong() == [(2, Fact.PAYABLE_TWICE)]
    x.pay(10, x.a, x.a)
    x.pay(3, x.a)
    assert x.wrong() == [(2, Fact.PAYABLE_TWICE)]  # and no sum of this provider's is judged
    x.owe(x.food)
    x.pay(149, x.food, code=FOOD, who="P1")
    assert x.wrong() == [(2, Fact.PAYABLE_TWICE), (6, Fact.SETTLEMENT_SUM)]


def test_a_wrong_entry_excuses_settlements_of_every_pair_it_names() -> None:
    x = Books()
    x.s.post(ledger.payable(A, CASH, "P2", 5))
    x.s.post(ledger.payable(A, FOOD, "P1", 5))
    x.s.world.aside_names.add(A)
    x.pay(5, A)
    x.pay(5, A, code=FOOD, who="P1")
    assert x.wrong() == []
    x.pay(5, A, code=FOOD)
    x.pay(5, A, who="P1")
    assert x.wrong() == [(5, Fact.SETTLEMENT_SUM), (6, Fact.SETTLEMENT_SUM)]


def test_two_wrong_entries_of_one_pair_excuse_it_as_one_does() -> None:
    x = Books()
    for _ in range(2):
        x.s.post(ledger.payable(A, CASH, "P2", 5))
    x.s.world.aside_names.add(A)
    x.pay(5, A)
    assert x.wrong() == []


# --- unpayable ------------------------------------------------------------


def test_taken_back_before_it_was_paid_both_are_gone() -> None:
    x = Books()
    x.owe(x.a, x.b)
    x.take(x.a, x.a.receipt.hash)
    found = x.replay()
    assert (found.wrong, found.payable, found.open) == ([], names(x.b), names(x.b))
    x.pay(6, x.b)
    assert x.wrong() == []


def test_taken_back_after_it_was_paid_the_next_settlement_is_less() -> None:
    x = Books()
    x.owe(x.b)
    x.pay(6, x.b)
    x.take(x.b, x.b.receipt.hash)
    x.owe(x.c)
    last = x.pay(1, x.b, x.c)
    found = x.replay()
    assert (found.wrong, found.payable, found.open) == ([], names(x.c), set())
    assert found.covers[last] == ((x.b.receipt.hash, -6), (x.c.receipt.hash, 7))
    assert found.settled == {"P2": 7}
    x.owe(x.b)
    x.pay(6, x.b)
    assert x.wrong() == []  # owed anew, and paid anew


def test_owed_again_before_anything_was_given_back_nothing_moves() -> None:
    x = Books()
    x.owe(x.a)
    x.pay(5, x.a)
    x.take(x.a, x.a.receipt.hash)
    x.owe(x.a)
    found = x.replay()
    assert (found.wrong, found.payable, found.open) == ([], names(x.a), set())
    x.owe(x.b)
    x.pay(6, x.b)
    assert x.wrong() == []


def test_what_was_taken_back_and_settled_is_owed_anew_in_full() -> None:
    x = Books()
    x.owe(x.a)
    x.take(x.a, x.a.receipt.hash)
    x.owe(x.a)
    assert x.replay().open == names(x.a)
    x.pay(5, x.a)
    assert x.wrong() == []


@pytest.mark.parametrize(("who", "code", "amount"), [("P2", 2, 4), ("P1", 2, 5), ("P2", 1, 5)])
def test_taken_back_is_the_same_amount_of_the_same_provider(
    who: str, code: int, amount: int
) -> None:
    x = Books()
    x.owe(x.a, x.food)
    x.s.post(ledger.unpayable(x.a.receipt.hash, code, who, amount))
    found = x.replay()
    assert [w.fact for _, w in found.wrong] == [Fact.UNPAYABLE_NOTHING]
    assert found.payable == names(x.a, x.food)
    x.pay(9, x.a, code=code, who=who)
    assert x.wrong() == [(3, Fact.UNPAYABLE_NOTHING)]  # that one cannot be summed


def test_what_is_not_owed_is_not_taken_back() -> None:
    x = Books()
    x.take(x.a, x.a.receipt.hash)
    x.take(x.a, A)
    assert x.wrong() == [(1, Fact.UNPAYABLE_NOTHING), (2, Fact.UNPAYABLE_NOTHING)]


# --- what may take it back ------------------------------------------------------------


def taken(x: Books, held: Held, evidence: bytes) -> bool:
    """Whether this evidence takes that debit back."""
    x.owe(held)
    x.take(held, evidence)
    found = x.replay()
    assert len(found.wrong) == (held.receipt.hash in found.payable)
    del x.s.world.ledger[:]
    return held.receipt.hash not in found.payable


def test_a_reversal_takes_back_the_one_before_it_and_a_second_body_its_own() -> None:
    x = Books()
    reversal = x.s.void(x.food, x.station).receipt.hash
    again = x.s.debit(x.card, x.station, W1, 1)
    assert taken(x, x.food, reversal)
    assert not taken(x, again, reversal)
    assert not taken(x, x.c, reversal)
    x.s.sequence[x.card.card_id] = 1
    x.s.debit(x.card, x.station, W2, 9)
    (double,) = x.card.doubles[2]
    assert taken(x, x.b, double.receipt.hash)
    assert not taken(x, x.a, double.receipt.hash)


def test_a_second_body_that_is_a_reversal_takes_back_the_debit_it_doubles_too() -> None:
    x = Books()
    s, card = x.s, x.card
    s.sequence[card.card_id] = 2  # the copy takes back what the card debited as 2
    s.void(x.b, x.station)
    (double,) = card.doubles[3]
    name = double.receipt.hash
    assert taken(x, x.b, name)
    assert taken(x, x.c, name)
    assert not taken(x, x.a, name)
    assert not taken(x, x.food, name)
    x.owe(x.b, x.c)
    x.take(x.c, name)
    assert x.replay().payable == names(x.b)


def test_a_dispute_takes_back_the_receipt_it_names() -> None:
    x = Books()
    place = x.s.record(x.station, log.Dispute(x.card.card_id, 2, x.b.receipt.hash))
    name = place.record.hash
    assert taken(x, x.b, name)
    assert not taken(x, x.a, name)
    assert not taken(x, x.c, name)
    other = x.s.record(x.station, log.Dispute(b"DEMO0009", 2, x.b.receipt.hash))
    assert not taken(x, x.b, other.record.hash)
    late = x.s.record(x.station, log.Dispute(x.card.card_id, 99, x.b.receipt.hash))
    assert not taken(x, x.b, late.record.hash)


def test_a_void_takes_back_the_debit_it_names() -> None:
    x = Books()
    void: Ask = x.s.void_ask(x.station, x.s.world.ask_of(x.b.receipt))
    assert taken(x, x.b, void.hash)
    assert not taken(x, x.a, void.hash)
    x.s.world.ask_of(x.b.receipt).receipts.clear()
    assert not taken(x, x.b, void.hash)
    void.void_of = None
    assert not taken(x, x.b, void.hash)
    assert not taken(x, x.b, x.b.place.record.hash)  # a RECEIPT record says nothing


def test_terminal_lost_takes_back_what_came_after_it() -> None:
    x = Books()
    other = x.s.station(2)
    away = x.s.debit(x.card, other, W2, 8)
    x.s.debit(x.card, x.station, W2, 3)
    name = x.s.lose(x.station, x.b.receipt.terminal_sequence)
    late = {h.receipt.amount for h in (x.a, x.b, x.c, away) if taken(x, h, name)}
    assert late == {7}
    for n in (0, 3):  # a number beyond the last one received, at another terminal
        elsewhere = x.s.station(n)
        for _ in range(x.station.last):
            x.s.record(elsewhere, log.Boot("x"))
        assert not taken(x, x.s.debit(x.card, elsewhere, W2, 2), name)
    assert taken(x, x.card.receipts[6], name)


@pytest.mark.parametrize(
    ("first", "last", "found"), [(1, 2, {5, 6}), (2, 2, {6}), (2, 9, {6, 7}), (0, 0, set())]
)
def test_a_decision_takes_back_the_receipts_it_names(first: int, last: int, found: set) -> None:
    x = Books()
    other = x.s.card(2)
    name = x.s.decide(DecisionKind.RETURN, x.card, W2, first=first, last=last)
    assert {h.receipt.amount for h in (x.a, x.b, x.c) if taken(x, h, name)} == found
    name = x.s.decide(DecisionKind.RETURN, other, W2, first=first, last=last)
    del x.s.world.cards[other.card_id]
    assert not taken(x, x.b, name)


def test_other_objects_take_nothing_back() -> None:
    x = Books()
    assert not taken(x, x.a, x.s.hotlist(1))
    assert not taken(x, x.a, A)


def test_of_several_receipts_meant_the_first_that_fits_is_taken_back() -> None:
    x = Books()
    same = x.s.debit(x.card, x.station, W2, 6)
    name = x.s.decide(DecisionKind.RETURN, x.card, W2, first=1, last=9)
    x.owe(x.a, x.b, same)
    x.take(same, name)
    assert x.replay().payable == names(x.a, same)
    x.take(same, name)
    assert x.replay().payable == names(x.a)
    x.take(x.a, name)
    found = x.replay()
    assert (found.payable, found.wrong) == (set(), [])
    x.take(x.a, name)
    assert x.wrong() == [(7, Fact.UNPAYABLE_NOTHING)]


def test_a_receipt_of_a_card_that_is_set_aside_takes_nothing_back() -> None:
    x = Books()
    held = replace(x.a, receipt=replace(x.a.receipt, card_id=b"DEMO0009"))
    x.s.world.receipts[A] = held
    assert not taken(x, x.a, A)
