"""A card pulled or lost between any two steps at the hall's counter is told truly."""

from __future__ import annotations

import pytest

from card_os.host.links import CardMute, CardRemoved, NoCard
from terminal import kiosk_commands as ask
from terminal import kiosk_screens as at
from terminal.errors import JournalError
from terminal.kiosk_screens import Action, Level
from terminal.outcomes import (
    CardLost,
    CardRefused,
    Delivered,
    NotRedeemed,
    Redeemed,
    RedeemUnknown,
    Step,
    TerminalRefused,
)
from tests.support.kiosk_hall import Hall
from tests.support.terminal_world import (
    CASH,
    PIN,
    Issuer,
    at_work,
)
from wire import log
from wire.log import Reason


@pytest.fixture
def hall():
    return Hall(*at_work())


@pytest.mark.parametrize(
    "commands",
    [
        (),
        (ask.OpenMatters(),),
        (ask.Choose(CASH),),
        (ask.Choose(CASH), ask.SetAmount(5)),
        (ask.OpenMatters(), ask.ChangePin(), ask.Enter(PIN)),
    ],
)
def test_pulled_between_steps_nothing_was_taken(hall, commands):
    hall.put()
    hall.do(*commands)
    sequence = hall.terminal.journal.head().sequence
    assert hall.pull() == at.TakenOut(())
    assert hall.terminal.journal.head().sequence == sequence
    assert hall.kiosk.job.secrets == {}
    assert isinstance(hall.put(), at.Family)


def test_a_card_only_looked_at_is_noted_as_read_once(hall):
    hall.put()  # loads, which is a record of its own
    assert isinstance(hall.pull(), at.TakenOut)
    assert "CARD_READ" not in hall.terminal.kinds()
    hall.put()
    hall.pull()
    (read,) = [r.body for r in hall.terminal.journal.records(0, 1 << 30)
               if r.kind == log.RecordType.CARD_READ]  # fmt: skip
    assert read == log.CardRead(log.CardSaid.PURSE, 5, hall.card.card_id)
    hall.put()
    hall.pay()
    hall.pull()
    assert hall.terminal.kinds().count("CARD_READ") == 1


def test_a_full_disk_does_not_keep_a_looked_at_card(hall, monkeypatch):
    hall.put()
    hall.pull()
    hall.put()

    def full(*_, **__):
        raise JournalError("no room")

    with monkeypatch.context() as at_full:
        at_full.setattr(hall.terminal.journal, "append", full)
        assert isinstance(hall.pull(), at.TakenOut)
    assert isinstance(hall.put(), at.Family)


def test_pulled_during_the_pin(hall):
    hall.put()
    hall.do(ask.Choose(CASH), ask.SetAmount(5))
    hall.card.power_off()
    hall.do(ask.Enter(PIN))
    assert hall.outcome == CardLost(Step.CHECKING_PIN)
    hall.pull()
    assert hall.screen.actions == (Action.NEXT,)
    assert isinstance(hall.put(), at.Family)


@pytest.mark.parametrize("done", [False, True])
def test_pulled_within_the_debit_and_recovered(hall, done):
    """The card did it, or did not: unknown now, proven at the next tap; hand over once."""
    hall.put()
    hall.do(ask.Choose(CASH), ask.SetAmount(5))
    if done:
        hall.card.drop_answer_of = 1  # after VERIFY
    else:
        tear_in_debit(hall)
    hall.do(ask.Enter(PIN))
    assert isinstance(hall.outcome, RedeemUnknown)
    assert hall.slips[-1] == hall.screen.paper
    assert hall.kiosk.view.strip.open_matters == 1
    hall.pull()
    hall.put()
    if not done:
        assert isinstance(hall.outcome, NotRedeemed)
        assert isinstance(hall.do(Action.NEXT), at.Family)
        return
    assert isinstance(hall.outcome, Redeemed)
    assert hall.outcome.recovered
    # Not received, says the family: then it is handed over now, and noted once.
    asked = hall.do(Action.NOT_DELIVERED)
    assert not asked.outcome.recovered
    hall.do(Action.DELIVER)
    assert isinstance(hall.outcome, Delivered)
    assert not hall.screen.ends
    assert hall.screen.moved.receipt.amount == 5
    assert isinstance(hall.do(Action.NEXT), at.Family)
    assert hall.kiosk.view.strip.open_matters == 0


def tear_in_debit(hall):
    """The power goes at the DEBIT: the card never saw it."""
    real, count = hall.card.transmit, iter(range(99))

    def transmit(raw):
        if raw[0] & 0x04 and next(count) == 1:
            hall.card.power_off()
        return real(raw)

    hall.card.transmit = transmit


def test_pulled_after_paying_the_question_stays(hall):
    hall.put()
    hall.pay()
    hall.pull()
    assert isinstance(hall.outcome, Redeemed)
    assert not hall.screen.card_in
    # Another card does not wipe the question away.
    other = hall.terminal.issuer.card(2)
    hall.put(other)
    assert isinstance(hall.outcome, Redeemed)
    hall.do(Action.DELIVER)
    assert hall.outcome == Delivered(hall.outcome.intent, final=False)
    assert isinstance(hall.do(Action.NEXT), at.TakeOut)


def test_nobody_said_and_the_power_went(hall):
    """After a restart the next tap asks first."""
    hall.put()
    hall.pay()
    hall.pull()
    slips = len(hall.slips)
    hall.terminal.restart()
    fresh = Hall(hall.terminal, hall.card)
    fresh.put()
    assert fresh.outcome.recovered
    assert fresh.screen.actions == (Action.NOT_DELIVERED, Action.DELIVER)
    assert (slips, fresh.slips) == (1, [])  # its slip was printed then
    fresh.do(Action.DELIVER)
    assert fresh.terminal.journal.undelivered() == []


def test_pulled_with_something_taken_says_so(hall):
    hall.put()
    hall.pay()
    hall.do(Action.DELIVER, Action.MORE)
    out = hall.pull()
    assert [x.receipt.amount for x in out.taken] == [1]
    assert isinstance(hall.put(), at.Family)


def test_lost_at_the_second_debit_the_first_stays_said(hall):
    hall.put()
    hall.pay()
    hall.do(Action.DELIVER, Action.MORE, ask.OpenMatters(), ask.Object(1))
    hall.card.power_off()
    hall.do(ask.Enter(PIN))
    assert isinstance(hall.screen, at.TakenOut)
    assert [x.receipt.amount for x in hall.screen.taken] == [1]


def test_a_lost_card_that_lies_there_is_read_again(hall):
    hall.put()
    hall.do(ask.Choose(CASH), ask.SetAmount(5))
    hall.card.power_off()  # a bad contact: the reader still sees it
    hall.do(ask.Enter(PIN))
    assert hall.screen.actions == (Action.NEXT, Action.AGAIN)
    assert isinstance(hall.do(Action.AGAIN), at.Family)


def test_the_reader_goes(hall):
    hall.put()
    hall.kiosk.reader_changed(present=False)
    assert hall.kiosk.view.strip.reader is Level.BAD
    assert isinstance(hall.pull(), at.TakenOut)
    hall.kiosk.reader_changed(present=True)
    assert hall.kiosk.view.strip.reader is Level.GOOD


@pytest.mark.parametrize("error", [NoCard("x"), CardRemoved("x")])
def test_gone_before_it_was_read(hall, error):
    hall.connect_error = error
    hall.put()
    assert hall.outcome == CardLost(Step.OPENING)


def test_strange_cards(hall):
    hall.connect_error = CardMute("no ATR")
    hall.put()
    assert hall.outcome.reason is Reason.DEAD_CARD
    hall.pull()
    hall.connect_error = None
    stranger = Issuer(seed=9).card(5)
    hall.put(stranger)
    assert isinstance(hall.outcome, CardRefused | TerminalRefused)
    assert hall.screen.actions == (Action.NEXT,)
