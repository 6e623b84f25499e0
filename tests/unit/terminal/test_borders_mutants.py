"""Borders of what a terminal decides, on both of their sides; each met a mutant that survived."""

from __future__ import annotations

from dataclasses import replace

import pytest

from card_os.host import errors
from card_os.host.purse import PurseSession
from terminal import collect, journal, opening, rules, spend, sync, voiding
from terminal.errors import BundleRefusedError, JournalDamagedError, TransferError
from terminal.outcomes import (
    AmountRefused,
    Limit,
    Nothing,
    NothingWhy,
    Redeemed,
    Voided,
    VoidWhy,
)
from terminal.visit import Visit
from tests.support.terminal_world import (
    BASKET,
    CASH,
    FOOD,
    GIB,
    PIN,
    START_S,
    Issuer,
    Terminal,
    at_work,
    entry,
    programme,
)
from tests.unit.terminal.test_sync import acknowledgement
from wire.bundle import Note, Why
from wire.cvc import Role
from wire.entitlement import Entitlement, Lot
from wire.log import IntentKind, Reason, RecordType
from wire.objects import GoodsLine, StockDelivery, Unit, Window
from wire.receipt import Counters

WHYS = {
    Why.FUNDS_NOT_RELEASED: NothingWhy.FUNDS_NOT_RELEASED,
    Why.NOT_IN_ROUND: NothingWhy.NOT_IN_ROUND,
    Why.EXCLUDED_BY_RULE: NothingWhy.EXCLUDED_BY_RULE,
    Why.BLOCKED: NothingWhy.BLOCKED,
    Why.REPLACED: NothingWhy.REPLACED,
}
LATER = programme(9, 9, Unit.VISIT, windows=(Window(START_S + 10, START_S + 20),
                                             Window(START_S + 30, START_S + 40)))  # fmt: skip


@pytest.mark.parametrize("why", list(Why))
def test_every_reason_is_told_and_only_the_round_has_a_time(why):
    told = spend._explained(LATER, Note(9, why, "rinci", "detail"), START_S)
    opens = START_S + 10 if why == Why.NOT_IN_ROUND else None
    assert told == Nothing(WHYS[why], 9, opens, detail="rinci", detail_en="detail")


def test_windows_open_and_close_to_the_second():
    assert [rules.is_open(LATER, START_S + t) for t in (9, 10, 19, 20, 30, 39, 40)] == [
        False, True, True, False, True, True, False]  # fmt: skip
    assert [rules.opens_s(LATER, START_S + t) for t in (0, 9, 10, 29, 30)] == [
        START_S + 10, START_S + 10, START_S + 30, START_S + 30, None]  # fmt: skip
    assert rules.is_open(replace(LATER, windows=()), 0)


@pytest.mark.parametrize(("unit", "stocked", "lines"), [
    (Unit.BASKET, True, tuple(replace(x, quantity=x.quantity * 3) for x in BASKET)),
    (Unit.RUPIAH, True, (GoodsLine("rupiah", Unit.RUPIAH, 3),)),
    (Unit.RUPIAH, False, ()), (Unit.VISIT, True, ()), (Unit.VISIT, False, ()),
])  # fmt: skip
def test_what_an_amount_is_in_goods(unit, stocked, lines):
    one = programme(9, 9, unit, stocked=stocked)
    assert rules.goods(one, rules.tariff(one), 3) == lines


def test_the_ring_has_room_for_a_debit_and_its_void():
    assert rules.RING_SLOTS - rules.SLOTS_FOR_DEBIT == 30
    assert [rules.ring_has_room(s, 5) for s in (5, 34, 35, 36, 37)] == [
        True, True, True, False, False]  # fmt: skip


def credit(**changes):
    issuer = Issuer()
    card = issuer.card()
    base = issuer.entitlement(card, FOOD, loaded=100, lots=(Lot(START_S, 40), Lot(2**32 - 1, 100)),
                              settled_debited=50, settled_reversed=10)  # fmt: skip
    newest = issuer.entitlement(card, FOOD, sequence=2, loaded=100,
                                lots=(Lot(START_S + 5, 60), Lot(2**32 - 1, 100)),
                                settled_debited=50, settled_reversed=10, cap=7)  # fmt: skip
    return replace(rules.Credit(Counters(100, 60, 0, 20), base, newest, 5), **changes)


def test_what_may_be_taken_of_a_credit():
    assert [credit(shown=Counters(100, d, 0, 0)).is_rolled_back for d in (49, 50, 51)] == [
        True, False, False]  # fmt: skip
    assert [credit(shown=Counters(100, 60, 0, r)).counted.reversed for r in (14, 15, 16)] == [
        14, 15, 15]  # fmt: skip
    one = credit()  # counted: R 15, so 45 are consumed
    assert [one.available(START_S + t) for t in (-1, 0, 4, 5)] == [55, 55, 55, 40]
    assert [one.expired(START_S + t) for t in (-1, 4, 5)] == [0, 0, 15]
    assert credit(shown=Counters(30, 60, 0, 0)).available(START_S) == 0
    assert credit(shown=Counters(30, 60, 0, 0)).expired(START_S) == 0
    caps = [(9, 8, 7), (7, 8, 9), (8, 7, 9)]
    for card_cap, known_cap, programme_cap in caps:
        own = credit(in_force=replace(one.in_force, cap=card_cap),
                     newest=replace(one.newest, cap=known_cap))  # fmt: skip
        assert own.cap(programme(257, FOOD, Unit.BASKET, cap=programme_cap)) == 7


@pytest.mark.parametrize(("amount", "limit"), [
    (0, Limit.NOT_POSITIVE), (-1, Limit.NOT_POSITIVE), (3, Limit.ABOVE_CAP), (4, Limit.ABOVE_CAP),
    (5, Limit.ABOVE_AVAILABLE),
])  # fmt: skip
def test_an_amount_over_each_limit(amount, limit):
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        assert visit.redeem(FOOD, amount) == AmountRefused(limit, FOOD, 2)
        assert visit.redeem(0x7777, 1) == Nothing(NothingWhy.NO_WALLET, 0x7777)
        assert isinstance(visit.redeem(FOOD, 2), Redeemed)


def test_all_that_is_available_may_be_taken():
    terminal, card = at_work(loaded=2)
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        assert isinstance(visit.redeem(FOOD, 2), Redeemed)


# Journal


def test_an_upload_takes_its_most_and_begins_behind_the_acknowledged(monkeypatch):
    terminal, _ = at_work()
    for _ in range(2):
        terminal.engine.close_shift()
        terminal.engine.open_shift(5)
    held = terminal.journal.records(0, GIB)
    monkeypatch.setattr(journal, "MAX_UPLOAD_RECORDS", 3)
    assert terminal.journal.unacknowledged() == held[:3]
    monkeypatch.setattr(journal, "MAX_UPLOAD_RECORDS", len(held))
    assert terminal.journal.unacknowledged() == held


@pytest.mark.parametrize("value", [bytes(32), b"\xff" * 32])
@pytest.mark.parametrize("column", ["hash", "acknowledged_hash"])
def test_a_chain_that_links_to_another_end_is_damaged(column, value):
    terminal, _ = at_work()
    terminal.journal.check()
    terminal.journal._db.execute(f"UPDATE head SET {column} = ?", (value,))  # noqa: S608
    with pytest.raises(JournalDamagedError, match="ends"):
        terminal.journal.check()


@pytest.mark.parametrize("by", [-1, 1])
def test_another_count_of_records_is_damage(by):
    terminal, _ = at_work()
    terminal.journal._db.execute("UPDATE head SET sequence = sequence + ?", (by,))
    with pytest.raises(JournalDamagedError, match="missing"):
        terminal.journal.check()


def test_an_intent_that_is_none_is_told():
    terminal, _ = at_work()
    with pytest.raises(Exception, match="no intent 77"):
        terminal.journal.intent(77)
    assert terminal.journal.find_intent(77) is None


def test_a_file_with_an_acknowledgement_uploads_nothing(tmp_path):
    terminal, _ = at_work()
    held = len(terminal.journal.records(0, GIB))
    file = tmp_path / "ack"
    file.write_bytes(acknowledgement(terminal))
    assert sync.import_file(terminal.engine, file) == sync.Synced(0, held, None)
    terminal.clock.now_s += 1
    file.write_bytes(terminal.bundle())
    done = sync.import_file(terminal.engine, file)
    assert (done.uploaded, done.pruned, done.version.counter) == (0, 0, 2)


# Cards


@pytest.mark.parametrize("other", [b"AAAA0001", b"ZZZZ0001"])
def test_a_receipt_of_any_other_terminal_is_collected(other):
    terminal, card = at_work()
    with terminal.begin(card):
        pass
    card.elsewhere(FOOD, 1, other)
    with terminal.begin(card):
        pass
    (record,) = [r for r in terminal.journal.records(0, GIB) if r.kind is RecordType.COLLECTED
                 and r.body.item[2:3] == b"R"]  # fmt: skip
    assert other in record.body.item


@pytest.mark.parametrize("other", [bytes(32), b"\xff" * 32])
def test_another_receipt_of_one_sequence_is_another_card(other):
    terminal, card = at_work()
    with terminal.begin(card):
        pass
    card.elsewhere(FOOD, 1)
    with terminal.begin(card) as visit:
        newest = collect._read(visit, 1)
        collect._check_newest(visit, (1, newest.hash))
        for sequence in (0, 2):
            collect._check_newest(visit, (sequence, other))
        with pytest.raises(opening.TurnedAwayError) as e:
            collect._check_newest(visit, (1, other))
    assert e.value.reason is Reason.IDENTITY_CHANGED


def test_counters_other_than_the_newest_receipts_are_rolled_back():
    terminal, card = at_work()
    with terminal.begin(card):
        pass
    card.elsewhere(FOOD, 1)
    with terminal.begin(card) as visit:
        good = visit.session.state
        for d, r in ((0, 0), (2, 0), (1, 1)):
            wallets = tuple(
                replace(w, counters=replace(w.counters, debited=d, reversed=r))
                if w.wallet == FOOD else w for w in good.wallets)  # fmt: skip
            visit.session._state = replace(good, wallets=wallets)
            with pytest.raises(opening.TurnedAwayError) as e:
                collect._check_newest(visit, None)
            assert e.value.reason is Reason.ROLLED_BACK
        visit.session._state = replace(good, wallets=())
        with pytest.raises(opening.TurnedAwayError):
            collect._check_newest(visit, None)
        visit.session._state = good
        collect._check_newest(visit, None)


@pytest.mark.parametrize(("error", "reason"), [
    (errors.EntitlementDiffersError, Reason.ENTITLEMENT_FORGED),
    (errors.AcknowledgedAheadError, Reason.ACKNOWLEDGED_AHEAD),
])  # fmt: skip
def test_a_card_that_holds_another_entitlement_of_this_sequence(monkeypatch, error, reason):
    terminal, card = at_work()

    def differs(self, entitlement: Entitlement) -> None:
        raise error("LOAD", 0x6985)

    monkeypatch.setattr(PurseSession, "load", differs)
    outcome = terminal.engine.begin(card.link())
    assert outcome.reason is reason


# Voids


def test_only_a_debit_of_this_card_with_its_receipt_can_be_voided():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        paid = visit.redeem(FOOD, 1)
    row = terminal.journal.intent(paid.intent)
    with terminal.begin(card, Role.SUPERVISOR) as visit:
        assert isinstance(visit, Visit)

        def why(debit):
            return voiding._refusal(visit, debit, on_counter=False, reason="salah")

        assert why(row) is None
        for changes in ({"kind": IntentKind.VOID}, {"card_id": bytes(8)},
                        {"card_id": b"\xff" * 8}, {"receipt": None}):  # fmt: skip
            assert why(replace(row, **changes)) is VoidWhy.NO_DEBIT
        for sequence in (0, 2):
            other = replace(row.receipt, sequence=sequence)
            assert why(replace(row, receipt=other)) is VoidWhy.FINAL
        assert isinstance(visit.void(paid.intent, on_counter=False, reason="salah"), Voided)
        assert why(row) is VoidWhy.VOIDED


def test_a_void_gives_back_the_amount_in_the_same_visit():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        paid = visit.redeem(FOOD, 2)
        visit.redeem(CASH, 1000)
    assert isinstance(paid, Redeemed)
    with terminal.begin(card, Role.SUPERVISOR) as visit:
        newest = max(terminal.journal.intents_of(card.card_id), key=lambda i: i.sequence)
        assert isinstance(visit.void(newest.sequence, on_counter=False, reason="x"), Voided)
        assert visit.seen.credits[CASH].own_reversed == 1000
        assert visit.seen.credits[CASH].counted.consumed == 0
        assert {w.wallet: w.available for w in visit.wallets()}[CASH] == 1_000_000


def test_a_bundle_is_newer_by_one_step_only_of_its_own_row():
    terminal = Terminal(Issuer())
    card = terminal.issuer.card()
    terminal.engine.install(terminal.bundle(entry(card)))
    version = terminal.roster.version
    assert (version.epoch, version.counter) == (1, 1)
    again = terminal.bundle(entry(card), counter=1)
    with pytest.raises(Exception, match="not newer"):
        terminal.engine.install(again)


def test_sizes_and_days():
    assert sync.MAX_FILE_BYTES == 67_108_864
    assert opening.DAY_S == 86_400


def test_a_file_at_its_largest(tmp_path, monkeypatch):
    terminal, _ = at_work()
    file = tmp_path / "ack"
    raw = acknowledgement(terminal)
    file.write_bytes(raw)
    monkeypatch.setattr(sync, "MAX_FILE_BYTES", len(raw) - 1)
    with pytest.raises(TransferError, match="too large"):
        sync.import_file(terminal.engine, file)
    monkeypatch.setattr(sync, "MAX_FILE_BYTES", len(raw))
    assert sync.import_file(terminal.engine, file).version is None


@pytest.mark.parametrize("ours", [bytes(32), b"\xff" * 32])
def test_a_receipt_of_our_own_id_that_the_journal_holds_otherwise(ours):
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        paid = visit.redeem(FOOD, 1)
        receipt = terminal.journal.intent(paid.intent).receipt
        assert collect._is_own(visit, receipt)
        with pytest.raises(opening.TurnedAwayError) as e:
            collect._is_own(visit, replace(receipt, intent_hash=ours))
        assert e.value.reason is Reason.RESTORED_IMAGE


def test_what_was_taken_is_gone_in_the_same_visit():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        visit.redeem(CASH, 1000)
        assert visit.seen.credits[CASH].shown.debited == 1000


def test_the_note_of_its_own_programme():
    terminal, card = at_work()
    notes = tuple(Note(n, Why.BLOCKED, str(n), "") for n in (256, 257, 258))
    terminal.engine.install(terminal.bundle(entry(card, notes=notes)))
    with terminal.begin(card) as visit:
        assert spend._note(visit, 257).detail == "257"
        assert spend._note(visit, 300) is None


def test_a_programme_of_which_one_may_be_taken():
    one = programme(257, FOOD, Unit.BASKET, cap=1)
    terminal, card = at_work()
    with terminal.begin(card):
        pass  # LOAD
    terminal.engine.install(terminal.bundle(
        entry(card, terminal.issuer.entitlement(card, FOOD)), programmes=(one,)))  # fmt: skip
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        assert isinstance(visit.redeem(FOOD, 1), Redeemed)


@pytest.mark.parametrize("other", [b"AAAA0001", b"ZZZZ0001"])
def test_a_delivery_for_another_terminal_is_not_installed(other):
    terminal, card = at_work()
    delivery = StockDelivery("SJ-1", "bulog", other, BASKET, START_S)
    with pytest.raises(BundleRefusedError):
        terminal.engine.install(terminal.bundle(entry(card), deliveries=(delivery,)))
