"""INSTALL, SELECT, certificates, links, the own date, the key agreement (card_os/SPEC.md)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from card_os.reference.applets import CardServices
from card_os.reference.errors import CardError
from card_os.reference.memory import Nvm, Persistent
from card_os.reference.purse import PurseApplet
from card_os.reference.purse_store import Secrets, TrustSlot
from keys.scp11 import Scp11aHost, SoftwareEcdhKey
from tests.support.purse_world import (
    BIRTH,
    END,
    ENV,
    FOOD,
    ROOT,
    STRANGER,
    TERMINAL,
    TODAY,
    Bench,
    Refused,
    World,
    malleated,
    point,
    private_key,
    stage,
)
from wire import cvc, ecdsa, tlv
from wire.apdu import CommandApdu
from wire.cvc import CaKind, Role
from wire.entitlement import ScriptAction
from wire.env import Environment, purse_aid
from wire.purse import Fci, Ins

T_CA, I_CA = CaKind.TERMINAL_CA, CaKind.ISSUER
DAY = timedelta(days=1)


# INSTALL, SELECT


def _install(parameters: bytes, aid: bytes | None = None) -> PurseApplet:
    services = CardServices(purse_aid(ENV) if aid is None else aid, bytes)
    return PurseApplet(Persistent(Nvm(), "p/"), parameters, services)


@pytest.mark.parametrize(
    "parameters",
    [
        b"",
        bytes([ENV]) + point(ROOT)[:-1],
        bytes([ENV]) + point(ROOT) + b"\x00",
        b"\x03" + point(ROOT),
        bytes([ENV]) + point(ROOT)[:-1] + bytes([point(ROOT)[-1] ^ 1]),
        bytes([ENV]) + ecdsa.compress(point(ROOT)) + bytes(32),
        bytes([ENV]) + bytes(65),
    ],
)
def test_bad_install_parameters_are_refused(parameters: bytes) -> None:
    with pytest.raises(CardError, match="6A80"):
        _install(parameters)


def test_the_aid_must_be_of_the_environments_world() -> None:
    good = bytes([ENV]) + point(ROOT)
    _install(good)
    with pytest.raises(CardError, match="6A80"):
        _install(good, purse_aid(Environment.DEMO_SPECIMEN))


def test_install_and_select_write_nothing_and_tell_nothing() -> None:
    bench = Bench()
    assert bench.nvm.writes == 0
    fci = bench.applet.select()
    assert Fci.parse(fci) == Fci(ENV, 1)
    assert fci == stage("ACTIVE").applet.select()


# Terminal certificates


def test_a_certificate_is_accepted_and_writes_nothing() -> None:
    bench = stage()
    writes = bench.nvm.writes
    bench.begin(bench.world.terminal_certificate(Role.HANDOVER, serial=9))
    assert bench.nvm.writes == writes


def test_certificate_refusals() -> None:
    bench, world = stage(), World()
    good = bytes(world.terminal_certificate())
    assert bench.pso(world.terminal_certificate(ca_version=2)) == 0x6A88
    assert bench.pso(world.terminal_certificate(ca_version=0)) == 0x6A88
    assert bench.pso(world.terminal_certificate(signer=STRANGER)) == 0x6982
    assert bench.pso(good, p2=0x11) == 0x6A88
    assert bench.pso(b"") == 0x6A80
    assert bench.pso(good[:-1]) == 0x6A80
    assert bench.pso(good + b"\x00") == 0x6A80
    assert bench.pso(World(Environment.DEMO_SPECIMEN).terminal_certificate()) == 0x6A80
    assert bench.pso(World(Environment.LIVE).terminal_certificate()) == 0x6A80
    assert bench.pso(bench.own_certificate()) == 0x6A80  # a card's certificate
    assert bench.pso(good) == 0x9000


def test_a_certificate_over_a_point_off_the_curve_is_malformed() -> None:
    bench = stage()
    raw = bytearray(bytes(bench.world.terminal_certificate()))
    at = bytes(raw).index(point(TERMINAL)) + 64
    raw[at] ^= 1
    assert bench.pso(bytes(raw)) == 0x6A80


def test_every_flipped_byte_of_a_certificate_is_refused() -> None:
    bench = stage()
    good = bytes(bench.world.terminal_certificate())
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 0x10
        assert bench.pso(bytes(bad)) in {0x6A80, 0x6982, 0x6A88, 0x940B}, at
        assert bench.transmit(CommandApdu(0x80, Ins.GET_DATA, 0x7F, 0x21)).sw == 0x6985


def test_a_refused_certificate_forgets_the_one_before() -> None:
    bench = stage()
    assert bench.pso(bench.world.terminal_certificate()) == 0x9000
    assert bench.transmit(CommandApdu(0x80, Ins.GET_DATA, 0x7F, 0x21)).sw == 0x9000
    assert bench.pso(bench.world.terminal_certificate(signer=STRANGER)) == 0x6982
    assert bench.transmit(CommandApdu(0x80, Ins.GET_DATA, 0x7F, 0x21)).sw == 0x6985


def test_pso_ends_a_session() -> None:
    bench = stage()
    session = bench.open()
    secured = session.messaging.wrap(CommandApdu(0x80, Ins.READ, 0, 0, b"", 256))
    assert bench.pso(bench.world.terminal_certificate()) == 0x9000
    assert bench.transmit(secured).sw == 0x6988


# Own date


def test_date_rule_of_certificates() -> None:
    world = World()

    def sw(effective: date, expires: date) -> int:
        return stage().pso(world.terminal_certificate(effective=effective, expires=expires))

    own = stage().store.card.own_date
    assert own == TODAY
    assert sw(BIRTH, own) == 0x9000
    assert sw(BIRTH, own - DAY) == 0x940B
    assert sw(own + 400 * DAY, own + 430 * DAY) == 0x9000
    assert sw(own + 401 * DAY, own + 430 * DAY) == 0x940B


def test_the_date_moves_at_read_state_and_not_before() -> None:
    bench = stage()
    later = TODAY + 30 * DAY
    session = bench.begin(bench.world.terminal_certificate(effective=later))
    assert bench.store.card.own_date == TODAY
    assert session.verify() == 0x6985
    assert bench.store.card.own_date == TODAY
    assert session.state().card_date == later
    assert bench.open().state().card_date == later  # an earlier certificate moves nothing back


def test_before_personalise_no_400_day_rule() -> None:
    bench = Bench().give_links()
    assert bench.store.card.own_date == BIRTH  # a link's date
    far = date(2031, 1, 1)
    assert bench.pso(bench.world.terminal_certificate(effective=far, expires=far)) == 0x9000
    old = BIRTH - DAY
    assert bench.pso(bench.world.terminal_certificate(effective=old, expires=old)) == 0x940B


def test_date_rule_of_entitlements_and_scripts() -> None:
    for days, sw in ((400, 0x9000), (401, 0x940B)):
        bench = stage()
        issued = TODAY + days * DAY
        session = bench.open()
        order = bench.entitlement(sequence=2, issued=issued)
        assert session.sw(Ins.LOAD, 0, 0, bytes(order)) == sw
        assert bench.store.card.own_date == (issued if sw == 0x9000 else TODAY)
        bench = stage()
        script = bench.world.script(ScriptAction.BLOCK, issued=issued)
        assert bench.open().sw(Ins.SCRIPT, 0, 0, bytes(script)) == sw
        assert bench.store.card.own_date == (issued if sw == 0x9000 else TODAY)


def test_an_older_issue_date_is_accepted_and_moves_nothing() -> None:
    bench = stage()
    bench.load(sequence=2, issued=date(2020, 1, 1))
    assert bench.store.card.own_date == TODAY


# Certificate cache


def test_the_cache_spares_the_signature_and_nothing_else() -> None:
    bench = stage()
    certificate = bench.world.terminal_certificate()
    bench.begin(certificate).state()
    assert bench.store.card.cached_certificate == certificate.digest
    writes = bench.nvm.writes
    bench.begin(certificate).state()
    assert bench.nvm.writes == writes  # nothing changes, nothing is written
    # the same fields under another, valid signature are another certificate
    other = cvc.assemble(certificate.signed_bytes, malleated(certificate.signature))
    assert bench.pso(other) == 0x9000
    # the date rule holds for a cached one
    bench.load(sequence=2, issued=END + DAY)
    assert bench.pso(certificate) == 0x940B


def test_a_cached_certificate_is_not_verified_again() -> None:
    bench = stage()
    certificate = bench.world.terminal_certificate()
    bench.begin(certificate).state()
    bench.store.put_trust(T_CA, 0, TrustSlot(1, point(STRANGER)))  # no signature verifies now
    assert bench.pso(certificate) == 0x9000
    assert bench.pso(bench.world.terminal_certificate(serial=8)) == 0x6982


def test_a_cached_certificate_needs_its_slot() -> None:
    bench = stage()
    certificate = bench.world.terminal_certificate()
    bench.begin(certificate).state()
    bench.applet.select()
    assert bench.pso(bench.world.link(T_CA, 2, key=30, lowest_kept=2)) == 0x9000
    assert bench.pso(certificate) == 0x6A88


def test_a_forgery_never_enters_the_cache() -> None:
    bench = stage()
    forged = bench.world.terminal_certificate(signer=STRANGER, serial=666)
    assert bench.pso(forged) == 0x6982
    bench.open()
    assert bench.store.card.cached_certificate != forged.digest
    assert bench.pso(forged) == 0x6982


def test_the_empty_cache_is_no_hash() -> None:
    bench = stage("INSTALLED")
    assert bench.store.card.cached_certificate == bytes(32)
    assert bench.pso(bench.world.terminal_certificate(signer=STRANGER)) == 0x6982


# Links


def _versions(bench: Bench, kind: CaKind) -> list[int]:
    return [slot.version for slot in bench.store.trust(kind)]


def test_links_fill_then_replace_the_lower_slot() -> None:
    bench, world = Bench(), World()
    for version, want in ((1, [1, 0]), (4, [1, 4]), (5, [5, 4]), (9, [5, 9])):
        assert bench.pso(world.link(T_CA, version, key=20 + version)) == 0x9000
        assert _versions(bench, T_CA) == want
    assert _versions(bench, I_CA) == [0, 0]
    assert bench.store.highest(T_CA) == 9
    assert bench.store.highest(I_CA) == 0
    certificate = world.terminal_certificate(ca_version=9, signer=29)
    assert bench.pso(certificate) == 0x9000
    assert bench.pso(world.terminal_certificate(ca_version=4, signer=24)) == 0x6A88


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_link_not_above_the_highest_is_refused(version: int) -> None:
    bench = stage()
    assert bench.pso(bench.world.link(T_CA, 3, key=33, lowest_kept=3)) == 0x9000
    before = bench.store.logical_state()
    back = bench.world.link(T_CA, version, key=40, lowest_kept=0, back=True)
    assert bench.pso(back) == 0x940E
    assert bench.store.logical_state() == before


def test_lowest_kept_empties_slots_and_the_highest_stays() -> None:
    bench = stage()
    assert bench.pso(bench.world.link(I_CA, 2, key=41, lowest_kept=2)) == 0x9000
    assert sorted(_versions(bench, I_CA)) == [0, 2]
    session = bench.open()
    old = bench.entitlement(sequence=2)
    assert session.sw(Ins.LOAD, 0, 0, bytes(old)) == 0x6A88
    new = bench.entitlement(sequence=2, key_version=2, signer=41)
    assert session.sw(Ins.LOAD, 0, 0, bytes(new)) == 0x9000


def test_link_refusals_change_nothing() -> None:
    bench, world = stage(), World()
    before = bench.store.logical_state()
    assert bench.pso(world.link(T_CA, 2, signer=STRANGER)) == 0x6982
    assert bench.pso(world.link(T_CA, 2, signer=12)) == 0x6982  # a CA cannot make its successor
    for kind in (CaKind.ROOT, CaKind.CARD_CA):
        assert bench.pso(world.link(kind, 2)) == 0x6A80
    assert bench.pso(world.link(T_CA, 2, subject=b"KHBST\x00\x00\x02")) == 0x6A80
    assert bench.pso(world.link(T_CA, 2, subject=b"TERM0001")) == 0x6A80
    assert bench.pso(world.link(T_CA, 2, lowest_kept=3)) == 0x6A80
    assert bench.pso(World(Environment.DEMO_SPECIMEN).link(T_CA, 2)) == 0x6A80
    assert bench.store.logical_state() == before


def test_the_date_of_links() -> None:
    bench = stage()
    far = date(2031, 5, 5)
    assert bench.pso(bench.world.link(T_CA, 2, key=30, effective=far)) == 0x9000
    assert bench.store.card.own_date == far  # further than 400 days
    assert bench.pso(bench.world.link(T_CA, 3, key=30, effective=BIRTH)) == 0x9000
    assert bench.store.card.own_date == far
    back = bench.world.link(T_CA, 4, key=30, effective=BIRTH, back=True)
    assert bench.pso(back) == 0x9000
    assert bench.store.card.own_date == BIRTH
    assert bench.pso(back) == 0x940E  # once


def test_a_link_empties_the_cache_and_forgets_the_certificate() -> None:
    bench = stage()
    bench.open()
    assert bench.store.card.cached_certificate != bytes(32)
    assert bench.pso(bench.world.terminal_certificate()) == 0x9000
    assert bench.pso(bench.world.link(I_CA, 2, key=41)) == 0x9000
    assert bench.store.card.cached_certificate == bytes(32)
    assert bench.transmit(CommandApdu(0x80, Ins.GET_DATA, 0x7F, 0x21)).sw == 0x6985


def test_a_link_within_a_session_is_refused_and_ends_it() -> None:
    bench = stage()
    session = bench.open()
    link = bench.world.link(T_CA, 2, key=30)
    secured = session.messaging.wrap(CommandApdu(0x80, Ins.READ, 0, 0, b"", 256))
    assert bench.pso(link) == 0x6985
    assert bench.transmit(secured).sw == 0x6988
    assert bench.store.highest(T_CA) == 1
    assert bench.pso(link) == 0x9000


# GET DATA and the key agreement


def test_get_data() -> None:
    bench = stage()
    ask = CommandApdu(0x80, Ins.GET_DATA, 0x7F, 0x21, b"", 256)
    assert bench.transmit(ask).sw == 0x6985
    assert bench.pso(bench.world.terminal_certificate()) == 0x9000
    assert bench.transmit(ask).data == bench.store.certificate
    assert bench.transmit(CommandApdu(0x80, Ins.GET_DATA, 0x7F, 0x20)).sw == 0x6A88
    assert bench.transmit(CommandApdu(0x80, Ins.GET_DATA, 0x7F, 0x21, b"x")).sw == 0x6700
    for life in ("INSTALLED", "KEYED"):
        keyed = stage(life)
        assert keyed.pso(keyed.world.terminal_certificate()) == 0x9000
        assert keyed.transmit(ask).sw == 0x6A88


def test_mutual_authenticate_refusals() -> None:
    bench = stage()
    host = Scp11aHost(SoftwareEcdhKey(private_key(TERMINAL)), bench.channel_public, bench.random)
    good = host.command()
    assert bench.transmit(good).sw == 0x6985  # no certificate

    def sw(**changes: int | bytes) -> int:
        fields = {"cla": 0x80, "ins": 0x82, "p1": 1, "p2": 0x11, "data": good.data} | changes
        return bench.transmit(CommandApdu(**fields)).sw  # type: ignore[arg-type]

    assert bench.pso(bench.world.terminal_certificate()) == 0x9000
    assert sw(p1=0) == 0x6A88
    assert sw(p2=0x13) == 0x6A88  # SCP11b
    assert sw(p2=0x15) == 0x6A88  # SCP11c
    assert sw(data=good.data[:-1]) == 0x6A80
    assert sw(data=good.data + b"\x00") == 0x6A80
    assert sw(data=good.data.replace(b"\x95\x01\x3c", b"\x95\x01\x34")) == 0x6A80
    off_curve = good.data[:-1] + bytes([good.data[-1] ^ 1])
    assert sw(data=off_curve) == 0x6A80
    identity = good.data[:-68] + tlv.encode(0x5F49, b"\x00")
    assert sw(data=identity) == 0x6A80
    host.finish(bench.transmit(good))


def test_who_has_no_key_of_the_certificate_gets_no_session() -> None:
    bench = stage()
    with pytest.raises(Exception, match="receipt"):
        bench.begin(bench.world.terminal_certificate(), key=STRANGER)


def test_an_unproven_host_writes_nothing() -> None:
    bench = stage()
    writes = bench.nvm.writes
    certificate = bench.world.terminal_certificate(effective=TODAY + 20 * DAY, serial=8)
    bench.begin(certificate)
    bogus = CommandApdu(0x84, Ins.READ, 0, 0, bytes(8), 256)
    assert bench.transmit(bogus).sw == 0x6988
    assert bench.nvm.writes == writes


def test_two_sessions_have_other_keys() -> None:
    bench = stage()
    first = bench.open()
    secured = first.messaging.wrap(CommandApdu(0x80, Ins.READ, 0, 0, b"", 256))
    bench.open()
    assert bench.transmit(secured).sw == 0x6988


def test_secrets_never_show() -> None:
    shown = repr(Secrets(pin=b"271954", code=b"40817263"))
    assert "271954" not in shown
    assert "40817263" not in shown
    bench = stage()
    assert "private" not in repr(bench.store.keys(bench.store.card)).lower()


def test_issuer_and_terminal_slots_are_not_each_others() -> None:
    bench = stage()
    forged = bench.world.terminal_certificate(signer=14)  # by the issuer's key
    assert bench.pso(forged) == 0x6982
    order = bench.entitlement(sequence=2, signer=12)  # by the terminal CA's
    assert bench.open().sw(Ins.LOAD, 0, 0, bytes(order)) == 0x6982
    assert bench.store.wallets(bench.store.card)[0].code == FOOD


def test_an_expired_officer_opens_nothing() -> None:
    bench = stage()
    with pytest.raises(Refused, match="940B"):
        bench.open(Role.SUPERVISOR, effective=BIRTH, expires=TODAY - DAY)
