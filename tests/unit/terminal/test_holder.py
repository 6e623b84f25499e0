"""PIN, hand-over, dispute and scripts."""

from __future__ import annotations

import pytest

from terminal.outcomes import (
    Activated,
    ActivationRefused,
    Disputed,
    Nothing,
    NothingWhy,
    PinAccepted,
    PinMalformed,
    PinNeeded,
    PinSet,
    PinTooSimple,
    PinUnknown,
    PinWrong,
    Redeemed,
    StepRefused,
)
from tests.support.terminal_world import (
    CASH,
    CODE,
    FOOD,
    HANDOVER,
    OTHER_PIN,
    PIN,
    Issuer,
    Terminal,
    at_work,
    entry,
)
from wire.cvc import Role
from wire.entitlement import ScriptAction
from wire.log import RecordType
from wire.receipt import Statement, StatementKind

NOTE = {"bast": "BAST-1", "place": "Balai desa", "proxy": ""}


def inert():
    issuer = Issuer()
    card, terminal = issuer.card(life="inert"), Terminal(issuer)
    terminal.engine.install(terminal.bundle(entry(card, issuer.entitlement(card, FOOD))))
    terminal.engine.open_shift(5)
    return terminal, card


def last(terminal):
    return terminal.journal.records(0, 1 << 30)[-1]


def test_hand_over_makes_the_card_active_and_is_logged():
    terminal, card = inert()
    with terminal.begin(card, Role.HANDOVER) as visit:
        assert visit.activate(CODE, PIN, **NOTE) == Activated(card.card_id, "BAST-1")
    body = last(terminal).body
    assert (body.bast, body.officer, body.place) == ("BAST-1", HANDOVER, "Balai desa")
    assert Statement.parse(body.statement).kind is StatementKind.ACTIVATION
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        assert isinstance(visit.redeem(FOOD, 1), Redeemed)
    assert "COLLECTED" not in terminal.kinds()  # the statement stands in HANDOVER already


def test_activation_refusals():
    terminal, card = inert()
    with terminal.begin(card, Role.HANDOVER) as visit:
        assert visit.activate("123", PIN, **NOTE) == PinMalformed()
        assert visit.activate("11111111", PIN, **NOTE) == PinWrong(4)
        assert visit.activate(CODE, "123456", **NOTE) == PinTooSimple()
        assert visit.activate(CODE, "311299", **NOTE) == PinTooSimple()
    with terminal.begin(card) as visit:
        assert visit.activate(CODE, PIN, **NOTE) == ActivationRefused()
    assert "HANDOVER" not in terminal.kinds()


def test_a_note_the_log_would_refuse_is_refused_before_the_card_acts():
    terminal, card = inert()
    with terminal.begin(card, Role.HANDOVER) as visit:
        assert isinstance(visit.activate(CODE, PIN, bast="", place="x"), StepRefused)
        assert visit.activate(CODE, PIN, **NOTE).is_good


def test_a_hotlisted_card_is_not_handed_over():
    terminal, card = inert()
    terminal.engine.install(terminal.bundle(entry(card), hotlist=(1,)))
    with terminal.begin(card, Role.HANDOVER) as visit:
        assert visit.activate(CODE, PIN, **NOTE) == Nothing(NothingWhy.BLOCKED)


def test_an_activation_whose_answer_was_lost_gets_its_note_at_the_next_tap():
    terminal, card = inert()
    with terminal.begin(card, Role.HANDOVER) as visit:
        card.drop_answer_of = 0
        assert visit.activate(CODE, PIN, **NOTE) == PinUnknown()
    with terminal.begin(card, Role.HANDOVER) as visit:
        assert visit.activate(CODE, PIN, **NOTE) == Activated(card.card_id, "BAST-1")
    assert last(terminal).kind is RecordType.HANDOVER
    with terminal.begin(card, Role.HANDOVER) as visit:
        assert visit.activate(CODE, PIN, **NOTE) == ActivationRefused()


def test_an_activation_of_elsewhere_is_not_noted_here():
    terminal, card = at_work()
    with terminal.begin(card, Role.HANDOVER) as visit:
        assert visit.activate(CODE, PIN, **NOTE) == ActivationRefused()


def test_change_pin():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        assert visit.change_pin("111222", OTHER_PIN) == PinWrong(2)
        assert visit.change_pin(PIN, "654321") == PinTooSimple()
        assert visit.change_pin(PIN, OTHER_PIN) == PinSet(card.card_id)
        assert visit.verify_pin(PIN) == PinWrong(2)
        assert visit.verify_pin(OTHER_PIN) == PinAccepted()
    assert last(terminal).kind is RecordType.PIN


def test_a_pin_change_whose_answer_was_lost_is_collected():
    terminal, card = at_work()
    terminal.begin(card).close()
    with terminal.begin(card) as visit:
        card.drop_answer_of = 0
        assert visit.change_pin(PIN, OTHER_PIN) == PinUnknown()
    terminal.begin(card).close()
    statement = Statement.parse(last(terminal).body.item)
    assert (statement.kind, statement.pin_set_count) == (StatementKind.PIN_SET, 2)
    before = len(terminal.kinds())
    terminal.begin(card).close()
    assert len(terminal.kinds()) == before  # once


def test_pin_reset_by_the_officer_the_script_names():
    terminal, card = at_work()
    script = terminal.issuer.script(card, ScriptAction.PIN_RESET, officer=HANDOVER)
    with terminal.begin(card, Role.HANDOVER) as visit:
        assert visit.set_pin_after_reset(OTHER_PIN) == ActivationRefused()
    terminal.engine.install(terminal.bundle(entry(card, scripts=(script,))))
    with terminal.begin(card) as visit:
        assert visit.set_pin_after_reset(OTHER_PIN) == ActivationRefused()
    with terminal.begin(card, Role.HANDOVER) as visit:
        assert visit.set_pin_after_reset(OTHER_PIN) == PinSet(card.card_id)
    with terminal.begin(card) as visit:
        assert visit.verify_pin(OTHER_PIN) == PinAccepted()


def test_pin_reset_names_another_officer():
    terminal, card = at_work()
    script = terminal.issuer.script(card, ScriptAction.PIN_RESET, officer=HANDOVER + 1)
    terminal.engine.install(terminal.bundle(entry(card, scripts=(script,))))
    with terminal.begin(card, Role.HANDOVER) as visit:
        assert visit.set_pin_after_reset(OTHER_PIN) == ActivationRefused()


def test_scripts_run_once_in_order_and_are_logged():
    terminal, card = at_work()
    make = terminal.issuer.script
    scripts = (make(card, ScriptAction.UNBLOCK, 2), make(card, ScriptAction.BLOCK, 1))
    terminal.engine.install(terminal.bundle(entry(card, scripts=scripts)))
    with terminal.begin(card) as visit:
        assert visit.nothing is None
        assert (visit.state.script_number, visit.state.script_count) == (2, 2)
    terminal.begin(card).close()
    assert terminal.kinds().count("SCRIPT") == 2


def test_a_script_whose_answer_was_lost_is_collected():
    terminal, card = at_work()
    terminal.begin(card).close()
    script = terminal.issuer.script(card, ScriptAction.BLOCK)
    terminal.engine.install(terminal.bundle(entry(card, scripts=(script,))))
    card.drop_answer_of = 1  # READ, then SCRIPT
    assert not terminal.engine.begin(card.link()).is_good
    terminal.begin(card).close()
    items = [r.body.item for r in terminal.journal.records(0, 1 << 30)
             if r.kind is RecordType.COLLECTED]  # fmt: skip
    assert Statement.parse(items[-1]).kind is StatementKind.SCRIPT


def test_pin_unblock_script_restores_the_tries():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        for _ in range(3):
            visit.verify_pin("111222")
    script = terminal.issuer.script(card, ScriptAction.PIN_UNBLOCK)
    terminal.engine.install(terminal.bundle(entry(card, scripts=(script,))))
    with terminal.begin(card) as visit:
        assert visit.verify_pin(PIN) == PinAccepted()


def test_dispute_only_after_the_pin_and_of_a_receipt_the_card_holds():
    terminal, card = at_work()
    terminal.begin(card).close()
    card.elsewhere(CASH, 5)
    with terminal.begin(card) as visit:
        assert visit.dispute(1) == PinNeeded()
        visit.verify_pin(PIN)
        assert isinstance(visit.dispute(9), StepRefused)
        assert visit.dispute(1) == Disputed(card.card_id, 1)
    body = last(terminal).body
    assert (body.card_id, body.sequence) == (card.card_id, 1)


@pytest.mark.parametrize("secret", [PIN, OTHER_PIN, CODE])
def test_no_secret_stands_in_the_journal_or_in_events(secret):
    terminal, card = inert()
    with terminal.begin(card, Role.HANDOVER) as visit:
        visit.activate(CODE, PIN, **NOTE)
    with terminal.begin(card) as visit:
        visit.change_pin(PIN, OTHER_PIN)
        visit.verify_pin("999999")
        assert secret not in repr(visit) + repr(vars(visit.engine))
    stored = b"".join(r.raw for r in terminal.journal.records(0, 1 << 30))
    assert secret.encode() not in stored
    assert secret not in repr(terminal.events)
