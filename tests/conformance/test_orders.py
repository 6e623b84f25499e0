"""SPEC.md: LOAD and SCRIPT, what the issuer signed."""

from datetime import timedelta

import pytest

from card_os.host import errors
from tests.conformance.world import (
    CASH,
    DAY,
    FOOD,
    PIN,
    Authorities,
    Bench,
    debit_of,
    flip,
    negate,
    raw,
    refused,
    void_of,
)  # fmt: skip
from wire.cvc import Role
from wire.entitlement import NEVER_S, Lot, ScriptAction
from wire.env import Environment
from wire.purse import Flag
from wire.receipt import Counters, StatementKind

FAR = timedelta(days=400)


@pytest.mark.parametrize("life", ["INERT", "ACTIVE"])
@pytest.mark.parametrize("role", Role)
def test_load_in_any_role(bench: Bench, life: str, role: Role) -> None:
    bench.prepare(life)
    order = bench.entitlement(loaded=700, bypass_total=2)
    with bench.session(role) as session:
        statement = session.load(order)
        assert (statement.kind, statement.counters.loaded) == (StatementKind.LOAD, 700)
        assert session.state == session.read_state()
        assert session.state.bypass_total == 2
        assert session.read_entitlement(0) == order


def test_a_repeated_load_is_answered_and_changes_nothing(bench: Bench) -> None:
    bench.loaded()
    day = DAY + timedelta(days=3)
    order = bench.entitlement(loaded=1500, forfeited_through=200, issued=day)
    with bench.paying() as session:
        first = session.load(order)
        session.debit(debit_of(session))
        before = session.read_state()
        again = session.load(order)
        assert session.read_state() == before == session.state
        assert (again.sequence, again.counters.debited) == (1, 100)
        assert (first.entitlement_sequence, again.entitlement_sequence) == (2, 2)
        # Same body, the other valid signature: the same order; the stored bytes stay.
        answer, sw = raw(session, "320000", negate(bytes(order)))
        assert (sw, len(answer)) == (0x9000, 165)
        assert session.read_entitlement(0) == order
        assert session.read_state() == before


def test_load_refusals(bench: Bench) -> None:
    bench.loaded()
    other_world = Authorities(env=Environment.DEMO_SPECIMEN, keys=bench.up.keys)
    world = Bench(bench.link, other_world)
    world.certificate = bench.certificate
    good = bench.entitlement(sequence=2, loaded=2000)
    with bench.session() as session:
        for bad, sw in (
            (bench.entitlement(sequence=2, card_id=b"DEMO\x00\x00\x00\x2b"), 0x6A80),
            (bench.entitlement(sequence=2, certificate_hash=bytes(16)), 0x6A80),
            (world.entitlement(sequence=2), 0x6A80),
            (b"BTE\x02" + bytes(good)[4:], 0x6A80),
            (b"BTR" + bytes(good)[3:], 0x6A80),
            (bytes(good)[:41] + b"\x05" + bytes(good)[42:], 0x6A80),  # five lots
            (bench.entitlement(sequence=2, key_version=7), 0x6A88),
            (bench.entitlement(sequence=2, key_version=0), 0x6A88),
            (flip(bytes(good)), 0x6982),
            (flip(bytes(good), 49), 0x6A80),  # L no longer the last lot's end
            (flip(bytes(good), 81), 0x6982),  # the cap
            (bench.entitlement(sequence=2, signer=bench.up.root), 0x6982),
            (bench.entitlement(sequence=2, issued=DAY + FAR + timedelta(days=1)), 0x940B),
            (bench.entitlement(sequence=2, acknowledged=1), 0x9409),
            (bench.entitlement(sequence=1, loaded=1001), 0x9408),
            (bench.entitlement(sequence=1, loaded=1000, cap=501), 0x9408),
        ):  # fmt: skip
            refused(session, "320000", bytes(bad), sw)
        session.load(good)
        refused(session, "320000", bytes(bench.entitlement(sequence=1)), 0x940E)
        old = bench.entitlement(sequence=3, loaded=2100, issued=DAY - FAR)
        session.load(old)  # an old issue date is no fault, and moves nothing
        assert session.read_state().card_date == DAY


def test_the_issue_date_moves_the_cards_own(bench: Bench) -> None:
    bench.loaded()
    with bench.session() as session:
        session.load(bench.entitlement(issued=DAY + FAR))
        assert session.state.card_date == DAY + FAR
        assert session.state == session.read_state()
        session.script(bench.script(ScriptAction.BLOCK, issued=DAY + FAR + FAR))
        assert session.state == session.read_state()
        assert session.state.card_date == DAY + FAR + FAR


def test_eight_wallets_and_no_ninth(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    with bench.session() as session:
        for wallet in range(1, 9):
            session.load(bench.entitlement(wallet=wallet, loaded=wallet))
        assert session.state == session.read_state()
        refused(session, "320000", bytes(bench.entitlement(wallet=9)), 0x6A84)
        session.load(bench.entitlement(wallet=8, loaded=80))
        assert session.state == session.read_state()
        for index in range(8):
            wallet = session.read_entitlement(index).wallet
            assert wallet == index + 1
        assert raw(session, "300108") == (b"", 0x6A88)
        assert raw(session, "3001FF") == (b"", 0x6A88)


def test_l_never_falls_and_f_takes_what_has_expired(bench: Bench) -> None:
    bench.loaded(1000)
    with bench.paying() as session:
        session.debit(debit_of(session, 300))
        session.load(bench.entitlement(loaded=900))
        assert session.state.wallets[0].counters == Counters(1000, 300, 0, 0)
        lots = (Lot(1, 800), Lot(NEVER_S, 1500))
        session.load(bench.entitlement(loaded=1500, lots=lots, forfeited_through=800))
        assert session.state.wallets[0].counters == Counters(1500, 300, 500, 0)
        session.load(bench.entitlement(loaded=1500, forfeited_through=100))
        assert session.state.wallets[0].counters == Counters(1500, 300, 500, 0)
        assert session.state == session.read_state()


def test_the_largest_values(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    top = 0x7FFFFFFF
    with bench.paying() as session:
        session.load(bench.entitlement(loaded=top, forfeited_through=top - 1, cap=0xFFFFFFFF))
        assert session.state == session.read_state()
        assert session.state.wallets[0].counters.balance == 1
        refused(session, "380000", bytes(debit_of(session, 0xFFFFFFFF)), 0x9400)
        session.debit(debit_of(session, 1))
        assert session.state.wallets[0].counters.balance == 0


def test_acknowledged_and_bypass_total_never_fall(bench: Bench) -> None:
    bench.loaded(bypass_total=3)
    for _ in range(2):
        with bench.paying() as session:
            session.debit(debit_of(session))
    with bench.session() as session:
        session.load(bench.entitlement(acknowledged=2, bypass_total=1))
        assert (session.state.acknowledged, session.state.bypass_total) == (2, 3)
        session.load(bench.entitlement(wallet=CASH, acknowledged=1, bypass_total=0))
        assert (session.state.acknowledged, session.state.bypass_total) == (2, 3)
        assert session.state == session.read_state()


# --- SCRIPT --------------------------------------------------------------------------------------


@pytest.mark.parametrize("life", ["INERT", "ACTIVE"])
@pytest.mark.parametrize("action", ScriptAction)
def test_every_script_once(bench: Bench, life: str, action: ScriptAction) -> None:
    bench.prepare(life)
    with bench.session() as session:
        assert raw(session, "300400") == (b"", 0x6A88)
        order = bench.script(action, 5)
        statement = session.script(order)
        assert session.state == session.read_state()
        assert session.read_script_statement() == statement
        for number in (5, 4):
            refused(session, "340000", bytes(bench.script(action, number)), 0x940E)
        assert session.read_script_statement() == statement
        assert session.script(bench.script(action, 9)).number == 9
        assert session.state.script_count == 2


def test_script_refusals(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    block = ScriptAction.BLOCK
    world = Bench(bench.link, Authorities(env=Environment.DEMO_SPECIMEN, keys=bench.up.keys))
    good = bytes(bench.script(block))
    with bench.session() as session:
        for bad, sw in (
            (bench.script(block, card_id=b"DEMO\x00\x00\x00\x2b"), 0x6A80),
            (world.script(block), 0x6A80),
            (good[:13] + b"\x00\x00" + good[15:], 0x6A80),  # number 0
            (good[:15] + b"\x05" + good[16:], 0x6A80),  # no such action
            (bench.script(block, key_version=7), 0x6A88),
            (flip(good), 0x6982),
            (bench.script(block, signer=bench.up.root), 0x6982),
            (bench.script(block, issued=DAY + FAR + timedelta(days=1)), 0x940B),
        ):  # fmt: skip
            refused(session, "340000", bytes(bad), sw)
        assert raw(session, "300400") == (b"", 0x6A88)


def test_block_stops_money_and_pin_but_not_the_rest(bench: Bench) -> None:
    bench.loaded(bypass_total=1)
    with bench.paying() as session:
        session.debit(debit_of(session))
    with bench.paying() as session:
        session.load(bench.entitlement(wallet=CASH))
        session.script(bench.script(ScriptAction.BLOCK))
        assert Flag.BLOCKED in session.state.flags
        refused(session, "380000", bytes(debit_of(session)), 0x9406)
        refused(session, "200080", PIN.encode(), 0x9406)
        refused(session, "240080", (PIN + "739156").encode(), 0x9406)
        session.load(bench.entitlement(loaded=1100))
        session.read_receipt(1)
        session.confirm(1)
    with bench.session(Role.SUPERVISOR) as session:
        refused(session, "380100", bytes(debit_of(session)), 0x9406)
        session.script(bench.script(ScriptAction.UNBLOCK, 2))
        assert Flag.BLOCKED not in session.state.flags
        session.debit(debit_of(session), bypass=True)
        session.script(bench.script(ScriptAction.BLOCK, 3))
    with bench.session(Role.SUPERVISOR) as session:
        session.void(void_of(session))


def test_ten_pin_unblocks(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    with bench.session() as session:
        for number in range(1, 11):
            with pytest.raises(errors.WrongPinError):
                session.verify_pin("000000")
            session.script(bench.script(ScriptAction.PIN_UNBLOCK, number))
            assert session.state == session.read_state()
            assert session.state.pin_unblocks_left == 10 - number
        refused(session, "340000", bytes(bench.script(ScriptAction.PIN_UNBLOCK, 11)), 0x6985)
        session.script(bench.script(ScriptAction.BLOCK, 11))


def test_wallet_codes_are_kept_apart(bench: Bench) -> None:
    bench.loaded(1000)
    with bench.session() as session:
        session.load(bench.entitlement(wallet=CASH, loaded=50))
        assert [w.wallet for w in session.state.wallets] == [FOOD, CASH]
        assert [w.counters.loaded for w in session.read_state().wallets] == [1000, 50]
