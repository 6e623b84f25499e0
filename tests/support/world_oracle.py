"""The ledger oracle: what the backend and the auditor say, held against what truly happened.

Truth is every receipt the cards signed (read from their memories) and who got goods. Nothing here
reads a terminal's journal or trusts the backend's own sums.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import select

from backend.audit.report import Report
from backend.audit.verify import verify
from backend.models import DecisionRow, EntitlementRow, Payable, ReceiptRow, Station
from tests.support import world_steps as steps
from tests.support.terminal_world import PIN
from tests.support.world_sim import Point, SimCard, World, require
from wire import cbor
from wire.cvc import Role
from wire.objects import DecisionKind
from wire.purse import Life
from wire.receipt import Receipt, ReceiptKind

EXPLAINED = {
    "disputed", "terminal-lost", "blocked", "loss", "clone", "returned", "written-off", "no-intent",
    "suspense", "unseen-reversal",
}  # fmt: skip
"""Why goods may be with a family and yet not paid."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finished run: the auditor's report and what of the truth never came home."""

    report: Report
    settled_minor: int
    receipts: int
    missing: int
    held: Counter[str]

    @property
    def invariants(self) -> set[int]:
        """Which invariants the auditor found broken."""
        return {int(f.invariant) for f in self.report.findings}


# --- the end of the story ------------------------------------------------------------


def drain(w: World) -> None:
    """Everybody comes once more, every terminal syncs, the rest is settled."""
    w.wire.trouble = 0.0
    for point in w.points:
        point.withheld_until = point.skew_s = 0
        if not point.is_lost and point.journal.stopped:  # re-enrolled under a new id
            steps.sync_http(w, point)
            steps.close_point(w, point)
    for _ in range(2):
        for point in w.live:
            for _ in range(3):
                steps.sync_http(w, point)
            for card in w.held:
                _last_visit(w, point, card)
            steps.put_away(w, point)
            _say_all(w, point)
            steps.sync_http(w, point)
        w.office.entitle()
    for point in w.live:
        for _ in range(3):
            steps.sync_http(w, point)
    w.office.settle()


def _last_visit(w: World, point: Point, card: SimCard) -> None:
    def nothing(visit: object) -> None:
        """Recovery and collection happen by opening."""

    if card.store.card.life is Life.ACTIVE:
        steps.visiting(w, point, card, Role.TERMINAL, nothing, calm=True)


def _say_all(w: World, point: Point) -> None:
    """Somebody says of every debit whether the goods were handed over."""
    for row in point.journal.undelivered():
        if w.goods_of(point, row.sequence).state == "handed":
            point.engine.delivered(row.sequence)


# --- the judgement ------------------------------------------------------------


def judge(w: World, folder: Path) -> Verdict:
    """Compare everything; raises SimulationError."""
    with w.office.db.read() as session:
        rows = {r.hash: r for r in session.exec(select(ReceiptRow))}
        owed = {p.receipt: p for p in session.exec(select(Payable))}
        issued = list(session.exec(select(EntitlementRow)))
        decisions = list(session.exec(select(DecisionRow)))
        pending = {(s.station, n) for s in session.exec(select(Station)) if s.pending
                   for n in cbor.decode(s.pending)}  # fmt: skip
    missing = _check_receipts(w, rows, pending)
    settled = _check_payables(w, rows, owed)
    _check_wallets(w, issued, decisions, rows)
    _check_clones(w)
    for row in rows.values():
        _check_held(w, row, owed)
    report = w.office.report()
    if not w.expected:
        require(report["findings"] == [], f"backend's findings: {report['findings'][:3]}")
    require(report["settled_minor"] >= 0, "settled below zero")
    debtors = {p.provider for p in owed.values()
               if p.undone_sequence is not None and p.undone_settlement is None}  # fmt: skip
    if not debtors and not w.expected:
        require(report["settled_minor"] == settled, "another sum was settled than the truth gives")
        require(report["difference_minor"] == report["goods_difference"] == 0, "not reconciled")
        require(report["ledger"] == [], f"ledger accounts differ: {report['ledger'][:3]}")
    audited = audit(w, folder)
    found = {int(f.invariant) for f in audited.findings}
    stray = [f for f in audited.findings if int(f.invariant) not in w.expected]
    told = [(int(f.invariant), f.subject, f.what) for f in stray]
    require(found <= w.expected, f"auditor: {told[:5]}")
    if not w.expected:
        require(audited.settled_minor == report["settled_minor"], "auditor settles another sum")
        require(audited.difference_minor == report["difference_minor"], "auditor differs")
    held = Counter(r.held for r in rows.values() if r.held)
    return Verdict(audited, settled, len(rows), missing, held)


def audit(w: World, folder: Path) -> Report:
    """Export and verify."""
    w.office.export(folder / "export")
    (folder / "trust.cbor").write_bytes(bytes(w.backend.keys.trust))
    return verify(folder / "export", folder / "trust.cbor", allow_demo=True)


def _check_receipts(
    w: World, rows: dict[bytes, ReceiptRow], pending: set[tuple[bytes, int]]
) -> int:
    """What the backend holds was signed by a card; what it lacks can be explained.

    A receipt that no answer brought stays on its card. With the card gone for good, its terminal is
    lost too, or lists the intent as pending for ever: what a decision writes off.
    """
    for digest in rows:
        require(digest in w.receipts, "the backend holds a receipt that no card signed")
    reachable = {c.card_id for c in w.held}
    missing = [r for h, r in w.receipts.items() if h not in rows]
    lost = {p.name for p in w.points if p.is_lost} | {p.name for p in w.images}
    for r in missing:
        is_clones = any(c.is_clone or c.is_cloned for c in w.cards if c.card_id == r.card_id)
        is_told = r.terminal_id in lost or (r.terminal_id, r.terminal_sequence) in pending
        why = is_told and r.card_id not in reachable
        require(
            why or is_clones or _is_refused_everywhere(w, r),
            f"receipt {r.card_id.hex()}/{r.sequence} of {r.terminal_id!r} never came home",
        )
    return len(missing)


def _is_refused_everywhere(w: World, r: Receipt) -> bool:
    """A card that terminals turned away for good (it met a restored image)."""
    return any(p.name == r.terminal_id for p in w.images)


def _check_payables(w: World, rows: dict[bytes, ReceiptRow], owed: dict[bytes, Payable]) -> int:
    """Settled once, for goods that were handed over, at the signed price; returns the sum."""
    prices = _prices(w)
    total = 0
    # A provider who owes more than is owed to him waits (backend.settle).
    waiting = {(p.provider, p.programme) for p in owed.values()
               if p.undone_sequence is not None and p.undone_settlement is None}  # fmt: skip
    for digest, p in owed.items():
        r = w.receipts[digest]
        require(r.kind == ReceiptKind.DEBIT, "a reversal was paid")
        require(p.amount_minor == r.amount * prices[r.wallet], "paid at another price")
        if p.undone_sequence is not None:
            continue
        require(w.goods[digest].ever, f"paid for goods never handed over: {rows[digest].held}")
        require(w.goods[digest].state == "handed", "paid for goods that came back")
        is_waiting = (p.provider, p.programme) in waiting
        require(p.settlement is not None or is_waiting, "payable, but not settled")
        total += p.amount_minor
    return total


def _prices(w: World) -> dict[int, int]:
    items = json.loads(w.files["programmes.json"])["programmes"]
    return {i["wallet"]["code"]: i["versions"][-1]["price_minor"] for i in items}


def _check_held(w: World, row: ReceiptRow, owed: dict[bytes, Payable]) -> None:
    """Every debit is settled or held for a reason; goods with the family are not forgotten."""
    if row.kind != ReceiptKind.DEBIT:
        return
    payable = owed.get(row.hash)
    is_settled = payable is not None and payable.undone_sequence is None
    require(is_settled != bool(row.held), f"neither settled nor held, or both: {row.held!r}")
    reasons = {x for x in row.held.split(",") if x}
    goods = w.goods[row.hash]
    if goods.state == "handed" and reasons:
        # A lost terminal may have sent the receipt and not its DELIVERED; of one with two images
        # the backend takes only the chain that came first.
        closed = [p for p in w.points if p.is_lost] + w.images
        is_closed = row.terminal in {p.name for p in closed}
        require(is_closed or reasons & EXPLAINED, f"goods are out, held only by {row.held}")
    if goods.state == "none":
        wanted = {"not-delivered", "reversed", *EXPLAINED}
        # The chain of one of two images may never come.
        is_forked = row.terminal in {p.name for p in w.images}
        require(is_forked or reasons & wanted, f"nothing was handed over, yet {row.held!r}")


def _check_wallets(w: World, issued: list[EntitlementRow], decisions: list[DecisionRow],
                   rows: dict[bytes, ReceiptRow]) -> None:  # fmt: skip
    """Value per card and wallet: balance = L − D + R − F, L as issued, F only by expiry."""
    loaded = Counter[tuple[bytes, int]]()
    for e in issued:
        loaded[e.card_id, e.wallet] = max(loaded[e.card_id, e.wallet], e.loaded)
    moved = Counter[tuple[bytes, int]]()
    for d in decisions:
        if d.kind == DecisionKind.MOVE:
            moved[d.card_id, d.wallet] += d.amount
    for card in w.cards:
        if card.is_clone or card.is_cloned:
            continue
        store, unseen = card.store, _unseen(card, rows)
        for wallet in store.wallets(store.card):
            c, key = wallet.counters, (card.card_id, wallet.code)
            require(c.loaded <= loaded[key], "a card holds more than was issued")
            require(c.balance == c.loaded - c.debited + c.reversed - c.forfeited, "arithmetic")
            taken = sum(
                r.amount if r.kind == ReceiptKind.DEBIT else -r.amount
                for r in card.truth.values() if r.wallet == wallet.code and r.hash not in unseen
            )  # fmt: skip
            losses = sum(
                rows[r.hash].lost if r.kind == ReceiptKind.DEBIT else -rows[r.hash].lost
                for r in card.truth.values()
                if r.wallet == wallet.code and r.hash in rows
            )
            require(taken + moved[key] - losses <= loaded[key] or moved[key] == 0,
                    "moved and spent more than was issued")  # fmt: skip


def _unseen(card: SimCard, rows: dict[bytes, ReceiptRow]) -> set[bytes]:
    """The last receipts of a burnt card that died with their terminals: nobody can know of them.

    That they could not come home is checked by :func:`_check_receipts`; what a later receipt or
    the card itself still tells is not among them.
    """
    if not card.is_gone:
        return set()
    last = max((n for n, r in card.truth.items() if r.hash in rows), default=0)
    return {r.hash for n, r in card.truth.items() if n > last}


def _check_clones(w: World) -> None:
    """A broken chip re-spends at most its balance, once per terminal (PROTOCOL.md §9)."""
    for clone in [c for c in w.cards if c.is_clone]:
        bodies = [c for c in w.cards if c.card_id == clone.card_id]
        taken = Counter[tuple[bytes, int]]()
        for r in {r.hash: r for c in bodies for r in c.truth.values()}.values():
            sign = 1 if r.kind == ReceiptKind.DEBIT else -1
            taken[r.terminal_id, r.wallet] += sign * r.amount
        loaded = Counter[int]()
        for x in [x for c in bodies for x in c.store.wallets(c.store.card)]:
            loaded[x.code] = max(loaded[x.code], x.counters.loaded)
        for (terminal, wallet), amount in taken.items():
            require(amount <= loaded[wallet], f"a clone took {amount} at {terminal!r}")


__all__ = ["PIN", "Verdict", "audit", "drain", "judge"]
