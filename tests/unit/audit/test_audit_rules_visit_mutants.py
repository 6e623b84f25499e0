"""Rules 8 and 9 on worlds made by hand: two of everything, and each order of records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.audit.facts import Fact
from backend.audit.findings import say
from backend.audit.model import Ask, Card, Held, Place, Station
from backend.audit.rules_visit import asks, is_not_returned
from tests.support.audit_small import (
    CASH,
    FOOD,
    OTHER,
    W1,
    W2,
    W3,
    Small,
    facts,
    subjects,
)
from wire import log
from wire.invariants import Invariant
from wire.objects import Unit

RULE_8, RULE_9 = Invariant.INTENT_RECEIPT, Invariant.VOIDS
RICE, OIL = ("beras", Unit.GRAM, 5000), ("minyak", Unit.MILLILITRE, 1000)


def village() -> tuple[Small, Station, Card]:
    """Baskets and cash on one card at one station."""
    s = Small()
    s.parameters()
    s.programme(CASH)
    s.programme(FOOD, unit=Unit.BASKET, price=150, lines=(RICE, OIL))
    s.programme(OTHER, stocked=False)
    station, card = s.station(), s.card()
    for wallet in (W1, W2, W3):
        s.entitle(card, wallet, 500)
    return s, station, card


def abort(s: Small, ask: Ask, at: int, other: bytes | None = None) -> None:
    """ABORTED, with this evidence."""
    station = s.world.stations[ask.place.station]
    body = log.Aborted(ask.place.record.sequence, at, other)
    ask.aborted.append(s.record(station, body).record)


def ask_of(s: Small, held: Held) -> Ask:
    """The intent of a receipt."""
    return s.world.ask_of(held.receipt)


# --- 8 ------------------------------------------------------------


def test_intents_come_by_station_and_sequence() -> None:
    s, one, card = village()
    two = s.station(0)
    found = [s.intent(station, card, W2, 1) for station in (one, two, one)]
    one.asks = dict(reversed(one.asks.items()))
    assert list(asks(s.world)) == [found[1], found[0], found[2]]


@pytest.mark.parametrize("rule", [RULE_8, RULE_9])
def test_records_that_name_nothing_are_listed_by_invariant_but_of_no_tainted_station(
    rule: Invariant,
) -> None:
    s, station, _ = village()
    for n in (Invariant.DECREE_ROW, RULE_9, RULE_8, Invariant.SIGNATURES):
        place = s.record(station, log.Boot("x"))
        station.loose.append((n, place, say(Fact.DELIVERED_NO_INTENT)))
    assert len(facts(s, rule)) == 1
    assert subjects(s, rule) == [p.name for n, p, _ in station.loose if n == rule]
    station.is_tainted = True
    assert facts(s, rule) == []


def test_right_taps_voids_and_aborts_are_no_finding() -> None:
    s, station, card = village()
    for wallet in (W1, W2, W3):
        s.void(s.debit(card, station, wallet, 2), station)
        abort(s, s.intent(station, card, wallet, 1), s.sequence[card.card_id])
    assert facts(s, RULE_8) == []
    assert facts(s, RULE_9) == []


def test_an_intent_has_one_receipt() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    s.debit(card, station, W2, 1, asked=ask_of(s, held), deliver=False)
    assert facts(s, RULE_8) == [Fact.RECEIPTS_MANY, Fact.RECEIPT_SECOND]
    ask_of(s, held).receipts.pop()
    assert facts(s, RULE_8) == [Fact.RECEIPTS_MANY]


def test_a_receipt_recorded_twice_is_one() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1, deliver=False)
    s.bring(station, ask_of(s, held), held.receipt)
    assert facts(s, RULE_8) == []


def test_a_receipt_recorded_for_another_intent_is_named() -> None:
    s, station, card = village()
    other = s.station(2)
    held = s.debit(card, station, W2, 1)
    ask = s.intent(station, card, W2, 1)
    s.bring(station, ask, held.receipt)
    assert facts(s, RULE_8) == [Fact.RECEIPT_OTHER_INTENT]
    ask.receipts.clear()
    later = s.debit(card, station, W2, 1)
    ask = s.intent(station, card, W2, 1)
    lower = replace(later.receipt, terminal_sequence=ask.place.record.sequence + 1)
    s.bring(station, ask, lower)
    assert facts(s, RULE_8) == [Fact.RECEIPT_OTHER_INTENT]
    ask.receipts.clear()
    ask = s.intent(other, card, W2, 1)
    s.bring(other, ask, replace(held.receipt, terminal_sequence=ask.place.record.sequence))
    assert facts(s, RULE_8) == [Fact.RECEIPT_OTHER_INTENT]


@pytest.mark.parametrize(
    "changes",
    [{"card_id": b"DEMO0009"}, {"expected": 1}, {"wallet": W3}, {"amount": 4}, {"amount": 6},
     {"basket_version": 2}],
)  # fmt: skip
def test_a_receipt_is_what_was_asked(changes: dict) -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5)
    for name, value in changes.items():
        setattr(ask_of(s, held), name, value)
    assert facts(s, RULE_8) == [Fact.RECEIPT_NOT_ASKED]


def test_a_reversal_for_an_intent_is_not_this_invariant_s() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5)
    reversal = s.void(held, station)
    ask = s.world.ask_of(reversal.receipt)
    ask.is_void, ask.amount, ask.returned = False, 6, []
    assert facts(s, RULE_8) == []


def test_of_two_receipts_the_first_is_held_to_the_intent() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5, deliver=False)
    s.debit(card, station, W2, 7, asked=ask_of(s, held), record=False)
    assert facts(s, RULE_8) == [Fact.RECEIPTS_MANY]


def test_an_intent_with_a_receipt_was_not_aborted() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1, deliver=False)
    abort(s, ask_of(s, held), 0)
    assert facts(s, RULE_8) == [Fact.ABORTED_WITH_RECEIPT]
    ask_of(s, held).receipts.clear()
    assert facts(s, RULE_8) == [Fact.ABORTED_WITH_RECEIPT]  # brought by another station
    ask = s.intent(station, card, W2, 1)
    s.bring(station, ask, replace(held.receipt, intent_hash=bytes(32)))
    abort(s, ask, 1)
    found = [Fact.ABORTED_WITH_RECEIPT, Fact.RECEIPT_OTHER_INTENT, Fact.ABORTED_WITH_RECEIPT]
    assert facts(s, RULE_8) == found


@pytest.mark.parametrize(("at", "is_right"), [(0, False), (1, True), (2, False)])
def test_an_abort_shows_the_card_where_it_was(at: int, is_right: bool) -> None:
    s, station, card = village()
    s.debit(card, station, W2, 1)
    abort(s, s.intent(station, card, W2, 1), at)
    assert facts(s, RULE_8) == ([] if is_right else [Fact.ABORTED_NO_EVIDENCE])


def test_an_abort_may_show_another_receipt_at_that_place_instead() -> None:
    s, station, card = village()
    ask = s.intent(station, card, W2, 1)
    other = s.debit(card, station, W2, 2)
    abort(s, ask, 9, bytes(other.receipt))
    assert facts(s, RULE_8) == []
    ask.expected = 1  # nothing stands there
    assert facts(s, RULE_8) == [Fact.ABORTED_NOT_EXCLUDED]
    ask.expected, ask.card_id = 0, b"DEMO0009"
    assert facts(s, RULE_8) == [Fact.ABORTED_NOT_EXCLUDED]


def test_what_an_abort_shows_is_a_receipt() -> None:
    s, station, card = village()
    ask = s.intent(station, card, W2, 1)
    said = s.statement(card, station).statement
    abort(s, ask, 0, bytes(said))
    assert facts(s, RULE_8) == [Fact.ABORTED_NO_RECEIPT]
    abort(s, ask, 1)
    assert facts(s, RULE_8) == [Fact.ABORTED_NO_RECEIPT, Fact.ABORTED_NO_EVIDENCE]


def test_an_intent_s_own_receipt_does_not_exclude_it() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1, deliver=False)
    abort(s, ask_of(s, held), 9, bytes(held.receipt))
    assert facts(s, RULE_8) == [Fact.ABORTED_WITH_RECEIPT, Fact.ABORTED_NOT_EXCLUDED]


def test_delivered_stands_once_after_its_receipt() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    s.hand(ask_of(s, held))
    assert facts(s, RULE_8) == [Fact.DELIVERED_TWICE]
    early = s.intent(station, card, W2, 1)
    s.hand(early)
    assert facts(s, RULE_8) == [Fact.DELIVERED_TWICE, Fact.DELIVERED_NO_RECEIPT]
    s.debit(card, station, W2, 1, asked=early, deliver=False)
    assert facts(s, RULE_8) == [Fact.DELIVERED_TWICE, Fact.DELIVERED_EARLY]
    s.hand(early)  # the first of two is the early one
    assert facts(s, RULE_8) == [Fact.DELIVERED_TWICE, Fact.DELIVERED_TWICE, Fact.DELIVERED_EARLY]


def test_of_two_receipts_the_first_record_tells_whether_delivered_was_early() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    s.bring(station, ask_of(s, held), held.receipt)
    assert facts(s, RULE_8) == []


def test_what_hangs_on_a_receipt_set_aside_is_listed_with_it() -> None:
    s, station, card = village()
    ask = s.intent(station, card, W2, 1)
    s.hand(ask)
    ask.spoiled = True
    assert facts(s, RULE_8) == []


def test_a_void_delivers_nothing() -> None:
    s, station, card = village()
    reversal = s.void(s.debit(card, station, W2, 1), station)
    s.hand(s.world.ask_of(reversal.receipt))
    assert facts(s, RULE_8) == [Fact.DELIVERED_VOID]


@pytest.mark.parametrize(
    ("lines", "is_right"),
    [([("beras", Unit.GRAM, 10_000), ("minyak", Unit.MILLILITRE, 2000)], True), ([], True),
     ([("beras", Unit.GRAM, 10_000)], False), ([RICE, OIL], False),
     ([("beras", Unit.GRAM, 10_001), ("minyak", Unit.MILLILITRE, 2000)], False)],
)  # fmt: skip
def test_goods_shown_are_the_tariff_s(lines: list, is_right: bool) -> None:
    s, station, card = village()
    s.debit(card, station, W1, 2, asked=s.intent(station, card, W1, 2, lines=lines))
    assert facts(s, RULE_8) == ([] if is_right else [Fact.GOODS_OTHER])


def test_goods_are_held_to_the_tariff_only_where_they_are_counted() -> None:
    s, station, card = village()
    s.debit(card, station, W3, 2, asked=s.intent(station, card, W3, 2, lines=[RICE]))
    s.debit(card, station, 7, 2, asked=s.intent(station, card, 7, 2, lines=[RICE]),
            counters=s.counters[card.card_id, W1])  # fmt: skip
    assert facts(s, RULE_8) == []


def test_a_dispute_is_over_a_receipt_that_is_proven_or_set_aside() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    for name in (held.receipt.hash, b"a" * 32, b"b" * 32):
        s.world.disputes[name] = s.record(station, log.Dispute(card.card_id, 1, name))
    assert facts(s, RULE_8) == [Fact.DISPUTE_UNKNOWN] * 2
    s.world.aside_names.add(b"a" * 32)
    assert subjects(s, RULE_8) == [s.world.disputes[b"b" * 32].name]


# --- 9 ------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{"kind": 2}, {"wallet": W3}, {"amount": 4}, {"amount": 6},
                {"terminal_id": b"TERM0009"}]
)  # fmt: skip
def test_a_reversal_is_of_the_whole_debit_before_it_at_the_same_terminal(changes: dict) -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5, deliver=False)
    s.void(held, station)
    assert facts(s, RULE_9) == []
    card.receipts[1] = replace(held, receipt=replace(held.receipt, **changes))
    assert facts(s, RULE_9)[-1] == Fact.REVERSAL_OTHER
    card.receipts.pop(1)
    assert facts(s, RULE_9) == []  # a gap: nothing to compare it with


def test_a_reversal_is_not_compared_with_the_other_chip_s_debit() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5, deliver=False)
    s.void(held, station)
    card.doubles[1] = []
    card.receipts[1] = replace(held, receipt=replace(held.receipt, wallet=W3, raw=b"x" * 210))
    assert facts(s, RULE_9) == []


def test_a_void_asks_for_a_reversal() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5, deliver=False)
    reversal = s.void(held, station)
    s.world.ask_of(reversal.receipt).is_void = False
    assert facts(s, RULE_9) == [Fact.REVERSAL_UNASKED]
    del station.asks[reversal.receipt.terminal_sequence]
    assert facts(s, RULE_9) == []  # no such intent: invariant 2


def void_of(s: Small, reversal: Held) -> Ask:
    return s.world.ask_of(reversal.receipt)


@pytest.mark.parametrize("expected", [0, 2])
def test_a_void_names_the_card_s_receipt_before_it(expected: int) -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5, deliver=False)
    void = s.void_ask(station, ask_of(s, held))
    assert facts(s, RULE_9) == []
    void.expected = expected
    assert facts(s, RULE_9) == [Fact.VOID_OTHER]
    ask_of(s, held).receipts.clear()
    assert facts(s, RULE_9) == []


@pytest.mark.parametrize("changes", [{"wallet": W3}, {"amount": 4}, {"card_id": b"DEMO0009"}])
def test_a_void_s_receipt_is_what_it_asked(changes: dict) -> None:
    s, station, card = village()
    reversal = s.void(s.debit(card, station, W2, 5, deliver=False, basket_version=3), station)
    assert facts(s, RULE_9) == []  # of whatever tariff
    for name, value in changes.items():
        setattr(void_of(s, reversal), name, value)
    assert facts(s, RULE_9) == [Fact.VOID_NOT_ASKED]


def back(s: Small, void: Ask) -> Place:
    """RETURNED."""
    station = s.world.stations[void.place.station]
    place = s.record(station, log.Returned(void.place.record.sequence))
    void.returned.append(place.record)
    return place


def test_goods_come_back_once_and_only_after_a_void_of_what_was_handed_over() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5)
    void = s.void_ask(station, ask_of(s, held))
    back(s, void)
    assert facts(s, RULE_9) == [Fact.RETURNED_UNPROVEN]
    void.spoiled = True
    assert facts(s, RULE_9) == []
    reversal = s.void(s.debit(card, station, W2, 5, deliver=False), station)
    back(s, void_of(s, reversal))
    assert facts(s, RULE_9) == [Fact.RETURNED_UNPROVEN]
    reversal = s.void(s.debit(card, station, W2, 5), station)
    assert facts(s, RULE_9) == [Fact.RETURNED_UNPROVEN]
    back(s, void_of(s, reversal))
    assert facts(s, RULE_9) == [Fact.RETURNED_UNPROVEN, Fact.RETURNED_TWICE]


def test_goods_are_given_back_only_where_the_void_did_not_happen() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5)
    void = s.void_ask(station, ask_of(s, held))
    void.given_back.append(s.record(station, log.GivenBack(1)).record)
    assert facts(s, RULE_9) == [Fact.GIVEN_BACK_NO_ABORT]
    abort(s, void, 1)
    assert facts(s, RULE_9) == []


def test_a_void_of_what_was_handed_over_has_the_goods_on_the_counter() -> None:
    s, station, card = village()
    reversal = s.void(s.debit(card, station, W2, 5), station)
    void_of(s, reversal).on_counter = False
    assert facts(s, RULE_9) == [Fact.VOID_NO_GOODS]
    other = s.void(s.debit(card, station, W2, 5, deliver=False), station)
    assert not void_of(s, other).on_counter
    assert facts(s, RULE_9) == [Fact.VOID_NO_GOODS]


def test_a_void_of_nothing_is_noted_when_it_is_read() -> None:
    s, station, card = village()
    void = s.void_ask(station, ask_of(s, s.debit(card, station, W2, 5)))
    void.void_of = None
    back(s, void)
    assert facts(s, RULE_9) == []


def test_a_debit_is_voided_once() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5, deliver=False)
    abort(s, s.void_ask(station, ask_of(s, held)), 1)
    reversal = s.void(held, station)
    assert facts(s, RULE_9) == []
    void = s.void_ask(station, ask_of(s, held))
    void.expected = 1
    record = void.place.record
    receipt = replace(reversal.receipt, intent_hash=record.hash, terminal_sequence=record.sequence)
    void.receipts.append((record, receipt))
    assert facts(s, RULE_9) == [Fact.VOIDED_TWICE]


def test_nothing_is_handed_over_after_its_void() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5, deliver=False)
    s.void(held, station)
    s.hand(ask_of(s, held))
    assert facts(s, RULE_9) == [Fact.HANDED_AFTER_VOID, Fact.VOID_NO_GOODS]
    assert subjects(s, RULE_9)[0] == ask_of(s, held).place.name


@pytest.mark.parametrize(("age", "found"), [(1000, []), (1001, [Fact.GOODS_NOT_BACK])])
def test_goods_not_back_are_a_finding_beyond_the_signed_age(age: int, found: list) -> None:
    s, station, card = village()
    reversal = s.void(s.debit(card, station, W2, 5), station, back=False)
    s.world.now_s = void_of(s, reversal).place.record.time_s + age
    assert facts(s, RULE_9) == found


def test_without_parameters_goods_not_back_are_one_at_once() -> None:
    s = Small()
    station, card = s.station(), s.card()
    s.entitle(card, W2, 9)
    reversal = s.void(s.debit(card, station, W2, 5), station, back=False)
    assert facts(s, RULE_9) == [Fact.GOODS_NOT_BACK]
    s.world.now_s = void_of(s, reversal).place.record.time_s
    assert facts(s, RULE_9) == []


def test_goods_are_back_unless_a_proven_void_of_handed_goods_shows_none() -> None:
    s, station, card = village()
    other = s.station(2)
    held = s.debit(card, station, W2, 5)
    reversal = s.void(held, station, back=False)
    void = void_of(s, reversal)
    assert is_not_returned(s.world, void)
    assert not is_not_returned(s.world, ask_of(s, held))
    s.lose(other)
    assert is_not_returned(s.world, void)
    for changes in ({"is_void": False}, {"void_of": None}, {"receipts": []},
                    {"returned": [void.place.record]}):  # fmt: skip
        assert not is_not_returned(s.world, replace(void, **changes)), changes
    delivered, ask_of(s, held).delivered = ask_of(s, held).delivered, []
    assert not is_not_returned(s.world, void)
    ask_of(s, held).delivered = delivered
    s.lose(station)
    assert not is_not_returned(s.world, void)
