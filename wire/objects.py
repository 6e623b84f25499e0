"""Signed off-card objects: payloads of COSE_Sign1 (PROTOCOL.md §5, docs/wire.md#objects).

Each class is one fixed-length CBOR array; ``KIND`` is the type in the protected header and
``SIGNER`` the role of the key that may sign it. Rules between fields stand in ``check``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, TypeVar

from wire import ecdsa
from wire.cose import Sign1
from wire.env import Environment
from wire.errors import require
from wire.schema import (
    U16,
    U32,
    U53,
    Blob,
    Bytes8,
    Bytes16,
    Bytes32,
    DayNumber,
    Limit,
    Name,
    Shape,
    Signed,
    Text,
)


class KeyRole(IntEnum):
    """Whose key it is (PROTOCOL.md §3)."""

    ROOT = 0
    CARD_CA = 1
    TERMINAL_CA = 2
    ISSUER = 3
    REGISTRY = 4
    POLICY = 5
    ACK = 6
    APPROVAL = 7
    LOG = 8


P256_ROLES = frozenset({KeyRole.ROOT, KeyRole.CARD_CA, KeyRole.TERMINAL_CA, KeyRole.ISSUER})


class Unit(IntEnum):
    """Smallest unit of a wallet or of a good."""

    RUPIAH = 1
    GRAM = 2
    MILLILITRE = 3
    PIECE = 4
    VISIT = 5
    BASKET = 6


class SignedShape(Shape):
    """A payload that travels inside COSE_Sign1."""

    __slots__ = ()
    KIND: ClassVar[str]
    SIGNER: ClassVar[KeyRole]


T = TypeVar("T", bound=SignedShape)
PublicKey = Annotated[bytes, Limit(32, 65)]
OptionalCard = Bytes8 | None


def open_signed(shape: type[T], raw: bytes, key: bytes, env: Environment) -> T:
    """The payload of a COSE object after its frame, type, environment and signature hold.

    Raises as :meth:`Sign1.verify`; a payload that breaks its shape is a ``FormatError``.
    """
    return shape.parse(Sign1.parse(raw).verify(key, shape.KIND, env))


# --- trust ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyStatement(SignedShape):
    """Root says: this key has this role and may sign from ``from_s`` to ``to_s``.

    ``version`` is the yearly version; for an approval key it is the person's number.
    """

    KIND: ClassVar[str] = "key"
    SIGNER: ClassVar[KeyRole] = KeyRole.ROOT
    role: KeyRole
    version: U32
    public_key: PublicKey
    from_s: U32
    to_s: U32

    def check(self) -> None:
        """The key fits its role; the time does not run backwards."""
        if self.role in P256_ROLES:
            require(len(self.public_key) == ecdsa.POINT_BYTES, "role needs a P-256 key")
            ecdsa.p256_public_key(self.public_key)
        else:
            ecdsa.check_ed25519_key(self.public_key)
        require(self.from_s < self.to_s, "key statement ends before it begins")


@dataclass(frozen=True, slots=True)
class Revocation(SignedShape):
    """Root says: this key is revoked; only what these heads cover still counts."""

    KIND: ClassVar[str] = "revocation"
    SIGNER: ClassVar[KeyRole] = KeyRole.ROOT
    key_id: Bytes8
    revoked_at_s: U32
    ledger_sequence: U53
    ledger_head: Bytes32
    issuance_sequence: U53
    issuance_head: Bytes32


# --- two people ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request(SignedShape):
    """One person asks a signer to sign ``payload_hash`` (SHA-256 of the payload bytes)."""

    KIND: ClassVar[str] = "request"
    SIGNER: ClassVar[KeyRole] = KeyRole.APPROVAL
    person: U32
    action: Name
    payload_hash: Bytes32
    time_s: U32
    expires_s: U32


@dataclass(frozen=True, slots=True)
class Approval(SignedShape):
    """Another person agrees to the request named by its hash."""

    KIND: ClassVar[str] = "approval"
    SIGNER: ClassVar[KeyRole] = KeyRole.APPROVAL
    person: U32
    request_hash: Bytes32
    time_s: U32


@dataclass(frozen=True, slots=True)
class ApproverEnrolment(Shape):
    """A later approval key: statement payload, and the request and approval of two others."""

    statement: Signed
    request: Signed
    approval: Signed


# --- registry ------------------------------------------------------------------------------


class VerificationDecision(IntEnum):
    """What the field verifier found."""

    VERIFIED = 1
    NOT_FOUND = 2
    MOVED = 3
    REFUSED = 4


@dataclass(frozen=True, slots=True)
class FieldVerification(SignedShape):
    """One visit to one family, approved by a second person."""

    KIND: ClassVar[str] = "verification"
    SIGNER: ClassVar[KeyRole] = KeyRole.REGISTRY
    family: Bytes16
    verifier: U32
    time_s: U32
    decision: VerificationDecision
    reason: Text
    evidence_hash: Bytes32
    approver: U32

    def check(self) -> None:
        """The approver is somebody else."""
        require(self.verifier != self.approver, "verifier approved their own visit")


@dataclass(frozen=True, slots=True)
class DecreeRow(Shape):
    """One row of an annex: this family may receive ``amount`` of this programme, once."""

    row: U32
    family: Bytes16
    programme: U16
    amount: U32
    verification: Bytes32


@dataclass(frozen=True, slots=True)
class DecreeAnnex(SignedShape):
    """The frozen annex of one Surat Keputusan."""

    KIND: ClassVar[str] = "decree"
    SIGNER: ClassVar[KeyRole] = KeyRole.REGISTRY
    number: Name
    day: DayNumber
    signatory: Name
    rows: tuple[DecreeRow, ...]

    def check(self) -> None:
        """Row numbers rise, so each stands once."""
        numbers = [r.row for r in self.rows]
        require(numbers == sorted(set(numbers)), "decree rows not strictly ascending")


@dataclass(frozen=True, slots=True)
class GoodsLine(Shape):
    """So much of one good."""

    good: Name
    unit: Unit
    quantity: U32


@dataclass(frozen=True, slots=True)
class Tariff(Shape):
    """Price in rupiah and goods of one unit of the wallet, at one basket version."""

    version: U16
    price_minor: U32
    lines: tuple[GoodsLine, ...]


@dataclass(frozen=True, slots=True)
class Window(Shape):
    """Redemption is open from ``from_s`` up to, not including, ``to_s``."""

    from_s: U32
    to_s: U32


@dataclass(frozen=True, slots=True)
class Programme(SignedShape):
    """One programme: its agency, its one wallet with one unit and one provider, its rules.

    ``provisional`` is what a replacement card may receive before the old card's reserve clears,
    in wallet units. ``stocked`` says that what it hands out is counted as stock at terminals.
    """

    KIND: ClassVar[str] = "programme"
    SIGNER: ClassVar[KeyRole] = KeyRole.REGISTRY
    code: U16
    version: U16
    agency: Name
    title_id: Name
    title_en: Name
    wallet: U16
    unit: Unit
    provider: Name
    cap: U32
    bypass_total: U16
    provisional: U32
    stocked: bool
    windows: tuple[Window, ...]
    tariffs: tuple[Tariff, ...]

    def check(self) -> None:
        """Tariff versions rise; rupiah cost one rupiah; baskets have goods."""
        versions = [t.version for t in self.tariffs]
        require(bool(versions), "programme without a tariff")
        require(versions == sorted(set(versions)), "tariff versions not strictly ascending")
        for t in self.tariffs:
            require(self.unit != Unit.RUPIAH or t.price_minor == 1, "a rupiah costs one rupiah")
            require(bool(t.lines) == (self.unit == Unit.BASKET), "goods only in baskets")

    def tariff(self, version: int) -> Tariff:
        """The tariff of this version; FormatError if there is none."""
        found = [t for t in self.tariffs if t.version == version]
        require(bool(found), "no tariff of that version")
        return found[0]


@dataclass(frozen=True, slots=True)
class FundRelease(SignedShape):
    """A treasury disbursement (SP2D) for one programme, in rupiah."""

    KIND: ClassVar[str] = "funds"
    SIGNER: ClassVar[KeyRole] = KeyRole.REGISTRY
    number: Name
    programme: U16
    amount_minor: U53
    time_s: U32


@dataclass(frozen=True, slots=True)
class StockDelivery(SignedShape):
    """Goods (or cash, good ``rupiah``) sent by a provider to one terminal."""

    KIND: ClassVar[str] = "delivery"
    SIGNER: ClassVar[KeyRole] = KeyRole.REGISTRY
    number: Name
    provider: Name
    terminal: Bytes8
    lines: tuple[GoodsLine, ...]
    time_s: U32


class StationKind(IntEnum):
    """Who keeps this log."""

    TERMINAL = 1
    DESK = 2


@dataclass(frozen=True, slots=True)
class Enrolment(SignedShape):
    """A terminal or desk and its log key; its log's first link is this object's hash."""

    KIND: ClassVar[str] = "enrolment"
    SIGNER: ClassVar[KeyRole] = KeyRole.REGISTRY
    station: Bytes8
    kind: StationKind
    log_key: Bytes32
    area: Name
    place: Name
    time_s: U32


@dataclass(frozen=True, slots=True)
class Order(SignedShape):
    """Personalise one card for this family at this desk."""

    KIND: ClassVar[str] = "order"
    SIGNER: ClassVar[KeyRole] = KeyRole.REGISTRY
    number: Bytes16
    family: Bytes16
    decree: Bytes32
    row: U32
    predecessor: OptionalCard
    wallets: tuple[U16, ...]
    desk: Bytes8
    valid_until_s: U32


@dataclass(frozen=True, slots=True)
class TerminalLost(SignedShape):
    """Closes a terminal's chain after ``last`` (0 when nothing was ever received)."""

    KIND: ClassVar[str] = "terminal-lost"
    SIGNER: ClassVar[KeyRole] = KeyRole.REGISTRY
    terminal: Bytes8
    last: U32
    reason: Text
    time_s: U32


class DecisionKind(IntEnum):
    """What two people decided about held or lost value."""

    PAY = 1
    RETURN = 2
    MOVE = 3
    WRITE_OFF = 4
    CLOSE_GAP = 5


@dataclass(frozen=True, slots=True)
class Decision(SignedShape):
    """One decision over receipts ``first``..``last`` of a card (0 for none), or its residual."""

    KIND: ClassVar[str] = "decision"
    SIGNER: ClassVar[KeyRole] = KeyRole.REGISTRY
    number: Name
    kind: DecisionKind
    card_id: Bytes8
    wallet: U16
    first: U32
    last: U32
    amount: U32
    new_card: OptionalCard
    reason: Text
    time_s: U32

    def check(self) -> None:
        """Only MOVE names a new card, and it must."""
        require((self.new_card is not None) == (self.kind == DecisionKind.MOVE), "MOVE and card")


# --- policy and acknowledgement ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hotlist(SignedShape):
    """Every blocked card: a Roaring bitmap (portable format) of card serials."""

    KIND: ClassVar[str] = "hotlist"
    SIGNER: ClassVar[KeyRole] = KeyRole.POLICY
    version: U32
    time_s: U32
    serials: Blob


@dataclass(frozen=True, slots=True)
class Parameters(SignedShape):
    """Ages, in seconds unless named otherwise, after which an open matter becomes a finding."""

    KIND: ClassVar[str] = "parameters"
    SIGNER: ClassVar[KeyRole] = KeyRole.POLICY
    version: U32
    gap_age_s: U32
    returned_age_s: U32
    statement_age_s: U32
    card_skew_s: U32
    data_stale_warn_s: U32
    data_stale_stop_s: U32
    hotlist_step_permille: U16


@dataclass(frozen=True, slots=True)
class Acknowledgement(SignedShape):
    """The backend holds this station's chain up to ``last``: proof, and permission to prune."""

    KIND: ClassVar[str] = "ack"
    SIGNER: ClassVar[KeyRole] = KeyRole.ACK
    station: Bytes8
    last: U32
    head: Bytes32
    arrived_s: U32


@dataclass(frozen=True, slots=True)
class LedgerHead(SignedShape):
    """Head of the ledger chain."""

    KIND: ClassVar[str] = "ledger-head"
    SIGNER: ClassVar[KeyRole] = KeyRole.ACK
    sequence: U53
    head: Bytes32
    time_s: U32


@dataclass(frozen=True, slots=True)
class IssuanceHead(SignedShape):
    """Head of the issuance log."""

    KIND: ClassVar[str] = "issuance-head"
    SIGNER: ClassVar[KeyRole] = KeyRole.ACK
    sequence: U53
    head: Bytes32
    time_s: U32


@dataclass(frozen=True, slots=True)
class UploadHead(SignedShape):
    """Payload of an upload: records ``first``..``last`` of a station hash up to ``head``."""

    KIND: ClassVar[str] = "upload"
    SIGNER: ClassVar[KeyRole] = KeyRole.LOG
    station: Bytes8
    first: U32
    last: U32
    head: Bytes32
