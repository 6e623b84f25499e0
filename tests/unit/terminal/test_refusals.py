"""Cards that are turned away: each in its own words, each logged, nothing written to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from card_os.host.links import InProcessLink
from card_os.reference.foreign import DroppingCard, ForeignCard
from terminal.outcomes import (
    CardLost,
    CardRefused,
    Caution,
    Nothing,
    NothingWhy,
    Redeemed,
    Stop,
    TerminalRefused,
)
from terminal.projection import State
from terminal.visit import Visit
from tests.support.terminal_world import (
    CASH,
    DAY_S,
    FOOD,
    PIN,
    START_S,
    Issuer,
    Terminal,
    at_work,
    entry,
)
from wire.bundle import Ceiling
from wire.cvc import Role
from wire.entitlement import ScriptAction
from wire.env import Environment
from wire.log import Reason, RecordType


def last_rejected(terminal):
    record = terminal.journal.records(0, 1 << 30)[-1]
    assert record.kind is RecordType.REJECTED
    return record.body


def refused(terminal, card, reason):
    """The card is refused for this reason, logged, and its memory is as it was."""
    before = snapshot(card)
    outcome = terminal.engine.begin(card.link())
    assert isinstance(outcome, CardRefused), outcome
    assert outcome.reason is reason, outcome
    assert last_rejected(terminal).reason is reason
    return before, outcome


def snapshot(card):
    return {k: card.nvm.get(k) for k in card.nvm.keys()}  # noqa: SIM118 - no dict


def test_a_specimen_is_told_so_and_left_alone():
    terminal, _ = at_work()
    card = Issuer(Environment.DEMO_SPECIMEN).card()
    before, outcome = refused(terminal, card, Reason.SPECIMEN_CARD)
    assert snapshot(card) == before
    assert outcome.card_id is None


def test_a_live_card_at_a_training_terminal():
    terminal, _ = at_work(Issuer(Environment.DEMO_SPECIMEN))
    card = Issuer().card()
    before, _ = refused(terminal, card, Reason.TRAINING_CARD)
    assert snapshot(card) == before


def test_a_card_of_a_genuine_root_is_foreign_to_a_demo_terminal():
    terminal, _ = at_work()
    refused(terminal, Issuer(Environment.LIVE).card(), Reason.FOREIGN_CARD)


@pytest.mark.parametrize(("device", "reason"), [
    (ForeignCard, Reason.FOREIGN_CARD), (DroppingCard, Reason.DEAD_CARD),
])  # fmt: skip
def test_cards_that_are_not_ours(device, reason):
    terminal, _ = at_work()
    outcome = terminal.engine.begin(InProcessLink(device()))
    assert outcome.reason is reason
    assert last_rejected(terminal).card_id is None


def test_a_card_without_an_atr_is_noted_by_the_reader():
    terminal, _ = at_work()
    outcome = terminal.engine.reject_dead("the card gives no ATR")
    assert outcome == CardRefused(Reason.DEAD_CARD, None, "the card gives no ATR")
    assert last_rejected(terminal).reason is Reason.DEAD_CARD


def test_a_card_under_another_card_ca():
    terminal, _ = at_work()
    stranger = Issuer(seed=99)
    card = Issuer().card()
    # The same root for its channel, another card CA's signature on its certificate.
    forged = stranger.card(1)
    outcome = terminal.engine.begin(forged.link())
    assert outcome == TerminalRefused(Stop.CARD_REFUSES_US)  # it does not know our CA either
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal.roster, "_trust", _TrustOfAnother(terminal.roster.trust))
        outcome = terminal.engine.begin(card.link())
    assert outcome.reason is Reason.CARD_CERTIFICATE
    assert last_rejected(terminal).card_id == card.card_id


class _TrustOfAnother:
    """A trust store that lacks the card CA."""

    def __init__(self, trust):
        from keys.trust import TrustStore
        from wire.chain import TrustFile
        from wire.objects import KeyRole, KeyStatement, open_signed

        held = trust.trust_file()
        kept = tuple(
            raw for raw in held.statements
            if open_signed(KeyStatement, raw, held.root_key, held.environment).role
            != KeyRole.CARD_CA
        )  # fmt: skip
        self._trust = TrustStore(
            TrustFile(held.environment, held.root_key, kept, ()), allow_demo=True
        )

    def __getattr__(self, name):
        return getattr(self._trust, name)


def test_hotlisted_is_refused_blocked_by_script_and_brings_receipts_home():
    terminal, card = at_work()
    card.load_raw(terminal.issuer.entitlement(card, CASH, loaded=1000))
    card.elsewhere(CASH, 5)
    script = terminal.issuer.script(card, ScriptAction.BLOCK)
    terminal.engine.install(terminal.bundle(entry(card, scripts=(script,)), hotlist=(1,)))
    outcome = terminal.engine.begin(card.link())
    assert outcome == CardRefused(Reason.HOTLISTED, card.card_id)
    assert terminal.kinds()[-4:] == ["SCRIPT", "COLLECTED", "COLLECTED", "REJECTED"]
    terminal.engine.install(terminal.bundle(entry(card)))  # no longer on the hotlist
    with terminal.begin(card) as visit:
        assert visit.nothing == Nothing(NothingWhy.BLOCKED)
        assert visit.verify_pin(PIN) == Nothing(NothingWhy.BLOCKED)


def test_a_hotlisted_card_takes_no_entitlement():
    terminal, card = at_work()
    terminal.engine.install(terminal.bundle(
        entry(card, terminal.issuer.entitlement(card, FOOD)), hotlist=(1,)))  # fmt: skip
    terminal.engine.begin(card.link())
    assert "LOAD" not in terminal.kinds()


def test_an_inert_card_is_not_active():
    issuer = Issuer()
    card, terminal = issuer.card(life="inert"), Terminal(issuer)
    terminal.engine.install(terminal.bundle(entry(card, issuer.entitlement(card, FOOD))))
    with terminal.begin(card) as visit:
        assert visit.nothing == Nothing(NothingWhy.NOT_ACTIVE)
    assert last_rejected(terminal).reason is Reason.NOT_ACTIVE


# --- memory -------------------------------------------------------------------------------------


def pay(terminal, card, amount=10):
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        paid = visit.redeem(CASH, amount)
        assert isinstance(paid, Redeemed), paid
        visit.delivered(paid.intent)


def test_a_card_that_runs_back_behind_our_memory():
    terminal, card = at_work()
    pay(terminal, card)
    old = card.nvm.fork()
    pay(terminal, card)
    card.nvm = old
    _, outcome = refused(terminal, card, Reason.ROLLED_BACK)
    assert outcome.card_id == card.card_id


def test_a_clone_with_another_receipt_of_one_sequence():
    terminal, card = at_work()
    pay(terminal, card)
    fork = card.nvm.fork()
    pay(terminal, card)
    card.nvm = fork
    card.elsewhere(CASH, 10)
    refused(terminal, card, Reason.IDENTITY_CHANGED)
    assert terminal.kinds()[-2:] == ["COLLECTED", "REJECTED"]


def test_a_clone_whose_next_receipt_does_not_link():
    terminal, card = at_work()
    pay(terminal, card)
    fork = card.nvm.fork()
    pay(terminal, card)
    card.nvm = fork
    card.elsewhere(CASH, 10)
    card.elsewhere(CASH, 10)
    refused(terminal, card, Reason.IDENTITY_CHANGED)


def test_another_certificate_than_remembered():
    terminal, card = at_work()
    pay(terminal, card)
    other = terminal.issuer.card(1)
    refused(terminal, other, Reason.IDENTITY_CHANGED)


def test_another_certificate_than_the_backend_knows():
    issuer = Issuer()
    card, terminal = issuer.card(), Terminal(issuer)
    known = replace(entry(card), certificate=bytes(32))
    terminal.engine.install(terminal.bundle(known))
    refused(terminal, card, Reason.IDENTITY_CHANGED)


def test_behind_what_the_backend_acknowledged():
    terminal, card = at_work()
    terminal.engine.install(terminal.bundle(entry(card, acknowledged=1)))
    refused(terminal, card, Reason.ROLLED_BACK)


# --- entitlements ---------------------------------------------------------------------------------


def test_behind_the_settled_debits_of_an_entitlement_it_never_took():
    terminal, card = at_work()
    pay(terminal, card, 10)
    newer = terminal.issuer.entitlement(
        card, CASH, sequence=2, loaded=1_000_000, settled_debited=20, acknowledged=1
    )
    terminal.engine.install(terminal.bundle(entry(card, newer, acknowledged=1)))
    refused(terminal, card, Reason.ROLLED_BACK)


def test_acknowledged_ahead_of_the_card():
    terminal, card = at_work()
    newer = terminal.issuer.entitlement(card, CASH, sequence=2, loaded=1_000_000, acknowledged=1)
    terminal.begin(card).close()
    terminal.engine.install(terminal.bundle(entry(card, newer)))
    refused(terminal, card, Reason.ACKNOWLEDGED_AHEAD)


def test_above_the_ceiling_is_not_even_loaded():
    issuer = Issuer()
    card, terminal = issuer.card(), Terminal(issuer)
    terminal.engine.install(terminal.bundle(
        entry(card, issuer.entitlement(card, FOOD, loaded=5)),
        ceilings=(Ceiling(FOOD, 4),)))  # fmt: skip
    refused(terminal, card, Reason.ABOVE_CEILING)
    assert "LOAD" not in terminal.kinds()


def test_above_the_ceiling_when_another_terminal_loaded_it():
    issuer = Issuer()
    card, terminal = issuer.card(), Terminal(issuer)
    card.load_raw(issuer.entitlement(card, FOOD, loaded=5))
    terminal.engine.install(terminal.bundle(entry(card), ceilings=(Ceiling(FOOD, 4),)))
    refused(terminal, card, Reason.ABOVE_CEILING)


def test_two_entitlements_of_one_sequence():
    issuer = Issuer()
    card, terminal = issuer.card(), Terminal(issuer)
    card.load_raw(issuer.entitlement(card, FOOD, loaded=3))
    terminal.engine.install(terminal.bundle(entry(card, issuer.entitlement(card, FOOD, loaded=4))))
    refused(terminal, card, Reason.ENTITLEMENT_FORGED)


@pytest.mark.parametrize(("fault", "reason", "detail"), [
    ("signature", Reason.ENTITLEMENT_FORGED, "verify"),
    ("loaded", Reason.ENTITLEMENT_FORGED, "L is not"),
    ("card", Reason.ENTITLEMENT_FORGED, "another card's"),
    ("certificate", Reason.ENTITLEMENT_FORGED, "another card's"),
    ("acknowledged", Reason.ROLLED_BACK, "behind what is settled"),
])  # fmt: skip
def test_a_broken_chip_that_shows_another_entitlement(monkeypatch, fault, reason, detail):
    issuer = Issuer()
    card, terminal = issuer.card(), Terminal(issuer)
    card.load_raw(issuer.entitlement(card, FOOD))
    terminal.engine.install(terminal.bundle(entry(card)))
    from card_os.host.purse import PurseSession

    honest = PurseSession.read_entitlement
    lies = {
        "loaded": lambda: issuer.entitlement(card, FOOD, loaded=5),
        "card": lambda: issuer.entitlement(issuer.card(2), FOOD),
        "certificate": lambda: issuer.entitlement(card, FOOD, certificate_hash=bytes(16)),
        "acknowledged": lambda: issuer.entitlement(card, FOOD, acknowledged=5),
    }

    def lie(self, index):
        e = honest(self, index)
        if fault == "signature":
            return replace(e, raw=e.raw[:-1] + bytes([e.raw[-1] ^ 1]))
        return lies[fault]()

    monkeypatch.setattr(PurseSession, "read_entitlement", lie)
    _, outcome = refused(terminal, card, reason)
    assert detail in outcome.detail


def test_counters_that_are_not_the_newest_receipts(monkeypatch):
    terminal, card = at_work()
    pay(terminal, card)
    from card_os.host.purse import PurseSession

    honest = PurseSession.read_state

    def lie(self):
        state = honest(self)
        wallets = tuple(replace(w, counters=replace(w.counters, debited=w.counters.debited + 1))
                        for w in state.wallets)  # fmt: skip
        self._state = replace(state, wallets=wallets)
        return self._state

    monkeypatch.setattr(PurseSession, "read_state", lie)
    refused(terminal, card, Reason.ROLLED_BACK)


def test_counters_behind_our_memory(monkeypatch):
    terminal, card = at_work()
    pay(terminal, card)
    from card_os.host.purse import PurseSession

    honest = PurseSession.read_state

    def lie(self):
        state = honest(self)
        wallets = tuple(replace(w, counters=replace(w.counters, debited=0)) for w in state.wallets)
        self._state = replace(state, wallets=wallets)
        return self._state

    monkeypatch.setattr(PurseSession, "read_state", lie)
    _, outcome = refused(terminal, card, Reason.ROLLED_BACK)
    assert "ran back" in outcome.detail


def test_a_clone_whose_recovered_receipt_does_not_link():
    """A pending intent's receipt must follow the receipt this terminal knew before it."""
    terminal, card = at_work()
    fork = card.nvm.fork()
    pay(terminal, card)
    other = card.nvm
    card.nvm = fork
    # The clone pays elsewhere, so its receipt 1 differs; then it meets our pending intent.
    with terminal.begin(swap(card, other)) as visit:
        visit.verify_pin(PIN)
        card.powered = False
        intent = visit.redeem(CASH, 1).intent
    row = terminal.journal.intent(intent)
    card.nvm = fork
    card.load_raw(terminal.issuer.entitlement(card, CASH, loaded=1_000_000))
    card.elsewhere(CASH, 10)
    forge(card, row, amount=1)
    refused(terminal, card, Reason.IDENTITY_CHANGED)


def swap(card, nvm):
    card.nvm = nvm
    return card


def test_a_receipt_of_our_sequence_for_another_intent_is_not_ours():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        card.powered = False
        intent = visit.redeem(CASH, 1).intent
    forge(card, terminal.journal.intent(intent), amount=1, intent_hash=bytes(32))
    refused(terminal, card, Reason.RESTORED_IMAGE)
    assert terminal.journal.intent(intent).state is State.ABORTED


def forge(card, row, amount, intent_hash=None):
    """The clone makes the very receipt that our intent asked for."""
    from wire.purse import Debit

    with card._session(Role.TERMINAL, b"TERM0001") as session:
        session.verify_pin(PIN)
        session.debit(Debit(CASH, amount, row.expected, row.sequence, row.record.time_s, 1,
                            intent_hash or row.hash))  # fmt: skip


def test_reversals_invented_by_a_chip_are_no_credit(monkeypatch):
    """R counts only up to the settled R and our own reversals."""
    terminal, card = at_work()
    pay(terminal, card, 500_000)
    pay(terminal, card, 400_000)
    with terminal.begin(card) as visit:
        shown = visit.seen.credits[CASH]
        lying = replace(shown.shown, reversed=900_000)
        visit.seen.credits[CASH] = replace(shown, shown=lying)
        visit.verify_pin(PIN)
        assert visit.wallets()[1].available == 100_000


# --- restored image -------------------------------------------------------------------------


def restored():
    """A terminal put back to an old copy after it served two cards."""
    issuer = Issuer()
    terminal, card = at_work(issuer)
    second = issuer.card(2)
    terminal.engine.install(terminal.bundle(*(
        entry(x, issuer.entitlement(x, CASH, loaded=1000)) for x in (card, second))))  # fmt: skip
    copies = [db.serialize() for db in terminal.memory]
    pay(terminal, card)
    pay(terminal, second)
    for db, copy in zip(terminal.memory, copies, strict=True):
        db.deserialize(copy)
    terminal.restart()
    return terminal, card, second


def test_one_card_is_refused_two_stop_the_terminal():
    terminal, card, second = restored()
    refused(terminal, card, Reason.RESTORED_IMAGE)
    assert not terminal.journal.stopped
    refused(terminal, card, Reason.RESTORED_IMAGE)  # the same card again is still one
    assert not terminal.journal.stopped
    refused(terminal, second, Reason.RESTORED_IMAGE)
    assert terminal.journal.stopped
    assert terminal.engine.begin(card.link()) == TerminalRefused(Stop.RESTORED_IMAGE)
    terminal.restart()
    assert terminal.engine.begin(card.link()) == TerminalRefused(Stop.RESTORED_IMAGE)


def test_a_restored_image_that_went_on_is_found_by_the_hash():
    """The journal has an intent at that sequence again, but another one."""
    issuer = Issuer()
    first, second, terminal = issuer.card(1), issuer.card(2), Terminal(issuer)
    terminal.engine.install(terminal.bundle(*(
        entry(x, issuer.entitlement(x, CASH, loaded=1000)) for x in (first, second))))  # fmt: skip
    terminal.engine.open_shift(5)
    copy = terminal.memory[0].serialize()
    pay(terminal, first)
    terminal.memory[0].deserialize(copy)
    pay(terminal, second)
    refused(terminal, first, Reason.RESTORED_IMAGE)


def test_evidence_of_a_restored_image_is_carried_home():
    terminal, card, _ = restored()
    refused(terminal, card, Reason.RESTORED_IMAGE)
    assert terminal.kinds()[-2:] == ["COLLECTED", "REJECTED"]


# --- clock and data -------------------------------------------------------------------------


def test_time_never_runs_behind_what_is_proven():
    terminal, card = at_work()
    terminal.clock.now_s -= 400 * DAY_S
    terminal.restart()
    assert terminal.engine.now_s() == START_S
    with terminal.begin(card) as visit:
        assert Caution.CLOCK_SUSPECT in [w.caution for w in visit.warnings]
    assert terminal.kinds().count("CLOCK") == 1
    record = next(r for r in terminal.journal.records(0, 1 << 30) if r.kind is RecordType.CLOCK)
    assert (record.body.after_s, record.body.suspect) == (START_S, True)


def test_no_data_no_service():
    issuer = Issuer()
    card, terminal = issuer.card(), Terminal(issuer)
    assert terminal.engine.begin(card.link()) == TerminalRefused(Stop.NO_DATA)


def test_no_certificate_for_an_officer_who_is_none():
    terminal, card = at_work()
    stranger = Terminal(terminal.issuer, station=b"TERM0002").officers[Role.SUPERVISOR]
    outcome = terminal.engine.begin(card.link(), Role.SUPERVISOR, stranger)
    assert outcome == TerminalRefused(Stop.NO_CERTIFICATE)


def test_a_card_pulled_while_it_is_read():
    terminal, card = at_work()
    card.drop_answer_of = 1
    assert isinstance(terminal.engine.begin(card.link()), CardLost)
    assert isinstance(terminal.engine.begin(card.link()), Visit)
