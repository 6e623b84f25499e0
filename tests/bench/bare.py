"""The least that verifying costs: the bare loop of the same libraries.

{per receipt: the key from its bytes and one ECDSA verification; per log record: one SHA-256 and
one CBOR decoding}. Turning r‖s into DER is done beforehand: it is no part of the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

_ECDSA = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class Signed:
    """A public key's bytes, a DER signature and what it signs."""

    point: bytes
    signature: bytes
    body: bytes


def signed(point: bytes, raw: bytes) -> Signed:
    """Of an object whose last 64 bytes are r‖s."""
    r, s = int.from_bytes(raw[-64:-32], "big"), int.from_bytes(raw[-32:], "big")
    return Signed(point, encode_dss_signature(r, s), raw[:-64])


def verify(items: Sequence[Signed]) -> None:
    """Key from bytes and ECDSA verify, for each."""
    for x in items:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), x.point)
        key.verify(x.signature, x.body, _ECDSA)


def read(records: Sequence[bytes]) -> None:
    """SHA-256 and one CBOR decode, for each."""
    for raw in records:
        sha256(raw).digest()
        cbor2.loads(raw)


def loop(items: Sequence[Signed], records: Sequence[bytes]) -> None:
    """The whole bare loop."""
    verify(items)
    read(records)
