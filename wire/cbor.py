"""Deterministic CBOR (RFC 8949 §4.2): one encoding per value, arrays only (docs/wire.md#cbor).

``cbor2`` accepts trailing bytes, non-minimal heads and duplicate keys; decoding here encodes the
result again and compares, so exactly one byte string stands for each value.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import TypeAlias

import cbor2

from wire.errors import FormatError, require

Value: TypeAlias = "int | bytes | str | bool | list[Value] | None"

MAX_OBJECT_BYTES = 64 * 1024 * 1024
_PLAIN = frozenset({int, bytes, str, bool, NoneType})


def encode(value: Value) -> bytes:
    """The one encoding of ``value``."""
    return cbor2.dumps(value)


def decode(raw: bytes) -> Value:
    """The value of ``raw``, at most 64 MiB; :class:`FormatError` for all but its one encoding."""
    require(len(raw) <= MAX_OBJECT_BYTES, "CBOR object too large")
    try:
        value: Value = cbor2.loads(raw)
        canonical = cbor2.dumps(value)
    except Exception as e:  # tags of dates, decimals, mail... raise what their readers raise
        raise FormatError("not CBOR") from e
    require(canonical == raw, "CBOR is not deterministic or has bytes left over")
    require(_is_plain(value), "CBOR holds a tag, a map, a float or an unknown simple value")
    return value


def _is_plain(value: object) -> bool:
    if type(value) is not list:
        return type(value) in _PLAIN
    kinds = set(map(type, value))
    if list not in kinds:
        return kinds <= _PLAIN
    return all(_is_plain(v) for v in value)


def decode_array(raw: bytes, length: int) -> list[Value]:
    """An array of exactly ``length`` elements; :class:`FormatError`."""
    value = decode(raw)
    if not isinstance(value, list) or len(value) != length:
        raise FormatError(f"array of {length} expected")
    return value


def encode_sequence(items: list[bytes]) -> bytes:
    """A CBOR sequence (RFC 8742) of byte strings: the container of every export file."""
    return b"".join(map(cbor2.dumps, items))


def decode_sequence(raw: bytes) -> Iterator[bytes]:
    """The byte strings of a CBOR sequence, lazily: :class:`FormatError` comes where it is reached.

    Each head must be minimal, and nothing may be left over.
    """
    at = 0
    while at < len(raw):
        start, (length, at) = at, bytes_head(raw, at)
        require(at + length <= len(raw), "sequence ends within an item")
        item = raw[at : at + length]
        at += length
        require(cbor2.dumps(item) == raw[start:at], "sequence item head is not minimal")
        yield item


def bytes_head(raw: bytes, at: int) -> tuple[int, int]:
    """Length and start of the byte string whose head stands at ``at``; :class:`FormatError`."""
    head = raw[at]
    require(head >> 5 == 2, "sequence item is not a byte string")
    low = head & 0x1F
    if low < 24:
        return low, at + 1
    require(low <= 26, "sequence item too long")
    width = 1 << (low - 24)
    require(at + 1 + width <= len(raw), "sequence ends within a head")
    return int.from_bytes(raw[at + 1 : at + 1 + width], "big"), at + 1 + width
