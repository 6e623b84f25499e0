"""The security domain: selection, data, SCP03 from our host end and from yubikit, keys, life."""

from __future__ import annotations

from pathlib import Path

import pytest
from yubikit.core import TRANSPORT, Tlv
from yubikit.core.smartcard import SmartCardConnection
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams
from yubikit.core.smartcard.scp import StaticKeys as YubikitKeys
from yubikit.securitydomain import SecurityDomainSession

from card_os.icc import ATR_CONTACTLESS, ATR_T0, ATR_T1, Interface, interface_of
from card_os.reference.card import Protocol, ReferenceCard
from card_os.reference.errors import CardFileError
from card_os.reference.keysets import MAX_TRIES
from card_os.reference.memory import Nvm
from card_os.reference.profiles import JCOP_LIKE, CardProfile, TransportKeys
from keys.kdf import StaticKeys, kcv
from keys.scp03 import AuthenticationRefusedError
from keys.securechannel import SecurityLevel
from tests.unit.card_os.gp_bench import (
    AID,
    OTHER_AID,
    PACKAGE,
    REGISTRY,
    SD,
    SERIAL,
    TRANSPORT_KEYS,
    Host,
    install,
    install_data,
    key_set,
    make_card,
    put_key_data,
    seeded,
    select,
    send,
    send_raw,
    status,
)
from wire.apdu import CommandApdu, ResponseApdu
from wire.receipt import Interface as InterfaceCode
from wire.tlv import encode, parse_all

LEVELS = list(SecurityLevel)


@pytest.fixture(name="card")
def fresh_card() -> ReferenceCard:
    return make_card()


# -- the ICC ----------------------------------------------------------------------------------


def test_atrs_tell_the_three_faces_apart() -> None:
    t0 = make_card(protocol="t0")
    t1 = make_card(protocol=Protocol.T1)
    air = make_card(interface=InterfaceCode.CONTACTLESS)
    atrs = [c.power_on() for c in (t0, t1, air)]
    assert atrs == [ATR_T0, ATR_T1, ATR_CONTACTLESS]
    assert interface_of(atrs[2]) is Interface.CONTACTLESS


def test_an_unpowered_card_is_silent(card: ReferenceCard) -> None:
    card.power_off()
    assert card.transmit(bytes.fromhex("00A4040000")) == b""


def test_card_file(tmp_path: Path) -> None:
    path = tmp_path / "card"
    card = make_card(path=path)
    install(Host(card))
    digest = card.nvm.digest()
    with pytest.raises(CardFileError):
        make_card(path=path)
    again = ReferenceCard.load(path, registry=REGISTRY, random=seeded())
    assert again.nvm.digest() == digest
    again.power_on()
    assert select(again, AID)[1] == 0x9000
    with pytest.raises(CardFileError):
        ReferenceCard.load(tmp_path / "none", registry=REGISTRY, random=seeded())
    with pytest.raises(CardFileError):
        ReferenceCard(Nvm(), registry=REGISTRY, random=seeded())


def test_malformed_apdu_is_wrong_length(card: ReferenceCard) -> None:
    for raw in ("00", "00A404", "00A4040005A0", "00A40400000005A0"):
        assert card.transmit(bytes.fromhex(raw)) == b"\x67\x00"


# -- SELECT -----------------------------------------------------------------------------------


def test_select_full_short_and_without_aid(card: ReferenceCard) -> None:
    fci, sw = select(card, SD)
    assert sw == 0x9000
    assert select(card, b"") == (fci, sw) == select(card, SD[:7]) == select(card, SD[:5])
    (tag, body), *rest = parse_all(fci)
    name, proprietary = parse_all(body)
    assert (tag, rest, name) == (0x6F, [], (0x84, SD))
    assert proprietary[0] == 0xA5
    assert dict(parse_all(proprietary[1])).keys() == {0x73, 0x9F65}
    assert select(card, SD + b"\x01")[1] == 0x6A82
    assert select(card, SD[:4])[1] == 0x6A82
    assert select(card, SD, p2=1)[1] == 0x6A86
    assert send(card, "00A40000", b"\x3f\x00")[1] == 0x6D00


def test_select_partial_and_next(card: ReferenceCard) -> None:
    host = Host(card)
    install(host, OTHER_AID)
    install(host)
    first = encode(0x6F, encode(0x84, AID))
    second = encode(0x6F, encode(0x84, OTHER_AID))
    assert select(card, PACKAGE) == (first, 0x9000)
    assert select(card, PACKAGE, p2=2) == (second, 0x9000)
    assert select(card, PACKAGE, p2=2)[1] == 0x6A82
    assert select(card, b"\xf0BETANG\x09")[1] == 0x6A82
    assert send(card, "80020000")[1] == 0x9000  # the failed SELECTs changed nothing


def test_select_and_reset_wipe_ram_not_memory(card: ReferenceCard) -> None:
    install(Host(card))
    select(card, AID)
    assert send(card, "80010000") == (b"\x01\x01", 0x9000)
    assert send(card, "80010000") == (b"\x02\x02", 0x9000)
    select(card, SD)
    select(card, AID)
    assert send(card, "80010000") == (b"\x03\x01", 0x9000)
    card.power_on()
    assert send(card, "80010000")[1] == 0x6D00  # the security domain is selected again
    select(card, AID)
    assert send(card, "80000000") == (b"\x03\x00", 0x9000)


# -- GET DATA ---------------------------------------------------------------------------------


def test_get_data(card: ReferenceCard) -> None:
    cplc, sw = send(card, "80CA9F7F")
    assert (cplc[:3], sw, len(cplc)) == (bytes.fromhex("9F7F2A"), 0x9000, 45)
    assert cplc[3 + 12 : 3 + 16] == SERIAL
    assert send(card, "00CA9F7F") == (cplc, sw)
    recognition, sw = send(card, "80CA0066")
    assert recognition[:2] == bytes.fromhex("6631")
    assert recognition.endswith(bytes.fromhex("2A864886FC6B040370"))
    keys, sw = send(card, "80CA00E0")
    assert keys == encode(
        0xE0, b"".join(encode(0xC0, bytes([kid, 0x30, 0x88, 16])) for kid in (1, 2, 3))
    )
    assert send(card, "80CA0042") == (encode(0x42, JCOP_LIKE.iin), 0x9000)
    assert send(card, "80CA0045")[0][-4:] == SERIAL
    assert send(card, "80CA00C1") == (bytes.fromhex("C103000000"), 0x9000)
    assert send(card, "80CADF01") == (encode(0xDF01, bytes([0x30, MAX_TRIES])), 0x9000)
    assert send(card, "80CA1234")[1] == 0x6A88


# -- SCP03 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize("i", [0x70, 0x60, 0x71, 0x61])
def test_session_at_every_level(level: SecurityLevel, size: int, i: int) -> None:
    keys = key_set("k", size)
    profile = CardProfile("p", JCOP_LIKE.cplc, JCOP_LIKE.iin, i)
    card = make_card(profile=profile, transport_keys=TransportKeys(1, keys))
    host = Host(card, level, keys, s16=bool(i & 1))
    assert status(host, 0x80)[0][0x4F] == SD
    expected = 0x6982 if level is SecurityLevel.NONE else 0x9000
    assert host.send("80E60C00", install_data())[1] == expected


def test_sequence_steps_with_sessions_only(card: ReferenceCard) -> None:
    challenge = bytes(8)
    first, _ = send(card, "80500000", challenge)
    assert send(card, "80500000", challenge) == (first, 0x9000)
    Host(card)
    select(card, SD)
    again, _ = send(card, "80500000", challenge)
    assert again[13:21] != first[13:21]
    assert int.from_bytes(again[-3:], "big") == int.from_bytes(first[-3:], "big") + 1


def test_recorded_opening_cannot_be_replayed(card: ReferenceCard) -> None:
    host = Host(card)
    opening = bytes(host.opening)
    card.power_on()
    send(card, "80503000", bytes(8))
    assert card.transmit(opening) == b"\x63\x00"
    assert card.transmit(opening) == b"\x69\x85"  # the challenge is spent


def test_refusals_of_the_opening(card: ReferenceCard) -> None:
    assert send(card, "80503100", bytes(8))[1] == 0x6A88
    assert send(card, "80503001", bytes(8))[1] == 0x6A86
    assert send(card, "80503000", bytes(7))[1] == 0x6700
    assert send(card, "84823300", bytes(16))[1] == 0x6985
    for head in ("84823200", "84823301"):
        send(card, "80503000", bytes(8))
        assert send(card, head, bytes(16))[1] == 0x6A86
    send(card, "80503000", bytes(8))
    assert send(card, "84823300", bytes(15))[1] == 0x6700
    assert send(card, "80CADF01")[0][-1] == MAX_TRIES  # nothing was compared


def test_wrong_keys_count_down_and_are_told(card: ReferenceCard) -> None:
    for left in range(MAX_TRIES - 1, -1, -1):
        send(card, "80503000", bytes(8))
        assert send(card, "84823300", bytes(16))[1] == 0x6300
        assert send(card, "80CADF01")[0] == encode(0xDF01, bytes([0x30, left]))
    card.power_on()
    assert send(card, "80503000", bytes(8))[1] == 0x6983
    with pytest.raises(AuthenticationRefusedError):
        Host(card)


def test_success_restores_the_tries(card: ReferenceCard) -> None:
    for _ in range(MAX_TRIES - 1):
        send(card, "80503000", bytes(8))
        send(card, "84823300", bytes(16))
    Host(card)
    select(card, SD)
    assert send(card, "80CADF01")[0][-1] == MAX_TRIES


def test_try_is_spent_before_the_comparison(card: ReferenceCard) -> None:
    send(card, "80503000", bytes(8))
    card.nvm.tear_before = 0
    assert send_raw(card, "84823300", bytes(16)) == b""
    card.power_on()
    assert send(card, "80CADF01")[0][-1] == MAX_TRIES
    send(card, "80503000", bytes(8))
    card.nvm.tear_before = 1
    assert send_raw(card, "84823300", bytes(16)) == b"\x63\x00"


AUTHENTICATED = {
    "80F28002": b"\x4f\x00",
    "80F08007": b"",
    "80E60C00": install_data(),
    "80E88000": b"\xc4\x00",
    "80E40000": encode(0x4F, PACKAGE),
    "80D80081": b"\x01",
    "80E28000": encode(0x42, b"x"),
}


@pytest.mark.parametrize("head", AUTHENTICATED)
def test_management_needs_authentication(card: ReferenceCard, head: str) -> None:
    digest = card.nvm.digest()
    assert send(card, head, AUTHENTICATED[head])[1] == 0x6982
    assert card.nvm.digest() == digest


@pytest.mark.parametrize("head", [h for h in AUTHENTICATED if h != "80F28002"])
def test_changes_need_a_mac(card: ReferenceCard, head: str) -> None:
    host = Host(card, SecurityLevel.NONE)
    digest = card.nvm.digest()
    assert host.send(head, AUTHENTICATED[head])[1] == 0x6982
    assert card.nvm.digest() == digest


def test_plain_command_ends_the_session(card: ReferenceCard) -> None:
    host = Host(card)
    assert send(card, "80F28002", b"\x4f\x00")[1] == 0x6982
    wrapped = host.session.wrap(CommandApdu(0x80, 0xF2, 0x80, 2, b"\x4f\x00"))
    assert ResponseApdu.parse(card.transmit(bytes(wrapped))).sw == 0x6E00


@pytest.mark.parametrize("position", [5, -2])
def test_one_wrong_bit_ends_the_session(card: ReferenceCard, position: int) -> None:
    host = Host(card)
    raw = bytearray(bytes(host.session.wrap(CommandApdu(0x80, 0xE6, 0x0C, 0, install_data()))))
    raw[position] ^= 1
    digest = card.nvm.digest()
    assert card.transmit(bytes(raw)) == b"\x69\x82"
    raw[position] ^= 1
    assert card.transmit(bytes(raw)) == b"\x6e\x00"
    assert card.nvm.digest() == digest


def test_select_ends_the_session(card: ReferenceCard) -> None:
    host = Host(card)
    wrapped = host.session.wrap(CommandApdu(0x80, 0xF2, 0x80, 2, b"\x4f\x00"))
    select(card, SD)
    assert ResponseApdu.parse(card.transmit(bytes(wrapped))).sw == 0x6E00


def test_session_opened_to_an_applet(card: ReferenceCard) -> None:
    install(Host(card))
    select(card, AID)
    assert send(card, "80020000") == (b"\xee\x01", 0x9000)
    host = Host(card)
    assert host.send("80020000", b"secret") == (b"\x33\x01secret", 0x9000)
    assert host.send("80030000") == (b"", 0x6985)
    assert host.send("80F28002", b"\x4f\x00")[0] != b""  # the applet's, not the domain's
    raw = bytearray(bytes(host.session.wrap(CommandApdu(0x80, 2, 0, 0, b"x"))))
    raw[-2] ^= 1
    assert card.transmit(bytes(raw)) == b"\x69\x88"
    # Without a session, commands with CLA 84 are the applet's own.
    assert send(card, "84020000", b"own") == (b"\xee\x01own", 0x9000)
    host = Host(card)
    assert send(card, "80020000") == (b"\xee\x01", 0x9000)  # plain: the session is gone
    assert send(card, "84020000", b"own") == (b"\xee\x01own", 0x9000)


# -- keys -------------------------------------------------------------------------------------


# Without its length an AES-192 key cannot be told from an AES-256 key.
@pytest.mark.parametrize(
    ("size", "clear_length"), [(16, True), (24, True), (32, True), (16, False), (32, False)]
)
def test_put_key_adds_then_old_set_is_deleted(
    card: ReferenceCard, size: int, clear_length: bool
) -> None:
    new = key_set("new", size)
    host = Host(card)
    answer = host.send("80D80081", put_key_data(host, 1, new, clear_length=clear_length))
    assert answer == (b"\x01" + kcv(new.enc) + kcv(new.mac) + kcv(new.dek), 0x9000)
    assert status(host, 0x80)  # the session goes on
    select(card, SD)
    host = Host(card, keys=new, kvn=1)
    assert host.send("80E40000", encode(0xD2, b"\x30")) == (b"\x00", 0x9000)
    assert host.send("80E40000", encode(0xD2, b"\x01"))[1] == 0x6985
    assert host.send("80E40000", encode(0xD2, b"\x30"))[1] == 0x6A88
    select(card, SD)
    assert send(card, "80503000", bytes(8))[1] == 0x6A88
    Host(card, keys=new)  # version 00 now means the new set


def test_put_key_replaces(card: ReferenceCard) -> None:
    host = Host(card)
    new = key_set("new")
    assert host.send("80D83081", put_key_data(host, 0x31, new))[1] == 0x9000
    select(card, SD)
    assert send(card, "80503000", bytes(8))[1] == 0x6A88
    Host(card, keys=new, kvn=0x31)


def test_initial_version_ff_is_gone_with_the_first_own_set() -> None:
    card = make_card(transport_keys=TransportKeys(0xFF, TRANSPORT_KEYS.keys))
    host = Host(card)
    new = key_set("new")
    assert host.send("80D80081", put_key_data(host, 1, new))[1] == 0x9000
    select(card, SD)
    assert send(card, "80CADF01")[0] == encode(0xDF01, bytes([1, MAX_TRIES]))
    Host(card, keys=new)


def test_put_key_refusals(card: ReferenceCard) -> None:
    host = Host(card)
    good = put_key_data(host, 1, key_set("new"))
    digest = card.nvm.digest()
    wrong_kcv = good[:-1] + bytes([good[-1] ^ 1])
    cases = [
        ("80D80081", wrong_kcv, 0x9485),
        ("80D80081", good[:1] + b"\x80" + good[2:], 0x9484),
        ("80D80081", good[:-1], 0x6A80),
        ("80D80081", good + b"\x00", 0x6A80),
        ("80D80081", b"\x00" + good[1:], 0x6A80),
        ("80D80081", b"\x30" + good[1:], 0x6A80),
        ("80D80081", b"\xff" + good[1:], 0x6A80),
        ("80D82081", good, 0x6A88),
        ("80D80001", good, 0x6A86),
        ("80D80081", b"", 0x6A80),
    ]
    for head, data, sw in cases:
        assert host.send(head, data) == (b"", sw)
    assert card.nvm.digest() == digest
    for kvn in range(1, 8):
        assert host.send("80D80081", put_key_data(host, kvn, key_set("x")))[1] == 0x9000
    assert host.send("80D80081", put_key_data(host, 8, key_set("x")))[1] == 0x6A84


def test_profile_limits_key_lengths() -> None:
    profile = CardProfile("p", JCOP_LIKE.cplc, JCOP_LIKE.iin, key_bytes=(16,))
    host = Host(make_card(profile=profile))
    assert host.send("80D80081", put_key_data(host, 1, key_set("new", 32)))[1] == 0x6A80


# -- data and life ----------------------------------------------------------------------------


def test_store_data(card: ReferenceCard) -> None:
    host = Host(card)
    data = encode(0x42, b"issuer") + encode(0x45, b"image")
    assert host.send("80E20000", data[:5])[1] == 0x9000
    assert host.send("80E28001", data[5:])[1] == 0x9000
    assert host.send("80CA0042")[0] == encode(0x42, b"issuer")
    assert host.send("80CA0045")[0] == encode(0x45, b"image")
    assert host.send("80E28001", data)[1] == 0x6A86
    assert host.send("80E28800", data)[1] == 0x6A86
    assert host.send("80E28000", encode(0x66, b"x"))[1] == 0x6A80


def test_lock_and_unlock_an_applet(card: ReferenceCard) -> None:
    host = Host(card)
    install(host)
    assert host.send("80F04080", AID)[1] == 0x9000
    assert host.send("80F04080", AID)[1] == 0x6985
    assert status(host, 0x40)[0][0x9F70] == b"\x87"
    assert select(card, AID)[1] == 0x6A82
    host = Host(card)
    assert host.send("80F04007", AID)[1] == 0x9000
    assert host.send("80F04080", OTHER_AID)[1] == 0x6A88
    assert host.send("80F06080", AID)[1] == 0x6A86
    assert select(card, AID)[1] == 0x9000


def test_card_life_cycle(card: ReferenceCard) -> None:
    host = Host(card)
    install(host)
    assert host.send("80F0800F")[1] == 0x6985  # not over INITIALIZED
    assert host.send("80F08033")[1] == 0x6A86
    for state in ("07", "0F", "7F"):
        assert host.send(f"80F080{state}")[1] == 0x9000
    assert status(host, 0x80)[0][0x9F70] == b"\x7f"
    assert host.send("80E60C00", install_data(OTHER_AID))[1] == 0x6985
    assert host.send("80E40000", encode(0x4F, AID))[1] == 0x6985
    assert select(card, AID)[1] == 0x6A81
    assert select(card, SD)[1] == 0x6283
    host = Host(card)
    assert host.send("80F08007")[1] == 0x6985
    assert host.send("80F0800F")[1] == 0x9000
    assert select(card, AID)[1] == 0x9000
    select(card, SD)
    assert Host(card).send("80F080FF")[1] == 0x9000
    card.power_on()
    assert send(card, "80CA9F7F")[1] == 0x9000
    assert select(card, SD)[1] == 0x6985
    assert select(card, AID)[1] == 0x6A81
    assert send(card, "80503000", bytes(8))[1] == 0x6985


def test_unknown_class_and_instruction(card: ReferenceCard) -> None:
    assert send(card, "90CA9F7F")[1] == 0x6E00
    assert send(card, "80FE0000")[1] == 0x6D00


# -- yubikit, an independent client -------------------------------------------------------------


class YubikitLink(SmartCardConnection):
    def __init__(self, card: ReferenceCard) -> None:
        self._card = card

    @property
    def transport(self) -> TRANSPORT:
        return TRANSPORT.NFC

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        answer = ResponseApdu.parse(self._card.transmit(apdu))
        return answer.data, answer.sw

    def close(self) -> None:
        pass


def yubikit_keys(keys: StaticKeys) -> YubikitKeys:
    return YubikitKeys(keys.enc, keys.mac, keys.dek)


def test_yubikit_manages_the_domain(card: ReferenceCard) -> None:
    session = SecurityDomainSession(YubikitLink(card))
    # A YubiKey answers with E0's value alone, so its own reader of the template is not used.
    assert Tlv.unpack(0xE0, session.get_data(0xE0))[3] == 0x30
    session.authenticate(Scp03KeyParams(KeyRef(1, 0x30), yubikit_keys(TRANSPORT_KEYS.keys)))
    answer = session.protocol.send_apdu(0x80, 0xF2, 0x80, 0x02, b"\x4f\x00")
    assert Tlv.parse_dict(Tlv.unpack(0xE3, answer))[0x4F] == SD
    new = key_set("new")
    session.put_key(KeyRef(1, 0x02), yubikit_keys(new))
    session.delete_key(kvn=0x30)
    assert Tlv.unpack(0xE0, session.get_data(0xE0))[3] == 0x02
    session = SecurityDomainSession(YubikitLink(card))
    session.authenticate(Scp03KeyParams(KeyRef(1, 0x02), yubikit_keys(new)))


def test_yubikit_with_other_keys_is_refused(card: ReferenceCard) -> None:
    session = SecurityDomainSession(YubikitLink(card))
    with pytest.raises(ValueError, match="Incorrect SCP"):
        session.authenticate(Scp03KeyParams(KeyRef(1, 0x30), yubikit_keys(key_set("other"))))
