"""Goods and cash at terminals, from records and signed tariffs alone (PROTOCOL.md §7.15).

One walk per station gives its sums, what is wrong with single records, and the ledger entries
that follow (docs/ledger.md).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from backend.audit.facts import Fact
from backend.audit.findings import What, say
from backend.audit.forms import Amount
from backend.audit.model import RUPIAH, Ask, Place, Station, World
from wire.errors import FormatError
from wire.log import RecordType, StockMove
from wire.objects import Programme, StockDelivery, Unit

Postings = dict[tuple[str, str], int]


@dataclass(slots=True)
class Shelf:
    """One station's goods.

    ``counted``: the stock of its last record, when a CHECKPOINT. ``slack``: goods handed over on
    a receipt that is set aside, which the terminal counts and nobody else; ``skipped``: the
    records of those hand-overs.
    """

    delivered: Counter[str] = field(default_factory=Counter)
    handed: Counter[str] = field(default_factory=Counter)
    loss: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    handed_by_programme: dict[int, Counter[str]] = field(default_factory=dict)
    counted: dict[str, int] | None = None
    slack: Counter[str] = field(default_factory=Counter)
    unseen: Counter[str] | None = None
    skipped: set[bytes] = field(default_factory=set)
    faults: list[tuple[Place, What]] = field(default_factory=list)
    postings: list[tuple[str, bytes, Postings]] = field(default_factory=list)
    is_tainted: bool = False

    def goods(self) -> list[str]:
        """Every good that ever moved here."""
        return sorted({*self.delivered, *self.handed, *self.loss, *self.left})

    def should_be(self) -> Counter[str]:
        """What its records leave there, written off or not."""
        return self.left if self.unseen is None else self.unseen

    def difference(self, good: str) -> int:
        """Delivered less handed over, left (as the terminal counted it) and lost."""
        left = self.left[good] if self.counted is None else self.counted.get(good, 0)
        return self.delivered[good] - self.handed[good] - left - self.loss[good]


def goods_of(programme: Programme, version: int, amount: int) -> Counter[str]:
    """What ``amount`` of a wallet is in goods: only where the programme counts stock."""
    found: Counter[str] = Counter()
    if not programme.stocked:
        return found
    if programme.unit == Unit.RUPIAH:
        found[RUPIAH] = amount
        return found
    try:
        lines = programme.tariff(version).lines
    except FormatError:
        return found  # invariant 10 names it
    for line in lines:
        found[line.good] += line.quantity * amount
    return found


def shelves(world: World) -> dict[bytes, Shelf]:
    """The shelf of every station."""
    programmes = world.programmes()
    deliveries = {o.hash: d for o, d in world.of(StockDelivery)}
    return {
        name: _Walk(world, station, programmes, deliveries).walk()
        for name, station in sorted(world.stations.items())
    }


class _Walk:
    def __init__(
        self,
        world: World,
        station: Station,
        programmes: dict[int, Programme],
        deliveries: dict[bytes, StockDelivery],
    ) -> None:
        self.world, self.station = world, station
        self.programmes, self.deliveries = programmes, deliveries
        self.units = world.units()
        self.shelf = Shelf(is_tainted=station.is_tainted)
        self.received: set[tuple[bytes, str]] = set()
        self.by_delivered = {
            record.sequence: ask
            for ask in station.asks.values()
            for record in [ask.handed]
            if record is not None
        }
        self.by_spoiled: dict[int, Ask] = {}
        self.by_returned = {
            void.returned[0].sequence: void
            for void in station.asks.values()
            if void.is_void and void.returned
        }

    def _amount(self, good: str, quantity: int) -> Amount:
        return Amount(quantity, self.units.get(good))

    @property
    def account(self) -> str:
        return f"stock/{self.station.station.hex()}"

    @property
    def loss_account(self) -> str:
        return f"stock-loss/{self.station.station.hex()}"

    def walk(self) -> Shelf:
        for ask in self.station.asks.values():
            if ask.spoiled:  # listed under what set the receipt aside
                self.shelf.is_tainted |= ask.is_void
                self.by_spoiled |= {r.sequence: ask for r in ask.delivered}
        lost = self.station.lost
        if lost is not None and lost.last == 0:
            self._close()
        for place in self.station.chain():
            self._apply(place)
            if lost is not None and place.record.sequence == lost.last:
                self._close()
        return self.shelf

    def _close(self) -> None:
        """TERMINAL_LOST: what nobody can count any more goes to the loss account.

        Records that come after it, on a stick sent before, change what is lost (docs/ledger.md).
        """
        unseen, self.shelf.counted = self.shelf.left.copy(), None
        for good, left in sorted(self.shelf.left.items()):
            if left:
                self._post("stock-loss", self.station.lost_hash, good, -left, self.loss_account)
                self.shelf.loss[good] += left
        self.shelf.unseen = unseen

    def _post(self, kind: str, evidence: bytes, good: str, amount: int, other: str) -> None:
        self._line(kind, evidence, good, amount, other)
        if self.shelf.unseen is not None:
            self.shelf.unseen[good] += amount
            self.shelf.loss[good] += amount
            self._line("stock-loss", evidence, good, -amount, self.loss_account)

    def _line(self, kind: str, evidence: bytes, good: str, amount: int, other: str) -> None:
        self.shelf.left[good] += amount
        self.shelf.postings.append(
            (kind, evidence, {(self.account, good): amount, (other, good): -amount})
        )

    def _lose(self, evidence: bytes, good: str, quantity: int) -> None:
        """Counted as missing, or lost; of a closed terminal it is in the loss account already."""
        if self.shelf.unseen is not None:
            self.shelf.unseen[good] -= quantity
        elif quantity:
            self._post("stock-loss", evidence, good, -quantity, self.loss_account)
            self.shelf.loss[good] += quantity

    def _apply(self, place: Place) -> None:
        record, shelf = place.record, self.shelf
        shelf.counted = None
        match record.kind:
            case RecordType.STOCK:
                self._stock(place)
            case RecordType.DELIVERED if record.sequence in self.by_spoiled:
                shelf.skipped.add(record.hash)
                ask = self.by_spoiled[record.sequence]
                programme = self.programmes.get(ask.wallet)
                if programme is not None:
                    shelf.slack.update(goods_of(programme, ask.basket_version, ask.amount))
            case RecordType.DELIVERED if record.sequence in self.by_delivered:
                self._hand("handed", record.hash, self.by_delivered[record.sequence], 1)
            case RecordType.RETURNED if record.sequence in self.by_returned:
                debit = self.by_returned[record.sequence].void_of
                is_proven = self.by_returned[record.sequence].receipt is not None
                if debit is not None and debit.handed is not None and is_proven:
                    self._hand("returned-goods", record.hash, debit, -1)
            case RecordType.CHECKPOINT:
                self._checkpoint(place)
            case _:
                pass

    def _checkpoint(self, place: Place) -> None:
        shelf, should_be = self.shelf, self.shelf.should_be()
        says = {line.good: line.quantity for line in place.record.body.stock}
        for good in {*says, *should_be}:
            counted, left = says.get(good, 0), max(0, should_be[good])
            if not max(0, left - shelf.slack[good]) <= counted <= left:
                what = say(
                    Fact.COUNTED_OTHER,
                    good=good,
                    counted=self._amount(good, counted),
                    left=self._amount(good, should_be[good]),
                )
                shelf.faults.append((place, what))
        if shelf.unseen is None:
            shelf.counted = says

    def _hand(self, kind: str, evidence: bytes, ask: Ask, sign: int) -> None:
        programme = self.programmes.get(ask.wallet)
        if programme is None:
            return
        by_programme = self.shelf.handed_by_programme.setdefault(programme.code, Counter())
        for good, quantity in goods_of(programme, ask.basket_version, ask.amount).items():
            self.shelf.handed[good] += sign * quantity
            by_programme[good] += sign * quantity
            self._post(kind, evidence, good, -sign * quantity, f"handed/{programme.code}")

    def _stock(self, place: Place) -> None:
        body, evidence = place.record.body, place.record.hash
        good, quantity, shelf = body.line.good, body.line.quantity, self.shelf
        match body.move:
            case StockMove.RECEIVED | StockMove.SENT_BACK:
                delivery = self.deliveries.get(body.delivery or b"")
                if delivery is None or delivery.terminal != self.station.station:
                    if (body.delivery or b"") not in self.world.aside_names:
                        what = say(Fact.NO_DELIVERY)
                        shelf.faults.append((place, what))
                    else:
                        shelf.is_tainted = True
                    return
                if body.move == StockMove.SENT_BACK:
                    shelf.delivered[good] -= quantity
                    self._post(
                        "stock-back", evidence, good, -quantity, f"supply/{delivery.provider}"
                    )
                    return
                self._receive(place, delivery)
                self._post("stock-in", evidence, good, quantity, f"supply/{delivery.provider}")
            case StockMove.COUNTED:
                self._lose(evidence, good, shelf.should_be()[good] - quantity)
            case StockMove.LOST:
                self._lose(evidence, good, quantity)

    def _receive(self, place: Place, delivery: StockDelivery) -> None:
        """Delivered is what the provider's signed delivery says, not what the terminal wrote."""
        body = place.record.body
        signed: dict[str, int] = defaultdict(int)
        for line in delivery.lines:
            signed[line.good] += line.quantity
        if (body.delivery, body.line.good) in self.received:
            self.shelf.faults.append((place, say(Fact.RECEIVED_TWICE, good=body.line.good)))
            return
        self.received.add((body.delivery, body.line.good))
        self.shelf.delivered[body.line.good] += signed[body.line.good]
        if signed[body.line.good] != body.line.quantity:
            good, quantity = body.line.good, body.line.quantity
            what = say(
                Fact.RECEIVED_OTHER,
                good=good,
                quantity=self._amount(good, quantity),
                signed=self._amount(good, signed[good]),
            )
            self.shelf.faults.append((place, what))
