"""What an export says, indexed: values only, filled by :mod:`backend.audit.build`.

Everything here was verified, or is listed in :attr:`World.aside` with the invariant it breaks
(docs/audit.md#how-it-judges). Times are Unix seconds, amounts as the objects have them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from backend.audit.findings import Finding, What
from keys.trust import TrustStore
from wire import cvc
from wire.chain import Citation, IssuanceEntry, LedgerEntry
from wire.entitlement import Entitlement, Script
from wire.invariants import Invariant
from wire.log import Record
from wire.objects import (
    Decision,
    DecisionKind,
    Enrolment,
    Parameters,
    Programme,
    SignedShape,
    StockDelivery,
    TerminalLost,
    Unit,
)
from wire.receipt import Receipt, ReceiptKind, Statement

S = TypeVar("S", bound=SignedShape)
RUPIAH = "rupiah"
NEVER = 1 << 53


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: a record of a station's chain."""

    station: bytes
    record: Record

    @property
    def name(self) -> str:
        """``<station hex>/<sequence>``."""
        return f"{self.station.hex()}/{self.record.sequence}"


@dataclass(frozen=True, slots=True)
class Held:
    """One proven receipt and the records that carry it, the first of them in ``place``."""

    receipt: Receipt
    place: Place
    also: list[Place] = field(default_factory=list, compare=False)

    @property
    def name(self) -> str:
        """``<card hex>/<sequence>``."""
        return f"{self.receipt.card_id.hex()}/{self.receipt.sequence}"


@dataclass(frozen=True, slots=True)
class Said:
    """One proven statement and the first record that carries it."""

    statement: Statement
    place: Place


@dataclass(frozen=True, slots=True)
class Issued:
    """One entitlement as it stands in the issuance log; ``step`` is by how much it raised L."""

    entitlement: Entitlement
    entry: IssuanceEntry
    step: int

    @property
    def cause(self) -> Citation | None:
        """What the step cites."""
        return self.entry.cause


@dataclass(slots=True)
class Card:
    """One certified card and all that is proven of it.

    ``receipts``: the one body counted per sequence; ``doubles``: sequences with another body;
    ``excused``: sequences that an item set aside claims to be; ``unlogged``: (wallet,
    entitlement sequence) of loads that are set aside.
    """

    card_id: bytes
    certificate: cvc.Certificate
    receipt_key: bytes
    entry: IssuanceEntry
    scrapped: int | None = None
    receipts: dict[int, Held] = field(default_factory=dict)
    doubles: dict[int, list[Held]] = field(default_factory=dict)
    excused: set[int] = field(default_factory=set)
    unlogged: set[tuple[int, int]] = field(default_factory=set)
    statements: list[Said] = field(default_factory=list)
    entitlements: dict[int, list[Issued]] = field(default_factory=dict)
    scripts: dict[int, Script] = field(default_factory=dict)

    @property
    def family(self) -> bytes:
        """Pseudonym of the family."""
        return self.entry.family or b""

    @property
    def fork(self) -> int:
        """The first sequence with two bodies: from there on two chips use one name."""
        return min(self.doubles, default=NEVER)

    def is_one_body(self, before: Receipt | Statement, after: Receipt | Statement) -> bool:
        """Whether one chip made both: certain before the fork, then only as far as links lead."""
        if before.sequence + isinstance(before, Statement) < self.fork:
            return True
        if before.sequence < self.fork <= after.sequence:
            return False  # a statement just before the fork: either chip's
        n, link = after.sequence - isinstance(after, Receipt), after.link
        while n > before.sequence:
            bodies = [*filter(None, [self.receipts.get(n)]), *self.doubles.get(n, ())]
            links = [h.receipt.link for h in bodies if h.receipt.hash == link]
            if not links:
                return False
            n, link = n - 1, links[0]
        return link == (before.hash if isinstance(before, Receipt) else before.link)

    @property
    def newest(self) -> int:
        """The highest sequence anything proves."""
        return max([0, *self.receipts, *(s.statement.sequence for s in self.statements)])

    def missing(self) -> list[int]:
        """Sequences up to the newest of which no receipt is held."""
        return [n for n in range(1, self.newest + 1) if n not in self.receipts]

    def of_wallet(self, wallet: int) -> list[Held]:
        """Receipts of one wallet, by sequence."""
        return [h for _, h in sorted(self.receipts.items()) if h.receipt.wallet == wallet]

    def wallets(self) -> set[int]:
        """Every wallet issued or used."""
        return {*self.entitlements, *(h.receipt.wallet for h in self.receipts.values())}

    def issued(self, wallet: int, before: int = NEVER) -> int:
        """The highest L issued to this wallet before this place of the issuance log."""
        found = (i for i in self.entitlements.get(wallet, ()) if i.entry.sequence < before)
        return max((i.entitlement.loaded for i in found), default=0)

    def entitlement(self, wallet: int, sequence: int) -> Issued | None:
        """The entitlement of this sequence, if it was issued."""
        found = self.entitlements.get(wallet, ())
        return next((i for i in found if i.entitlement.sequence == sequence), None)


@dataclass(slots=True)
class Ask:
    """An INTENT or VOID of a station's chain, with every record that names it.

    ``spoiled``: its receipt was set aside, so that what it leaves is listed there.
    ``hotlist``: the highest version installed at that station when it was written.
    """

    place: Place
    card_id: bytes
    wallet: int
    amount: int
    basket_version: int
    expected: int
    serial: int
    hotlist: int
    void_of: Ask | None = None
    is_void: bool = False
    on_counter: bool = False
    receipts: list[tuple[Record, Receipt]] = field(default_factory=list)
    aborted: list[Record] = field(default_factory=list)
    delivered: list[Record] = field(default_factory=list)
    returned: list[Record] = field(default_factory=list)
    given_back: list[Record] = field(default_factory=list)
    voids: list[Ask] = field(default_factory=list)
    spoiled: bool = False

    @property
    def hash(self) -> bytes:
        """H(intent)."""
        return self.place.record.hash

    @property
    def receipt(self) -> Receipt | None:
        """The receipt that its own chain records for it, if that receipt names it."""
        for _, receipt in self.receipts:
            if self.is_named_by(receipt):
                return receipt
        return None

    def is_named_by(self, receipt: Receipt) -> bool:
        """Whether the receipt names this station, sequence and hash."""
        named = (receipt.terminal_id, receipt.terminal_sequence, receipt.intent_hash)
        return named == (self.place.station, self.place.record.sequence, self.hash)

    @property
    def handed(self) -> Record | None:
        """The DELIVERED record that counts: of a debit with a receipt."""
        if self.is_void or self.receipt is None or not self.delivered:
            return None
        return self.delivered[0]


@dataclass(slots=True)
class Station:
    """One enrolled station, its chain as received, and what is wrong with it.

    ``arrivals``: (last sequence, arrival in Unix seconds, place in the issuance log) of each
    acknowledgement; ``ends``: last sequences of its uploads; ``loose``: records that name
    nothing, by the invariant they break.
    """

    enrolment: Enrolment
    name: bytes
    entry: IssuanceEntry | None
    records: dict[int, Record] = field(default_factory=dict)
    arrivals: list[tuple[int, int, int]] = field(default_factory=list)
    ends: set[int] = field(default_factory=set)
    asks: dict[int, Ask] = field(default_factory=dict)
    faults: list[Finding] = field(default_factory=list)
    loose: list[tuple[Invariant, Place, What]] = field(default_factory=list)
    lost: TerminalLost | None = None
    lost_hash: bytes = b""
    is_tainted: bool = False

    @property
    def station(self) -> bytes:
        """Id, 8 bytes."""
        return self.enrolment.station

    @property
    def last(self) -> int:
        """Sequence of the last record received."""
        return max(self.records, default=0)

    def arrival(self, sequence: int) -> int | None:
        """When the backend acknowledged this record, if it did."""
        at = bisect_left(self.arrivals, (sequence, 0, 0))
        return self.arrivals[at][1] if at < len(self.arrivals) else None

    def arrival_order(self, sequence: int) -> int:
        """Where in the issuance log that acknowledgement stands; beyond its end without one."""
        at = bisect_left(self.arrivals, (sequence, 0, 0))
        return self.arrivals[at][2] if at < len(self.arrivals) else NEVER

    def chain(self) -> Iterator[Place]:
        """Records in order."""
        for _, record in sorted(self.records.items()):
            yield Place(self.station, record)

    def is_closed_before(self, sequence: int) -> bool:
        """Whether a TERMINAL_LOST closed the chain before this record."""
        return self.lost is not None and sequence > self.lost.last


@dataclass(frozen=True, slots=True)
class Object:
    """One verified registry, policy or acknowledgement object."""

    hash: bytes
    payload: Any
    entry: IssuanceEntry | None


@dataclass(slots=True)
class World:
    """Everything an export says, indexed."""

    trust: TrustStore
    now_s: int = 0
    cards: dict[bytes, Card] = field(default_factory=dict)
    stations: dict[bytes, Station] = field(default_factory=dict)
    certificates: dict[tuple[bytes, int], tuple[cvc.Certificate, IssuanceEntry]] = field(
        default_factory=dict
    )
    objects: dict[bytes, Object] = field(default_factory=dict)
    issuance: list[IssuanceEntry] = field(default_factory=list)
    ledger: list[LedgerEntry] = field(default_factory=list)
    names: dict[bytes, IssuanceEntry] = field(default_factory=dict)
    receipts: dict[bytes, Held] = field(default_factory=dict)
    statements: dict[bytes, Said] = field(default_factory=dict)
    aside: list[Finding] = field(default_factory=list)
    aside_names: set[bytes] = field(default_factory=set)
    aside_cards: set[bytes] = field(default_factory=set)
    chain_faults: list[Finding] = field(default_factory=list)
    hotlists: dict[int, frozenset[int]] = field(default_factory=dict)
    disputes: dict[bytes, Place] = field(default_factory=dict)
    by_shape: dict[type[Any], list[Object]] = field(default_factory=dict)
    decided: dict[bytes, list[Object]] = field(default_factory=dict)
    """Card → decisions over it."""

    def enter(self, o: Object) -> None:
        """Keep a verified object."""
        self.objects[o.hash] = o
        self.by_shape.setdefault(type(o.payload), []).append(o)
        if isinstance(o.payload, Decision):
            self.decided.setdefault(o.payload.card_id, []).append(o)

    def set_aside(
        self, invariant: Invariant, subject: str, what: What, name: bytes, owner: str = "backend"
    ) -> None:
        """List what does not stand, once; nothing else will count it."""
        finding = Finding(invariant, subject, what, (name.hex(),), owner)
        if finding not in self.aside:
            self.aside.append(finding)
        self.aside_names.add(name)

    def of(self, shape: type[S]) -> list[tuple[Object, S]]:
        """Verified objects of one shape, in the order of the export."""
        return [(o, o.payload) for o in self.by_shape.get(shape, ())]

    def programmes(self) -> dict[int, Programme]:
        """Wallet → the newest version of its programme."""
        newest: dict[int, Programme] = {}
        for _, p in self.of(Programme):
            if p.code not in newest or p.version > newest[p.code].version:
                newest[p.code] = p
        return {p.wallet: p for p in newest.values()}

    def units(self) -> dict[str, Unit]:
        """Good → its unit, as signed tariffs and deliveries have it."""
        lines = [x for _, p in self.of(Programme) for t in p.tariffs for x in t.lines]
        lines += [x for _, d in self.of(StockDelivery) for x in d.lines]
        return {RUPIAH: Unit.RUPIAH} | {x.good: x.unit for x in lines}

    def parameters(self) -> Parameters | None:
        """The newest signed parameters."""
        return max((p for _, p in self.of(Parameters)), key=lambda p: p.version, default=None)

    def decisions(self, *kinds: DecisionKind) -> list[tuple[Object, Decision]]:
        """Decisions of these kinds."""
        return [(o, d) for o, d in self.of(Decision) if d.kind in kinds]

    def decisions_on(self, card_id: bytes, *kinds: DecisionKind) -> list[tuple[Object, Decision]]:
        """Decisions of these kinds over one card."""
        found = self.decided.get(card_id, ())
        return [(o, o.payload) for o in found if o.payload.kind in kinds]

    def arrival_order(self, held: Held) -> int:
        """Where in the issuance log the first acknowledgement of this receipt stands."""
        return self.arrival(held)[0]

    def arrival(self, held: Held) -> tuple[int, int]:
        """The same, and the place within that upload."""
        return min(
            (self.stations[p.station].arrival_order(p.record.sequence), p.record.sequence)
            for p in (held.place, *held.also)
        )

    def moved_away(self, card_id: bytes, wallet: int, before: int = NEVER) -> int:
        """What MOVE decisions entered before this place of the issuance log took from a wallet."""
        return sum(
            d.amount
            for o, d in self.decisions_on(card_id, DecisionKind.MOVE)
            if d.wallet == wallet and o.entry is not None and o.entry.sequence < before
        )

    def lost(self, held: Held) -> int:
        """What of its amount is a recorded loss: drawn above, or late (docs/ledger.md)."""
        r = held.receipt
        card = self.cards[r.card_id]
        if r.kind == ReceiptKind.REVERSAL:
            debit = card.receipts.get(r.sequence - 1)
            is_debit = debit is not None and debit.receipt.kind == ReceiptKind.DEBIT
            return self.lost(debit) if debit is not None and is_debit else 0
        after = card.receipts.get(r.sequence + 1)
        is_undone = after is not None and after.receipt.kind == ReceiptKind.REVERSAL
        if after is not None and is_undone and self.arrival(after) < self.arrival(held):
            return 0
        order = self.arrival_order(held)
        moved = self.moved_away(r.card_id, r.wallet, order)
        above = r.counters.consumed - (card.issued(r.wallet, order) - moved)
        return min(r.amount, max(0, above))

    def ask_of(self, receipt: Receipt) -> Ask | None:
        """The intent in its terminal's own chain that this receipt names, hash included."""
        station = self.stations.get(receipt.terminal_id)
        ask = station.asks.get(receipt.terminal_sequence) if station else None
        return ask if ask is not None and ask.is_named_by(receipt) else None

    def names_card(self, version: int, card_id: bytes) -> bool:
        """Whether the hotlist of this version names the card."""
        return int.from_bytes(card_id[4:], "big") in self.hotlists.get(version, frozenset())
