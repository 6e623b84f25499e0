"""The backend's two chains, issuance log and ledger, and the trust file (docs/wire.md#chains).

Both chains are lists of CBOR arrays, each with its sequence and the hash of the one before; the
first links to 32 zero bytes. Their heads are signed by the Ack key. An issuance entry is
appended before the object it holds leaves its signer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from wire.env import Environment
from wire.errors import require
from wire.objects import KeyStatement, Revocation, open_signed
from wire.schema import (
    I53,
    U32,
    U53,
    Account,
    Bytes8,
    Bytes16,
    Bytes32,
    Name,
    Point,
    Shape,
    Signed,
    Text,
)

GENESIS = bytes(32)


class IssuanceKind(IntEnum):
    """What an issuance entry holds."""

    CARD_CERTIFICATE = 1
    TERMINAL_CERTIFICATE = 2
    ENTITLEMENT = 3
    SCRIPT = 4
    LINK = 5
    ENROLMENT = 6
    SCRAPPED = 7
    OBJECT = 8


@dataclass(frozen=True, slots=True)
class Citation(Shape):
    """What an entitlement's step of L stands on: a decree row, or a decision (row 0)."""

    source: Bytes32
    row: U32


@dataclass(frozen=True, slots=True)
class IssuanceEntry(Shape):
    """One entry of the issuance log.

    ``item``: the certificate, entitlement, script, link or enrolment itself; for SCRAPPED the 8
    bytes of the card id; for OBJECT the 32 bytes of a COSE object's hash, its type in ``note``.
    ``family`` and ``predecessor`` only for card certificates; ``order`` the order's hash there.
    ``cause`` only for an entitlement that raises L; ``note`` the reason for SCRAPPED.
    """

    sequence: U53
    previous: Bytes32
    time_s: U32
    kind: IssuanceKind
    item: Signed
    family: Bytes16 | None
    predecessor: Bytes8 | None
    order: Bytes32 | None
    cause: Citation | None
    note: Text

    def check(self) -> None:
        """Optional fields stand exactly where their kind needs them."""
        is_card = self.kind == IssuanceKind.CARD_CERTIFICATE
        require((self.family is not None) == is_card, "family stands in card certificates")
        require((self.order is not None) == is_card, "order stands in card certificates")
        require(self.predecessor is None or is_card, "predecessor without a card certificate")
        require(self.cause is None or self.kind == IssuanceKind.ENTITLEMENT, "cause out of place")

    @property
    def hash(self) -> bytes:
        """SHA-256 of the entry's bytes."""
        return sha256(bytes(self)).digest()


@dataclass(frozen=True, slots=True)
class Posting(Shape):
    """So much of one unit moved onto an account (negative: off it).

    ``good`` names what is counted: ``rupiah`` or a good or, for wallets, ``wallet``.
    """

    account: Account
    good: Name
    amount: I53


@dataclass(frozen=True, slots=True)
class LedgerEntry(Shape):
    """One balanced transfer; ``evidence`` is the hash of the object it stands on.

    Per good the amounts add to zero.
    """

    sequence: U53
    previous: Bytes32
    time_s: U32
    kind: Name
    evidence: Bytes32
    postings: tuple[Posting, ...]

    def check(self) -> None:
        """Balanced per good, and not empty."""
        sums: dict[str, int] = {}
        for p in self.postings:
            sums[p.good] = sums.get(p.good, 0) + p.amount
        require(bool(sums) and not any(sums.values()), "ledger entry does not balance")

    @property
    def hash(self) -> bytes:
        """SHA-256 of the entry's bytes."""
        return sha256(bytes(self)).digest()


def check_entries(entries: Iterable[IssuanceEntry | LedgerEntry]) -> bytes:
    """Hash (32 bytes) of the last entry of a chain from its genesis; of none, the genesis itself.

    :class:`wire.errors.FormatError` for a gap or a broken link.
    """
    previous, expected = GENESIS, 1
    for e in entries:
        require(e.sequence == expected, "chain has a gap")
        require(e.previous == previous, "chain does not link")
        previous, expected = e.hash, expected + 1
    return previous


@dataclass(frozen=True, slots=True)
class TrustFile(Shape):
    """Everything an auditor needs to trust: pinned root, what it stated, what it revoked.

    ``root_key`` must be compared with the fingerprint published at the ceremony. Statements and
    revocations are COSE objects by the root.
    """

    environment: Environment
    root_key: Point
    statements: tuple[Signed, ...]
    revocations: tuple[Signed, ...]

    def key_statements(self) -> tuple[KeyStatement, ...]:
        """Every statement, verified under the root and of this environment; else ``WireError``."""
        return tuple(
            open_signed(KeyStatement, raw, self.root_key, self.environment)
            for raw in self.statements
        )

    def revoked(self) -> tuple[Revocation, ...]:
        """Every revocation, verified under the root and of this environment; else ``WireError``."""
        return tuple(
            open_signed(Revocation, raw, self.root_key, self.environment)
            for raw in self.revocations
        )
