"""The hall's controller: its screens are the engine's results, and a pulled card is told truly."""

from __future__ import annotations

import pytest

from terminal import kiosk_commands as ask
from terminal import kiosk_screens as at
from terminal.errors import TransferError
from terminal.kiosk_screens import Action, Ask, Level, Task
from terminal.outcomes import (
    AmountRefused,
    Delivered,
    Disputed,
    Limit,
    NothingWhy,
    PinSet,
    PinSpent,
    Redeemed,
    Step,
    Stop,
    TerminalRefused,
)
from terminal.printer import Printed, PrinterGone
from tests.support.kiosk_hall import WORDS, Hall
from tests.support.terminal_world import (
    CASH,
    DAY_S,
    FOOD,
    OTHER_PIN,
    PIN,
    Issuer,
    at_work,
    entry,
)
from wire.objects import GoodsLine, StockDelivery, Unit


@pytest.fixture
def hall():
    return Hall(*at_work())


# --- a whole day ---------------------------------------------------------------------------------


def test_a_day_at_the_counter():
    terminal, card = at_work()
    terminal.engine.close_shift()
    hall = Hall(terminal, card)
    assert isinstance(hall.screen, at.Closed)
    assert isinstance(hall.do(ask.OpenShift(5)), at.Ready)
    assert hall.kiosk.view.strip.shift == 5
    family = hall.put()
    assert isinstance(family, at.Family)
    assert [w.most for w in family.wallets] == [2, 500_000]
    amount = hall.do(ask.Choose(FOOD))
    assert amount.goods == (GoodsLine("beras", Unit.GRAM, 5000),
                            GoodsLine("minyak", Unit.MILLILITRE, 1000))  # fmt: skip
    pad = hall.do(ask.SetAmount(1))
    assert (pad.ask, pad.amount, pad.digits) == (Ask.PIN, 1, 6)
    paid = hall.do(ask.Enter(PIN))
    assert isinstance(paid.outcome, Redeemed)
    assert (paid.outcome.before, paid.outcome.after, paid.unit) == (4, 3, Unit.BASKET)
    assert paid.actions == (Action.NOT_DELIVERED, Action.DELIVER)
    assert (hall.slips, paid.printed) == ([paid.paper], Printed())
    assert isinstance(hall.do(Action.DELIVER).outcome, Delivered)
    assert hall.outcome.final
    # More of another wallet in the same visit: no second PIN, but a question how much.
    assert isinstance(hall.do(Action.MORE), at.Family)
    cash = hall.do(ask.Choose(CASH), ask.SetAmount(50_000))
    assert cash.outcome.receipt.amount == 50_000
    hall.do(Action.DELIVER, Action.NEXT)
    assert isinstance(hall.screen, at.TakeOut)
    assert isinstance(hall.pull(), at.Ready)
    counting = hall.do(ask.OpenMenu(), ask.CountShelf())
    closed = hall.do(ask.CloseShift(tuple(range(len(counting.lines)))))
    assert [c.quantity for c in closed.counted] == list(range(len(counting.lines)))
    assert [x.quantity for x in terminal.journal.stock()] == list(range(len(counting.lines)))
    assert terminal.journal.shift_officer() is None
    assert isinstance(hall.do(ask.Back()), at.Closed)
    assert hall.steps()[:4] == [Step.OPENING, Step.OPENING, Step.RECOVERING, Step.LOADING]


def test_a_screen_is_what_the_engine_says(hall):
    """The face's Family beside a visit of the engine on an equal card."""
    terminal, card = at_work(Issuer(seed=7))
    with terminal.begin(card) as visit:
        family = hall.put()
        assert family.wallets == tuple(visit.wallets())
        assert family.nothing == visit.nothing
        assert family.warnings == visit.warnings
        visit.verify_pin(PIN)
        theirs = visit.redeem(FOOD, 2)
    ours = hall.do(ask.Choose(FOOD), ask.SetAmount(2), ask.Enter(PIN)).outcome
    for name in ("unit", "lines", "before", "after", "recovered"):
        assert getattr(ours, name) == getattr(theirs, name)
    hall.do(Action.DELIVER, Action.NEXT)
    hall.pull()
    again = hall.put()
    assert [r.amount for r in again.last] == [2]
    assert again.titles[FOOD] == ("Program 257", "Programme 257")


def test_wrong_pins_until_none_is_left(hall):
    hall.put()
    pad = hall.do(ask.Choose(CASH), ask.SetAmount(1000), ask.Enter("12345"))
    assert "enam angka" in pad.wrong[0]
    pad = hall.do(ask.Enter("111222"))
    assert "Sisa 2" in pad.wrong[0]
    hall.do(ask.Enter("111222"), ask.Enter("111222"))
    assert isinstance(hall.outcome, PinSpent)
    assert isinstance(hall.do(Action.NEXT), at.TakeOut)
    assert all("111222" not in repr(v) for v in hall.views)


def test_an_amount_beyond_what_is_left_is_the_engines_refusal(hall):
    hall.put()
    wrong = hall.do(ask.Choose(FOOD), ask.SetAmount(3)).wrong
    assert wrong == AmountRefused(Limit.ABOVE_CAP, FOOD, 2)
    wrong = hall.do(ask.SetAmount(0)).wrong
    assert wrong == AmountRefused(Limit.NOT_POSITIVE, FOOD, 2)


def test_commands_of_another_screen_are_ignored(hall):
    stale = hall.kiosk.view.number
    hall.put()
    before = hall.kiosk.view
    hall.kiosk.command(stale, ask.Choose(FOOD))
    assert hall.kiosk.view == before
    assert hall.ignores(ask.Enter(PIN))
    assert hall.ignores(ask.OpenShift(9))
    assert hall.ignores(Action.DELIVER)
    assert hall.ignores(ask.Choose(0x9999))
    assert hall.ignores(ask.Begin(Task.BYPASS))


def test_a_double_press_delivers_once(hall):
    hall.put()
    hall.pay()
    number = hall.kiosk.view.number
    for _ in range(2):
        hall.kiosk.command(number, ask.Do(Action.DELIVER))
    assert isinstance(hall.outcome, Delivered)
    assert hall.terminal.kinds().count("DELIVERED") == 1


def test_a_double_press_pays_once(hall):
    hall.put()
    hall.do(ask.Choose(FOOD))
    for command in (ask.SetAmount(1), ask.Enter(PIN)):
        number = hall.kiosk.view.number
        for _ in range(3):
            hall.kiosk.command(number, command)
    assert isinstance(hall.outcome, Redeemed)
    assert hall.terminal.kinds().count("INTENT") == 1


def test_only_what_a_result_offers_is_done(hall):
    """A debit is not left, voided or begun again by an action its screen does not show."""
    hall.put()
    hall.pay()
    offered = set(hall.screen.actions)
    assert all(hall.ignores(action) for action in set(Action) - offered)


def test_a_pad_takes_as_many_digits_as_it_asks_for(hall):
    hall.put()
    hall.do(ask.OpenMatters(), ask.ChangePin())
    for entered in ("", PIN[:-1], PIN + "0", "abcdef", "٣٣٣٣٣٣"):
        assert hall.do(ask.Enter(entered)).ask is Ask.OLD
        assert hall.screen.wrong
        assert not hall.kiosk.job.secrets


def test_secrets_never_show(hall):
    texts = [repr(ask.Enter(PIN)), repr(ask.Unlock(1, WORDS)), repr(ask.HandOver("B", WORDS))]
    hall.put()
    hall.do(ask.OpenMatters(), ask.ChangePin(), ask.Enter(PIN), ask.Enter(OTHER_PIN))
    texts += [repr(hall.kiosk.job), *map(repr, hall.views)]
    assert not any(s in t for t in texts for s in (PIN, OTHER_PIN, WORDS))


# --- nothing to take -----------------------------------------------------------------------------


def test_nothing_is_explained_per_wallet(hall):
    hall.put()
    hall.do(ask.Choose(FOOD), ask.SetAmount(2), ask.Enter(PIN), Action.DELIVER, Action.NEXT)
    hall.pull()
    hall.put()
    hall.do(ask.Choose(FOOD), ask.SetAmount(2), ask.Enter(PIN), Action.DELIVER, Action.NEXT)
    hall.pull()
    family = hall.put()
    (food,) = [w for w in family.wallets if w.wallet == FOOD]
    assert food.nothing.why is NothingWhy.COLLECTED
    assert hall.ignores(ask.Choose(FOOD))


def test_old_data_and_the_strip(hall):
    strip = hall.kiosk.view.strip
    assert (strip.data, strip.certificate, strip.printer) == (Level.GOOD,) * 3
    hall.terminal.clock.now_s += 40 * DAY_S
    hall.kiosk.refresh()
    assert hall.kiosk.view.strip.data is Level.WARN
    hall.terminal.clock.now_s += 400 * DAY_S
    hall.kiosk.refresh()
    strip = hall.kiosk.view.strip
    assert (strip.data, strip.certificate) == (Level.BAD, Level.BAD)
    hall.put()
    assert hall.outcome == TerminalRefused(Stop.CERTIFICATE_ENDED)


def test_the_sale_stands_if_the_printer_is_gone(hall):
    hall.printer = PrinterGone("no line")
    hall.put()
    hall.pay()
    assert isinstance(hall.outcome, Redeemed)
    assert hall.screen.printed == PrinterGone("no line")
    assert hall.kiosk.view.strip.printer is Level.BAD


# --- the holder's own matters --------------------------------------------------------------------


def test_change_of_pin_and_objection(hall):
    hall.put()
    hall.pay()
    hall.do(Action.DELIVER, Action.MORE)
    hall.do(ask.OpenMatters(), ask.ChangePin())
    hall.do(ask.Enter(OTHER_PIN), ask.Enter(OTHER_PIN), ask.Enter(OTHER_PIN))
    assert hall.screen.ask is Ask.OLD
    assert "salah" in hall.screen.wrong[0]
    hall.do(ask.Enter(PIN), ask.Enter(OTHER_PIN), ask.Enter(OTHER_PIN))
    assert isinstance(hall.outcome, PinSet)
    hall.do(Action.NEXT)
    hall.pull()
    hall.put()
    matters = hall.do(ask.OpenMatters())
    hall.do(ask.Object(matters.last[0].sequence), ask.Enter(OTHER_PIN))
    assert hall.outcome == Disputed(hall.card.card_id, matters.last[0].sequence)


# --- shift and data ------------------------------------------------------------------------------


def test_goods_are_counted_at_the_end():
    terminal, card = at_work()
    rice = (GoodsLine("beras", Unit.GRAM, 50_000),)
    delivery = StockDelivery("B-1", "bulog", terminal.station, rice, terminal.clock.now_s)
    terminal.engine.install(terminal.bundle(
        entry(card, terminal.issuer.entitlement(card, FOOD)), deliveries=(delivery,)))  # fmt: skip
    terminal.engine.receive("B-1")
    hall = Hall(terminal, card)
    hall.put()
    hall.pay()
    hall.do(Action.DELIVER, Action.NEXT)
    hall.pull()
    counting = hall.do(ask.OpenMenu(), ask.CountShelf())
    expected = {x.good: x.quantity for x in counting.lines}
    assert expected["beras"] == 45_000
    assert hall.ignores(ask.CloseShift((1,) * (len(counting.lines) + 1)))
    assert hall.ignores(ask.CloseShift((-1,) * len(counting.lines)))
    hall.do(ask.CloseShift((44_000,) * len(counting.lines)))
    assert {x.quantity for x in terminal.journal.stock()} == {44_000}


def test_data_is_carried_or_the_trouble_told():
    carried = []
    hall = Hall(*at_work(), carry=carried.append)
    assert hall.do(ask.OpenMenu()).has_backend
    assert hall.do(ask.Carry()).said
    assert carried == [hall.terminal.engine]

    def fail(_):
        raise TransferError("no line")

    hall = Hall(*at_work(), carry=fail)
    hall.do(ask.OpenMenu(), ask.Carry())
    assert "tersimpan" in hall.screen.words[0]
    assert isinstance(hall.do(ask.Back()), at.Ready)


def test_without_a_backend_nothing_is_carried(hall):
    hall.do(ask.OpenMenu())
    assert hall.ignores(ask.Carry())


def test_every_screen_has_its_commands():
    screens = [c for c in vars(at).values() if isinstance(c, type) and issubclass(c, at.Screen)]
    without = {at.Screen, at.Busy, at.Stopped}
    assert set(screens) - without == set(ask.ALLOWED)
