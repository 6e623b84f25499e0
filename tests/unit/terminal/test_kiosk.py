"""The hall's controller: its screens are the engine's results, and a pulled card is told truly."""

from __future__ import annotations

import pytest

from card_os.host.links import CardMute, CardRemoved, NoCard
from keys.errors import PassphraseError
from terminal import kiosk_commands as ask
from terminal import kiosk_screens as at
from terminal.counter import Counter
from terminal.errors import JournalError, TransferError
from terminal.kiosk import Kiosk
from terminal.kiosk_screens import Action, Ask, Level, Task
from terminal.outcomes import (
    Activated,
    ActivationRefused,
    AmountRefused,
    BypassRefused,
    CardLost,
    CardRefused,
    Delivered,
    Disputed,
    GoodsGivenBack,
    GoodsReturned,
    Limit,
    Nothing,
    NothingWhy,
    NotRedeemed,
    NotVoided,
    PinSet,
    PinSpent,
    PinUnknown,
    Redeemed,
    RedeemUnknown,
    Step,
    Stop,
    TerminalRefused,
    Voided,
    VoidRefused,
    VoidUnknown,
)
from terminal.printer import Printed, PrinterGone
from terminal.projection import State
from tests.support.terminal_world import (
    CASH,
    CODE,
    DAY_S,
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
from wire import log
from wire.log import Reason
from wire.objects import GoodsLine, StockDelivery, Unit

WORDS = "officer words"


class Hall:
    """A kiosk whose reader, printer and officers are the test's."""

    def __init__(self, terminal, card, *, carry=None, printer=True):
        self.terminal, self.card = terminal, card
        self.views, self.slips, self.printer = [], [], Printed()
        self.connect_error = None
        counter = Counter(terminal.engine, "Balai desa", self.print if printer else None)
        self.kiosk = Kiosk(counter, connect=self.connect, unlock=self.unlock,
                           publish=self.views.append, carry=carry)  # fmt: skip

    def print(self, lines):
        self.slips.append(lines)
        return self.printer

    def connect(self):
        if self.connect_error is not None:
            raise self.connect_error
        return self.card.link()

    def unlock(self, role, number, words):
        officer = self.terminal.officers[role]
        if words != WORDS or number != officer.number:
            raise PassphraseError("wrong")
        return officer

    @property
    def screen(self):
        return self.kiosk.screen

    @property
    def outcome(self):
        assert isinstance(self.screen, at.Result), self.screen
        return self.screen.outcome

    def put(self, card=None):
        self.card = card or self.card
        self.kiosk.card_came()
        return self.screen

    def pull(self):
        self.card.power_off()
        self.kiosk.card_went()
        return self.screen

    def do(self, *commands):
        for command in commands:
            wanted = ask.Do(command) if isinstance(command, Action) else command
            before = self.kiosk.view.number
            self.kiosk.command(before, wanted)
            assert self.kiosk.view.number > before, (wanted, self.screen)
        return self.screen

    def ignores(self, command):
        wanted = ask.Do(command) if isinstance(command, Action) else command
        before = self.kiosk.view
        self.kiosk.command(before.number, wanted)
        return self.kiosk.view == before

    def as_officer(self, task):
        role_number = HANDOVER if task is Task.ACTIVATE else SUPERVISOR
        return self.do(ask.OpenMenu(), ask.Begin(task), ask.Unlock(role_number, WORDS))

    def steps(self):
        return [v.screen.step for v in self.views if isinstance(v.screen, at.Busy)]

    def pay(self, wallet=FOOD, amount=1):
        return self.do(ask.Choose(wallet), ask.SetAmount(amount), ask.Enter(PIN))


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


# --- the card is pulled --------------------------------------------------------------------------


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


# --- officers ------------------------------------------------------------------------------------


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
