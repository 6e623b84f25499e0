"""GlobalPlatform CV certificates, tag 7F21 (GPC Amd F; docs/wire.md#cvc).

Four kinds share one strict layout: terminal certificates (every role), card certificates,
links, and nothing else. The signature covers all TLVs of 7F21 before 5F37, as they stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from hashlib import sha256
from typing import Self

from wire import dates, ecdsa, tlv
from wire.env import Environment
from wire.errors import FormatError, require

CVC_TAGS = (0x93, 0x42, 0x5F20, 0x95, 0x5F25, 0x5F24, 0x73, 0x7F49, 0x5F37)
MAX_CVC_BYTES = 250
ID_BYTES = 8
SERIAL_BYTES = 4
USAGE_KEY_AGREEMENT = b"\x80"
USAGE_VERIFY = b"\x82"
P256_PARAMETERS = b"\x00"


class CaKind(IntEnum):
    """Fifth byte of a CA id: whose key it is."""

    ROOT = ord("R")
    TERMINAL_CA = ord("T")
    CARD_CA = ord("C")
    ISSUER = ord("I")


class Role(IntEnum):
    """Role of a terminal certificate, exactly one (PROTOCOL.md §3; tag C1)."""

    TERMINAL = 1
    SUPERVISOR = 2
    HANDOVER = 3
    PERSONALISER = 4


@dataclass(frozen=True, slots=True)
class CaId:
    """Eight bytes naming a CA key: mark(4) ‖ kind(1) ‖ 00 ‖ version(2)."""

    env_mark: bytes
    kind: CaKind
    version: int

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a CA id; :class:`FormatError`, for a mark that is neither of the two known too."""
        require(len(raw) == ID_BYTES and raw[5] == 0, "CA id is not mark, kind, 00, version")
        require(raw[:4] in {b"DEMO", b"KHBS"}, "CA id has an unknown mark")
        try:
            kind = CaKind(raw[4])
        except ValueError as e:
            raise FormatError("CA id has an unknown kind") from e
        return cls(raw[:4], kind, int.from_bytes(raw[6:], "big"))

    def __bytes__(self) -> bytes:
        return self.env_mark + bytes([self.kind, 0]) + self.version.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class TerminalExtension:
    """Tag 73 of a terminal certificate: C0 environment, C1 role, C2 officer id (0 for none)."""

    env: Environment
    role: Role
    officer: int


@dataclass(frozen=True, slots=True)
class CardExtension:
    """Tag 73 of a card certificate: C0 environment, C3 receipt key, compressed."""

    env: Environment
    receipt_key: bytes


@dataclass(frozen=True, slots=True)
class LinkExtension:
    """Tag 73 of a link: C0 environment, C4 lowest version kept, C5 1 when the date may go back."""

    env: Environment
    lowest_kept: int
    may_step_back: bool


Extension = TerminalExtension | CardExtension | LinkExtension


def _parse_env(raw: bytes) -> Environment:
    require(len(raw) == 1, "environment is one byte")
    try:
        return Environment(raw[0])
    except ValueError as e:
        raise FormatError("unknown environment") from e


def _parse_extension(raw: bytes) -> Extension:
    items = tlv.parse_all(raw)
    tags, values = tuple(t for t, _ in items), [v for _, v in items]
    if tags == (0xC0, 0xC1, 0xC2):
        require(len(values[1]) == 1 and len(values[2]) == 4, "role is 1 byte, officer id 4")
        try:
            role = Role(values[1][0])
        except ValueError as e:
            raise FormatError("unknown role") from e
        return TerminalExtension(_parse_env(values[0]), role, int.from_bytes(values[2], "big"))
    if tags == (0xC0, 0xC3):
        require(len(values[1]) == ecdsa.COMPRESSED_POINT_BYTES, "receipt key is not compressed")
        return CardExtension(_parse_env(values[0]), values[1])
    if tags == (0xC0, 0xC4, 0xC5):
        require(len(values[1]) == 2 and values[2] in {b"\x00", b"\x01"}, "link fields malformed")
        return LinkExtension(
            _parse_env(values[0]), int.from_bytes(values[1], "big"), values[2] == b"\x01"
        )
    raise FormatError("tag 73 holds none of the three known sets")


def _encode_extension(x: Extension) -> bytes:
    body = tlv.encode(0xC0, bytes([x.env]))
    match x:
        case TerminalExtension():
            body += tlv.encode(0xC1, bytes([x.role]))
            body += tlv.encode(0xC2, x.officer.to_bytes(4, "big"))
        case CardExtension():
            body += tlv.encode(0xC3, x.receipt_key)
        case LinkExtension():
            body += tlv.encode(0xC4, x.lowest_kept.to_bytes(2, "big"))
            body += tlv.encode(0xC5, bytes([x.may_step_back]))
    return body


@dataclass(frozen=True, slots=True)
class Certificate:
    """One CVC with its exact bytes.

    ``subject`` is 8 bytes: a terminal id, a card id, or a CA id for a link. ``public_key`` is an
    uncompressed P-256 point. ``raw`` holds the bytes received; verification uses only them.
    """

    serial: int
    issuer: CaId
    subject: bytes
    effective: date
    expires: date
    extension: Extension
    public_key: bytes
    signature: bytes
    raw: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read one certificate; strict order, nothing left over, at most 250 bytes.

        :class:`FormatError`; the signature is not checked here.
        """
        require(len(raw) <= MAX_CVC_BYTES, "certificate longer than 250 bytes")
        (body,) = tlv.parse_sequence(raw, (0x7F21,))
        v = tlv.parse_sequence(body, CVC_TAGS)
        require(len(v[0]) == SERIAL_BYTES, "serial is not 4 bytes")
        require(len(v[2]) == ID_BYTES, "subject is not 8 bytes")
        issuer, extension = CaId.parse(v[1]), _parse_extension(v[6])
        is_link = isinstance(extension, LinkExtension)
        require(v[3] == (USAGE_VERIFY if is_link else USAGE_KEY_AGREEMENT), "wrong key usage")
        require(issuer.env_mark == extension.env.mark, "CA id mark is not the environment's")
        point, parameters = tlv.parse_sequence(v[7], (0xB0, 0xF0))
        require(parameters == P256_PARAMETERS and len(point) == ecdsa.POINT_BYTES, "not P-256")
        effective, expires = dates.date_from_bcd(v[4]), dates.date_from_bcd(v[5])
        require(effective <= expires, "certificate ends before it begins")
        require(len(v[8]) == ecdsa.SIGNATURE_BYTES, "signature is not 64 bytes")
        kind = _KIND_OF_ISSUER[type(extension)]
        require(issuer.kind == kind, "issued by the wrong kind of CA")
        return cls(int.from_bytes(v[0], "big"), issuer, v[2], effective, expires, extension,
                   point, v[8], raw)  # fmt: skip

    @property
    def env(self) -> Environment:
        """Environment of tag 73."""
        return self.extension.env

    @property
    def signed_bytes(self) -> bytes:
        """What the signature covers: the TLVs of 7F21 up to and without 5F37."""
        (body,) = tlv.parse_sequence(self.raw, (0x7F21,))
        return body[: -(3 + ecdsa.SIGNATURE_BYTES)]

    @property
    def digest(self) -> bytes:
        """SHA-256 over the whole certificate, signature included."""
        return sha256(self.raw).digest()

    def verify(self, issuer_key: bytes) -> Self:
        """Return self if ``issuer_key`` (a P-256 point) signed it.

        Else :class:`wire.errors.SignatureInvalidError`; dates and roles are the caller's matter.
        """
        ecdsa.verify_p256(issuer_key, self.signature, self.signed_bytes)
        return self

    def __bytes__(self) -> bytes:
        return self.raw


_KIND_OF_ISSUER: dict[type, CaKind] = {
    TerminalExtension: CaKind.TERMINAL_CA,
    CardExtension: CaKind.CARD_CA,
    LinkExtension: CaKind.ROOT,
}


def encode_unsigned(
    *, serial: int, issuer: CaId, subject: bytes, effective: date, expires: date,
    extension: Extension, public_key: bytes,
) -> bytes:  # fmt: skip
    """The bytes a CA signs; give them and the signature to :func:`assemble`, which checks them."""
    usage = USAGE_VERIFY if isinstance(extension, LinkExtension) else USAGE_KEY_AGREEMENT
    return b"".join((
        tlv.encode(0x93, serial.to_bytes(SERIAL_BYTES, "big")),
        tlv.encode(0x42, bytes(issuer)),
        tlv.encode(0x5F20, subject),
        tlv.encode(0x95, usage),
        tlv.encode(0x5F25, dates.date_to_bcd(effective)),
        tlv.encode(0x5F24, dates.date_to_bcd(expires)),
        tlv.encode(0x73, _encode_extension(extension)),
        tlv.encode(0x7F49, tlv.encode(0xB0, public_key) + tlv.encode(0xF0, P256_PARAMETERS)),
    ))  # fmt: skip


def assemble(unsigned: bytes, signature: bytes) -> Certificate:
    """A certificate from its signed bytes and the signature (64 bytes) over them.

    :class:`FormatError` when they are no certificate; the signature is not verified.
    """
    return Certificate.parse(tlv.encode(0x7F21, unsigned + tlv.encode(0x5F37, signature)))
