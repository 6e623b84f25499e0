"""Errors of the key hierarchy. The CLI and the HTTP layer turn codes into docs/errors.md's words.

Secure channels have a base class of their own (:mod:`keys.securechannel`): they are used by
programs that never meet the hierarchy.
"""

from __future__ import annotations

from enum import StrEnum

from wire.objects import Revocation


class Code(StrEnum):
    """What went wrong, as a key into :mod:`keys.messages`."""

    KEYS = "keys"
    DEMO_REFUSED = "demo-refused"
    NOT_DEMO = "not-demo"
    TRUST = "trust"
    UNKNOWN_KEY = "unknown-key"
    REVOKED = "revoked"
    OUTSIDE_WINDOW = "outside-window"
    STORE = "store"
    PASSPHRASE = "passphrase"  # noqa: S105 - the name of an error
    TOKEN = "token"  # noqa: S105 - the name of an error
    DATE = "date"
    POSSESSION = "possession"
    CERTIFICATE = "certificate"
    APPROVAL = "approval"
    REQUEST_USED = "request-used"
    QUOTA = "quota"
    SEQUENCE = "sequence"
    ORDER = "order"
    SESSION = "session"
    STOCK = "stock"
    ISSUANCE = "issuance"
    CEREMONY = "ceremony"
    HIERARCHY = "hierarchy"
    BUSY = "busy"
    CHANNEL = "channel"
    OBJECT = "object"
    UNREACHABLE = "unreachable"


class KeysError(Exception):
    """Base of every error of the key hierarchy. ``code`` names its message."""

    code = Code.KEYS


class DemoRefusedError(KeysError):
    """A root marked DEMO in a program started without ``--demo``."""

    code = Code.DEMO_REFUSED


class NotDemoError(KeysError):
    """A genuine root in a program started with ``--demo``: it would mix the two."""

    code = Code.NOT_DEMO


class TrustError(KeysError):
    """An object does not stand under the root as it must."""

    code = Code.TRUST


class UnknownKeyError(TrustError):
    """No key statement names this key in this role."""

    code = Code.UNKNOWN_KEY


class OutsideWindowError(TrustError):
    """Signed at a time at which the key may not sign."""

    code = Code.OUTSIDE_WINDOW


class RevokedKeyError(TrustError):
    """The key is revoked; only what ``revocation``'s heads cover still counts."""

    code = Code.REVOKED

    def __init__(self, revocation: Revocation) -> None:
        super().__init__(f"key {revocation.key_id.hex()} is revoked")
        self.revocation = revocation


class StoreError(KeysError):
    """The keystore cannot be read or written, or would lose a key."""

    code = Code.STORE


class PassphraseError(StoreError):
    """Wrong passphrase, or a damaged file: the seal does not open."""

    code = Code.PASSPHRASE


class TokenError(KeysError):
    """The PKCS#11 token refuses, is missing, or lacks a mechanism."""

    code = Code.TOKEN


class DateRefusedError(KeysError):
    """A date that this signer does not put its name to."""

    code = Code.DATE


class PossessionError(KeysError):
    """The asker did not prove that the private key is in its hands."""

    code = Code.POSSESSION


class CertificateRefusedError(KeysError):
    """The certificate asked for may not be issued."""

    code = Code.CERTIFICATE


class ApprovalError(KeysError):
    """Two different enrolled people did not both sign for exactly this."""

    code = Code.APPROVAL


class RequestUsedError(ApprovalError):
    """The request was used already."""

    code = Code.REQUEST_USED


class QuotaError(KeysError):
    """The day's quota of this signer is spent."""

    code = Code.QUOTA


class SequenceError(KeysError):
    """An entitlement or script that steps back, or a number that was given before."""

    code = Code.SEQUENCE


class OrderRefusedError(KeysError):
    """The personalisation order does not allow this card now."""

    code = Code.ORDER


class SessionRefusedError(KeysError):
    """The card session is not in the state this step needs."""

    code = Code.SESSION


class StockError(KeysError):
    """The chip is not in the received stock, or was used already."""

    code = Code.STOCK


class IssuanceError(KeysError):
    """The issuance log did not take the entry, so nothing was released."""

    code = Code.ISSUANCE


class CeremonyError(KeysError):
    """Shares do not recombine, or a check of the ceremony failed."""

    code = Code.CEREMONY


class HierarchyError(KeysError):
    """The key folder does not hold what is asked for, or holds it already."""

    code = Code.HIERARCHY


class BusyError(KeysError):
    """Too many sessions are open."""

    code = Code.BUSY


class ChannelError(KeysError):
    """The card's end of the secure channel failed a check; the channel is closed."""

    code = Code.CHANNEL


class ObjectRefusedError(KeysError):
    """The key service was given bytes that are not the object they claim to be."""

    code = Code.OBJECT


class UnreachableError(KeysError):
    """The key service does not answer on its socket."""

    code = Code.UNREACHABLE
