"""PERSONALISE, VERIFY, CHANGE PIN, ACTIVATE and SCRIPT (card_os/SPEC.md)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from card_os.reference.purse_store import Secrets
from tests.support.purse_world import (
    BIRTH,
    CASH,
    CODE,
    OFFICER,
    OTHER_PIN,
    PIN,
    STRANGER,
    TERMINAL,
    TODAY,
    Bench,
    HostSession,
    World,
    debit_of,
    point,
    stage,
)
from wire.cvc import Role
from wire.entitlement import SCRIPT_BYTES, ScriptAction
from wire.env import Environment
from wire.purse import Flag, Ins, Life, Read
from wire.raw import U16_MAX
from wire.receipt import Counters, PinSetPath, Statement, StatementKind

H, P = Role.HANDOVER, Role.PERSONALISER


def _script(session: HostSession, action: ScriptAction, number: int | None = None) -> int:
    number = session.bench.store.card.script_number + 1 if number is None else number
    return session.sw(Ins.SCRIPT, 0, 0, bytes(session.bench.world.script(action, number)))


def _statement(bench: Bench, which: Read) -> Statement:
    return Statement.parse(bench.open().read(which).data).verify(bench.receipt_public)


def _change(session: HostSession, old: bytes, new: bytes) -> int:
    return session.sw(Ins.CHANGE_PIN, 0, 0x80, old + new)


def _activate(session: HostSession, code: bytes = CODE, pin: bytes = PIN) -> int:
    return session.sw(Ins.ACTIVATE, 0, 0, code + pin)


def _count_to_end(bench: Bench) -> None:
    bench.store.put_card(replace(bench.store.card, pin_set_count=U16_MAX))


# PERSONALISE


def test_personalise() -> None:
    bench = stage("KEYED")
    session = bench.open(P)
    certificate = bench.own_certificate()
    assert session.state().card_id == bytes(8)
    assert session.send(Ins.PERSONALISE, 0, 0, CODE + bytes(certificate)) == b"\x03"
    state = session.state()
    assert (state.card_id, state.life) == (bench.world.card_id(), Life.INERT)
    assert (state.pin_tries, state.pin_unblocks_left) == (5, 10)
    assert bench.store.card.head == certificate.digest
    assert session.sw(Ins.PERSONALISE, 0, 0, CODE + bytes(certificate)) == 0x6985


def test_personalise_moves_the_date_forward_only() -> None:
    for effective, want in ((TODAY.replace(day=20), TODAY.replace(day=20)), (BIRTH, TODAY)):
        bench = stage("KEYED")
        certificate = bench.own_certificate(effective=effective)
        bench.open(P).send(Ins.PERSONALISE, 0, 0, CODE + bytes(certificate))
        assert bench.store.card.own_date == want


def test_personalise_refusals_change_nothing() -> None:
    bench = stage("KEYED")
    session = bench.open(P)
    before = bench.store.logical_state()
    channel, receipt = bench.channel_public, bench.receipt_public
    make = bench.world.card_certificate
    good = bytes(make(channel, receipt))
    foreign = World(Environment.DEMO_SPECIMEN).card_certificate(channel, receipt)
    for data in (
        b"4081726a" + good,
        CODE + good[:-1],
        CODE + bytes(make(point(STRANGER), receipt)),
        CODE + bytes(make(channel, point(STRANGER))),
        CODE + bytes(make(receipt, channel)),
        CODE + bytes(make(channel, receipt, card_id=b"KHBS\x00\x00\x00\x01")),
        CODE + bytes(foreign),
        CODE + bytes(bench.world.terminal_certificate(key=TERMINAL)),
    ):
        assert session.sw(Ins.PERSONALISE, 0, 0, data) == 0x6A80
    assert bench.store.logical_state() == before


# VERIFY


def test_verify_counts_down_restores_and_ends() -> None:
    bench = stage()
    session = bench.open()
    assert session.send(Ins.VERIFY, 0, 0x80, PIN) == b"\x03"
    assert session.verify(OTHER_PIN) == 0x63C2
    assert session.state().pin_tries == 2
    assert session.verify() == 0x9000
    assert session.state().pin_tries == 3
    assert [session.verify(OTHER_PIN) for _ in range(4)] == [0x63C2, 0x63C1, 0x63C0, 0x6983]
    assert session.verify() == 0x6983  # the right one too
    assert bench.open().verify() == 0x6983


def test_what_is_no_pin_costs_no_try_and_undoes_the_result() -> None:
    bench = stage()
    session = bench.open()
    assert session.verify() == 0x9000
    for bad in (b"27195a", b"27195:", b"27195/", bytes(6)):
        assert session.verify(bad) == 0x6A80
    assert session.state().pin_tries == 3
    assert session.sw(Ins.DEBIT, 0, 0, bytes(debit_of(0))) == 0x6982


def test_blocked_stops_verify_and_change_without_a_try() -> None:
    bench = stage()
    session = bench.open()
    assert _script(session, ScriptAction.BLOCK) == 0x9000
    assert session.verify(OTHER_PIN) == 0x9406
    assert _change(session, PIN, OTHER_PIN) == 0x9406
    assert bench.store.secrets.pin_tries == 3
    assert _script(session, ScriptAction.UNBLOCK) == 0x9000
    assert session.verify() == 0x9000


# CHANGE PIN


def test_change_pin() -> None:
    bench = stage()
    session = bench.open()
    answer = session.send(Ins.CHANGE_PIN, 0, 0x80, PIN + OTHER_PIN)
    statement = Statement.parse(answer).verify(bench.receipt_public)
    assert (statement.kind, statement.detail) == (StatementKind.PIN_SET, PinSetPath.CHANGE)
    assert (statement.pin_set_count, statement.wallet) == (2, 0)
    assert statement.counters == Counters(0, 0, 0, 0)
    assert _statement(bench, Read.PIN_STATEMENT).raw == answer
    assert bench.open().verify(PIN) == 0x63C2
    assert bench.open().verify(OTHER_PIN) == 0x9000


def test_change_pin_gives_and_undoes_the_result() -> None:
    bench = stage()
    session = bench.open()
    assert _change(session, PIN, OTHER_PIN) == 0x9000
    assert session.sw(Ins.DEBIT, 0, 0, bytes(debit_of(0))) == 0x9000
    assert _change(session, OTHER_PIN, b"123456") == 0x940D
    assert session.sw(Ins.DEBIT, 0, 0, bytes(debit_of(1, 1, CASH))) == 0x6982


def test_change_pin_refusals() -> None:
    bench = stage()
    session = bench.open()
    assert _change(session, PIN, b"12345a") == 0x6A80
    assert _change(session, b"abcdef", OTHER_PIN) == 0x6A80
    assert bench.store.secrets.pin_tries == 3
    assert _change(session, OTHER_PIN, b"111111") == 0x63C2  # the old one first
    assert _change(session, PIN, b"111111") == 0x940D
    assert bench.store.secrets.pin_tries == 3  # it was right
    assert bench.store.card.pin_set_count == 1
    assert [_change(session, OTHER_PIN, PIN) for _ in range(4)] == [0x63C2, 0x63C1, 0x63C0, 0x6983]
    assert session.verify() == 0x6983  # one counter for both


@pytest.mark.parametrize("pin", [b"000000", b"345678", b"987654", b"010199", b"123199", b"991231"])
def test_simple_pins_are_refused_everywhere(pin: bytes) -> None:
    assert _change(stage().open(), PIN, pin) == 0x940D
    bench = stage("INERT")
    assert _activate(bench.open(H), pin=pin) == 0x940D
    assert bench.store.secrets.code_tries == 5
    assert bench.store.card.life is Life.INERT
    _script(bench.open(), ScriptAction.PIN_RESET)
    assert bench.open(H, officer=OFFICER).sw(Ins.ACTIVATE, 1, 0, pin) == 0x940D
    assert bench.store.card.life is Life.INERT


def test_the_pin_set_count_ends() -> None:
    bench = stage()
    _count_to_end(bench)
    assert _change(bench.open(), PIN, OTHER_PIN) == 0x940C
    assert bench.store.secrets.pin_tries == 3
    inert = stage("INERT")
    _script(inert.open(), ScriptAction.PIN_RESET)
    _count_to_end(inert)
    session = inert.open(H, officer=OFFICER)
    assert _activate(session) == 0x940C
    assert session.sw(Ins.ACTIVATE, 1, 0, PIN) == 0x940C


# ACTIVATE


def test_activation() -> None:
    bench = stage("INERT")
    answer = bench.open(H, officer=OFFICER).send(Ins.ACTIVATE, 0, 0, CODE + PIN)
    statement = Statement.parse(answer).verify(bench.receipt_public)
    assert (statement.kind, statement.detail) == (StatementKind.ACTIVATION, 0)
    assert (statement.officer, statement.pin_set_count) == (OFFICER, 1)
    state = bench.open().state()
    assert (state.life, state.pin_tries) == (Life.ACTIVE, 3)
    assert _statement(bench, Read.PIN_STATEMENT).raw == answer
    assert bench.store.secrets.code == bytes(8)  # erased
    assert _activate(bench.open(H)) == 0x6985


def test_the_transport_code_has_five_tries() -> None:
    bench = stage("INERT")
    session = bench.open(H)
    wrong = CODE[::-1]
    assert _activate(session, b"4081726x") == 0x6A80
    assert _activate(session, CODE, b"27195x") == 0x6A80
    tries = [_activate(session, wrong) for _ in range(6)]
    assert tries == [0x63C4, 0x63C3, 0x63C2, 0x63C1, 0x63C0, 0x6983]
    assert _activate(session) == 0x6983
    assert session.state().pin_tries == 0
    assert _script(session, ScriptAction.PIN_UNBLOCK) == 0x9000
    assert session.state().pin_tries == 5
    assert _activate(session) == 0x9000


def test_a_blocked_inert_card_is_not_handed_over_by_code() -> None:
    bench = stage("INERT")
    session = bench.open(H, officer=OFFICER)
    assert _script(session, ScriptAction.BLOCK) == 0x9000
    assert _activate(session) == 0x9406
    assert bench.store.secrets.code_tries == 5
    assert _script(session, ScriptAction.PIN_RESET) == 0x9000
    assert session.sw(Ins.ACTIVATE, 1, 0, PIN) == 0x9000


@pytest.mark.parametrize("life", ["INERT", "ACTIVE"])
def test_pin_reset_is_for_its_officer_once(life: str) -> None:
    bench = stage(life)
    right, wrong = {"officer": OFFICER}, {"officer": OFFICER + 1}
    assert bench.open(H, **right).sw(Ins.ACTIVATE, 1, 0, OTHER_PIN) == 0x6985
    assert _script(bench.open(), ScriptAction.PIN_RESET) == 0x9000
    assert Flag.PIN_RESET_PENDING in bench.open().state().flags
    assert bench.open(H, **wrong).sw(Ins.ACTIVATE, 1, 0, OTHER_PIN) == 0x6985
    assert bench.open(H, officer=0).sw(Ins.ACTIVATE, 1, 0, OTHER_PIN) == 0x6985
    assert bench.open(H, **right).sw(Ins.ACTIVATE, 1, 0, b"60284x") == 0x6A80
    answer = bench.open(H, **right).send(Ins.ACTIVATE, 1, 0, OTHER_PIN)
    statement = Statement.parse(answer)
    assert (statement.kind, statement.detail) == (StatementKind.PIN_SET, PinSetPath.RESET)
    state = bench.open().state()
    assert (state.life, state.flags, state.pin_tries) == (Life.ACTIVE, Flag(0), 3)
    assert bench.open(H, **right).sw(Ins.ACTIVATE, 1, 0, PIN) == 0x6985
    assert bench.open().verify(OTHER_PIN) == 0x9000


def test_officer_zero_sets_no_pin_without_a_reset() -> None:
    assert stage("INERT").open(H, officer=0).sw(Ins.ACTIVATE, 1, 0, PIN) == 0x6985


def test_an_activation_by_code_clears_a_pending_reset() -> None:
    bench = stage("INERT")
    session = bench.open(H, officer=OFFICER)
    assert _script(session, ScriptAction.PIN_RESET) == 0x9000
    assert _activate(session) == 0x9000
    assert bench.store.card.reset_officer == 0
    assert session.state().flags == Flag(0)
    assert session.sw(Ins.ACTIVATE, 1, 0, OTHER_PIN) == 0x6985


# SCRIPT


@pytest.mark.parametrize("action", list(ScriptAction))
def test_script_statement(action: ScriptAction) -> None:
    bench = stage()
    later = TODAY.replace(day=9)
    script = bench.world.script(action, 7, issued=later)
    answer = bench.open().send(Ins.SCRIPT, 0, 0, bytes(script))
    statement = Statement.parse(answer).verify(bench.receipt_public)
    assert (statement.kind, statement.detail) == (StatementKind.SCRIPT, action)
    assert (statement.number, statement.script_count, statement.card_date) == (7, 1, later)
    state = bench.open().state()
    assert (state.script_number, state.script_count, state.card_date) == (7, 1, later)
    assert _statement(bench, Read.SCRIPT_STATEMENT).raw == answer


def test_script_refusals_in_order_change_nothing() -> None:
    bench = stage()
    session = bench.open()
    assert _script(session, ScriptAction.BLOCK, 5) == 0x9000
    before = bench.store.logical_state()

    def sw(**changes: object) -> int:
        script = bench.world.script(ScriptAction.UNBLOCK, **{"number": 6, **changes})  # type: ignore[arg-type]
        return session.sw(Ins.SCRIPT, 0, 0, bytes(script))

    far = date(2028, 1, 1)
    assert sw(card_id=bench.world.card_id(2), key_version=2) == 0x6A80
    assert sw(key_version=2, signer=STRANGER) == 0x6A88
    assert sw(signer=STRANGER, issued=far) == 0x6982
    assert sw(issued=far, number=5) == 0x940B
    assert sw(number=5) == 0x940E
    assert sw(number=4) == 0x940E
    foreign = World(Environment.DEMO_SPECIMEN).script(
        ScriptAction.UNBLOCK, 6, card_id=bench.world.card_id()
    )
    assert session.sw(Ins.SCRIPT, 0, 0, bytes(foreign)) == 0x6A80
    assert bench.store.logical_state() == before
    assert sw() == 0x9000


def test_every_flipped_byte_of_a_script_is_refused() -> None:
    bench = stage()
    session = bench.open()
    good = bytes(bench.world.script(ScriptAction.BLOCK))
    before = bench.store.logical_state()
    for at in range(SCRIPT_BYTES):
        bad = bytearray(good)
        bad[at] ^= 0x01
        assert session.sw(Ins.SCRIPT, 0, 0, bytes(bad)) in {0x6A80, 0x6982, 0x6A88}, at
    assert bench.store.logical_state() == before


def test_pin_unblock_restores_the_tries_ten_times() -> None:
    bench = stage()
    session = bench.open()
    for left in range(9, -1, -1):
        assert session.verify(OTHER_PIN) == 0x63C2
        assert _script(session, ScriptAction.PIN_UNBLOCK) == 0x9000
        state = session.state()
        assert (state.pin_tries, state.pin_unblocks_left) == (3, left)
    before = bench.store.logical_state()
    assert _script(session, ScriptAction.PIN_UNBLOCK) == 0x6985
    assert bench.store.logical_state() == before  # its number is not used up
    assert _script(session, ScriptAction.BLOCK, 11) == 0x9000


def test_pin_unblock_does_not_verify() -> None:
    session = stage().open()
    assert _script(session, ScriptAction.PIN_UNBLOCK) == 0x9000
    assert session.sw(Ins.DEBIT, 0, 0, bytes(debit_of(0))) == 0x6982


def test_both_statements_are_kept_beside_each_other() -> None:
    bench = stage()
    for i in range(4):
        session = bench.open()
        old, new = (PIN, OTHER_PIN) if i % 2 == 0 else (OTHER_PIN, PIN)
        pin_set = session.send(Ins.CHANGE_PIN, 0, 0x80, old + new)
        assert _script(session, ScriptAction.BLOCK if i % 2 else ScriptAction.UNBLOCK) == 0x9000
        assert _statement(bench, Read.PIN_STATEMENT).raw == pin_set
        assert _statement(bench, Read.SCRIPT_STATEMENT).number == i + 1
        if i % 2:
            assert _script(bench.open(), ScriptAction.UNBLOCK, i + 1) == 0x940E
            bench.store.put_card(
                replace(bench.store.card, flags=bench.store.card.flags & ~Flag.BLOCKED)
            )


def test_no_statement_before_the_first() -> None:
    session = stage("INERT").open()
    assert session.read(Read.PIN_STATEMENT).sw == 0x6A88
    assert session.read(Read.SCRIPT_STATEMENT).sw == 0x6A88


def test_secrets_record_round_trip() -> None:
    secrets = Secrets(PIN, 2, CODE, 4, 9)
    assert Secrets.parse(bytes(secrets)) == secrets
