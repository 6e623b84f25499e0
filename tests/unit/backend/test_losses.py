"""Lost cards and terminals, decisions, goods: nothing paid twice, nothing silent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.audit.verify import verify
from backend.errors import BackendError, ReserveError
from tests.support.backend_world import CASH, DESK, FOOD, BackendWorld, SoftCard, SoftStation
from tests.unit.backend.test_ingest import findings, held, payables
from wire import log
from wire.bundle import Why
from wire.entitlement import Script, ScriptAction
from wire.objects import DecisionKind, GoodsLine, Unit
from wire.receipt import StatementKind

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
    with ready.office.db.read() as session:
        from backend.models import Plan

        plans = [json.loads(p.plan) for p in session.exec(__import__("sqlmodel").select(Plan))]
    for plan in plans:
        plan["version"], plan["provisional"] = 2, 5
    ready.office.import_programmes(json.dumps({"programmes": plans}).encode())
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
