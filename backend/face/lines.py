"""What each figure is made of: one line per receipt, statement, object or entry that moves it.

The figures themselves: docs/audit.md#figures.
A figure of the auditor's report is the sum of its lines. They are made here from the same world
the report was made from, so that every number on a page opens what it came from. A line says
what it counts, in whose name, how much, and which item shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from backend.audit import goods, payable
from backend.audit.books import Settlement, replay
from backend.audit.goods import Shelf
from backend.audit.model import RUPIAH, Card, World
from backend.audit.payable import Owed
from backend.audit.rules_chain import proven
from backend.audit.steps import events
from wire.objects import DecisionKind, FundRelease, Programme, Unit
from wire.receipt import Receipt, ReceiptKind, StatementKind


class Count(StrEnum):
    """What a figure counts; the value stands in addresses."""

    RELEASED = "dana"
    ISSUED = "hak"
    LOADED = "muat"
    REDEEMED = "salur"
    LOSSES = "rugi"
    FORFEITED = "hangus"
    RESIDUAL = "sisa"
    MOVED = "pindah"
    RETURNED = "kembali"
    HELD = "tahan"
    PAYABLE = "utang"
    SETTLED = "bayar"
    HANDED = "serah"


RUPIAH_COUNTS = {Count.RELEASED, Count.HELD, Count.PAYABLE, Count.SETTLED}
"""Counted in rupiah whatever the wallet's unit."""


class RefKind(StrEnum):
    """What a line opens; the value stands in addresses."""

    RECEIPT = "struk"
    NAMED = "objek"
    CARD = "kartu"
    RECORD = "catatan"
    LEDGER = "buku"
    ISSUANCE = "terbit"
    STATION = "terminal"


@dataclass(frozen=True, slots=True)
class Ref:
    """One item of the export. ``key``: hash or id in hex, ``station/sequence``, or a number."""

    kind: RefKind
    key: str

    @property
    def href(self) -> str:
        """Its page."""
        return f"/{self.kind}/{self.key}"


@dataclass(frozen=True, slots=True)
class Line:
    """One contribution to a figure.

    ``amount`` is in units of the programme's wallet (of ``good`` for HANDED), rupiah for
    :data:`RUPIAH_COUNTS`; ``minor`` its rupiah at the newest signed tariff, as the report has it;
    ``receipts``: how many receipts stand behind it.
    """

    count: Count
    programme: int
    provider: str
    place: str
    card: bytes
    amount: int
    minor: int
    time_s: int
    ref: Ref
    receipts: int = 0
    good: str = ""

    def counted_in(self, unit: Unit) -> int:
        """What it adds to a figure of this unit: goods as such, a wallet's units as rupiah."""
        return self.minor if unit == Unit.RUPIAH and not self.good else self.amount


@dataclass(frozen=True, slots=True)
class Sources:
    """A judged world: everything a line is made from."""

    world: World
    judged: dict[bytes, Owed]
    settlement: Settlement
    shelves: dict[bytes, Shelf]


def receipt_ref(name: bytes) -> Ref:
    """The receipt of this hash."""
    return Ref(RefKind.RECEIPT, name.hex())


def home_places(world: World) -> dict[bytes, str]:
    """Card → the place where it was handed over (docs/audit.md#the-page)."""
    return {
        s.statement.card_id: world.stations[s.place.station].enrolment.place
        for s in world.statements.values()
        if s.statement.kind == StatementKind.ACTIVATION
    }


def place_of(world: World, station: bytes) -> str:
    """Where this station stands; empty when nobody enrolled it."""
    found = world.stations.get(station)
    return found.enrolment.place if found else ""


def lines(s: Sources) -> Iterator[Line]:
    """Every line of every figure."""
    programmes = s.world.programmes()
    homes = home_places(s.world)
    yield from _released(s, programmes)
    for card in s.world.cards.values():
        for wallet in sorted(card.wallets() & programmes.keys()):
            yield from _card(s, card, programmes[wallet], homes.get(card.card_id, ""))
    yield from _decided(s, programmes, homes)
    yield from _receipts(s, programmes)
    yield from _settled(s)
    yield from _handed(s, programmes)


def _released(s: Sources, programmes: dict[int, Programme]) -> Iterator[Line]:
    providers = {p.code: p.provider for p in programmes.values()}
    for o, f in s.world.of(FundRelease):
        if f.programme in providers:
            yield Line(Count.RELEASED, f.programme, providers[f.programme], "", b"",
                       f.amount_minor, f.amount_minor, f.time_s,
                       Ref(RefKind.NAMED, o.hash.hex()))  # fmt: skip


def _card(s: Sources, card: Card, p: Programme, home: str) -> Iterator[Line]:
    """What this wallet was given, took, forfeited and has left."""
    price, wallet = p.tariffs[-1].price_minor, p.wallet

    def line(  # noqa: PLR0917 - a table of lines reads better without names
        count: Count, amount: int, place: str, time_s: int, ref: Ref, receipts: int = 0
    ) -> Line:
        return Line(count, p.code, p.provider, place, card.card_id, amount, amount * price,
                    time_s, ref, receipts)  # fmt: skip

    highest = 0
    for issued in card.entitlements.get(wallet, ()):
        step = issued.entitlement.loaded - highest
        if step > 0:
            highest = issued.entitlement.loaded
            ref = Ref(RefKind.NAMED, issued.entitlement.hash.hex())
            yield line(Count.ISSUED, step, home, issued.entry.time_s, ref)
    shown = {"loaded": 0, "forfeited": 0, "debited": 0, "reversed": 0}
    for event in events(card, wallet):
        is_receipt = isinstance(event.item, Receipt)
        ref = Ref(RefKind.RECEIPT if is_receipt else RefKind.NAMED, event.item.hash.hex())
        place = place_of(s.world, event.place.station)
        for count, name in ((Count.LOADED, "loaded"), (Count.FORFEITED, "forfeited")):
            step = getattr(event.item.counters, name) - shown[name]
            if step > 0:
                yield line(count, step, place, event.place.record.time_s, ref, int(is_receipt))
        for name, most in shown.items():
            shown[name] = max(most, getattr(event.item.counters, name))
    receipts = card.of_wallet(wallet)
    lost = sum(
        s.world.lost(h) * (1 if h.receipt.kind == ReceiptKind.DEBIT else -1) for h in receipts
    )
    spent = shown["debited"] - shown["reversed"] + shown["forfeited"]
    left = card.issued(wallet) - spent + lost - s.world.moved_away(card.card_id, wallet)
    if left:
        yield line(Count.RESIDUAL, left, home, s.world.now_s, Ref(RefKind.CARD, card.card_id.hex()),
                   len(receipts))  # fmt: skip


def _decided(
    s: Sources, programmes: dict[int, Programme], homes: dict[bytes, str]
) -> Iterator[Line]:
    counts = {DecisionKind.MOVE: Count.MOVED, DecisionKind.RETURN: Count.RETURNED}
    for o, d in s.world.decisions(*counts):
        p = programmes.get(d.wallet)
        if p is not None:
            yield Line(counts[d.kind], p.code, p.provider, homes.get(d.card_id, ""), d.card_id,
                       d.amount, d.amount * p.tariffs[-1].price_minor, d.time_s,
                       Ref(RefKind.NAMED, o.hash.hex()))  # fmt: skip


def _receipts(s: Sources, programmes: dict[int, Programme]) -> Iterator[Line]:
    for held in proven(s.world):
        r, p = held.receipt, programmes.get(held.receipt.wallet)
        if p is None:
            continue
        sign = 1 if r.kind == ReceiptKind.DEBIT else -1
        price = p.tariffs[-1].price_minor
        place, lost = place_of(s.world, r.terminal_id), s.world.lost(held)

        base = Line(Count.REDEEMED, p.code, p.provider, place, r.card_id, 0, 0,
                    r.terminal_time_s, receipt_ref(r.hash), 1)  # fmt: skip
        taken = sign * (r.amount - lost)
        if taken:
            yield replace(base, amount=taken, minor=taken * price)
        if lost:
            yield replace(base, count=Count.LOSSES, amount=sign * lost, minor=sign * lost * price)
        owed = s.judged.get(r.hash)
        if owed is not None and not owed.why:
            yield replace(base, count=Count.PAYABLE, amount=owed.minor, minor=owed.minor)
        elif owed is not None and not owed.why & {"reversed", "loss"}:
            yield replace(base, count=Count.HELD, amount=owed.minor, minor=owed.minor)


def _settled(s: Sources) -> Iterator[Line]:
    for entry in s.world.ledger:
        if entry.sequence not in s.settlement.covers or entry.kind != "settlement":
            continue
        accounts = {p.account: p.amount for p in entry.postings if p.good == RUPIAH}
        payables = [a for a in accounts if a.startswith("payable/")]
        funds = [a for a in accounts if a.startswith("funds/")]
        amount = accounts[payables[0]]
        yield Line(Count.SETTLED, int(funds[0].removeprefix("funds/")),
                   payables[0].removeprefix("payable/"), "", b"", amount, amount, entry.time_s,
                   Ref(RefKind.LEDGER, str(entry.sequence)),
                   len(s.settlement.covers[entry.sequence]))  # fmt: skip


def _handed(s: Sources, programmes: dict[int, Programme]) -> Iterator[Line]:
    """Goods that terminals wrote down as handed over, by the receipt they were handed over on."""
    by_code = {p.code: p for p in programmes.values()}
    for name, shelf in s.shelves.items():
        station = s.world.stations[name]
        receipts = _hand_overs(s.world, name)
        times = {p.record.hash: p.record.time_s for p in station.chain()}
        for kind, evidence, postings in shelf.postings:
            if kind not in {"handed", "returned-goods"}:
                continue
            for (account, good), amount in postings.items():
                code = account.removeprefix("handed/")
                p = by_code.get(int(code)) if code != account and code.isdecimal() else None
                receipt = receipts.get(evidence)
                if p is None or receipt is None:
                    continue
                minor = amount if good == RUPIAH else 0
                yield Line(Count.HANDED, p.code, p.provider, station.enrolment.place,
                           receipt.card_id, amount, minor, times.get(evidence, 0),
                           receipt_ref(receipt.hash), 1, good)  # fmt: skip


def _hand_overs(world: World, station: bytes) -> dict[bytes, Receipt]:
    """Record of goods that went or came back → the receipt it is about."""
    found: dict[bytes, Receipt] = {}
    for ask in world.stations[station].asks.values():
        record = ask.handed if not ask.is_void else next(iter(ask.returned), None)
        if record is not None and ask.receipt is not None:
            found[record.hash] = ask.receipt
    return found


def sources(world: World) -> Sources:
    """Judge a world once more for its lines, by the auditor's own functions."""
    judged = payable.judge(world)
    return Sources(world, judged, replay(world, judged), goods.shelves(world))
