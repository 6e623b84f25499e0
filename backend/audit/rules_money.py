"""Rules 13, 14, 15, 18: settlement, conservation, goods, causes of loads (PROTOCOL.md §7)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from backend.audit import books, goods, payable, reserves
from backend.audit.facts import Fact
from backend.audit.findings import Finding, What, say
from backend.audit.forms import Amount
from backend.audit.model import Card, Issued, Object, World
from backend.audit.registry import rule
from wire.invariants import Invariant
from wire.objects import (
    Decision,
    DecisionKind,
    DecreeAnnex,
    DecreeRow,
    FieldVerification,
    FundRelease,
    VerificationDecision,
)
from wire.receipt import ReceiptKind


@rule(Invariant.SETTLED_ONCE)
def rule_13(world: World) -> Iterator[Finding]:
    """Payable is what signed objects give; each payable is settled exactly once."""
    judged = payable.judge(world)
    replayed = books.replay(world, judged)
    for entry, what in replayed.wrong:
        yield Finding(
            Invariant.SETTLED_ONCE, f"ledger/{entry.sequence}", what, (entry.evidence.hex(),)
        )
    for name, owed in sorted(judged.items()):
        is_booked = name in replayed.payable
        if is_booked == (not owed.why):
            continue
        holds = say(Fact.PAID_BUT_HELD, holds=tuple(sorted(owed.why)))
        what = holds if is_booked else say(Fact.NOT_OWED)
        yield Finding(Invariant.SETTLED_ONCE, owed.held.name, what, (name.hex(),))


@rule(Invariant.CONSERVATION)
def rule_14(world: World) -> Iterator[Finding]:
    """Every ledger account is what the signed objects give (the two sides: see ``report``).

    With every receipt present and every counter stepping by its amount (invariants 4 and 6) the
    two sides are equal for each card; what breaks them is listed there.
    """
    expected = books.expected_wallets(world)
    unjudged = {f"wallet-{code}" for code in reserves.replay(world).unjudged}
    for d in books.differences(world, expected, books.WALLET_KINDS):
        if d.key[0] in books.RESERVES and d.key[2] in unjudged:
            continue
        yield Finding(
            Invariant.CONSERVATION, f"ledger/{d.sequence or 'missing'}", d.what, (d.key[1].hex(),)
        )
    booked, strange = books.forfeits_booked(world)
    for entry in strange:
        yield Finding(
            Invariant.CONSERVATION,
            f"ledger/{entry.sequence}",
            say(Fact.FORFEIT_UNSHOWN),
            (entry.evidence.hex(),),
        )
    shown = {
        (card, wallet): n
        for card, wallets in books.forfeited(world).items()
        for wallet, n in wallets.items()
    }
    for key in sorted(shown.keys() | booked.keys()):
        if shown.get(key, 0) != booked[key]:
            yield Finding(
                Invariant.CONSERVATION,
                f"{key[0].hex()}/{key[1]}",
                say(Fact.FORFEIT_OTHER, booked=booked[key], shown=shown.get(key, 0)),
            )
    for entry in world.ledger:
        if entry.kind not in books.KNOWN_KINDS:
            yield Finding(
                Invariant.CONSERVATION,
                f"ledger/{entry.sequence}",
                say(Fact.LEDGER_KIND, detail=entry.kind),
                (entry.evidence.hex(),),
            )


@rule(Invariant.STOCK)
def rule_15(world: World) -> Iterator[Finding]:
    """Delivered = handed over + left + loss account, per terminal; the ledger says the same."""
    shelves = goods.shelves(world)
    for station, shelf in shelves.items():
        if shelf.is_tainted:
            continue
        for place, what in shelf.faults:
            yield Finding(
                Invariant.STOCK, place.name, what, (place.record.hash.hex(),), station.hex()
            )
        for good, left in sorted(shelf.should_be().items()):
            if left < 0 and not shelf.faults:
                yield Finding(
                    Invariant.STOCK,
                    station.hex(),
                    say(Fact.MORE_OUT, good=good, quantity=Amount(-left, world.units().get(good))),
                    (),
                    station.hex(),
                )
    skipped = {name for shelf in shelves.values() for name in shelf.skipped}
    tainted = {f"stock/{station.hex()}" for station, s in shelves.items() if s.is_tainted}
    for d in books.differences(world, books.goods_expected(shelves), books.GOODS):
        accounts = {account for account, _ in (d.found or d.expected or {})}
        if not accounts & tainted and d.key[1] not in skipped:
            yield Finding(
                Invariant.STOCK, f"ledger/{d.sequence or 'missing'}", d.what, (d.key[1].hex(),)
            )


# --- loads ------------------------------------------------------------


@rule(Invariant.DECREE_ROW)
def rule_18(world: World) -> Iterator[Finding]:
    """Every step of L stands on a decree row or a decision, once, within released funds."""
    yield from _decree_rows(world)
    yield from _decisions(world)
    yield from _Causes(world).judge()


def _finding(subject: str, what: What, name: bytes) -> Finding:
    return Finding(Invariant.DECREE_ROW, subject, what, (name.hex(),), "registry")


def _decree_rows(world: World) -> Iterator[Finding]:
    """A row stands on a visit that found the family."""
    visits = {o.hash: v for o, v in world.of(FieldVerification)}
    for o, annex in world.of(DecreeAnnex):
        for row in annex.rows:
            visit = visits.get(row.verification)
            if row.verification in world.aside_names:
                continue
            is_right = visit is not None and visit.family == row.family
            if not is_right or visit is None or visit.decision != VerificationDecision.VERIFIED:
                yield _finding(
                    f"{annex.number}/{row.row}",
                    say(Fact.ROW_NO_VISIT),
                    o.hash,
                )


def _decisions(world: World) -> Iterator[Finding]:
    """What is moved or returned was there."""
    for o, early in reserves.replay(world).above:
        yield _finding(early.number, say(Fact.MOVED_EARLY), o.hash)
    forfeited = books.forfeited(world)
    moved: Counter[tuple[bytes, int]] = Counter()
    returned: set[tuple[bytes, int]] = set()
    for o, d in world.decisions(DecisionKind.MOVE, DecisionKind.RETURN):
        card = world.cards.get(d.card_id)
        if card is None:
            yield _finding(d.number, say(Fact.DECISION_NO_CARD), o.hash)
            continue
        if d.kind == DecisionKind.MOVE:
            moved[d.card_id, d.wallet] += d.amount
            target = world.cards.get(d.new_card or b"")
            if target is None or target.family != card.family:
                yield _finding(d.number, say(Fact.MOVED_FAMILY), o.hash)
            residual = _residual(world, card, d.wallet) - forfeited[d.card_id][d.wallet]
            if moved[d.card_id, d.wallet] > residual:
                yield _finding(d.number, say(Fact.MOVED_MORE), o.hash)
            continue
        took = 0
        for n in range(d.first, d.last + 1):
            held = card.receipts.get(n)
            if held is None or held.receipt.wallet != d.wallet:
                continue
            if held.receipt.kind == ReceiptKind.DEBIT and (d.card_id, n) not in returned:
                returned.add((d.card_id, n))
                took += held.receipt.amount - world.lost(held)
        if d.amount > took:
            yield _finding(d.number, say(Fact.RETURNED_MORE), o.hash)


def _residual(world: World, card: Card, wallet: int) -> int:
    """L issued − what its receipts took without recorded losses."""
    taken = sum(
        (h.receipt.amount - world.lost(h)) * (1 if h.receipt.kind == ReceiptKind.DEBIT else -1)
        for h in card.of_wallet(wallet)
    )
    return card.issued(wallet) - taken


class _Causes:
    """Each step of L in the order of the issuance log."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows: dict[tuple[bytes, int], DecreeRow] = {
            (o.hash, row.row): row for o, annex in world.of(DecreeAnnex) for row in annex.rows
        }
        self.used: set[tuple[bytes, int]] = set()
        self.spent: dict[int, int] = defaultdict(int)
        self.prices = {p.code: p.tariffs[-1].price_minor for p in world.programmes().values()}
        self.releases = [
            (o.entry.sequence, r) for o, r in world.of(FundRelease) if o.entry is not None
        ]

    def judge(self) -> Iterator[Finding]:
        steps = [
            (card, issued)
            for card in self.world.cards.values()
            for every in card.entitlements.values()
            for issued in every
        ]
        for card, issued in sorted(steps, key=lambda s: s[1].entry.sequence):
            what = self._fault(card, issued)
            if what:
                e = issued.entitlement
                yield _finding(f"{e.card_id.hex()}/{e.wallet}/{e.sequence}", what, e.hash)

    def _fault(self, card: Card, issued: Issued) -> What | None:
        cause, step = issued.cause, issued.step
        if cause is None:
            return say(Fact.NO_CAUSE) if step > 0 else None
        if step <= 0:
            return say(Fact.CAUSE_NO_STEP)
        if cause.source in self.world.aside_names:
            return None  # listed under what set it aside
        key = (cause.source, cause.row)
        if key in self.used:
            return say(Fact.CAUSE_TWICE)
        self.used.add(key)
        if cause.row == 0:
            return self._decision(issued, self.world.objects.get(cause.source))
        return self._row(card, issued, self.rows.get(key))

    def _decision(self, issued: Issued, stated: Object | None) -> What | None:
        e = issued.entitlement
        decision = stated.payload if stated else None
        if not isinstance(decision, Decision):
            return say(Fact.NO_DECISION)
        target = decision.new_card or decision.card_id
        if decision.kind not in {DecisionKind.MOVE, DecisionKind.RETURN}:
            return say(Fact.DECISION_GIVES_NOTHING)
        if (target, decision.wallet) != (e.card_id, e.wallet):
            return say(Fact.DECISION_OTHER)
        return None if issued.step <= decision.amount else say(Fact.DECISION_LESS)

    def _row(self, card: Card, issued: Issued, row: DecreeRow | None) -> What | None:
        e = issued.entitlement
        if row is None:
            return say(Fact.NO_ROW)
        if (row.family, row.programme) != (card.family, e.programme):
            return say(Fact.ROW_OTHER)
        if issued.step > row.amount:
            return say(Fact.ROW_LESS)
        self.spent[e.programme] += issued.step * self.prices.get(e.programme, 0)
        released = sum(
            r.amount_minor
            for sequence, r in self.releases
            if r.programme == e.programme and sequence < issued.entry.sequence
        )
        if self.spent[e.programme] > released:
            return say(Fact.FUNDS_LESS)
        return None
