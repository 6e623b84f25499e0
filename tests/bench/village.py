"""A backend with many cards and terminals that send their days, made outside every clock.

Programmes come through the office; cards and entitlements are entered into the tables as the
issuance log would (nothing reads their signatures again at ingest).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from backend.models import Card, EntitlementRow
from backend.office import Office
from keys.signer import P256Signer
from tests.bench.bare import Signed, signed
from tests.support.backend_world import (
    CASH,
    ENV,
    TODAY,
    BackendWorld,
    SoftCard,
    SoftStation,
    make,
)
from wire.entitlement import NEVER_S, Entitlement, Lot
from wire.log import Record
from wire.receipt import Counters

LOADED = 2_000_000_000
TAPS_OF_A_CARD = 20
STATIONS = 4


@dataclass
class Village:
    """The world, its cards (each with one wallet of cash) and its terminals."""

    world: BackendWorld
    cards: list[SoftCard]
    stations: list[SoftStation]
    taps: int = 0

    @property
    def office(self) -> Office:
        """The backend."""
        return self.world.office

    def day(self, taps: int) -> Day:
        """One terminal's upload: so many taps, three records each, card after card."""
        station = self.stations[self.taps // taps % len(self.stations)]
        first, found = len(station.records) + 1, []
        for _ in range(taps):
            card = self.cards[self.taps % len(self.cards)]
            self.taps += 1
            _, receipt = station.debit(card, CASH, 1_000)
            found.append(signed(card.key.public_key, bytes(receipt)))
        records = [r.raw for r in station.records[first - 1 :]]
        return Day(station.upload(first), records, found)

    def days(self, receipts: int, taps: int) -> Iterator[Day]:
        """As many uploads as bring so many receipts."""
        while receipts > 0:
            yield self.day(min(taps, receipts))
            receipts -= taps


@dataclass(frozen=True, slots=True)
class Day:
    """One upload, its records and its receipts for the bare loop."""

    raw: bytes
    records: list[bytes]
    receipts: list[Signed]


def village(folder: Path, url: str | None, cards: int) -> Village:
    """So many cards with cash, and four terminals that have synced."""
    world = make(folder, url)
    world.import_all(rows=10)
    stations = [world.terminal(b"TERM%04d" % n) for n in range(STATIONS)]
    made = Village(world, [], stations)
    rows: list[Card | EntitlementRow] = []
    for n in range(cards):
        card = _card(world, n)
        made.cards.append(card)
        rows += _rows(card)
    with made.office.db.write() as session:
        session.add_all(rows)
    for day in (station.upload() for station in stations):
        made.office.ingest(day)
    return made


def _card(world: BackendWorld, n: int) -> SoftCard:
    card_id = ENV.mark + (1_000_000 + n).to_bytes(4, "big")
    key = P256Signer.generate(world.random)
    card = SoftCard(card_id, key, sha256(card_id).digest(), world.clock)
    programme = 0x0102
    body = Entitlement.encode_body(
        env=ENV, card_id=card_id, certificate_hash=card.digest[:16], wallet=CASH,
        programme=programme, sequence=1, loaded=LOADED, lots=(Lot(NEVER_S, LOADED),),
        forfeited_through=0, cap=250_000, issued=TODAY, acknowledged=0, settled_debited=0,
        settled_reversed=0, bypass_total=2, key_version=1,
    )  # fmt: skip
    card.load(Entitlement.parse(body + bytes(64)))
    return card


def _rows(card: SoftCard) -> list[Card | EntitlementRow]:
    e = card.entitlements[CASH]
    return [
        Card(card_id=card.card_id, environment=int(ENV), certificate=card.digest,
             digest=card.digest, receipt_key=card.key.public_key, family=card.digest[:16],
             order_hash=card.digest, issued_s=card.clock(), card_date=20260301),
        EntitlementRow(hash=e.hash, card_id=card.card_id, wallet=CASH, sequence=1,
                       programme=e.programme, loaded=LOADED, forfeited_through=0, acknowledged=0,
                       raw=bytes(e)),
    ]  # fmt: skip


def records_of(station: SoftStation) -> list[Record]:
    """What it wrote so far."""
    return station.records


def no_counters() -> Counters:
    """A fresh wallet's."""
    return Counters(0, 0, 0, 0)
