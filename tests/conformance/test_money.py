"""SPEC.md: DEBIT, VOID, CONFIRM, the ring of receipts.

940C (the end of the sequence) and a VOID without a free slot cannot be reached by commands in any
reasonable time; the reference card's own tests cover them.
"""

import itertools

import pytest

from tests.conformance.world import (
    CASH,
    FOOD,
    OFFICER,
    PIN,
    TERMINAL,
    Bench,
    debit_of,
    raw,
    refused,
    void_of,
)  # fmt: skip
from wire.cvc import Role
from wire.purse import Flag
from wire.receipt import ReceiptKind, Verification


def test_debit(bench: Bench) -> None:
    bench.loaded()
    with bench.paying() as session:
        receipt = session.debit(debit_of(session, 120))
        assert session.state == session.read_state()
        assert (receipt.sequence, receipt.amount, receipt.counters.balance) == (1, 120, 880)
        assert (receipt.terminal_id, receipt.officer) == (TERMINAL, 0)
        assert bench.certificate is not None
        assert receipt.link == bench.certificate.digest
        assert receipt.interface == bench.link.interface
        assert session.read_receipt(1) == receipt
        assert raw(session, "300200", bytes(4)) == (b"", 0x6A88)
        assert raw(session, "300200", b"\x00\x00\x00\x02") == (b"", 0x6A88)
    with bench.paying() as session:
        assert session.debit(debit_of(session)).link == receipt.hash


def test_debit_refusals_in_their_order(bench: Bench) -> None:
    bench.loaded(450, cap=400)
    with bench.session() as session:
        refused(session, "380000", bytes(debit_of(session, wallet=99)), 0x6982)  # no PIN
        session.verify_pin(PIN)
        for fields, sw in (
            ({"expected_sequence": 1, "wallet": 99}, 0x9402),
            ({"wallet": 99, "amount": 0}, 0x9401),
            ({"amount": 0}, 0x6A80),
            ({"amount": 401}, 0x9404),
            ({"amount": 0xFFFFFFFF}, 0x9404),
        ):
            refused(session, "380000", bytes(debit_of(session, **fields)), sw)
        session.debit(debit_of(session, 400))
        # The second debit of a wallet comes before its amount.
        refused(session, "380000", bytes(debit_of(session, 0)), 0x6985)
    with bench.paying() as session:
        refused(session, "380000", bytes(debit_of(session, 51)), 0x9400)
        session.debit(debit_of(session, 50))
        assert session.state.wallets[0].counters.balance == 0
    with bench.paying() as session:
        refused(session, "380000", bytes(debit_of(session, 1)), 0x9400)


def test_several_wallets_in_one_session(bench: Bench) -> None:
    bench.loaded()
    with bench.paying() as session:
        session.load(bench.entitlement(wallet=CASH, loaded=70))
        session.debit(debit_of(session))
        session.debit(debit_of(session, 70, wallet=CASH))
        assert session.state == session.read_state()
        for wallet in (FOOD, CASH):
            refused(session, "380000", bytes(debit_of(session, 1, wallet=wallet)), 0x6985)


def test_bypass_within_its_total(bench: Bench) -> None:
    bench.loaded(bypass_total=2)
    for count in (1, 2):
        with bench.session(Role.SUPERVISOR) as session:
            receipt = session.debit(debit_of(session), bypass=True)
            assert (receipt.verification, receipt.officer) == (Verification.BYPASS, OFFICER)
            assert receipt.bypass_count == count
            assert session.state == session.read_state()
    with bench.session(Role.SUPERVISOR) as session:
        refused(session, "380100", bytes(debit_of(session)), 0x9407)
        refused(session, "380000", bytes(debit_of(session)), 0x6982)
        # Before the sequence is looked at.
        refused(session, "380100", bytes(debit_of(session, expected_sequence=9)), 0x9407)
    with bench.paying() as session:
        refused(session, "380100", bytes(debit_of(session)), 0x6982)


def test_void_gives_back_exactly_the_debit(bench: Bench) -> None:
    bench.loaded()
    with bench.paying() as session:
        debit = session.debit(debit_of(session, 130))
    with bench.session(Role.SUPERVISOR) as session:
        receipt = session.void(void_of(session))
        assert session.state == session.read_state()
        assert (receipt.kind, receipt.verification) == (ReceiptKind.REVERSAL, Verification.NONE)
        assert (receipt.sequence, receipt.amount, receipt.wallet) == (2, 130, FOOD)
        assert receipt.basket_version == debit.basket_version
        assert receipt.link == debit.hash
        assert receipt.counters.balance == 1000
        refused(session, "3A0000", bytes(void_of(session)), 0x940A)  # the latest is no debit
        refused(session, "3A0000", bytes(void_of(session, sequence=1)), 0x9402)
    with bench.paying() as session:
        session.confirm(2)  # of either kind
        assert session.state == session.read_state()


def test_void_refusals(bench: Bench) -> None:
    bench.loaded()
    with bench.session(Role.SUPERVISOR) as session:
        refused(session, "3A0000", bytes(void_of(session)), 0x940A)  # no receipt at all
        refused(session, "3A0000", bytes(void_of(session, sequence=1)), 0x9402)
    with bench.paying() as session:
        session.debit(debit_of(session))
    other = bench.station(Role.SUPERVISOR, subject=b"DEMOT002", officer=OFFICER)
    with bench.session(other) as session:
        refused(session, "3A0000", bytes(void_of(session)), 0x940A)
        refused(session, "3C0000", b"\x00\x00\x00\x01", 0x6985)
    with bench.session(Role.SUPERVISOR) as session:
        refused(session, "3A0000", bytes(void_of(session, sequence=0)), 0x9402)
        session.confirm(1)
        refused(session, "3A0000", bytes(void_of(session)), 0x940A)


def test_void_after_a_visit_over_several_wallets_takes_the_last_debit(bench: Bench) -> None:
    bench.loaded()
    with bench.paying() as session:
        session.load(bench.entitlement(wallet=CASH, loaded=70))
        session.debit(debit_of(session))
        session.debit(debit_of(session, 70, wallet=CASH))
    with bench.session(Role.SUPERVISOR) as session:
        refused(session, "3A0000", bytes(void_of(session, sequence=1)), 0x9402)
        assert session.void(void_of(session)).wallet == CASH
        assert session.state == session.read_state()


def test_a_void_gives_no_bypass_back(bench: Bench) -> None:
    bench.loaded(bypass_total=1)
    with bench.session(Role.SUPERVISOR) as session:
        session.debit(debit_of(session), bypass=True)
        session.void(void_of(session))
        assert session.state == session.read_state()
    with bench.session(Role.SUPERVISOR) as session:
        refused(session, "380100", bytes(debit_of(session)), 0x9407)


def test_confirm(bench: Bench) -> None:
    bench.loaded()
    with bench.paying() as session:
        refused(session, "3C0000", bytes(4), 0x6985)
        session.debit(debit_of(session))
        assert Flag.CONFIRMED not in session.state.flags
        refused(session, "3C0000", b"\x00\x00\x00\x02", 0x6985)
        session.confirm(1)
        assert Flag.CONFIRMED in session.state.flags
        session.confirm(1)
        assert session.state == session.read_state()
    with bench.paying() as session:
        session.debit(debit_of(session))
        assert Flag.CONFIRMED not in session.read_state().flags
        refused(session, "3C0000", b"\x00\x00\x00\x01", 0x6985)


def test_the_ring_refuses_and_never_overwrites(bench: Bench) -> None:
    bench.loaded(5000)
    receipts = []
    for _ in range(31):
        with bench.paying() as session:
            receipts.append(session.debit(debit_of(session, 10)))
    with bench.paying() as session:
        assert session.state.free_slots == 1
        refused(session, "380000", bytes(debit_of(session, 10)), 0x9403)
        # Before the wallet is looked at, after the sequence.
        refused(session, "380000", bytes(debit_of(session, 10, wallet=99)), 0x9403)
        refused(session, "380000", bytes(debit_of(session, 10, expected_sequence=5)), 0x9402)
        assert [session.read_receipt(n) for n in range(1, 32)] == receipts
    with bench.session(Role.SUPERVISOR) as session:
        receipts.append(session.void(void_of(session)))  # one slot is enough for a void
        assert session.state.free_slots == 0
        assert [session.read_receipt(n) for n in range(1, 33)] == receipts
        assert session.state == session.read_state()
    for before, after in itertools.pairwise(receipts):
        assert after.link == before.hash


def test_an_acknowledgement_frees_the_ring(bench: Bench) -> None:
    bench.loaded(5000)
    for _ in range(31):
        with bench.paying() as session:
            session.debit(debit_of(session, 10))
    with bench.session(Role.SUPERVISOR) as session:
        session.void(void_of(session))
        session.load(bench.entitlement(wallet=CASH, acknowledged=1))
        assert session.state.free_slots == 1
        # The slot of the next receipt is spare now, and what lies there is not shown.
        assert raw(session, "300200", b"\x00\x00\x00\x01") == (b"", 0x6A88)
        session.read_receipt(2)
    with bench.paying() as session:
        refused(session, "380000", bytes(debit_of(session, 10)), 0x9403)
        session.load(bench.entitlement(acknowledged=32, loaded=5000))
        assert session.state.free_slots == 32
        assert session.read_receipt(2).sequence == 2  # the 31 newest stay readable
        receipt = session.debit(debit_of(session, 10))
        assert receipt.sequence == 33
        assert raw(session, "300200", b"\x00\x00\x00\x02") == (b"", 0x6A88)
        assert session.read_receipt(33) == receipt


def test_counters_never_fall_over_a_life(bench: Bench) -> None:
    bench.loaded(1000)
    debited = reversed_ = 0
    for amount in (1, 200, 300, 499):
        with bench.paying() as session:
            session.debit(debit_of(session, amount))
            debited += amount
        with bench.session(Role.SUPERVISOR) as session:
            session.void(void_of(session))
            reversed_ += amount
            counters = session.state.wallets[0].counters
            assert (counters.debited, counters.reversed) == (debited, reversed_)
            assert session.state == session.read_state()


@pytest.mark.parametrize("life", ["INERT"])
def test_no_money_before_the_hand_over(bench: Bench, life: str) -> None:
    bench.prepare(life)
    with bench.session() as session:
        session.load(bench.entitlement())
        refused(session, "380000", bytes(debit_of(session)), 0x9405)
        refused(session, "200080", PIN.encode(), 0x9405)
    with bench.session(Role.SUPERVISOR) as session:
        refused(session, "380100", bytes(debit_of(session)), 0x9405)
        refused(session, "3A0000", bytes(void_of(session)), 0x6985)
