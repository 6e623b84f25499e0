"""More frauds against 13 to 19, one for each check that the others do not need."""

from __future__ import annotations

from dataclasses import replace

from backend import ledger
from keys import ca
from keys.enrol import StationRequest
from keys.signer import Ed25519Signer, P256KeyAgreement, P256Signer, sign_object
from tests.support.audit_frauds import case, fraud
from tests.support.audit_frauds_more import open_void
from tests.support.audit_story import BULOG, CASH, SCHOOL, Story
from tests.support.audit_world import DAY_S, RICE
from wire import cvc, log
from wire.chain import Citation, IssuanceKind
from wire.env import Environment
from wire.invariants import Invariant
from wire.log import StockMove
from wire.objects import (
    DecisionKind,
    DecreeAnnex,
    DecreeRow,
    Enrolment,
    FundRelease,
    GoodsLine,
    Hotlist,
    KeyRole,
    StationKind,
    Unit,
)

I = Invariant  # noqa: E741 - a table below


# --- 13, 14, 15 ------------------------------------------------------------


@fraud(I.SETTLED_ONCE)
def payable_twice(s: Story):
    """The administrator owes one debit twice."""
    tap = s.w.debit(s.one, case(s), SCHOOL, 1_000)
    s.w.payable(tap.receipt)


@fraud(I.SETTLED_ONCE)
def a_payable_of_nothing(s: Story):
    """A payable without a receipt."""
    s.w.post(ledger.payable(s.w.random(32), 3, "Toko Mitra", 5_000))


@fraud(I.SETTLED_ONCE)
def an_unpayable_of_nothing(s: Story):
    """The administrator takes from a provider what was never owed."""
    s.w.post(ledger.unpayable(s.w.random(32), 3, "Toko Mitra", 5_000))


@fraud(I.SETTLED_ONCE)
def funds_paid_to_nobody(s: Story):
    """A settlement onto another account."""
    s.w.post(ledger.move(ledger.Kind.SETTLEMENT, s.w.random(32), "rupiah", 5_000,
                         source="funds/3", target="treasury"))  # fmt: skip


@fraud(I.SETTLED_ONCE)
def a_returned_debit_still_paid(s: Story):
    """What went back to the family is paid to the provider too."""
    card = case(s)
    tap = s.w.debit(s.one, card, SCHOOL, 1_000)
    s.w.decide(DecisionKind.RETURN, card, SCHOOL, 1_000, first=1, last=1)
    assert tap


@fraud(I.SETTLED_ONCE)
def a_written_off_debit_still_paid(s: Story):
    """What was written off is paid."""
    s.w.debit(s.one, case(s), SCHOOL, 1_000)
    s.w.decide(DecisionKind.WRITE_OFF, case(s), SCHOOL, 1_000, first=1, last=1)


@fraud(I.SETTLED_ONCE)
def paid_while_a_void_is_open(s: Story):
    """A debit in suspense stays owed."""
    tap = s.w.debit(s.one, case(s), SCHOOL, 1_000)
    open_void(s, tap.intent.sequence, case(s).sequence, on_counter=True)


@fraud(I.CONSERVATION)
def an_entry_of_an_unknown_kind(s: Story):
    """The administrator invents a kind."""
    move = ledger.move(ledger.Kind.ISSUE, s.w.random(32), "wallet-2", 5, source="a", target="b")
    s.w.post(replace(move, kind="correction"))


@fraud(I.CONSERVATION)
def one_debit_booked_twice(s: Story):
    """The same receipt, twice in the ledger."""
    s.w.post(ledger.debit(s.taps["food"].receipt.hash, 1, 1))


@fraud(I.CONSERVATION)
def a_debit_called_a_loss(s: Story):
    """A good debit is charged to nobody."""
    tap = s.w.debit(s.one, case(s), SCHOOL, 1_000, book=False)
    s.w.post(ledger.loss(tap.receipt.hash, 3, 1_000))
    s.w.payable(tap.receipt)


@fraud(I.CONSERVATION)
def an_issue_of_another_amount(s: Story):
    """The ledger books a greater step than the entitlement's."""
    at = next(n for n, (_, t) in enumerate(s.w.ledger) if t.kind == ledger.Kind.ISSUE)
    time_s, t = s.w.ledger[at]
    s.w.ledger[at] = (time_s, ledger.issue(t.evidence, 1, 5))


@fraud(I.CONSERVATION)
def a_forfeit_of_nothing(s: Story):
    """A forfeit on a hash that nobody knows."""
    s.w.post(ledger.forfeit(s.w.random(32), 1, 1))


@fraud(I.STOCK)
def received_twice(s: Story):
    """One delivery, two entries."""
    digest = s.w.deliver(s.one, BULOG, [(RICE, Unit.GRAM, 50_000)])
    line = GoodsLine(RICE, Unit.GRAM, 50_000)
    record = s.w.record(s.one, log.Stock(StockMove.RECEIVED, digest, line))
    s.w.post(ledger.stock(ledger.Kind.STOCK_IN, record.hash, RICE, 50_000,
                          terminal=s.one.name, other=f"supply/{BULOG}"))  # fmt: skip


@fraud(I.STOCK)
def stock_out_of_nowhere(s: Story):
    """Goods without a signed delivery."""
    line = GoodsLine(RICE, Unit.GRAM, 50_000)
    s.w.record(s.one, log.Stock(StockMove.RECEIVED, None, line))


@fraud(I.STOCK)
def more_went_out_than_came_in(s: Story):
    """Goods lost that were never there."""
    line = GoodsLine("gula", Unit.GRAM, 1_000)
    record = s.w.record(s.one, log.Stock(StockMove.LOST, None, line))
    s.w.post(ledger.stock(ledger.Kind.STOCK_LOSS, record.hash, "gula", -1_000,
                          terminal=s.one.name, other=f"stock-loss/{s.one.name.hex()}"))  # fmt: skip


# --- 16, 17 ------------------------------------------------------------


@fraud(I.NO_SPECIMEN)
def specimen_funds(s: Story):
    """The registry key signs under the other world."""
    signer = s.w.keys.signers[KeyRole.REGISTRY, 1]
    made = sign_object(signer, FundRelease("SP2D-S", 1, 5, 1), Environment.DEMO_SPECIMEN)
    s.w.note(IssuanceKind.OBJECT, made.hash, note="funds")
    s.w.objects["funds"].append(bytes(made))
    s.w.post(ledger.fund_release(made.hash, 1, 5))


@fraud(I.NO_SPECIMEN)
def a_training_log(s: Story):
    """A training terminal's upload under a live one's name."""
    s.w.upload(s.two)
    s.w.record(s.two, log.Boot("latihan"))
    s.w.env, env = Environment.DEMO_SPECIMEN, s.w.env
    ack = s.w.sign
    s.w.sign = lambda *_a, **_k: None
    s.w.upload(s.two)
    s.w.env, s.w.sign = env, ack


@fraud(I.CHAINED_LEDGER)
def two_hotlists_of_one_version(s: Story):
    """The policy key signs another list under an old number."""
    from pyroaring import BitMap

    s.w.sign(Hotlist(1, s.w.tick(), BitMap([77]).serialize()))


@fraud(I.CHAINED_LEDGER)
def an_entry_dated_back(s: Story):
    """An entry enters the issuance log with an earlier time."""
    s.w.note(IssuanceKind.LINK, bytes(s.w.keys.links[0]))
    s.w.issuance[-1]["time_s"] -= 10 * DAY_S


# --- 18 ------------------------------------------------------------


@fraud(I.DECREE_ROW)
def a_load_without_a_row(s: Story):
    """L rises for nothing."""
    s.w.entitle(case(s), CASH, 5, None)


@fraud(I.DECREE_ROW)
def a_row_that_is_not_there(s: Story):
    """Cites a row that no decree has."""
    s.w.entitle(case(s), CASH, 5, Citation(s.decree, 9_999))


@fraud(I.DECREE_ROW)
def another_familys_row(s: Story):
    """Cites a neighbour's row."""
    s.w.entitle(case(s), CASH, 5, Citation(s.decree, 20))


@fraud(I.DECREE_ROW)
def a_row_cited_without_a_step(s: Story):
    """Burns a row without raising L."""
    s.w.entitle(case(s), CASH, 0, Citation(s.decree, 20))


@fraud(I.DECREE_ROW)
def a_decision_that_gives_nothing(s: Story):
    """Cites a closed gap."""
    digest = s.w.decide(DecisionKind.CLOSE_GAP, case(s), CASH, 5, first=50, last=50)
    s.w.entitle(case(s), CASH, 5, Citation(digest, 0))


@fraud(I.DECREE_ROW)
def a_decision_that_is_not_there(s: Story):
    """Cites a decision nobody made."""
    s.w.entitle(case(s), CASH, 5, Citation(s.w.random(32), 0))


def _returned(s: Story) -> bytes:
    s.w.debit(s.one, case(s), SCHOOL, 1_000, deliver=False)
    return s.w.decide(DecisionKind.RETURN, case(s), SCHOOL, 1_000, first=1, last=1)


@fraud(I.DECREE_ROW)
def a_decision_about_another_card(s: Story):
    """A return goes to another family."""
    s.w.entitle(s.cards[2], SCHOOL, 1_000, Citation(_returned(s), 0))


@fraud(I.DECREE_ROW)
def more_than_the_decision(s: Story):
    """A return is loaded with a little more."""
    s.w.entitle(case(s), SCHOOL, 1_001, Citation(_returned(s), 0))


@fraud(I.DECREE_ROW)
def more_returned_than_taken(s: Story):
    """A decision returns more than its receipts took."""
    s.w.debit(s.one, case(s), SCHOOL, 1_000, deliver=False)
    s.w.decide(DecisionKind.RETURN, case(s), SCHOOL, 2_000, first=1, last=1)


@fraud(I.DECREE_ROW)
def moved_to_another_family(s: Story):
    """A residual goes to a card of another family."""
    decision = s.w.decide(DecisionKind.MOVE, case(s), CASH, 5, new=s.cards[2])
    s.w.post(ledger.reserve(decision, 2, 5))


@fraud(I.DECREE_ROW)
def a_row_on_a_neighbours_visit(s: Story):
    """The decree cites the visit to another family."""
    from tests.support.audit_frauds_use import _annex

    row = DecreeRow(1, s.families[1], 1, 4, _annex(s)[0].verification)
    s.w.sign(DecreeAnnex("SK-8", 20260303, "Gubernur", (row,)))


# --- 19 ------------------------------------------------------------


@fraud(I.ISSUANCE_LOG)
def a_card_without_an_order(s: Story):
    """The key service certifies without a signed order."""
    s.w.card(s.families[7], s.decree, 22)
    entry = s.w.issuance[-1]
    entry["order"] = bytes(32)


@fraud(I.ISSUANCE_LOG)
def a_card_for_another_than_ordered(s: Story):
    """The log names another family than the order."""
    s.w.card(s.families[7], s.decree, 22)
    s.w.issuance[-1]["family"] = s.families[6]


@fraud(I.ISSUANCE_LOG)
def two_cards_of_one_order(s: Story):
    """An order used again after its card was put on the hotlist."""
    first = s.w.card(s.families[7], s.decree, 22)
    order = s.w.issuance[-1]["order"]
    s.w.hotlist(first)
    s.w.card(s.families[7], s.decree, 22)
    s.w.issuance[-1]["order"] = order


@fraud(I.ISSUANCE_LOG)
def a_second_certificate_of_one_card(s: Story):
    """The same number certified again."""
    card = case(s)
    cert = ca.issue_card_certificate(
        s.w.keys.issuer(KeyRole.CARD_CA), serial=77, card_id=card.card_id,
        channel_key=P256KeyAgreement.generate(s.w.random).public_key,
        receipt_key=P256Signer.generate(s.w.random).public_key, now_s=s.w.now_s,
    )  # fmt: skip
    s.w.note(IssuanceKind.CARD_CERTIFICATE, bytes(cert), family=card.family, order=bytes(32))


@fraud(I.ISSUANCE_LOG)
def a_station_enrolled_twice(s: Story):
    """A second log key under a terminal's name."""
    key = Ed25519Signer.generate(s.w.random).public_key
    s.w.sign(Enrolment(s.one.name, StationKind.TERMINAL, key, "*", "Lain", s.w.tick()))


@fraud(I.ISSUANCE_LOG)
def a_terminal_kept_out_of_the_log(s: Story):
    """The registry and the terminal CA make a terminal that the log does not hold."""
    key = Ed25519Signer.generate(s.w.random)
    shape = Enrolment(b"HANTU001", StationKind.TERMINAL, key.public_key, "*", "Hantu", s.w.tick())
    digest = s.w.sign(shape, logged=False)
    from tests.support.audit_people import SoftStation

    ghost = SoftStation(b"HANTU001", "Hantu", key, digest)
    request = StationRequest.make(s.w.env, ghost.name, StationKind.TERMINAL, key,
                                  P256KeyAgreement.generate(s.w.random))  # fmt: skip
    s.w.certify(ghost, request, cvc.Role.TERMINAL, 0, logged=False)
    tap = s.w.debit(ghost, case(s), SCHOOL, 1_000, pay=False)
    s.w.record(s.one, log.Collected(bytes(tap.receipt)))


@fraud(I.ISSUANCE_LOG)
def a_bundle_kept_out_of_the_log(s: Story):
    """A terminal installs what the log does not hold."""
    s.w.record(s.one, log.Sync(1, 999, s.w.random(32), s.w.hotlist_version, ()))


@fraud(I.ISSUANCE_LOG)
def an_entitlement_of_a_card_nobody_certified(s: Story):
    """The issuer key signs for a card without a certificate."""
    ghost = replace(case(s).clone(), card_id=s.w.env.mark + b"\xff\xff\xff\xff", issued={})
    s.w.entitle(ghost, CASH, 5, None, book=False)


@fraud(I.ISSUANCE_LOG)
def a_script_kept_out_of_the_log(s: Story):
    """The issuer key unblocks a card, and nobody enters it."""
    from wire.entitlement import ScriptAction

    s.w.script(s.one, case(s), ScriptAction.PIN_UNBLOCK)
    s.w.issuance = [e for e in s.w.issuance if e["kind"] != IssuanceKind.SCRIPT
                    or e["item"][5:13] != case(s).card_id]  # fmt: skip
    case(s).scripts = 0
