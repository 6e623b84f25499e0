"""Properties of what a terminal lets a card spend, and of a day at the counter."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from terminal.journal import replay
from terminal.outcomes import NotRedeemed, Redeemed, RedeemUnknown, Voided, VoidUnknown
from terminal.rules import Credit, ring_has_room
from terminal.store import connect
from tests.support.terminal_world import CASH, FOOD, PIN, Issuer, Terminal, entry
from wire.cvc import Role
from wire.entitlement import NEVER_S, Entitlement, Lot
from wire.env import Environment
from wire.raw import MAX_LOADED
from wire.receipt import Counters


def entitlement(loaded, lots, through, settled, reversed_, *, sequence=1):
    body = Entitlement.encode_body(
        env=Environment.DEMO_LIVE, card_id=b"DEMO\0\0\0\1", certificate_hash=bytes(16), wallet=1,
        programme=1, sequence=sequence, loaded=loaded, lots=lots, forfeited_through=through,
        cap=loaded, issued=date(2026, 1, 1), acknowledged=0, settled_debited=settled,
        settled_reversed=reversed_, bypass_total=0, key_version=1,
    )  # fmt: skip
    return Entitlement.parse(body + bytes(64))


@st.composite
def wallets(draw):
    """A wallet as any chip might show it, under any entitlement that parses."""
    loaded = draw(st.integers(1, MAX_LOADED))
    count = draw(st.integers(1, 4))
    ends = sorted(draw(st.sets(st.integers(1, loaded), min_size=1, max_size=count)) | {loaded})[-4:]
    times = sorted(draw(st.lists(
        st.integers(0, NEVER_S), min_size=len(ends), max_size=len(ends))))  # fmt: skip
    lots = tuple(Lot(t, e) for t, e in zip(times, ends, strict=True))
    settled = draw(st.integers(0, loaded))
    reversed_ = draw(st.integers(0, settled))
    made = entitlement(loaded, lots, draw(st.integers(0, loaded)), settled, reversed_)
    debited = draw(st.integers(0, 2 * loaded))
    shown = Counters(loaded, debited, draw(st.integers(0, loaded)), draw(st.integers(0, debited)))
    newer = entitlement(loaded, lots, draw(st.integers(0, loaded)), settled, reversed_, sequence=2)
    return Credit(shown, made, draw(st.sampled_from([made, newer])),
                  draw(st.integers(0, loaded)))  # fmt: skip


TIMES = st.integers(0, NEVER_S)


@given(wallets(), TIMES)
def test_available_is_never_above_the_protocols_formula_nor_below_zero(credit, time_s):
    c, e = credit.counted, credit.in_force
    formula = credit.shown.loaded - max(
        c.debited - c.reversed + c.forfeited,
        e.forfeited_through,
        *[x.end for x in e.lots if x.expires_s <= time_s],
        0,
    )
    got = credit.available(time_s)
    assert 0 <= got <= max(0, formula)
    if credit.newest is credit.in_force:
        assert got == max(0, formula)


@given(wallets(), TIMES, TIMES)
def test_time_only_takes_away(credit, one, other):
    early, late = sorted((one, other))
    assert credit.available(late) <= credit.available(early)


@given(wallets(), TIMES)
def test_a_chip_cannot_invent_reversals(credit, time_s):
    most = credit.newest.settled_reversed + credit.own_reversed
    assert credit.counted.reversed <= most
    assert credit.available(time_s) <= max(
        0, credit.shown.loaded - credit.shown.debited + most - credit.shown.forfeited
    )


@given(wallets())
def test_d_below_settled_is_a_roll_back(credit):
    assert credit.is_rolled_back == (credit.shown.debited < credit.newest.settled_debited)


@given(wallets(), TIMES)
def test_balance_is_available_and_expired(credit, time_s):
    balance = max(0, credit.counted.balance)
    assert credit.available(time_s) + credit.expired(time_s) == balance


@pytest.mark.parametrize(("used", "room"), [(0, True), (30, True), (31, False), (32, False)])
def test_a_debit_leaves_a_slot_for_its_void(used, room):
    assert ring_has_room(100 + used, 100) is room


class Day(RuleBasedStateMachine):
    """One terminal, two cards, any order of taps, lost answers, tears, restarts and voids.

    The oracle: what the cards say they paid is what the journal can prove, and goods left the
    counter at most once for each receipt that still stands.
    """

    @initialize()
    def open(self):
        issuer = Issuer()
        self.cards = [issuer.card(1), issuer.card(2)]
        self.terminal = Terminal(issuer)
        self.terminal.engine.install(self.terminal.bundle(*(
            entry(c, issuer.entitlement(c, FOOD, loaded=3),
                  issuer.entitlement(c, CASH, loaded=500)) for c in self.cards)))  # fmt: skip
        self.terminal.engine.open_shift(5)
        self.handed = 0

    cards = st.integers(0, 1)

    faults = st.sampled_from(["none", "none", "answer", "reader", "tear0", "tear1", "tear2"])

    @rule(number=cards, wallet=st.sampled_from([FOOD, CASH]), amount=st.integers(1, 3),
          fault=faults)  # fmt: skip
    def redeem(self, number, wallet, amount, fault):
        card = self.cards[number]
        with self.terminal.begin(card) as visit:
            visit.verify_pin(PIN)
            match fault:
                case "answer":
                    card.drop_answer_of = 0
                case "reader":
                    card.powered = False
                case "none":
                    pass
                case _:
                    card.nvm.tear_before = int(fault[-1])
            outcome = visit.redeem(wallet, amount)
            card.nvm.tear_before = card.drop_answer_of = None
            if isinstance(outcome, Redeemed) and visit.delivered(outcome.intent).is_good:
                self.handed += 1
            if isinstance(outcome, RedeemUnknown | NotRedeemed):
                assert not self.terminal.engine.delivered(outcome.intent).is_good

    @rule(number=cards)
    def hand_over_what_was_recovered(self, number):
        with self.terminal.begin(self.cards[number]) as visit:
            for row in visit.undelivered():
                if visit.delivered(row.sequence).is_good:
                    self.handed += 1

    @rule(number=cards, lost=st.booleans())
    def pay_then_void(self, number, lost):
        card = self.cards[number]
        with self.terminal.begin(card) as visit:
            visit.verify_pin(PIN)
            paid = visit.redeem(CASH, 5)
        if not isinstance(paid, Redeemed):
            return
        with self.terminal.begin(card, Role.SUPERVISOR) as visit:
            card.drop_answer_of = 0 if lost else None
            outcome = visit.void(paid.intent, on_counter=False, reason="salah")
            card.drop_answer_of = None
        assert isinstance(outcome, Voided | VoidUnknown)
        assert not self.terminal.engine.delivered(paid.intent).is_good

    @rule()
    def restart(self):
        self.terminal.restart()

    @invariant()
    def books_agree(self):
        terminal = self.terminal
        journal = terminal.journal
        journal.check()
        assert terminal.kinds().count("DELIVERED") == self.handed

    def teardown(self):
        terminal, journal = self.terminal, self.terminal.journal
        for card in self.cards:
            with terminal.begin(card) as visit:
                assert not journal.open_intents(card.card_id)
                for wallet in visit.state.wallets:
                    rows = [r for r in journal.intents_of(card.card_id)
                            if r.receipt and r.receipt.wallet == wallet.wallet]  # fmt: skip
                    debits = [r for r in rows if r.debit is None]
                    voids = [r for r in rows if r.debit is not None]
                    c = wallet.counters
                    assert sum(r.receipt.amount for r in debits) == c.debited
                    assert sum(r.receipt.amount for r in voids) == c.reversed
                    assert c.balance >= 0
        again = replay(connect(":memory:"), journal.station, journal.records(0, 1 << 30))
        assert again.derived() == journal.derived()


Day.TestCase.settings = settings(
    max_examples=12, stateful_step_count=12, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
TestDay = Day.TestCase
