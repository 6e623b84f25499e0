"""Shared frame of the raw objects a card parses or makes (docs/wire.md#raw).

body = "BT" ‖ type ‖ version ‖ environment ‖ fields; object = body ‖ ECDSA signature r‖s. All
integers are big-endian and unsigned. No object is longer than 223 bytes.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import Any

from wire.ecdsa import SIGNATURE_BYTES
from wire.env import Environment
from wire.errors import FormatError, require

MAX_RAW_BYTES = 223
DOMAIN_BYTES = 5
VERSION = 1
U16_MAX = 0xFFFF
U32_MAX = 0xFFFFFFFF
MAX_LOADED = 0x7FFFFFFF  # PROTOCOL.md §4.1: L <= 2^31 - 1


def domain(kind: bytes, env: Environment) -> bytes:
    """The five bytes every raw object begins with; never starts with 93, so never a CVC."""
    return b"BT" + kind + bytes([VERSION, env])


def layout(fields: str) -> Struct:
    """A big-endian layout whose signed object fits one secured APDU; else :class:`FormatError`."""
    s = Struct(">" + fields)
    if s.size + DOMAIN_BYTES + SIGNATURE_BYTES > MAX_RAW_BYTES:
        raise FormatError("layout longer than one secured APDU")
    return s


def split(raw: bytes, kind: bytes, fields: Struct) -> tuple[Environment, tuple[Any, ...], bytes]:
    """(environment, fields, signature of 64 bytes) of one object of exactly this kind and size.

    :class:`FormatError` for another length, domain string or environment.
    """
    require(len(raw) == DOMAIN_BYTES + fields.size + SIGNATURE_BYTES, "object of wrong length")
    require(raw[:2] == b"BT" and raw[2:3] == kind and raw[3] == VERSION, "wrong domain string")
    try:
        env = Environment(raw[4])
    except ValueError as e:
        raise FormatError("unknown environment") from e
    end = DOMAIN_BYTES + fields.size
    return env, fields.unpack(raw[DOMAIN_BYTES:end]), raw[end:]


def body_of(raw: bytes) -> bytes:
    """What the signature covers: everything before it."""
    return raw[:-SIGNATURE_BYTES]


def body_hash(raw: bytes) -> bytes:
    """SHA-256 of the signed body.

    Links and comparisons use it, never the signature's bytes: ECDSA is malleable.
    """
    return sha256(body_of(raw)).digest()
