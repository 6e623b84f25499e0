"""Commands as GlobalPlatform clients in wide use put them together, byte for byte.

Written by hand from what GlobalPlatformPro, gpshell and yubikit send (docs/foreign-clients.md).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from card_os.reference.card import ReferenceCard
from card_os.reference.profiles import JCOP_LIKE, CardProfile
from keys.kdf import kcv
from keys.securechannel import SecurityLevel
from tests.unit.card_os.gp_bench import (
    AID,
    MODULE,
    OTHER_AID,
    PACKAGE,
    SD,
    Host,
    cap,
    install,
    install_data,
    key_set,
    lv,
    make_card,
    put_key_data,
    select,
    send,
    status,
)
from wire.apdu import CommandApdu, ResponseApdu
from wire.tlv import encode, parse_all

LOCKS = [SecurityLevel.C_MAC, SecurityLevel.C_MAC_C_ENC, SecurityLevel.FULL]


@pytest.fixture(name="card")
def fresh_card() -> ReferenceCard:
    return make_card()


# -- in clear -----------------------------------------------------------------------------------


def test_default_selection_needs_no_select(card: ReferenceCard) -> None:
    fci, sw = send(card, "00A40400")
    assert (sw, dict(parse_all(dict(parse_all(fci))[0x6F]))[0x84]) == (0x9000, SD)
    card.power_on()
    assert send(card, "80CA0066")[1] == 0x9000


@pytest.mark.parametrize("length", range(5, 9))
def test_short_forms_of_the_default_aid(card: ReferenceCard, length: int) -> None:
    for le in (None, 256):
        command = CommandApdu(0x00, 0xA4, 4, 0, SD[:length], le)
        assert ResponseApdu.parse(card.transmit(bytes(command))).sw == 0x9000


def test_the_older_default_aid_is_not_here(card: ReferenceCard) -> None:
    assert select(card, bytes.fromhex("A000000003000000"))[1] == 0x6A82


def test_diversification_data_is_what_the_opening_begins_with(card: ReferenceCard) -> None:
    told, sw = send(card, "80CA00CF")
    opening, _ = send(card, "80500000", bytes(8))
    assert (told, sw) == (encode(0xCF, opening[:10]), 0x9000)


@pytest.mark.parametrize(
    ("i", "sizes", "capability"),
    [
        (0x70, (16, 24, 32), "670FA00980010381017082010783020102"),
        (0x61, (16,), "670FA00980010381016182010183020102"),
        (0x60, (16, 32), "670FA00980010381016082010583020102"),
    ],
)
def test_card_capability_data(i: int, sizes: tuple[int, ...], capability: str) -> None:
    profile = CardProfile("p", JCOP_LIKE.cplc, JCOP_LIKE.iin, i, key_bytes=sizes)
    answer = send(make_card(profile=profile), "80CA0067")
    assert answer == (bytes.fromhex(capability), 0x9000)


NOT_THERE = {
    "80CAFF33": 0x6A88,  # yubikit: identifiers of the card's CAs
    "80CAFF34": 0x6A88,
    "80CABF21": 0x6A88,  # certificate store
    "80CA2F00": 0x6A88,  # list of applications
    "80CA00C2": 0x6A88,  # confirmation counter
    "00700000": 0x6D00,  # MANAGE CHANNEL
    "01CA9F7F": 0x6E00,  # another logical channel
}


@pytest.mark.parametrize("head", NOT_THERE)
def test_what_is_not_there_is_told_in_clear(card: ReferenceCard, head: str) -> None:
    assert send(card, head) == (b"", NOT_THERE[head])


# -- the opening --------------------------------------------------------------------------------


@pytest.mark.parametrize(("i", "right"), [(0x70, 8), (0x60, 8), (0x71, 16), (0x61, 16)])
def test_the_length_of_the_challenge_tells_s8_from_s16(i: int, right: int) -> None:
    """GlobalPlatformPro asks with 8 bytes and, told 6700, with 16."""
    profile = CardProfile("p", JCOP_LIKE.cplc, JCOP_LIKE.iin, i)
    card = make_card(profile=profile)
    assert send(card, "80500000", bytes(24 - right)) == (b"", 0x6700)
    answer, sw = send(card, "80500000", bytes(right))
    assert (sw, answer[10:13]) == (0x9000, bytes([0x30, 0x03, i]))
    assert len(answer) == 13 + 2 * right + (3 if i & 0x10 else 0)


@pytest.mark.parametrize(
    ("i", "level", "sw"),
    [(0x00, 0x03, 0x6300), (0x00, 0x11, 0x6A86), (0x20, 0x13, 0x6300), (0x20, 0x33, 0x6A86)],
)
def test_a_level_beyond_the_options_is_refused(i: int, level: int, sw: int) -> None:
    card = make_card(profile=CardProfile("p", JCOP_LIKE.cplc, JCOP_LIKE.iin, i))
    assert send(card, "80500000", bytes(8))[1] == 0x9000
    assert send(card, f"8482{level:02X}00", bytes(16))[1] == sw


class LeHost(Host):
    """GlobalPlatformPro appends Le 00 behind each wrapped command, EXTERNAL AUTHENTICATE too."""

    def _transmit(self, command: CommandApdu) -> ResponseApdu:
        return super()._transmit(replace(command, le=256))


@pytest.mark.parametrize("level", SecurityLevel)
def test_every_command_may_bring_le(card: ReferenceCard, level: SecurityLevel) -> None:
    host = LeHost(card, level)
    assert status(host, 0x80)
    expected = 0x6982 if level is SecurityLevel.NONE else 0x9000
    assert host.send("80E60C00", install_data())[1] == expected


# -- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LOCKS)
def test_lock_replaces_a_set_under_its_own_version(
    card: ReferenceCard, level: SecurityLevel
) -> None:
    """GlobalPlatformPro --lock: P1 and the new version are both the session's own."""
    host, new = Host(card, level), key_set("new", 32)
    answer = host.send("80D83081", put_key_data(host, 0x30, new))
    assert answer == (b"\x30" + kcv(new.enc) + kcv(new.mac) + kcv(new.dek), 0x9000)
    card.power_on()
    (_, body), *_ = parse_all(send(card, "80CA00E0")[0])
    assert [v for _, v in parse_all(body)] == [bytes([k, 0x30, 0x88, 32]) for k in (1, 2, 3)]
    assert Host(card, level, new).send("80F28002", b"\x4f\x00")[1] == 0x9000


def test_key_check_values_may_be_left_out(card: ReferenceCard) -> None:
    host, new = Host(card), key_set("new")
    data = b"\x01"
    for key in (new.enc, new.mac, new.dek):
        data += b"\x88\x10" + host.session.encrypt_sensitive(key) + b"\x00"
    assert host.send("80D80081", data)[1] == 0x9000
    select(card, SD)
    Host(card, keys=new, kvn=1)


@pytest.mark.parametrize("p2", ["00", "80"])  # gpshell deletes keys with 80
def test_delete_of_a_key_version(card: ReferenceCard, p2: str) -> None:
    host = Host(card)
    assert host.send("80D80081", put_key_data(host, 1, key_set("new")))[1] == 0x9000
    assert host.send(f"80E400{p2}", encode(0xD2, b"\x30")) == (b"\x00", 0x9000)
    assert host.send(f"80E400{p2}", encode(0xD2, b"\x01"))[1] == 0x6985


# -- content ------------------------------------------------------------------------------------


def test_delete_names_one_object(card: ReferenceCard) -> None:
    host = Host(card)
    install(host)
    install(host, OTHER_AID)
    assert host.send("80D80081", put_key_data(host, 1, key_set("new")))[1] == 0x9000
    digest = card.nvm.digest()
    for data in (
        encode(0x4F, AID) + encode(0x4F, OTHER_AID),  # gpshell can name several
        encode(0x4F, AID) + encode(0x9E, b"token"),
        encode(0x4F, AID) + encode(0xD2, b"\x30"),
        encode(0xD0, b"\x01") + encode(0xD2, b"\x30"),
        encode(0xD0, b"\x01"),
        encode(0xD2, b""),
        b"",
    ):
        assert host.send("80E40000", data) == (b"", 0x6A80)
    assert card.nvm.digest() == digest


def test_load_as_clients_send_it() -> None:
    """No hash, no token or an empty one, parameters EF {C6 code size, C7, C8}; 247-byte blocks."""
    limits = encode(0xEF, bytes.fromhex("C6020400 C7020000 C8020000"))
    for parameters, token in ((b"", b""), (limits, b"\x00")):
        host = Host(make_card(preloaded=()), SecurityLevel.C_MAC)
        begin = lv(PACKAGE, SD, b"", parameters) + token
        assert host.send("80E60200", begin) == (b"\x00", 0x9000)
        file = encode(0xC4, cap(body=bytes(700)))
        blocks = [file[i : i + 247] for i in range(0, len(file), 247)]
        for n, block in enumerate(blocks):
            p1 = "80" if n == len(blocks) - 1 else "00"
            assert host.send(f"80E8{p1}{n:02X}", block) == (b"\x00", 0x9000)
        assert status(host, 0x10)[0][0x84] == MODULE


@pytest.mark.parametrize("first", ["E2194F08A000000151000000C30D", "D48203E8", "00"])
def test_load_refuses_dap_and_others_at_the_first_block(first: str) -> None:
    host = Host(make_card(preloaded=()))
    begin, file = lv(PACKAGE, SD, b"", b"", b""), encode(0xC4, cap(body=b""))
    assert host.send("80E60200", begin)[1] == 0x9000
    assert host.send("80E80000", bytes.fromhex(first)) == (b"", 0x6A80)
    assert host.send("80E88001", file)[1] == 0x6985
    assert host.send("80F22002", b"\x4f\x00")[1] == 0x6A88
    assert host.send("80E60200", begin)[1] == 0x9000
    assert host.send("80E88000", file)[1] == 0x9000


def test_install_with_long_privileges_and_system_parameters(card: ReferenceCard) -> None:
    host = Host(card)
    parameters = encode(0xEF, bytes.fromhex("C7020010C8020100")) + encode(0xC9, b"")
    data = lv(PACKAGE, MODULE, AID, bytes(3), parameters)  # no token's length
    assert host.send("80E60C00", data) == (b"\x00", 0x9000)
    assert status(host, 0x40)[0][0xC5] == bytes(3)


@pytest.mark.parametrize("privileges", [b"\x04", b"\x04\x00\x00", b"", bytes(2)])
def test_no_applet_becomes_default_selected(card: ReferenceCard, privileges: bytes) -> None:
    """GlobalPlatformPro --make-default: INSTALL [for make selectable] with Card Reset."""
    host = Host(card)
    assert host.send("80E60400", install_data())[1] == 0x9000
    digest = card.nvm.digest()
    assert host.send("80E60800", lv(b"", b"", AID, privileges, b"")) == (b"", 0x6A80)
    assert card.nvm.digest() == digest


NOT_DONE = {
    "80E61000": (lv(SD, b"", AID, b"", b""), 0x6A86),  # extradition
    "80E62000": (lv(b"", b"", AID, b"", b"", b""), 0x6A86),  # personalisation
    "80E64000": (lv(SD, b"", AID, b"\x04", b""), 0x6A86),  # registry update
    "80E60E01": (b"", 0x6A86),  # load, install and make selectable in one
    "80E68C00": (install_data(), 0x6A86),  # INSTALL cut into several commands
    "80D80001": (b"\x73\x88\x10" + bytes(16) + b"\x00", 0x6A86),  # one key
    "80F10013": (b"\x01\xf0\x01\x00", 0x6D00),  # yubikit: a key pair made on the card
    "80F06080": (AID, 0x6A86),  # a domain and all its applets
    "80E40001": (encode(0xD2, b"\x30"), 0x6A86),  # yubikit: the last key set
}


@pytest.mark.parametrize("head", NOT_DONE)
def test_what_is_not_done_is_refused_and_the_session_goes_on(
    card: ReferenceCard, head: str
) -> None:
    host = Host(card)
    install(host)
    data, sw = NOT_DONE[head]
    digest = card.nvm.digest()
    assert host.send(head, data) == (b"", sw)
    assert card.nvm.digest() == digest
    assert status(host, 0x40)


# -- data and life ------------------------------------------------------------------------------


def test_store_data_as_ber_tlv(card: ReferenceCard) -> None:
    """P1 90: GlobalPlatformPro and yubikit say the structure; 80 says none."""
    host = Host(card)
    assert host.send("80E29000", encode(0x42, b"in one"))[1] == 0x9000
    assert host.send("80CA0042")[0] == encode(0x42, b"in one")
    data = encode(0x42, b"issuer") + encode(0x45, b"image")
    assert host.send("80E21000", data[:3])[1] == 0x9000
    assert host.send("80E21001", data[3:9])[1] == 0x9000
    assert host.send("80E29002", data[9:])[1] == 0x9000
    assert host.send("80CA0045")[0] == encode(0x45, b"image")
    digest = card.nvm.digest()
    for p1 in ("88", "98", "E0", "81"):  # DGI, RFU, enciphered, an answer wanted
        assert host.send(f"80E2{p1}00", data) == (b"", 0x6A86)
    for data in (encode(0x4F, AID), encode(0xA6, b"\x83\x02\x13\x01"), encode(0x9F67, bytes(8))):
        assert host.send("80E29000", data) == (b"", 0x6A80)
    answers = [host.send(f"80E200{n:02X}", bytes(220))[1] for n in range(5)]
    assert answers == [0x9000] * 4 + [0x6A84]
    assert card.nvm.digest() == digest


def test_set_status_as_clients_send_it(card: ReferenceCard) -> None:
    host = Host(card)
    install(host)
    assert host.send("80F04080", AID) == (b"", 0x9000)
    assert host.send("80F04000", AID) == (b"", 0x9000)  # GlobalPlatformPro unlocks with 00
    assert status(host, 0x40)[0][0x9F70] == b"\x07"
    assert host.send("80F08007", SD) == (b"", 0x9000)  # gpshell names the domain
    assert host.send("80F0800F") == (b"", 0x9000)
    assert host.send("80F0807F") == (b"", 0x9000)
    assert select(card, b"")[1] == 0x6283
    assert Host(card).send("80F0800F") == (b"", 0x9000)
    assert select(card, b"")[1] == 0x9000


def test_get_status_in_both_formats_over_every_level(card: ReferenceCard) -> None:
    install(Host(card))
    for level in SecurityLevel:
        select(card, SD)
        host = Host(card, level)
        old, sw = host.send("80F28000", b"\x4f\x00")
        assert (old, sw) == (lv(SD) + b"\x01\x9e", 0x9000)
        (row,) = status(host, 0x80)
        assert (row[0x4F], row[0x9F70], row[0xC5]) == (SD, b"\x01", bytes.fromhex("9EFE80"))
        assert host.send("80F22000", b"\x4f\x00")[0] == lv(PACKAGE) + b"\x01\x00"
        assert host.send("80F24000", b"\x4f\x00")[0] == lv(AID) + b"\x07\x00"


# -- the table ----------------------------------------------------------------------------------


def test_each_row_of_the_table_names_a_test_that_is_there() -> None:
    root = Path(__file__).parents[3]
    rows = [
        line.strip().strip("|").split("|")
        for line in (root / "docs/foreign-clients.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| what |")
    ]
    assert len(rows) > 40
    tests = "".join(
        (root / "tests" / name).read_text()
        for name in (
            "unit/card_os/test_foreign_commands.py", "unit/card_os/test_foreign_clients.py",
            "unit/card_os/test_security_domain.py", "unit/card_os/test_card_content.py",
        )
    )  # fmt: skip
    for row in rows:
        *_, state, names = (cell.strip() for cell in row)
        assert state in {"done", "refused", "not done"}, row
        assert names, row
        for name in names.split(", "):
            assert f"def {name}(" in tests, (name, row)
