"""Rules 4 to 7 on worlds made by hand: each bound at its edge, and two of everything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.audit.facts import Fact
from backend.audit.model import Card, Station
from tests.support.audit_small import (
    CASH,
    START_S,
    W1,
    W2,
    Small,
    facts,
    subjects,
)
from wire import log
from wire.invariants import Invariant
from wire.receipt import StatementKind

RULE_4, RULE_5, RULE_6, RULE_7 = (Invariant(n) for n in (4, 5, 6, 7))


def village(*wallets: int) -> tuple[Small, Station, Card]:
    """One card with 500 of each wallet (of cash without any), one station."""
    s = Small()
    s.parameters()
    s.programme(CASH)
    station, card = s.station(), s.card()
    for wallet in wallets or (W2,):
        s.entitle(card, wallet, 500)
    return s, station, card


def at(s: Small, seconds: int) -> None:
    """The next record but one is made then."""
    s.time_s = START_S + seconds - 60


# --- 4 ------------------------------------------------------------


@pytest.mark.parametrize(("age", "found"), [(1000, []), (1001, [Fact.RECEIPT_MISSING])])
def test_a_missing_receipt_is_a_finding_beyond_the_signed_age(age: int, found: list) -> None:
    s, station, card = village()
    s.skip(card)
    s.debit(card, station, W2, 1)
    s.world.now_s = s.time_s - 60 + age  # the receipt's record came before DELIVERED
    assert facts(s, RULE_4) == found


def test_without_parameters_a_missing_receipt_is_one_at_once_on_every_card() -> None:
    s = Small()
    station, cards = s.station(), [s.card(n) for n in (2, 1)]
    for card in cards:
        s.entitle(card, W2, 9)
        s.debit(card, station, W2, 1)
        s.skip(card, 2)
        shown = s.debit(card, station, W2, 1, deliver=False)
    s.world.now_s = shown.place.record.time_s
    name = cards[0].card_id.hex()
    assert subjects(s, RULE_4) == [f"{name}/{n}" for n in (2, 3)]  # the other's shows only now
    s.tick()
    assert subjects(s, RULE_4) == [f"{c.card_id.hex()}/{n}" for c in cards[::-1] for n in (2, 3)]


# --- 5 ------------------------------------------------------------


def test_each_receipt_links_to_the_one_before_and_the_first_to_the_certificate() -> None:
    s, station, card = village()
    other = s.card(2)
    s.entitle(other, W2, 9)
    for c in (card, other):
        for _ in range(3):
            s.debit(c, station, W2, 1)
    assert facts(s, RULE_5) == []


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_receipt_that_links_elsewhere_is_named(n: int) -> None:
    s, station, card = village()
    for k in (1, 2, 3, 4):
        held = s.debit(card, station, W2, 1, **({"link": bytes(32)} if k == n else {}))
        name = held.name if k == n else ""
        if name:
            wanted = name
    assert facts(s, RULE_5) == [Fact.LINK_OTHER]
    assert subjects(s, RULE_5) == [wanted]


def test_after_a_missing_receipt_no_link_can_be_judged() -> None:
    s, station, card = village()
    s.debit(card, station, W2, 1)
    s.skip(card)
    s.debit(card, station, W2, 1, link=bytes(32))
    assert facts(s, RULE_5) == []
    s.debit(card, station, W2, 1, link=bytes(32))
    assert subjects(s, RULE_5) == [f"{card.card_id.hex()}/4"]


def test_from_the_first_sequence_of_two_bodies_on_links_are_not_judged() -> None:
    s, station, card = village()
    bodies = [s.debit(card, station, W2, 1) for _ in range(3)]
    s.debit(card, station, W2, 1, link=bytes(32))
    card.doubles[3] = [bodies[2]]
    assert facts(s, RULE_5) == []
    card.doubles = {4: [bodies[2]]}
    assert facts(s, RULE_5) == []
    card.doubles = {5: [bodies[2]]}
    assert subjects(s, RULE_5) == [f"{card.card_id.hex()}/4"]


def test_two_bodies_after_a_receipt_do_not_say_what_it_links_to() -> None:
    s, station, card = village()
    s.skip(card)
    s.debit(card, station, W2, 1)
    card.doubles[3] = [s.debit(card, station, W2, 1)]
    assert facts(s, RULE_5) == []


# --- 6 ------------------------------------------------------------


def test_wrong_counters_are_named_on_every_card_and_wallet() -> None:
    s, station, card = village(W1, W2)
    other = s.card(2)
    s.entitle(other, W2, 9)
    names = []
    for c, wallet in ((card, W1), (card, W2), (other, W2)):
        s.debit(c, station, wallet, 1)
        shown = s.counters[c.card_id, wallet]
        held = s.debit(c, station, wallet, 1, counters=replace(shown, debited=3))
        names.append(held.name)
    assert subjects(s, RULE_6) == names
    assert facts(s, RULE_6) == [Fact.COUNTERS_WRONG] * 3


# --- 7 ------------------------------------------------------------


def test_entitlements_of_a_wallet_rise_by_one() -> None:
    s, station, card = village(W1, W2)
    s.entitle(card, W2, 500)  # the same L again
    s.entitle(card, W2, 700)
    assert facts(s, RULE_7) == []
    s.entitle(card, W1, 600, sequence=3)
    s.entitle(card, W2, 699, sequence=4)
    s.entitle(card, W2, 800, sequence=4)
    name = card.card_id.hex()
    assert facts(s, RULE_7) == [Fact.ENTITLEMENT_ORDER] * 3
    assert subjects(s, RULE_7) == [f"{name}/{W1}/3", f"{name}/{W2}/4", f"{name}/{W2}/4"]
    assert station.asks == {}


@pytest.mark.parametrize("sequence", [1, 2])
def test_an_entitlement_out_of_sequence_is_named_either_way(sequence: int) -> None:
    s, _, card = village(W1)
    if sequence == 1:
        s.entitle(card, W1, 600, sequence=1)
    else:
        s.entitle(card, W2, 600, sequence=2)
    assert facts(s, RULE_7) == [Fact.ENTITLEMENT_ORDER]


def test_an_entitlement_is_for_the_card_s_certificate_and_the_wallet_s_programme() -> None:
    s, _, card = village()
    other = s.card(2)
    s.entitle(other, W2, 5, certificate_hash=card.certificate.digest[:16])
    s.entitle(other, W2, 6, programme=CASH + 1)
    s.entitle(other, W2, 7, programme=CASH - 1)
    s.entitle(other, W1, 7, programme=9)  # a wallet of no programme known: invariant 10
    assert facts(s, RULE_7) == [Fact.ENTITLEMENT_CERTIFICATE, *[Fact.WALLET_PROGRAMME] * 2]


def test_a_receipt_under_an_entitlement_nobody_issued() -> None:
    s, station, card = village(W1, W2)
    s.debit(card, station, W2, 1)
    s.debit(card, station, W1, 1, entitlement_sequence=2)
    assert facts(s, RULE_7) == [Fact.ENTITLEMENT_UNKNOWN]
    card.unlogged.add((W2, 2))
    assert facts(s, RULE_7) == [Fact.ENTITLEMENT_UNKNOWN]  # another wallet's
    card.unlogged.add((W1, 2))
    assert facts(s, RULE_7) == []


@pytest.mark.parametrize(("early", "found"), [(100, []), (101, [Fact.ENTITLEMENT_AFTER_USE])])
def test_an_entitlement_is_issued_before_its_use_but_for_the_skew(early: int, found: list) -> None:
    s, station, card = village()
    issued = card.entitlements[W2][0].entry.time_s
    s.debit(card, station, W2, 1, terminal_time_s=issued - early)
    assert facts(s, RULE_7) == found


def test_without_parameters_there_is_no_skew() -> None:
    s = Small()
    station, card = s.station(), s.card()
    issued = s.entitle(card, W2, 9).entry.time_s
    s.debit(card, station, W2, 1, terminal_time_s=issued)
    assert facts(s, RULE_7) == []
    s.debit(card, station, W2, 1, terminal_time_s=issued - 1)
    assert facts(s, RULE_7) == [Fact.ENTITLEMENT_AFTER_USE]


@pytest.mark.parametrize(("early", "found"), [(0, []), (1, [Fact.ENTITLEMENT_AFTER_USE])])
def test_an_entitlement_is_issued_before_its_use_arrives(early: int, found: list) -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    issued = card.entitlements[W2][0].entry.time_s
    station.arrivals.append((held.place.record.sequence, issued - early, 40))
    assert facts(s, RULE_7) == found


def test_a_card_names_no_older_entitlement_than_before_in_one_wallet() -> None:
    s, station, card = village(W1, W2)
    s.entitle(card, W2, 600)
    s.debit(card, station, W2, 1)
    s.debit(card, station, W1, 1)  # wallets count their own
    s.debit(card, station, W2, 1)
    assert facts(s, RULE_7) == []
    held = s.debit(card, station, W2, 1, entitlement_sequence=1)
    assert facts(s, RULE_7) == [Fact.ENTITLEMENT_OLDER_NAMED]
    assert subjects(s, RULE_7) == [held.name]
    card.doubles[3] = []
    assert facts(s, RULE_7) == [Fact.ENTITLEMENT_OLDER_NAMED]  # its link leads to the one before
    card.receipts[4] = replace(held, receipt=replace(held.receipt, link=bytes(32)))
    assert facts(s, RULE_7) == []  # another chip's


def test_findings_of_a_card_do_not_end_those_of_the_next() -> None:
    s, station, card = village()
    other = s.card(2)
    for c in (card, other):
        s.entitle(c, W1, 9, certificate_hash=bytes(16))
        s.debit(c, station, W1, 1, entitlement_sequence=7)
    assert facts(s, RULE_7) == [Fact.ENTITLEMENT_CERTIFICATE, Fact.ENTITLEMENT_UNKNOWN] * 2


def test_a_receipt_carried_home_by_another_station_is_judged_by_that_one_s_arrival() -> None:
    s, station, card = village()
    home = s.station(2)
    held = s.debit(card, station, W2, 1, record=False)
    place = s.record(home, log.Collected(bytes(held.receipt)))
    card.receipts[1] = replace(held, place=place)
    issued = card.entitlements[W2][0].entry.time_s
    station.arrivals.append((9, issued - 1, 40))
    assert facts(s, RULE_7) == []
    home.arrivals.append((9, issued - 1, 40))
    assert facts(s, RULE_7) == [Fact.ENTITLEMENT_AFTER_USE]
    assert s.statement(card, home, StatementKind.PIN_SET).statement.sequence == 1
