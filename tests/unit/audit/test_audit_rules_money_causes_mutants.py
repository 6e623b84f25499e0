"""Rule 18 on worlds made by hand: two rows, cards and decisions; sums at their edge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.audit.facts import Fact
from backend.audit.model import Card, Station
from tests.support.audit_small import (
    CASH,
    FOOD,
    W1,
    W2,
    W3,
    Small,
    facts,
    subjects,
)
from wire import log
from wire.chain import Citation
from wire.invariants import Invariant
from wire.objects import (
    Decision,
    DecisionKind,
    DecreeAnnex,
    DecreeRow,
    FieldVerification,
    FundRelease,
    GoodsLine,
    Tariff,
    Unit,
    VerificationDecision,
)
from wire.receipt import Counters, StatementKind

RULE_18 = Invariant.DECREE_ROW
A = b"a" * 32
RICE, GRAM = "beras", Unit.GRAM
TRUE = VerificationDecision.VERIFIED


def village() -> tuple[Small, Station, Card]:
    """Baskets of 5 rice at 150 and cash, unstocked; no entitlement yet."""
    s = Small()
    s.programme(FOOD, unit=Unit.BASKET, price=150, lines=((RICE, GRAM, 5),))
    s.programme(CASH, stocked=False)
    return s, s.station(), s.card()


# --- 18: rows ------------------------------------------------------------


def visit(s: Small, family: bytes, decision: VerificationDecision = TRUE) -> bytes:
    return s.object(FieldVerification(family, 11, s.time_s, decision, "", bytes(32), 12))


def decree(s: Small, *rows: DecreeRow, number: str = "SK-1") -> bytes:
    return s.object(DecreeAnnex(number, 20260301, "Gubernur", rows))


@pytest.mark.parametrize(
    ("decision", "is_right"),
    [(TRUE, True), *((d, False) for d in VerificationDecision if d != TRUE)],
)
def test_a_row_stands_on_a_visit_that_found_its_family(
    decision: VerificationDecision, is_right: bool
) -> None:
    s, _, card = village()
    good, bad = visit(s, card.family), visit(s, card.family, decision)
    family = card.family
    decree(s, DecreeRow(1, family, FOOD, 4, bad), DecreeRow(2, family, FOOD, 4, good))
    assert facts(s, RULE_18) == ([] if is_right else [Fact.ROW_NO_VISIT])
    assert subjects(s, RULE_18) == ([] if is_right else ["SK-1/1"])


def test_a_row_on_no_visit_or_a_neighbour_s_is_named_and_the_next_is_judged() -> None:
    s, _, card = village()
    own, theirs, lower = visit(s, card.family), visit(s, b"G" * 16), visit(s, b"A" * 16)
    aside = b"s" * 32
    s.world.aside_names.add(aside)
    names = (own, aside, theirs, own, A, lower)
    rows = [DecreeRow(n, card.family, FOOD, 4, v) for n, v in enumerate(names, 1)]
    decree(s, *rows)
    decree(s, rows[2], number="SK-2")
    assert subjects(s, RULE_18) == ["SK-1/3", "SK-1/5", "SK-1/6", "SK-2/3"]


def given(s: Small, card: Card, *amounts: int, code: int = CASH) -> bytes:
    """A decree that gives the card's family so much, row by row."""
    name = visit(s, card.family)
    rows = [DecreeRow(n, card.family, code, a, name) for n, a in enumerate(amounts, 1)]
    return decree(s, *rows)


def release(s: Small, amount: int, code: int = CASH) -> bytes:
    return s.object(FundRelease("SP2D", code, amount, s.time_s))


@pytest.mark.parametrize(("step", "found"), [(49, []), (50, []), (51, [Fact.ROW_LESS])])
def test_a_step_is_at_most_its_row(step: int, found: list) -> None:
    s, _, card = village()
    release(s, 1000)
    name = given(s, card, 50)
    s.entitle(card, W2, step, cause=Citation(name, 1))
    assert facts(s, RULE_18) == found
    assert subjects(s, RULE_18) == [f"{card.card_id.hex()}/{W2}/1"] * len(found)


@pytest.mark.parametrize(("funds", "found"), [(99, [Fact.FUNDS_LESS]), (100, []), (101, [])])
def test_steps_stay_within_the_funds_released(funds: int, found: list) -> None:
    s, _, card = village()
    other = s.card(2)
    release(s, 60)
    release(s, funds - 60)
    release(s, 900, FOOD)
    release(s, 900, CASH + 1)
    mine, theirs = given(s, card, 50, 50), given(s, other, 50)
    s.entitle(card, W2, 50, cause=Citation(mine, 1))
    s.entitle(other, W2, 30, cause=Citation(theirs, 1))
    s.entitle(card, W2, 70, cause=Citation(mine, 2))
    assert facts(s, RULE_18) == found
    release(s, 900)  # too late
    assert facts(s, RULE_18) == found


@pytest.mark.parametrize(("funds", "found"), [(599, [Fact.FUNDS_LESS]), (600, [])])
def test_baskets_cost_the_newest_tariff(funds: int, found: list) -> None:
    s, _, card = village()
    lines = (GoodsLine(RICE, GRAM, 5),)
    s.programme(FOOD, unit=Unit.BASKET, version=2,
                tariffs=(Tariff(1, 150, lines), Tariff(2, 200, lines)))  # fmt: skip
    release(s, funds, FOOD)
    name = given(s, card, 3, code=FOOD)
    s.entitle(card, W1, 3, cause=Citation(name, 1))
    assert facts(s, RULE_18) == found


def test_steps_of_a_programme_nobody_signed_cost_nothing_known() -> None:
    s, _, card = village()
    name = given(s, card, 50, code=9)
    s.entitle(card, W3, 50, cause=Citation(name, 1), programme=9)
    assert facts(s, RULE_18) == []


def test_funds_released_before_a_step_count_from_the_next_entry_on() -> None:
    s, _, card = village()
    name = given(s, card, 50)
    funds = s.world.objects[release(s, 50)]
    issued = s.entitle(card, W2, 50, cause=Citation(name, 1))
    assert facts(s, RULE_18) == []
    for by, found in ((-1, []), (0, [Fact.FUNDS_LESS]), (1, [Fact.FUNDS_LESS])):
        entry = replace(funds.entry, sequence=issued.entry.sequence + by)
        s.world.by_shape[FundRelease][:] = [replace(funds, entry=entry)]
        assert facts(s, RULE_18) == found, by
    s.world.by_shape[FundRelease][:] = [replace(funds, entry=None)]
    assert facts(s, RULE_18) == [Fact.FUNDS_LESS]


def test_a_row_is_of_the_card_s_family_and_the_wallet_s_programme() -> None:
    s, _, card = village()
    other = s.card(2)
    release(s, 1000)
    name, food = given(s, other, 50, 50), given(s, card, 50, code=FOOD)
    for cause in (Citation(name, 1), Citation(food, 1), Citation(food, 2), Citation(A, 1)):
        s.entitle(card, W2, card.issued(W2) + 5, cause=cause)
    s.entitle(other, W2, 5, cause=Citation(name, 2))
    assert facts(s, RULE_18) == [Fact.ROW_OTHER] * 2 + [Fact.NO_ROW] * 2


def test_a_row_is_used_once() -> None:
    s, _, card = village()
    release(s, 1000)
    mine, theirs = given(s, card, 50, 50), given(s, card, 50)
    for cause in (Citation(mine, 1), Citation(mine, 2), Citation(theirs, 1)):
        s.entitle(card, W2, card.issued(W2) + 5, cause=cause)
    assert facts(s, RULE_18) == []
    s.entitle(card, W2, card.issued(W2) + 5, cause=Citation(mine, 2))
    assert facts(s, RULE_18) == [Fact.CAUSE_TWICE]


def test_a_step_has_a_cause_and_only_a_step_has_one() -> None:
    s, _, card = village()
    release(s, 1000)
    name = given(s, card, 50, 50)
    s.entitle(card, W2, 1)
    assert facts(s, RULE_18) == [Fact.NO_CAUSE]
    s.entitle(card, W2, 1)
    assert facts(s, RULE_18) == [Fact.NO_CAUSE]
    s.entitle(card, W2, 1, cause=Citation(name, 1))
    s.entitle(card, W2, 0, cause=Citation(name, 1))
    assert facts(s, RULE_18) == [Fact.NO_CAUSE, *[Fact.CAUSE_NO_STEP] * 2]
    s.entitle(card, W2, 2, cause=Citation(name, 1))
    s.world.aside_names.add(A)
    s.entitle(card, W2, 3, cause=Citation(A, 1))
    s.entitle(card, W2, 4, cause=Citation(A, 1))  # listed under what set it aside
    assert facts(s, RULE_18) == [Fact.NO_CAUSE, *[Fact.CAUSE_NO_STEP] * 2]


def test_steps_are_judged_in_the_order_of_the_log() -> None:
    s, _, card = village()
    other = s.card(2)
    release(s, 1000)
    name = given(s, card, 50)
    s.entitle(other, W2, 5)
    late, early = s.entitle(card, W2, 5, cause=Citation(name, 1)), s.entitle(
        card, W1, 5, cause=Citation(name, 1), programme=CASH)  # fmt: skip
    assert subjects(s, RULE_18)[1:] == [f"{card.card_id.hex()}/{W1}/1"]
    card.entitlements[W1][0] = replace(early, entry=late.entry)
    card.entitlements[W2][0] = replace(late, entry=early.entry)
    assert subjects(s, RULE_18)[1:] == [f"{card.card_id.hex()}/{W2}/1"]


# --- 18: decisions as causes ------------------------------------------------------------


@pytest.mark.parametrize(("step", "found"), [(29, []), (30, []), (31, [Fact.DECISION_LESS])])
@pytest.mark.parametrize("kind", [DecisionKind.MOVE, DecisionKind.RETURN])
def test_a_step_is_at_most_its_decision(kind: DecisionKind, step: int, found: list) -> None:
    s, station, card = village()
    s.entitle(card, W2, 500)
    s.debit(card, station, W2, 30)
    target = s.card(2, card.family) if kind == DecisionKind.MOVE else card
    name = s.decide(kind, card, W2, 30, first=1, last=1,
                    new=target if target is not card else None)  # fmt: skip
    s.entitle(target, W2, target.issued(W2) + step, cause=Citation(name, 0))
    assert facts(s, RULE_18) == [Fact.NO_CAUSE, *found]


@pytest.mark.parametrize("kind", [DecisionKind.PAY, DecisionKind.WRITE_OFF, DecisionKind.CLOSE_GAP])
def test_other_decisions_give_nothing(kind: DecisionKind) -> None:
    s, _, card = village()
    name = s.decide(kind, card, W2, 30)
    s.entitle(card, W2, 5, cause=Citation(name, 0))
    assert facts(s, RULE_18) == [Fact.DECISION_GIVES_NOTHING]


def test_a_decision_gives_to_its_own_card_and_wallet() -> None:
    s, station, card = village()
    other = s.card(2)
    for wallet in (W1, W2):
        s.entitle(card, wallet, 500)
    s.debit(card, station, W2, 30)
    release_ = release(s, 5)
    name = s.decide(DecisionKind.RETURN, card, W2, 30, first=1, last=1)
    s.entitle(other, W2, 5, cause=Citation(name, 0))
    again = s.decide(DecisionKind.RETURN, card, W2, 0)
    s.entitle(card, W1, 505, cause=Citation(again, 0))
    s.entitle(card, W2, 505, cause=Citation(A, 0))
    s.entitle(card, W2, 510, cause=Citation(release_, 0))
    wanted = [Fact.DECISION_OTHER] * 2 + [Fact.NO_DECISION] * 2
    assert facts(s, RULE_18) == [Fact.NO_CAUSE] * 2 + wanted


# --- 18: decisions ------------------------------------------------------------


def early(s: Small, card: Card) -> None:
    """No terminal waits: the card is blocked everywhere."""
    s.hotlist(9, card)
    for station in s.world.stations.values():
        bundle = s.name()
        s.world.names[bundle] = s.entry(item=bundle, note="bundle")
        s.record(station, log.Sync(1, 1, bundle, 9, ()))
        s.acknowledge(station)


def moving(*, taken: int = 100, forfeited: int = 0) -> tuple[Small, Card, Card]:
    """A card of 500 with so much taken, blocked; its successor."""
    s, station, card = village()
    for wallet in (W1, W2):
        s.entitle(card, wallet, 500, cause=Citation(A, 1))
    s.world.aside_names.add(A)
    if taken:
        s.debit(card, station, W2, taken)
    s.void(s.debit(card, station, W2, 40), station)
    s.debit(card, station, W1, 7)
    if forfeited:
        c = s.counters[card.card_id, W2]
        s.statement(card, station, StatementKind.LOAD, W2,
                    counters=replace(c, forfeited=forfeited))  # fmt: skip
    s.acknowledge(station)
    early(s, card)
    return s, card, s.card(2, card.family)


@pytest.mark.parametrize(("amount", "found"), [(400, []), (401, [Fact.MOVED_MORE])])
def test_no_more_is_moved_than_was_left(amount: int, found: list) -> None:
    s, card, new = moving()
    s.decide(DecisionKind.MOVE, card, W2, amount, new=new)
    assert facts(s, RULE_18) == found


@pytest.mark.parametrize(("amount", "found"), [(340, []), (341, [Fact.MOVED_MORE])])
def test_what_was_forfeited_is_not_left(amount: int, found: list) -> None:
    s, card, new = moving(forfeited=60)
    s.decide(DecisionKind.MOVE, card, W2, amount, new=new)
    assert facts(s, RULE_18) == found


def test_moves_of_a_wallet_add_up() -> None:
    s, card, new = moving()
    s.decide(DecisionKind.MOVE, card, W2, 300, new=new)
    s.decide(DecisionKind.MOVE, card, W1, 490, new=new)
    s.decide(DecisionKind.MOVE, card, W2, 100, new=new)
    assert facts(s, RULE_18) == []
    s.decide(DecisionKind.MOVE, card, W2, 1, new=new)
    s.decide(DecisionKind.MOVE, card, W1, 4, new=new)
    assert facts(s, RULE_18) == [Fact.MOVED_MORE] * 2


def test_what_moves_early_is_at_most_the_provisional_amount() -> None:
    s, card, new = moving()
    s.station(3)
    s.decide(DecisionKind.MOVE, card, W2, 100, new=new)
    assert facts(s, RULE_18) == []
    s.decide(DecisionKind.MOVE, card, W2, 1, new=new)
    assert facts(s, RULE_18) == [Fact.MOVED_EARLY]


def test_a_residual_moves_to_a_card_of_the_same_family() -> None:
    s, card, new = moving()
    neighbours = s.card(3), s.card(0)
    ghost = replace(new, card_id=b"DEMO0009")
    for target in (*neighbours, ghost, new):
        s.decide(DecisionKind.MOVE, card, W2, 1, new=target)
    assert facts(s, RULE_18) == [Fact.MOVED_FAMILY] * 3


def test_a_decision_about_no_known_card_is_named_and_the_next_is_judged() -> None:
    s, card, new = moving()
    s.decide(DecisionKind.MOVE, replace(card, card_id=b"DEMO0009"), W2, 1, new=new)
    s.decide(DecisionKind.PAY, replace(card, card_id=b"DEMO0009"), W2)
    s.decide(DecisionKind.MOVE, card, W2, 401, new=new)
    assert facts(s, RULE_18) == [Fact.DECISION_NO_CARD, Fact.MOVED_MORE]


def returning() -> tuple[Small, Card, Station]:
    """Receipts 1 (10 of cash), 2 (a basket), 3 (20), 4 its reversal, 6 (40); 5 is missing."""
    s, station, card = village()
    for wallet in (W1, W2):
        s.entitle(card, wallet, 500, cause=Citation(A, 1))
    s.world.aside_names.add(A)
    s.debit(card, station, W2, 10)
    s.debit(card, station, W1, 1)
    s.void(s.debit(card, station, W2, 20), station)
    s.skip(card)
    s.debit(card, station, W2, 40)
    return s, card, station


@pytest.mark.parametrize(
    ("first", "last", "taken"),
    [(1, 1, 10), (1, 3, 30), (3, 4, 20), (1, 6, 70), (4, 6, 40), (2, 2, 0), (6, 9, 40), (7, 9, 0)],
)
def test_what_is_returned_was_taken_by_the_receipts_named(
    first: int, last: int, taken: int
) -> None:
    s, card, _ = returning()
    s.decide(DecisionKind.RETURN, card, W2, taken, first=first, last=last)
    assert facts(s, RULE_18) == []
    s, card, _ = returning()
    s.decide(DecisionKind.RETURN, card, W2, taken + 1, first=first, last=last)
    assert facts(s, RULE_18) == [Fact.RETURNED_MORE]


def test_what_is_returned_is_returned_once() -> None:
    s, card, station = returning()
    other = s.card(2)
    s.entitle(other, W2, 500, cause=Citation(A, 2))
    s.debit(other, station, W2, 5)
    s.decide(DecisionKind.RETURN, card, W2, 10, first=1, last=1)
    s.decide(DecisionKind.RETURN, other, W2, 5, first=1, last=1)
    s.decide(DecisionKind.RETURN, card, W2, 40, first=6, last=6)
    assert facts(s, RULE_18) == []
    s.decide(DecisionKind.RETURN, card, W2, 1, first=1, last=1)
    assert facts(s, RULE_18) == [Fact.RETURNED_MORE]


def test_a_recorded_loss_is_not_returned() -> None:
    s, card, station = returning()
    c = s.counters[card.card_id, W2]
    s.debit(card, station, W2, 450, counters=replace(c, loaded=900, debited=c.debited + 450))
    # consumed 70 - 20 + 450 = 500: no loss; 8 more are
    s.debit(card, station, W2, 8, counters=replace(c, loaded=900, debited=c.debited + 458))
    s.decide(DecisionKind.RETURN, card, W2, 450, first=7, last=8)
    assert facts(s, RULE_18) == []
    s.decide(DecisionKind.RETURN, card, W2, 1, first=8, last=8)
    assert facts(s, RULE_18) == [Fact.RETURNED_MORE]
    s.world.by_shape[Decision].pop(0)
    assert facts(s, RULE_18) == [Fact.RETURNED_MORE]
    assert s.counters[card.card_id, W3] == Counters(0, 0, 0, 0)
