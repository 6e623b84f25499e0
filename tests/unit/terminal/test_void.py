"""Voids before and after hand-over, the goods' way, and every crash between."""

from __future__ import annotations

import pytest

from terminal.outcomes import (
    GoodsGivenBack,
    GoodsReturned,
    NotVoided,
    Redeemed,
    StepRefused,
    Voided,
    VoidRefused,
    VoidUnknown,
    VoidWhy,
)
from terminal.projection import State
from tests.support.terminal_world import CASH, FOOD, PIN, at_work
from tests.unit.terminal.test_recovery import Crash, crash_at
from wire.cvc import Role


def paid_food(terminal, card, *, deliver):
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        paid = visit.redeem(FOOD, 1)
        assert isinstance(paid, Redeemed)
    if deliver:  # the card has gone: not confirmed, so it can still be voided
        assert not terminal.engine.delivered(paid.intent).final
    return paid


def void(terminal, card, intent, *, on_counter, reason="salah barang"):
    with terminal.begin(card, Role.SUPERVISOR) as visit:
        return visit.void(intent, on_counter=on_counter, reason=reason)


def on_shelf(terminal):
    with_sign = terminal.journal.derived()["stock"]
    return {good: quantity for good, _, quantity in with_sign}


def test_void_before_hand_over():
    terminal, card = at_work()
    paid = paid_food(terminal, card, deliver=False)
    voided = void(terminal, card, paid.intent, on_counter=False)
    assert isinstance(voided, Voided)
    assert (voided.before, voided.after, voided.on_counter) == (3, 4, False)
    assert terminal.kinds()[-2:] == ["VOID", "RECEIPT"]
    assert isinstance(terminal.engine.delivered(paid.intent), StepRefused)
    assert terminal.journal.undelivered() == []
    with terminal.begin(card) as visit:
        assert visit.wallets()[0].available == 4  # own reversals count


def test_void_after_hand_over_and_the_goods_back_in_stock():
    terminal, card = at_work()
    paid = paid_food(terminal, card, deliver=True)
    assert on_shelf(terminal)["beras"] == -5000
    refused = void(terminal, card, paid.intent, on_counter=False)
    assert refused == VoidRefused(VoidWhy.HAND_OVER_DIFFERS)
    voided = void(terminal, card, paid.intent, on_counter=True)
    assert isinstance(voided, Voided)
    assert on_shelf(terminal)["beras"] == -5000  # in suspense: neither stock nor the family's
    assert [x.sequence for x in terminal.journal.suspended()] == [voided.void]
    assert isinstance(terminal.engine.given_back(voided.void), StepRefused)
    assert terminal.engine.returned(voided.void) == GoodsReturned(voided.void)
    assert on_shelf(terminal)["beras"] == 0
    assert isinstance(terminal.engine.returned(voided.void), StepRefused)
    assert terminal.journal.suspended() == []


def test_a_void_that_did_not_happen_gives_the_goods_back():
    terminal, card = at_work()
    paid = paid_food(terminal, card, deliver=True)
    with terminal.begin(card, Role.SUPERVISOR) as visit:
        card.powered = False
        unknown = visit.void(paid.intent, on_counter=True, reason="salah")
    assert isinstance(unknown, VoidUnknown)
    # While it is pending nothing of that debit moves.
    assert isinstance(terminal.engine.returned(unknown.void), StepRefused)
    assert isinstance(terminal.engine.given_back(unknown.void), StepRefused)
    with terminal.begin(card) as visit:
        (found,) = visit.recovered
        assert found == NotVoided(unknown.void, paid.intent, on_counter=True, card_sequence=1)
    refused = void(terminal, card, paid.intent, on_counter=True)
    assert refused == VoidRefused(VoidWhy.ON_COUNTER)
    assert terminal.engine.given_back(unknown.void) == GoodsGivenBack(unknown.void)
    assert isinstance(void(terminal, card, paid.intent, on_counter=True), Voided)


def test_a_lost_answer_to_a_void_is_recovered_as_done():
    terminal, card = at_work()
    paid = paid_food(terminal, card, deliver=False)
    with terminal.begin(card, Role.SUPERVISOR) as visit:
        card.drop_answer_of = 0
        unknown = visit.void(paid.intent, on_counter=False, reason="salah")
    assert isinstance(unknown, VoidUnknown)
    assert isinstance(terminal.engine.delivered(paid.intent), StepRefused)  # while pending
    with terminal.begin(card) as visit:
        (found,) = visit.recovered
        assert isinstance(found, Voided)
        assert found.recovered
        assert visit.wallets()[0].available == 4


@pytest.mark.parametrize("case", ["role", "reason", "confirmed", "not latest", "twice", "card"])
def test_what_cannot_be_voided(case):
    terminal, card = at_work()
    paid = paid_food(terminal, card, deliver=False)
    role, reason = Role.SUPERVISOR, "salah"
    match case:
        case "role":
            role = Role.TERMINAL
        case "reason":
            reason = " "
        case "confirmed":
            with terminal.begin(card) as visit:
                assert visit.delivered(paid.intent).final
        case "not latest":
            with terminal.begin(card) as visit:
                visit.verify_pin(PIN)
                visit.redeem(CASH, 1)
        case "twice":
            void(terminal, card, paid.intent, on_counter=False)
        case "card":
            from tests.support.terminal_world import entry

            card = terminal.issuer.card(2)
            terminal.engine.install(terminal.bundle(entry(card)))
    on_counter = case == "confirmed"
    before = terminal.kinds().count("VOID")
    with terminal.begin(card, role) as visit:
        outcome = visit.void(paid.intent, on_counter=on_counter, reason=reason)
    assert isinstance(outcome, VoidRefused)
    assert terminal.kinds().count("VOID") == before


def test_in_a_visit_over_several_wallets_only_the_last_debit():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        first, last = visit.redeem(FOOD, 1), visit.redeem(CASH, 5)
    refused = void(terminal, card, first.intent, on_counter=False)
    assert refused == VoidRefused(VoidWhy.FINAL)
    assert isinstance(void(terminal, card, last.intent, on_counter=False), Voided)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("on_counter", [False, True])
def test_a_crash_at_every_commit_of_a_void(number, after, on_counter):
    """VOID, RECEIPT, RETURNED: after recovery the goods are exactly where the journal says."""
    terminal, card = at_work()
    paid = paid_food(terminal, card, deliver=on_counter)
    crash_at(terminal, number, after=after)
    try:
        voided = void(terminal, card, paid.intent, on_counter=on_counter)
        if on_counter:
            terminal.engine.returned(voided.void)
    except Crash:
        pass
    terminal.restart()
    with terminal.begin(card) as visit:
        reversed_ = visit.state.wallets[0].counters.reversed
    assert not terminal.journal.open_intents()
    proven = [v for v in terminal.journal.voids_of(paid.intent) if v.receipt is not None]
    assert len(proven) == reversed_
    for row in terminal.journal.suspended():
        proven_row = row.state is State.RECEIPTED
        move = terminal.engine.returned if proven_row else terminal.engine.given_back
        assert move(row.sequence).is_good
    expected = -5000 if on_counter and not reversed_ else 0
    assert on_shelf(terminal).get("beras", 0) == expected
    terminal.journal.check()
