"""Rule 10 on worlds made by hand: each bound at its edge, and two of everything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.audit.facts import Fact
from backend.audit.model import Card, Held, Station
from backend.audit.rules_use import unexplained
from tests.support.audit_small import (
    CASH,
    START_S,
    SUPERVISOR,
    W1,
    W2,
    Small,
    facts,
    subjects,
)
from wire.entitlement import Lot
from wire.invariants import Invariant
from wire.objects import Tariff, Window
from wire.receipt import StatementKind, Verification

RULE_10 = Invariant.CAPS_AND_COUNTS


def village(loaded: int = 500, **changes) -> tuple[Small, Station, Card]:
    """One card with so much cash, one station, one programme without a window."""
    s = Small()
    s.parameters()
    s.programme(CASH)
    station, card = s.station(), s.card()
    s.entitle(card, W2, loaded, **changes)
    return s, station, card


# --- 10: caps, windows, expiry ------------------------------------------------------------


def test_a_wallet_without_programme_is_said_once_and_nothing_else_of_it() -> None:
    s, station, card = village()
    s.entitle(card, W1, 5)
    s.debit(card, station, W1, 5, verification=Verification.NONE)
    s.debit(card, station, W2, 5)
    assert facts(s, RULE_10) == [Fact.WALLET_UNKNOWN]


@pytest.mark.parametrize(("basket", "found"), [(1, []), (2, []), (3, [Fact.TARIFF_UNSIGNED])])
def test_a_tariff_may_stand_in_any_version_of_the_programme(basket: int, found: list) -> None:
    s, station, card = village()
    s.programme(CASH, version=2, tariffs=(Tariff(2, 1, ()),))
    s.debit(card, station, W2, 5, basket_version=basket)
    assert facts(s, RULE_10) == found


@pytest.mark.parametrize(
    ("amount", "found"), [(99, []), (100, []), (101, [Fact.ABOVE_PROGRAMME_CAP])]
)
def test_the_highest_cap_of_a_programme_holds(amount: int, found: list) -> None:
    s = Small()
    s.programme(CASH, cap=100)
    s.programme(CASH, cap=50, version=2)
    station, card = s.station(), s.card()
    s.entitle(card, W2, 500)
    s.debit(card, station, W2, amount)
    assert facts(s, RULE_10) == found


@pytest.mark.parametrize(("amount", "found"), [(59, []), (60, []), (61, [Fact.ABOVE_CAP])])
def test_the_cap_of_the_entitlement_named_holds(amount: int, found: list) -> None:
    s, station, card = village(cap=60)
    s.debit(card, station, W2, amount)
    assert facts(s, RULE_10) == found


@pytest.mark.parametrize(
    ("at", "is_open"),
    [(-1, False), (0, True), (99, True), (100, False), (150, False), (200, True), (299, True),
     (300, False)],
)  # fmt: skip
def test_a_window_is_open_from_its_first_second_up_to_its_last(at: int, is_open: bool) -> None:
    s = Small()
    opens = START_S + 1000
    s.programme(CASH, windows=(Window(opens, opens + 100),))
    s.programme(CASH, version=2, windows=(Window(opens + 200, opens + 300),))
    station, card = s.station(), s.card()
    s.entitle(card, W2, 500)
    s.debit(card, station, W2, 5, terminal_time_s=opens + at)
    assert facts(s, RULE_10) == ([] if is_open else [Fact.OUTSIDE_WINDOW])


def test_a_version_without_windows_is_always_open() -> None:
    s, station, card = village()
    s.programme(CASH, version=2, windows=(Window(1, 2),))
    s.debit(card, station, W2, 5)
    assert facts(s, RULE_10) == []


LOTS = (Lot(START_S + 5000, 30), Lot(START_S + 9000, 100))


@pytest.mark.parametrize(
    ("before", "amount", "at", "found"),
    [(0, 100, 4999, []), (0, 70, 5000, []), (0, 71, 5000, [Fact.EXPIRED]), (40, 60, 5000, []),
     (20, 70, 5000, []), (20, 71, 5000, [Fact.EXPIRED]),
     (0, 1, 9000, [Fact.EXPIRED])],
)  # fmt: skip
def test_what_expired_is_not_there_any_more(before: int, amount: int, at: int, found: list) -> None:
    s, station, card = village(100, lots=LOTS)
    if before:
        s.debit(card, station, W2, before)
    s.debit(card, station, W2, amount, terminal_time_s=START_S + at)
    assert facts(s, RULE_10) == found


def test_expiry_is_judged_only_where_the_card_shows_the_entitlement_it_names() -> None:
    s, station, card = village(100, lots=LOTS)
    late = START_S + 5000
    c = s.counters[card.card_id, W2]
    s.debit(card, station, W2, 90, terminal_time_s=late, counters=replace(c, loaded=200,
                                                                          debited=90))  # fmt: skip
    s.debit(card, station, W2, 90, terminal_time_s=late, counters=replace(c, debited=89))
    s.debit(card, station, W2, 90, terminal_time_s=late, counters=replace(c, loaded=95, debited=90))
    assert facts(s, RULE_10) == []  # invariant 6 finds them


def test_an_entitlement_nobody_issued_has_no_cap() -> None:
    s, station, card = village(cap=1)
    s.debit(card, station, W2, 5, entitlement_sequence=7)
    assert facts(s, RULE_10) == []


def test_a_reversal_is_held_to_no_cap() -> None:
    s, station, card = village(cap=5)
    s.void(s.debit(card, station, W2, 5), station)
    assert facts(s, RULE_10) == []


# --- 10: how the holder was verified ------------------------------------------------------------


def bypass(s: Small, card: Card, station: Station, count: int, *, reason: str = "sakit") -> Held:
    ask = s.intent(station, card, W2, 1, reason=reason)
    return s.debit(card, station, W2, 1, asked=ask, verification=Verification.BYPASS,
                   officer=SUPERVISOR, terminal_serial=11, bypass_count=count)  # fmt: skip


def test_as_many_bypasses_as_the_entitlement_allows() -> None:
    s, station, card = village()
    bypass(s, card, station, 1)
    bypass(s, card, station, 2)
    assert facts(s, RULE_10) == []
    bypass(s, card, station, 3)
    assert facts(s, RULE_10) == [Fact.BYPASSES_MANY]
    s.debit(card, station, W2, 1, bypass_count=3)  # a PIN: no bypass, however many there were
    assert facts(s, RULE_10) == [Fact.BYPASSES_MANY]


def test_a_debit_needs_a_pin_or_a_bypass_with_its_reason() -> None:
    s, station, card = village()
    s.debit(card, station, W2, 1, verification=Verification.NONE)
    assert facts(s, RULE_10) == [Fact.NO_PIN]
    bypass(s, card, station, 1, reason="")
    assert facts(s, RULE_10) == [Fact.NO_PIN, Fact.BYPASS_REASON]
    s.debit(card, station, W2, 1, asked=s.intent(station, card, W2, 1, reason="sakit"),
            bypass_count=1)  # fmt: skip
    assert facts(s, RULE_10) == [Fact.NO_PIN, Fact.BYPASS_REASON, Fact.BYPASS_REASON]


def test_a_debit_that_names_a_void_is_not_asked_for_a_reason() -> None:
    s, station, card = village()
    ask = s.void_ask(station, s.world.ask_of(s.debit(card, station, W2, 1).receipt))
    s.debit(card, station, W2, 1, asked=ask)
    assert facts(s, RULE_10) == []


def test_each_bypass_counts_one_and_nothing_else_does() -> None:
    s, station, card = village()
    s.debit(card, station, W2, 1, bypass_count=1)  # nothing before it to count from
    bypass(s, card, station, 1)
    s.debit(card, station, W2, 1, bypass_count=2)
    s.debit(card, station, W2, 1, bypass_count=1)
    s.debit(card, station, W2, 1, bypass_count=1)
    other = s.card(2)
    s.entitle(other, W2, 9)
    s.debit(other, station, W2, 1)
    s.debit(other, station, W2, 1, bypass_count=1)
    name = card.card_id.hex()
    assert facts(s, RULE_10) == [Fact.BYPASS_STEP] * 4
    assert subjects(s, RULE_10) == [*(f"{name}/{n}" for n in (2, 3, 4)), f"{other.card_id.hex()}/2"]


def test_across_a_gap_bypasses_are_not_counted_and_after_it_they_are() -> None:
    s, station, card = village()
    s.debit(card, station, W2, 1)
    s.skip(card)
    s.debit(card, station, W2, 1, bypass_count=1)
    assert facts(s, RULE_10) == []
    s.debit(card, station, W2, 1, bypass_count=2)
    assert subjects(s, RULE_10) == [f"{card.card_id.hex()}/4"]


def test_what_two_chips_of_a_card_count_is_not_held_together() -> None:
    s, station, card = village()
    s.debit(card, station, W2, 1)
    link, c = s.link[card.card_id], s.counters[card.card_id, W2]
    s.debit(card, station, W2, 1)
    s.debit(card, station, W2, 1)
    s.sequence[card.card_id], s.link[card.card_id], s.counters[card.card_id, W2] = 1, link, c
    s.debit(card, station, W2, 1, bypass_count=1)  # a second body at 2
    s.skip(card)
    assert facts(s, RULE_10) == []
    s.debit(card, station, W2, 1, bypass_count=1)  # 4, of the second chip
    assert facts(s, RULE_10) == []
    s.debit(card, station, W2, 1, bypass_count=3)
    assert subjects(s, RULE_10) == [f"{card.card_id.hex()}/5"]


# --- 10: counts ------------------------------------------------------------


def counted(s: Small) -> list[tuple]:
    """Card number, fact, number, since when, closed terminals, whether impossible."""
    return [(c.card.card_id[-1], c.what.fact, dict(c.what.values)["number"], c.since_s - START_S,
             c.terminals, c.is_impossible) for c in unexplained(s.world)]  # fmt: skip


def shows(s: Small, card: Card, station: Station, at: int, **changes) -> None:
    """A debit at START_S + at that shows these counts."""
    s.time_s = START_S + at - 60
    s.debit(card, station, W2, 1, **changes)


def test_every_pin_set_has_its_statement() -> None:
    s, station, card = village()
    s.statement(card, station, StatementKind.ACTIVATION, pin_set_count=1)
    shows(s, card, station, 1000, pin_set_count=1)
    assert counted(s) == []
    shows(s, card, station, 2000, pin_set_count=2)
    shows(s, card, station, 3000, pin_set_count=3)
    s.statement(card, station, StatementKind.LOAD, W2, pin_set_count=3)  # shows, explains nothing
    assert counted(s) == [(1, Fact.PIN_UNEXPLAINED, 2, 2000, (), False),
                          (1, Fact.PIN_UNEXPLAINED, 3, 3000, (), False)]  # fmt: skip
    s.statement(card, station, StatementKind.PIN_SET, pin_set_count=2)
    s.statement(card, station, StatementKind.SCRIPT, pin_set_count=3)
    assert [c[2] for c in counted(s)] == [3]


def test_every_script_has_its_statement() -> None:
    s, station, card = village()
    card.scripts |= {1: None, 2: None}
    shows(s, card, station, 1000, script_count=1)
    s.statement(card, station, StatementKind.LOAD, W2, script_count=1)
    s.statement(card, station, StatementKind.PIN_SET, script_count=1)
    assert counted(s) == [(1, Fact.SCRIPT_UNEXPLAINED, 1, 1000, (), False)]
    s.statement(card, station, StatementKind.SCRIPT, script_count=1)
    assert counted(s) == []
    shows(s, card, station, 2000, script_count=3)
    assert counted(s) == [(1, Fact.SCRIPT_UNEXPLAINED, 2, 2000, (), False),
                          (1, Fact.SCRIPT_UNEXPLAINED, 3, 2000, (), True)]  # fmt: skip


def test_a_statement_too_shows_since_when_a_count_is_open() -> None:
    s, station, card = village()
    said = s.statement(card, station, StatementKind.LOAD, W2, pin_set_count=1)
    shows(s, card, station, 5000, pin_set_count=1)
    assert counted(s) == [
        (1, Fact.PIN_UNEXPLAINED, 1, said.place.record.time_s - START_S, (), False)
    ]


@pytest.mark.parametrize(("at", "explains"), [(999, False), (1000, True), (5000, True)])
def test_a_terminal_closed_since_the_last_lower_count_may_hold_it(at: int, explains: bool) -> None:
    s, station, card = village()
    lost, other = s.station(2), s.station(3)
    shows(s, card, station, 500, pin_set_count=0)
    shows(s, card, station, 1000, pin_set_count=0)
    shows(s, card, station, 4000, pin_set_count=1)
    s.time_s = START_S + at - 120
    s.lose(lost)
    lost.lost = replace(lost.lost, time_s=START_S + at)
    assert other.lost is None
    assert counted(s)[0][4] == ((lost.station.hex(),) if explains else ())


@pytest.mark.parametrize(("at", "explains"), [(-1, False), (0, True)])
def test_without_a_lower_count_the_card_s_certificate_is_the_beginning(
    at: int, explains: bool
) -> None:
    s, station, card = village()
    shows(s, card, station, 4000, pin_set_count=1)
    s.lose(station)
    station.lost = replace(station.lost, time_s=card.entry.time_s + at)
    assert counted(s)[0][4] == ((station.station.hex(),) if explains else ())


@pytest.mark.parametrize(("age", "found"), [(1000, []), (1001, [Fact.PIN_UNEXPLAINED])])
def test_a_count_becomes_a_finding_at_the_signed_age(age: int, found: list) -> None:
    s, station, card = village()
    shows(s, card, station, 4000, pin_set_count=1)
    s.world.now_s = START_S + 4000 + age
    assert facts(s, RULE_10) == found
    s.lose(station)
    s.world.now_s = START_S + 4000 + age
    assert facts(s, RULE_10) == []  # explained by the closed terminal


def test_without_parameters_a_count_is_a_finding_at_once() -> None:
    s = Small()
    s.programme(CASH)
    station, card = s.station(), s.card()
    s.entitle(card, W2, 500)
    s.debit(card, station, W2, 1, pin_set_count=1)
    assert facts(s, RULE_10) == [Fact.PIN_UNEXPLAINED]


def test_more_scripts_than_were_issued_is_a_finding_at_once_whatever_is_closed() -> None:
    s, station, card = village()
    s.debit(card, station, W2, 1, script_count=1)
    s.lose(station)
    assert facts(s, RULE_10) == [Fact.SCRIPT_UNEXPLAINED]


def test_each_card_is_counted_by_itself() -> None:
    s, station, card = village()
    other = s.card(2)
    s.entitle(other, W2, 9)
    s.statement(other, station, StatementKind.ACTIVATION, pin_set_count=1)
    s.debit(card, station, W2, 1, pin_set_count=1)
    s.debit(other, station, W2, 1, pin_set_count=2)
    assert [c[:3] for c in counted(s)] == [(1, Fact.PIN_UNEXPLAINED, 1),
                                           (2, Fact.PIN_UNEXPLAINED, 2)]  # fmt: skip
