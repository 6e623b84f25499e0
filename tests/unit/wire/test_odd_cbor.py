"""CBOR outside our profile is refused as such, whatever cbor2 makes of it."""

import cbor2
import pytest

from wire import cbor, cose
from wire.errors import FormatError

ESCAPED = {  # met by fuzz-objects: errors of cbor2's tag readers that were not FormatError
    "bigfloat overflows": "c5821a3b9aca0001",
    "decimal is invalid": "c4821b40000000000000001b4000000000000000",
    "mail header": "d8246178",
    "no mail": "d824f6",
    "day too far": "d8641b0000010000000000",
}
OUTSIDE = {"map": {1: 2}, "float": 1.5, "tag": cbor2.CBORTag(99, 1), "undefined": cbor2.undefined,
           "simple": cbor2.CBORSimpleValue(99), "within an array": [1, [b"", {}]]}  # fmt: skip


@pytest.mark.parametrize("name", ESCAPED)
def test_what_a_tag_reader_raises_is_a_format_error(name: str) -> None:
    raw = bytes.fromhex(ESCAPED[name])
    with pytest.raises(FormatError):
        cbor.decode(raw)
    head = cbor2.dumps(raw)
    with pytest.raises(FormatError):
        cose.Sign1.parse(b"\xd2\x84" + head + b"\xa0\x40\x58\x40" + bytes(64))
    with pytest.raises(FormatError):
        cbor.decode(b"\x82\x01" + raw)


@pytest.mark.parametrize("name", OUTSIDE)
def test_only_the_kinds_of_docs_wire_md_pass(name: str) -> None:
    with pytest.raises(FormatError):
        cbor.decode(cbor2.dumps(OUTSIDE[name]))


def test_the_kinds_that_pass() -> None:
    value = [1, -1, b"x", "x", True, False, None, [[]]]
    assert cbor.decode(cbor.encode(value)) == value


@pytest.mark.parametrize("raw", ["9b" + "ff" * 8, "5b000000007fffffff", "bb000000007fffffff",
                                 "81" * 100_000 + "00", "9f" * 20_000])  # fmt: skip
def test_a_claimed_length_or_depth_costs_nothing(raw: str) -> None:
    with pytest.raises(FormatError):
        cbor.decode(bytes.fromhex(raw))
