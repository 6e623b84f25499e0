"""Every border of a certificate on both of its sides; each met a mutant that survived."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from tests.support.purse_world import CARD_CA, ENV, ROOT, TERMINAL_CA, point
from wire import cvc, ecdsa, tlv
from wire.cvc import CaId, CaKind, CardExtension, LinkExtension, Role, TerminalExtension
from wire.env import Environment
from wire.errors import FormatError

DAY = date(2026, 3, 1)
KEY = point(TERMINAL_CA)


def certified(extension: cvc.Extension, kind: CaKind, alter: Callable[[bytes], bytes] = bytes,
              **changes: object) -> cvc.Certificate:  # fmt: skip
    """A certificate of this extension, signed by anybody."""
    fields = {
        "serial": 9, "issuer": CaId(ENV.mark, kind, 1), "subject": b"12345678",
        "effective": DAY, "expires": DAY, "extension": extension, "public_key": KEY,
    }  # fmt: skip
    return cvc.assemble(alter(cvc.encode_unsigned(**(fields | changes))), bytes(64))


TERMINAL_X = TerminalExtension(ENV, Role.HANDOVER, 0x01020304)
CARD_X = CardExtension(ENV, ecdsa.compress(point(CARD_CA)))
LINK_X = LinkExtension(ENV, 0x0203, True)
EXTENSIONS = [(TERMINAL_X, CaKind.TERMINAL_CA), (CARD_X, CaKind.CARD_CA), (LINK_X, CaKind.ROOT)]


@pytest.mark.parametrize(("extension", "kind"), EXTENSIONS)
def test_a_certificate_reads_as_it_was_written(extension, kind) -> None:
    read = certified(extension, kind)
    assert (read.extension, read.issuer, read.serial) == (extension, CaId(ENV.mark, kind, 1), 9)
    assert (read.subject, read.effective, read.expires) == (b"12345678", DAY, DAY)
    assert (read.public_key, read.signature, read.env) == (KEY, bytes(64), ENV)
    for other in set(CaKind) - {kind}:
        with pytest.raises(FormatError, match="wrong kind of CA"):
            certified(extension, other)


def test_a_link_that_keeps_the_date() -> None:
    link = LinkExtension(ENV, 0, may_step_back=False)
    assert certified(link, CaKind.ROOT).extension == link


BAD_EXTENSIONS = [
    tlv.encode(0xC0, bytes([ENV])) + rest
    for rest in (
        tlv.encode(0xC1, b"\1\1") + tlv.encode(0xC2, bytes(4)),
        tlv.encode(0xC1, b"") + tlv.encode(0xC2, bytes(4)),
        tlv.encode(0xC1, b"\1") + tlv.encode(0xC2, bytes(3)),
        tlv.encode(0xC1, b"\1") + tlv.encode(0xC2, bytes(5)),
        tlv.encode(0xC1, b"\0") + tlv.encode(0xC2, bytes(4)),
        tlv.encode(0xC1, b"\5") + tlv.encode(0xC2, bytes(4)),
        tlv.encode(0xC3, point(ROOT)), tlv.encode(0xC3, ecdsa.compress(point(ROOT))[:-1]),
        tlv.encode(0xC4, b"\1") + tlv.encode(0xC5, b"\1"),
        tlv.encode(0xC4, bytes(3)) + tlv.encode(0xC5, b"\1"),
        tlv.encode(0xC4, bytes(2)) + tlv.encode(0xC5, b"\2"),
        tlv.encode(0xC4, bytes(2)) + tlv.encode(0xC5, b""),
        tlv.encode(0xC4, bytes(2)), b"",
    )
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_EXTENSIONS)
def test_an_extension_of_another_form(body: bytes) -> None:
    with pytest.raises(FormatError):
        cvc._parse_extension(body)


@pytest.mark.parametrize("env", [b"", bytes([ENV, ENV]), b"\0", b"\3"])
def test_an_environment_of_another_form(env: bytes) -> None:
    for rest in (tlv.encode(0xC1, b"\1") + tlv.encode(0xC2, bytes(4)),
                 tlv.encode(0xC3, CARD_X.receipt_key),
                 tlv.encode(0xC4, bytes(2)) + tlv.encode(0xC5, b"\1")):  # fmt: skip
        with pytest.raises(FormatError):
            cvc._parse_extension(tlv.encode(0xC0, env) + rest)


@pytest.mark.parametrize("raw_id", [b"", b"DEMOR\0\0", b"DEMOR\0\0\1\0", b"DEMOR\1\0\1",
                                    b"DEMAR\0\0\1", b"DEMOX\0\0\1"])  # fmt: skip
def test_a_ca_id_of_another_form(raw_id: bytes) -> None:
    with pytest.raises(FormatError):
        CaId.parse(raw_id)


def test_a_ca_id_reads_as_it_was_written() -> None:
    for mark in (b"DEMO", b"KHBS"):
        for kind in CaKind:
            one = CaId(mark, kind, 0x0102)
            assert bytes(one) == mark + bytes([kind]) + b"\0\1\2"
            assert CaId.parse(bytes(one)) == one


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def alter(unsigned: bytes) -> bytes:
        assert unsigned.count(old) == 1
        return unsigned.replace(old, new)

    return alter


@pytest.mark.parametrize("alter", [
    swap(tlv.encode(0x93, b"\0\0\0\x09"), tlv.encode(0x93, b"\0\0\x09")),
    swap(tlv.encode(0x93, b"\0\0\0\x09"), tlv.encode(0x93, b"\0\0\0\0\x09")),
    swap(tlv.encode(0x5F20, b"12345678"), tlv.encode(0x5F20, b"1234567")),
    swap(tlv.encode(0x5F20, b"12345678"), tlv.encode(0x5F20, b"123456789")),
    swap(tlv.encode(0x95, b"\x80"), tlv.encode(0x95, b"\x82")),
    swap(tlv.encode(0xF0, b"\0"), tlv.encode(0xF0, b"\1")),
    swap(tlv.encode(0x42, b"DEMOT\0\0\1"), tlv.encode(0x42, b"KHBST\0\0\1")),
    swap(tlv.encode(0x7F49, tlv.encode(0xB0, KEY) + tlv.encode(0xF0, b"\0")),
         tlv.encode(0x7F49, tlv.encode(0xB0, KEY[:-1]) + tlv.encode(0xF0, b"\0"))),
])  # fmt: skip
def test_a_certificate_with_one_field_of_another_form(alter) -> None:
    with pytest.raises(FormatError):
        certified(TERMINAL_X, CaKind.TERMINAL_CA, alter)


def test_a_certificates_dates_and_sizes() -> None:
    with pytest.raises(FormatError, match="ends before"):
        certified(CARD_X, CaKind.CARD_CA, expires=date(2026, 2, 28))
    later = certified(CARD_X, CaKind.CARD_CA, expires=date(2026, 3, 2))
    assert later.expires > later.effective
    unsigned = cvc.encode_unsigned(
        serial=9, issuer=CaId(ENV.mark, CaKind.CARD_CA, 1), subject=b"12345678", effective=DAY,
        expires=DAY, extension=CARD_X, public_key=KEY)  # fmt: skip
    for n in (63, 65):
        with pytest.raises(FormatError, match="64 bytes"):
            cvc.assemble(unsigned, bytes(n))


def test_the_longest_certificate(monkeypatch) -> None:
    good = certified(CARD_X, CaKind.CARD_CA)
    monkeypatch.setattr(cvc, "MAX_CVC_BYTES", len(good.raw))
    assert cvc.Certificate.parse(good.raw) == good
    monkeypatch.setattr(cvc, "MAX_CVC_BYTES", len(good.raw) - 1)
    with pytest.raises(FormatError, match="longer"):
        cvc.Certificate.parse(good.raw)
    monkeypatch.setattr(cvc, "MAX_CVC_BYTES", len(good.raw) - 2)
    with pytest.raises(FormatError, match="longer"):
        cvc.Certificate.parse(good.raw)


@pytest.mark.parametrize("usage", [b"\x00", b"\x80", b"\x81", b"\x83", b"\xff", b""])
def test_a_link_verifies_and_does_nothing_else(usage: bytes) -> None:
    good = tlv.encode(0x95, b"\x82")
    with pytest.raises(FormatError, match="usage"):
        certified(LINK_X, CaKind.ROOT, swap(good, tlv.encode(0x95, usage)))


@pytest.mark.parametrize("env", [Environment.LIVE, Environment.DEMO_LIVE])
def test_the_mark_is_that_of_the_environment(env: Environment) -> None:
    other = b"DEMO" if env.mark == b"KHBS" else b"KHBS"
    extension = CardExtension(env, CARD_X.receipt_key)
    with pytest.raises(FormatError, match="mark"):
        certified(extension, CaKind.CARD_CA, issuer=CaId(other, CaKind.CARD_CA, 1))
