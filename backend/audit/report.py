"""The auditor's figures, from signed objects alone (PROTOCOL.md §7.13-15, docs/audit.md).

Differences are sums of absolute values, so that nothing cancels: rupiah at the newest signed
tariff, goods in their own units. The backend computes the same from its database.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

from backend.audit import books, goods, payable
from backend.audit.alerts import alerts, explained
from backend.audit.findings import Alert, Explained, Finding
from backend.audit.goods import Shelf
from backend.audit.model import World
from backend.audit.payable import Owed
from backend.audit.rules import judge
from backend.audit.rules_chain import proven
from backend.audit.steps import events
from wire.objects import DecisionKind, FundRelease, Programme
from wire.receipt import ReceiptKind, StatementKind


@dataclass(frozen=True, slots=True)
class ProgrammeLine:
    """One programme in units of its wallet, unless a name says ``minor`` or ``goods``.

    ``left`` and ``right`` are the two sides of invariant 14.
    """

    code: int
    title_id: str
    title_en: str
    unit: str
    provider: str
    price_minor: int
    released_minor: int
    issued: int
    loaded: int
    redeemed: int
    losses: int
    forfeited: int
    moved: int
    returned: int
    residual: int
    left: int
    right: int
    goods: dict[str, int]

    @property
    def difference(self) -> int:
        """Left less right."""
        return self.left - self.right

    @property
    def difference_minor(self) -> int:
        """Its absolute value in rupiah."""
        return abs(self.difference) * self.price_minor


@dataclass(frozen=True, slots=True)
class ProviderLine:
    """One provider, in rupiah."""

    provider: str
    released_minor: int
    loaded_minor: int
    redeemed_minor: int
    forfeited_minor: int
    left_minor: int
    payable_minor: int
    settled_minor: int

    @property
    def difference_minor(self) -> int:
        """Settled less payable (invariant 13)."""
        return self.settled_minor - self.payable_minor


@dataclass(frozen=True, slots=True)
class GoodsLine:
    """One good at one terminal (invariant 15)."""

    terminal: str
    place: str
    good: str
    delivered: int
    handed: int
    left: int
    loss: int
    difference: int


@dataclass(frozen=True, slots=True)
class PlaceLine:
    """One place of enrolment and programme: what was loaded, taken and given there."""

    place: str
    code: int
    loaded: int
    redeemed: int
    forfeited: int
    redeemed_minor: int
    handed: dict[str, int]


@dataclass(slots=True)
class Report:
    """Everything an auditor hands on."""

    world: World
    findings: list[Finding]
    alerts: list[Alert]
    explained: list[Explained]
    programmes: list[ProgrammeLine]
    providers: list[ProviderLine]
    places: list[PlaceLine]
    goods: list[GoodsLine]
    held: list[Owed] = field(default_factory=list)
    goods_difference: int = 0

    @property
    def difference_minor(self) -> int:
        """Σ |14| at signed tariffs + Σ |13|, in rupiah."""
        return sum(p.difference_minor for p in self.programmes) + sum(
            abs(p.difference_minor) for p in self.providers
        )

    @property
    def funds_minor(self) -> int:
        """Rupiah released."""
        return sum(p.released_minor for p in self.programmes)

    @property
    def settled_minor(self) -> int:
        """Rupiah settled."""
        return sum(p.settled_minor for p in self.providers)

    def counts(self) -> dict[str, int]:
        """How many of what."""
        receipts = [h.receipt for h in proven(self.world)]
        return {
            "cards": sum(c.scrapped is None for c in self.world.cards.values()),
            "stations": len(self.world.stations),
            "receipts": len(receipts),
            "redemptions": sum(r.kind == ReceiptKind.DEBIT for r in receipts),
            "ledger_entries": len(self.world.ledger),
            "issuance_entries": len(self.world.issuance),
        }

    def to_json(self) -> dict[str, Any]:
        """The machine-readable report."""
        w = self.world
        return {
            "environment": int(w.trust.env),
            "root_fingerprint": sha256(w.trust.root_key).hexdigest(),
            "as_of_s": w.now_s,
            "ledger_head": w.ledger[-1].hash.hex() if w.ledger else "",
            "issuance_head": w.issuance[-1].hash.hex() if w.issuance else "",
            "counts": self.counts(),
            "funds_minor": self.funds_minor,
            "settled_minor": self.settled_minor,
            "difference_minor": self.difference_minor,
            "goods_difference": self.goods_difference,
            "findings": [f.to_json() for f in self.findings],
            "alerts": [asdict(a) for a in self.alerts],
            "explained": [asdict(e) for e in self.explained],
            "held": [
                {
                    "receipt": o.held.name,
                    "amount_minor": o.minor,
                    "why": sorted(o.why),
                    "terminal": o.held.receipt.terminal_id.hex(),
                }
                for o in self.held
            ],
            "programmes": [
                asdict(p) | {"difference": p.difference, "difference_minor": p.difference_minor}
                for p in self.programmes
            ],
            "providers": [
                asdict(p) | {"difference_minor": p.difference_minor} for p in self.providers
            ],
            "places": [asdict(p) for p in self.places],
            "goods": [asdict(g) for g in self.goods],
        }


def make(world: World) -> Report:
    """Judge a world by every rule and add up its figures."""
    judged = payable.judge(world)
    shelves = goods.shelves(world)
    programmes = {p.code: p for p in world.programmes().values()}
    lines = [_programme(world, p, shelves) for _, p in sorted(programmes.items())]
    goods_lines = _goods(world, shelves)
    in_goods = sum(
        abs(line.difference) * good.quantity
        for line in lines
        for good in programmes[line.code].tariffs[-1].lines
    )
    return Report(
        world=world,
        findings=judge(world),
        alerts=alerts(world),
        explained=explained(world),
        programmes=lines,
        providers=_providers(world, lines, judged),
        places=_places(world, programmes, shelves),
        goods=goods_lines,
        held=[o for o in judged.values() if o.why - {"reversed"}],
        goods_difference=sum(abs(g.difference) for g in goods_lines) + in_goods,
    )


def _programme(world: World, p: Programme, shelves: dict[bytes, Shelf]) -> ProgrammeLine:
    issued = residual = forfeited = redeemed = losses = loaded = 0
    for card in world.cards.values():
        shown = [e.item.counters for e in events(card, p.wallet)]
        issued += card.issued(p.wallet)
        loaded += max([0, *(c.loaded for c in shown)])
        f = max([0, *(c.forfeited for c in shown)])
        d, r = max([0, *(c.debited for c in shown)]), max([0, *(c.reversed for c in shown)])
        forfeited += f
        residual += card.issued(p.wallet) - (d - r + f)
        for held in card.of_wallet(p.wallet):
            sign = 1 if held.receipt.kind == ReceiptKind.DEBIT else -1
            lost = world.lost(held)
            losses += sign * lost
            redeemed += sign * (held.receipt.amount - lost)
    moved = _decided(world, p.wallet, DecisionKind.MOVE)
    returned = _decided(world, p.wallet, DecisionKind.RETURN)
    handed: Counter[str] = Counter()
    for shelf in shelves.values():
        handed.update(shelf.handed_by_programme.get(p.code, Counter()))
    return ProgrammeLine(
        code=p.code,
        title_id=p.title_id,
        title_en=p.title_en,
        unit=p.unit.name.lower(),
        provider=p.provider,
        price_minor=p.tariffs[-1].price_minor,
        released_minor=sum(
            f.amount_minor for _, f in world.of(FundRelease) if f.programme == p.code
        ),
        issued=issued,
        loaded=loaded,
        redeemed=redeemed,
        losses=losses,
        forfeited=forfeited,
        moved=moved,
        returned=returned,
        residual=residual + losses - moved,
        left=issued - returned - moved,
        # A loss is in its card's counters but charged to no programme; what was moved is not
        # the old card's any more.
        right=(redeemed - returned) + forfeited + (residual + losses - moved),
        goods=dict(sorted(handed.items())),
    )


def _decided(world: World, wallet: int, kind: DecisionKind) -> int:
    return sum(d.amount for _, d in world.decisions(kind) if d.wallet == wallet)


def _providers(
    world: World, lines: list[ProgrammeLine], judged: dict[bytes, Owed]
) -> list[ProviderLine]:
    settled = books.replay(world, judged).settled
    owed: Counter[str] = Counter()
    for o in judged.values():
        if not o.why:
            owed[o.programme.provider] += o.minor
    made = []
    for name in sorted({p.provider for p in lines} | owed.keys() | settled.keys()):
        own = [p for p in lines if p.provider == name]
        made.append(
            ProviderLine(
                provider=name,
                released_minor=sum(p.released_minor for p in own),
                loaded_minor=sum(p.loaded * p.price_minor for p in own),
                redeemed_minor=sum(p.redeemed * p.price_minor for p in own),
                forfeited_minor=sum(p.forfeited * p.price_minor for p in own),
                left_minor=sum(p.residual * p.price_minor for p in own),
                payable_minor=owed[name],
                settled_minor=settled[name],
            )
        )
    return made


def _goods(world: World, shelves: dict[bytes, Shelf]) -> list[GoodsLine]:
    lines = []
    for name, shelf in shelves.items():
        place = world.stations[name].enrolment.place
        for good in shelf.goods():
            left = shelf.left[good] if shelf.counted is None else shelf.counted.get(good, 0)
            lines.append(
                GoodsLine(
                    name.hex(),
                    place,
                    good,
                    shelf.delivered[good],
                    shelf.handed[good],
                    left,
                    shelf.loss[good],
                    shelf.difference(good),
                )
            )
    return lines


def _places(
    world: World, programmes: dict[int, Programme], shelves: dict[bytes, Shelf]
) -> list[PlaceLine]:
    """Where it happened; where a family lives is not in an export (docs/audit.md)."""
    loaded: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    handed: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    codes = {p.wallet: p for p in programmes.values()}
    for held in proven(world):
        r, p = held.receipt, codes.get(held.receipt.wallet)
        station = world.stations.get(r.terminal_id)
        price = payable.price_of(p, r.basket_version) if p else None
        if p is None or station is None:
            continue
        sign = 1 if r.kind == ReceiptKind.DEBIT else -1
        sums = loaded[station.enrolment.place, p.code]
        sums["redeemed"] += sign * r.amount
        sums["minor"] += sign * r.amount * (price or 0)
    for said in world.statements.values():
        s, p = said.statement, codes.get(said.statement.wallet)
        if s.kind != StatementKind.LOAD or p is None:
            continue
        before = [
            e.item.counters
            for e in events(world.cards[s.card_id], s.wallet)
            if e.item.entitlement_sequence < s.entitlement_sequence
        ]
        sums = loaded[world.stations[said.place.station].enrolment.place, p.code]
        sums["loaded"] += s.counters.loaded - max([0, *(c.loaded for c in before)])
        sums["forfeited"] += s.counters.forfeited - max([0, *(c.forfeited for c in before)])
    for name, shelf in shelves.items():
        for code, counted in shelf.handed_by_programme.items():
            handed[world.stations[name].enrolment.place, code].update(counted)
    return [
        PlaceLine(
            key[0],
            key[1],
            loaded[key]["loaded"],
            loaded[key]["redeemed"],
            loaded[key]["forfeited"],
            loaded[key]["minor"],
            dict(handed[key]),
        )
        for key in sorted(loaded.keys() | handed.keys())
    ]
