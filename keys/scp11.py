"""Opening an SCP11a session, both ends (GPC Amd F): MUTUAL AUTHENTICATE on P-256.

Static and ephemeral keys on both sides. Exactly one parameter set exists here (PROTOCOL.md §4.1):
SCP11a, key usage 3C (C-MAC, C-ENC, R-MAC, R-ENC), AES-128, S8, no HostID. Everything else, SCP11b
and SCP11c first of all, is refused. Certificates are the business of the caller: the ends take
static keys that it has verified. Static private keys stay behind :class:`EcdhKey`, so that a
PKCS#11 token or a TPM may hold them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keys.kdf import BLOCK_BYTES, cmac
from keys.securechannel import (
    SW_OK,
    CardMessaging,
    CryptogramError,
    HostMessaging,
    OrderError,
    ParameterError,
    SecureChannelError,
    SecurityLevel,
    SessionKeys,
)
from wire import tlv
from wire.apdu import CommandApdu, ResponseApdu
from wire.ecdsa import P256_ORDER, POINT_BYTES, p256_public_key
from wire.errors import FormatError

CLA_GP = 0x80
INS_MUTUAL_AUTHENTICATE = 0x82
KVN = 0x01
KID_SCP11A = 0x11
TAG_CONTROL_REFERENCE = 0xA6
TAG_EPHEMERAL_KEY = 0x5F49
TAG_RECEIPT = 0x86
SHARED_SECRET_BYTES = 32

# GPC Amd F §7.6.2.3: SCP id and parameters, key usage, key type AES, key length.
CONTROL_REFERENCE = tlv.encode(
    TAG_CONTROL_REFERENCE,
    tlv.encode(0x90, b"\x11\x01")
    + tlv.encode(0x95, b"\x3c")
    + tlv.encode(0x80, b"\x88")
    + tlv.encode(0x81, b"\x10"),
)
SHARED_INFO = b"\x3c\x88\x10"  # GPC Amd F §3.1.2: usage, type, length; no HostID
_KEYS = 5  # receipt key, S-ENC, S-MAC, S-RMAC, S-DEK


class InvalidPointError(SecureChannelError):
    """Not an uncompressed point on P-256 (or the identity, which has no such form)."""


class EcdhKey(Protocol):
    """A P-256 private key that can do one thing: agree on a secret."""

    def ecdh(self, peer_public: bytes) -> bytes:
        """The 32-byte x coordinate shared with ``peer_public`` (65 bytes, 04 ‖ x ‖ y)."""
        ...


@dataclass(frozen=True, slots=True)
class SoftwareEcdhKey:
    """An :class:`EcdhKey` in memory."""

    private_key: ec.EllipticCurvePrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse other curves (``ValueError``)."""
        if self.private_key.curve.name != ec.SECP256R1.name:
            raise ValueError("SCP11 keys are P-256")

    @classmethod
    def generate(cls, random: Callable[[int], bytes]) -> SoftwareEcdhKey:
        """A new key out of ``random``, 320 bits reduced into 1..n-1 (FIPS 186-5 §A.2.1).

        :class:`ParameterError` when the source gives another length.
        """
        bits = random(40)
        if len(bits) != 40:
            raise ParameterError("the random source gave another length")
        scalar = int.from_bytes(bits, "big") % (P256_ORDER - 1) + 1
        return cls(ec.derive_private_key(scalar, ec.SECP256R1()))

    @property
    def public(self) -> bytes:
        """The public point, 65 bytes."""
        key = self.private_key.public_key()
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def ecdh(self, peer_public: bytes) -> bytes:
        """See :class:`EcdhKey`; :class:`InvalidPointError` for a bad peer point."""
        return self.private_key.exchange(ec.ECDH(), _point(peer_public))


def _point(raw: bytes) -> ec.EllipticCurvePublicKey:
    """Validate a peer's point before any private key meets it."""
    if len(raw) != POINT_BYTES:
        raise InvalidPointError("not an uncompressed P-256 point")
    try:
        return p256_public_key(raw)
    except FormatError as e:
        raise InvalidPointError(str(e)) from e


def _derive(
    ephemeral: bytes, static: bytes, command: bytes, card_key_tlv: bytes
) -> tuple[SessionKeys, bytes]:
    """Session keys and receipt (GPC Amd F §3.1.2): X9.63 with SHA-256 over ShSee ‖ ShSss."""
    if len(ephemeral) != SHARED_SECRET_BYTES or len(static) != SHARED_SECRET_BYTES:
        raise ParameterError("a key gave a shared secret of wrong length")
    raw = X963KDF(hashes.SHA256(), _KEYS * BLOCK_BYTES, SHARED_INFO).derive(ephemeral + static)
    parts = [raw[i : i + BLOCK_BYTES] for i in range(0, len(raw), BLOCK_BYTES)]
    receipt_key, enc, mac, rmac, dek = parts
    return SessionKeys(enc, mac, rmac, dek), cmac(receipt_key, command + card_key_tlv)


class Scp11aHost:
    """The off-card end (OCE), for one opening: :meth:`command`, then :meth:`finish`.

    ``card_public`` is the card's static channel key (65 bytes) from its verified certificate.
    Raises :class:`InvalidPointError` when it is no point.
    """

    def __init__(self, static: EcdhKey, card_public: bytes, random: Callable[[int], bytes]) -> None:
        _point(card_public)
        self._static = static
        self._card_public = card_public
        self._ephemeral: SoftwareEcdhKey | None = SoftwareEcdhKey.generate(random)
        self._sent: bytes | None = None

    def command(self) -> CommandApdu:
        """MUTUAL AUTHENTICATE, ``80 82 01 11``, with the ephemeral key; once (OrderError)."""
        if self._ephemeral is None or self._sent is not None:
            raise OrderError("MUTUAL AUTHENTICATE was sent already")
        key = tlv.encode(TAG_EPHEMERAL_KEY, self._ephemeral.public)
        self._sent = CONTROL_REFERENCE + key
        return CommandApdu(CLA_GP, INS_MUTUAL_AUTHENTICATE, KVN, KID_SCP11A, self._sent, 256)

    def finish(self, response: ResponseApdu) -> HostMessaging:
        """The open session: the card has proved its static key by the receipt.

        Raises :class:`ParameterError` (status or layout), :class:`InvalidPointError`,
        :class:`CryptogramError` (wrong receipt) and :class:`OrderError`.
        """
        ephemeral, sent = self._ephemeral, self._sent
        if ephemeral is None or sent is None:
            raise OrderError("MUTUAL AUTHENTICATE is not outstanding")
        self._ephemeral = None
        if response.sw != SW_OK:
            raise ParameterError(f"the card refused MUTUAL AUTHENTICATE: {response.sw:04X}")
        try:
            peer, receipt = tlv.parse_sequence(response.data, (TAG_EPHEMERAL_KEY, TAG_RECEIPT))
        except FormatError as e:
            raise ParameterError(f"MUTUAL AUTHENTICATE answer: {e}") from e
        keys, expected = _derive(
            ephemeral.ecdh(peer),  # validates the point
            self._static.ecdh(self._card_public),
            sent,
            tlv.encode(TAG_EPHEMERAL_KEY, peer),
        )
        if not bytes_eq(expected, receipt):
            raise CryptogramError("the receipt is wrong")
        return HostMessaging(keys, SecurityLevel.FULL, receipt)


def open_card_session(
    command: CommandApdu, static: EcdhKey, oce_public: bytes, random: Callable[[int], bytes]
) -> tuple[ResponseApdu, CardMessaging]:
    """The card's end: answer MUTUAL AUTHENTICATE, and the session that begins with its receipt.

    ``oce_public`` is the static key (65 bytes) of the certificate accepted by PERFORM SECURITY
    OPERATION. The host is proved by its first C-MAC only: nothing may be written before that
    (PROTOCOL.md §4). Raises :class:`ParameterError` for any other key reference, parameter or
    layout and :class:`InvalidPointError` for a bad point.
    """
    want = (CLA_GP, INS_MUTUAL_AUTHENTICATE, KVN, KID_SCP11A)
    if command.header_fields != want:
        raise ParameterError("not MUTUAL AUTHENTICATE of SCP11a with our key")
    prefix = len(CONTROL_REFERENCE)
    if command.data[:prefix] != CONTROL_REFERENCE:
        raise ParameterError("SCP11 parameters other than ours")
    try:
        (peer,) = tlv.parse_sequence(command.data[prefix:], (TAG_EPHEMERAL_KEY,))
    except FormatError as e:
        raise ParameterError(f"MUTUAL AUTHENTICATE: {e}") from e
    _point(oce_public)  # the static key may live on a token that trusts its caller
    ephemeral = SoftwareEcdhKey.generate(random)
    key = tlv.encode(TAG_EPHEMERAL_KEY, ephemeral.public)
    keys, receipt = _derive(ephemeral.ecdh(peer), static.ecdh(oce_public), command.data, key)
    answer = ResponseApdu(key + tlv.encode(TAG_RECEIPT, receipt), SW_OK)
    return answer, CardMessaging(keys, SecurityLevel.FULL, receipt)
