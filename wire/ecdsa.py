"""The one verification rule for ECDSA and for Ed25519 (docs/wire.md#algorithms).

ECDSA: P-256, SHA-256, raw r‖s of 64 bytes, both in 1..n-1. Low s is not required, and a
signature is never an identity. Public points are uncompressed or compressed SEC 1 points on the
curve, never the identity. Ed25519: as libsodium does it, so small-order and non-canonical keys
are refused.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from wire.errors import FormatError, SignatureInvalidError, require

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SIGNATURE_BYTES = 64
POINT_BYTES = 65
COMPRESSED_POINT_BYTES = 33
ED25519_KEY_BYTES = 32

_ECDSA_SHA256 = ec.ECDSA(hashes.SHA256())


@lru_cache(maxsize=64)
def p256_public_key(point: bytes) -> ec.EllipticCurvePublicKey:
    """The key at ``point`` (65 or 33 bytes, SEC 1 §2.3.4); :class:`FormatError` when off curve."""
    require(
        (len(point) == POINT_BYTES and point[0] == 0x04)
        or (len(point) == COMPRESSED_POINT_BYTES and point[0] in {0x02, 0x03}),
        "P-256 point is neither uncompressed nor compressed",
    )
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as e:
        raise FormatError("point is not on P-256") from e


def compress(point: bytes) -> bytes:
    """The 33-byte form of a P-256 point; :class:`FormatError` when it is none."""
    key = p256_public_key(point)
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def decompress(point: bytes) -> bytes:
    """The 65-byte form of a P-256 point; :class:`FormatError` when it is none."""
    key = p256_public_key(point)
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def verify_p256(point: bytes, signature: bytes, message: bytes) -> None:
    """Raise :class:`SignatureInvalidError` unless ``signature`` (64 bytes) signs ``message``.

    :class:`FormatError` when ``point`` (65 or 33 bytes) is off the curve.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalidError("ECDSA signature is not 64 bytes")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < P256_ORDER and 0 < s < P256_ORDER):
        raise SignatureInvalidError("ECDSA signature value out of range")
    try:
        p256_public_key(point).verify(encode_dss_signature(r, s), message, _ECDSA_SHA256)
    except InvalidSignature:
        raise SignatureInvalidError("ECDSA signature does not verify") from None


def verify_ed25519(key: bytes, signature: bytes, message: bytes) -> None:
    """Raise :class:`SignatureInvalidError` unless ``signature`` (64 bytes) signs ``message``.

    :class:`FormatError` when ``key`` (32 bytes) is not one that libsodium takes.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalidError("Ed25519 signature is not 64 bytes")
    check_ed25519_key(key)
    try:
        VerifyKey(key).verify(message, signature)
    except BadSignatureError:
        raise SignatureInvalidError("Ed25519 signature does not verify") from None


def check_ed25519_key(key: bytes) -> bytes:
    """``key`` if it is a canonical point of the main subgroup; else :class:`FormatError`."""
    require(len(key) == ED25519_KEY_BYTES, "Ed25519 key is not 32 bytes")
    require(crypto_core_ed25519_is_valid_point(key), "Ed25519 key is not a valid point")
    return key
