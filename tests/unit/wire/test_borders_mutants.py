"""Every border of the wire formats on both of its sides; each met a mutant that survived."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from dataclasses import FrozenInstanceError, replace

import cbor2
import pytest

from tests.support import vectors
from tests.support.purse_world import ROOT, point
from wire import bundle, cbor, cose, cvc, ecdsa, entitlement, log, raw, receipt, schema, tlv
from wire.cvc import CaKind, Role
from wire.entitlement import ScriptAction
from wire.errors import FormatError
from wire.receipt import ReceiptKind

MODULES = ("bundle", "cbor", "chain", "cose", "cvc", "ecdsa", "entitlement", "log", "raw",
           "receipt", "schema", "tlv")  # fmt: skip
CODES = {  # docs/wire.md: what stands on cards and in logs for good
    bundle.Why: "FUNDS_NOT_RELEASED NOT_IN_ROUND EXCLUDED_BY_RULE BLOCKED REPLACED",
    log.IntentKind: "DEBIT VOID",
    log.Reason: "SPECIMEN_CARD FOREIGN_CARD DEAD_CARD HOTLISTED CARD_CERTIFICATE ROLLED_BACK "
    "ENTITLEMENT_FORGED ABOVE_CEILING IDENTITY_CHANGED RESTORED_IMAGE BLOCKED NOT_ACTIVE "
    "DATA_TOO_OLD TRAINING_CARD ACKNOWLEDGED_AHEAD",
    log.StockMove: "RECEIVED COUNTED LOST SENT_BACK",
    log.DeskStep: "STARTED MANAGEMENT_KEYS INSTALLED KEYS_MADE CERTIFIED PERSONALISED LOADED "
    "VERIFIED SCRAPPED FAILED",
    log.CardSaid: "FOREIGN BLANK OWN_KEYS PURSE PURSE_CLOSED SPECIMEN OTHER_WORLD UNKNOWN_VERSION "
    "MUTE PULLED",
    log.RecordType: "BOOT CLOCK SYNC SHIFT STOCK INTENT RECEIPT ABORTED PENDING DELIVERED LOAD "
    "SCRIPT PIN VOID RETURNED GIVEN_BACK HANDOVER COLLECTED DISPUTE REJECTED CHECKPOINT DESK "
    "CARD_READ",
    receipt.ReceiptKind: "DEBIT REVERSAL",
    receipt.Interface: "CONTACT CONTACTLESS",
    receipt.StatementKind: "LOAD ACTIVATION PIN_SET SCRIPT",
    receipt.PinSetPath: "CHANGE RESET",
    ScriptAction: "BLOCK UNBLOCK PIN_UNBLOCK PIN_RESET",
    Role: "TERMINAL SUPERVISOR HANDOVER PERSONALISER",
}


@pytest.mark.parametrize("kind", CODES)
def test_codes_count_from_one_in_this_order(kind) -> None:
    assert {c.name: c.value for c in kind} == {
        name: i for i, name in enumerate(CODES[kind].split(), start=1)
    }


def test_other_codes_and_sizes() -> None:
    assert [c.value for c in receipt.Verification] == [0, 1, 2]
    assert [bytes([c]) for c in CaKind] == [b"R", b"T", b"C", b"I"]
    assert [c.value for c in cose.Algorithm] == [-7, -8]
    assert (cose.ENVIRONMENT_LABEL, cose.KEY_ID_BYTES) == (-70001, 8)
    assert bundle.MAX_BUNDLE_BYTES == cbor.MAX_OBJECT_BYTES == 67_108_864
    assert (log.MAX_UPLOAD_RECORDS, log.GENESIS_SEQUENCE) == (100_000, 0)
    assert (raw.MAX_RAW_BYTES, raw.MAX_LOADED, raw.U32_MAX) == (223, 2**31 - 1, 2**32 - 1)
    assert (raw.U16_MAX, raw.VERSION, raw.DOMAIN_BYTES) == (0xFFFF, 1, 5)
    assert (cvc.MAX_CVC_BYTES, tlv.MAX_LENGTH_BYTES) == (250, 65_535)
    assert (cvc.ID_BYTES, cvc.SERIAL_BYTES) == (8, 4)
    assert (entitlement.MAX_LOTS, entitlement.MAX_WALLETS) == (4, 8)
    assert (entitlement.NEVER_S, entitlement.CERTIFICATE_HASH_BYTES) == (2**32 - 1, 16)
    assert schema.MAX_ITEMS == 5_000_000


@pytest.mark.parametrize("name", MODULES)
def test_values_are_frozen_and_have_slots(name: str) -> None:
    module = importlib.import_module(f"wire.{name}")
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if kind.__module__ == module.__name__ and dataclasses.is_dataclass(kind):
            assert kind.__dataclass_params__.frozen, kind
            assert "__slots__" in vars(kind), kind
            assert kind.__eq__ is not object.__eq__


LIMITS = {
    "U8": (0, 255), "U16": (0, 65_535), "U32": (0, 2**32 - 1), "U53": (0, 2**53 - 1),
    "I53": (1 - 2**53, 2**53 - 1), "Bytes8": (8, 8), "Bytes16": (16, 16), "Bytes32": (32, 32),
    "Point": (65, 65), "Signed": (1, 1 << 20), "Blob": (0, 1 << 25), "Name": (1, 64),
    "Text": (0, 400), "DayNumber": (20_000_101, 20_991_231),
}  # fmt: skip


def test_limits_of_the_fields() -> None:
    for name, bounds in LIMITS.items():
        (limit,) = getattr(schema, name).__metadata__
        assert (limit.low, limit.high) == bounds, name
    assert schema.Limit(1, 2) == schema.Limit(1, 2)


@dataclasses.dataclass(frozen=True, slots=True)
class Row(schema.Shape):
    number: schema.U8
    name: schema.Name
    listed: tuple[schema.U8, ...]
    flag: bool
    kind: ReceiptKind
    maybe: schema.U8 | None


ROW = [7, "x", [1, 2], True, 1, None]


@pytest.mark.parametrize(("at", "bad"), [
    (0, -1), (0, 256), (0, True), (0, "7"), (1, ""), (1, "x" * 65), (1, b"x"), (2, [1, 256]),
    (2, 5), (3, 1), (3, None), (4, 0), (4, 3), (4, True), (4, None), (5, 256), (5, "x"),
])  # fmt: skip
def test_a_field_out_of_its_bounds(at: int, bad: object) -> None:
    with pytest.raises(FormatError):
        Row.from_array([*ROW[:at], bad, *ROW[at + 1 :]])


def test_fields_at_their_bounds() -> None:
    row = Row.from_array(ROW)
    assert row == Row(7, "x", (1, 2), True, ReceiptKind.DEBIT, None)
    assert type(row.kind) is ReceiptKind
    assert row.to_array() == ROW
    for at, good in [(0, 0), (0, 255), (1, "x" * 64), (2, []), (3, False), (4, 2), (5, 0)]:
        array = [*ROW[:at], good, *ROW[at + 1 :]]
        assert Row.from_array(array).to_array() == array
    for wrong in (ROW[:-1], [*ROW, 1], tuple(ROW), None):
        with pytest.raises(FormatError):
            Row.from_array(wrong)
    with pytest.raises(FormatError):
        bytes(replace(row, number=256))
    with pytest.raises(FrozenInstanceError):
        row.number = 8  # type: ignore[misc]


def test_lists_at_their_bounds(monkeypatch) -> None:
    encode, decode = schema._list(schema._codec(schema.U8), schema.Limit(1, 2))
    for good in ([1], [1, 2]):
        assert encode(tuple(good)) == good
        assert decode(good) == tuple(good)
    for bad in ([], [1, 2, 3]):
        with pytest.raises(FormatError):
            encode(bad)
        with pytest.raises(FormatError):
            decode(bad)
    with pytest.raises(FormatError):
        decode((1,))


# TLV, CBOR, COSE


@pytest.mark.parametrize("n", [0, 1, 127, 128, 129, 255, 256, 257, 65_535])
def test_a_tlv_of_every_length_form(n: int) -> None:
    head = {1: bytes([n & 0xFF]), 2: bytes([0x81, n & 0xFF])}
    form = head[1] if n < 128 else head[2] if n < 256 else b"\x82" + n.to_bytes(2, "big")
    made = tlv.encode(0x5F20, bytes(n))
    assert made == b"\x5f\x20" + form + bytes(n)
    assert tlv.read(made + b"\xff") == (0x5F20, bytes(n), len(made))
    with pytest.raises(FormatError):
        tlv.read(made[:-1])


def test_a_tlv_too_long() -> None:
    with pytest.raises(FormatError):
        tlv.encode(0x93, bytes(65_536))


@pytest.mark.parametrize("data", [
    b"\x93\x80", b"\x93\x83\0\0\1a", b"\x93\x84\0\0\0\1a", b"\x93\x81\x7f" + bytes(127), b"\x93",
    b"\x93\x82\x00\xff" + bytes(255), b"\x93\x81", b"\x93\x82\x01", b"\x5f", b"\x5f\x1e\x00",
    b"\x5f\x80\x00", b"\x5f\xff\x00", b"\x5f\x81\x00",
])  # fmt: skip
def test_a_tlv_that_is_none(data: bytes) -> None:
    with pytest.raises(FormatError):
        tlv.read(data)
    with pytest.raises(FormatError):
        tlv.parse_all(b"\x93\x00" + data)


def test_tags_at_their_borders() -> None:
    assert tlv.read(b"\x5f\x1f\x00") == (0x5F1F, b"", 3)
    assert tlv.read(b"\x5f\x7f\x00") == (0x5F7F, b"", 3)
    assert tlv.read(b"\x00\x00") == (0, b"", 2)
    assert tlv.encode(0, b"") == b"\x00\x00"
    assert tlv.parse_all(b"") == []
    assert tlv.parse_sequence(b"", ()) == []
    assert tlv.read(b"\xff\x93\x01a", 1) == (0x93, b"a", 4)
    for left_over, tags in ((b"\x93\0", ()), (b"\x93\0\x93\0", (0x93,)), (b"\x93\0", (0x94,))):
        with pytest.raises(FormatError):
            tlv.parse_sequence(left_over, tags)


def test_cbor_at_its_largest(monkeypatch) -> None:
    value = b"x" * 20
    size = len(cbor.encode(value))
    for limit in (size, size + 1):
        monkeypatch.setattr(cbor, "MAX_OBJECT_BYTES", limit)
        assert cbor.decode(cbor.encode(value)) == value
    monkeypatch.setattr(cbor, "MAX_OBJECT_BYTES", size - 1)
    with pytest.raises(FormatError, match="too large"):
        cbor.decode(cbor.encode(value))
    with pytest.raises(FormatError, match="too large"):
        cbor.decode(cbor.encode(value + b"xx"))


@pytest.mark.parametrize("n", [0, 1, 23, 24, 25, 255, 256, 65_535, 65_536])
def test_a_byte_string_of_every_head(n: int) -> None:
    made = cbor2.dumps(bytes(n))
    start = len(made) - n
    assert cbor.bytes_head(made, 0) == (n, start)
    assert cbor.bytes_head(b"\xff" + made, 1) == (n, start + 1)
    assert list(cbor.decode_sequence(made + b"\x41a")) == [bytes(n), b"a"]
    for cut in {1, start - 1, len(made) - 1} - {0, len(made)}:
        with pytest.raises(FormatError):
            list(cbor.decode_sequence(made[:cut]))


@pytest.mark.parametrize("data", [b"\x60", b"\x80", b"\x01", b"\x5b" + bytes(8) + b"a",
                                  b"\x5c", b"\x5f\xff", b"\x58\x17" + bytes(23)])  # fmt: skip
def test_a_sequence_of_something_else(data: bytes) -> None:
    with pytest.raises(FormatError):
        list(cbor.decode_sequence(data))


def test_arrays_of_one_length() -> None:
    assert cbor.decode_array(cbor.encode([1, 2]), 2) == [1, 2]
    for other in ([1], [1, 2, 3], b"ab", "ab"):
        with pytest.raises(FormatError):
            cbor.decode_array(cbor.encode(other), 2)


SIGNED = vectors.sign_object(vectors.sample_objects()[0])


def test_cose_is_cut_nowhere() -> None:
    assert cose.Sign1.parse(SIGNED).raw == SIGNED
    for cut in range(len(SIGNED)):
        with pytest.raises(FormatError):
            cose.Sign1.parse(SIGNED[:cut])


@pytest.mark.parametrize("change", [
    {4: bytes(7)}, {4: bytes(9)}, {4: "12345678"}, {16: b"khbs.funds"}, {16: "funds"}, {1: -9},
    {-70001: 0}, {5: 1},
])  # fmt: skip
def test_a_protected_header_of_another_form(change) -> None:
    good = cose.Sign1.parse(SIGNED)
    header = {1: int(good.algorithm), 4: good.key_id, 16: "khbs." + good.kind,
              -70001: int(good.env)}  # fmt: skip
    assert cose._read_protected(cbor2.dumps(header)) == (
        good.algorithm, good.key_id, good.kind, good.env)  # fmt: skip
    with pytest.raises(FormatError):
        cose._read_protected(cbor2.dumps(header | change))


def test_keys_by_their_length() -> None:
    assert cose.algorithm_of(bytes(32)) == cose.Algorithm.EDDSA
    assert cose.algorithm_of(bytes(65)) == cose.Algorithm.ES256
    for n in (0, 31, 33, 64, 66):
        with pytest.raises(FormatError):
            cose.algorithm_of(bytes(n))


@pytest.mark.parametrize("bad", [
    point(ROOT)[:-1], point(ROOT) + b"\0", b"\x05" + point(ROOT)[1:],
    ecdsa.compress(point(ROOT)) + b"\0", b"\x04",
    b"\x04" + ecdsa.compress(point(ROOT))[1:], ecdsa.compress(point(ROOT))[:-1], b"\x00", b"",
    b"\x02" + point(ROOT)[1:], b"\x03" + point(ROOT)[1:], b"\x01" + point(ROOT)[1:33],
])  # fmt: skip
def test_a_point_of_another_form_is_told_so(bad: bytes) -> None:
    with pytest.raises(FormatError, match="neither uncompressed nor compressed"):
        ecdsa.p256_public_key(bad)


def test_both_compressed_forms() -> None:
    seen = set()
    for scalar in range(1, 9):
        small = ecdsa.compress(point(scalar))
        assert ecdsa.decompress(small) == point(scalar)
        seen.add(small[0])
    assert seen == {2, 3}
