"""A tap that goes well, and everything a family may not take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from terminal.outcomes import (
    AmountRefused,
    BypassRefused,
    Caution,
    Delivered,
    Limit,
    Nothing,
    NothingWhy,
    PinAccepted,
    PinMalformed,
    PinNeeded,
    PinSpent,
    PinWrong,
    Redeemed,
    Stop,
    TerminalRefused,
)
from tests.support.terminal_world import (
    CASH,
    CLINIC,
    DAY_S,
    FOOD,
    PIN,
    PROGRAMMES,
    START_S,
    SUPERVISOR,
    Issuer,
    Terminal,
    at_work,
    entry,
)
from wire.bundle import Note, Why
from wire.cvc import Role
from wire.entitlement import NEVER_S, Lot
from wire.objects import Window
from wire.receipt import Verification


def tap(terminal, card, wallet=FOOD, amount=1):
    with terminal.begin(card) as visit:
        assert visit.verify_pin(PIN) == PinAccepted()
        return visit.redeem(wallet, amount)


def test_a_tap_from_read_to_confirm_in_the_order_of_the_protocol():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        assert [w.most for w in visit.wallets()] == [2, 500_000]
        visit.verify_pin(PIN)
        paid = visit.redeem(FOOD, 2)
        assert isinstance(paid, Redeemed)
        assert (paid.before, paid.after, paid.recovered) == (4, 2, False)
        assert paid.lines[0].quantity == 10_000
        assert visit.delivered(paid.intent) == Delivered(paid.intent, final=True)
        cash = visit.redeem(CASH, 250_000)
        assert isinstance(cash, Redeemed)
        assert visit.delivered(cash.intent).final
    assert terminal.kinds()[3:] == [
        "LOAD", "LOAD", "COLLECTED", "INTENT", "RECEIPT", "DELIVERED", "INTENT", "RECEIPT",
        "DELIVERED",
    ]  # fmt: skip
    receipt = paid.receipt
    record = terminal.journal.intent(paid.intent).record
    assert (receipt.terminal_sequence, receipt.intent_hash) == (record.sequence, record.hash)
    assert receipt.terminal_time_s == record.time_s
    terminal.journal.check()


def test_intent_says_what_was_shown_and_on_which_data():
    terminal, card = at_work()
    paid = tap(terminal, card)
    body = terminal.journal.intent(paid.intent).record.body
    assert (body.epoch, body.counter, body.hotlist_version) == (1, 1, 1)
    assert (body.amount, body.basket_version, body.expected_sequence) == (1, 1, 0)
    assert [x.good for x in body.lines] == ["beras", "minyak"]
    assert body.certificate == card.certificate.digest


def test_last_receipts_are_known_before_the_pin():
    terminal, card = at_work()
    tap(terminal, card)
    card.elsewhere(CASH, 5)
    with terminal.begin(card) as visit:
        assert [(r.sequence, r.wallet) for r in visit.last_receipts()] == [(2, CASH)]


def test_one_debit_per_wallet_and_visit():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        visit.redeem(FOOD, 1)
        assert visit.redeem(FOOD, 1) == Nothing(NothingWhy.THIS_VISIT, FOOD)


def test_no_debit_without_pin():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        assert visit.redeem(FOOD, 1) == PinNeeded()
        assert visit.verify_pin("12") == PinMalformed()
        assert visit.verify_pin("111222") == PinWrong(2)
        assert visit.redeem(FOOD, 1) == PinNeeded()
        visit.verify_pin("111222")
        assert visit.verify_pin("111222") == PinWrong(0)
        assert visit.verify_pin(PIN) == PinSpent()


def test_a_failed_pin_takes_the_earlier_right_one_back():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        visit.verify_pin("111222")
        assert visit.redeem(FOOD, 1) == PinNeeded()


@pytest.mark.parametrize(("amount", "limit"), [
    (0, Limit.NOT_POSITIVE), (-1, Limit.NOT_POSITIVE), (3, Limit.ABOVE_CAP),
    (5, Limit.ABOVE_AVAILABLE),
])  # fmt: skip
def test_amounts_that_do_not_fit(amount, limit):
    terminal, card = at_work()
    assert tap(terminal, card, amount=amount) == AmountRefused(limit, FOOD, 2)
    assert "INTENT" not in terminal.kinds()


def test_no_shift_no_debit():
    terminal, card = at_work()
    terminal.engine.close_shift()
    assert tap(terminal, card) == TerminalRefused(Stop.NO_SHIFT)


# --- nothing can be taken --------------------------------------------------------------------


def test_already_collected_says_when_and_where():
    terminal, card = at_work(loaded=2)
    card.load_raw(terminal.issuer.entitlement(card, FOOD, loaded=2))
    card.elsewhere(FOOD, 2)
    assert tap(terminal, card) == Nothing(
        NothingWhy.COLLECTED, FOOD, when_s=START_S, where=b"OTHER001", amount=2
    )


def test_expired_lots_cannot_be_taken_and_nothing_is_burned():
    terminal, card = at_work(lots=(Lot(START_S + DAY_S, 3), Lot(NEVER_S, 4)))
    terminal.clock.now_s += DAY_S
    with terminal.begin(card) as visit:
        food = visit.wallets()[0]
        assert (food.balance, food.available, food.expired, food.most) == (4, 1, 3, 1)
        assert visit.state.wallets[0].counters.forfeited == 0


def test_wholly_expired_is_said():
    terminal, card = at_work(lots=(Lot(START_S + 1, 4),))
    terminal.clock.now_s += 1
    assert tap(terminal, card) == Nothing(NothingWhy.EXPIRED, FOOD, amount=4)


def test_one_second_before_expiry_it_is_still_there():
    terminal, card = at_work(lots=(Lot(START_S + 2, 4),))
    terminal.clock.now_s += 1
    assert isinstance(tap(terminal, card), Redeemed)


def test_outside_every_window():
    issuer = Issuer()
    card, terminal = issuer.card(), Terminal(issuer)
    later = Window(START_S + DAY_S, START_S + 2 * DAY_S)
    closed = (replace(PROGRAMMES[0], windows=(later,)),)
    terminal.engine.install(terminal.bundle(
        entry(card, issuer.entitlement(card, FOOD)), programmes=closed))  # fmt: skip
    terminal.engine.open_shift(5)
    assert tap(terminal, card) == Nothing(NothingWhy.NOT_IN_ROUND, FOOD, when_s=START_S + DAY_S)
    terminal.clock.now_s += DAY_S
    assert isinstance(tap(terminal, card), Redeemed)
    terminal.clock.now_s += DAY_S
    assert tap(terminal, card) == Nothing(NothingWhy.NOT_IN_ROUND, FOOD)


@pytest.mark.parametrize(("why", "expected"), [
    (Why.FUNDS_NOT_RELEASED, NothingWhy.FUNDS_NOT_RELEASED),
    (Why.NOT_IN_ROUND, NothingWhy.NOT_IN_ROUND),
    (Why.EXCLUDED_BY_RULE, NothingWhy.EXCLUDED_BY_RULE),
    (Why.BLOCKED, NothingWhy.BLOCKED), (Why.REPLACED, NothingWhy.REPLACED),
])  # fmt: skip
def test_the_bundle_explains_a_programme_without_a_wallet(why, expected):
    issuer = Issuer()
    card, terminal = issuer.card(), Terminal(issuer)
    note = Note(260, why, "karena", "because")
    terminal.engine.install(terminal.bundle(entry(card, notes=(note,))))
    terminal.engine.open_shift(5)
    nothing = tap(terminal, card, CLINIC)
    assert isinstance(nothing, Nothing)
    assert (nothing.why, nothing.wallet) == (expected, CLINIC)
    assert (nothing.detail, nothing.detail_en) == ("karena", "because")


def test_a_wallet_the_card_has_not_and_nobody_explains():
    terminal, card = at_work()
    assert tap(terminal, card, CLINIC) == Nothing(NothingWhy.NO_WALLET, CLINIC)


def test_a_wallet_of_a_programme_the_bundle_has_not():
    terminal, card = at_work()
    terminal.engine.install(terminal.bundle(entry(card), programmes=PROGRAMMES[1:]))
    tap(terminal, card)
    assert tap(terminal, card) == Nothing(NothingWhy.NO_WALLET, FOOD)
    card.load_raw(terminal.issuer.entitlement(card, FOOD))
    assert tap(terminal, card) == Nothing(NothingWhy.UNKNOWN_PROGRAMME, FOOD)


def test_data_too_old_to_know():
    issuer = Issuer()
    card, terminal = issuer.card(), Terminal(issuer)
    terminal.engine.install(terminal.bundle(
        entry(card, issuer.entitlement(card, FOOD)), stale_stop_s=5 * DAY_S,
        stale_warn_s=2 * DAY_S))  # fmt: skip
    terminal.engine.open_shift(5)
    terminal.clock.now_s += 3 * DAY_S
    with terminal.begin(card) as visit:
        assert Caution.DATA_STALE in [w.caution for w in visit.warnings]
        assert visit.nothing is None
    terminal.clock.now_s += 2 * DAY_S + 1
    with terminal.begin(card) as visit:
        assert visit.nothing == Nothing(NothingWhy.DATA_TOO_OLD, when_s=START_S)
        visit.verify_pin(PIN)
        assert visit.redeem(FOOD, 1) == visit.nothing
    assert terminal.kinds()[-1] == "REJECTED"


def test_the_ring_warns_from_24_and_refuses_the_32nd():
    terminal, card = at_work()
    for number in range(31):
        terminal.clock.now_s += 1
        with terminal.begin(card) as visit:
            warned = Caution.RING_FILLING in [w.caution for w in visit.warnings]
            assert warned == (number >= 24)
            visit.verify_pin(PIN)
            paid = visit.redeem(CASH, 1)
            assert isinstance(paid, Redeemed), number
            visit.delivered(paid.intent)
    with terminal.begin(card) as visit:
        assert visit.nothing == Nothing(NothingWhy.RING_FULL)


def test_certificate_end_is_warned_and_then_kept():
    terminal, card = at_work()
    terminal.clock.now_s += 30 * DAY_S
    with terminal.begin(card) as visit:
        assert Caution.CERTIFICATE_ENDING in [w.caution for w in visit.warnings]
    terminal.clock.now_s += 6 * DAY_S
    assert terminal.engine.begin(card.link()) == TerminalRefused(Stop.CERTIFICATE_ENDED)


# --- bypass ------------------------------------------------------------------------------------


def test_supervised_bypass_within_the_count_and_with_a_reason():
    terminal, card = at_work(bypass_total=1)
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        assert visit.redeem(FOOD, 1, bypass_reason="lupa PIN") == BypassRefused()
    with terminal.begin(card, Role.SUPERVISOR) as visit:
        assert visit.redeem(FOOD, 1) == BypassRefused()
        assert visit.redeem(FOOD, 1, bypass_reason=" ") == BypassRefused()
        paid = visit.redeem(FOOD, 1, bypass_reason="lupa PIN")
        assert paid.receipt.verification is Verification.BYPASS
        assert paid.receipt.officer == SUPERVISOR
        row = terminal.journal.intent(paid.intent).record.body
        assert (row.bypass_reason, row.officer) == ("lupa PIN", SUPERVISOR)


def test_bypasses_run_out():
    issuer = Issuer()
    card, terminal = issuer.card(), Terminal(issuer)
    terminal.engine.install(terminal.bundle(
        entry(card, issuer.entitlement(card, FOOD, bypass_total=1))))  # fmt: skip
    terminal.engine.open_shift(5)
    for expected in (Redeemed, BypassRefused):
        with terminal.begin(card, Role.SUPERVISOR) as visit:
            assert isinstance(visit.redeem(FOOD, 1, bypass_reason="sakit"), expected)
