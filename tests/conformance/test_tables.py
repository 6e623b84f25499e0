"""SPEC.md: the role table, the state table and the order of refusal, every cell."""

import pytest

from tests.conformance.world import Bench, raw
from wire.cvc import Role

ANY = frozenset(Role)
T, S, H, P = (frozenset({r}) for r in Role)
ISSUED, ACTIVE = frozenset({"INERT", "ACTIVE"}), frozenset({"ACTIVE"})

# header, data of a wrong length, roles, lives, status word of a wrong life state
TABLE = [
    ("300000", b"x", ANY, frozenset({"KEYED", "INERT", "ACTIVE"}), 0x6985),
    ("300100", b"x", ANY, ISSUED, 0x6985),
    ("300200", b"xxx", ANY, ISSUED, 0x6985),
    ("300300", b"x", ANY, ISSUED, 0x6985),
    ("300400", b"x", ANY, ISSUED, 0x6985),
    ("320000", bytes(165), ANY, ISSUED, 0x6985),
    ("340000", bytes(91), ANY, ISSUED, 0x6985),
    ("200080", b"12345", T, ACTIVE, 0x9405),
    ("240080", b"12345678901", T, ACTIVE, 0x9405),
    ("360000", bytes(13), H, frozenset({"INERT"}), 0x6985),
    ("360100", bytes(7), H, ISSUED, 0x6985),
    ("380000", bytes(51), T, ACTIVE, 0x9405),
    ("380100", bytes(53), S, ACTIVE, 0x9405),
    ("3A0000", bytes(43), S, ACTIVE, 0x6985),
    ("3C0000", bytes(3), T | S, ISSUED, 0x6985),
    ("3E0000", bytes(8), P, frozenset({"KEYED"}), 0x6985),
]


@pytest.mark.parametrize(
    ("life", "role"),
    [("KEYED", Role.PERSONALISER), *((x, r) for x in ("INERT", "ACTIVE") for r in Role)],
)
def test_every_command_in_every_role_and_state(bench: Bench, life: str, role: Role) -> None:
    """Role (6982), then P1/P2 (6A86), then life, then length (6700); and nothing changes."""
    bench.prepare(life)
    session = bench.keyed_session(role) if life == "KEYED" else bench.session(role)
    before = session.state
    for header, data, roles, lives, wrong_life in TABLE:
        expected = 0x6700
        if role not in roles:
            expected = 0x6982
        elif life not in lives:
            expected = wrong_life
        assert raw(session, header, data) == (b"", expected), header
        for wrong in _wrong_parameters(header):
            ins = [row for row in TABLE if row[0][:2] == header[:2]]
            may = any(role in row[2] for row in ins)
            if wrong[2:4] == header[2:4]:
                may = role in roles
            assert raw(session, wrong, data) == (b"", 0x6A86 if may else 0x6982), wrong
    assert session.read_state() == before


def _wrong_parameters(header: str) -> list[str]:
    ins, p1, p2 = header[:2], header[2:4], header[4:]
    wrong = [f"{ins}7F{p2}"]
    if (ins, p1) != ("30", "01"):  # P2 of READ ENTITLEMENT is an index
        wrong.append(f"{ins}{p1}{int(p2, 16) ^ 1:02X}")
    return wrong


@pytest.mark.parametrize("role", Role)
def test_the_longest_data_is_refused_whole(bench: Bench, role: Role) -> None:
    bench.prepare("ACTIVE")
    with bench.session(role) as session:
        for header in ("320000", "340000"):
            assert raw(session, header, bytes(239)) == (b"", 0x6700)


def test_commands_that_an_installed_card_takes(bench: Bench) -> None:
    bench.prepare("INSTALLED")
    assert bench.send("80460000") == (b"", 0x6985)
    assert bench.pso(bench.up.links()[0]) == 0x940E
    assert bench.pso(bench.station(Role.TERMINAL).certificate) == 0x9000
    assert bench.send("80CA7F21") == (b"", 0x6A88)
