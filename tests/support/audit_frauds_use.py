"""Frauds against invariants 10 to 19, as verbs on the honest story."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from backend import ledger
from keys.enrol import StationRequest
from keys.signer import P256KeyAgreement, P256Signer
from tests.support.audit_frauds import case, fraud
from tests.support.audit_story import BULOG, CASH, FOOD, SCHOOL, Story, enrol
from tests.support.audit_world import (
    DAY_S,
    OIL,
    RICE,
    START_S,
    AuditWorld,
)
from wire import cvc, log
from wire.chain import Citation
from wire.entitlement import Lot
from wire.env import Environment
from wire.invariants import Invariant
from wire.objects import (
    DecisionKind,
    DecreeAnnex,
    DecreeRow,
    FundRelease,
    StationKind,
    Unit,
)

# --- 10, 11, 12 rules of use ------------------------------------------------------------


@fraud(Invariant.CAPS_AND_COUNTS)
def above_the_cap(s: Story):
    """Card and terminal ignore the cap."""
    s.w.debit(s.one, case(s), SCHOOL, 150_000)


@fraud(Invariant.CAPS_AND_COUNTS)
def outside_the_window(s: Story):
    """Redeemed when the round was closed."""
    card = enrol(s, 6, s.one)
    s.w.tick(max(60, START_S + 2 * DAY_S - s.w.now_s))
    for p in (s.w.programmes[FOOD],):
        closed = replace(p, code=4, wallet=0x1A09, windows=(replace(
            p.windows[0], to_s=START_S + DAY_S),))  # fmt: skip
    s.w.programmes[closed.wallet] = closed
    s.w.sign(closed)
    funds = s.w.sign(FundRelease("SP2D-4", 4, 600_000, s.w.tick()))
    s.w.post(ledger.fund_release(funds, 4, 600_000))
    visit = next(iter(_annex(s))).verification
    decree = s.w.sign(DecreeAnnex("SK-4", 20260302, "Gubernur", (
        DecreeRow(1, s.families[0], 4, 4, visit),)))  # fmt: skip
    first = s.cards[0]
    s.w.entitle(first, closed.wallet, 4, Citation(decree, 1))
    s.w.load(s.one, first, closed.wallet)
    s.w.debit(s.one, first, closed.wallet, 1)
    assert card


def _annex(s: Story):
    from wire.cose import Sign1

    signed = map(Sign1.parse, s.w.objects["decree"])
    return DecreeAnnex.parse(next(x for x in signed if x.hash == s.decree).payload).rows


@fraud(Invariant.CAPS_AND_COUNTS)
def what_had_expired(s: Story):
    """A lot is used after its end by card and terminal together."""
    card = s.w.card(s.families[6], s.decree, 19)
    s.w.entitle(card, CASH, 250_000, Citation(s.decree, 20),
                lots=(Lot(s.w.now_s + DAY_S, 250_000),))  # fmt: skip
    s.w.hand_over(s.one, card)
    s.w.load(s.one, card, CASH)
    s.w.tick(2 * DAY_S)
    s.w.debit(s.one, card, CASH, 1_000)


@fraud(Invariant.CAPS_AND_COUNTS)
def bypassed_too_often(s: Story):
    """Supervisor and broken chip bypass the PIN past what the entitlement allows."""
    for _ in range(3):
        s.w.debit(s.one, case(s), CASH, 1_000, bypass=True)


@fraud(Invariant.CAPS_AND_COUNTS)
def a_pin_set_that_nobody_can_explain(s: Story):
    """An officer sets a PIN and burns the statement."""
    card = case(s)
    s.w.tick(2 * DAY_S)  # long after the lost terminal was closed
    s.w.debit(s.one, card, CASH, 1_000)
    card.pins += 1
    s.w.debit(s.one, card, CASH, 1_000)
    s.w.tick(31 * DAY_S)


@fraud(Invariant.CAPS_AND_COUNTS)
def a_script_that_nobody_issued(s: Story):
    """A broken chip counts a script more than was ever signed for it."""
    s.w.debit(s.one, case(s), CASH, 1_000, script_count=1)


@fraud(Invariant.TIME)
def a_log_that_runs_backwards(s: Story):
    """The operator turns the clock back between two uploads."""
    s.w.upload(s.two)
    s.w.record(s.two, log.Boot("betang"), time_s=s.two.records[-1].time_s - 3600)


@fraud(Invariant.TIME)
def a_receipt_of_another_day(s: Story):
    """The terminal tells the card another time than its log."""
    s.w.tick(DAY_S)
    s.w.debit(s.one, case(s), CASH, 1_000, terminal_time_s=s.w.now_s - 3600)


@fraud(Invariant.TIME)
def under_an_expired_certificate(s: Story):
    """A terminal goes on with a certificate that has ended."""
    s.w.tick(36 * DAY_S)
    s.w.debit(s.one, case(s), CASH, 1_000)


@fraud(Invariant.HOTLIST)
def a_blocked_card_at_a_synced_terminal(s: Story):
    """The operator serves a card that the installed hotlist names."""
    card = case(s)
    s.w.hotlist(card)
    s.w.sync(s.one)
    s.w.debit(s.one, card, CASH, 10_000, pay=False)


@fraud(Invariant.HOTLIST)
def a_blocked_card_under_a_newer_certificate(s: Story):
    """A renewed certificate is used with an old hotlist: the two come in one bundle."""
    card = case(s)
    s.w.hotlist(card)
    key = P256KeyAgreement.generate(s.w.random)
    request = StationRequest.make(s.w.env, s.one.name, StationKind.TERMINAL, s.one.log_key, key)
    s.w.certify(s.one, request, cvc.Role.TERMINAL, 0)
    s.w.debit(s.one, card, CASH, 10_000)


# --- 13, 14, 15 money and goods ------------------------------------------------------------


@fraud(Invariant.SETTLED_ONCE)
def settled_twice(s: Story):
    """The administrator repeats a settlement."""
    again = next(t for _, t in s.w.ledger if t.kind == ledger.Kind.SETTLEMENT)
    s.w.tick()
    s.w.post(again)


@fraud(Invariant.SETTLED_ONCE)
def paid_without_a_hand_over(s: Story):
    """The administrator pays a debit that was never delivered."""
    tap = s.w.debit(s.one, case(s), CASH, 50_000, deliver=False)
    s.w.payable(tap.receipt)
    s.w.settle()


@fraud(Invariant.SETTLED_ONCE)
def paid_above_the_tariff(s: Story):
    """A payable of more than the signed tariff gives."""
    tap = s.w.debit(s.one, case(s), FOOD, 1, pay=False)
    s.w.post(ledger.payable(tap.receipt.hash, 1, BULOG, 175_000))
    evidence = sha256(tap.receipt.hash).digest()
    s.w.post(ledger.settlement(evidence, 1, BULOG, 175_000))


@fraud(Invariant.SETTLED_ONCE)
def a_reversed_debit_still_paid(s: Story):
    """A voided debit stays in the settlement."""
    card = case(s)
    tap = s.w.debit(s.one, card, SCHOOL, 10_000)
    s.w.owed.discard(tap.receipt.hash)  # the administrator forgets the reversal
    s.w.void(tap, card)


@fraud(Invariant.CONSERVATION)
def a_load_only_the_ledger_knows(s: Story):
    """The administrator books an issue that no entitlement shows."""
    s.w.post(ledger.issue(s.w.random(32), 2, 250_000))


@fraud(Invariant.CONSERVATION)
def a_debit_missing_from_the_ledger(s: Story):
    """The administrator leaves a redemption out."""
    tap = s.w.debit(s.one, case(s), CASH, 10_000)
    s.w.ledger = [(t, x) for t, x in s.w.ledger
                  if (x.kind, x.evidence) != (ledger.Kind.DEBIT, tap.receipt.hash)]  # fmt: skip


@fraud(Invariant.CONSERVATION)
def forfeited_only_on_paper(s: Story):
    """Value called forfeited that the card still has."""
    s.w.post(ledger.forfeit(s.taps["food"].receipt.hash, 1, 1))


@fraud(Invariant.STOCK)
def less_received_than_delivered(s: Story):
    """The operator signs for less rice than the provider's delivery says."""
    s.w.deliver(s.one, BULOG, [(RICE, Unit.GRAM, 50_000)],
                received=[(RICE, Unit.GRAM, 40_000)])  # fmt: skip


@fraud(Invariant.STOCK)
def a_checkpoint_that_lies(s: Story):
    """The terminal's own count is not what its records leave."""
    s.w.record(s.two, log.Checkpoint(0, ()))


@fraud(Invariant.STOCK)
def stock_lost_only_in_the_ledger(s: Story):
    """The administrator writes off oil that no record lost."""
    s.w.post(ledger.stock(ledger.Kind.STOCK_LOSS, s.w.random(32), OIL, -5000,
                          terminal=s.one.name, other=f"stock-loss/{s.one.name.hex()}"))  # fmt: skip


# --- 16, 17, 18, 19 ------------------------------------------------------------


@fraud(Invariant.NO_SPECIMEN)
def a_specimen_card_redeemed(s: Story):
    """An operator serves a specimen card with a terminal of his own making."""
    other = AuditWorld(9, Environment.DEMO_SPECIMEN)
    card = case(s).clone()
    card.key = P256Signer.generate(other.random)
    s.w.debit(s.one, card, CASH, 50_000, env=Environment.DEMO_SPECIMEN, book=False)


@fraud(Invariant.CHAINED_LEDGER)
def a_ledger_written_anew(s: Story):
    """The administrator changes an old entry and chains everything again."""
    s.w.publish()
    time_s, transfer = s.w.ledger[0]
    s.w.ledger[0] = (time_s - 1, transfer)


@fraud(Invariant.CHAINED_LEDGER)
def an_object_left_out_of_the_export(s: Story):
    """A delivery the terminal never took in is kept from the auditor."""
    from wire.objects import GoodsLine, StockDelivery

    line = GoodsLine(RICE, Unit.GRAM, 1)
    s.w.sign(StockDelivery("SJ-X", BULOG, s.one.name, (line,), s.w.tick()))
    s.w.objects["delivery"].pop()


@fraud(Invariant.DECREE_ROW)
def one_row_used_twice(s: Story):
    """The issuer's officers load one decree row a second time."""
    s.w.entitle(case(s), CASH, 250_000, Citation(s.decree, 17))


@fraud(Invariant.DECREE_ROW)
def more_than_the_row_says(s: Story):
    """A step of L above its row."""
    card = s.w.card(s.families[6], s.decree, 19)
    s.w.entitle(card, CASH, 300_000, Citation(s.decree, 20))


@fraud(Invariant.DECREE_ROW)
def loaded_without_funds(s: Story):
    """A row is loaded before its programme's funds are released."""
    p = replace(s.w.programmes[SCHOOL], code=7, wallet=0x1A0A)
    s.w.programmes[p.wallet] = p
    s.w.sign(p)
    row = DecreeRow(1, s.families[5], 7, 1000, _annex(s)[15].verification)
    decree = s.w.sign(DecreeAnnex("SK-7", 20260302, "Gubernur", (row,)))
    s.w.entitle(case(s), p.wallet, 1000, Citation(decree, 1))


@fraud(Invariant.DECREE_ROW)
def a_family_nobody_visited(s: Story):
    """The registry puts a ghost into a decree."""
    row = DecreeRow(1, s.w.random(16), 1, 4, s.w.random(32))
    s.w.sign(DecreeAnnex("SK-9", 20260303, "Gubernur", (row,)))


@fraud(Invariant.DECREE_ROW)
def more_moved_than_was_left(s: Story):
    """A second decision moves what the lost card no longer has."""
    old, new = s.cards[4], s.cards[6]
    s.w.upload(s.one)
    decision = s.w.decide(DecisionKind.MOVE, old, CASH, 50_000, new=new)
    s.w.entitle(new, CASH, 50_000, Citation(decision, 0))


@fraud(Invariant.ISSUANCE_LOG)
def a_second_card_for_one_family(s: Story):
    """A card certified while the family's first is alive."""
    s.w.card(s.families[1], s.decree, 4, s.cards[1])


@fraud(Invariant.ISSUANCE_LOG)
def a_card_kept_out_of_the_log(s: Story):
    """The card CA's keeper makes a card that the log does not hold, and spends from it."""
    real = case(s)
    ghost = s.w.card(s.families[7], s.decree, 22, logged=False)
    ghost.wallets, ghost.held, ghost.pins = dict(real.wallets), dict(real.held), 1
    s.w.debit(s.one, ghost, CASH, 100_000, book=False)


@fraud(Invariant.ISSUANCE_LOG)
def an_unlogged_terminal_certificate(s: Story):
    """The terminal CA's keeper certifies a key of his own for a known terminal."""
    key = P256KeyAgreement.generate(s.w.random)
    request = StationRequest.make(s.w.env, s.one.name, StationKind.TERMINAL, s.one.log_key, key)
    s.w.certify(s.one, request, cvc.Role.TERMINAL, 0, logged=False)
    s.w.debit(s.one, case(s), CASH, 1_000)


@fraud(Invariant.ISSUANCE_LOG)
def an_entitlement_kept_out_of_the_log(s: Story):
    """The issuer key's officers load a card and enter it nowhere; nothing of it is payable."""
    card = case(s)
    s.w.entitle(card, CASH, 100_000, None, logged=False, book=False)
    s.w.load(s.one, card, CASH)
    s.w.debit(s.one, card, CASH, 100_000)
    card.held[CASH] = replace(card.held[CASH], cap=250_000)


@fraud(Invariant.ISSUANCE_LOG)
def a_decision_kept_out_of_the_log(s: Story):
    """The registry signs a decision that the log does not hold, and it is booked."""
    from wire.objects import Decision

    shape = Decision("K-X", DecisionKind.RETURN, case(s).card_id, CASH, 1, 1, 5, None, "", 1)
    digest = s.w.sign(shape, logged=False)
    s.w.post(ledger.returned(digest, 2, 5))
