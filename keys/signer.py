"""Signers: one protocol for keys in memory, in a sealed file and on a PKCS#11 token.

A signer takes the whole message and gives 64 bytes: Ed25519, or ECDSA P-256 with SHA-256 as raw
r‖s (docs/wire.md#algorithms). Private keys never have a readable ``repr``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wire import cose
from wire.cose import Sign1
from wire.ecdsa import P256_ORDER, p256_public_key
from wire.env import Environment
from wire.objects import SignedShape

PRIVATE_BYTES = 32
_SEED_BYTES = 40  # 320 bits reduced into 1..n-1 (FIPS 186-5 §A.2.1)
_SHA256 = ec.ECDSA(hashes.SHA256())


class Signer(Protocol):
    """A private key that signs. ``public_key``: 32 bytes Ed25519, or a 65-byte P-256 point."""

    @property
    def public_key(self) -> bytes:
        """The public key's bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """64 bytes of signature over ``message``."""
        ...


class KeyAgreement(Protocol):
    """A P-256 private key that agrees on secrets; fits :class:`keys.scp11.EcdhKey`."""

    @property
    def public_key(self) -> bytes:
        """The public point, 65 bytes."""
        ...

    def ecdh(self, peer_public: bytes) -> bytes:
        """The 32-byte x coordinate shared with ``peer_public`` (65 bytes)."""
        ...


@dataclass(frozen=True, slots=True)
class Ed25519Signer:
    """An Ed25519 key in memory."""

    private_key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls, random: Callable[[int], bytes]) -> Self:
        """A new key out of ``random``."""
        return cls.from_private_bytes(random(PRIVATE_BYTES))

    @classmethod
    def from_private_bytes(cls, raw: bytes) -> Self:
        """The key of a 32-byte seed (``ValueError`` for another length)."""
        return cls(Ed25519PrivateKey.from_private_bytes(raw))

    def private_bytes(self) -> bytes:
        """The 32-byte seed, for a sealed store only."""
        return self.private_key.private_bytes_raw()

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return self.private_key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """See :class:`Signer`."""
        return self.private_key.sign(message)


@dataclass(frozen=True, slots=True)
class _P256Key:
    """A P-256 private key in memory; what it may do is the subclass's."""

    private_key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def generate(cls, random: Callable[[int], bytes]) -> Self:
        """A new key out of ``random`` (``ValueError`` when it gives another length than asked)."""
        seed = random(_SEED_BYTES)
        if len(seed) != _SEED_BYTES:
            raise ValueError("the random source gave another length")
        scalar = int.from_bytes(seed, "big") % (P256_ORDER - 1) + 1
        return cls(ec.derive_private_key(scalar, ec.SECP256R1()))

    @classmethod
    def from_private_bytes(cls, raw: bytes) -> Self:
        """The key of a 32-byte scalar (``ValueError`` for another length or zero)."""
        if len(raw) != PRIVATE_BYTES:
            raise ValueError("a P-256 private key is 32 bytes")
        return cls(ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1()))

    def private_bytes(self) -> bytes:
        """The 32-byte scalar, for a sealed store only."""
        return self.private_key.private_numbers().private_value.to_bytes(PRIVATE_BYTES, "big")

    @property
    def public_key(self) -> bytes:
        """65 bytes, 04 ‖ x ‖ y."""
        key = self.private_key.public_key()
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class P256Signer(_P256Key):
    """An ECDSA P-256 key in memory."""

    __slots__ = ()

    def sign(self, message: bytes) -> bytes:
        """See :class:`Signer`."""
        r, s = decode_dss_signature(self.private_key.sign(message, _SHA256))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class P256KeyAgreement(_P256Key):
    """A P-256 key in memory that agrees and never signs objects."""

    __slots__ = ()

    def ecdh(self, peer_public: bytes) -> bytes:
        """See :class:`KeyAgreement`; :class:`wire.errors.FormatError` for a point off the curve."""
        return self.private_key.exchange(ec.ECDH(), p256_public_key(peer_public))

    def prove(self, message: bytes) -> bytes:
        """Proof of possession: ECDSA over ``message`` (raw r‖s), for certificate requests only."""
        return P256Signer(self.private_key).sign(message)


def sign_object(signer: Signer, shape: SignedShape, env: Environment) -> Sign1:
    """``shape`` as COSE_Sign1 by ``signer`` (docs/wire.md#cose)."""
    return sign_payload(signer, shape.KIND, env, bytes(shape))


def sign_payload(signer: Signer, kind: str, env: Environment, payload: bytes) -> Sign1:
    """The COSE_Sign1 of type ``kind`` over exactly these payload bytes."""
    key = signer.public_key
    signature = signer.sign(cose.to_be_signed(key, kind, env, payload))
    return cose.assemble(key, kind, env, payload, signature)
