"""Ingest exactly once: duplicates, order, forks, gaps, kills; faults never stop the rest."""

from __future__ import annotations

import hashlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import SQLModel, select

from backend import ingest, ledger
from backend.errors import ForkError, UploadGapError, UploadRefusedError
from backend.models import FindingRow, ReceiptRow
from keys.signer import Ed25519Signer, P256Signer, sign_object
from tests.support.backend_world import CASH, ENV, BackendWorld, SoftCard, SoftStation
from wire import log
from wire.chain import LedgerEntry, check_entries
from wire.log import Record, Upload
from wire.objects import UploadHead
from wire.receipt import Receipt, ReceiptKind


def state(world: BackendWorld) -> str:
    """A hash of everything stored."""
    digest = hashlib.sha256()
    with world.office.db.read() as session:
        for table in SQLModel.metadata.sorted_tables:
            if table.name == "tally":
                continue  # counts what changes nothing else
            for row in session.connection().execute(select(table).order_by(*table.primary_key)):
                digest.update(repr(tuple(row)).encode())
    return digest.hexdigest()


def findings(world: BackendWorld) -> list[int]:
    with world.office.db.read() as session:
        return [f.invariant for f in session.exec(select(FindingRow))]


def held(world: BackendWorld) -> dict[tuple[str, int], str]:
    with world.office.db.read() as session:
        rows = session.exec(select(ReceiptRow).where(ReceiptRow.kind == 1))
        return {(r.card_id.hex(), r.sequence): r.held for r in rows}


def payables(world: BackendWorld) -> int:
    with world.office.db.read() as session:
        return -sum(n for (a, g), n in ledger.balances(session).items()
                    if a.startswith("payable/") and g == "rupiah")  # fmt: skip


@pytest.fixture
def card(ready: BackendWorld) -> SoftCard:
    return next(c for c in ready.cards(10) if CASH in c.wallets)


@pytest.fixture
def terminal(ready: BackendWorld, card: SoftCard) -> SoftStation:
    return ready.terminal(b"TERM0001")


def test_the_same_upload_again_changes_nothing(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    terminal.debit(card, CASH, 1000)
    raw = terminal.upload()
    first = ready.office.ingest(raw)
    before = state(ready)
    ready.clock.now_s += 60
    again = ready.office.take_upload(raw)
    assert (again.ack, again.outcome) == (first, ingest.Outcome.EXISTS)
    assert state(ready) == before
    assert ready.office.report()["uploads"] == {"accepted": 1, "duplicates": 1}


def test_uploads_that_overlap_settle_once(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    terminal.debit(card, CASH, 1000)
    terminal.send()
    terminal.debit(card, CASH, 2000)
    terminal.send(first=1)
    old = state(ready)
    assert ready.office.take_upload(terminal.upload(2, 3)).outcome == ingest.Outcome.EXISTS
    assert terminal.send(first=2, last=3).last == len(terminal.records)
    assert ready.office.report()["uploads"]["duplicates"] == 2
    assert state(ready) == old
    assert payables(ready) == 3000
    assert findings(ready) == []


def test_a_missing_part_is_asked_for(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    terminal.debit(card, CASH, 1000)
    terminal.debit(card, CASH, 1000)
    before = state(ready)
    with pytest.raises(UploadGapError) as e:
        terminal.send(first=3)
    assert e.value.expected == 1
    assert state(ready) == before
    terminal.send(first=1, last=2)
    terminal.send(first=3)
    assert payables(ready) == 2000


def test_other_bytes_at_a_held_sequence_are_fraud(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    terminal.debit(card, CASH, 1000)
    terminal.send()
    kept = terminal.records[:]
    del terminal.records[-1]
    ready.clock.now_s += 1
    terminal.add(log.Boot("another"))
    with pytest.raises(ForkError):
        terminal.send()
    assert findings(ready) == [2]
    assert payables(ready) == 1000
    terminal.records[:] = kept
    terminal.add(log.Boot("again"))
    terminal.send()


def test_a_record_that_does_not_link_is_fraud(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    terminal.send()
    record = Record.make(len(terminal.records) + 1, bytes(32), ready.clock(), log.Boot("x"))
    terminal.records.append(record)
    with pytest.raises(ForkError):
        terminal.send(first=len(terminal.records))


@pytest.mark.parametrize("what", ["signature", "key", "truncated", "environment"])
def test_an_upload_that_does_not_stand_changes_nothing(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation, what: str
) -> None:
    terminal.debit(card, CASH, 1000)
    raw = bytearray(terminal.upload())
    head = UploadHead(terminal.name, 1, len(terminal.records), terminal.records[-1].hash)
    if what == "signature":
        raw[raw.index(head.head) + 40] ^= 1
    if what == "truncated":
        del raw[-1]
    if what == "key":
        foreign = Ed25519Signer.generate(ready.random)
        signed = sign_object(foreign, head, ENV)
        raw = bytearray(bytes(Upload(head, signed, tuple(terminal.records))))
    if what == "environment":
        signed = sign_object(terminal.log_key, head, type(ENV).DEMO_SPECIMEN)
        raw = bytearray(bytes(Upload(head, signed, tuple(terminal.records))))
    before = state(ready)
    with pytest.raises(UploadRefusedError):
        ready.office.ingest(bytes(raw))
    assert state(ready) == before


@pytest.mark.parametrize("step", ["conclude", "acknowledge"])
def test_killed_between_two_steps_all_or_nothing(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation, step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    terminal.debit(card, CASH, 1000)
    before = state(ready)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(ingest, step, die)
        with pytest.raises(KeyboardInterrupt):
            terminal.send()
    assert state(ready) == before
    terminal.send()
    assert payables(ready) == 1000


def test_kill_9_in_the_middle(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies before its commit has done nothing; the next one does it all."""
    terminal.debit(card, CASH, 1000)
    before = state(ready)
    ready.office.db.engine.dispose()
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(ingest, "acknowledge", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        terminal.send()
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert state(ready) == before
    terminal.send()
    assert payables(ready) == 1000


def test_many_uploaders_at_once_settle_once(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    for _ in range(3):
        terminal.debit(card, CASH, 1000)
    uploads = [terminal.upload(1, n) for n in range(2, len(terminal.records) + 1)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ready.office.ingest, uploads * 3))
    assert payables(ready) == 3000
    assert findings(ready) == []
    with ready.office.db.read() as session:
        check_entries([LedgerEntry.parse(raw) for raw in ledger.entries(session)])


def test_a_forged_receipt_is_set_aside_and_the_rest_settles(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    forged = P256Signer.generate(ready.random)
    genuine, card.key = card.key, forged
    before = card.wallets[CASH]
    terminal.debit(card, CASH, 5000)
    card.key, card.wallets[CASH], card.sequence, card.link = genuine, before, 0, card.digest
    terminal.debit(card, CASH, 1000)
    terminal.send()
    assert payables(ready) == 1000
    assert findings(ready) == [1]


def test_a_receipt_of_an_unknown_card_or_environment(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    stranger = SoftCard(ENV.mark + b"\xff\xff\xff\xff", card.key, card.digest, ready.clock)
    stranger.wallets, stranger.entitlements = dict(card.wallets), dict(card.entitlements)
    intent = terminal.intent(stranger, CASH, 10)
    receipt = stranger.receipt(ReceiptKind.DEBIT, terminal.name, intent, CASH, 10)
    terminal.add(log.Receipted(intent.sequence, bytes(receipt)))
    terminal.send()
    assert findings(ready) == [19]
    intent = terminal.intent(card, CASH, 10)
    other = card.receipt(ReceiptKind.DEBIT, terminal.name, intent, CASH, 10,
                         env=type(ENV).DEMO_SPECIMEN)  # fmt: skip
    terminal.add(log.Receipted(intent.sequence, bytes(other)))
    terminal.send()
    assert sorted(findings(ready)) == [16, 19]
    assert payables(ready) == 0


def test_a_collected_receipt_settles_once_and_pays_when_its_log_comes(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    other = ready.terminal(b"TERM0002")
    _, receipt = terminal.debit(card, CASH, 1000)
    other.add(log.Collected(bytes(receipt)))
    other.add(log.Collected(bytes(receipt)))
    other.send()
    assert held(ready) == {(card.card_id.hex(), 1): "awaiting-log"}
    assert payables(ready) == 0
    terminal.send()
    assert held(ready) == {(card.card_id.hex(), 1): ""}
    assert payables(ready) == 1000
    assert ready.office.settle()[0].amount_minor == 1000
    assert ready.office.report()["difference_minor"] == 0


def test_a_receipt_whose_intent_is_missing_accuses_and_holds_only_itself(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    _, receipt = terminal.debit(card, CASH, 1000)
    del terminal.records[-3:]
    terminal.debit(card, CASH, 2000)
    terminal.add(log.Collected(bytes(receipt)))
    terminal.send()
    assert set(findings(ready)) == {2}
    assert payables(ready) == 2000


def test_two_bodies_with_one_sequence_pay_neither(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    clone = SoftCard(card.card_id, card.key, card.digest, ready.clock)
    clone.wallets, clone.entitlements = dict(card.wallets), dict(card.entitlements)
    terminal.debit(card, CASH, 1000)
    terminal.send()
    assert payables(ready) == 1000
    terminal.debit(clone, CASH, 2000)
    terminal.send()
    assert findings(ready) == [3]
    assert payables(ready) == 0


def test_signature_bytes_do_not_make_another_receipt(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    """ECDSA is malleable: (r, n − s) is as good, and the same receipt."""
    from wire.ecdsa import P256_ORDER

    _, receipt = terminal.debit(card, CASH, 1000)
    r, s = receipt.raw[-64:-32], int.from_bytes(receipt.raw[-32:], "big")
    twin = receipt.raw[:-64] + r + (P256_ORDER - s).to_bytes(32, "big")
    assert Receipt.parse(twin).hash == receipt.hash
    terminal.add(log.Collected(twin))
    terminal.send()
    assert findings(ready) == []
    assert payables(ready) == 1000


def test_without_delivered_it_is_held(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    terminal.debit(card, CASH, 1000, deliver=False)
    terminal.send()
    assert held(ready) == {(card.card_id.hex(), 1): "not-delivered"}
    assert payables(ready) == 0


def test_a_void_before_and_after_hand_over(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    debit, receipt = terminal.debit(card, CASH, 1000, deliver=False)
    terminal.void(card, debit, receipt)
    debit, receipt = terminal.debit(card, CASH, 2000)
    terminal.send()
    assert payables(ready) == 2000
    ready.office.settle()
    terminal.void(card, debit, receipt, on_counter=True)
    terminal.debit(card, CASH, 5000)
    terminal.send()
    assert findings(ready) == []
    paid = ready.office.settle()
    assert [(p.amount_minor, p.debits, p.taken_back) for p in paid] == [(3000, 1, 1)]
    report = ready.office.report()
    assert (report["difference_minor"], report["goods_difference"]) == (0, 0)
    assert report["ledger"] == []


def test_a_debit_is_in_suspense_while_its_void_is_open(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    debit, _ = terminal.debit(card, CASH, 1000)
    terminal.send()
    void = terminal.add(log.VoidIntent(debit.sequence, card.card_id, 1, 1, 0, True, "x"))
    terminal.send()
    assert payables(ready) == 0
    assert ready.office.settle() == []
    terminal.add(log.Aborted(void.sequence, 1, None))
    terminal.send()
    assert payables(ready) == 0
    terminal.add(log.GivenBack(void.sequence))
    terminal.send()
    assert payables(ready) == 1000
    assert ready.office.settle()[0].amount_minor == 1000


def test_a_dispute_holds(ready: BackendWorld, card: SoftCard, terminal: SoftStation) -> None:
    _, receipt = terminal.debit(card, CASH, 1000)
    terminal.add(log.Dispute(card.card_id, 1, receipt.hash))
    terminal.send()
    assert held(ready) == {(card.card_id.hex(), 1): "disputed"}


def test_a_gap_is_open_until_it_is_filled(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    lost = ready.terminal(b"TERM0002")
    lost.debit(card, CASH, 1000)
    terminal.debit(card, CASH, 2000)
    terminal.send()
    report = ready.office.report()
    assert [g["missing"] for g in report["gaps"]] == [1]
    assert report["programmes"][1]["difference"] == -1000 or any(
        p["difference"] for p in report["programmes"]
    )
    ready.clock.now_s += 31 * 86_400
    ready.office.settle()
    assert findings(ready) == [4]
    lost.send()
    assert ready.office.report()["gaps"] == []
    ready.office.settle()
    assert ready.office.report()["difference_minor"] == 0


@pytest.mark.parametrize(
    ("change", "invariant"),
    [
        ({"link": bytes(32)}, 5),
        ({"entitlement_sequence": 9}, 7),
    ],
)
def test_what_a_receipt_must_fit(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation, change: dict[str, object],
    invariant: int,
) -> None:  # fmt: skip
    intent = terminal.intent(card, CASH, 1000)
    receipt = card.receipt(ReceiptKind.DEBIT, terminal.name, intent, CASH, 1000, **change)
    terminal.add(log.Receipted(intent.sequence, bytes(receipt)))
    terminal.add(log.Delivered(intent.sequence))
    terminal.send()
    assert findings(ready) == [invariant]


def test_counters_must_step_by_the_amount(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    terminal.debit(card, CASH, 1000)
    c = card.wallets[CASH]
    card.wallets[CASH] = type(c)(c.loaded, c.debited + 7, c.forfeited, c.reversed)
    terminal.debit(card, CASH, 1000)
    terminal.send()
    assert findings(ready) == [6]


def test_above_the_cap_and_drawn_above_the_entitlement(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    c = card.wallets[CASH]
    card.wallets[CASH] = type(c)(c.loaded + 10**6, 0, 0, 0)
    terminal.debit(card, CASH, 250_001)
    terminal.send()
    assert sorted(findings(ready)) == [6, 10]
    assert held(ready) == {(card.card_id.hex(), 1): "loss"}
    report = ready.office.report()
    assert (report["difference_minor"], report["ledger"]) == (0, [])


def test_a_debit_after_the_hotlist_was_installed_is_not_payable(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    terminal.debit(card, CASH, 1000)
    ready.office.block({card.card_id})
    terminal.debit(card, CASH, 2000)
    terminal.sync()
    terminal.debit(card, CASH, 4000)
    terminal.send()
    assert findings(ready) == [12]
    assert payables(ready) == 3000


def test_cards_read_at_a_desk_are_counted_and_found_nothing_against(ready: BackendWorld) -> None:
    desk, said = ready.desk(b"DESK0009"), log.CardSaid
    for code, card_id in ((said.PURSE, ready.cards(1)[0].card_id), (said.MUTE, None)):
        desk.add(log.CardRead(code, 7, card_id))
    desk.send()
    assert ready.office.report()["counts"]["cards_read"] == 2
    assert findings(ready) == []
