"""One card's counters and gaps on worlds made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.audit.facts import Fact
from backend.audit.model import Card, Station
from backend.audit.steps import events, gaps, is_contiguous, wrong_steps
from tests.support.audit_small import START_S, W1, W2, Small
from wire.objects import DecisionKind
from wire.receipt import Counters, ReceiptKind, StatementKind


def village(loaded: int = 500) -> tuple[Small, Station, Card]:
    s = Small()
    station, card = s.station(), s.card()
    s.entitle(card, W2, loaded)
    return s, station, card


def wrong(card: Card, wallet: int = W2) -> list[tuple[int, Fact]]:
    """Sequence and fact of what does not follow."""
    return [(e.item.sequence, what.fact) for e, what in wrong_steps(card, wallet)]


def shows(s: Small, card: Card, station: Station, *counters: int, **changes) -> None:
    """The next debit of 1 shows these counters."""
    s.debit(card, station, W2, 1, counters=Counters(*counters), **changes)


# --- order ------------------------------------------------------------


def test_receipts_come_before_loads_at_their_sequence_and_loads_in_their_order() -> None:
    s, station, card = village()
    second = s.statement(card, station, wallet=W2, entitlement_sequence=2)
    first = s.statement(card, station, wallet=W2, entitlement_sequence=1)
    later = s.statement(card, station, wallet=W2, sequence=1)
    held = s.debit(card, station, W2, 1)
    s.statement(card, station, StatementKind.PIN_SET)
    s.statement(card, station, wallet=W1)
    s.debit(card, station, W1 - 1, 1, counters=Counters(1, 1, 0, 0))
    found = [e.item for e in events(card, W2)]
    assert found == [first.statement, second.statement, held.receipt, later.statement]


@pytest.mark.parametrize(
    ("after", "n", "is_whole"),
    [(0, 1, True), (0, 2, True), (0, 4, False), (2, 4, False), (3, 4, True), (1, 5, False),
     (4, 5, True), (2, 2, True)],
)  # fmt: skip
def test_nothing_is_missing_between_two_receipts(after: int, n: int, is_whole: bool) -> None:
    s, station, card = village()
    for k in range(1, 6):
        if k == 3:
            s.skip(card)
        else:
            s.debit(card, station, W2, 1)
    assert is_contiguous(card, after, card.receipts[n].receipt) == is_whole


def test_before_a_statement_its_own_sequence_too_is_there() -> None:
    s, station, card = village()
    s.debit(card, station, W2, 1)
    said = s.statement(card, station, wallet=W2).statement
    assert is_contiguous(card, 0, said)
    assert is_contiguous(card, 1, said)
    s.skip(card)
    said = s.statement(card, station, wallet=W2).statement
    assert not is_contiguous(card, 1, said)
    assert is_contiguous(card, 2, said)


@pytest.mark.parametrize(
    ("double", "is_whole"), [(1, True), (2, False), (3, False), (4, False), (5, True)]
)
def test_nothing_is_doubled_between_two_receipts(double: int, is_whole: bool) -> None:
    s, station, card = village()
    bodies = [s.debit(card, station, W2, 1) for _ in range(5)]
    card.doubles[double] = [bodies[0]]
    assert is_contiguous(card, 2, card.receipts[4].receipt) == is_whole


# --- steps ------------------------------------------------------------


def test_debits_reversals_and_loads_step_by_what_they_moved() -> None:
    s, station, card = village(20)
    s.statement(card, station, wallet=W2)
    s.debit(card, station, W2, 7)
    s.void(s.debit(card, station, W2, 5), station)
    s.debit(card, station, W2, 2)
    s.entitle(card, W2, 30, forfeited_through=12)  # 9 were spent: 3 are forfeited
    s.statement(card, station, wallet=W2)
    s.debit(card, station, W2, 1)
    assert s.counters[card.card_id, W2] == Counters(30, 15, 3, 5)
    assert wrong(card) == []


@pytest.mark.parametrize(
    "counters",
    [(501, 3, 0, 0), (499, 3, 0, 0), (500, 2, 0, 0), (500, 4, 0, 0), (500, 3, 1, 0),
     (500, 3, 0, 1)],
)  # fmt: skip
def test_a_counter_that_steps_by_anything_else_is_wrong(counters: tuple) -> None:
    s, station, card = village()
    s.debit(card, station, W2, 2)
    shows(s, card, station, *counters)
    assert wrong(card) == [(2, Fact.COUNTERS_WRONG)]
    c = Counters(*counters)
    shows(s, card, station, c.loaded, c.debited + 1, c.forfeited, c.reversed)
    ((_, what),) = wrong_steps(card, W2)
    assert (
        dict(what.values)["shown"] == f"L {c.loaded} D {c.debited} F {c.forfeited} R {c.reversed}"
    )
    assert dict(what.values)["wanted"] == "L 500 D 3 F 0 R 0"
    assert wrong(card) == [(2, Fact.COUNTERS_WRONG)]  # once: the next follows from what it shows


def test_a_reversal_that_counts_something_else_is_wrong() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5)
    s.void(held, station, counters=Counters(500, 5, 0, 4))
    assert wrong(card) == [(2, Fact.COUNTERS_WRONG)]


def test_a_load_moves_what_its_entitlement_says_and_nothing_else() -> None:
    s, station, card = village()
    s.debit(card, station, W2, 5)
    s.statement(card, station, wallet=W2, counters=Counters(500, 6, 0, 0))
    assert wrong(card) == [(1, Fact.COUNTERS_WRONG)]
    s.entitle(card, W2, 600)
    s.statement(card, station, wallet=W2, counters=Counters(500, 6, 0, 0))
    assert wrong(card) == [(1, Fact.COUNTERS_WRONG)] * 2


def test_a_wallet_may_begin_with_nothing() -> None:
    s, station, card = village(0)
    s.statement(card, station, wallet=W2)
    assert s.counters[card.card_id, W2] == Counters(0, 0, 0, 0)
    s.skip(card)
    s.statement(card, station, wallet=W2)
    assert wrong(card) == []


def test_what_the_same_entitlement_gives_counts_once() -> None:
    s, station, card = village(20)
    s.debit(card, station, W2, 4)
    s.entitle(card, W2, 20, forfeited_through=10)
    s.debit(card, station, W2, 4, counters=Counters(20, 8, 6, 0))
    assert wrong(card) == []
    s.debit(card, station, W2, 1, counters=Counters(20, 9, 6, 0))  # nothing forfeited anew
    assert wrong(card) == []


def test_an_entitlement_nobody_issued_an_older_or_an_unlogged_one_is_not_judged_here() -> None:
    s, station, card = village()
    shows(s, card, station, 700, 50, 0, 0, entitlement_sequence=3)
    assert wrong(card) == []
    shows(s, card, station, 700, 90, 0, 0, entitlement_sequence=1)  # older: invariant 7
    assert wrong(card) == []
    s, station, card = village()
    card.unlogged |= {(W2, 1)}
    shows(s, card, station, 700, 50, 0, 0)
    assert wrong(card) == []
    card.unlogged = {(W1, 1), (W2, 2)}
    assert wrong(card) == [(1, Fact.COUNTERS_WRONG)]


@pytest.mark.parametrize(
    ("counters", "is_fall"),
    [((500, 9, 1, 2), False), ((600, 40, 3, 5), False), ((499, 9, 1, 2), True),
     ((500, 8, 1, 2), True), ((500, 9, 0, 2), True), ((500, 9, 1, 1), True)],
)  # fmt: skip
def test_across_a_gap_no_counter_falls(counters: tuple, is_fall: bool) -> None:
    s, station, card = village()
    s.debit(card, station, W2, 9, counters=Counters(500, 9, 1, 2), entitlement_sequence=9)
    s.skip(card)
    shows(s, card, station, *counters)
    assert wrong(card) == ([(3, Fact.COUNTER_FELL)] if is_fall else [])


def test_after_a_missing_first_receipt_only_a_fall_is_judged() -> None:
    s, station, card = village()
    s.skip(card)
    shows(s, card, station, 500, 50, 0, 3)
    assert wrong(card) == []
    shows(s, card, station, 500, 52, 0, 3)
    assert wrong(card) == [(3, Fact.COUNTERS_WRONG)]


def cloned() -> tuple[Small, Station, Card]:
    """1 of the chip; then two chips, each with its own 2 and more."""
    s, station, card = village()
    s.debit(card, station, W2, 10)
    link, c = s.link[card.card_id], s.counters[card.card_id, W2]
    s.debit(card, station, W2, 100)
    s.sequence[card.card_id], s.link[card.card_id], s.counters[card.card_id, W2] = 1, link, c
    s.debit(card, station, W2, 5)
    return s, station, card


def test_what_one_chip_counts_is_not_held_against_the_other() -> None:
    s, station, card = cloned()
    s.debit(card, station, W2, 5)
    assert [e.item.counters.debited for e in events(card, W2)] == [10, 110, 20]
    assert wrong(card) == []


def test_below_what_both_chips_have_behind_them_nothing_falls() -> None:
    s, station, card = cloned()
    shows(s, card, station, 500, 9, 0, 0)
    assert wrong(card) == [(3, Fact.COUNTER_FELL)]


def test_a_statement_just_before_the_fork_is_not_what_both_have_behind_them() -> None:
    s, station, card = village()
    s.debit(card, station, W2, 10)
    s.statement(card, station, wallet=W2, counters=Counters(500, 12, 0, 0))
    link, c = s.link[card.card_id], s.counters[card.card_id, W2]
    s.debit(card, station, W2, 100)
    s.sequence[card.card_id], s.link[card.card_id], s.counters[card.card_id, W2] = 1, link, c
    s.debit(card, station, W2, 1)
    assert wrong(card) == [(1, Fact.COUNTERS_WRONG)]
    card.receipts[2] = card.doubles[2][0]
    assert wrong(card) == [(1, Fact.COUNTERS_WRONG)]  # 11 is no fall from the 10 before


# --- gaps ------------------------------------------------------------


def missing(s: Small, card: Card) -> list[tuple[int, int]]:
    """Sequence and since when of every open gap."""
    return [(g.sequence, g.since_s - START_S) for g in gaps(s.world, card)]


def at(s: Small, seconds: int) -> None:
    """The next record is made then."""
    s.time_s = START_S + seconds - 60


def test_a_gap_is_open_since_the_first_record_that_shows_it() -> None:
    s, station, card = village()
    at(s, 1000)
    s.debit(card, station, W2, 1)
    s.skip(card, 2)
    at(s, 5000 - 60)
    s.debit(card, station, W2, 1)
    assert missing(s, card) == [(2, 5000), (3, 5000)]
    at(s, 4000)
    s.statement(card, station, sequence=2)
    assert missing(s, card) == [(2, 4000), (3, 5000)]
    at(s, 3000)
    s.statement(card, station, sequence=1)
    assert missing(s, card) == [(2, 4000), (3, 5000)]
    at(s, 2000)
    s.statement(card, station, sequence=3)
    assert missing(s, card) == [(2, 2000), (3, 2000)]


def test_a_decision_closes_the_gaps_it_names_and_no_other_card_s() -> None:
    s, station, card = village()
    other = s.card(2)
    s.skip(card, 5)
    s.debit(card, station, W2, 1)
    s.decide(DecisionKind.CLOSE_GAP, card, W2, first=2, last=3)
    s.decide(DecisionKind.PAY, card, W2, first=1, last=1)
    s.decide(DecisionKind.CLOSE_GAP, other, W2, first=5, last=5)
    assert [n for n, _ in missing(s, card)] == [1, 4, 5]
    card.excused.add(4)
    assert [n for n, _ in missing(s, card)] == [1, 5]


def unseen(s: Small, station: Station, card: Card, amount: int = 5) -> None:
    """A debit whose reversal nobody brings."""
    s.debit(card, station, W2, amount)
    s.skip(card)
    c = s.counters[card.card_id, W2]
    s.counters[card.card_id, W2] = replace(c, reversed=c.reversed + amount)


def test_a_missing_receipt_in_which_r_steps_is_the_reversal_of_the_one_before() -> None:
    s, station, card = village()
    unseen(s, station, card)
    s.debit(card, station, W2, 1)
    assert missing(s, card) == []
    unseen(s, station, card, 7)
    s.statement(card, station, wallet=W2)
    assert missing(s, card) == []


@pytest.mark.parametrize("by", [-1, 1])
def test_r_steps_by_exactly_the_amount_before(by: int) -> None:
    s, station, card = village()
    unseen(s, station, card)
    c = s.counters[card.card_id, W2]
    s.debit(card, station, W2, 9, counters=Counters(500, 14, 0, c.reversed + by))
    assert [n for n, _ in missing(s, card)] == [2]


def test_reversals_before_or_of_other_wallets_are_no_matter() -> None:
    s, station, card = village()
    s.debit(card, station, W1, 1, counters=Counters(9, 1, 0, 0))
    s.void(s.debit(card, station, W2, 3), station)  # before: no matter
    unseen(s, station, card)
    s.void(s.debit(card, station, W1, 1, counters=Counters(9, 2, 0, 0)), station)
    s.debit(card, station, W2, 4)
    assert missing(s, card) == []


@pytest.mark.parametrize(("shown", "open_"), [(9, []), (4, [2]), (5, [2])])
def test_a_reversal_that_shows_r_first_explains_its_own_amount(shown: int, open_: list) -> None:
    s, station, card = village()
    s.debit(card, station, W2, 5)
    s.skip(card)
    c = s.counters[card.card_id, W2]
    s.debit(card, station, W1, 4, counters=Counters(9, 4, 0, 0))
    ask = s.void_ask(station, s.world.ask_of(card.receipts[3].receipt))
    made = s.receipt(card, ask, ReceiptKind.REVERSAL, W2, 4,
                     counters=replace(c, debited=9, reversed=shown))  # fmt: skip
    s.hold(made, s.bring(station, ask, made))
    assert [n for n, _ in missing(s, card)] == open_


def test_a_missing_debit_is_never_a_reversal() -> None:
    s, station, card = village()
    s.void(s.debit(card, station, W2, 5), station)
    s.skip(card)
    c = s.counters[card.card_id, W2]
    s.debit(card, station, W2, 1, counters=replace(c, debited=11, reversed=10))
    assert [n for n, _ in missing(s, card)] == [3]  # the one before is a reversal itself


def test_of_two_missing_receipts_none_is_taken_for_a_reversal() -> None:
    s, station, card = village()
    unseen(s, station, card)
    s.skip(card)
    s.debit(card, station, W2, 1)
    assert [n for n, _ in missing(s, card)] == [2, 3]


def test_a_missing_first_receipt_is_a_gap() -> None:
    s, station, card = village()
    s.skip(card)
    s.debit(card, station, W2, 1, counters=Counters(500, 9, 0, 1))
    assert [n for n, _ in missing(s, card)] == [1]


def test_of_a_wallet_not_shown_again_nothing_is_known() -> None:
    s, station, card = village()
    unseen(s, station, card)
    s.debit(card, station, W1, 1, counters=Counters(9, 5, 0, 5))
    s.statement(card, station, StatementKind.PIN_SET)
    assert [n for n, _ in missing(s, card)] == [2]
