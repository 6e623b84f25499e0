"""LOAD, DEBIT, VOID, CONFIRM and the ring (card_os/SPEC.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from hashlib import sha256

import pytest

from card_os.reference.purse_store import Card, Wallet
from tests.support.purse_world import (
    CASH,
    ENV,
    FOOD,
    INTENT,
    PIN,
    STRANGER,
    TODAY,
    Bench,
    HostSession,
    debit_of,
    malleated,
    stage,
    void_of,
)
from wire import raw
from wire.cvc import Role
from wire.entitlement import ENTITLEMENT_BYTES, Entitlement, ScriptAction
from wire.purse import Flag, Ins, Read
from wire.raw import U32_MAX
from wire.receipt import (
    Counters,
    Interface,
    Receipt,
    ReceiptKind,
    Statement,
    StatementKind,
    Verification,
)

S = Role.SUPERVISOR


def _verified(bench: Bench) -> HostSession:
    session = bench.open()
    assert session.verify() == 0x9000
    return session


def _debit_sw(session: HostSession, p1: int = 0, **changes: int) -> int:
    order = replace(debit_of(session.bench.store.card.sequence), **changes)  # type: ignore[arg-type]
    return session.sw(Ins.DEBIT, p1, 0, bytes(order))


def _load_sw(session: HostSession, order: Entitlement | bytes) -> int:
    return session.sw(Ins.LOAD, 0, 0, bytes(order))


def _patch(bench: Bench, **changes: object) -> None:
    """Put a card where no story of reasonable length leads."""
    change: Callable[..., Card] = replace
    bench.store.put_card(change(bench.store.card, **changes))


def _patch_wallet(bench: Bench, **changes: object) -> None:
    change: Callable[..., Wallet] = replace
    bench.store.put_wallet(0, change(bench.store.wallets(bench.store.card)[0], **changes))


def _food(bench: Bench) -> Counters:
    return bench.store.wallets(bench.store.card)[0].counters


# LOAD


def test_load_statement_and_state() -> None:
    bench = stage()
    bench.pay()
    later = TODAY.replace(day=9)
    answer = bench.load(sequence=2, loaded=1500, through=300, issued=later, acknowledged=1,
                        bypass_total=7, cap=50)  # fmt: skip
    statement = Statement.parse(answer).verify(bench.receipt_public)
    card = bench.store.card
    assert statement.kind is StatementKind.LOAD
    assert statement.counters == Counters(1500, 100, 200, 0)
    assert (statement.wallet, statement.entitlement_sequence) == (FOOD, 2)
    assert (statement.detail, statement.number) == (0, 0)
    assert (statement.sequence, statement.link) == (1, card.head)
    assert statement.card_date == later == card.own_date
    assert (statement.terminal_id, statement.terminal_serial) == (b"TERM0001", 500)
    assert (card.acknowledged, card.bypass_total) == (1, 7)
    state = bench.open().state()
    assert state.wallets[0].counters == Counters(1500, 100, 200, 0)
    assert state.wallets[0].entitlement_sequence == 2


def test_load_refusals_in_order_change_nothing() -> None:
    bench = stage()
    session = bench.open()
    before = bench.store.logical_state()
    good = bytes(bench.entitlement(sequence=2))

    def sw(**changes: object) -> int:
        return _load_sw(session, bench.entitlement(**{"sequence": 2, **changes}))

    assert _load_sw(session, b"XX" + good[2:]) == 0x6A80
    assert sw(card_id=bench.world.card_id(2)) == 0x6A80
    other = bench.world.entitlement(sha256(b"another certificate").digest(), sequence=2)
    assert _load_sw(session, other) == 0x6A80
    assert sw(key_version=2) == 0x6A88
    assert sw(key_version=0) == 0x6A88
    assert sw(signer=STRANGER) == 0x6982
    assert sw(issued=date(2028, 1, 1)) == 0x940B
    assert sw(acknowledged=1) == 0x9409
    assert sw(sequence=1, loaded=999) == 0x9408
    bench.store  # noqa: B018 - the store reads anew; nothing was kept in RAM
    assert bench.store.logical_state() == before
    # the order: each fault hides those behind it
    assert sw(key_version=2, signer=STRANGER, issued=date(2028, 1, 1)) == 0x6A88
    assert sw(signer=STRANGER, issued=date(2028, 1, 1), acknowledged=9) == 0x6982
    assert sw(issued=date(2028, 1, 1), acknowledged=9) == 0x940B
    assert sw(acknowledged=9, sequence=1, loaded=999) == 0x9409
    assert _load_sw(session, good) == 0x9000


def test_every_flipped_byte_of_an_entitlement_is_refused() -> None:
    bench = stage()
    session = bench.open()
    good = bytes(bench.entitlement(sequence=2))
    before = bench.store.logical_state()
    for at in range(ENTITLEMENT_BYTES):
        bad = bytearray(good)
        bad[at] ^= 0x01
        assert _load_sw(session, bytes(bad)) in {0x6A80, 0x6982, 0x6A88}, at
    assert bench.store.logical_state() == before


def test_an_equal_sequence_is_answered_and_changes_nothing() -> None:
    bench = stage()
    order = bench.entitlement(sequence=2, loaded=1200, issued=TODAY.replace(day=9))
    session = bench.open()
    first = session.send(Ins.LOAD, 0, 0, bytes(order))
    writes = bench.nvm.writes
    again = session.send(Ins.LOAD, 0, 0, bytes(order))
    assert raw.body_of(first) == raw.body_of(again)
    twisted = raw.body_of(bytes(order)) + malleated(bytes(order)[-64:])
    assert raw.body_of(session.send(Ins.LOAD, 0, 0, twisted)) == raw.body_of(first)
    assert bench.nvm.writes == writes
    assert session.read(Read.ENTITLEMENT, 0).data == bytes(order)


def test_an_equal_sequence_never_moves_a_date_that_went_back() -> None:
    bench = stage()
    order = bench.entitlement(sequence=2, issued=TODAY.replace(day=28))
    session = bench.open()
    session.send(Ins.LOAD, 0, 0, bytes(order))
    _patch(bench, own_date=TODAY)
    assert _load_sw(session, order) == 0x9000
    assert bench.store.card.own_date == TODAY


def test_a_lower_sequence_is_refused_and_a_skipped_one_taken() -> None:
    bench = stage()
    bench.load(sequence=7, loaded=1300)
    session = bench.open()
    assert _load_sw(session, bench.entitlement(sequence=6, loaded=5000)) == 0x940E
    assert _load_sw(session, bench.entitlement(sequence=7, loaded=5000)) == 0x9408
    assert _food(bench).loaded == 1300


def test_a_smaller_l_acknowledged_and_bypass_total_never_lower() -> None:
    bench = stage()
    bench.pay()
    bench.load(sequence=2, loaded=900, acknowledged=1, bypass_total=9)
    bench.load(sequence=3, loaded=800, acknowledged=0, bypass_total=1)
    assert _food(bench).loaded == 1000
    assert (bench.store.card.acknowledged, bench.store.card.bypass_total) == (1, 9)


def test_eight_wallets_and_no_ninth() -> None:
    bench = stage()
    for wallet in range(1, 7):
        bench.load(wallet=wallet)
    session = bench.open()
    assert len(session.state().wallets) == 8
    assert _load_sw(session, bench.entitlement(wallet=99)) == 0x6A84
    assert _load_sw(session, bench.entitlement(wallet=3, sequence=2)) == 0x9000
    for index in range(8):
        order = Entitlement.parse(session.read(Read.ENTITLEMENT, index).data)
        assert order.wallet == session.state().wallets[index].wallet
    assert session.read(Read.ENTITLEMENT, 8).sw == 0x6A88


def test_load_works_blocked_and_inert() -> None:
    bench = stage("INERT")
    bench.load()
    session = bench.open()
    session.send(Ins.SCRIPT, 0, 0, bytes(bench.world.script(ScriptAction.BLOCK)))
    assert _load_sw(session, bench.entitlement(sequence=2)) == 0x9000


# DEBIT


@pytest.mark.parametrize("interface", list(Interface))
def test_the_receipt_says_everything(interface: Interface) -> None:
    bench = stage()
    bench.interface = interface
    session = _verified(bench)
    receipt = session.debit(debit_of(0)).verify(bench.receipt_public)
    assert receipt == Receipt(
        env=ENV, kind=ReceiptKind.DEBIT, card_id=bench.world.card_id(), sequence=1, wallet=FOOD,
        basket_version=3, amount=100, counters=Counters(1000, 100, 0, 0),
        terminal_id=b"TERM0001", terminal_serial=500, officer=0, terminal_sequence=40,
        terminal_time_s=1_780_000_000, intent_hash=INTENT, verification=Verification.PIN,
        interface=interface, entitlement_sequence=1, script_count=0, pin_set_count=1,
        bypass_count=0, card_date=TODAY, link=bench.certificate_hash, raw=receipt.raw,
    )  # fmt: skip
    second = bench.pay()
    assert (second.sequence, second.link) == (2, receipt.hash)
    assert bench.open().receipt(1).data == receipt.raw


def test_debit_needs_a_pin_of_this_session() -> None:
    bench = stage()
    assert _debit_sw(bench.open()) == 0x6982
    _verified(bench)
    assert _debit_sw(bench.open()) == 0x6982  # the PIN was another session's
    session = _verified(bench)
    assert session.verify(b"999999") == 0x63C2
    assert _debit_sw(session) == 0x6982


def test_debit_refusals_in_order_change_nothing() -> None:
    bench = stage()
    session = _verified(bench)
    before = bench.store.logical_state()
    assert _debit_sw(session, expected_sequence=1) == 0x9402
    assert _debit_sw(session, wallet=0x0999) == 0x9401
    assert _debit_sw(session, amount=0) == 0x6A80
    assert _debit_sw(session, amount=401) == 0x9404
    assert _debit_sw(session, wallet=CASH, amount=50_001) == 0x9404
    assert _debit_sw(session, amount=U32_MAX) == 0x9404
    assert bench.store.logical_state() == before
    bench.load(sequence=2, cap=U32_MAX, bypass_total=2)
    session = _verified(bench)
    assert _debit_sw(session, amount=1001) == 0x9400
    assert _debit_sw(session, amount=U32_MAX) == 0x9400
    # the order
    assert _debit_sw(session, expected_sequence=9, wallet=0x999, amount=0) == 0x9402
    assert _debit_sw(session, wallet=0x999, amount=0) == 0x9401
    assert _debit_sw(session, amount=1000) == 0x9000


def test_the_balance_is_l_less_consumed() -> None:
    bench = stage()
    bench.pay(amount=300)
    bench.load(sequence=2, through=700, cap=1000)  # F = 400: 300 left
    assert _food(bench) == Counters(1000, 300, 400, 0)
    assert _debit_sw(_verified(bench), amount=301) == 0x9400
    assert _debit_sw(_verified(bench), amount=300) == 0x9000
    assert _food(bench).balance == 0


def test_one_debit_per_wallet_and_session() -> None:
    bench = stage()
    session = _verified(bench)
    assert _debit_sw(session) == 0x9000
    assert _debit_sw(session) == 0x6985
    assert session.verify() == 0x9000
    assert _debit_sw(session) == 0x6985
    assert _debit_sw(session, wallet=CASH) == 0x9000
    assert _debit_sw(session, wallet=CASH) == 0x6985
    assert _debit_sw(_verified(bench)) == 0x9000
    # a refused debit does not use up the one
    session = _verified(bench)
    assert _debit_sw(session, amount=401) == 0x9404
    assert _debit_sw(session) == 0x9000


def test_blocked_stops_debit_with_pin_and_with_bypass() -> None:
    bench = stage()
    session = _verified(bench)
    session.send(Ins.SCRIPT, 0, 0, bytes(bench.world.script(ScriptAction.BLOCK)))
    assert _debit_sw(session) == 0x9406
    assert _debit_sw(bench.open(S), p1=1) == 0x9406


def test_bypasses_are_counted_and_end() -> None:
    bench = stage()
    for count in (1, 2):
        receipt = bench.open(S, officer=31).debit(debit_of(count - 1), p1=1)
        assert receipt.verification is Verification.BYPASS
        assert (receipt.bypass_count, receipt.officer) == (count, 31)
    assert _debit_sw(bench.open(S), p1=1) == 0x9407
    assert bench.store.card.bypass_count == 2
    bench.load(sequence=2, bypass_total=3)
    assert _debit_sw(bench.open(S), p1=1) == 0x9000


def test_a_pin_debit_takes_no_bypass() -> None:
    bench = stage()
    assert bench.pay().bypass_count == 0
    assert bench.store.card.bypass_count == 0


def test_the_ring_refuses_and_never_overwrites() -> None:
    bench = stage()
    receipts = [bench.pay(amount=1) for _ in range(31)]
    assert _debit_sw(_verified(bench), amount=1) == 0x9403
    receipts.append(bench.open(S).void(void_of(31)))  # the last slot is for a void
    assert bench.store.card.free_slots == 0
    assert bench.open(S).sw(Ins.VOID, 0, 0, bytes(void_of(32))) == 0x940A
    session = bench.open()
    for receipt in receipts:
        assert session.receipt(receipt.sequence).data == receipt.raw
    assert session.receipt(0).sw == 0x6A88
    assert session.receipt(33).sw == 0x6A88
    bench.load(sequence=2, acknowledged=1)
    assert _debit_sw(_verified(bench), amount=1) == 0x9403  # one slot is not two
    assert bench.open().receipt(1).sw == 0x6A88  # its slot is spare from now on
    bench.load(sequence=3, acknowledged=2)
    bench.pay(amount=1)
    session = bench.open()
    assert session.receipt(1).sw == 0x6A88
    assert session.receipt(2).sw == 0x6A88  # 33 is the newest: 3 to 33 are shown
    for sequence in range(3, 34):
        assert Receipt.parse(session.receipt(sequence).data).sequence == sequence


def test_void_needs_a_free_slot() -> None:
    bench = stage()
    for _ in range(31):
        bench.pay(amount=1)
    _patch(bench, sequence=32)
    bench.store._store.put("ring/31", bench.open().receipt(31).data)
    assert bench.open(S).sw(Ins.VOID, 0, 0, bytes(void_of(32))) == 0x9403


def test_an_acknowledged_receipt_among_the_newest_is_still_readable() -> None:
    bench = stage()
    receipt = bench.pay()
    bench.load(sequence=2, acknowledged=1)
    assert bench.open().receipt(1).data == receipt.raw


def test_the_sequence_ends() -> None:
    bench = stage()
    for end, sw in ((U32_MAX - 3, 0x9000), (U32_MAX - 2, 0x9000), (U32_MAX - 1, 0x940C),
                    (U32_MAX, 0x940C)):  # fmt: skip
        copy = bench.fork()
        _patch(copy, sequence=end, acknowledged=end)
        assert _debit_sw(_verified(copy)) == sw
    copy = bench.fork()
    _patch(copy, sequence=U32_MAX - 2, acknowledged=U32_MAX - 2)
    _verified(copy).debit(debit_of(U32_MAX - 2))
    void = copy.open(S).void(void_of(U32_MAX - 1))  # the void has its number
    assert void.sequence == U32_MAX == copy.store.card.sequence
    last = copy.open().receipt(U32_MAX)
    assert last.data == void.raw


def test_void_at_the_end_of_the_sequence() -> None:
    bench = stage()
    receipt = bench.pay()
    _patch(bench, sequence=U32_MAX, acknowledged=U32_MAX - 1)
    bench.store._store.put(f"ring/{(U32_MAX - 1) % 32}", receipt.raw)
    assert bench.open(S).sw(Ins.VOID, 0, 0, bytes(void_of(U32_MAX))) == 0x940C


def test_d_does_not_carry() -> None:
    bench = stage()
    _patch_wallet(bench, counters=Counters(1000, U32_MAX - 10, 0, U32_MAX - 10))
    assert _debit_sw(_verified(bench), amount=11) == 0x9400
    assert _debit_sw(_verified(bench), amount=10) == 0x9000
    assert _food(bench).debited == U32_MAX


# VOID


def test_a_void_takes_back_the_latest_debit() -> None:
    bench = stage()
    debit = bench.pay()
    void = bench.open(S, officer=31).void(void_of(1)).verify(bench.receipt_public)
    assert (void.kind, void.sequence, void.amount) == (ReceiptKind.REVERSAL, 2, 100)
    assert (void.wallet, void.basket_version) == (FOOD, debit.basket_version)
    assert void.counters == Counters(1000, 100, 0, 100)
    assert (void.verification, void.officer) == (Verification.NONE, 31)
    assert (void.terminal_sequence, void.link) == (41, debit.hash)
    assert _food(bench).balance == 1000
    assert bench.pay().link == void.hash


def test_void_refusals_change_nothing() -> None:
    bench = stage()
    assert bench.open(S).sw(Ins.VOID, 0, 0, bytes(void_of(0))) == 0x940A  # no receipt yet
    bench.pay()
    before = bench.store.logical_state()
    for sequence in (0, 2):
        assert bench.open(S).sw(Ins.VOID, 0, 0, bytes(void_of(sequence))) == 0x9402
    foreign = bench.open(S, terminal=b"TERM0002")
    assert foreign.sw(Ins.VOID, 0, 0, bytes(void_of(1))) == 0x940A
    after = bench.store.logical_state()
    assert after[1:] == before[1:]  # only the certificate cache moved
    session = bench.open(S)
    assert session.sw(Ins.VOID, 0, 0, bytes(void_of(1))) == 0x9000
    assert session.sw(Ins.VOID, 0, 0, bytes(void_of(2))) == 0x940A  # a reversal
    assert session.sw(Ins.VOID, 0, 0, bytes(void_of(1))) == 0x9402


def test_a_confirmed_debit_stays() -> None:
    bench = stage()
    bench.pay()
    bench.open().send(Ins.CONFIRM, 0, 0, bytes([0, 0, 0, 1]))
    assert bench.open(S).sw(Ins.VOID, 0, 0, bytes(void_of(1))) == 0x940A
    bench.pay()  # the next one is not confirmed
    assert bench.open(S).sw(Ins.VOID, 0, 0, bytes(void_of(2))) == 0x9000


def test_only_the_last_of_two_wallets_is_voided() -> None:
    bench = stage()
    session = _verified(bench)
    session.debit(debit_of(0))
    session.debit(debit_of(1, 5000, CASH))
    void = bench.open(S).void(void_of(2))
    assert (void.wallet, void.amount) == (CASH, 5000)
    assert _food(bench).debited == 100


def test_void_works_while_blocked() -> None:
    bench = stage()
    bench.pay()
    bench.open().send(Ins.SCRIPT, 0, 0, bytes(bench.world.script(ScriptAction.BLOCK)))
    assert bench.open(S).void(void_of(1)).script_count == 1


def test_a_void_of_a_bypass_gives_no_bypass_back() -> None:
    bench = stage()
    bench.open(S).debit(debit_of(0), p1=1)
    assert bench.open(S).void(void_of(1)).bypass_count == 1
    assert bench.store.card.bypass_count == 1


# CONFIRM


def test_confirm_answers_the_sequence_once_and_again() -> None:
    bench = stage()
    bench.pay()
    session = bench.open()
    one = bytes([0, 0, 0, 1])
    assert session.send(Ins.CONFIRM, 0, 0, one) == one
    assert Flag.CONFIRMED in session.state().flags
    writes = bench.nvm.writes
    assert session.send(Ins.CONFIRM, 0, 0, one) == one
    assert bench.nvm.writes == writes
    bench.pay()
    assert Flag.CONFIRMED not in bench.open().state().flags


def test_confirm_refusals() -> None:
    bench = stage()
    assert bench.open().sw(Ins.CONFIRM, 0, 0, bytes(4)) == 0x6985  # nothing to confirm
    bench.pay()
    bench.pay()
    for sequence in (0, 1, 3):
        assert bench.open().sw(Ins.CONFIRM, 0, 0, sequence.to_bytes(4, "big")) == 0x6985
    foreign = bench.open(terminal=b"TERM0002")
    assert foreign.sw(Ins.CONFIRM, 0, 0, bytes([0, 0, 0, 2])) == 0x6985
    assert Flag.CONFIRMED not in bench.store.card.flags
    assert bench.open(S).sw(Ins.CONFIRM, 0, 0, bytes([0, 0, 0, 2])) == 0x9000


def test_blocked_does_not_stop_confirm_or_read() -> None:
    bench = stage()
    bench.pay()
    session = bench.open()
    session.send(Ins.SCRIPT, 0, 0, bytes(bench.world.script(ScriptAction.BLOCK)))
    assert session.sw(Ins.CONFIRM, 0, 0, bytes([0, 0, 0, 1])) == 0x9000
    assert session.receipt(1).sw == 0x9000
    assert session.verify(PIN) == 0x9406
