"""Lost cards and terminals, decisions, goods: nothing paid twice, nothing silent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from backend import ledger
from backend.audit.page import page
from backend.audit.verify import verify
from backend.errors import BackendError, ConflictError, ReserveError
from backend.models import Plan
from keys.enrol import OfficerRequest
from keys.signer import P256KeyAgreement
from tests.support.backend_world import CASH, DESK, ENV, FOOD, BackendWorld, SoftCard, SoftStation
from tests.unit.backend.test_admit import drafts, orphans
from tests.unit.backend.test_entitle import another_round
from tests.unit.backend.test_ingest import findings, held, payables
from wire import log
from wire.bundle import Why
from wire.cvc import Certificate, Role
from wire.entitlement import Script, ScriptAction
from wire.log import Record
from wire.objects import DecisionKind, GoodsLine, Unit
from wire.receipt import Receipt, ReceiptKind, StatementKind

RICE, OIL, SUGAR = (
    GoodsLine("beras", Unit.GRAM, 500_000),
    GoodsLine("minyak", Unit.MILLILITRE, 100_000),
    GoodsLine("gula", Unit.GRAM, 100_000),
)


@pytest.fixture
def card(ready: BackendWorld) -> SoftCard:
    return next(c for c in ready.cards(10) if {CASH, FOOD} <= c.wallets.keys())


def clean(world: BackendWorld) -> None:
    """Paid up, both differences zero, the ledger says what the objects say."""
    world.office.settle()
    report = world.office.report()
    assert (report["difference_minor"], report["goods_difference"]) == (0, 0)
    assert report["ledger"] == []


def replacement(world: BackendWorld, card: SoftCard) -> SoftCard:
    assert world.office.lost_card(card.card_id, DESK) == 1
    (raw,) = [o for o in world.office.orders(DESK) if card.card_id in o]
    return world.issue(raw)


def test_a_lost_card_is_blocked_and_its_residual_waits_for_every_terminal(
    ready: BackendWorld, card: SoftCard
) -> None:
    first, second = ready.terminal(b"TERM0001"), ready.terminal(b"TERM0002")
    first.debit(card, CASH, 50_000)
    first.send()
    new = replacement(ready, card)
    with pytest.raises(ReserveError):
        ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="hilang")
    for terminal in (first, second):
        bundle = terminal.sync()
        entry = next(e for e in bundle.cards if e.card_id == card.card_id)
        assert Script.parse(entry.scripts[-1]).action == ScriptAction.BLOCK
        assert {n.why for n in entry.notes} == {Why.REPLACED}
    first.send()
    assert ready.office.reserve(card.card_id)["waiting_for"] == [second.name.hex()]
    second.send()
    assert ready.office.reserve(card.card_id) == {
        "exposure": {FOOD: 1, CASH: 200_000}
        | {w: ready.office.reserve(card.card_id)["exposure"][w] for w in card.wallets},
        "waiting_for": [],
    }
    with pytest.raises(ReserveError):
        ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="hilang",
                          amount=200_001)  # fmt: skip
    ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="hilang")
    with pytest.raises(ReserveError):
        ready.office.move(card.card_id, new.card_id, CASH, number="K-2", reason="hilang")
    ready.office.entitle()
    ready.load(new)
    assert new.wallets[CASH].loaded == 200_000
    first.debit(new, CASH, 200_000)
    first.send()
    assert findings(ready) == []
    clean(ready)


def test_a_late_debit_after_the_move_is_a_recorded_loss(
    ready: BackendWorld, card: SoftCard
) -> None:
    lost = ready.terminal(b"TERM0002")
    lost.send()
    new = replacement(ready, card)
    ready.office.lost_terminal(lost.name, "hanyut")
    ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="hilang")
    ready.office.entitle()
    ready.load(new)
    _, receipt = lost.debit(card, CASH, 30_000)
    other = ready.terminal(b"TERM0001")
    other.add(log.Collected(bytes(receipt)))
    other.send()
    assert held(ready)[card.card_id.hex(), 1] == "loss,terminal-lost"
    assert payables(ready) == 0
    clean(ready)


def test_a_pending_intent_keeps_the_reserve(ready: BackendWorld, card: SoftCard) -> None:
    terminal = ready.terminal(b"TERM0001")
    intent = terminal.intent(card, CASH, 1000)
    terminal.add(log.Pending(intent.sequence))
    new = replacement(ready, card)
    terminal.sync((intent.sequence,))
    terminal.send()
    assert ready.office.reserve(card.card_id)["waiting_for"] == [terminal.name.hex()]
    with pytest.raises(ReserveError):
        ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="hilang")
    terminal.add(log.Aborted(intent.sequence, 0, None))
    terminal.sync()
    terminal.send()
    assert ready.office.reserve(card.card_id)["waiting_for"] == []


def test_a_provisional_amount_moves_before_the_reserve_clears(
    ready: BackendWorld, card: SoftCard
) -> None:
    ready.terminal(b"TERM0001").send()
    new = replacement(ready, card)
    provisional(ready, 5)
    with pytest.raises(ReserveError):
        ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="x", amount=6)
    ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="x", amount=5)
    with pytest.raises(ReserveError):
        ready.office.move(card.card_id, new.card_id, CASH, number="K-2", reason="x", amount=1)
    clean(ready)


def test_a_lost_terminals_receipts_come_home_and_are_paid_by_decision(
    ready: BackendWorld, card: SoftCard
) -> None:
    lost, other = ready.terminal(b"TERM0001"), ready.terminal(b"TERM0002")
    lost.debit(card, CASH, 10_000)
    lost.send()
    _, receipt = lost.debit(card, CASH, 20_000)
    closed = ready.office.lost_terminal(lost.name, "folder dihapus")
    assert closed.last == len(lost.records) - 3
    other.add(log.Collected(bytes(receipt)))
    other.send()
    assert held(ready)[card.card_id.hex(), 2] == "terminal-lost"
    assert payables(ready) == 10_000
    clean(ready)
    ready.office.decide(DecisionKind.PAY, card.card_id, CASH, first=2, last=2, amount=20_000,
                        number="K-9", reason="dibayar")  # fmt: skip
    assert payables(ready) == 20_000
    clean(ready)
    assert findings(ready) == []


def test_a_debit_not_served_returns_to_the_family(ready: BackendWorld, card: SoftCard) -> None:
    terminal = ready.terminal(b"TERM0001")
    terminal.debit(card, CASH, 10_000, deliver=False)
    terminal.send()
    with pytest.raises(BackendError):
        ready.office.decide(DecisionKind.RETURN, card.card_id, CASH, first=1, last=1,
                            amount=10_001, number="K-0", reason="x")  # fmt: skip


def test_returned_value_is_loaded_again_and_never_payable(
    ready: BackendWorld, card: SoftCard
) -> None:
    terminal = ready.terminal(b"TERM0001")
    terminal.debit(card, CASH, 10_000, deliver=False)
    terminal.send()
    ready.office.decide(DecisionKind.RETURN, card.card_id, CASH, first=1, last=1, amount=10_000,
                        number="K-1", reason="tidak dilayani")  # fmt: skip
    ready.office.decide(DecisionKind.PAY, card.card_id, CASH, first=1, last=1, amount=10_000,
                        number="K-2", reason="keliru")  # fmt: skip
    assert payables(ready) == 0
    ready.office.entitle()
    ready.load(card)
    assert card.wallets[CASH].loaded == 260_000
    clean(ready)


def test_a_gap_closed_by_decision_lets_the_prefix_go_on(
    ready: BackendWorld, card: SoftCard
) -> None:
    lost, terminal = ready.terminal(b"TERM0001"), ready.terminal(b"TERM0002")
    lost.debit(card, CASH, 1000)
    terminal.debit(card, CASH, 2000)
    terminal.send()
    assert len(ready.office.report()["gaps"]) == 1
    ready.office.decide(DecisionKind.CLOSE_GAP, card.card_id, CASH, first=1, last=1, amount=0,
                        number="K-1", reason="rusak")  # fmt: skip
    assert ready.office.report()["gaps"] == []
    ready.office.entitle()
    ready.load(card)
    assert card.entitlements[CASH].acknowledged == 2
    assert card.entitlements[CASH].settled_debited == 3000


def deliver(world: BackendWorld, terminal: SoftStation, *lines: GoodsLine) -> bytes:
    data = {"deliveries": [{
        "number": f"SJ-{terminal.name.decode()}", "provider": "Perum Bulog",
        "terminal": terminal.name.hex(), "time_s": world.clock(),
        "lines": [{"good": x.good, "unit": "g" if x.unit == Unit.GRAM else "ml",
                   "quantity": x.quantity} for x in lines],
    }]}  # fmt: skip
    world.office.import_deliveries(json.dumps(data).encode())
    from backend import objects
    from wire.objects import StockDelivery

    with world.office.db.read() as session:
        return objects.payloads_of(session, StockDelivery)[-1][0]


def test_goods_add_up_to_the_gram(ready: BackendWorld, card: SoftCard) -> None:
    terminal = ready.terminal(b"TERM0001")
    delivery = deliver(ready, terminal, RICE, OIL, SUGAR)
    for line in (RICE, OIL, SUGAR):
        terminal.receive(delivery, line)
    debit, receipt = terminal.debit(card, FOOD, 1)
    terminal.void(card, debit, receipt, on_counter=True)
    terminal.debit(card, FOOD, 1)
    terminal.add(log.Stock(log.StockMove.COUNTED, None, GoodsLine("beras", Unit.GRAM, 494_000)))
    terminal.add(log.Stock(log.StockMove.LOST, None, GoodsLine("gula", Unit.GRAM, 9_000)))
    terminal.send()
    clean(ready)
    lines = {g["good"]: g for g in ready.office.report()["goods"]}
    assert (lines["beras"]["handed"], lines["beras"]["loss"]) == (5_000, 1_000)
    assert (lines["gula"]["left"], lines["gula"]["loss"]) == (90_000, 9_000)
    terminal.add(log.Checkpoint(0, (GoodsLine("beras", Unit.GRAM, 493_999), OIL, SUGAR)))
    terminal.send()
    assert ready.office.report()["goods_difference"] > 0


def test_stock_without_a_signed_delivery_is_a_finding(ready: BackendWorld, card: SoftCard) -> None:
    terminal = ready.terminal(b"TERM0001")
    terminal.receive(bytes(32), RICE)
    terminal.send()
    assert findings(ready) == [15]


def test_a_lost_terminals_stock_goes_to_a_loss_account(ready: BackendWorld, card: SoftCard) -> None:
    terminal = ready.terminal(b"TERM0001")
    delivery = deliver(ready, terminal, RICE)
    terminal.receive(delivery, RICE)
    terminal.send()
    ready.office.lost_terminal(terminal.name, "terbakar")
    (line,) = ready.office.report()["goods"]
    assert (line["left"], line["loss"], line["difference"]) == (0, 500_000, 0)


def test_what_comes_after_terminal_lost_changes_what_is_lost(
    ready: BackendWorld, card: SoftCard, tmp_path: Path
) -> None:
    """A stick sent before the terminal drowned: auditor and backend say the same, and zero."""
    terminal = ready.terminal(b"TERM0001")
    rice = deliver(ready, terminal, RICE, OIL, SUGAR)
    for line in (RICE, OIL):
        terminal.receive(rice, line)
    terminal.send()
    terminal.debit(card, FOOD, 1)
    terminal.receive(rice, SUGAR)
    terminal.add(log.Stock(log.StockMove.COUNTED, None, GoodsLine("beras", Unit.GRAM, 494_000)))
    terminal.add(log.Stock(log.StockMove.LOST, None, GoodsLine("gula", Unit.GRAM, 9_000)))
    terminal.add(log.Stock(log.StockMove.SENT_BACK, rice, GoodsLine("gula", Unit.GRAM, 1_000)))
    left = (GoodsLine("beras", Unit.GRAM, 494_000), GoodsLine("gula", Unit.GRAM, 89_000),
            GoodsLine("minyak", Unit.MILLILITRE, 99_000))  # fmt: skip
    terminal.add(log.Checkpoint(0, left))
    ready.office.lost_terminal(terminal.name, "hanyut")
    terminal.send()
    clean(ready)
    ready.office.export(tmp_path / "export")
    (tmp_path / "trust.cbor").write_bytes(bytes(ready.keys.trust))
    audited = verify(tmp_path / "export", tmp_path / "trust.cbor", allow_demo=True)
    assert audited.findings == []
    assert audited.goods_difference == 0
    mine = {g.good: (g.delivered, g.handed, g.left, g.loss) for g in audited.goods}
    assert mine == {
        g["good"]: (g["delivered"], g["handed"], g["left"], g["loss"])
        for g in ready.office.report()["goods"]
    }
    assert mine["beras"] == (500_000, 5_000, 0, 495_000)


def test_a_pending_intent_is_resolved_through_the_bundle(
    ready: BackendWorld, card: SoftCard
) -> None:
    terminal, other = ready.terminal(b"TERM0001"), ready.terminal(b"TERM0002")
    intent, receipt = terminal.debit(card, CASH, 1000, record=False)
    terminal.add(log.Pending(intent.sequence))
    terminal.send()
    other.add(log.Collected(bytes(receipt)))
    other.send()
    entry = next(e for e in terminal.sync().cards if e.card_id == card.card_id)
    assert entry.resolved == (bytes(receipt),)


def test_statements_raise_what_the_bundle_says_is_known(
    ready: BackendWorld, card: SoftCard
) -> None:
    terminal = ready.terminal(b"TERM0001")
    ready.office.block({card.card_id})
    (raw,) = next(e for e in terminal.sync().cards if e.card_id == card.card_id).scripts
    card.scripts = 1
    statement = card.statement(StatementKind.SCRIPT, terminal.name, number=1)
    terminal.add(log.ScriptDone(Script.parse(raw).hash, bytes(statement)))
    terminal.send()
    entry = next(e for e in terminal.sync().cards if e.card_id == card.card_id)
    assert (entry.script_count, entry.scripts) == (1, ())


def test_a_delta_holds_only_what_changed(ready: BackendWorld, card: SoftCard) -> None:
    terminal = ready.terminal(b"TERM0001")
    assert terminal.bundle is not None
    full = terminal.bundle
    terminal.debit(card, CASH, 1000)
    terminal.send()
    ready.office.entitle()
    raw = ready.office.bundle(terminal.name, (full.epoch, full.counter))
    assert raw is not None
    delta = terminal.install(raw)
    assert (delta.base, delta.counter) == (full.counter, full.counter + 1)
    assert [e.card_id for e in delta.cards] == [card.card_id]
    assert ready.office.bundle(terminal.name, (delta.epoch, delta.counter)) is None


def provisional(world: BackendWorld, amount: int) -> None:
    """Let this much of each lost card's residual move at once."""
    with world.office.db.read() as session:
        plans = [json.loads(p.plan) for p in session.exec(select(Plan))]
    for plan in plans:
        plan["version"], plan["provisional"] = 2, amount
    world.office.import_programmes(json.dumps({"programmes": plans}).encode())


def audited(world: BackendWorld, folder: Path) -> set[int]:
    """What the auditor finds in the export, which must agree with the backend.

    Nobody delivered the cash that is handed out here, which is 15 and no matter of these tests.
    """
    world.office.settle()
    report = world.office.report()
    assert (report["difference_minor"], report["ledger"]) == (0, [])
    folder.mkdir()
    (folder / "trust.cbor").write_bytes(bytes(world.keys.trust))
    world.office.export(folder / "export")
    audit = verify(folder / "export", folder / "trust.cbor", allow_demo=True)
    assert audit.difference_minor == 0
    return {int(f.invariant) for f in audit.findings} - {15}


def supervisor(terminal: SoftStation) -> int:
    """The serial of officer 7's certificate there."""
    channel = P256KeyAgreement.generate(terminal.world.random)
    wish = OfficerRequest.make(ENV, terminal.name, Role.SUPERVISOR, 7, channel)
    return Certificate.parse(terminal.world.office.certify_officer(wish)).serial


def supervised_void(
    terminal: SoftStation, card: SoftCard, debit: Record, receipt: Receipt, *, serial: int,
    on_counter: bool,
) -> Receipt:  # fmt: skip
    """A void by a certified supervisor, as the auditor wants it."""
    officer = 7
    void = terminal.add(log.VoidIntent(debit.sequence, card.card_id, card.sequence, serial, officer,
                                       on_counter, "salah tekan"))  # fmt: skip
    made = card.receipt(ReceiptKind.REVERSAL, terminal.name, void, receipt.wallet, receipt.amount,
                        terminal_serial=serial, officer=officer)  # fmt: skip
    terminal.add(log.Receipted(void.sequence, bytes(made)))
    if on_counter:
        terminal.add(log.Returned(void.sequence))
    return made


def balances(world: BackendWorld, account: str) -> int:
    with world.office.db.read() as session:
        return ledger.balance(session, f"{account}/{0x0102}", f"wallet-{0x0102}")


def test_a_late_debit_costs_at_most_what_was_moved_provisionally(
    ready: BackendWorld, card: SoftCard, tmp_path: Path
) -> None:
    """The old card spends its whole residual where the block is not known: 5 are lost, no more."""
    terminal = ready.terminal(b"TERM0001")
    terminal.send()
    new = replacement(ready, card)
    provisional(ready, 5)
    ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="x", amount=5)
    debit, receipt = terminal.debit(card, CASH, 250_000)
    terminal.send()
    assert held(ready)[card.card_id.hex(), 1] == "loss"
    assert (balances(ready, "loss"), balances(ready, "redeemed")) == (5, 249_995)
    assert ready.office.reserve(card.card_id)["exposure"][CASH] == 0
    with pytest.raises(ReserveError):  # nothing is left for a second benefit
        ready.office.move(card.card_id, new.card_id, CASH, number="K-2", reason="x", amount=1)
    assert audited(ready, tmp_path / "before") == set()
    serial = supervisor(terminal)
    supervised_void(terminal, card, debit, receipt, serial=serial, on_counter=True)
    terminal.send()
    assert (balances(ready, "loss"), balances(ready, "redeemed")) == (0, 0)
    assert ready.office.reserve(card.card_id)["exposure"][CASH] == 249_995
    assert audited(ready, tmp_path / "after") == set()


@pytest.mark.parametrize("together", [False, True])
def test_a_late_debit_that_comes_home_after_its_reversal_loses_nothing(
    ready: BackendWorld, card: SoftCard, tmp_path: Path, together: bool
) -> None:
    lost, other = ready.terminal(b"TERM0002"), ready.terminal(b"TERM0001")
    serial = supervisor(lost)
    lost.send()
    new = replacement(ready, card)
    ready.office.lost_terminal(lost.name, "hanyut")
    other.sync()
    other.send()
    ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="hilang")
    debit, receipt = lost.debit(card, CASH, 30_000, deliver=False)
    reversal = supervised_void(lost, card, debit, receipt, serial=serial, on_counter=False)
    other.add(log.Collected(bytes(reversal)))
    if not together:
        other.send()
    other.add(log.Collected(bytes(receipt)))
    other.send()
    assert (balances(ready, "loss"), balances(ready, "redeemed")) == (0, 0)
    assert audited(ready, tmp_path / "a") == set()


def test_what_is_entitled_later_does_not_undo_a_loss(
    ready: BackendWorld, card: SoftCard, tmp_path: Path
) -> None:
    """A broken chip draws above its right; the next round is judged as of its own arrival."""
    terminal = ready.terminal(b"TERM0001")
    terminal.debit(card, CASH, 250_000)
    card.wallets[CASH] = replace(card.wallets[CASH], loaded=270_000)
    terminal.debit(card, CASH, 20_000)
    terminal.send()
    assert (balances(ready, "loss"), balances(ready, "redeemed")) == (20_000, 250_000)
    another_round(ready, 12)
    assert (balances(ready, "loss"), balances(ready, "redeemed")) == (20_000, 250_000)
    assert audited(ready, tmp_path / "a") == {6}


class Meanwhile:
    """Two people, or a key service, while whose one answer something else happens."""

    def __init__(self, real: Any, verb: str, happens: Callable[[], object]) -> None:
        self.real, self.verb, self.happens = real, verb, happens

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            made = getattr(self.real, name)(*arguments)
            if name == self.verb:
                self.verb = ""
                self.happens()
            return made

        return call


def late_goods(ready: BackendWorld, card: SoftCard) -> SoftStation:
    """A terminal with goods; after what it sent, everything that can happen to them."""
    terminal = ready.terminal(b"TERM0001")
    rice = deliver(ready, terminal, RICE, OIL, SUGAR)
    terminal.receive(rice, RICE)
    terminal.receive(rice, OIL)
    terminal.send()
    debit, receipt = terminal.debit(card, FOOD, 1)
    serial = supervisor(terminal)
    supervised_void(terminal, card, debit, receipt, serial=serial, on_counter=True)
    terminal.receive(rice, SUGAR)
    terminal.add(log.Stock(log.StockMove.COUNTED, None, GoodsLine("beras", Unit.GRAM, 494_000)))
    terminal.add(log.Stock(log.StockMove.LOST, None, GoodsLine("gula", Unit.GRAM, 9_000)))
    terminal.add(log.Stock(log.StockMove.SENT_BACK, rice, GoodsLine("gula", Unit.GRAM, 1_000)))
    terminal.debit(card, FOOD, 1)
    return terminal


def test_an_upload_while_the_terminal_is_being_closed_is_not_written_off_twice(
    ready: BackendWorld, card: SoftCard, tmp_path: Path
) -> None:
    """It comes between the signature and its answer: the shelf is closed as it was at ``last``."""
    terminal = late_goods(ready, card)
    sent = ready.office.report()["uploads"]["accepted"]
    ready.office.keys = Meanwhile(ready.service, "sign_registry", terminal.send)
    closed = ready.office.lost_terminal(terminal.name, "hanyut")
    assert ready.office.report()["uploads"]["accepted"] == sent + 1
    assert closed.last < len(terminal.records)
    assert payables(ready) == 0  # the late debit is for a decision
    assert held(ready)[card.card_id.hex(), 3] == "terminal-lost"
    clean(ready)
    report = ready.office.report()
    assert all(g["left"] == g["difference"] == 0 for g in report["goods"])
    ready.office.export(tmp_path / "export")
    (tmp_path / "trust.cbor").write_bytes(bytes(ready.keys.trust))
    made = verify(tmp_path / "export", tmp_path / "trust.cbor", allow_demo=True)
    assert made.findings == []
    assert {g.good: (g.delivered, g.handed, g.left, g.loss) for g in made.goods} == {
        g["good"]: (g["delivered"], g["handed"], g["left"], g["loss"]) for g in report["goods"]
    }


def test_a_terminal_is_not_closed_when_more_came_while_two_people_thought(
    ready: BackendWorld, card: SoftCard
) -> None:
    """Nothing is signed, the draft is gone, and the job run again closes at the new end."""
    terminal = late_goods(ready, card)
    ready.office.authority = Meanwhile(ready.office.authority, "allow", terminal.send)
    with pytest.raises(ConflictError):
        ready.office.lost_terminal(terminal.name, "hanyut")
    assert (orphans(ready), drafts(ready, "terminal-lost")) == ([], 0)
    assert ready.office.lost_terminal(terminal.name, "hanyut").last == len(terminal.records)
    clean(ready)


def test_a_move_is_not_signed_when_a_debit_came_while_two_people_thought(
    ready: BackendWorld, card: SoftCard
) -> None:
    terminal = ready.terminal(b"TERM0001")
    new = replacement(ready, card)
    terminal.debit(card, CASH, 1000)
    terminal.sync()
    terminal.send(1, len(terminal.records))
    terminal.add(log.Boot("betang"))
    debit, _ = terminal.debit(card, CASH, 1000)
    ready.office.authority = Meanwhile(ready.office.authority, "allow", terminal.send)
    with pytest.raises(ReserveError):
        ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="x")
    assert debit.sequence < len(terminal.records)
    assert (orphans(ready), drafts(ready, "decision")) == ([], 0)
    ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="x")
    clean(ready)


@pytest.mark.parametrize("decided", [DecisionKind.PAY, DecisionKind.RETURN])
def test_a_debit_after_the_block_lessens_the_residual_until_it_is_decided(
    ready: BackendWorld, card: SoftCard, tmp_path: Path, decided: DecisionKind
) -> None:
    """A terminal that knew took 1,000 all the same: it is not owed, and the card has it no more.

    Paid by decision it costs the programme once; returned by decision it moves with the rest.
    """
    terminal = ready.terminal(b"TERM0001")
    new = replacement(ready, card)
    terminal.sync()
    terminal.debit(card, CASH, 1000)
    terminal.send()
    assert held(ready)[card.card_id.hex(), 1] == "blocked"
    assert (payables(ready), balances(ready, "loss")) == (0, 0)
    assert ready.office.reserve(card.card_id)["exposure"][CASH] == 249_000
    with pytest.raises(ReserveError):
        ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="x",
                          amount=249_001)  # fmt: skip
    ready.office.decide(decided, card.card_id, CASH, first=1, last=1, amount=1000, number="K-2",
                        reason="x")  # fmt: skip
    ready.office.entitle()
    is_returned = decided == DecisionKind.RETURN
    ready.office.move(card.card_id, new.card_id, CASH, number="K-3", reason="x")
    ready.office.entitle()
    ready.load(new)
    assert new.wallets[CASH].loaded == (250_000 if is_returned else 249_000)
    assert payables(ready) == (0 if is_returned else 1000)
    assert audited(ready, tmp_path / "a") == {12}


def test_a_receipt_with_a_partial_loss_is_held_whole_until_it_is_decided(
    ready: BackendWorld, card: SoftCard, tmp_path: Path
) -> None:
    terminal = ready.terminal(b"TERM0001")
    terminal.send()
    new = replacement(ready, card)
    provisional(ready, 5)
    ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="x", amount=5)
    terminal.debit(card, CASH, 250_000)
    terminal.send()
    (line,) = ready.office.report()["held"]
    assert (line["amount"], line["lost"], line["why"]) == (250_000, 5, ["loss"])
    assert payables(ready) == 0
    ready.office.export(tmp_path / "export")
    (tmp_path / "trust.cbor").write_bytes(bytes(ready.keys.trust))
    report = verify(tmp_path / "export", tmp_path / "trust.cbor", allow_demo=True)
    (theirs,) = report.to_json()["held"]
    assert (theirs["amount_minor"], theirs["lost"], theirs["why"]) == (250_000, 5, ["loss"])
    (shown,) = [x for x in page(report, "en").splitlines() if "Rp250,000, TERM0001" in x]
    assert "recorded loss" in shown
    (bank,) = [p for p in report.providers if p.held_minor]
    assert (bank.redeemed_minor, bank.held_minor, bank.payable_minor) == (249_995, 249_995, 0)
    ready.office.decide(DecisionKind.PAY, card.card_id, CASH, first=1, last=1, amount=250_000,
                        number="K-2", reason="x")  # fmt: skip
    assert (payables(ready), ready.office.report()["held"]) == (250_000, [])
    assert audited(ready, tmp_path / "b") == set()
