"""SPEC.md: INSTALL, GENERATE KEYS, PERSONALISE, ACTIVATE."""

import os
from datetime import date

import pytest

from card_os.host import errors
from card_os.host.opening import exchange, select_purse
from card_os.host.security_domain import PurseKeySession
from keys.scp03 import Scp03Host
from keys.scp11 import SoftwareEcdhKey
from keys.securechannel import SecurityLevel
from tests.conformance.world import (
    CARD_ID,
    CODE,
    DAY,
    ENV,
    OFFICER,
    PIN,
    TRANSPORT,
    Authorities,
    Bench,
    SigningKey,
    raw,
    refused,
)  # fmt: skip
from wire.apdu import CommandApdu
from wire.cvc import Role
from wire.entitlement import ScriptAction
from wire.env import LIVE_PURSE_AID, SPECIMEN_PURSE_AID, Environment
from wire.purse import Flag, InstallParameters, Life
from wire.receipt import StatementKind

ROOT = SigningKey().public


@pytest.mark.parametrize(
    "parameters",
    [b"\x81", bytes([ENV]) + ROOT + b"\x00", b"\x03" + ROOT, bytes([ENV]) + b"\x04" + bytes(64),
     bytes([ENV]) + ROOT[:-1] + bytes([ROOT[-1] ^ 1]), bytes([Environment.DEMO_SPECIMEN]) + ROOT],
)  # fmt: skip
def test_install_refuses_bad_parameters(bench: Bench, parameters: bytes) -> None:
    with pytest.raises(errors.DataRefusedError):
        bench.install(parameters)
    with pytest.raises(errors.ForeignCardError):
        select_purse(bench.link, ENV)


def test_both_worlds_on_one_card_are_told_apart(bench: Bench) -> None:
    bench.prepare("INSTALLED")
    specimen = Bench(bench.link, Authorities(env=Environment.DEMO_SPECIMEN))
    specimen.install()
    assert bench.send("00A40400", LIVE_PURSE_AID)[0][-4:] == bytes([ENV, 0xC1, 1, 1])
    assert bench.send("00A40400", SPECIMEN_PURSE_AID)[0][-4] == Environment.DEMO_SPECIMEN
    specimen.uninstall(Environment.DEMO_SPECIMEN)
    assert bytes(InstallParameters(ENV, ROOT)) == bytes([ENV]) + ROOT


def test_generate_keys_again_makes_other_keys_until_personalised(bench: Bench) -> None:
    bench.prepare("KEYED")
    first = bench.keys
    second = bench.make_keys()
    assert first is not None
    assert {*bytes(first)[:65:64]} <= set(range(256))
    assert first.channel_key != second.channel_key
    assert first.receipt_key != second.receipt_key
    bench.personalise()
    with pytest.raises(errors.OutOfPlaceError):
        bench.make_keys()
    bench.activate()
    with pytest.raises(errors.OutOfPlaceError):
        bench.make_keys()


def test_generate_keys_through_scp03_only(bench: Bench) -> None:
    bench.prepare("KEYED")
    assert bench.send("80460000") == (b"", 0x6985)
    with bench.keyed_session() as session:
        assert raw(session, "460000") == (b"", 0x6985)
    with PurseKeySession(bench.link, bench.channel(), ENV) as keys:
        channel = keys._channel
        for header, data, sw in (
            ("80460001", b"", 0x6A86), ("80460100", b"", 0x6A86), ("80460000", b"x", 0x6700),
            ("80300000", b"", 0x6985), ("803E0000", bytes(200), 0x6985), ("80EE0000", b"", 0x6D00),
        ):  # fmt: skip
            command = CommandApdu(*bytes.fromhex(header), data, 256)
            wrapped = CommandApdu.parse(channel.wrap(bytes(command)))
            answer = channel.unwrap(bytes(exchange(bench.link, wrapped)))
            assert answer == sw.to_bytes(2, "big"), header
        keys.generate_keys()


@pytest.mark.parametrize("level", [0x01, 0x03, 0x11, 0x13])
def test_generate_keys_needs_the_full_level(bench: Bench, level: int) -> None:
    bench.prepare("INSTALLED")
    select_purse(bench.link, ENV)
    host = Scp03Host(lambda _: TRANSPORT, SecurityLevel(level), os.urandom)
    command = host.external_authenticate(exchange(bench.link, host.initialize_update()))
    messaging = host.finish(exchange(bench.link, command))
    wrapped = messaging.wrap(CommandApdu(0x80, 0x46, 0, 0, b"", 256))
    assert messaging.unwrap(exchange(bench.link, wrapped)).sw == 0x6985


def test_scp03_ends_a_session_of_the_purse(bench: Bench) -> None:
    bench.prepare("KEYED")
    with bench.keyed_session() as session:
        host = Scp03Host(lambda _: TRANSPORT, SecurityLevel.FULL, os.urandom)
        command = host.external_authenticate(exchange(bench.link, host.initialize_update()))
        messaging = host.finish(exchange(bench.link, command))
        wrapped = messaging.wrap(CommandApdu(0x80, 0x46, 0, 1, b"", 256))
        assert messaging.unwrap(exchange(bench.link, wrapped)).sw == 0x6A86
        with pytest.raises(errors.CardError):
            session.read_state()


def test_personalise(bench: Bench) -> None:
    bench.prepare("KEYED")
    assert bench.keys is not None
    certificate = bench.up.card(bench.keys)
    with bench.keyed_session() as session:
        assert (session.state.card_id, session.state.life) == (bytes(8), Life.KEYED)
        session.personalise(CODE, certificate)
        state = session.state
        assert (state.card_id, state.life, state.pin_tries) == (CARD_ID, Life.INERT, 5)
        assert (state.pin_unblocks_left, state.card_date, state.sequence) == (10, DAY, 0)
        refused(session, "3E0000", CODE.encode() + bytes(certificate), 0x6985)


def test_personalise_keeps_a_later_date(bench: Bench) -> None:
    bench.prepare("KEYED")
    assert bench.keys is not None
    with bench.keyed_session() as session:
        assert session.state.card_date == DAY  # of the personaliser's certificate
        session.personalise(CODE, bench.up.card(bench.keys, start=date(2025, 1, 1)))
        assert session.state.card_date == DAY


def test_personalise_refuses_what_is_not_this_cards(bench: Bench) -> None:
    bench.prepare("KEYED")
    keys = bench.keys
    assert keys is not None
    up, stranger = bench.up, SoftwareEcdhKey.generate(os.urandom).public
    other_world = Authorities(env=Environment.DEMO_SPECIMEN)
    type_ = type(keys)
    good = bytes(up.card(keys))
    with bench.keyed_session() as session:
        for bad in (
            bytes(up.card(type_(stranger, keys.receipt_key))),
            bytes(up.card(type_(keys.channel_key, stranger))),
            bytes(up.card(type_(keys.receipt_key, keys.channel_key))),
            bytes(up.card(keys, card_id=b"KHBS\x00\x00\x00\x01")),
            bytes(other_world.card(keys)),
            bytes(up.terminal(Role.TERMINAL, keys.channel_key)),
            bytes(up.links()[0]),
            good[:-1], good + b"\x00", b"\x00",
        ):  # fmt: skip
            refused(session, "3E0000", CODE.encode() + bad, 0x6A80)
        refused(session, "3E0000", b"1234567x" + good, 0x6A80)
        refused(session, "3E0000", CODE.encode(), 0x6700)
        # The card CA's signature is the issuer's to check: no slot holds that key.
        session.personalise(CODE, up.card(keys))


def test_activate(bench: Bench) -> None:
    bench.prepare("INERT")
    with bench.session(Role.HANDOVER) as session:
        assert session.state.life == Life.INERT
        statement = session.activate(CODE, PIN)
        assert (statement.kind, statement.officer) == (StatementKind.ACTIVATION, OFFICER)
        assert session.state == session.read_state()
        assert session.state.life == Life.ACTIVE
        assert session.read_pin_statement() == statement
        refused(session, "360000", (CODE + PIN).encode(), 0x6985)
    with bench.session() as session:
        assert session.verify_pin(PIN) == 3


def test_the_transport_code_has_five_tries(bench: Bench) -> None:
    bench.prepare("INERT")
    with bench.session(Role.HANDOVER) as session:
        for left in (4, 3, 2, 1, 0):
            with pytest.raises(errors.WrongPinError) as caught:
                session.activate("87654321", PIN)
            assert caught.value.tries_left == left
            assert session.state == session.read_state()
        with pytest.raises(errors.PinTriesSpentError):
            session.activate(CODE, PIN)
        assert session.read_state().life == Life.INERT
        session.script(bench.script(ScriptAction.PIN_UNBLOCK))
        assert session.state == session.read_state()
        assert session.state.pin_tries == 5
        session.activate(CODE, PIN)


def test_activate_refusals(bench: Bench) -> None:
    bench.prepare("INERT")
    with bench.session(Role.HANDOVER) as session:
        refused(session, "360000", b"1234567x" + PIN.encode(), 0x6A80)
        refused(session, "360000", CODE.encode() + b"12345x", 0x6A80)
        refused(session, "360000", CODE.encode() + b"111111", 0x940D)  # tries restored
        refused(session, "360100", PIN.encode(), 0x6985)
        session.script(bench.script(ScriptAction.BLOCK))
        refused(session, "360000", (CODE + PIN).encode(), 0x9406)
        session.script(bench.script(ScriptAction.UNBLOCK, 2))
        session.activate(CODE, PIN)


@pytest.mark.parametrize("life", ["INERT", "ACTIVE"])
def test_pin_reset_by_the_officer_it_names(bench: Bench, life: str) -> None:
    bench.prepare(life)
    with bench.session(Role.HANDOVER) as session:
        refused(session, "360100", b"739156", 0x6985)
        session.script(bench.script(ScriptAction.PIN_RESET))
        assert session.state == session.read_state()
        assert Flag.PIN_RESET_PENDING in session.state.flags
    with bench.session(bench.station(Role.HANDOVER, officer=OFFICER + 1)) as session:
        refused(session, "360100", b"739156", 0x6985)
    with bench.session(Role.HANDOVER) as session:
        refused(session, "360100", b"73915x", 0x6A80)
        refused(session, "360100", b"123456", 0x940D)
        statement = session.set_pin_after_reset("739156")
        assert session.state == session.read_state()
        assert session.read_pin_statement() == statement
        assert session.state.life == Life.ACTIVE
        refused(session, "360100", b"739157", 0x6985)  # once
    with bench.session() as session:
        refused_old = raw(session, "200080", PIN.encode())
        assert refused_old == (b"", 0x63C2)
        assert session.verify_pin("739156") == 3


def test_activation_by_code_clears_a_pending_reset(bench: Bench) -> None:
    bench.prepare("INERT")
    with bench.session(Role.HANDOVER) as session:
        session.script(bench.script(ScriptAction.PIN_RESET))
        session.activate(CODE, PIN)
        assert session.state == session.read_state()
        refused(session, "360100", b"739156", 0x6985)
