"""SPEC.md: Select, GET DATA, MUTUAL AUTHENTICATE, secure messaging, and who may open a session."""

import os

import pytest

from card_os.host import errors
from card_os.host.opening import exchange, select_purse
from card_os.host.purse import PurseSession
from keys.scp11 import CONTROL_REFERENCE, SoftwareEcdhKey
from tests.conformance.world import ENV, PIN, TERMINAL, Bench, debit_of, raw
from wire import tlv
from wire.apdu import CommandApdu
from wire.cvc import Role
from wire.env import purse_aid
from wire.purse import Fci, Life

POINT = SoftwareEcdhKey.generate(os.urandom).public
EPHEMERAL = tlv.encode(0x5F49, POINT)


def test_select_shows_world_and_version_and_nothing_else(bench: Bench) -> None:
    bench.prepare("INSTALLED")
    blank = bench.send("00A40400", purse_aid(ENV))
    assert blank == (bytes(Fci(ENV, 1)), 0x9000)
    bench.loaded()
    assert bench.send("00A40400", purse_aid(ENV)) == blank


def test_select_wipes_the_certificate_and_the_session(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    with bench.session() as session:
        select_purse(bench.link, ENV)
        assert raw(session, "300000") == (b"", 0x6988)
        assert bench.send("80CA7F21") == (b"", 0x6985)
        assert bench.send("80820111", CONTROL_REFERENCE + EPHEMERAL) == (b"", 0x6985)


def test_reset_wipes_them_too(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    with bench.session() as session:
        bench.link.reset()
        select_purse(bench.link, ENV)
        assert raw(session, "300000") == (b"", 0x6988)


def test_get_data_needs_a_certificate_and_a_personalised_card(bench: Bench) -> None:
    bench.prepare("KEYED")
    select_purse(bench.link, ENV)
    assert bench.send("80CA7F21") == (b"", 0x6985)
    terminal = bench.station(Role.TERMINAL).certificate
    assert bench.pso(terminal) == 0x9000
    assert bench.send("80CA7F21") == (b"", 0x6A88)
    bench.personalise()
    select_purse(bench.link, ENV)
    assert bench.pso(terminal) == 0x9000
    assert bench.certificate is not None
    assert bench.send("80CA7F21") == (bytes(bench.certificate), 0x9000)
    assert bench.send("80CA7F22") == (b"", 0x6A88)
    assert bench.send("80CA7F21", b"\x00") == (b"", 0x6700)
    # A refused PSO forgets the certificate held.
    assert bench.pso(b"\x7f\x21\x00") == 0x6A80
    assert bench.send("80CA7F21") == (b"", 0x6985)


@pytest.mark.parametrize(
    ("header", "data", "sw"),
    [
        ("80820111", CONTROL_REFERENCE + EPHEMERAL, 0x9000),
        ("80820113", CONTROL_REFERENCE + EPHEMERAL, 0x6A88),  # SCP11b's key id
        ("80820115", CONTROL_REFERENCE + EPHEMERAL, 0x6A88),  # SCP11c's
        ("80820211", CONTROL_REFERENCE + EPHEMERAL, 0x6A88),
        ("80820111", CONTROL_REFERENCE, 0x6A80),
        ("80820111", b"", 0x6A80),
        ("80820111", EPHEMERAL, 0x6A80),
        ("80820111", CONTROL_REFERENCE + EPHEMERAL + b"\x00", 0x6A80),
        ("80820111", CONTROL_REFERENCE.replace(b"\x11\x01", b"\x11\x00") + EPHEMERAL, 0x6A80),
        ("80820111", CONTROL_REFERENCE.replace(b"\x11\x01", b"\x11\x03") + EPHEMERAL, 0x6A80),
        ("80820111", CONTROL_REFERENCE.replace(b"\x95\x01\x3c", b"\x95\x01\x34") + EPHEMERAL,
         0x6A80),
        ("80820111", CONTROL_REFERENCE.replace(b"\x81\x01\x10", b"\x81\x01\x20") + EPHEMERAL,
         0x6A80),
        ("80820111", CONTROL_REFERENCE + tlv.encode(0x5F49, b"\x04" + bytes(64)), 0x6A80),
        ("80820111", CONTROL_REFERENCE + tlv.encode(0x5F49, POINT[:-1] + bytes([POINT[-1] ^ 1])),
         0x6A80),
        ("80820111", CONTROL_REFERENCE + tlv.encode(0x5F49, b"\x02" + POINT[1:33]), 0x6A80),
    ],
)  # fmt: skip
def test_mutual_authenticate_takes_one_parameter_set(
    bench: Bench, header: str, data: bytes, sw: int
) -> None:
    bench.prepare("INERT")
    select_purse(bench.link, ENV)
    assert bench.send(header, data)[1] == (0x6A88 if sw == 0x6A88 else 0x6985)
    assert bench.pso(bench.station(Role.TERMINAL).certificate) == 0x9000
    answer, found = bench.send(header, data)
    assert found == sw
    assert len(answer) == (86 if sw == 0x9000 else 0)


def test_mutual_authenticate_needs_keys_and_before_personalise_a_personaliser(
    bench: Bench,
) -> None:
    bench.prepare("INSTALLED")
    command = CONTROL_REFERENCE + EPHEMERAL
    for life, role, sw in (
        ("INSTALLED", Role.PERSONALISER, 0x6985),
        ("KEYED", Role.TERMINAL, 0x6985),
        ("KEYED", Role.HANDOVER, 0x6985),
        ("KEYED", Role.PERSONALISER, 0x9000),
    ):
        if life == "KEYED" and bench.keys is None:
            bench.make_keys()
        select_purse(bench.link, ENV)
        assert bench.pso(bench.station(role).certificate) == 0x9000
        assert bench.send("80820111", command)[1] == sw


def test_a_certificate_without_its_key_opens_nothing(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    thief = SoftwareEcdhKey.generate(os.urandom)
    select_purse(bench.link, ENV)
    certificate = bench.station(Role.TERMINAL).certificate
    with pytest.raises(errors.UnprovenAnswerError):
        PurseSession.open(
            bench.link, env=ENV, certificate=certificate, channel_key=thief, random=os.urandom,
            verify_card_certificate=bench.up.verify_card,
        )  # fmt: skip
    # Even a thief who ignores the receipt has no session keys.
    assert bench.send("84300000", bytes(8)) == (b"", 0x6988)


def test_read_state_comes_first_and_only_a_success_counts(bench: Bench) -> None:
    bench.loaded()
    session = bench.half_open()
    for header, data in (("320000", bytes(166)), ("300100", b""), ("3C0000", bytes(4)),
                         ("200080", PIN.encode())):  # fmt: skip
        assert raw(session, header, data) == (b"", 0x6985)
    assert raw(session, "300001") == (b"", 0x6A86)
    assert raw(session, "300100") == (b"", 0x6985)
    answer, sw = raw(session, "300000")
    assert (sw, answer[8:16]) == (0x9000, TERMINAL)
    assert raw(session, "300100")[1] == 0x9000


@pytest.mark.parametrize("at", [4, 5, -9, -2])  # Lc, ciphertext, its end, the MAC
def test_a_changed_command_ends_the_session(bench: Bench, at: int) -> None:
    bench.loaded()
    with bench.paying() as session:
        before = session.state
        assert session._messaging is not None
        debit = CommandApdu(0x80, 0x38, 0, 0, bytes(debit_of(session)), 256)
        wrapped = bytes(session._messaging.wrap(debit))
        if at == 4:  # one byte of the MAC less
            changed = wrapped[:4] + bytes([wrapped[4] - 1]) + wrapped[5:-2] + wrapped[-1:]
        else:
            changed = bytearray(wrapped)
            changed[at] ^= 0x10
        assert bench.link.transmit(bytes(changed)) == b"\x69\x88"
        assert bench.link.transmit(wrapped) == b"\x69\x88"
        assert bench.send("80CA7F21") == (b"", 0x6985)  # the certificate is forgotten too
    with bench.session() as session:
        assert session.state == before


def test_a_repeated_or_reordered_command_ends_the_session(bench: Bench) -> None:
    bench.loaded()
    with bench.paying() as session:
        assert session._messaging is not None
        debit = CommandApdu(0x80, 0x38, 0, 0, bytes(debit_of(session)), 256)
        wrapped = bytes(session._messaging.wrap(debit))
        assert len(bench.link.transmit(wrapped)) > 210
        assert bench.link.transmit(wrapped) == b"\x69\x88"
    with bench.session() as session:
        assert session.state.sequence == 1


def test_a_bare_command_ends_the_session(bench: Bench) -> None:
    bench.loaded()
    for header, sw in (("80300000", 0x6988), ("80CA7F21", 0x6988), ("80820111", 0x6988),
                       ("00300000", 0x6988), ("80EE0000", 0x6988)):  # fmt: skip
        session = bench.half_open()
        assert raw(session, "300000")[1] == 0x9000
        assert bench.send(header) == (b"", sw)
        assert raw(session, "300000") == (b"", 0x6988)


def test_pso_ends_the_session_and_begins_anew(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    with bench.session() as session:
        assert bench.pso(bench.station(Role.TERMINAL).certificate) == 0x9000
        assert raw(session, "300000") == (b"", 0x6988)
        assert bench.send("80CA7F21")[1] == 0x9000


@pytest.mark.parametrize(
    ("header", "sw"),
    [("84300000", 0x6988), ("04300000", 0x6988), ("80300000", 0x6988), ("80380000", 0x6988),
     ("803E0000", 0x6988), ("00CA7F21", 0x6E00), ("90300000", 0x6E00), ("80EE0000", 0x6D00),
     ("80460000", 0x6985)],
)  # fmt: skip
def test_outside_a_session(bench: Bench, header: str, sw: int) -> None:
    bench.prepare("ACTIVE")
    select_purse(bench.link, ENV)
    assert bench.send(header) == (b"", sw)
    assert bench.pso(bench.station(Role.TERMINAL).certificate) == 0x9000
    assert bench.send(header)[1] == sw


def test_class_and_instruction_inside_a_session(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    session = bench.half_open()
    assert raw(session, "00300000") == (b"", 0x6E00)  # before READ STATE, as SPEC.md orders
    assert raw(session, "EE0000") == (b"", 0x6D00)
    assert raw(session, "2A0010") == (b"", 0x6D00)
    assert raw(session, "300000")[1] == 0x9000
    assert raw(session, "00380000") == (b"", 0x6E00)
    assert raw(session, "460000") == (b"", 0x6985)


def test_pin_and_debit_do_not_outlive_their_session(bench: Bench) -> None:
    bench.loaded()
    with bench.paying():
        pass
    with bench.session() as session:
        assert raw(session, "380000", bytes(debit_of(session))) == (b"", 0x6982)
        assert session.read_state().life == Life.ACTIVE


def test_nothing_is_written_before_the_first_protected_command(bench: Bench) -> None:
    """The later date of an accepted certificate counts only from READ STATE on."""
    bench.prepare("ACTIVE")
    later = bench.station(
        Role.TERMINAL, start=bench.station(Role.TERMINAL).certificate.expires, serial=2,
        end=bench.up.terminal(Role.TERMINAL, POINT).expires.replace(year=2027),
    )  # fmt: skip
    with bench.session() as session:
        date_before = session.state.card_date
    half = bench.half_open(later)
    with bench.session() as session:
        assert session.state.card_date == date_before
    half = bench.half_open(later)
    assert raw(half, "300000")[1] == 0x9000
    bench.half_open()  # still within its certificate on its last day
    with bench.session(later) as session:
        assert session.state.card_date == later.certificate.effective


def test_get_response_is_no_purse_command(bench: Bench) -> None:
    """The T=0 way of fetching an answer is the reader's; links hide it."""
    bench.prepare("INSTALLED")
    answer = exchange(bench.link, CommandApdu(0x00, 0xA4, 4, 0, purse_aid(ENV), 256))
    assert (answer.sw, len(answer.data) > 0) == (0x9000, True)
