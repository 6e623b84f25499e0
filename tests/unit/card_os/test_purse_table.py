"""Roles, life states and the order of refusal (card_os/SPEC.md#roles, #states, #status-words).

The expectations are written out here from SPEC.md; they do not come from the applet's own table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import pytest

from keys.securechannel import SecurityLevel
from tests.support.purse_world import (
    CODE,
    OFFICER,
    OTHER_PIN,
    PIN,
    Bench,
    HostSession,
    Refused,
    debit_of,
    stage,
    void_of,
)
from wire.apdu import CommandApdu
from wire.cvc import Role
from wire.entitlement import ScriptAction
from wire.purse import Ins, Life, Read

T, S, H, P = Role.TERMINAL, Role.SUPERVISOR, Role.HANDOVER, Role.PERSONALISER
ALL = {T, S, H, P}
INERT, ACTIVE = Life.INERT, Life.ACTIVE
Act = Callable[[HostSession], int]


def _sequence(s: HostSession) -> bytes:
    return s.bench.store.card.sequence.to_bytes(4, "big")


def _entitlement(s: HostSession) -> bytes:
    if s.bench.store.card.life is Life.KEYED:
        return bytes(s.bench.world.entitlement(bytes(32)))
    return bytes(s.bench.entitlement(wallet=0x0303, bypass_total=2))


def _script(s: HostSession) -> bytes:
    number = s.bench.store.card.script_number + 1
    return bytes(s.bench.world.script(ScriptAction.UNBLOCK, number))


def _debit(p1: int) -> Act:
    def act(s: HostSession) -> int:
        s.verify()
        order = debit_of(s.bench.store.card.sequence)
        return s.sw(Ins.DEBIT, p1, 0, bytes(order))

    return act


# name: (roles, life states, what another life answers, the command with data that succeeds)
TABLE: dict[str, tuple[set[Role], set[Life], int, Act]] = {
    "READ STATE": (ALL, {Life.KEYED, INERT, ACTIVE}, 0x6985, lambda s: s.sw(Ins.READ)),
    "READ ENTITLEMENT": (ALL, {INERT, ACTIVE}, 0x6985, lambda s: s.sw(Ins.READ, 1, 0)),
    "READ RECEIPT": (ALL, {INERT, ACTIVE}, 0x6985, lambda s: s.receipt(1).sw),
    "READ PIN STATEMENT": (ALL, {INERT, ACTIVE}, 0x6985, lambda s: s.sw(Ins.READ, 3)),
    "READ SCRIPT STATEMENT": (ALL, {INERT, ACTIVE}, 0x6985, lambda s: s.sw(Ins.READ, 4)),
    "LOAD": (ALL, {INERT, ACTIVE}, 0x6985, lambda s: s.sw(Ins.LOAD, 0, 0, _entitlement(s))),
    "SCRIPT": (ALL, {INERT, ACTIVE}, 0x6985, lambda s: s.sw(Ins.SCRIPT, 0, 0, _script(s))),
    "VERIFY": ({T}, {ACTIVE}, 0x9405, lambda s: s.verify()),
    "CHANGE PIN": ({T}, {ACTIVE}, 0x9405, lambda s: s.sw(Ins.CHANGE_PIN, 0, 0x80, PIN + OTHER_PIN)),
    "DEBIT 00": ({T}, {ACTIVE}, 0x9405, _debit(0)),
    "DEBIT 01": ({S}, {ACTIVE}, 0x9405, _debit(1)),
    "VOID": (
        {S}, {ACTIVE}, 0x6985,
        lambda s: s.sw(Ins.VOID, 0, 0, bytes(void_of(s.bench.store.card.sequence))),
    ),
    "CONFIRM": ({T, S}, {INERT, ACTIVE}, 0x6985, lambda s: s.sw(Ins.CONFIRM, 0, 0, _sequence(s))),
    "ACTIVATE 00": ({H}, {INERT}, 0x6985, lambda s: s.sw(Ins.ACTIVATE, 0, 0, CODE + PIN)),
    "ACTIVATE 01": ({H}, {INERT, ACTIVE}, 0x6985, lambda s: s.sw(Ins.ACTIVATE, 1, 0, PIN)),
    "PERSONALISE": (
        {P}, {Life.KEYED}, 0x6985,
        lambda s: s.sw(Ins.PERSONALISE, 0, 0, CODE + bytes(s.bench.own_certificate())),
    ),
}  # fmt: skip

# What an allowed command answers in a life where there is nothing to find.
EMPTY = {
    ("READ RECEIPT", INERT): 0x6A88,
    ("READ PIN STATEMENT", INERT): 0x6A88,
    ("CONFIRM", INERT): 0x6985,
}


@lru_cache(maxsize=8)
def _card(life: Life) -> Bench:
    """A card on which every command allowed in that life succeeds."""
    bench = stage(life.name)
    if life is ACTIVE:
        bench.pay()
    if life >= INERT:
        if life is INERT:
            bench.load()
        session = bench.open()
        session.send(Ins.SCRIPT, 0, 0, bytes(bench.world.script(ScriptAction.PIN_RESET)))
    return bench


@pytest.mark.parametrize("life", [Life.KEYED, INERT, ACTIVE])
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("name", TABLE)
def test_role_and_life_of_every_command(name: str, role: Role, life: Life) -> None:
    roles, lives, wrong_life, act = TABLE[name]
    bench = _card(life).fork()
    if life is Life.KEYED and role is not P:
        with pytest.raises(Refused, match="6985"):
            bench.open(role)
        return
    session = bench.open(role, officer=OFFICER)
    before = bench.store.logical_state()
    sw = act(session)
    if role not in roles:
        assert sw == 0x6982
    elif life not in lives:
        assert sw == wrong_life
    else:
        assert sw == EMPTY.get((name, life), 0x9000)
    if sw != 0x9000:
        assert bench.store.logical_state() == before


def test_no_session_before_keys() -> None:
    for role in Role:
        with pytest.raises(Refused, match="6985"):
            stage("INSTALLED").open(role)


LENGTHS = {
    "READ STATE": (T, Ins.READ, 0, 0, {0}),
    "READ ENTITLEMENT": (T, Ins.READ, 1, 0, {0}),
    "READ RECEIPT": (T, Ins.READ, 2, 0, {4}),
    "READ PIN STATEMENT": (T, Ins.READ, 3, 0, {0}),
    "READ SCRIPT STATEMENT": (T, Ins.READ, 4, 0, {0}),
    "LOAD": (T, Ins.LOAD, 0, 0, {166}),
    "SCRIPT": (T, Ins.SCRIPT, 0, 0, {90}),
    "VERIFY": (T, Ins.VERIFY, 0, 0x80, {6}),
    "CHANGE PIN": (T, Ins.CHANGE_PIN, 0, 0x80, {12}),
    "DEBIT": (T, Ins.DEBIT, 0, 0, {52}),
    "DEBIT bypass": (S, Ins.DEBIT, 1, 0, {52}),
    "VOID": (S, Ins.VOID, 0, 0, {44}),
    "CONFIRM": (T, Ins.CONFIRM, 0, 0, {4}),
    "ACTIVATE 01": (H, Ins.ACTIVATE, 1, 0, {6}),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_every_other_length_is_6700_and_changes_nothing(name: str) -> None:
    role, ins, p1, p2, right = LENGTHS[name]
    bench = _card(ACTIVE).fork()
    session = bench.open(role, officer=OFFICER)
    before = bench.store.logical_state()
    wanted = {*range(20), 43, 45, 51, 53, 89, 91, 165, 167, 239} - right
    for n in sorted(wanted):
        assert session.sw(ins, p1, p2, b"7" * n) == 0x6700, n
    for n in right:
        assert session.sw(ins, p1, p2, b"7" * n) != 0x6700
    if name not in {"VERIFY", "CHANGE PIN", "ACTIVATE 01"}:
        assert bench.store.logical_state() == before


def test_lengths_of_activation_and_personalisation() -> None:
    session = stage("INERT").open(H)
    assert {session.sw(Ins.ACTIVATE, 0, 0, b"7" * n) for n in (0, 6, 13, 15)} == {0x6700}
    session = stage("KEYED").open(P)
    assert {session.sw(Ins.PERSONALISE, 0, 0, b"7" * n) for n in (0, 8)} == {0x6700}
    assert {session.sw(Ins.PERSONALISE, 0, 0, b"7" * n) for n in (9, 239)} == {0x6A80}


@pytest.mark.parametrize("name", LENGTHS)
def test_wrong_p1_or_p2_is_6a86_before_life_and_length(name: str) -> None:
    role, ins, _, right_p2, _ = LENGTHS[name]
    session = _card(INERT).fork().open(role, officer=OFFICER)
    highest_p1 = {Ins.READ: 4, Ins.DEBIT: 1, Ins.ACTIVATE: 1}.get(ins, 0)
    assert session.sw(ins, highest_p1 + 1, right_p2, b"x") == 0x6A86
    assert session.sw(ins, 0xFF, right_p2, b"x") == 0x6A86
    if name != "READ ENTITLEMENT":
        p1 = LENGTHS[name][2]
        assert session.sw(ins, p1, right_p2 ^ 1, b"x") == 0x6A86


def test_an_unknown_p1_still_needs_a_role_of_the_command() -> None:
    session = _card(ACTIVE).fork().open(H)
    assert session.sw(Ins.DEBIT, 2, 0, b"") == 0x6982
    assert session.sw(Ins.VERIFY, 1, 0x80, b"") == 0x6982


def test_the_first_secured_command_is_read_state() -> None:
    bench = _card(ACTIVE).fork()
    for ins in (Ins.LOAD, Ins.VERIFY, Ins.DEBIT, Ins.PERSONALISE, Ins.VOID):
        session = bench.begin(bench.world.terminal_certificate())
        assert session.sw(ins, 9, 9, b"x") == 0x6985  # before role, P1/P2, length
        assert session.receipt(1).sw == 0x6985
        assert session.sw(Ins.READ, 0, 1) == 0x6A86  # no READ STATE yet
        assert session.verify() == 0x6985
        assert session.sw(Ins.READ, 0, 0) == 0x9000
        assert session.verify() == 0x9000


def test_cla_and_ins_inside_a_session() -> None:
    bench = _card(ACTIVE).fork()
    session = bench.begin(bench.world.terminal_certificate())
    assert session.sw(Ins.READ, cla=0x00) == 0x6E00
    for ins in set(range(256)) - {int(i) for i in Ins if i not in PLAIN}:
        assert session.sw(ins) == 0x6D00, hex(ins)
    assert session.sw(Ins.GENERATE_KEYS) == 0x6985
    assert session.sw(Ins.READ) == 0x9000


PLAIN = {Ins.SELECT, Ins.PSO, Ins.GET_DATA, Ins.MUTUAL_AUTHENTICATE}


def test_cla_and_ins_in_clear() -> None:
    bench = _card(ACTIVE).fork()
    for ins in range(256):
        sw = bench.transmit(CommandApdu(0x80, ins, 0, 0)).sw
        if ins in PLAIN - {Ins.SELECT}:
            assert sw in {0x6A80, 0x6A88}
        elif ins == Ins.GENERATE_KEYS:
            assert sw == 0x6985
        elif ins in set(Ins) - {Ins.SELECT}:
            assert sw == 0x6988, hex(ins)
        else:
            assert sw == 0x6D00, hex(ins)
    for cla in range(256):
        want = 0x6988 if cla in {0x04, 0x84} else 0x6E00
        if cla != 0x80:
            assert bench.transmit(CommandApdu(cla, Ins.READ, 0, 0)).sw == want, hex(cla)


@pytest.mark.parametrize("cla", [0x00, 0x80, 0x90, 0xFF])
@pytest.mark.parametrize("ins", [Ins.READ, Ins.GET_DATA, Ins.MUTUAL_AUTHENTICATE, 0x01])
def test_a_bare_command_ends_the_session(cla: int, ins: int) -> None:
    bench = _card(ACTIVE).fork()
    session = bench.open()
    secured = session.messaging.wrap(CommandApdu(0x80, Ins.READ, 0, 0, b"", 256))
    assert bench.transmit(CommandApdu(cla, ins, 0, 0)).sw == 0x6988
    assert bench.transmit(secured).sw == 0x6988
    assert bench.transmit(CommandApdu(0x80, Ins.GET_DATA, 0x7F, 0x21)).sw == 0x6985


def test_any_flipped_bit_of_a_secured_command_ends_the_session() -> None:
    base = _card(ACTIVE).fork()
    for at in range(8 + 5 + 16):
        bench = base.fork()
        session = bench.open()
        good = bytearray(bytes(session.messaging.wrap(
            CommandApdu(0x80, Ins.READ, Read.RECEIPT, 0, bytes([0, 0, 0, 1]), 256)
        )))  # fmt: skip
        place = at if at < 4 else at + 1 if at + 1 < len(good) - 1 else 5
        if place == 4:
            continue  # Lc: no APDU any more
        good[place] ^= 0x01
        before = bench.store.logical_state()
        assert bench.transmit(CommandApdu.parse(bytes(good))).sw == 0x6988, place
        assert bench.store.logical_state() == before
        again = session.messaging  # the card's end is gone, whatever the host sends
        with pytest.raises(Exception, match="turn"):
            again.wrap(CommandApdu(0x80, Ins.READ, 0, 0))


def test_a_replayed_command_ends_the_session() -> None:
    bench = _card(ACTIVE).fork()
    session = bench.open()
    session.verify()
    order = CommandApdu(0x80, Ins.DEBIT, 0, 0, bytes(debit_of(1)), 256)
    secured = session.messaging.wrap(order)
    assert bench.transmit(secured).sw == 0x9000
    assert bench.transmit(secured).sw == 0x6988
    assert bench.store.card.sequence == 2


def test_errors_are_bare_and_the_session_goes_on() -> None:
    bench = _card(ACTIVE).fork()
    session = bench.open()
    secured = session.messaging.wrap(CommandApdu(0x80, Ins.READ, 9, 0, b"", 256))
    answer = bench.transmit(secured)
    assert (answer.sw, answer.data) == (0x6A86, b"")
    session.messaging.unwrap(answer)
    assert session.state().sequence == 1


def test_63cx_carries_a_mac_and_no_data() -> None:
    bench = _card(ACTIVE).fork()
    session = bench.open()
    secured = session.messaging.wrap(CommandApdu(0x80, Ins.VERIFY, 0, 0x80, OTHER_PIN, 256))
    answer = bench.transmit(secured)
    assert (answer.sw, len(answer.data)) == (0x63C2, 8)
    assert session.messaging.unwrap(answer).data == b""


@pytest.mark.parametrize("life", ["INSTALLED", "KEYED", "INERT", "ACTIVE"])
@pytest.mark.parametrize("level", list(SecurityLevel))
def test_generate_keys_needs_full_scp03_before_personalisation(
    life: str, level: SecurityLevel
) -> None:
    bench = stage(life)
    before = bench.store.logical_state()
    command = CommandApdu(0x80, Ins.GENERATE_KEYS, 0, 0, le=256)
    if life in {"INSTALLED", "KEYED"} and level is SecurityLevel.FULL:
        keys = bench.scp03(command, level)
        assert keys == bench.channel_public + bench.receipt_public
        assert bench.store.card.life is Life.KEYED
        return
    with pytest.raises(Refused, match="6985"):
        bench.scp03(command, level)
    assert bench.store.logical_state() == before


def test_generate_keys_parameters_and_nothing_else_over_scp03() -> None:
    bench = stage("KEYED")
    cases = {
        CommandApdu(0x80, Ins.GENERATE_KEYS, 1, 0): "6A86",
        CommandApdu(0x80, Ins.GENERATE_KEYS, 0, 1): "6A86",
        CommandApdu(0x80, Ins.GENERATE_KEYS, 0, 0, b"x"): "6700",
        CommandApdu(0x00, Ins.GENERATE_KEYS, 0, 0): "6E00",
        CommandApdu(0x80, Ins.READ, 0, 0): "6985",
        CommandApdu(0x80, Ins.PSO, 0, 0x10): "6985",
        CommandApdu(0x80, 0x99, 0, 0): "6D00",
    }
    for command, sw in cases.items():
        with pytest.raises(Refused, match=sw):
            bench.scp03(command)


def test_keys_made_again_are_other_keys_and_end_the_session() -> None:
    bench = stage("KEYED")
    session = bench.open(P)
    first = bench.channel_public + bench.receipt_public
    assert bench.generate_keys() != first
    secured = session.messaging.wrap(CommandApdu(0x80, Ins.READ, 0, 0, b"", 256))
    assert bench.transmit(secured).sw == 0x6988
    bench.personalise()
    assert bench.open().state().life is INERT
