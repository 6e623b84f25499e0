"""BER-TLV with DER lengths, as ISO/IEC 7816-4 §6.3 and GP CV certificates use it."""

from __future__ import annotations

from wire.errors import FormatError, require

MAX_LENGTH_BYTES = 0xFFFF


def encode(tag: int, value: bytes) -> bytes:
    """One TLV; ``tag`` is the whole tag field as a number (e.g. ``0x7F21``)."""
    tag_bytes = tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big")
    return tag_bytes + _encode_length(len(value)) + value


def _encode_length(n: int) -> bytes:
    if n < 0x80:
        return bytes([n])
    if n <= 0xFF:
        return bytes([0x81, n])
    require(n <= MAX_LENGTH_BYTES, "TLV value too long")
    return b"\x82" + n.to_bytes(2, "big")


def read(raw: bytes, at: int = 0) -> tuple[int, bytes, int]:
    """Read one TLV at ``at``: (tag, value, offset behind it).

    :class:`FormatError` when it is cut short or its tag or length is not minimal.
    """
    tag, at = _read_tag(raw, at)
    require(at < len(raw), "TLV ends before its length")
    first, at = raw[at], at + 1
    if first < 0x80:
        length = first
    elif first in {0x81, 0x82}:
        width = first & 0x0F
        require(at + width <= len(raw), "TLV ends within its length")
        length, at = int.from_bytes(raw[at : at + width], "big"), at + width
        require(length >= (0x80 if width == 1 else 0x100), "TLV length is not minimal")
    else:
        raise FormatError("TLV length form not supported")
    require(at + length <= len(raw), "TLV value runs past the end")
    return tag, raw[at : at + length], at + length


def _read_tag(raw: bytes, at: int) -> tuple[int, int]:
    require(at < len(raw), "no TLV where one is required")
    tag, at = raw[at], at + 1
    if tag & 0x1F == 0x1F:
        require(at < len(raw), "TLV ends within its tag")
        second, at = raw[at], at + 1
        require(0x1F <= second < 0x80, "TLV tag is not a minimal two-byte tag")
        tag = tag << 8 | second
    return tag, at


def parse_sequence(raw: bytes, tags: tuple[int, ...]) -> list[bytes]:
    """The values of exactly ``tags`` in this order; :class:`FormatError` for anything beside."""
    values, at = [], 0
    for want in tags:
        tag, value, at = read(raw, at)
        require(tag == want, f"TLV tag {want:X} expected, {tag:X} found")
        values.append(value)
    require(at == len(raw), "bytes left over behind the last TLV")
    return values


def parse_all(raw: bytes) -> list[tuple[int, bytes]]:
    """All TLVs of ``raw``, in order, to its end; :class:`FormatError`."""
    items, at = [], 0
    while at < len(raw):
        tag, value, at = read(raw, at)
        items.append((tag, value))
    return items
