"""Pending intents: evidence only, whatever was lost, torn or crashed in between."""

from __future__ import annotations

import pytest

from card_os.host.purse import PurseSession
from terminal.errors import JournalFullError
from terminal.outcomes import (
    CardRefused,
    Delivered,
    Nothing,
    NothingWhy,
    NotRedeemed,
    Redeemed,
    RedeemUnknown,
    StepRefused,
    Stop,
    TerminalRefused,
)
from terminal.projection import State
from tests.support.terminal_world import CASH, FOOD, PIN, at_work, entry
from wire.log import Reason, RecordType


class Crash(BaseException):
    """The process is gone."""


def crash_at(terminal, number, *, after):
    """The n-th commit from now kills the process, before or after it is durable."""
    journal, count = terminal.journal, iter(range(10_000))
    honest = journal.append

    def append(*args, **kwargs):
        now = next(count) == number
        if now and not after:
            raise Crash
        made = honest(*args, **kwargs)
        if now:
            raise Crash
        return made

    journal.append = append


def debit_lost(card):
    """The answer to the next DEBIT is lost, the card has done it."""
    card.drop_answer_of = 0


def lost_debit(terminal, card, amount=7):
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        debit_lost(card)
        outcome = visit.redeem(CASH, amount)
    assert isinstance(outcome, RedeemUnknown)
    return outcome


def test_a_lost_answer_is_pending_then_a_receipt():
    terminal, card = at_work()
    unknown = lost_debit(terminal, card)
    assert terminal.kinds()[-2:] == ["INTENT", "PENDING"]
    terminal.restart()
    with terminal.begin(card) as visit:
        (found,) = visit.recovered
        assert isinstance(found, Redeemed)
        assert (found.intent, found.recovered, found.receipt.amount) == (unknown.intent, True, 7)
        assert [x.sequence for x in visit.undelivered()] == [found.intent]
        # A person was asked: the goods were not handed over before, now they are.
        assert visit.delivered(found.intent) == Delivered(found.intent, final=True)
        assert visit.undelivered() == []
    assert terminal.kinds()[-2:] == ["RECEIPT", "DELIVERED"]


def test_a_debit_that_never_reached_the_card_is_aborted_on_evidence():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        card.powered = False
        unknown = visit.redeem(CASH, 7)
    assert isinstance(unknown, RedeemUnknown)
    with terminal.begin(card) as visit:
        assert visit.recovered == (NotRedeemed(unknown.intent, card.card_id, 0),)
        visit.verify_pin(PIN)
        assert isinstance(visit.redeem(CASH, 7), Redeemed)
    row = terminal.journal.intent(unknown.intent)
    assert row.state is State.ABORTED


def test_a_refusal_by_status_word_is_settled_by_a_new_session_not_by_the_word(monkeypatch):
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        visit.is_pin_verified = True
        card.elsewhere(CASH, 5)  # ends the session at the card; the next command gives 6988
        outcome = visit.redeem(CASH, 7)
        assert outcome == NotRedeemed(outcome.intent, card.card_id, 1)
    record = terminal.journal.records(0, 1 << 30)[-1]
    assert record.kind is RecordType.ABORTED
    assert record.body.other is not None  # receipt s + 1 is there and not ours


def test_a_card_that_lies_about_the_debit_leaves_it_pending(monkeypatch):
    terminal, card = at_work()
    honest = PurseSession.debit

    def other_amount(self, debit, *, bypass=False):
        from dataclasses import replace

        return honest(self, replace(debit, amount=debit.amount + 1), bypass=bypass)

    with terminal.begin(card) as visit, monkeypatch.context() as patch:
        visit.verify_pin(PIN)
        patch.setattr(PurseSession, "debit", other_amount)
        patch.setattr(PurseSession, "_receipt", _unchecked)
        from card_os.host import errors

        patch.setattr(PurseSession, "_send", _raise_after(errors.UnprovenAnswerError("x")))
        outcome = visit.redeem(CASH, 7)
    assert isinstance(outcome, CardRefused)
    assert outcome.reason is Reason.IDENTITY_CHANGED
    assert terminal.kinds()[-2:] == ["COLLECTED", "REJECTED"]
    assert terminal.journal.open_intents()


def _unchecked(self, *args):
    raise AssertionError


def _raise_after(error):
    honest = PurseSession._send

    def send(self, command, *args, **kwargs):
        answer = honest(self, command, *args, **kwargs)
        if command.name == "DEBIT":
            raise error
        return answer

    return send


def test_no_new_debit_while_an_outcome_is_unknown():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        debit_lost(card)
        visit.redeem(CASH, 7)
        assert visit.redeem(FOOD, 1) == Nothing(NothingWhy.OUTCOME_PENDING)


def test_a_pending_intent_does_not_block_other_cards():
    terminal, card = at_work()
    second = terminal.issuer.card(2)
    terminal.engine.install(terminal.bundle(
        entry(second, terminal.issuer.entitlement(second, CASH, loaded=100))))  # fmt: skip
    lost_debit_without_entry = terminal
    card.load_raw(terminal.issuer.entitlement(card, CASH, loaded=100))
    lost_debit(lost_debit_without_entry, card)
    with terminal.begin(second) as visit:
        visit.verify_pin(PIN)
        assert isinstance(visit.redeem(CASH, 7), Redeemed)


def test_a_receipt_from_a_bundle_resolves_an_intent_whose_card_never_came_back():
    terminal, card = at_work()
    unknown = lost_debit(terminal, card)
    other = _read_receipt(card, 1)
    terminal.engine.install(terminal.bundle(entry(card, acknowledged=1, resolved=(other,))))
    row = terminal.journal.intent(unknown.intent)
    assert row.state is State.RECEIPTED
    assert terminal.kinds()[-2:] == ["SYNC", "RECEIPT"]


def test_sync_lists_what_was_pending():
    terminal, card = at_work()
    unknown = lost_debit(terminal, card)
    terminal.engine.install(terminal.bundle(entry(card)))
    record = terminal.journal.records(0, 1 << 30)[-1]
    assert record.body.pending == (unknown.intent,)


def test_a_forged_receipt_from_a_bundle_resolves_nothing():
    terminal, card = at_work()
    unknown = lost_debit(terminal, card)
    other = _read_receipt(card, 1)
    forged = other[:-1] + bytes([other[-1] ^ 1])
    terminal.engine.install(terminal.bundle(entry(card, resolved=(forged,))))
    assert terminal.journal.intent(unknown.intent).state is State.OPEN


def _read_receipt(card, sequence):
    from wire.cvc import Role

    with card._session(Role.TERMINAL, b"OTHER001") as session:
        return session.read_receipt(sequence).raw


# --- crashes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(6))
def test_a_crash_at_every_commit_of_a_visit(number, after):
    """LOAD, LOAD, COLLECTED, INTENT, RECEIPT, DELIVERED; the card recovers, nothing twice."""
    terminal, card = at_work()
    crash_at(terminal, number, after=after)
    handed = False
    with pytest.raises(Crash), terminal.begin(card) as visit:  # noqa: PT012 - anywhere in it
        visit.verify_pin(PIN)
        paid = visit.redeem(FOOD, 1)
        assert isinstance(paid, Redeemed)
        handed = True
        visit.delivered(paid.intent)
    terminal.restart()
    terminal.journal.check()
    with terminal.begin(card) as visit:
        assert not terminal.journal.open_intents()
        debited = visit.state.wallets[0].counters.debited
        rows = terminal.journal.intents_of(card.card_id)
        receipts = [r for r in rows if r.receipt is not None]
        assert sum(r.receipt.amount for r in receipts) == debited
        waiting = visit.undelivered()
        # Goods left the counter only with a receipt durable; whether they did is asked.
        assert not handed or (len(receipts) == 1)
        for row in waiting:
            assert visit.delivered(row.sequence).final
        visit.verify_pin(PIN)
        again = visit.redeem(FOOD, 1)
        assert isinstance(again, Redeemed)
    kinds = terminal.kinds()
    assert kinds.count("DELIVERED") <= kinds.count("RECEIPT")


@pytest.mark.parametrize("writes", range(6))
def test_a_card_torn_at_every_write_of_a_debit(writes):
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        card.nvm.tear_before = writes
        outcome = visit.redeem(FOOD, 1)
        card.nvm.tear_before = None
    with terminal.begin(card) as visit:
        debited = visit.state.wallets[0].counters.debited
        found = [*visit.recovered, outcome][0]
        assert isinstance(found, Redeemed) == bool(debited), found
        assert not terminal.journal.open_intents()
    terminal.journal.check()


def test_goods_are_never_handed_over_twice():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        paid = visit.redeem(FOOD, 1)
        visit.delivered(paid.intent)
        again = visit.delivered(paid.intent)
    assert isinstance(again, StepRefused)
    assert terminal.kinds().count("DELIVERED") == 1


def test_delivered_needs_a_receipt():
    terminal, card = at_work()
    unknown = lost_debit(terminal, card)
    assert isinstance(terminal.engine.delivered(unknown.intent), StepRefused)


# --- full disk ------------------------------------------------------------------------------------


def full_disk(terminal, kind):
    """The disk is full exactly when a record of this kind is to be written."""
    honest = terminal.journal.append

    def append(time_s, *bodies, **kwargs):
        if any(type(b).__name__ == kind for b in bodies):
            raise JournalFullError("no room on the disk")
        return honest(time_s, *bodies, **kwargs)

    terminal.journal.append = append


def test_a_full_disk_before_intent_asks_nothing_of_the_card():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        full_disk(terminal, "Intent")
        assert visit.redeem(FOOD, 1) == TerminalRefused(Stop.STORE_FULL)
        assert visit.session.read_state().sequence == 0


def test_a_full_disk_before_the_receipt_hands_nothing_over_and_is_recovered():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        full_disk(terminal, "Receipted")
        outcome = visit.redeem(FOOD, 1)
        assert isinstance(outcome, RedeemUnknown)
    terminal.restart()
    with terminal.begin(card) as visit:
        assert isinstance(visit.recovered[0], Redeemed)
