"""What is uploaded: the true chains of some terminals, and the sums they must lead to.

Real terminals and real cards on the world of :mod:`tests.support.world_sim`, before anything was
uploaded. The truth is what the cards signed and what was handed over, not what journals say.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from keys.hierarchy import World as Keys
from keys.signer import Signer
from terminal.carry import install_bundle
from terminal.outcomes import Activated, Redeemed, Voided
from terminal.visit import Visit
from tests.support.campaign import FaultError
from tests.support.terminal_world import CODE, GIB, PIN
from tests.support.world_sim import ENV, Point, SimCard, World
from wire.cvc import Role
from wire.env import Environment
from wire.log import Record
from wire.objects import Unit
from wire.receipt import Receipt, ReceiptKind


@dataclass
class Truth:
    """Receipts by hash; sums by programme, in wallet units, minor rupiah and goods."""

    receipts: list[bytes] = field(default_factory=list)
    redeemed: Counter[int] = field(default_factory=Counter)
    settled_minor: int = 0
    handed: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass
class Story:
    """What a campaign needs of a world that is over."""

    keys: Keys
    env: Environment
    now_s: int
    chains: dict[bytes, list[Record]]
    log_keys: dict[bytes, Signer]
    truth: Truth


def tell(folder: Path, url: str | None, seed: int, points: int, taps: int) -> Story:
    """So many terminals (4 at least) serve five families for a day; nobody uploads anything."""
    w = World(folder, seed, url=url)
    try:
        while len(w.points) < points:
            w.new_point()
        for point in w.points:  # officers' certificates come with the next bundle
            install_bundle(point.engine, w.office.bundle(point.name, None) or b"")
        for card in w.cards:
            _hand_over(w, card, w.random.choice(w.points))
        handed: set[bytes] = set()
        for _ in range(taps):
            _tap(w, w.random.choice(w.cards), w.random.choice(w.points), handed)
        for point in w.points:
            if w.random.random() < 0.5:
                point.engine.close_shift()
        w.clock.now_s += 3600
        return Story(
            w.backend.keys, ENV, w.clock(),
            {p.name: p.journal.records(1, GIB) for p in w.points},
            {p.name: p.log_key for p in w.points}, _truth(w, handed),
        )  # fmt: skip
    finally:
        w.close()


def _hand_over(w: World, card: SimCard, point: Point) -> None:
    officer = point.officers[Role.HANDOVER]
    with _visit(point.engine.begin(card.put_in(), Role.HANDOVER, officer)) as visit:
        done = visit.activate(CODE, PIN, bast="B-1", place="Balai", proxy="")
    if not isinstance(done, Activated):
        raise FaultError(f"not handed over: {done}")
    card.take_out()


def _visit(begun: object) -> Visit:
    if not isinstance(begun, Visit):
        raise FaultError(f"the day does not go as planned: {begun}")
    return begun


def _tap(w: World, card: SimCard, point: Point, handed: set[bytes]) -> None:
    w.clock.now_s += 60
    paid: Redeemed | None = None
    with _visit(point.engine.begin(card.put_in())) as visit:
        visit.verify_pin(PIN)
        for shown in [x for x in visit.wallets() if x.most]:
            is_cash = shown.programme is not None and shown.programme.unit == Unit.RUPIAH
            amount = min(shown.most, w.random.randrange(1, 9_000)) if is_cash else 1
            done = visit.redeem(shown.wallet, amount)
            paid = done if isinstance(done, Redeemed) else None
            if paid is not None and w.random.random() < 0.8:
                visit.delivered(paid.intent)
                handed.add(paid.receipt.hash)
                paid = None
    card.take_out()
    if paid is not None and w.random.random() < 0.5:
        officer = point.officers[Role.SUPERVISOR]
        with _visit(point.engine.begin(card.put_in(), Role.SUPERVISOR, officer)) as visit:
            done = visit.void(paid.intent, on_counter=False, reason="salah")
            if not isinstance(done, Voided):
                raise FaultError(f"not voided: {done}")
        card.take_out()
    w.observe(card, point)


def _truth(w: World, handed: set[bytes]) -> Truth:
    truth = Truth(sorted(w.receipts))
    programmes = {p.wallet: p for p in w.points[0].engine.roster.programmes()}
    for digest, receipt in w.receipts.items():
        programme = programmes[receipt.wallet]
        sign = 1 if receipt.kind == ReceiptKind.DEBIT else -1
        truth.redeemed[programme.code] += sign * receipt.amount
        if digest in handed:
            tariff = programme.tariff(receipt.basket_version)
            truth.settled_minor += receipt.amount * tariff.price_minor
            for good, quantity in _goods(receipt, programme.unit, tariff.lines):
                if programme.stocked:
                    key = receipt.terminal_id.hex(), good
                    truth.handed[key] = truth.handed.get(key, 0) + quantity
    return truth


def _goods(receipt: Receipt, unit: Unit, lines: tuple[object, ...]) -> list[tuple[str, int]]:
    if unit == Unit.RUPIAH:
        return [("rupiah", receipt.amount)]
    return [(x.good, x.quantity * receipt.amount) for x in lines]  # type: ignore[attr-defined]
