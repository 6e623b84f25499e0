"""The auditor's figures, from signed objects alone (PROTOCOL.md §7.13-15, docs/audit.md).

Differences are sums of absolute values, so that nothing cancels: rupiah at the newest signed
tariff, goods in their own units. The backend computes the same from its database.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

from backend.audit import books, goods, payable, reserves
from backend.audit.alerts import alerts, explained
from backend.audit.bounds import Bounds, bounds
from backend.audit.findings import Alert, Explained, Finding
from backend.audit.goods import Shelf
from backend.audit.model import World
from backend.audit.payable import Owed
from backend.audit.rules import judge
from backend.audit.rules_chain import proven
from backend.audit.steps import events
from wire.log import RecordType
from wire.objects import DecisionKind, FundRelease, GoodsLine, Programme
from wire.receipt import ReceiptKind, StatementKind


@dataclass(frozen=True, slots=True)
class ProgrammeLine:
    """One programme in units of its wallet, unless a name says ``minor`` or ``goods``.

    ``left`` and ``right`` are the two sides of invariant 14. ``goods``: what terminals recorded as
    handed over; ``unrecorded``: what receipts give beyond that (or, negative, less);
    ``reserved``: moved to new cards while a terminal could still debit the old ones.
    """

    code: int
    title_id: str
    title_en: str
    agency: str
    unit: str
    provider: str
    price_minor: int
    released_minor: int
    issued: int
    loaded: int
    redeemed: int
    losses: int
    reserved: int
    forfeited: int
    moved: int
    returned: int
    residual: int
    left: int
    right: int
    goods: dict[str, int]
    unrecorded: dict[str, int]

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
    moved_minor: int
    left_minor: int
    held_minor: int
    payable_minor: int
    settled_minor: int

    @property
    def difference_minor(self) -> int:
        """Settled less payable (invariant 13)."""
        return self.settled_minor - self.payable_minor


@dataclass(frozen=True, slots=True)
class ShelfLine:
    """One good at one terminal (invariant 15)."""

    terminal: str
    place: str
    good: str
    delivered: int
    handed: int
    left: int
    loss: int
    difference: int

    @property
    def amounts(self) -> tuple[int, ...]:
        """Delivered, handed over, left, lost, unexplained."""
        return self.delivered, self.handed, self.left, self.loss, self.difference


@dataclass(frozen=True, slots=True)
class PlaceLine:
    """One place of enrolment and programme, in units of the wallet.

    ``issued``, ``residual``: of the cards handed over there (``place`` empty: of cards that
    nobody has handed over yet); the others: what happened there. ``redeemed`` leaves recorded
    losses out, as a programme does; ``handed``: goods by the terminals' own records.
    """

    place: str
    code: int
    issued: int
    residual: int
    moved: int
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
    goods: list[ShelfLine]
    bounds: Bounds
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

    def tariff(self, code: int) -> tuple[GoodsLine, ...]:
        """Goods of one unit of a programme's wallet at its newest tariff."""
        mine = (p for p in self.world.programmes().values() if p.code == code)
        return next((p.tariffs[-1].lines for p in mine), ())

    def counts(self) -> dict[str, int]:
        """How many of what."""
        receipts = [h.receipt for h in proven(self.world)]
        return {
            "cards": sum(c.scrapped is None for c in self.world.cards.values()),
            "stations": len(self.world.stations),
            "receipts": len(receipts),
            "redemptions": sum(r.kind == ReceiptKind.DEBIT for r in receipts),
            "cards_read": sum(
                p.record.kind == RecordType.CARD_READ
                for s in self.world.stations.values()
                for p in s.chain()
            ),
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
            "alerts": [a.to_json() for a in self.alerts],
            "explained": [e.to_json() for e in self.explained],
            "held": [
                {
                    "receipt": o.held.name,
                    "amount_minor": o.minor,
                    "lost": self.world.lost(o.held),
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
            "bounds": asdict(self.bounds) | {"clone_minor": self.bounds.clone_minor},
        }


def make(world: World) -> Report:
    """Judge a world by every rule and add up its figures."""
    judged = payable.judge(world)
    shelves = goods.shelves(world)
    programmes = {p.code: p for p in world.programmes().values()}
    reserved = reserves.replay(world).left
    lines = [_programme(world, p, shelves, reserved[c]) for c, p in sorted(programmes.items())]
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
        bounds=bounds(world),
        held=[o for o in judged.values() if o.why - {"reversed"}],
        goods_difference=sum(abs(g.difference) for g in goods_lines) + in_goods,
    )


def _programme(
    world: World, p: Programme, shelves: dict[bytes, Shelf], reserved: int
) -> ProgrammeLine:
    issued = residual = forfeited = redeemed = losses = loaded = 0
    given: Counter[str] = Counter()
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
            taken = goods.goods_of(p, held.receipt.basket_version, held.receipt.amount)
            given.update({good: sign * n for good, n in taken.items()})
    moved = _decided(world, p.wallet, DecisionKind.MOVE)
    returned = _decided(world, p.wallet, DecisionKind.RETURN)
    handed: Counter[str] = Counter()
    for shelf in shelves.values():
        handed.update(shelf.handed_by_programme.get(p.code, Counter()))
    return ProgrammeLine(
        code=p.code,
        title_id=p.title_id,
        title_en=p.title_en,
        agency=p.agency,
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
        reserved=reserved,
        forfeited=forfeited,
        moved=moved,
        returned=returned,
        residual=residual + losses - moved,
        left=issued - returned - moved,
        # A loss is in its card's counters but charged to no programme; what was moved is not
        # the old card's any more.
        right=(redeemed - returned) + forfeited + (residual + losses - moved),
        goods=dict(sorted(handed.items())),
        unrecorded={good: n - handed[good] for good, n in sorted(given.items())},
    )


def _decided(world: World, wallet: int, kind: DecisionKind) -> int:
    return sum(d.amount for _, d in world.decisions(kind) if d.wallet == wallet)


def _providers(
    world: World, lines: list[ProgrammeLine], judged: dict[bytes, Owed]
) -> list[ProviderLine]:
    settled = books.replay(world, judged).settled
    owed: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for o in judged.values():
        if not o.why:
            owed[o.programme.provider] += o.minor
        elif "reversed" not in o.why:
            # What of it is a recorded loss was never redeemed: no part of the sum shown.
            amount = o.held.receipt.amount
            held[o.programme.provider] += o.minor * (amount - world.lost(o.held)) // amount
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
                moved_minor=sum(p.moved * p.price_minor for p in own),
                held_minor=held[name],
                left_minor=sum(p.residual * p.price_minor for p in own),
                payable_minor=owed[name],
                settled_minor=settled[name],
            )
        )
    return made


def _goods(world: World, shelves: dict[bytes, Shelf]) -> list[ShelfLine]:
    lines = []
    for name, shelf in shelves.items():
        place = world.stations[name].enrolment.place
        for good in shelf.goods():
            left = shelf.left[good] if shelf.counted is None else shelf.counted.get(good, 0)
            lines.append(
                ShelfLine(
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
    sums: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    handed: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    codes = {p.wallet: p for p in programmes.values()}
    for held in proven(world):
        r, p = held.receipt, codes.get(held.receipt.wallet)
        station = world.stations.get(r.terminal_id)
        if p is None or station is None:
            continue
        amount = (r.amount - world.lost(held)) * (1 if r.kind == ReceiptKind.DEBIT else -1)
        here = sums[station.enrolment.place, p.code]
        here["redeemed"] += amount
        here["minor"] += amount * (payable.price_of(p, r.basket_version) or 0)
    _loaded(world, codes, sums)
    _left(world, codes, sums)
    for name, shelf in shelves.items():
        for code, counted in shelf.handed_by_programme.items():
            handed[world.stations[name].enrolment.place, code].update(counted)
    return [
        PlaceLine(
            place=key[0],
            code=key[1],
            issued=sums[key]["issued"],
            residual=sums[key]["residual"],
            moved=sums[key]["moved"],
            loaded=sums[key]["loaded"],
            redeemed=sums[key]["redeemed"],
            forfeited=sums[key]["forfeited"],
            redeemed_minor=sums[key]["minor"],
            handed=dict(sorted(handed[key].items())),
        )
        for key in sorted(sums.keys() | handed.keys())
    ]


def _loaded(
    world: World, codes: dict[int, Programme], sums: dict[tuple[str, int], Counter[str]]
) -> None:
    """Steps of L and F that each LOAD statement shows, at its terminal's place."""
    for said in world.statements.values():
        s, p = said.statement, codes.get(said.statement.wallet)
        if s.kind != StatementKind.LOAD or p is None:
            continue
        before = [
            e.item.counters
            for e in events(world.cards[s.card_id], s.wallet)
            if e.item.entitlement_sequence < s.entitlement_sequence
        ]
        here = sums[world.stations[said.place.station].enrolment.place, p.code]
        here["loaded"] += s.counters.loaded - max([0, *(c.loaded for c in before)])
        here["forfeited"] += s.counters.forfeited - max([0, *(c.forfeited for c in before)])


def _left(
    world: World, codes: dict[int, Programme], sums: dict[tuple[str, int], Counter[str]]
) -> None:
    """What each card was entitled to and has left, at the place of its hand-over."""
    places = {
        s.statement.card_id: world.stations[s.place.station].enrolment.place
        for s in world.statements.values()
        if s.statement.kind == StatementKind.ACTIVATION
    }
    for card in world.cards.values():
        for wallet in card.wallets() & codes.keys():
            here = sums[places.get(card.card_id, ""), codes[wallet].code]
            here["issued"] += card.issued(wallet)
            moved = world.moved_away(card.card_id, wallet)
            here["moved"] += moved
            shown = [e.item.counters for e in events(card, wallet)]
            spent = sum(
                max([0, *(getattr(c, name) for c in shown)]) * sign
                for name, sign in (("debited", 1), ("reversed", -1), ("forfeited", 1))
            )
            lost = sum(
                world.lost(h) * (1 if h.receipt.kind == ReceiptKind.DEBIT else -1)
                for h in card.of_wallet(wallet)
            )
            here["residual"] += card.issued(wallet) - spent + lost - moved
