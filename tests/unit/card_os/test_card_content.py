"""What the security domain puts on the card and takes off it, and the tears of doing so."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from card_os.reference.card import ReferenceCard
from card_os.reference.keysets import MAX_TRIES
from card_os.reference.loading import cap_package_aid
from card_os.reference.profiles import JCOP_LIKE
from keys.securechannel import SecureChannelError
from tests.unit.card_os.gp_bench import (
    AID,
    MODULE,
    OTHER_AID,
    PACKAGE,
    REGISTRY,
    SD,
    Host,
    cap,
    install,
    install_data,
    key_set,
    load,
    logical,
    lv,
    make_card,
    put_key_data,
    seeded,
    select,
    send,
    status,
)
from wire.errors import FormatError, WireError
from wire.tlv import encode, parse_all


@pytest.fixture(name="card")
def fresh_card() -> ReferenceCard:
    return make_card()


# -- content ----------------------------------------------------------------------------------


def test_install_status_delete(card: ReferenceCard) -> None:
    host = Host(card)
    assert host.send("80F24002", b"\x4f\x00") == (b"", 0x6A88)
    install(host)
    install(host, OTHER_AID)
    (first, second) = status(host, 0x40)
    assert (first[0x4F], first[0x9F70], first[0xC4]) == (AID, b"\x07", PACKAGE)
    assert second[0x4F] == OTHER_AID
    assert status(host, 0x20)[0][0x4F] == PACKAGE
    assert status(host, 0x10)[0][0x84] == MODULE
    assert host.send("80F24000", b"\x4f\x00")[0] == lv(AID) + b"\x07\x00" + lv(OTHER_AID) + (
        b"\x07\x00"
    )
    assert host.send("80F21000", b"\x4f\x00")[0] == lv(PACKAGE) + b"\x01\x00\x01" + lv(MODULE)
    narrow = host.send("80F24002", encode(0x4F, AID) + bytes.fromhex("5C039F704F"))[0]
    assert narrow == encode(0xE3, encode(0x4F, AID) + encode(0x9F70, b"\x07"))
    assert host.send("80E40000", encode(0x4F, PACKAGE))[1] == 0x6985
    assert host.send("80E40000", encode(0x4F, AID)) == (b"\x00", 0x9000)
    assert host.send("80E40000", encode(0x4F, AID))[1] == 0x6A88
    assert host.send("80E40080", encode(0x4F, PACKAGE)) == (b"\x00", 0x9000)
    assert host.send("80F22002", b"\x4f\x00")[1] == 0x6A88
    assert card.nvm.keys("applet/") == []
    assert host.send("80E40000", encode(0x4F, SD))[1] == 0x6985


def test_a_new_instance_finds_nothing_of_the_old(card: ReferenceCard) -> None:
    host = Host(card)
    install(host)
    select(card, AID)
    send(card, "80010000")
    select(card, SD)
    host = Host(card)
    host.send("80E40000", encode(0x4F, AID))
    install(host)
    select(card, AID)
    assert send(card, "80000000") == (b"\x00\x00", 0x9000)


def test_install_then_make_selectable(card: ReferenceCard) -> None:
    host = Host(card)
    assert host.send("80E60400", install_data()) == (b"\x00", 0x9000)
    assert status(host, 0x40)[0][0x9F70] == b"\x03"
    assert host.send("80E60800", lv(b"", b"", AID, b"\x00", b"", b"")) == (b"\x00", 0x9000)
    assert host.send("80E60800", lv(b"", b"", AID, b"\x00", b"", b""))[1] == 0x6985
    assert select(card, AID)[1] == 0x9000


def test_an_installed_applet_is_not_selectable(card: ReferenceCard) -> None:
    Host(card).send("80E60400", install_data())
    assert select(card, AID)[1] == 0x6A82


@pytest.mark.parametrize(
    ("data", "sw"),
    [
        (install_data(package=b"\xf0OTHER"), 0x6A88),
        (install_data(module=PACKAGE + b"\x07"), 0x6A88),
        (install_data(parameters=b"bad"), 0x6A80),
        (install_data(aid=SD), 0x6A80),
        (install_data(aid=PACKAGE), 0x6985),
        (install_data(aid=b"\xf0BET"), 0x6A80),
        (install_data(privileges=b"\x04"), 0x6A80),
        (install_data()[:-1] + b"\x01T", 0x6A80),
        (install_data() + b"\x00", 0x6A80),
        (install_data()[:9], 0x6A80),
    ],
)
def test_install_refusals(card: ReferenceCard, data: bytes, sw: int) -> None:
    host = Host(card)
    assert host.send("80E60C00", data) == (b"", sw)
    assert host.send("80F24002", b"\x4f\x00")[1] == 0x6A88


def test_install_same_aid_twice_and_too_many(card: ReferenceCard) -> None:
    host = Host(card)
    install(host)
    assert host.send("80E60C00", install_data())[1] == 0x6985
    for i in range(2, 9):
        install(host, PACKAGE + bytes([i]))
    assert host.send("80E60C00", install_data(PACKAGE + b"\x20"))[1] == 0x6A84
    assert host.send("80E62000", install_data())[1] == 0x6A86


def test_get_status_pages(card: ReferenceCard) -> None:
    host = Host(card)
    for i in range(1, 9):
        install(host, PACKAGE + bytes([i]))
    data, sw = host.send("80F24002", b"\x4f\x00")
    assert sw == 0x6310
    while sw == 0x6310:
        more, sw = host.send("80F24003", b"\x4f\x00")
        data += more
    assert sw == 0x9000
    assert [dict(parse_all(v))[0x4F][-1] for _, v in parse_all(data)] == list(range(1, 9))
    assert host.send("80F24003", b"\x4f\x00")[1] == 0x6985
    assert host.send("80F20802", b"\x4f\x00")[1] == 0x6A86
    assert host.send("80F24002", b"")[1] == 0x6A80


def test_load(card: ReferenceCard) -> None:
    blank = make_card(preloaded=())
    host = Host(blank)
    assert host.send("80E60C00", install_data())[1] == 0x6A88
    digest = hashlib.sha256(cap()).digest()
    assert load(host, encode(0xC4, cap()), digest=digest) == 0x9000
    assert digest in (blank.nvm.get("content/file/" + PACKAGE.hex()) or b"")
    install(host)
    assert load(host, encode(0xC4, cap())) == 0x6985


@pytest.mark.parametrize(
    ("file", "announced", "digest"),
    [
        (encode(0xE2, b"\x4f\x00") + encode(0xC4, cap()), PACKAGE, b""),
        (encode(0xC4, cap()) + encode(0xC4, cap()), PACKAGE, b""),
        (encode(0xC5, cap()), PACKAGE, b""),
        (encode(0xC4, cap(b"\xf0OTHER")), PACKAGE, b""),
        (encode(0xC4, cap()), b"\xf0OTHER", b""),
        (encode(0xC4, cap()), PACKAGE, bytes(32)),
        (encode(0xC4, b"no cap file"), PACKAGE, b""),
        (encode(0xC4, cap())[:-1], PACKAGE, b""),
    ],
)
def test_load_refusals(file: bytes, announced: bytes, digest: bytes) -> None:
    blank = make_card(preloaded=())
    host = Host(blank)
    assert load(host, file, announced, digest) == 0x6A80
    assert host.send("80F22002", b"\x4f\x00")[1] == 0x6A88


def test_load_in_order_and_alone() -> None:
    host = Host(make_card(preloaded=()))
    begin = lv(PACKAGE, SD, b"", b"", b"")
    assert host.send("80E88000", encode(0xC4, b""))[1] == 0x6985
    host.send("80E60200", begin)
    assert host.send("80E80001", b"\xc4")[1] == 0x6A86
    host.send("80E60200", begin)
    assert host.send("80E80000", b"\xc4")[1] == 0x9000
    host.send("80F28002", b"\x4f\x00")
    assert host.send("80E80001", b"\x00")[1] == 0x6985


def test_load_with_either_hash_and_for_this_domain_only() -> None:
    for digest in (hashlib.sha1(cap()).digest(), hashlib.sha256(cap()).digest()):  # noqa: S324
        host = Host(make_card(preloaded=()))
        assert load(host, encode(0xC4, cap()), digest=digest) == 0x9000
        assert load(host, encode(0xC4, cap()), digest=digest[:-1] + b"?") == 0x6985
    host = Host(make_card(preloaded=()))
    assert host.send("80E60200", lv(PACKAGE, AID, b"", b"", b""))[1] == 0x6A88
    assert host.send("80E60200", lv(PACKAGE, b"", b"", b"", b""))[1] == 0x9000
    assert host.send("80E60200", lv(PACKAGE, SD, b"", b"", b"T"))[1] == 0x6A80


def test_a_block_repeated_or_left_out_ends_the_load() -> None:
    host = Host(make_card(preloaded=()))
    file = encode(0xC4, cap())
    for numbers in ((0, 0), (0, 2), (0, 1, 1)):
        host.send("80E60200", lv(PACKAGE, SD, b"", b"", b""))
        answers = [host.send(f"80E800{n:02X}", file[:100])[1] for n in numbers]
        assert answers == [0x9000] * (len(numbers) - 1) + [0x6A86]
        assert host.send(f"80E880{numbers[-1] + 1:02X}", file[100:200])[1] == 0x6985
    assert host.send("80E60200", lv(PACKAGE, SD, b"", b"", b""))[1] == 0x9000
    assert host.send("80E88000", file[:100])[1] == 0x6A80  # the last one comes too early


def test_a_block_number_is_one_byte() -> None:
    host = Host(make_card(preloaded=()))
    host.send("80E60200", lv(PACKAGE, SD, b"", b"", b""))
    head = b"\xc4\x82\x02\x00"
    assert host.send("80E80000", head)[1] == 0x9000
    for number in range(1, 256):
        assert host.send(f"80E800{number:02X}", b"\x00")[1] == 0x9000
    assert host.send("80E80000", b"\x00")[1] == 0x6A86


def test_a_load_file_longer_than_the_memory_is_refused_at_its_first_block() -> None:
    size = len(cap())
    for memory, sw in ((size, 0x9000), (size - 1, 0x6A84)):
        card = make_card(preloaded=(), profile=replace(JCOP_LIKE, memory_bytes=memory))
        host = Host(card)
        assert load(host, encode(0xC4, cap())[:200], digest=b"") in {0x6A80, sw}
        assert load(host, encode(0xC4, cap())) == sw
        told = dict(parse_all(dict(parse_all(host.send("80CAFF21")[0]))[0xFF21]))
        assert int.from_bytes(told[0x82], "big") == (0 if sw == 0x9000 else memory)
    host.send("80E60200", lv(PACKAGE, SD, b"", b"", b""))
    assert host.send("80E80000", b"\xc4\x82\xff\xff")[1] == 0x6A84
    assert Host(make_card()).send("80CAFF21")[1] == 0x6A88


def test_the_version_of_a_load_file_is_its_header_s() -> None:
    host = Host(make_card(preloaded=()))
    newer = cap()[:10] + b"\x07\x02" + cap()[12:]
    assert load(host, encode(0xC4, newer)) == 0x9000
    assert status(host, 0x20)[0][0xCE] == b"\x02\x07"


HEADER = cap(body=b"")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x02" + HEADER[1:],
        HEADER[:-1],
        HEADER[:3] + bytes(4) + HEADER[7:],
        b"\x01\x00\x09" + HEADER[3:12],
        cap(b"\xf0BET", b""),
        cap(b"A" * 17, b""),
        HEADER[:2] + bytes([HEADER[2] - 1]) + HEADER[3:-1],
    ],
)
def test_what_is_no_cap_header_names_no_package(content: bytes) -> None:
    assert cap_package_aid(HEADER) == PACKAGE
    with pytest.raises(FormatError):
        cap_package_aid(content)


# -- tears ------------------------------------------------------------------------------------


def _managed(
    head: str, data: Callable[[Host], bytes]
) -> Callable[[ReferenceCard], Callable[[], object]]:
    def prepare(card: ReferenceCard) -> Callable[[], object]:
        host = Host(card)
        return lambda: host.send(head, data(host))

    return prepare


TORN = {
    "install": _managed("80E60C00", lambda _: install_data(OTHER_AID)),
    "delete": _managed("80E40000", lambda _: encode(0x4F, AID)),
    "delete all": _managed("80E40080", lambda _: encode(0x4F, PACKAGE)),
    "put key": _managed("80D80081", lambda h: put_key_data(h, 1, key_set("new", 32))),
    "replace key": _managed("80D83081", lambda h: put_key_data(h, 0x31, key_set("new"))),
    "store data": _managed("80E28000", lambda _: encode(0x42, b"a") + encode(0x45, b"b")),
    "lock applet": _managed("80F04080", lambda _: AID),
    "card life": _managed("80F08007", lambda _: b""),
}


@pytest.mark.parametrize("name", TORN)
def test_tear_leaves_before_or_after(name: str) -> None:
    base = make_card()
    install(Host(base))

    def fresh() -> ReferenceCard:
        card = ReferenceCard(base.nvm.fork(), registry=REGISTRY, random=seeded())
        card.power_on()
        return card

    whole = fresh()
    command = TORN[name](whole)
    before, start = logical(whole), whole.nvm.writes
    command()
    after, writes = logical(whole), whole.nvm.writes - start
    assert before != after
    for n in range(writes):
        torn = fresh()
        command = TORN[name](torn)
        torn.nvm.tear_before = n
        with contextlib.suppress(WireError, SecureChannelError):  # a silent card is no R-APDU
            command()
        assert torn.transmit(bytes.fromhex("00A4040000")) == b""  # dead until power-on
        torn.power_on()
        assert logical(torn) in (before, after)
        assert select(torn, SD)[1] == 0x9000


def test_tear_in_the_opening_costs_a_try_at_most(card: ReferenceCard) -> None:
    for n in range(1 + 6):
        card.nvm.tear_before = n
        with pytest.raises(WireError):  # a silent card is no R-APDU
            Host(card)
        card.power_on()
        assert send(card, "80CADF01")[0][-1] >= MAX_TRIES - n - 1
    Host(card)


def test_leftovers_of_a_torn_installation_are_swept(card: ReferenceCard) -> None:
    host = Host(card)
    card.nvm.tear_before = 2
    with pytest.raises(WireError):  # a silent card is no R-APDU
        host.send("80E60C00", install_data())
    card.power_on()
    assert card.nvm.keys("applet/") != []
    card.nvm.put("applet/1/n", b"\x09")  # as an applet that had written more by then
    install(Host(card))
    assert card.nvm.keys("applet/") == ["applet/1/n"]
    assert card.nvm.get("applet/1/n") == b"\x00"
