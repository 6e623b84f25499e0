"""Rules 11 and 12 on worlds made by hand: each bound at its edge, and two of everything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.audit.facts import Fact
from backend.audit.findings import Finding, say
from backend.audit.model import Card, Station
from backend.audit.rules import RULES
from tests.support.audit_small import (
    CASH,
    DAY_S,
    START_S,
    W2,
    Small,
    day,
    facts,
    subjects,
)
from wire import cvc
from wire.invariants import Invariant

RULE_11, RULE_12 = Invariant.TIME, Invariant.HOTLIST
MIDNIGHT_S = 1_775_001_600  # 2026-04-01 00:00 UTC


def village(loaded: int = 500, **changes) -> tuple[Small, Station, Card]:
    """One card with so much cash, one station, one programme without a window."""
    s = Small()
    s.parameters()
    s.programme(CASH)
    station, card = s.station(), s.card()
    s.entitle(card, W2, loaded, **changes)
    return s, station, card


def shows(s: Small, card: Card, station: Station, at: int, **changes) -> None:
    """A debit at START_S + at that shows these counts."""
    s.time_s = START_S + at - 60
    s.debit(card, station, W2, 1, **changes)


# --- 11 ------------------------------------------------------------


def test_of_a_station_s_faults_those_of_time_are_listed() -> None:
    s, station, _ = village()
    for invariant, fact in (
        (Invariant.TERMINAL_CHAIN, Fact.RECORD_FORKED),
        (RULE_11, Fact.RECORD_OLDER),
        (RULE_12, Fact.AFTER_HOTLIST),
    ):
        station.faults.append(Finding(invariant, "x", say(fact)))
    assert facts(s, RULE_11) == [Fact.RECORD_OLDER]


@pytest.mark.parametrize("by", [-1, 1])
def test_a_receipt_has_the_time_of_its_intent(by: int) -> None:
    s, station, card = village()
    s.debit(card, station, W2, 1)
    assert facts(s, RULE_11) == []
    ask = s.intent(station, card, W2, 1)
    s.debit(card, station, W2, 1, asked=ask, terminal_time_s=ask.place.record.time_s + by)
    assert facts(s, RULE_11) == [Fact.TIME_NOT_INTENT]


@pytest.mark.parametrize(("back", "found"), [(99, []), (100, []), (101, [Fact.TIME_OLDER])])
def test_a_card_s_times_run_back_at_most_by_the_skew(back: int, found: list) -> None:
    s, station, card = village()
    s.debit(card, station, W2, 1)
    shows(s, card, station, 5000)
    shows(s, card, station, 5000 - back)
    assert facts(s, RULE_11) == found


def test_without_parameters_no_skew_is_allowed() -> None:
    s = Small()
    station, card = s.station(), s.card()
    s.entitle(card, W2, 9)
    for at in (5000, 5000, 4999):
        assert facts(s, RULE_11) == []
        shows(s, card, station, at)
    assert facts(s, RULE_11) == [Fact.TIME_OLDER]


def test_times_of_two_chips_are_not_compared() -> None:
    s, station, card = village()
    shows(s, card, station, 5000)
    shows(s, card, station, 9000)
    card.doubles[2] = []
    shows(s, card, station, 6000, link=bytes(32))
    assert facts(s, RULE_11) == []


@pytest.mark.parametrize("which", ["terminal", "card"])
@pytest.mark.parametrize(
    ("at", "is_inside"), [(-1, False), (0, True), (DAY_S - 1, True), (DAY_S, False)]
)
def test_a_certificate_holds_from_its_first_second_to_its_last(
    which: str, at: int, is_inside: bool
) -> None:
    s, station, card = village(issued=day("2026-03-01"))
    days = {"effective": day("2026-04-01"), "expires": day("2026-04-01")}
    fact = Fact.OUTSIDE_CARD_CERTIFICATE
    if which == "card":
        card.certificate = replace(card.certificate, **days)
    else:
        fact = Fact.OUTSIDE_TERMINAL_CERTIFICATE
        cert, entry = s.world.certificates[station.station, 10]
        s.world.certificates[station.station, 10] = (replace(cert, **days), entry)
    s.time_s = MIDNIGHT_S + at - 60
    s.debit(card, station, W2, 1)
    assert facts(s, RULE_11) == ([] if is_inside else [fact])


def test_a_certificate_nobody_logged_has_no_dates() -> None:
    s, station, card = village()
    s.debit(card, station, W2, 1, terminal_serial=99)
    assert facts(s, RULE_11) == []


@pytest.mark.parametrize(("at", "found"), [(0, []), (-1, [Fact.BEFORE_ENTITLEMENT])])
def test_an_entitlement_is_used_from_its_day_on(at: int, found: list) -> None:
    s, station, card = village(issued=day("2026-04-01"))
    s.time_s = MIDNIGHT_S + at - 60
    s.debit(card, station, W2, 1)
    s.debit(card, station, W2, 1, entitlement_sequence=9)
    assert facts(s, RULE_11) == found


@pytest.mark.parametrize(("early", "found"), [(300, []), (301, [Fact.AFTER_ARRIVAL])])
def test_a_receipt_is_not_made_after_it_arrived(early: int, found: list) -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    station.arrivals.append((station.last, held.receipt.terminal_time_s - early, 50))
    assert facts(s, RULE_11) == found


# --- 12 ------------------------------------------------------------


def test_a_debit_after_the_installed_hotlist_names_the_card() -> None:
    s, station, card = village()
    other = s.card(2)
    s.entitle(other, W2, 9)
    s.hotlist(1, other)
    s.hotlist(2, card)
    s.debit(card, station, W2, 1, asked=s.intent(station, card, W2, 1, hotlist=1))
    assert facts(s, RULE_12) == []
    held = s.debit(card, station, W2, 1, asked=s.intent(station, card, W2, 1, hotlist=2))
    assert subjects(s, RULE_12) == [held.name]
    (found,) = (f.what for f in RULES[RULE_12](s.world))
    assert found == say(Fact.AFTER_HOTLIST, number=2)
    after = s.debit(other, station, W2, 1, asked=s.intent(station, other, W2, 1, hotlist=1))
    assert subjects(s, RULE_12) == [held.name, after.name]


def test_a_void_after_the_hotlist_is_right_and_what_follows_is_judged() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    reversal = s.void(held, station)
    s.hotlist(1, card)
    s.world.ask_of(reversal.receipt).hotlist = 1
    assert facts(s, RULE_12) == []
    s.debit(card, station, W2, 1, asked=s.intent(station, card, W2, 1, hotlist=1))
    assert facts(s, RULE_12) == [Fact.AFTER_HOTLIST]


def renewed(s: Small, station: Station, role=cvc.Role.TERMINAL, **more) -> int:
    """A newer certificate's serial."""
    s.certify(station, role, 0, 77, **more)
    return 77


@pytest.mark.parametrize(
    ("role", "found"),
    [(cvc.Role.TERMINAL, [Fact.CERTIFICATE_AFTER_HOTLIST]),
     (cvc.Role.SUPERVISOR, [Fact.CERTIFICATE_AFTER_HOTLIST]), (cvc.Role.HANDOVER, []),
     (cvc.Role.PERSONALISER, [])],
)  # fmt: skip
def test_a_newer_certificate_came_with_the_hotlist_before_it(role, found: list) -> None:
    s, station, card = village()
    s.hotlist(1)
    s.hotlist(2, card)
    s.debit(card, station, W2, 1)
    assert facts(s, RULE_12) == []  # its certificate is older
    s.debit(card, station, W2, 1, terminal_serial=renewed(s, station, role))
    assert facts(s, RULE_12) == found


def test_a_newer_certificate_under_a_hotlist_that_names_the_card_no_more() -> None:
    s, station, card = village()
    s.hotlist(1, card)
    s.hotlist(2)
    serial = renewed(s, station)
    s.hotlist(3, card)
    s.debit(card, station, W2, 1, terminal_serial=serial)
    assert facts(s, RULE_12) == []


def test_certificates_that_are_no_terminal_s_prove_no_hotlist() -> None:
    s, station, card = village()
    s.hotlist(1, card)
    serial = renewed(s, station, extension=card.certificate.extension)
    s.debit(card, station, W2, 1, terminal_serial=serial)
    s.debit(card, station, W2, 1, terminal_serial=98)
    assert facts(s, RULE_12) == []
