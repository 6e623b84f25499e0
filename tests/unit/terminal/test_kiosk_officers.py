"""What the hall's counter does with an officer's key: activation, void, bypass of a PIN."""

from __future__ import annotations

import pytest

from terminal import kiosk_commands as ask
from terminal import kiosk_screens as at
from terminal.kiosk_screens import Action, Ask, Task
from terminal.outcomes import (
    Activated,
    ActivationRefused,
    BypassRefused,
    GoodsGivenBack,
    GoodsReturned,
    Nothing,
    NothingWhy,
    NotVoided,
    PinUnknown,
    Redeemed,
    Voided,
    VoidRefused,
    VoidUnknown,
)
from terminal.projection import State
from tests.support.kiosk_hall import WORDS, Hall
from tests.support.terminal_world import (
    CASH,
    CODE,
    FOOD,
    HANDOVER,
    OTHER_PIN,
    PIN,
    SUPERVISOR,
    Issuer,
    Terminal,
    at_work,
    entry,
)
from wire.objects import Unit


@pytest.fixture
def hall():
    return Hall(*at_work())


def test_activation_with_code_and_chosen_pin():
    issuer = Issuer()
    card = issuer.card(1, life="inert")
    terminal = Terminal(issuer)
    terminal.engine.install(terminal.bundle(entry(card, issuer.entitlement(card, FOOD))))
    terminal.engine.open_shift(5)
    hall = Hall(terminal, card)
    hall.put()
    assert hall.outcome == Nothing(NothingWhy.NOT_ACTIVE)
    hall.do(Action.ACTIVATE, ask.Unlock(HANDOVER, "wrong"))
    assert "Kata sandi salah" in hall.screen.wrong[0]
    hall.do(ask.Unlock(HANDOVER, WORDS))
    assert isinstance(hall.screen, at.Bast)
    assert hall.do(ask.HandOver(" ", "")).wrong
    assert hall.do(ask.HandOver("BAST-1", "")).digits == 8
    hall.do(ask.Enter(CODE))
    assert "mudah" in hall.do(ask.Enter("111111")).wrong[0]
    assert hall.do(ask.Enter(PIN)).ask is Ask.AGAIN
    assert "tidak sama" in hall.do(ask.Enter(OTHER_PIN)).wrong[0]
    hall.do(ask.Enter(PIN), ask.Enter(PIN))
    assert hall.outcome == Activated(card.card_id, "BAST-1")
    assert hall.kiosk.job.secrets == {}
    assert isinstance(hall.do(Action.AGAIN), at.Family)
    hall.do(ask.Back())
    hall.pull()
    hall.as_officer(Task.ACTIVATE)
    assert isinstance(hall.screen, at.PutCard)
    hall.put()
    assert isinstance(hall.outcome, ActivationRefused)


def test_a_torn_activation_needs_only_its_note():
    issuer = Issuer()
    card = issuer.card(1, life="inert")
    terminal = Terminal(issuer)
    terminal.engine.install(terminal.bundle(entry(card, issuer.entitlement(card, FOOD))))
    terminal.engine.open_shift(5)
    hall = Hall(terminal, card)
    hall.as_officer(Task.ACTIVATE)
    hall.put()
    hall.do(ask.HandOver("BAST-1", ""), ask.Enter(CODE), ask.Enter(PIN))
    card.drop_answer_of = 0
    hall.do(ask.Enter(PIN))
    assert isinstance(hall.outcome, PinUnknown)
    hall.pull()
    hall.do(Action.NEXT)
    hall.as_officer(Task.ACTIVATE)
    assert hall.put() == at.Bast(is_torn=True)
    assert hall.do(ask.HandOver("BAST-1", "")).outcome == Activated(card.card_id, "BAST-1")


def test_void_before_and_after_the_hand_over(hall):
    hall.put()
    hall.pay()
    waits = hall.do(Action.NOT_DELIVERED)
    assert isinstance(waits, at.NotHandedOver)
    assert isinstance(hall.do(ask.Back()).outcome, Redeemed)
    hall.do(Action.NOT_DELIVERED)
    hall.do(Action.VOID, ask.Unlock(SUPERVISOR, WORDS))
    assert (hall.screen.on_counter, hall.screen.paid.receipt.amount) == (False, 1)
    voided = hall.do(ask.Because(0))
    assert isinstance(voided.outcome, Voided)
    assert (voided.outcome.before, voided.outcome.after, voided.unit) == (3, 4, Unit.BASKET)
    assert voided.actions == (Action.NEXT,)
    assert len(hall.slips) == 2
    # Handed over and not final: the goods lie on the counter and go back to stock.
    hall.do(Action.NEXT)
    hall.pull()
    hall.put()
    hall.pay()
    hall.pull()
    hall.do(Action.DELIVER, Action.NEXT)
    hall.as_officer(Task.VOID)
    hall.put()
    assert hall.screen.on_counter
    assert hall.do(ask.Because(1)).actions == (Action.RETURNED,)
    assert isinstance(hall.do(Action.RETURNED).outcome, GoodsReturned)
    row = hall.terminal.journal.intents_of(hall.card.card_id)[-1]
    assert (row.state, row.record.body.reason) == (State.RETURNED, "Barang atau uang tidak ada")


def test_a_void_torn_and_not_done_gives_the_goods_back(hall):
    hall.put()
    hall.pay()
    hall.pull()
    hall.do(Action.DELIVER, Action.NEXT)
    hall.as_officer(Task.VOID)
    hall.put()
    real = hall.card.transmit

    def transmit(raw):
        if raw[0] & 0x04:
            hall.card.power_off()
        return real(raw)

    hall.card.transmit = transmit
    assert isinstance(hall.do(ask.Because(0)).outcome, VoidUnknown)
    hall.card.transmit = real
    hall.pull()
    hall.put()
    assert isinstance(hall.outcome, NotVoided)
    assert isinstance(hall.do(Action.GIVEN_BACK).outcome, GoodsGivenBack)
    assert isinstance(hall.do(Action.NEXT), at.Family)


def test_void_of_a_card_that_paid_nothing_here(hall):
    hall.as_officer(Task.VOID)
    hall.put()
    assert isinstance(hall.outcome, VoidRefused)


def test_bypass_by_a_supervisor_until_none_is_left(hall):
    for n in range(3):
        hall.put()
        hall.do(ask.Choose(CASH), ask.SetAmount(5), ask.Begin(Task.BYPASS),
                ask.Unlock(SUPERVISOR, WORDS))  # fmt: skip
        assert (hall.screen.amount, hall.screen.wallet.wallet) == (5, CASH)
        assert hall.ignores(ask.Because(len(hall.screen.reasons)))
        hall.do(ask.Because(n))
        if n < 2:
            assert isinstance(hall.outcome, Redeemed)
            hall.do(Action.DELIVER, Action.NEXT)
        else:
            assert isinstance(hall.outcome, BypassRefused)
            assert hall.kiosk.job.officer is not None
        hall.pull()
    assert isinstance(hall.do(Action.NEXT), at.Ready)
    assert hall.kiosk.job.officer is None  # the key is forgotten with the job


def test_the_officer_leaves_the_pin_to_the_family(hall):
    hall.put()
    hall.do(ask.Choose(CASH), ask.SetAmount(5), ask.Begin(Task.BYPASS))
    assert isinstance(hall.do(ask.Back()), at.Family)
    hall.do(ask.Choose(CASH), ask.SetAmount(5), ask.Begin(Task.BYPASS))
    assert isinstance(hall.pull(), at.TakenOut)
