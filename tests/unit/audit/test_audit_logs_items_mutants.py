"""What records say of cards: receipts and statements really signed, by the card or a forger."""

from __future__ import annotations

import random

import pytest

from backend import ledger
from backend.audit import logs
from backend.audit.facts import Fact
from backend.audit.model import Ask, Card, Place, Station
from backend.ledger import Kind
from keys.signer import P256Signer
from tests.support.audit_small import W1, W2, Small
from wire import log
from wire.env import Environment
from wire.invariants import Invariant
from wire.receipt import Counters, Receipt, ReceiptKind, Statement, StatementKind

FORGER = P256Signer.generate(random.Random(9).randbytes)  # noqa: S311
SIGNATURES, ONE_BODY, SPECIMEN, LOGGED = (Invariant(n) for n in (1, 3, 16, 19))
MEETING, VOIDS = Invariant.INTENT_RECEIPT, Invariant.VOIDS
A, B = b"a" * 32, b"b" * 32


class Point:
    """A station whose records are read anew, and a card that signs."""

    def __init__(self) -> None:
        self.s = s = Small()
        self.station, self.card = s.station(), s.card()
        s.entitle(self.card, W2, 500)

    def say(self, body, station: Station | None = None) -> Place:
        return self.s.record(station or self.station, body)

    def intent(self, amount: int = 5, hotlist: int = 0, card_id: bytes | None = None) -> Place:
        c = self.card
        return self.say(log.Intent(card_id or c.card_id, c.certificate.digest, W2, amount, 3, (),
                                   4, 10, 0, 1, 1, hotlist, ""))  # fmt: skip

    def void(self, of: int, card_id: bytes | None = None, **changes) -> Place:
        fields = {"sequence": 7, "terminal_serial": 11, "on_counter": True} | changes
        return self.say(log.VoidIntent(intent=of, card_id=card_id or self.card.card_id, officer=41,
                                       reason="", **fields))  # fmt: skip

    def receipt(self, intent: Place, amount: int = 5, **changes) -> Receipt:
        """The next of the card."""
        ask = Ask(intent, self.card.card_id, W2, amount, 1, 0, 10, 0)
        c = self.s.counters[self.card.card_id, W2]
        counters = Counters(c.loaded, c.debited + amount, 0, 0)
        return self.s.receipt(self.card, ask, ReceiptKind.DEBIT, W2, amount,
                              **{"counters": counters} | changes)  # fmt: skip

    def statement(self, **changes) -> Statement:
        said = self.s.statement(self.card, self.station, StatementKind.LOAD, W2, **changes)
        self.card.statements.clear()
        self.s.world.statements.clear()
        del self.station.records[said.place.record.sequence]
        return said.statement

    def bring(self, intent: Place, raw: bytes) -> Place:
        return self.say(log.Receipted(intent.record.sequence, raw))

    def read(self) -> Station:
        """All records, entered."""
        logs.read(self.s.world, ())
        return self.station

    def aside(self) -> list[tuple[int, Fact]]:
        return [(f.invariant, f.what.fact) for f in self.s.world.aside]

    def loose(self) -> list[tuple[int, int, Fact]]:
        """Invariant, record and fact of what names nothing."""
        return [(n, p.record.sequence, what.fact) for n, p, what in self.station.loose]


def forged(raw: bytes) -> bytes:
    """The same body signed by somebody else."""
    return raw[:-64] + FORGER.sign(raw[:-64])


# --- intents, voids and what names them ----------------------------------------------------


def test_an_intent_is_read_as_it_stands() -> None:
    x = Point()
    place = x.intent(6, hotlist=2)
    ask = x.read().asks[place.record.sequence]
    assert (ask.place, ask.card_id, ask.wallet, ask.amount) == (place, x.card.card_id, W2, 6)
    assert (ask.basket_version, ask.expected, ask.serial, ask.hotlist) == (3, 4, 10, 2)
    assert (ask.is_void, ask.on_counter, ask.void_of) == (False, False, None)


def test_a_void_is_of_the_debit_it_names() -> None:
    x = Point()
    debit, place = x.intent(6), x.void(1)
    other = x.void(1, on_counter=False, sequence=8)
    asks = x.read().asks
    void = asks[place.record.sequence]
    assert (void.place, void.card_id, void.wallet, void.amount) == (place, x.card.card_id, W2, 6)
    assert (void.basket_version, void.expected, void.serial) == (3, 7, 11)
    assert (void.is_void, void.on_counter, void.void_of) == (True, True, asks[1])
    assert asks[1].voids == [void, asks[other.record.sequence]]
    assert (asks[3].on_counter, asks[3].expected, x.loose()) == (False, 8, [])
    assert debit.record.sequence == 1


def test_a_void_of_nothing_of_a_void_or_of_another_card_names_no_debit() -> None:
    x = Point()
    x.intent()
    x.void(1)
    for of, card_id in ((9, None), (2, None), (1, b"DEMO0009")):
        x.void(of, card_id)
    station = x.read()
    assert x.loose() == [(VOIDS, n, Fact.VOID_NO_DEBIT) for n in (3, 4, 5)]
    for n in (3, 4, 5):
        void = station.asks[n]
        assert (void.void_of, void.wallet, void.amount, void.basket_version) == (None, 0, 0, 0)
        assert void.is_void
    assert [v.place.record.sequence for v in station.asks[1].voids] == [2]


def test_records_are_entered_with_the_intent_they_name() -> None:
    x = Point()
    first, second = x.intent(), x.intent()
    void = x.void(1)
    bodies = {"aborted": log.Aborted(2, 0, None), "delivered": log.Delivered(1),
              "returned": log.Returned(3), "given_back": log.GivenBack(3)}  # fmt: skip
    places = {name: x.say(body) for name, body in bodies.items()}
    station = x.read()
    found = {(n, name): getattr(station.asks[n], name) for n in (1, 2, 3) for name in bodies}
    assert {k: v for k, v in found.items() if v} == {
        (2, "aborted"): [places["aborted"].record],
        (1, "delivered"): [places["delivered"].record],
        (3, "returned"): [places["returned"].record],
        (3, "given_back"): [places["given_back"].record],
    }
    assert (x.loose(), len({first, second, void})) == ([], 3)


def test_records_that_name_no_intent_are_listed_by_their_invariant() -> None:
    x = Point()
    for body in (log.Aborted(9, 0, None), log.Delivered(9), log.Returned(9), log.GivenBack(9),
                 log.Pending(9)):  # fmt: skip
        x.say(body)
    x.bring(x.intent(), bytes(x.receipt(x.intent())))
    x.say(log.Receipted(99, bytes(x.card.receipts.get(1, x.receipt(x.intent())))))
    x.read()
    assert x.loose() == [
        (MEETING, 1, Fact.ABORTED_NO_INTENT), (MEETING, 2, Fact.DELIVERED_NO_INTENT),
        (VOIDS, 3, Fact.RETURNED_NO_INTENT), (VOIDS, 4, Fact.GIVEN_BACK_NO_INTENT),
        (MEETING, 10, Fact.RECEIPT_NO_INTENT),
    ]  # fmt: skip


def test_a_receipt_record_without_a_receipt_spoils_its_intent() -> None:
    x = Point()
    right, wrong, other = x.intent(), x.intent(), x.intent()
    receipt = x.receipt(right)
    place = x.bring(right, bytes(receipt))
    x.bring(wrong, forged(bytes(x.receipt(wrong))))
    x.bring(other, bytes(x.statement()))
    asks = x.read().asks
    assert asks[1].receipts == [(place.record, receipt)]
    assert [asks[n].receipts for n in (2, 3)] == [[], []]
    assert [asks[n].spoiled for n in (1, 2, 3)] == [False, True, True]


# --- items ------------------------------------------------------------


def test_a_receipt_brought_by_several_records_is_one() -> None:
    x = Point()
    other = x.s.station(2)
    intent = x.intent()
    receipt = x.receipt(intent)
    first = x.bring(intent, bytes(receipt))
    also = [x.say(log.Aborted(1, 0, bytes(receipt))),
            x.say(log.Collected(bytes(receipt)), other)]  # fmt: skip
    x.read()
    held = x.s.world.receipts[receipt.hash]
    assert (held.receipt, held.place, held.also) == (receipt, first, also)
    assert (x.card.receipts, x.card.doubles) == ({1: held}, {})
    assert (x.aside(), x.card.excused) == ([], set())


def test_statements_of_every_kind_of_record_are_entered_once() -> None:
    x = Point()
    x.s.world.names |= {A: x.s.entry(), B: x.s.entry()}
    made = [x.statement(detail=n) for n in range(5)]
    places = [x.say(body) for body in (
        log.Pin(bytes(made[0])), log.Handover("B", 42, "Desa", "", bytes(made[1])),
        log.Load(A, bytes(made[2])), log.ScriptDone(B, bytes(made[3])),
        log.Collected(bytes(made[4])))]  # fmt: skip
    for item in made:
        x.say(log.Collected(bytes(item)))
    x.read()
    assert [(s.statement, s.place) for s in x.card.statements] == [*zip(made, places, strict=True)]
    assert list(x.s.world.statements.values()) == x.card.statements
    assert (x.aside(), x.card.unlogged) == ([], set())


@pytest.mark.parametrize(
    ("shape", "fact"),
    [(log.Load, Fact.ENTITLEMENT_NOT_LOGGED), (log.ScriptDone, Fact.SCRIPT_NOT_LOGGED)],
)
def test_what_a_load_or_script_names_stands_in_the_issuance_log(shape: type, fact: Fact) -> None:
    x = Point()
    said = x.statement(entitlement_sequence=7)
    place = x.say(shape(A, bytes(said)))
    x.say(shape(B, forged(bytes(x.statement()))))
    x.read()
    assert (x.card.statements, x.card.unlogged) == ([], {(W2, 7)})
    assert x.aside() == [(LOGGED, fact), (SIGNATURES, Fact.BAD_SIGNATURE), (LOGGED, fact)]
    assert x.s.world.aside[0].subject == place.name
    assert {A, B} <= x.s.world.aside_names


def test_a_dispute_stands_where_it_was_first_said() -> None:
    x = Point()
    first = x.say(log.Dispute(x.card.card_id, 1, A))
    x.say(log.Dispute(x.card.card_id, 1, A))
    second = x.say(log.Dispute(x.card.card_id, 1, B))
    x.read()
    assert x.s.world.disputes == {A: first, B: second}


def sync(x: Point, version: int, name: bytes) -> Place:
    return x.say(log.Sync(1, 1, name, version, ()))


def test_an_intent_stands_under_the_highest_hotlist_installed_or_written() -> None:
    x = Point()
    x.s.world.names |= {A: x.s.entry(), B: x.s.entry()}
    x.intent(hotlist=0)
    sync(x, 3, A)
    for hotlist in (2, 4):
        x.intent(hotlist=hotlist)
    sync(x, 2, B)
    x.intent()
    x.void(1)
    unknown = sync(x, 9, b"c" * 32)
    x.intent()
    station = x.read()
    assert [station.asks[n].hotlist for n in (1, 3, 4, 6, 7, 9)] == [0, 3, 4, 3, 3, 3]
    assert x.aside() == [(LOGGED, Fact.BUNDLE_NOT_LOGGED)]
    assert x.s.world.aside[0].subject == unknown.name
    assert b"c" * 32 in x.s.world.aside_names


# --- what is set aside ------------------------------------------------------------


def test_what_is_no_receipt_and_no_statement_is_set_aside_by_its_body() -> None:
    x = Point()
    receipt = x.receipt(x.intent())
    cut = bytes(receipt)[:-1]
    x.say(log.Collected(cut))
    x.say(log.Collected(b"S" * 99))
    x.read()
    assert x.aside() == [(SIGNATURES, Fact.BAD_FORM)] * 2
    assert x.card.excused == set()


def test_a_forged_receipt_excuses_its_sequence_and_a_right_one_does_not() -> None:
    x = Point()
    first, second = x.intent(), x.intent()
    right, wrong = x.receipt(first), x.receipt(second)
    x.bring(first, bytes(right))
    x.bring(second, forged(bytes(wrong)))
    x.say(log.Pin(forged(bytes(x.statement()))))
    x.read()
    assert x.aside() == [(SIGNATURES, Fact.BAD_SIGNATURE)] * 2
    assert x.s.world.aside[0].owner == "card"
    assert x.card.excused == {2}
    assert set(x.card.receipts) == {1}
    assert wrong.hash in x.s.world.aside_names  # its name: the body without the signature


def test_a_proven_receipt_of_a_sequence_forged_before_ends_the_excuse() -> None:
    x = Point()
    intent = x.intent()
    receipt = x.receipt(intent)
    x.say(log.Collected(forged(bytes(receipt))))
    x.bring(intent, bytes(receipt))
    x.read()
    assert x.card.excused == set()


def test_a_receipt_of_another_environment_is_set_aside_and_excuses_its_sequence() -> None:
    x = Point()
    intent = x.intent()
    x.bring(intent, bytes(x.receipt(intent, env=Environment.DEMO_SPECIMEN)))
    x.bring(intent, bytes(x.receipt(intent)))
    x.read()
    assert x.aside() == [(SPECIMEN, Fact.FOREIGN)]
    assert x.s.world.aside[0].owner == b"TERM0001".hex()
    assert (x.card.excused, set(x.card.receipts)) == ({1}, {2})


def test_items_of_a_card_that_is_set_aside_are_listed_with_its_certificate() -> None:
    x = Point()
    other = x.s.card(2)
    x.s.world.aside_cards.add(other.card_id)
    intent = x.intent()
    receipt = x.receipt(intent, card_id=other.card_id)
    x.bring(intent, bytes(receipt))
    del x.s.world.cards[other.card_id]
    x.read()
    assert x.aside() == []
    assert receipt.hash in x.s.world.aside_names


def test_items_of_a_card_nobody_certified_are_set_aside() -> None:
    x = Point()
    intent = x.intent()
    receipt = x.receipt(intent, card_id=b"DEMO0009")
    x.bring(intent, bytes(receipt))
    x.say(log.Load(A, bytes(x.statement(card_id=b"DEMO0009"))))
    x.read()
    not_logged = (LOGGED, Fact.CARD_NOT_LOGGED)
    assert x.aside() == [not_logged, not_logged, (LOGGED, Fact.ENTITLEMENT_NOT_LOGGED)]
    assert receipt.hash in x.s.world.aside_names


# --- two bodies ------------------------------------------------------------


class Cloned(Point):
    """Receipt 1 in three bodies of 5, 6 and 7, and receipt 2 in one."""

    def __init__(self) -> None:
        super().__init__()
        self.intents = [self.intent(n) for n in (5, 6, 7)]
        self.bodies = []
        for intent, amount in zip(self.intents, (5, 6, 7), strict=True):
            self.s.sequence[self.card.card_id] = 0
            self.bodies.append(self.receipt(intent, amount))
            self.bring(intent, bytes(self.bodies[-1]))
            self.say(log.Delivered(intent.record.sequence))
        last = self.intent()
        self.bring(last, bytes(self.receipt(last)))

    def doubles(self) -> list[Receipt]:
        return [h.receipt for h in self.card.doubles[1]]


def test_without_a_booking_the_first_body_counts_and_the_others_are_set_aside() -> None:
    x = Cloned()
    asks = x.read().asks
    a, b, c = x.bodies
    assert (x.card.receipts[1].receipt, x.doubles()) == (a, [b, c])
    assert x.aside() == [(ONE_BODY, Fact.CLONE)] * 2
    assert {b.hash, c.hash} <= x.s.world.aside_names
    assert a.hash not in x.s.world.aside_names
    spoiled = [asks[i.record.sequence].spoiled for i in x.intents]
    assert spoiled == [False, True, True]
    kept = [[r for _, r in asks[i.record.sequence].receipts] for i in x.intents]
    assert kept == [[a], [], []]
    assert set(x.card.receipts) == {1, 2}


@pytest.mark.parametrize("kind", [Kind.DEBIT, Kind.REVERSAL, Kind.LOSS])
def test_the_body_that_the_ledger_booked_counts(kind: Kind) -> None:
    x = Cloned()
    a, b, c = x.bodies
    x.s.post(ledger.payable(c.hash, 2, "P2", 7))
    x.s.post(ledger.move(kind, b.hash, "wallet-2", 6, source="x", target="y"))
    x.read()
    assert (x.card.receipts[1].receipt, x.doubles()) == (b, [a, c])
    assert x.s.world.aside_names >= {a.hash, c.hash}


def test_a_body_whose_intent_another_records_spoils_only_its_own() -> None:
    x = Point()
    first, second = x.intent(5), x.intent(6)
    a = x.receipt(first, 5)
    x.s.sequence[x.card.card_id] = 0
    b = x.receipt(second, 6)
    x.bring(first, bytes(a))
    x.bring(second, bytes(b))
    x.bring(second, bytes(a))
    asks = x.read().asks
    assert [[r for _, r in asks[n].receipts] for n in (1, 2)] == [[a], [a]]
    assert [asks[n].spoiled for n in (1, 2)] == [False, True]


def test_two_bodies_of_one_card_do_not_touch_another() -> None:
    x = Cloned()
    other: Card = x.s.card(2)
    x.s.entitle(other, W1, 5)
    x.read()
    assert (other.doubles, other.receipts) == ({}, {})
