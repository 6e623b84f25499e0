"""Borders of the secure channels and of approval; each met a mutant that survived."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest

from keys import approve
from keys.kdf import kbkdf_counter
from keys.scp03 import Scp03Card
from keys.scp11 import InvalidPointError, Scp11aHost, SoftwareEcdhKey
from keys.securechannel import CipherError, ParameterError, SecurityLevel, pad, unpad
from tests.unit.keys.scp_support import (
    begin_scp03,
    key_set,
    scp03_card,
    scp03_host,
    scp03_pair,
    stream,
)
from wire.apdu import CommandApdu


@pytest.mark.parametrize("n", [0, 1, 14, 15, 16, 17, 31, 32])
def test_padding_is_of_one_block(n: int) -> None:
    data = b"\xaa" * n
    assert unpad(pad(data)) == data
    assert len(pad(data)) % 16 == 0
    for zeros in (16, 17, 32):
        with pytest.raises(CipherError):
            unpad(data + b"\x80" + bytes(zeros))
    for none in (b"", bytes(16), data + b"\x81"):
        with pytest.raises(CipherError):
            unpad(none)
    assert unpad(b"\x80" + bytes(15)) == b""


@pytest.mark.parametrize("level", list(SecurityLevel))
def test_an_answer_of_any_length_is_asked_for_where_it_is_protected(level) -> None:
    host, _ = scp03_pair(level=level)
    sent = host.wrap(CommandApdu(0x80, 0xCA, 0, 0x66, b"", 7))
    assert sent.le == (256 if level.r_mac else 7)


@pytest.mark.parametrize("change", [
    {"cla": 0x80}, {"cla": 0x85}, {"ins": 0x81}, {"ins": 0x83}, {"p2": 1}, {"p2": 0xFF},
])  # fmt: skip
def test_an_external_authenticate_of_another_head(change) -> None:
    keys, card = key_set(16), scp03_card()
    host = scp03_host(keys, SecurityLevel.FULL)
    command = host.external_authenticate(begin_scp03(card, host, keys))
    with pytest.raises(ParameterError, match="not an EXTERNAL AUTHENTICATE"):
        card.external_authenticate(replace(command, **change))


def test_the_first_sequence_is_zero() -> None:
    parameters = inspect.signature(Scp03Card.initialize_update).parameters
    assert parameters["sequence"].default == 0


def test_mutual_authenticate_as_sent() -> None:
    static = SoftwareEcdhKey.generate(stream(1))
    host = Scp11aHost(static, SoftwareEcdhKey.generate(stream(2)).public, stream(3))
    command = host.command()
    assert (command.cla, command.ins, command.p1, command.p2, command.le) == (
        0x80, 0x82, 0x01, 0x11, 256)  # fmt: skip


def test_a_peers_point_is_uncompressed() -> None:
    static = SoftwareEcdhKey.generate(stream(1))
    good = static.public
    for bad in (good + b"\0", good[:-1], b"\x02" + good[1:33], b"\x03" + good[1:33], b""):
        with pytest.raises(InvalidPointError, match="not an uncompressed"):
            static.ecdh(bad)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 32, 255 * 16])
def test_a_derived_key_is_as_long_as_asked(length: int) -> None:
    made = kbkdf_counter(bytes(16), b"a", b"b", length)
    assert len(made) == length
    assert made == kbkdf_counter(bytes(16), b"a", b"b", 255 * 16)[:length]


@pytest.mark.parametrize("length", [0, -1, 255 * 16 + 1])
def test_a_derived_key_of_no_length(length: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        kbkdf_counter(bytes(16), b"a", b"b", length)


def test_a_reason_is_cut_at_two_hundred_bytes() -> None:
    assert approve.MAX_REASON == 200
