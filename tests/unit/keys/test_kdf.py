"""CMAC and SP 800-108 against NIST's files, diversification and KCV against published values."""

import re
from pathlib import Path

import cryptography_vectors
import pytest

from keys.kdf import StaticKeys, aes_block, cmac, diversify, kbkdf_counter, kcv

VECTORS = Path(cryptography_vectors.__file__).parent
FIELD = re.compile(r"^\s*\[?(\w+)\s*=\s*([^\]\s]*)\]?\s*$")


def _records(name: str, last: str):
    """Records of a CAVS file, each closed by its field ``last``; section fields carry over."""
    seen: dict[str, str] = {}
    for line in (VECTORS / name).read_text().splitlines():
        if match := FIELD.match(line):
            seen[match[1]] = match[2]
            if match[1] == last:
                yield dict(seen)


@pytest.mark.parametrize("size", [128, 192, 256])
def test_cmac_as_nist(size):
    records = list(_records(f"CMAC/nist-800-38b-aes{size}.txt", "OUTPUT"))
    assert len(records) >= 4
    for r in records:
        key, message = bytes.fromhex(r["KEY"]), bytes.fromhex(r["MESSAGE"])
        assert cmac(key, message) == bytes.fromhex(r["OUTPUT"])


@pytest.mark.parametrize("size", [128, 192, 256])
@pytest.mark.parametrize("place", ["BEFORE_FIXED", "AFTER_FIXED", "MIDDLE_FIXED"])
def test_kbkdf_as_nist(size, place):
    count = 0
    for r in _records("KDF/nist-800-108-KBKDF-CTR.txt", "KO"):
        if (r["PRF"], r["CTRLOCATION"], r["RLEN"]) != (f"CMAC_AES{size}", place, "8_BITS"):
            continue
        if place == "MIDDLE_FIXED":
            before, after = r["DataBeforeCtrData"], r["DataAfterCtrData"]
        elif place == "BEFORE_FIXED":
            before, after = "", r["FixedInputData"]
        else:
            before, after = r["FixedInputData"], ""
        out = kbkdf_counter(
            bytes.fromhex(r["KI"]), bytes.fromhex(before), bytes.fromhex(after), int(r["L"]) // 8
        )
        assert out == bytes.fromhex(r["KO"])
        count += 1
    assert count >= 40


def test_kdf3_as_globalplatformpro():
    """The one value its TestSCP03 publishes."""
    master = bytes.fromhex("8C72C72CF908411653018807950D82FBAD947562F0828A0B10B8B9606ABF3BCD")
    keys = diversify(master, bytes.fromhex("D9B1DE5D0362DEDCE4FB"))
    want = "9AAC5D0B3601F89438A0D9D0B6B256CFB47E6462DFA5228D3420C4AC7C224781"
    assert keys.enc == bytes.fromhex(want)
    assert len({keys.enc, keys.mac, keys.dek}) == 3


@pytest.mark.parametrize("size", [16, 24, 32])
def test_diversified_keys_are_as_long_as_the_master(size):
    keys = diversify(bytes(size), bytes(10))
    assert {len(keys.enc), len(keys.mac), len(keys.dek)} == {size}


def test_kcv_of_the_keys_kaoh_publishes():
    """KCVs printed beside 505152.. and 606162.. in a test of kaoh/globalplatform."""
    assert kcv(bytes(range(0x50, 0x60))).hex() == "f2a8df"
    assert kcv(bytes(range(0x60, 0x70))).hex() == "d7d0e4"


@pytest.mark.parametrize("length", [0, -1, 255 * 16 + 1])
def test_impossible_lengths_are_refused(length):
    with pytest.raises(ValueError, match="out of range"):
        kbkdf_counter(bytes(16), b"", b"", length)


def test_bad_keys_are_refused():
    with pytest.raises(ValueError, match="three AES keys"):
        StaticKeys(bytes(16), bytes(16), bytes(24))
    with pytest.raises(ValueError, match="three AES keys"):
        StaticKeys(bytes(8), bytes(8), bytes(8))
    with pytest.raises(ValueError, match="not an AES key"):
        diversify(bytes(15), bytes(10))
    with pytest.raises(ValueError, match="10 bytes"):
        diversify(bytes(16), bytes(9))


@pytest.mark.parametrize("length", [0, 15, 32])
def test_one_block_is_one_block(length):
    with pytest.raises(ValueError, match="one AES block"):
        aes_block(bytes(16), bytes(length))


def test_secrets_do_not_print():
    text = repr(diversify(bytes(16), bytes(10)))
    assert text == "StaticKeys()"
