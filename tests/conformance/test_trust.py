"""SPEC.md: links, terminal certificates, the card's own date."""

import os
from datetime import date, timedelta

import pytest

from card_os.host.opening import select_purse
from keys.scp11 import SoftwareEcdhKey
from tests.conformance.world import (
    DAY,
    END,
    ENV,
    Authorities,
    Bench,
    SigningKey,
    flip,
    negate,
    raw,
    refused,
)  # fmt: skip
from wire import cvc
from wire.cvc import CaKind, Role
from wire.env import Environment

KEY = SoftwareEcdhKey.generate(os.urandom).public
T, I = CaKind.TERMINAL_CA, CaKind.ISSUER  # noqa: E741 - as SPEC.md names the slots


def fresh(bench: Bench, role: Role = Role.TERMINAL, **fields: object) -> cvc.Certificate:
    return bench.up.terminal(role, KEY, **fields)  # type: ignore[arg-type]


# --- terminal certificates ---------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
def test_every_role_is_accepted(bench: Bench, role: Role) -> None:
    bench.prepare("INSTALLED")
    assert bench.pso(fresh(bench, role)) == 0x9000


def test_a_certificate_needs_its_slot_and_its_signature(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    select_purse(bench.link, ENV)
    good = fresh(bench)
    assert bench.pso(good) == 0x9000
    assert bench.pso(fresh(bench, version=2)) == 0x6A88
    assert bench.pso(fresh(bench, version=0)) == 0x6A88
    assert bench.pso(fresh(bench, signer=bench.up.root)) == 0x6982
    assert bench.pso(fresh(bench, signer=bench.up.key(I))) == 0x6982
    assert bench.pso(flip(good.raw)) == 0x6982
    assert bench.pso(negate(good.raw)) == 0x9000  # the other valid signature
    assert bench.send("802A0011", good.raw, None) == (b"", 0x6A88)
    assert bench.send("802A7710", good.raw, None) == (b"", 0x9000)  # P1 is ignored


def test_the_cached_hash_covers_the_signature(bench: Bench) -> None:
    """A certificate used in a session is cached; one altered afterwards is still refused."""
    bench.prepare("ACTIVE")
    station = bench.station(Role.TERMINAL)
    with bench.session():
        pass
    select_purse(bench.link, ENV)
    assert bench.pso(station.certificate) == 0x9000
    for at in range(-64, 0, 21):
        assert bench.pso(flip(station.certificate.raw, at)) == 0x6982


def test_malformed_certificates(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    select_purse(bench.link, ENV)
    good = fresh(bench).raw
    other = Authorities(env=Environment.DEMO_SPECIMEN)
    live = Authorities(env=Environment.LIVE)
    off_curve = bytearray(good)
    off_curve[good.index(KEY) + 64] ^= 1
    assert bench.certificate is not None
    for bad in (
        b"", b"\x7f\x21", good[:-1], good + b"\x00", bytes(off_curve), bytes(bench.certificate),
        other.terminal(Role.TERMINAL, KEY).raw, live.terminal(Role.TERMINAL, KEY).raw,
        good.replace(b"\xc1\x01\x01", b"\xc1\x01\x05"),  # no such role
        good.replace(b"\x95\x01\x80", b"\x95\x01\x82"),
        good.replace(b"\x5f\x25\x04\x20\x26\x06", b"\x5f\x25\x04\x20\x26\x13"),
    ):  # fmt: skip
        assert bench.pso(bad) == 0x6A80


def test_date_rule_of_certificates(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    day = timedelta(days=1)
    limit = DAY + 400 * day
    select_purse(bench.link, ENV)
    assert bench.pso(fresh(bench, start=DAY - 40 * day, end=DAY - day)) == 0x940B
    assert bench.pso(fresh(bench, start=DAY - 40 * day, end=DAY)) == 0x9000
    assert bench.pso(fresh(bench, start=limit + day, end=limit + 30 * day)) == 0x940B
    assert bench.pso(fresh(bench, start=limit, end=limit + 30 * day)) == 0x9000
    # The date comes before the signature.
    late = fresh(bench, start=DAY - 40 * day, end=DAY - day, signer=bench.up.root)
    assert bench.pso(late) == 0x940B
    with bench.session(bench.station(Role.TERMINAL, start=limit, end=limit + day)) as session:
        assert session.state.card_date == limit
    select_purse(bench.link, ENV)
    assert bench.pso(bench.station(Role.TERMINAL).certificate) == 0x940B  # it never goes back


def test_before_personalise_a_certificate_may_lie_far_ahead(bench: Bench) -> None:
    bench.prepare("KEYED")
    far = date(2040, 1, 1)
    assert bench.pso(fresh(bench, start=far, end=far)) == 0x9000


# --- links ---------------------------------------------------------------------------------------


def accepts(bench: Bench, version: int) -> bool:
    """Whether the terminal CA of that version is trusted."""
    sw = bench.pso(fresh(bench, version=version))
    assert sw in {0x9000, 0x6A88}
    return sw == 0x9000


def test_links_rotate_the_slots(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    select_purse(bench.link, ENV)
    assert [accepts(bench, v) for v in (1, 2, 3)] == [True, False, False]
    assert bench.pso(bench.up.link(T, 2)) == 0x9000
    assert [accepts(bench, v) for v in (1, 2, 3)] == [True, True, False]
    assert bench.pso(bench.up.link(T, 5)) == 0x9000  # versions may be skipped
    assert [accepts(bench, v) for v in (1, 2, 5)] == [False, True, True]
    for old in (1, 2, 3, 5):
        assert bench.pso(bench.up.link(T, old)) == 0x940E
    assert bench.pso(bench.up.link(T, 6, lowest=6)) == 0x9000
    assert [accepts(bench, v) for v in (2, 5, 6)] == [False, False, True]


def test_links_of_one_kind_leave_the_other(bench: Bench) -> None:
    bench.loaded()
    select_purse(bench.link, ENV)
    assert bench.pso(bench.up.link(I, 2, lowest=2)) == 0x9000
    assert accepts(bench, 1)
    with bench.session() as session:
        refused(session, "320000", bytes(bench.entitlement(loaded=1100)), 0x6A88)
        session.load(bench.entitlement(loaded=1200, key_version=2))


def test_a_link_is_the_roots(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    select_purse(bench.link, ENV)
    good = bench.up.link(T, 2)
    assert bench.pso(bench.up.link(T, 2, signer=bench.up.key(T, 1))) == 0x6982
    assert bench.pso(flip(good.raw)) == 0x6982
    assert not accepts(bench, 2)
    assert bench.pso(bench.up.link(CaKind.CARD_CA, 2)) == 0x6A80
    assert bench.pso(bench.up.link(CaKind.ROOT, 2)) == 0x6A80
    assert bench.pso(bench.up.link(T, 2, lowest=3)) == 0x6A80
    assert bench.pso(bench.up.link(T, 2, public_key=KEY[:-1] + bytes([KEY[-1] ^ 1]))) == 0x6A80
    other = Authorities(env=Environment.DEMO_SPECIMEN, root=bench.up.root)
    assert bench.pso(other.link(T, 2)) == 0x6A80
    # The version is looked at before the signature.
    assert bench.pso(bench.up.link(T, 1, signer=SigningKey())) == 0x940E
    assert bench.pso(good) == 0x9000


def test_a_link_within_a_session_is_refused_and_ends_it(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    with bench.session() as session:
        assert bench.pso(bench.up.link(T, 2)) == 0x6985
        assert raw(session, "300000") == (b"", 0x6988)
    select_purse(bench.link, ENV)
    assert not accepts(bench, 2)


def test_a_link_moves_the_date_forward_without_a_limit(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    select_purse(bench.link, ENV)
    assert bench.pso(bench.up.link(T, 2, day=date(2025, 1, 1))) == 0x9000
    with bench.session() as session:
        assert session.state.card_date == DAY  # an older link moves nothing
    select_purse(bench.link, ENV)
    assert bench.pso(bench.up.link(T, 3, day=date(2031, 1, 1))) == 0x9000
    far = {"start": date(2030, 12, 1), "end": date(2031, 2, 1), "version": 3}
    with bench.session(bench.station(Role.TERMINAL, **far)) as session:
        assert session.state.card_date == date(2031, 1, 1)


def test_a_link_so_marked_moves_the_date_back(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    select_purse(bench.link, ENV)
    early = date(2026, 2, 1)
    assert bench.pso(bench.up.link(T, 2, day=early, step_back=True)) == 0x9000
    old = bench.station(Role.TERMINAL, start=date(2026, 1, 5), end=date(2026, 2, 9))
    with bench.session(old) as session:
        assert session.state.card_date == early
    with bench.session(bench.station(Role.TERMINAL, end=END)) as session:
        assert session.state.card_date == DAY


def test_the_host_sends_links_ascending_and_twice_is_harmless(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    station = bench.station(Role.TERMINAL, version=3)
    links = [bench.up.link(T, 3), bench.up.link(T, 2), bench.up.link(I, 2)]
    for _ in range(2):
        with bench.session(station, links=links) as session:
            assert session.is_open
    select_purse(bench.link, ENV)
    assert [accepts(bench, v) for v in (1, 2, 3)] == [False, True, True]
