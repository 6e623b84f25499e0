"""A card, a station and a tap of the auditor's worlds: their keys and what they remember."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from keys.signer import Ed25519Signer, P256Signer
from wire import cvc
from wire.entitlement import Entitlement
from wire.log import Record
from wire.receipt import Counters, Receipt


@dataclass
class SoftCard:
    """A card whose keys its owner has read out."""

    card_id: bytes
    key: P256Signer
    certificate: cvc.Certificate
    family: bytes
    sequence: int = 0
    wallets: dict[int, Counters] = field(default_factory=dict)
    held: dict[int, Entitlement] = field(default_factory=dict)
    issued: dict[int, Entitlement] = field(default_factory=dict)
    link: bytes = b""
    scripts: int = 0
    script_number: int = 0
    pins: int = 0
    bypasses: int = 0

    def clone(self) -> SoftCard:
        return replace(self, wallets=dict(self.wallets), held=dict(self.held))


@dataclass
class SoftStation:
    """A station whose log key its operator has."""

    name: bytes
    place: str
    log_key: Ed25519Signer
    enrolment: bytes
    serials: dict[tuple[cvc.Role, int], int] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    uploads: list[bytes] = field(default_factory=list)
    uploaded: int = 0
    hotlist: int = 1
    is_open: bool = False
    certified_s: int = 0


@dataclass(frozen=True)
class Tap:
    """One debit: its intent, receipt and DELIVERED."""

    station: SoftStation
    intent: Record
    receipt: Receipt
    delivered: Record | None
