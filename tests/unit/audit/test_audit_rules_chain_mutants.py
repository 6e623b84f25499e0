"""Rules 1, 2, 3, 16, 17 and 19 on worlds made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.audit.facts import Fact
from backend.audit.findings import Finding, say
from backend.audit.model import Card, Station
from backend.audit.rules import RULES
from backend.audit.rules_chain import proven
from tests.support.audit_small import (
    ENV,
    SUPERVISOR,
    W2,
    Small,
    facts,
    subjects,
)
from wire import cvc, log
from wire.chain import IssuanceKind
from wire.invariants import Invariant
from wire.objects import Order
from wire.receipt import Verification

RULE_1, RULE_2, RULE_3, RULE_16, RULE_17, RULE_19 = (Invariant(n) for n in (1, 2, 3, 16, 17, 19))


def village() -> tuple[Small, Station, Card]:
    s = Small()
    station, card = s.station(), s.card()
    s.entitle(card, W2, 500)
    return s, station, card


def test_proven_receipts_come_by_card_and_sequence() -> None:
    s, station, first = village()
    other = s.card(0)
    s.entitle(other, W2, 9)
    for card in (first, other, first):
        s.debit(card, station, W2, 1)
    first.receipts = dict(reversed(first.receipts.items()))
    names = [(h.receipt.card_id, h.receipt.sequence) for h in proven(s.world)]
    assert names == [(other.card_id, 1), (first.card_id, 1), (first.card_id, 2)]


@pytest.mark.parametrize("invariant", [RULE_1, RULE_3, RULE_16, RULE_19])
def test_what_is_set_aside_is_listed_under_its_invariant_alone(invariant: Invariant) -> None:
    s = Small()
    for n in (RULE_1, RULE_2, RULE_3, RULE_16, RULE_17, RULE_19):
        s.world.set_aside(n, f"of {n}", say(Fact.CLONE), bytes(32))
    assert subjects(s, invariant) == [f"of {invariant}"]


def test_breaks_of_the_chains_are_all_listed() -> None:
    s = Small()
    s.world.chain_faults += [Finding(RULE_17, x, say(Fact.ENTRY_OLDER)) for x in "ab"]
    assert subjects(s, RULE_17) == ["a", "b"]


# --- 1 ------------------------------------------------------------

TERMINAL, BOSS, DESK, MAKER = cvc.Role


@pytest.mark.parametrize(
    ("role", "how", "is_right"),
    [(TERMINAL, Verification.PIN, True), (BOSS, Verification.PIN, True),
     (DESK, Verification.PIN, False), (MAKER, Verification.PIN, False),
     (TERMINAL, Verification.NONE, True), (TERMINAL, Verification.BYPASS, False),
     (BOSS, Verification.BYPASS, True), (DESK, Verification.BYPASS, False)],
)  # fmt: skip
def test_a_debit_is_a_terminal_s_and_a_bypass_a_supervisor_s(
    role: cvc.Role, how: Verification, is_right: bool
) -> None:
    s, station, card = village()
    s.certify(station, role, 5, 50)
    s.debit(card, station, W2, 1, terminal_serial=50, officer=5, verification=how)
    assert facts(s, RULE_1) == ([] if is_right else [Fact.WRONG_ROLE])


@pytest.mark.parametrize(("role", "is_right"), [(TERMINAL, False), (BOSS, True), (DESK, False)])
def test_a_void_is_a_supervisor_s(role: cvc.Role, is_right: bool) -> None:
    s, station, card = village()
    s.certify(station, role, 5, 50)
    held = s.debit(card, station, W2, 1)
    s.void(held, station, terminal_serial=50, officer=5)
    assert facts(s, RULE_1) == ([] if is_right else [Fact.WRONG_ROLE])


@pytest.mark.parametrize("officer", [SUPERVISOR - 1, SUPERVISOR + 1, 0])
def test_the_officer_is_the_certificate_s(officer: int) -> None:
    s, station, card = village()
    s.debit(card, station, W2, 1, terminal_serial=11, officer=officer)
    assert facts(s, RULE_1) == [Fact.WRONG_ROLE]


def test_certificates_nobody_logged_or_no_terminal_s_have_no_role_and_the_next_is_judged() -> None:
    s, station, card = village()
    s.certify(station, TERMINAL, 0, 60, extension=cvc.CardExtension(ENV, bytes(33)))
    s.debit(card, station, W2, 1, terminal_serial=99)
    s.debit(card, station, W2, 1, terminal_serial=60)
    assert facts(s, RULE_1) == []
    held = s.debit(card, station, W2, 1, officer=1)
    assert subjects(s, RULE_1) == [held.name]


# --- 2 ------------------------------------------------------------


def test_of_a_station_s_faults_those_of_its_chain_are_listed() -> None:
    s, station, _ = village()
    for invariant, fact in (
        (RULE_1, Fact.CLONE),
        (RULE_2, Fact.RECORD_FORKED),
        (RULE_3, Fact.RECORD_OLDER),
    ):
        station.faults.append(Finding(invariant, "x", say(fact)))
    assert facts(s, RULE_2) == [Fact.RECORD_FORKED]


def hidden(s: Small, station: Station, card: Card, at: int) -> None:
    """A receipt that names another record of this station's as its intent."""
    s.debit(card, station, W2, 1, terminal_sequence=at, intent_hash=bytes(32), record=False)


def test_a_receipt_s_intent_stands_in_its_terminal_s_chain() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    s.void(held, station)
    assert facts(s, RULE_2) == []
    ask = s.intent(station, card, W2, 1)
    s.debit(card, station, W2, 1, terminal_sequence=ask.place.record.sequence,
            intent_hash=bytes(32), record=False)  # fmt: skip
    place = s.record(station, log.Boot("x"))
    s.debit(card, station, W2, 1, terminal_sequence=place.record.sequence,
            intent_hash=place.record.hash, record=False)  # fmt: skip
    assert facts(s, RULE_2) == [Fact.INTENT_MISSING] * 2


def test_what_its_terminal_s_chain_cannot_show_yet_is_no_finding_and_the_next_is_judged() -> None:
    s, station, card = village()
    away, tainted = s.station(2), s.station(3)
    tainted.is_tainted = True
    hidden(s, away, card, at=9)
    del s.world.stations[away.station]
    hidden(s, tainted, card, at=1)
    hidden(s, station, card, at=99)
    assert facts(s, RULE_2) == []
    hidden(s, station, card, at=1)
    assert facts(s, RULE_2) == [Fact.INTENT_MISSING]


# --- 19: certificates ------------------------------------------------------------


def test_a_certificate_nobody_logged_is_named_once() -> None:
    s, station, card = village()
    ordered(s, card)
    other = s.station(2)
    s.debit(card, station, W2, 1)
    s.debit(card, station, W2, 1, terminal_serial=98)
    s.debit(card, station, W2, 1, terminal_serial=98)
    s.debit(card, other, W2, 1, terminal_serial=98)
    s.debit(card, station, W2, 1, terminal_serial=99)
    assert facts(s, RULE_19) == [Fact.CERTIFICATE_NOT_LOGGED] * 3
    assert subjects(s, RULE_19) == [f"{card.card_id.hex()}/{n}" for n in (2, 4, 5)]


# --- 19: orders and families ------------------------------------------------------------


def ordered(s: Small, *cards: Card, order: bytes | None = None, **changes) -> bytes:
    """One order for all of these."""
    first = cards[0]
    fields = {"family": first.family, "predecessor": first.entry.predecessor} | changes
    shape = Order(bytes(16), fields["family"], bytes(32), 1, fields["predecessor"], (W2,),
                  b"DESK0001", s.time_s)  # fmt: skip
    name = order or s.object(shape)
    for card in cards:
        card.entry = replace(card.entry, order=name)
    return name


def test_every_card_has_its_order() -> None:
    s = Small()
    cards = [s.card(n) for n in (3, 1, 2)]
    ordered(s, cards[1])
    assert facts(s, RULE_19) == [Fact.NO_ORDER] * 2
    assert subjects(s, RULE_19) == [cards[0].card_id.hex(), cards[2].card_id.hex()]
    cards[0].entry = replace(cards[0].entry, order=b"a" * 32)
    s.world.aside_names.add(b"a" * 32)
    assert subjects(s, RULE_19) == [cards[2].card_id.hex()]


@pytest.mark.parametrize("changes", [{"family": b"F" * 16}, {"predecessor": b"DEMO0009"}])
def test_a_card_is_for_the_family_and_instead_of_the_card_ordered(changes: dict) -> None:
    s = Small()
    card = s.card()
    ordered(s, card, **changes)
    assert facts(s, RULE_19) == [Fact.ORDER_OTHER]


def test_an_order_is_for_one_card_unless_the_first_was_scrapped() -> None:
    s = Small()
    cards = [s.card(n, b"F" * 16) for n in (1, 2, 3)]
    order = ordered(s, *cards)
    for card in cards[:2]:
        card.scrapped = 0
    assert facts(s, RULE_19) == []
    cards[1].scrapped = None
    s.hotlist(1, cards[1])
    late = cards[2].entry = replace(cards[2].entry, sequence=s.entry().sequence)
    assert facts(s, RULE_19) == [Fact.ORDER_TWICE]
    assert subjects(s, RULE_19) == [cards[2].card_id.hex()]
    assert late.order == order


def family(s: Small) -> tuple[Card, Card]:
    """Two ordered cards of one family, the second entered with room before it."""
    first, second = s.card(1, b"F" * 16), s.card(2, b"F" * 16)
    s.order += 10
    second.entry = s.entry(IssuanceKind.CARD_CERTIFICATE, family=b"F" * 16, order=bytes(32))
    ordered(s, first)
    ordered(s, second)
    return first, second


def test_one_live_card_of_a_family() -> None:
    s = Small()
    first, second = family(s)
    ordered(s, s.card(3))
    assert facts(s, RULE_19) == [Fact.TWO_CARDS]
    assert subjects(s, RULE_19) == [second.card_id.hex()]
    third = s.card(4, b"F" * 16)
    ordered(s, third)
    assert subjects(s, RULE_19) == [second.card_id.hex(), *[third.card_id.hex()] * 2]
    s.world.cards = dict(reversed(s.world.cards.items()))  # the log's order counts
    assert subjects(s, RULE_19) == [second.card_id.hex(), *[third.card_id.hex()] * 2]
    assert [dict(f.what.values)["card"] for f in RULES[RULE_19](s.world)] == [
        c.card_id.hex() for c in (first, first, second)
    ]


@pytest.mark.parametrize(("by", "found"), [(-1, []), (0, [Fact.TWO_CARDS]), (1, [Fact.TWO_CARDS])])
def test_the_one_before_was_scrapped_before_the_next(by: int, found: list) -> None:
    s = Small()
    first, second = family(s)
    first.scrapped = second.entry.sequence + by
    assert facts(s, RULE_19) == found


@pytest.mark.parametrize(("by", "found"), [(-1, []), (0, [Fact.TWO_CARDS]), (1, [Fact.TWO_CARDS])])
def test_the_one_before_was_on_a_hotlist_before_the_next(by: int, found: list) -> None:
    s = Small()
    first, second = family(s)
    s.hotlist(1, second)
    name = s.hotlist(2, first)
    objects = s.world.by_shape[type(s.world.objects[name].payload)]
    for i, o in enumerate(objects):
        entry = replace(o.entry, sequence=second.entry.sequence + (by if o.hash == name else -1))
        objects[i] = replace(o, entry=entry)
    assert facts(s, RULE_19) == found
    objects[:] = [replace(o, entry=None) for o in objects]
    assert facts(s, RULE_19) == [Fact.TWO_CARDS]
