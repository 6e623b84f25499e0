"""Mutations of bytes that keep enough structure to get past the first check."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import cbor2

__all__ = ["apdu", "blob", "cbor", "tlvs"]

EDGES = (0x00, 0x01, 0x7F, 0x80, 0x81, 0x82, 0xFE, 0xFF)
NUMBERS = (0, 1, 23, 24, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 - 1,
           2**53, 2**64 - 1, 2**64, -1, -(2**53) + 1, -(2**63) - 1)  # fmt: skip
MAX_TLV_DEPTH = 3
OTHERS = (None, True, False, b"", "", [], {}, 1.5, cbor2.undefined, cbor2.CBORTag(18, b"x"))


def blob(r: Random, raw: bytes, pool: Sequence[bytes] = ()) -> bytes:
    """One to three changes of bits, bytes, lengths or pieces; ``pool`` lends pieces of others."""
    changed = bytearray(raw)
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        changed = _one(r, changed, pool)
    return bytes(changed)


def _one(r: Random, b: bytearray, pool: Sequence[bytes]) -> bytearray:
    if not b:
        return bytearray(r.randbytes(r.randrange(1, 9)))
    at, n = r.randrange(len(b)), r.choice((1, 1, 2, 4, 8, 32, 64))
    match r.randrange(11):
        case 0 | 1 | 2:
            b[at] ^= 1 << r.randrange(8)
        case 3:
            b[at] = r.choice(EDGES)
        case 4:  # a field at its end
            b[at : at + n] = bytes([r.choice((0x00, 0xFF))]) * len(b[at : at + n])
        case 5:
            del b[at : at + n]
        case 6:
            b[at:at] = r.randbytes(n)
        case 7:
            b[at:at] = b[at : at + n]  # said twice
        case 8:
            b = b[:at]
        case 9:
            b += r.randbytes(n)
        case _:
            other = r.choice(pool) if pool else bytes(b)
            cut = r.randrange(len(other) + 1)
            b[at : at + n] = other[cut : cut + n]
    return b


def tlvs(r: Random, raw: bytes, depth: int = 0) -> bytes:
    """BER-TLVs left out, repeated, swapped, renamed, resized or opened; any bytes else."""
    items = _split(raw)
    if not items:
        return blob(r, raw)
    i = r.randrange(len(items))
    tag, value = items[i]
    length = None
    match r.randrange(8):
        case 0:
            del items[i]
        case 1:
            items.insert(i, items[r.randrange(len(items))])
        case 2:
            j = r.randrange(len(items))
            items[i], items[j] = items[j], items[i]
        case 3:
            items[i] = (bytes([tag[0] ^ 1 << r.randrange(8)]) + tag[1:], value)
        case 4:
            length = r.choice((0, 0x7F, 0x80, 0x81, 0xFF, len(value) + 1, max(0, len(value) - 1)))
        case 5:
            items[i] = (tag, blob(r, value))
        case _:
            deeper = (depth < MAX_TLV_DEPTH and tag[0] & 0x20) or tag == b"\x73"
            items[i] = (tag, tlvs(r, value, depth + 1) if deeper else blob(r, value))
    parts = [t + _length(len(v)) + v for t, v in items]
    if length is not None:
        parts[i] = tag + bytes([length & 0xFF]) + value
    return b"".join(parts)


def _length(n: int) -> bytes:
    if n < 0x80:
        return bytes([n])
    return bytes([0x81, n]) if n < 0x100 else b"\x82" + n.to_bytes(2, "big")


def _split(raw: bytes) -> list[tuple[bytes, bytes]]:
    """The TLVs of ``raw``; none when it is not whole TLVs."""
    found, at = [], 0
    while at < len(raw):
        start = at
        at += 2 if raw[at] & 0x1F == 0x1F else 1
        if at >= len(raw):
            return []
        tag, n = raw[start:at], raw[at]
        at += 1
        if n > 0x80:
            width = n - 0x80
            n = int.from_bytes(raw[at : at + width], "big")
            at += width
        if at + n > len(raw):
            return []
        found.append((tag, raw[at : at + n]))
        at += n
    return found


def apdu(r: Random, raw: bytes, pool: Sequence[bytes] = ()) -> bytes:
    """A C-APDU with another header, Lc, Le, extended length, data, or any bytes changed."""
    if len(raw) < 5:
        return blob(r, raw, pool)
    head, lc = bytearray(raw[:4]), raw[4]
    data = raw[5 : 5 + lc] if len(raw) > 5 else b""
    tail = raw[5 + lc :] if len(raw) > 5 else raw[4:]
    match r.randrange(10):
        case 0 | 1:
            head[r.randrange(4)] ^= 1 << r.randrange(8)
        case 2:
            head[r.randrange(4)] = r.choice(EDGES)
        case 3:  # Lc says something else than stands there
            claimed = r.choice((0, 1, 255, max(0, len(data) - 1), (len(data) + 1) & 0xFF))
            return bytes(head) + bytes([claimed]) + data + tail
        case 4:
            tail = r.choice((b"", b"\x00", b"\x01", b"\xff", b"\x00\x00"))
        case 5:  # extended length
            return bytes(head) + b"\x00" + len(data).to_bytes(2, "big") + data + b"\x00\x00"
        case 6:
            data = tlvs(r, data)[:255]
        case 7:
            return blob(r, raw, pool)
        case _:
            data = blob(r, data, pool)[:255]
    return bytes(head) + (bytes([len(data)]) + data if data else b"") + tail


def cbor(r: Random, value: object, depth: int = 0) -> object:
    """A decoded CBOR value with one element somewhere changed for another of any kind."""
    if isinstance(value, list) and value and r.random() < 0.9:
        i, copy = r.randrange(len(value)), list(value)
        match r.randrange(8):
            case 0:
                del copy[i]
            case 1:
                copy.insert(r.randrange(len(copy) + 1), copy[i])
            case 2:
                j = r.randrange(len(copy))
                copy[i], copy[j] = copy[j], copy[i]
            case _:
                copy[i] = cbor(r, copy[i], depth + 1)
        return copy
    match r.randrange(6), value:
        case (0, _):
            return r.choice(OTHERS)
        case (1, _):
            return r.choice(NUMBERS)
        case (2, int()):
            return value + r.choice((-1, 1))  # type: ignore[operator]
        case (_, bytes()):
            return blob(r, value)  # type: ignore[arg-type]
        case (_, str()):
            return r.choice((value + "x", "x" * 401, "\ud7ff\U0001f600\x00", value[:1], "é" * 64))
        case _:
            return r.choice(NUMBERS)
