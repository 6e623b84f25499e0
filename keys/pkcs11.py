"""Keys on a PKCS#11 token (OASIS PKCS #11), behind the same protocols as keys in memory.

Keys are made on the token, sensitive and never extractable. ECDSA is raw (``CKM_ECDSA`` over our
own SHA-256), which is all that SoftHSM2 offers and every token has. Ed25519 (``CKM_EDDSA``) works
on SoftHSM2 2.6 and on few smart cards: :attr:`Token.has_eddsa` tells, and a token without it keeps
the P-256 roles only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from threading import RLock
from typing import Any

import pkcs11
from pkcs11 import KDF, Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters as _named

from keys.errors import TokenError
from wire.ecdsa import POINT_BYTES, check_ed25519_key, p256_public_key
from wire.errors import FormatError, require

ED25519_OID = "1.3.101.112"  # RFC 8410
_POINT_HEAD = b"\x04\x41"  # CKA_EC_POINT is a DER OCTET STRING around the point
_ED_HEAD = b"\x04\x20"
_PRIVATE = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.PRIVATE: True,
}


class Token:
    """An open session with one token. One command at a time: tokens are not concurrent."""

    def __init__(self, library: str, label: str, pin: str) -> None:
        try:
            module = pkcs11.lib(library)
            token = module.get_token(token_label=label)
            self._session = _open(token, pin)
            self._mechanisms = set(token.slot.get_mechanisms())
        except (pkcs11.exceptions.PKCS11Error, RuntimeError) as e:
            raise TokenError(f"token {label} cannot be opened: {type(e).__name__}") from None
        self._lock = RLock()

    @property
    def has_eddsa(self) -> bool:
        """Whether the token signs Ed25519."""
        return Mechanism.EDDSA in self._mechanisms

    def close(self) -> None:
        """Log out."""
        self._session.close()

    def holds(self, label: str) -> bool:
        """Whether a key of this label is on the token."""
        return bool(self._run(lambda: list(self._session.get_objects({Attribute.LABEL: label}))))

    def generate_p256(self, label: str) -> Pkcs11P256:
        """A new P-256 key on the token; :class:`TokenError` when the label is taken."""
        self._generate(label, KeyType.EC, Mechanism.EC_KEY_PAIR_GEN, _named("secp256r1"))
        return self.p256(label)

    def generate_ed25519(self, label: str) -> Pkcs11Ed25519:
        """A new Ed25519 key on the token; :class:`TokenError` when it cannot or has the label."""
        if not self.has_eddsa:
            raise TokenError("this token has no EdDSA; keep this key in the sealed store")
        curve = _named(ED25519_OID)
        kind, mechanism = KeyType.EC_EDWARDS, Mechanism.EC_EDWARDS_KEY_PAIR_GEN
        self._generate(label, kind, mechanism, curve)
        return self.ed25519(label)

    def p256(self, label: str) -> Pkcs11P256:
        """The P-256 key of this label; :class:`TokenError` when there is none."""
        private, point = self._load(label, _POINT_HEAD)
        p256_public_key(point)
        return Pkcs11P256(point, private, self._run)

    def ed25519(self, label: str) -> Pkcs11Ed25519:
        """The Ed25519 key of this label; :class:`TokenError` when there is none."""
        private, key = self._load(label, _ED_HEAD)
        return Pkcs11Ed25519(check_ed25519_key(key), private, self._run)

    def _run(self, work: Callable[[], Any]) -> Any:
        with self._lock:
            try:
                return work()
            except pkcs11.exceptions.PKCS11Error as e:
                raise TokenError(f"the token refuses: {type(e).__name__}") from None

    def _generate(self, label: str, kind: KeyType, mechanism: Mechanism, curve: bytes) -> None:
        def work() -> None:
            if self.holds(label):
                raise TokenError(f"the token holds a key named {label} already")
            parameters = self._session.create_domain_parameters(
                kind, {Attribute.EC_PARAMS: curve}, local=True
            )
            flags = MechanismFlag.SIGN | MechanismFlag.VERIFY
            if kind is KeyType.EC:
                flags |= MechanismFlag.DERIVE
            parameters.generate_keypair(
                store=True, label=label, id=sha256(label.encode()).digest()[:8],
                mechanism=mechanism, capabilities=flags, private_template=_PRIVATE,
            )  # fmt: skip

        self._run(work)

    def _load(self, label: str, head: bytes) -> tuple[Any, bytes]:
        def work() -> tuple[Any, bytes]:
            session = self._session
            private = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=label)
            public = session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=label)
            if private[Attribute.EXTRACTABLE] or not private[Attribute.SENSITIVE]:
                raise TokenError(f"key {label} could leave the token; it is not used")
            return private, bytes(public[Attribute.EC_POINT])

        private, encoded = self._run(work)
        try:
            require(encoded[:2] == head, "not a key of this kind")
            require(len(encoded) == 2 + head[1], "public key of wrong length")
        except FormatError as e:
            raise TokenError(f"key {label}: {e}") from e
        return private, encoded[2:]


def _open(token: Any, pin: str) -> Any:
    try:
        return token.open(user_pin=pin, rw=True)
    except pkcs11.exceptions.UserAlreadyLoggedIn:  # a login is the whole process's (PKCS#11)
        return token.open(rw=True)


@dataclass(frozen=True, slots=True)
class Pkcs11P256:
    """A P-256 key on a token: :class:`keys.signer.Signer` and :class:`keys.signer.KeyAgreement`."""

    public_key: bytes
    _private: Any = field(repr=False)
    _run: Callable[[Callable[[], Any]], Any] = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """Raw r‖s: the token gives ECDSA over the hash we make."""
        digest = sha256(message).digest()
        return bytes(self._run(lambda: self._private.sign(digest, mechanism=Mechanism.ECDSA)))

    def prove(self, message: bytes) -> bytes:
        """Proof of possession, see :class:`keys.enrol.ProvableKey`."""
        return self.sign(message)

    def ecdh(self, peer_public: bytes) -> bytes:
        """The 32-byte shared x coordinate; the derived secret, not the key, leaves the token."""
        p256_public_key(peer_public)
        require(len(peer_public) == POINT_BYTES, "peer is not an uncompressed point")

        def work() -> bytes:
            secret = self._private.derive_key(
                KeyType.GENERIC_SECRET, 256, mechanism_param=(KDF.NULL, None, peer_public),
                template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True,
                          Attribute.TOKEN: False},
            )  # fmt: skip
            return bytes(secret[Attribute.VALUE])

        return bytes(self._run(work))


@dataclass(frozen=True, slots=True)
class Pkcs11Ed25519:
    """An Ed25519 key on a token: :class:`keys.signer.Signer`."""

    public_key: bytes
    _private: Any = field(repr=False)
    _run: Callable[[Callable[[], Any]], Any] = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return bytes(self._run(lambda: self._private.sign(message, mechanism=Mechanism.EDDSA)))
