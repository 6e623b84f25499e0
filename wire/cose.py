"""COSE_Sign1 (RFC 9052 §4.2), one shape only, checked byte by byte (docs/wire.md#cose).

``D2 84 <protected> A0 <payload> 58 40 <signature>``, protected = {1: alg, 4: key id, 16: type,
-70001: environment}. Everything signed that no card parses has this frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Self

import cbor2

from wire import cbor, ecdsa
from wire.env import Environment
from wire.errors import EnvironmentMismatchError, FormatError, require

KEY_ID_BYTES = 8
ENVIRONMENT_LABEL = -70001  # docs/wire.md#cose
_TYPE_PREFIX = "khbs."


class Algorithm(IntEnum):
    """COSE algorithm numbers in use."""

    ES256 = -7
    EDDSA = -8


def key_id(public_key: bytes) -> bytes:
    """First 8 bytes of SHA-256 of the key's bytes (65-byte point or 32-byte Ed25519 key)."""
    return sha256(public_key).digest()[:KEY_ID_BYTES]


def algorithm_of(public_key: bytes) -> Algorithm:
    """EdDSA for a key of 32 bytes, ES256 for a point of 65; else :class:`FormatError`."""
    if len(public_key) == ecdsa.ED25519_KEY_BYTES:
        return Algorithm.EDDSA
    require(len(public_key) == ecdsa.POINT_BYTES, "key is neither Ed25519 nor P-256")
    return Algorithm.ES256


def _protected(alg: Algorithm, kid: bytes, kind: str, env: Environment) -> bytes:
    header = {1: int(alg), 4: kid, 16: _TYPE_PREFIX + kind, ENVIRONMENT_LABEL: int(env)}
    return cbor2.dumps(header)


@dataclass(frozen=True, slots=True)
class Sign1:
    """One COSE_Sign1 with its exact bytes; nothing of it is trusted before :meth:`verify`."""

    algorithm: Algorithm
    key_id: bytes
    kind: str
    env: Environment
    payload: bytes
    signature: bytes
    raw: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read one object; :class:`FormatError` for any other frame than ours."""
        require(raw[:2] == b"\xd2\x84", "not a tagged COSE_Sign1")
        protected, at = _read_bytes(raw, 2)
        require(raw[at : at + 1] == b"\xa0", "unprotected header is not empty")
        payload, at = _read_bytes(raw, at + 1)
        signature, at = _read_bytes(raw, at)
        require(len(signature) == ecdsa.SIGNATURE_BYTES, "signature is not 64 bytes")
        require(at == len(raw), "bytes left over behind COSE_Sign1")
        alg, kid, kind, env = _read_protected(protected)
        return cls(alg, kid, kind, env, payload, signature, raw)

    @property
    def to_be_signed(self) -> bytes:
        """Sig_structure of RFC 9052 §4.4 over the bytes received."""
        protected, _ = _read_bytes(self.raw, 2)
        return _sig_structure(protected, self.payload)

    @property
    def hash(self) -> bytes:
        """SHA-256 of protected header and payload: the object's name, without its signature."""
        return sha256(self.to_be_signed).digest()

    def verify(self, public_key: bytes, kind: str, env: Environment) -> bytes:
        """Return the payload if the object is of this type and environment, under this key.

        ``public_key``: 32 bytes Ed25519 or a point of 65. In this order raises
        :class:`EnvironmentMismatchError`, :class:`FormatError` (type, key id, algorithm) and
        :class:`wire.errors.SignatureInvalidError`.
        """
        if self.env != env:
            raise EnvironmentMismatchError(f"object of environment {self.env:#04x}")
        require(self.kind == kind, f"object is a {self.kind}, not a {kind}")
        require(self.key_id == key_id(public_key), "object names another key")
        require(self.algorithm == algorithm_of(public_key), "object names another algorithm")
        if self.algorithm == Algorithm.EDDSA:
            ecdsa.verify_ed25519(public_key, self.signature, self.to_be_signed)
        else:
            ecdsa.verify_p256(public_key, self.signature, self.to_be_signed)
        return self.payload

    def __bytes__(self) -> bytes:
        return self.raw


def to_be_signed(public_key: bytes, kind: str, env: Environment, payload: bytes) -> bytes:
    """What the holder of ``public_key`` signs for these payload bytes: the Sig_structure."""
    protected = _protected(algorithm_of(public_key), key_id(public_key), kind, env)
    return _sig_structure(protected, payload)


def assemble(
    public_key: bytes, kind: str, env: Environment, payload: bytes, signature: bytes
) -> Sign1:
    """The object from a signature (64 bytes) over :func:`to_be_signed`, not verified here."""
    protected = _protected(algorithm_of(public_key), key_id(public_key), kind, env)
    parts = [cbor2.dumps(protected), b"\xa0", cbor2.dumps(payload), cbor2.dumps(signature)]
    return Sign1.parse(b"\xd2\x84" + b"".join(parts))


def _sig_structure(protected: bytes, payload: bytes) -> bytes:
    return cbor2.dumps(["Signature1", protected, b"", payload])


def _read_bytes(raw: bytes, at: int) -> tuple[bytes, int]:
    require(at < len(raw), "COSE_Sign1 cut short")
    length, start = cbor.bytes_head(raw, at)
    end = start + length
    require(end <= len(raw), "COSE_Sign1 cut short")
    require(cbor2.dumps(raw[start:end])[: start - at] == raw[at:start], "head is not minimal")
    return raw[start:end], end


def _read_protected(raw: bytes) -> tuple[Algorithm, bytes, str, Environment]:
    try:
        header = cbor2.loads(raw)
        alg, kid, kind = Algorithm(header[1]), header[4], header[16]
        env = Environment(header[ENVIRONMENT_LABEL])
    except Exception as e:  # tags of dates, decimals, mail... raise what their readers raise
        raise FormatError("protected header malformed") from e
    require(type(kid) is bytes and len(kid) == KEY_ID_BYTES, "key id is not 8 bytes")
    require(type(kind) is str and kind.startswith(_TYPE_PREFIX), "type is not ours")
    kind = kind.removeprefix(_TYPE_PREFIX)
    require(_protected(alg, kid, kind, env) == raw, "protected header is not the one encoding")
    return alg, kid, kind, env
