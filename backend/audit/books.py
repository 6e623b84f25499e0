"""The ledger held to the signed objects, entry by entry (docs/ledger.md, PROTOCOL.md §7.13-15).

Expected entries come from objects alone. An entry that stands on something set aside is not
judged here: it is listed with what set that aside.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from hashlib import sha256

from backend.audit import reserves
from backend.audit.facts import Fact
from backend.audit.findings import What, say
from backend.audit.goods import Postings, Shelf
from backend.audit.model import RUPIAH, Held, World
from backend.audit.payable import Owed
from wire.chain import LedgerEntry
from wire.log import RecordType
from wire.objects import Decision, DecisionKind, FundRelease, TerminalLost
from wire.receipt import Receipt, ReceiptKind, Statement

PAYMENTS = {"payable", "unpayable", "settlement"}
GOODS = {"stock-in", "stock-back", "handed", "returned-goods", "stock-loss"}
FORFEIT = "forfeit"
TURNED = "stock-loss"
"""The kind whose entries of one record add up: a count that came while its terminal was being
closed is booked, then turned round (docs/ledger.md)."""
Key = tuple[str, bytes, str]
"""Kind, evidence, good."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One ledger entry that no object explains, or that is missing; None where there is none."""

    key: Key
    found: Postings | None
    expected: Postings | None
    sequence: int

    @property
    def what(self) -> What:
        """In words."""
        kind, _, good = self.key
        if self.found is None:
            return say(Fact.LEDGER_MISSING, entry_kind=kind, good=good)
        if self.expected is None:
            return say(Fact.LEDGER_UNEXPLAINED, entry_kind=kind, good=good)
        return say(Fact.LEDGER_OTHER, entry_kind=kind, good=good)


def postings_of(entry: LedgerEntry) -> dict[str, Postings]:
    """Good → (account, good) → amount."""
    found: dict[str, Postings] = defaultdict(dict)
    for p in entry.postings:
        key = (p.account, p.good)
        found[p.good][key] = found[p.good].get(key, 0) + p.amount
    return found


def _pair(good: str, source: str, target: str, amount: int) -> Postings:
    return {(source, good): -amount, (target, good): amount}


def expected_wallets(world: World) -> dict[Key, Postings]:
    """Entries in wallet units and fund releases, without forfeits."""
    expected: dict[Key, Postings] = {}
    for o, release in world.of(FundRelease):
        expected["fund-release", o.hash, RUPIAH] = _pair(
            RUPIAH, "treasury", f"funds/{release.programme}", release.amount_minor
        )
    by_wallet = world.programmes()
    for card in world.cards.values():
        for issued in (i for every in card.entitlements.values() for i in every):
            e = issued.entitlement
            if issued.step > 0:
                unit = f"wallet-{e.programme}"
                expected["issue", e.hash, unit] = _pair(
                    unit, f"issued/{e.programme}", f"outstanding/{e.programme}", issued.step
                )
        for held in card.receipts.values():
            programme = by_wallet.get(held.receipt.wallet)
            if programme is not None:
                expected |= _receipt(world, held, programme.code)
    for o, decision in world.decisions(DecisionKind.MOVE, DecisionKind.RETURN):
        programme = by_wallet.get(decision.wallet)
        if programme is not None:
            kind = "move" if decision.kind == DecisionKind.MOVE else "return"
            account = "moved" if decision.kind == DecisionKind.MOVE else "returned"
            unit = f"wallet-{programme.code}"
            expected[kind, o.hash, unit] = _pair(
                unit,
                f"outstanding/{programme.code}",
                f"{account}/{programme.code}",
                decision.amount,
            )
    return expected | _reserves(world)


def _reserves(world: World) -> dict[Key, Postings]:
    expected: dict[Key, Postings] = {}
    for change in reserves.replay(world).changes:
        code, unit = change.code, f"wallet-{change.code}"
        # A MOVE of nothing is booked as a reserve of nothing.
        kind = "reserve" if change.amount >= 0 else "reserve-cleared"
        expected[kind, change.evidence, unit] = _pair(
            unit, f"reserved-loss/{code}", f"reserve/{code}", change.amount
        )
    return expected


def _receipt(world: World, held: Held, code: int) -> dict[Key, Postings]:
    r, unit, lost = held.receipt, f"wallet-{code}", world.lost(held)
    sign = 1 if r.kind == ReceiptKind.DEBIT else -1
    made: dict[Key, Postings] = {}
    if lost:
        made["loss", r.hash, unit] = _pair(
            unit, f"recorded-loss/{code}", f"loss/{code}", sign * lost
        )
    if r.amount > lost:
        kind = "debit" if sign == 1 else "reversal"
        made[kind, r.hash, unit] = _pair(
            unit, f"outstanding/{code}", f"redeemed/{code}", sign * (r.amount - lost)
        )
    return made


def differences(world: World, expected: dict[Key, Postings], kinds: set[str]) -> list[Difference]:
    """Ledger entries of these kinds against what objects give."""
    found: dict[Key, Postings] = {}
    places: dict[Key, int] = {}
    wrong: list[Difference] = []
    for entry in world.ledger:
        if entry.kind not in kinds or entry.evidence in world.aside_names:
            continue
        for good, postings in postings_of(entry).items():
            key = (entry.kind, entry.evidence, good)
            if key in found and entry.kind == TURNED:
                found[key] = {a: n + postings.get(a, 0) for a, n in found[key].items()}
                found[key] |= {a: n for a, n in postings.items() if a not in found[key]}
                continue
            if key in found:
                wrong.append(Difference(key, postings, None, entry.sequence))
                continue
            found[key], places[key] = postings, entry.sequence
    found = {k: p for k, p in found.items() if k[0] != TURNED or any(p.values())}
    for key in found.keys() | expected.keys():
        if found.get(key) != expected.get(key) and key[1] not in world.aside_names:
            at = places.get(key, 0)
            wrong.append(Difference(key, found.get(key), expected.get(key), at))
    return sorted(wrong, key=lambda d: (d.sequence, d.key))


RESERVES = {"reserve", "reserve-cleared"}
WALLET_KINDS = {"fund-release", "issue", "debit", "reversal", "loss", "move", "return"} | RESERVES
KNOWN_KINDS = WALLET_KINDS | PAYMENTS | GOODS | {FORFEIT}


def goods_expected(shelves: dict[bytes, Shelf]) -> dict[Key, Postings]:
    """Stock entries of every station whose goods can be judged."""
    expected: dict[Key, Postings] = {}
    for shelf in shelves.values():
        for kind, evidence, postings in shelf.postings:
            good = next(iter(postings))[1]
            expected[kind, evidence, good] = postings
    return expected


def forfeited(world: World) -> dict[bytes, dict[int, int]]:
    """Card → wallet → the highest F anything proven shows."""
    highest: dict[bytes, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    items: list[Receipt | Statement] = [h.receipt for h in world.receipts.values()]
    items += [s.statement for s in world.statements.values()]
    for item in items:
        if item.hash in world.aside_names:
            continue
        of_card = highest[item.card_id]
        of_card[item.wallet] = max(of_card[item.wallet], item.counters.forfeited)
    return highest


def forfeits_booked(world: World) -> tuple[Counter[tuple[bytes, int]], list[LedgerEntry]]:
    """(card, wallet) → F booked on its receipts and statements; entries that stand on neither."""
    booked: Counter[tuple[bytes, int]] = Counter()
    strange: list[LedgerEntry] = []
    codes = {p.wallet: p.code for p in world.programmes().values()}
    for entry in world.ledger:
        if entry.kind != FORFEIT or entry.evidence in world.aside_names:
            continue
        held, said = world.receipts.get(entry.evidence), world.statements.get(entry.evidence)
        item = held.receipt if held else said.statement if said else None
        code = codes.get(item.wallet) if item else None
        unit = f"wallet-{code}"
        postings = postings_of(entry)
        amount = postings.get(unit, {}).get((f"forfeited/{code}", unit), 0)
        wanted = {unit: _pair(unit, f"outstanding/{code}", f"forfeited/{code}", amount)}
        if item is None or code is None or postings != wanted:
            strange.append(entry)
            continue
        booked[item.card_id, item.wallet] += amount
    return booked, strange


# --- settlement ------------------------------------------------------------


@dataclass(slots=True)
class _Debt:
    """One debit in the ledger: ``lines`` not yet in a settlement, newest last."""

    owed: Owed
    is_owed: bool = False
    is_paid: bool = False
    line: tuple[int, bytes, int] | None = None


@dataclass(slots=True)
class Settlement:
    """What the ledger's payables and settlements say, replayed (docs/ledger.md#settlement).

    ``payable``: receipts that it holds to be owed; ``settled``: rupiah per provider;
    ``open``: receipts owed and in no settlement yet; ``wrong``: (ledger sequence, what);
    ``covers``: of each settlement's ledger sequence, (receipt, rupiah) that it pays.
    """

    payable: set[bytes] = field(default_factory=set)
    settled: Counter[str] = field(default_factory=Counter)
    open: set[bytes] = field(default_factory=set)
    wrong: list[tuple[LedgerEntry, What]] = field(default_factory=list)
    covers: dict[int, tuple[tuple[bytes, int], ...]] = field(default_factory=dict)


def replay(world: World, judged: dict[bytes, Owed]) -> Settlement:
    """Replay every payable, unpayable and settlement in ledger order."""
    return _Replay(world, judged).run()


class _Replay:
    def __init__(self, world: World, judged: dict[bytes, Owed]) -> None:
        self.world = world
        self.debts = {name: _Debt(owed) for name, owed in judged.items()}
        self.skipped: set[tuple[str, int]] = set()
        self.result = Settlement()
        self.records = {
            place.record.hash: place
            for station in world.stations.values()
            for place in station.chain()
            if place.record.kind in {RecordType.DISPUTE, RecordType.VOID}
        }

    def run(self) -> Settlement:
        for entry in self.world.ledger:
            if entry.kind == "payable":
                self._payable(entry)
            elif entry.kind == "unpayable":
                self._unpayable(entry)
            elif entry.kind == "settlement":
                self._settlement(entry)
        for name, debt in self.debts.items():
            if debt.is_owed:
                self.result.payable.add(name)
                if debt.line is not None:
                    self.result.open.add(name)
        return self.result

    def _wrong(self, entry: LedgerEntry, what: What) -> None:
        self.result.wrong.append((entry, what))

    def _expected(self, owed: Owed, sign: int) -> dict[str, Postings]:
        p = owed.programme
        return {
            RUPIAH: _pair(RUPIAH, f"payable/{p.provider}", f"spent/{p.code}", sign * owed.minor)
        }

    def _payable(self, entry: LedgerEntry) -> None:
        debt = self.debts.get(entry.evidence)
        if debt is None:
            if entry.evidence in self.world.aside_names:
                self._skip(entry)  # listed under what set it aside
            else:
                self._wrong(entry, say(Fact.PAYABLE_UNPROVEN))
            return
        if postings_of(entry) != self._expected(debt.owed, 1):
            self._wrong(entry, say(Fact.PAYABLE_OTHER))
            self._skip(entry)
            return
        if debt.is_owed:
            self._wrong(entry, say(Fact.PAYABLE_TWICE))
            self._skip(entry)
            return
        debt.is_owed = True
        if debt.is_paid and debt.line is not None:
            debt.line = None  # owed again before anything was given back
            return
        debt.line = (entry.sequence, entry.evidence, debt.owed.minor)

    def _skip(self, entry: LedgerEntry) -> None:
        """A settlement that covers this entry cannot be recomputed."""
        for p in entry.postings:
            if p.account.startswith("spent/"):
                self.skipped |= {
                    (q.account.removeprefix("payable/"), int(p.account.removeprefix("spent/")))
                    for q in entry.postings
                    if q.account.startswith("payable/")
                }

    def _unpayable(self, entry: LedgerEntry) -> None:
        wanted = postings_of(entry)
        for name in self._meant(entry.evidence):
            debt = self.debts.get(name)
            if debt is None or not debt.is_owed:
                continue
            if wanted != self._expected(debt.owed, -1):
                continue
            debt.is_owed = False
            if debt.line is not None:
                debt.line = None  # the pair cancels; no settlement ever covers it
            else:
                debt.line = (entry.sequence, entry.evidence, -debt.owed.minor)
            return
        self._wrong(entry, say(Fact.UNPAYABLE_NOTHING))
        self._skip(entry)

    def _meant(self, evidence: bytes) -> list[bytes]:
        """Receipts which this evidence may make not payable, by card and sequence."""
        held = self.world.receipts.get(evidence)
        place = self.records.get(evidence)
        stated = self.world.objects.get(evidence)
        meant: list[tuple[bytes, int]] = []
        if held is not None:
            r = held.receipt
            meant = [(r.card_id, r.sequence)]  # a debit doubled by it
            if r.kind == ReceiptKind.REVERSAL:
                meant.insert(0, (r.card_id, r.sequence - 1))
        elif place is not None and place.record.kind == RecordType.DISPUTE:
            meant = [(place.record.body.card_id, place.record.body.sequence)]
        elif place is not None:
            void = self.world.stations[place.station].asks[place.record.sequence]
            debit = void.void_of.receipt if void.void_of else None
            meant = [(debit.card_id, debit.sequence)] if debit else []
        elif stated is not None and isinstance(stated.payload, TerminalLost):
            # Of an upload that came while the terminal was being closed.
            lost = stated.payload
            meant = sorted(
                (r.card_id, r.sequence)
                for r in (h.receipt for h in self.world.receipts.values())
                if r.terminal_id == lost.terminal and r.terminal_sequence > lost.last
            )
        elif stated is not None and isinstance(stated.payload, Decision):
            d = stated.payload
            meant = (
                [
                    (d.card_id, n)
                    for n in sorted(self.world.cards[d.card_id].receipts)
                    if d.first <= n <= d.last
                ]
                if d.card_id in self.world.cards
                else []
            )
        return [
            self.world.cards[card].receipts[n].receipt.hash
            for card, n in meant
            if card in self.world.cards and n in self.world.cards[card].receipts
        ]

    def _settlement(self, entry: LedgerEntry) -> None:
        found = postings_of(entry).get(RUPIAH, {})
        providers = [a.removeprefix("payable/") for a, _ in found if a.startswith("payable/")]
        codes = [a.removeprefix("funds/") for a, _ in found if a.startswith("funds/")]
        if len(providers) != 1 or len(codes) != 1 or not codes[0].isdecimal():
            self._wrong(entry, say(Fact.SETTLEMENT_SHAPE))
            return
        provider, code = providers[0], int(codes[0])
        amount = found[f"payable/{provider}", RUPIAH]
        self.result.settled[provider] += amount
        covered = [
            d
            for d in self.debts.values()
            if d.line is not None
            and (d.owed.programme.provider, d.owed.programme.code) == (provider, code)
        ]
        lines = sorted(d.line for d in covered if d.line is not None)
        evidence = sha256(b"".join(e for _, e, _ in lines)).digest()
        is_right = (amount, evidence) == (sum(minor for _, _, minor in lines), entry.evidence)
        if not is_right and (provider, code) not in self.skipped:
            self._wrong(entry, say(Fact.SETTLEMENT_SUM))
        self.result.covers[entry.sequence] = tuple(
            (d.owed.held.receipt.hash, d.line[2]) for d in covered if d.line is not None
        )
        for debt in covered:
            debt.is_paid = debt.is_owed
            debt.line = None
