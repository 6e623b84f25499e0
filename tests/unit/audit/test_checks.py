"""One test for each check of the auditor that no fraud of the campaign needs."""

from __future__ import annotations

from backend import ledger
from backend.audit.facts import Fact
from backend.audit.rules import judge
from keys.signer import Ed25519Signer, P256Signer
from tests.support.audit_frauds_more import an_upload_under_another_key
from tests.support.audit_people import SoftStation
from tests.support.audit_province import UNITS
from tests.support.audit_story import BULOG, CASH, Story, early_move, tell
from tests.support.audit_world import OIL, AuditWorld
from wire import log
from wire.log import StockMove
from wire.objects import (
    DecreeAnnex,
    DecreeRow,
    FieldVerification,
    GoodsLine,
    KeyRole,
    Unit,
    VerificationDecision,
)

SUGAR = GoodsLine("gula", Unit.GRAM, 1_000)


def facts(s: Story) -> list[Fact]:
    """What is found."""
    return [f.what.fact for f in judge(s.w.audited())]


def lose(w: AuditWorld, station: SoftStation, line: GoodsLine) -> None:
    """Goods are lost, recorded and booked."""
    record = w.record(station, log.Stock(StockMove.LOST, None, line))
    other = f"stock-loss/{station.name.hex()}"
    w.post(ledger.stock(ledger.Kind.STOCK_LOSS, record.hash, line.good, -line.quantity,
                        terminal=station.name, other=other))  # fmt: skip


def test_a_reserve_that_waits_for_a_station_set_aside_is_not_judged() -> None:
    s = tell()
    an_upload_under_another_key(s)
    early_move(s)
    assert facts(s) == [Fact.BAD_FORM]


def test_a_shelf_of_which_records_are_set_aside_is_not_judged() -> None:
    s = tell()
    w, two = s.w, s.two
    w.upload(two)
    lose(w, two, GoodsLine(OIL, Unit.MILLILITRE, 500))
    w.shelf(two)[OIL] -= 500
    two.log_key, own = Ed25519Signer.generate(w.random), two.log_key
    w.upload(two)
    two.log_key = own
    lines = tuple(GoodsLine(g, UNITS[g], n) for g, n in sorted(w.shelf(two).items()))
    w.record(two, log.Checkpoint(0, lines))
    assert set(facts(s)) == {Fact.BAD_FORM}


def test_what_came_without_a_delivery_is_listed_once_when_it_goes_out() -> None:
    s = tell()
    s.w.record(s.one, log.Stock(StockMove.RECEIVED, None, SUGAR))
    lose(s.w, s.one, SUGAR)
    assert facts(s) == [Fact.NO_DELIVERY]


def test_a_shelf_may_be_emptied() -> None:
    s = tell()
    s.w.deliver(s.one, BULOG, [(SUGAR.good, SUGAR.unit, SUGAR.quantity)])
    lose(s.w, s.one, SUGAR)
    assert facts(s) == []


def test_goods_handed_over_on_a_receipt_set_aside_are_listed_with_it() -> None:
    s = tell()
    w, card = s.w, s.cards[5].clone()
    tap = w.debit(s.one, card, CASH, 50_000, key=P256Signer.generate(w.random), book=False)
    w.hand(ledger.Kind.HANDED, s.one, tap.delivered, CASH, 50_000, sign=1)
    assert facts(s) == [Fact.BAD_SIGNATURE]


def test_what_a_shelf_set_aside_should_have_in_the_ledger_is_not_asked() -> None:
    s = tell()
    line = GoodsLine(OIL, Unit.MILLILITRE, 500)
    s.w.record(s.two, log.Stock(StockMove.LOST, None, line))
    an_upload_under_another_key(s)
    assert facts(s) == [Fact.BAD_FORM]


def test_a_decree_on_a_visit_set_aside_is_listed_with_the_visit() -> None:
    s = tell()
    family = s.families[1]
    verified = VerificationDecision.VERIFIED
    visit = s.w.sign(
        FieldVerification(family, 11, s.w.tick(), verified, "", bytes(32), 12),
        role=KeyRole.POLICY,
    )
    s.w.sign(DecreeAnnex("SK-8", 20260303, "Gubernur", (DecreeRow(1, family, 1, 4, visit),)))
    assert facts(s) == [Fact.UNKNOWN_KEY]
