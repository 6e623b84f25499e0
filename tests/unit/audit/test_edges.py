"""Ages, revocations, losses, closed gaps: what is no finding, or only later."""

from __future__ import annotations

from dataclasses import replace

from backend import ledger
from backend.audit.build import build
from backend.audit.facts import Fact
from backend.audit.page import page
from backend.audit.report import Report, make
from backend.audit.rules import judge
from keys.hierarchy import Heads
from tests.support.audit_frauds import FRAUDS
from tests.support.audit_story import CASH, FOOD, SCHOOL, Story, early_move, enrol, tell
from tests.support.audit_world import DAY_S, OIL, RICE, RUPIAH, AuditWorld, SoftCard
from tests.support.fraud_reports import ONE_WORKER
from wire import log
from wire.chain import TrustFile
from wire.entitlement import ScriptAction
from wire.invariants import Invariant
from wire.log import StockMove
from wire.objects import DecisionKind, GoodsLine, KeyRole, LedgerHead, Unit
from wire.receipt import ReceiptKind


def verdict(s: Story) -> set[Invariant]:
    return {f.invariant for f in judge(s.w.audited())}


def alerts(s: Story) -> set[str]:
    return {a.kind for a in make(s.w.audited()).alerts}


def test_a_young_gap_is_an_alert() -> None:
    s = tell()
    s.w.debit(s.two, s.cards[5], CASH, 1_000, record=False, book=False)
    s.w.debit(s.one, s.cards[5], CASH, 1_000)
    assert verdict(s) == set()
    assert "gap" in alerts(s)


def test_a_gap_closed_by_decision_is_none() -> None:
    s = tell()
    s.w.debit(s.two, s.cards[5], CASH, 1_000, record=False, book=False)
    s.w.debit(s.one, s.cards[5], CASH, 1_000)
    s.w.decide(DecisionKind.CLOSE_GAP, s.cards[5], CASH, 0, first=1, last=1)
    s.w.tick(40 * DAY_S)
    assert verdict(s) == set()


def test_a_missing_receipt_in_which_r_steps_is_the_reversal_before_it() -> None:
    s = tell()
    card = s.cards[5]
    tap = s.w.debit(s.one, card, SCHOOL, 2_000, deliver=False)
    void = s.w.record(s.one, log.VoidIntent(tap.intent.sequence, card.card_id, card.sequence, 1,
                                            41, False, "salah"))  # fmt: skip
    s.w.receipt(s.one, card, ReceiptKind.REVERSAL, void, SCHOOL, 2_000, officer=41)
    s.w.record(s.one, log.Pending(void.sequence))
    s.w.debit(s.one, card, SCHOOL, 1_000)
    s.w.tick(40 * DAY_S)
    assert verdict(s) == set()


def test_goods_not_back_yet_are_an_alert() -> None:
    s = tell()
    s.w.void(s.w.debit(s.one, s.cards[5], FOOD, 1), s.cards[5], back=False)
    s.w.tick(6 * DAY_S)
    assert verdict(s) == set()
    assert "not-returned" in alerts(s)


def test_a_young_unexplained_pin_set_is_an_alert() -> None:
    s = tell()
    s.w.tick(2 * DAY_S)
    s.w.debit(s.one, s.cards[5], CASH, 1_000)
    s.cards[5].pins += 1
    s.w.debit(s.one, s.cards[5], CASH, 1_000)
    assert verdict(s) == set()
    assert "statement" in alerts(s)


def test_open_matters_are_alerts() -> None:
    s = tell()
    s.w.intent(s.one, s.cards[5], CASH, 1_000)
    s.w.debit(s.two, s.cards[5], CASH, 1_000)
    assert verdict(s) == set()
    assert {"open-intent", "unpaid"} <= alerts(s)


def test_the_first_debit_with_the_officer_who_handed_over_is_an_alert() -> None:
    s = tell()
    card = enrol(s, 6, s.one)
    s.w.debit(s.one, card, CASH, 1_000)
    assert "first-debit" not in alerts(s)  # on another officer's shift
    s = tell()
    card = enrol(s, 6, s.one)
    s.w.record(s.one, log.Shift(opened=True, officer=42))
    s.w.debit(s.one, card, CASH, 1_000)
    assert "first-debit" in alerts(s)


def test_many_debits_in_a_short_time_are_an_alert() -> None:
    s = tell()
    s.w.tick(3600)
    s.w.tick = lambda _seconds=60: AuditWorld.tick(s.w, 5)  # type: ignore[method-assign]
    for _ in range(19):
        s.w.debit(s.one, s.cards[5], CASH, 1)
    assert "burst" not in alerts(s)
    s.w.debit(s.one, s.cards[5], CASH, 1)
    assert "burst" in alerts(s)


def test_a_log_that_has_not_come_is_an_alert() -> None:
    s = tell()
    s.w.upload(s.two)
    tap = s.w.debit(s.two, s.cards[5], CASH, 1_000, deliver=False)
    s.w.record(s.one, log.Collected(bytes(tap.receipt)))
    s.two.records = s.two.records[: s.two.uploaded]
    assert verdict(s) == set()
    assert "awaiting-log" in alerts(s)


def test_a_late_debit_after_the_move_is_a_recorded_loss() -> None:
    s = tell()
    lost, old = s.lost, s.cards[4]
    tap = s.w.debit(lost, old, CASH, 30_000, book=False)
    s.w.record(s.two, log.Collected(bytes(tap.receipt)))
    s.w.post(ledger.loss(tap.receipt.hash, 2, 30_000))
    report = make(s.w.audited())
    assert report.findings == []
    assert report.difference_minor == 0
    assert next(p for p in report.programmes if p.code == 2).losses == 30_000


def late(s: Story) -> None:
    """A stick of the closed terminal: its hand-overs make that much less lost in the ledger."""
    tap = s.w.debit(s.lost, s.cards[3], FOOD, 1, book=False)
    s.w.post(ledger.debit(tap.receipt.hash, 1, 1))
    for handed, wallet in ((tap, FOOD), (s.taps["home"], CASH)):
        for good, n in s.w.lines(wallet, handed.receipt.amount):
            for kind, amount, other in (
                (ledger.Kind.HANDED, -n, f"handed/{s.w.programmes[wallet].code}"),
                (ledger.Kind.STOCK_LOSS, n, f"stock-loss/{s.lost.name.hex()}"),
            ):
                s.w.post(ledger.stock(kind, handed.delivered.hash, good, amount,
                                      terminal=s.lost.name, other=other))  # fmt: skip


def test_a_stick_that_comes_after_terminal_lost_is_no_finding() -> None:
    s = tell()
    late(s)
    s.w.record(s.lost, log.Checkpoint(0, (
        GoodsLine(RICE, Unit.GRAM, 100_000_000 - 10_000),
        GoodsLine(OIL, Unit.MILLILITRE, 20_000_000 - 2_000),
        GoodsLine(RUPIAH, Unit.RUPIAH, 900_000_000 - 50_000),
    )))  # fmt: skip
    s.w.upload(s.lost)
    report = make(s.w.audited())
    assert report.findings == []
    assert report.goods_difference == 0
    line = next(g for g in report.goods if g.terminal == s.lost.name.hex() and g.good == RICE)
    assert (line.handed, line.left, line.loss) == (10_000, 0, 100_000_000 - 10_000)


def test_a_late_stick_that_hands_out_more_than_there_was_is_found() -> None:
    s = tell()
    late(s)
    s.w.record(s.lost, log.Stock(StockMove.LOST, None, GoodsLine(RICE, Unit.GRAM, 99_990_001)))
    s.w.upload(s.lost)
    assert verdict(s) == {Invariant.STOCK}


def test_a_late_stick_that_counts_other_than_its_records_leave_is_found() -> None:
    s = tell()
    late(s)
    s.w.record(s.lost, log.Checkpoint(0, (GoodsLine(RICE, Unit.GRAM, 1),)))
    s.w.upload(s.lost)
    assert verdict(s) == {Invariant.STOCK}


def test_a_script_done_and_told_is_no_finding() -> None:
    s = tell()
    s.w.script(s.one, s.cards[5], ScriptAction.PIN_UNBLOCK)
    s.w.debit(s.one, s.cards[5], CASH, 1_000)
    s.w.tick(60 * DAY_S)
    assert verdict(s) == set()


# --- revoked keys ------------------------------------------------------------


def revoked(s: Story, role: KeyRole, heads: Heads) -> bytes:
    key = s.w.keys.signer(role).public_key
    raw = s.w.keys.root.revoke(key, heads, now_s=s.w.now_s)
    t = s.w.keys.trust
    return bytes(TrustFile(t.environment, t.root_key, t.statements, (raw,)))


def heads_of(s: Story) -> Heads:
    from wire.cose import Sign1
    from wire.objects import IssuanceHead

    raws = s.w.chain()[2]
    book = LedgerHead.parse(Sign1.parse(raws[0]).payload)
    log_ = IssuanceHead.parse(Sign1.parse(raws[1]).payload)
    return Heads(book.sequence, book.head, log_.sequence, log_.head)


def test_what_a_published_head_covers_outlives_the_key() -> None:
    s = tell()
    export = s.w.finish()
    trust = revoked(s, KeyRole.REGISTRY, heads_of(s))
    assert judge(build(export, trust, allow_demo=True)) == []


def test_what_no_head_covers_does_not_count() -> None:
    s = tell()
    for station in s.w.stations:
        if station is not s.lost:
            s.w.upload(station)
    heads = heads_of(s)
    s.w.decide(DecisionKind.CLOSE_GAP, s.cards[5], CASH, 0, first=9, last=9)
    export = s.w.finish()
    trust = revoked(s, KeyRole.REGISTRY, heads)
    assert {f.invariant for f in judge(build(export, trust, allow_demo=True))} == {
        Invariant.SIGNATURES
    }


def test_a_head_of_a_revoked_key_beyond_its_revocation_does_not_count() -> None:
    s = tell()
    export = s.w.finish()
    early = replace(heads_of(s), ledger_sequence=3)
    found = judge(build(export, revoked(s, KeyRole.ACK, early), allow_demo=True))
    assert Invariant.SIGNATURES in {f.invariant for f in found}
    assert judge(build(export, revoked(s, KeyRole.ACK, heads_of(s)), allow_demo=True)) == []


@ONE_WORKER
def test_findings_are_listed_once_and_as_json(frauds: dict[str, Report]) -> None:
    for name, report in frauds.items():
        assert len(set(report.findings)) == len(report.findings), name
        shown = report.to_json()["findings"][0]
        assert shown["invariant"] == int(FRAUDS[name][0])
        assert shown["title_id"]
        assert shown["severity"] in {1, 2, 3}
        assert shown["code"] in set(Fact)
        assert shown["what"] != shown["what_en"]


def test_a_reserve_that_nobody_can_judge_is_an_alert() -> None:
    """What an upload set aside would say of the block is not known: the auditor says so."""
    s = tell()
    early_move(s)
    assert "unjudged" not in alerts(s)
    FRAUDS["an_upload_under_another_key"][1](s)
    made = [a for a in make(s.w.audited()).alerts if a.kind == "unjudged"]
    assert [a.subject for a in made] == [s.two.name.hex()]


def two_chips(s: Story) -> SoftCard:
    """A cloned card that went two ways; the copy, whose second body is not the one counted."""
    card, copy = s.cards[5], s.cards[5].clone()
    first = s.w.debit(s.one, card, CASH, 100_000)
    second = s.w.debit(s.two, copy, CASH, 5_000, book=False)
    s.w.unpayable(first.receipt, second.receipt.hash)
    s.w.debit(s.two, copy, CASH, 5_000)
    return copy


def test_what_one_chip_counts_is_not_held_against_the_other() -> None:
    s = tell()
    two_chips(s)
    assert verdict(s) == {Invariant.ONE_BODY}


def test_a_counter_that_fell_in_one_of_two_chips_is_found() -> None:
    s = tell()
    copy = two_chips(s)
    c = copy.wallets[CASH]
    s.w.debit(s.two, copy, CASH, 5_000, counters=replace(c, debited=c.debited + 1))
    assert Invariant.COUNTERS in verdict(s)


def test_both_chips_may_load_the_same_entitlement() -> None:
    """What the one has loaded the other has not: its own load is a step of its own."""
    s = tell()
    card, copy = s.cards[5], s.cards[5].clone()
    s.w.debit(s.one, card, CASH, 1_000)
    s.w.debit(s.two, copy, CASH, 2_000, book=False, deliver=False)
    raised = s.w.entitle(card, CASH, 5_000, None)  # a step that nothing funds is another matter
    s.w.load(s.two, copy, CASH, raised)
    s.w.debit(s.one, card, CASH, 500)
    s.w.load(s.one, card, CASH, raised)
    assert Invariant.COUNTERS not in verdict(s)


def test_a_reversal_by_the_other_chip_makes_a_debit_of_the_same_number_unpayable() -> None:
    s = tell()
    card, copy = s.cards[5], s.cards[5].clone()
    tap = s.w.debit(s.one, card, CASH, 1_000)
    copy.sequence, copy.link = card.sequence, card.link
    copy.wallets = dict(card.wallets)
    counted = s.w.debit(s.two, copy, FOOD, 1)
    void, other = s.w.void(tap, card, book=False)
    s.w.unpayable(tap.receipt, void.hash)  # in suspense: no counted receipt ends this void
    s.w.unpayable(counted.receipt, other.hash)
    assert verdict(s) == {Invariant.ONE_BODY}


def test_a_card_read_at_a_desk_is_counted_and_is_no_finding() -> None:
    s = tell()
    before = make(s.w.audited())
    s.w.record(s.desk, log.CardRead(log.CardSaid.PURSE, 7, s.cards[0].card_id))
    s.w.record(s.desk, log.CardRead(log.CardSaid.FOREIGN, 7, None))
    report = make(s.w.audited())
    assert (report.findings, report.alerts) == (before.findings, before.alerts)
    assert report.counts()["cards_read"] == before.counts()["cards_read"] + 2
    assert "2 kartu dibaca di meja" in page(report, "id")
    assert "2 cards read at desks" in page(report, "en")
