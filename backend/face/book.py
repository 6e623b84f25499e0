"""An export (docs/wire.md#export), verified, with every figure's lines and item's bytes at hand.

Loading is the auditor's own verification (:func:`backend.audit.verify.judge`); what is added here
is only an index. Nothing is written, and nothing of a book changes once it is made.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

from backend.audit.build import name_of
from backend.audit.load import UPLOAD_NAME, Export, read
from backend.audit.model import Card, Held, Place, World
from backend.audit.names import Names
from backend.audit.report import ProgrammeLine, Report
from backend.audit.verify import judge
from backend.face.alter import Source
from backend.face.lines import (
    RUPIAH_COUNTS,
    Count,
    Line,
    Ref,
    RefKind,
    Sources,
    home_places,
    lines,
    sources,
)
from backend.face.texts import State
from wire.cose import Sign1
from wire.errors import WireError
from wire.log import Aborted, Collected, Receipted
from wire.objects import Unit
from wire.receipt import ReceiptKind


@dataclass(frozen=True, slots=True)
class Query:
    """Which lines make a figure: what is counted, and where (None: everywhere)."""

    count: Count
    programme: int | None = None
    provider: str | None = None
    place: str | None = None
    card: str | None = None
    good: str | None = None


@dataclass(slots=True)
class Tally:
    """What lines add up to: units, rupiah, receipts behind them, other items behind them."""

    amount: int = 0
    minor: int = 0
    receipts: int = 0
    papers: int = 0
    lines: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        """Count one line in."""
        self.amount += line.amount
        self.minor += line.minor
        self.receipts += line.receipts
        self.papers += line.ref.kind != RefKind.RECEIPT
        self.lines.append(line)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the report, and what it comes from.

    ``amount`` is in ``unit``; ``minor`` in rupiah where the unit is another, else 0; ``total``
    what its lines add up to, which a reader may compare.
    """

    query: Query
    amount: int
    unit: Unit
    minor: int
    receipts: int
    papers: int
    total: int


@dataclass(frozen=True, slots=True)
class Paper:
    """A byte string of the export: the object, and where in the export it lies."""

    raw: bytes
    where: str


_SHAPES = (
    ("programme",), ("provider",), ("place",), ("card",), ("programme", "place"),
    ("programme", "card"), ("provider", "place"), (),
)  # fmt: skip


class Book:
    """One loaded export. ``report`` is what ``betang-audit verify`` reports."""

    def __init__(self, source: Source, export: Export, report: Report) -> None:
        self.source, self.export, self.report = source, export, report
        self.world: World = report.world
        self.sources: Sources = sources(self.world)
        self.homes = home_places(self.world)
        self.programmes: dict[int, ProgrammeLine] = {p.code: p for p in report.programmes}
        self.wallets = {w: p.code for w, p in self.world.programmes().items()}
        self._tallies: dict[Query, Tally] = defaultdict(Tally)
        for line in lines(self.sources):
            self._enter(line)
        self._names: dict[str, Names] = {}

    def _enter(self, line: Line) -> None:
        values = {
            "programme": line.programme, "provider": line.provider, "place": line.place,
            "card": line.card.hex(),
        }  # fmt: skip
        for shape in _SHAPES:
            where: dict[str, Any] = {key: values[key] for key in shape}
            query = Query(line.count, **where)
            if line.good:
                self._tallies[replace(query, good=line.good)].add(line)
            else:
                self._tallies[query].add(line)

    # --- figures ------------------------------------------------------------

    def tally(self, query: Query) -> Tally:
        """The lines of a figure; an empty one when there are none."""
        return self._tallies.get(query, Tally())

    def figure(self, query: Query, amount: int | None = None) -> Figure:
        """A figure as the report has it (``amount``), or as its lines add up."""
        found = self.tally(query)
        unit = self.unit(query)
        in_rupiah = unit == Unit.RUPIAH
        total = found.minor if in_rupiah else found.amount
        price = self.programmes[query.programme].price_minor if not in_rupiah and (
            query.programme in self.programmes and not query.good) else 0  # fmt: skip
        shown = total if amount is None else amount
        return Figure(query, shown, unit, shown * price, found.receipts, found.papers, total)

    def unit(self, query: Query) -> Unit:
        """Of one programme its wallet's, of a good its own, of several rupiah."""
        if query.good is not None:
            return self.world.units().get(query.good, Unit.PIECE)
        if query.count in RUPIAH_COUNTS or query.programme not in self.programmes:
            return Unit.RUPIAH
        return Unit[self.programmes[query.programme].unit.upper()]

    # --- names ------------------------------------------------------------

    def names(self, language: str) -> Names:
        """Names for ids in one language."""
        if language not in self._names:
            self._names[language] = Names(self.world, language)
        return self._names[language]

    def title(self, code: int) -> tuple[str, str]:
        """A programme's name in both languages."""
        line = self.programmes.get(code)
        return (line.title_id, line.title_en) if line else (str(code), str(code))

    def wallet_title(self, wallet: int) -> tuple[str, str] | None:
        """The programme whose wallet this is; None for no wallet or an unknown one."""
        code = self.wallets.get(wallet)
        return self.title(code) if code is not None else None

    # --- receipts ------------------------------------------------------------

    def state(self, held: Held) -> tuple[State, tuple[str, ...]]:
        """What became of a receipt, and why it is held."""
        name = held.receipt.hash
        owed = self.sources.judged.get(name)
        if held.receipt.kind == ReceiptKind.REVERSAL:
            return State.REVERSAL, ()
        if owed is None:
            return State.UNJUDGED, ()
        if "reversed" in owed.why:
            return State.REVERSED, ()
        if owed.why:
            return State.HELD, tuple(sorted(owed.why))
        s = self.sources.settlement
        return (State.PAID if name in s.payable - s.open else State.OWED), ()

    def held(self, name: bytes) -> Held | None:
        """A proven receipt by its hash."""
        return self.world.receipts.get(name)

    def card_of(self, held: Held) -> Card:
        """The card that signed it."""
        return self.world.cards[held.receipt.card_id]

    # --- bytes ------------------------------------------------------------

    @cached_property
    def papers(self) -> dict[bytes, Paper]:
        """Every object of the export by its name, verified or not."""
        found: dict[bytes, Paper] = {}
        for kind, items in self.export.objects.items():
            for number, raw in enumerate(items, 1):
                found.setdefault(_cose_name(raw), Paper(raw, f"objects/{kind}/{number}"))
        for entry in self.world.issuance:
            name = name_of(entry)
            if name is not None and len(entry.item) > 32:
                found.setdefault(name, Paper(entry.item, f"issuance/{entry.sequence}"))
        for place, raw in self._carried():
            found.setdefault(sha256(raw[:-64]).digest(), Paper(raw, place.name))
        return found

    def _carried(self) -> list[tuple[Place, bytes]]:
        """Receipts and statements in the stations' records, also those set aside."""
        found = []
        for station in self.world.stations.values():
            for place in station.chain():
                found += [(place, raw) for raw in carried(place)]
        return found

    @cached_property
    def records(self) -> dict[bytes, Place]:
        """Every record by its hash."""
        return {p.record.hash: p for s in self.world.stations.values() for p in s.chain()}

    @cached_property
    def uploads(self) -> dict[str, list[tuple[int, int, bytes]]]:
        """Station in hex → (first, last, bytes) of each upload, by what its file's name says."""
        found: dict[str, list[tuple[int, int, bytes]]] = defaultdict(list)
        for file in self.export.uploads:
            match = UPLOAD_NAME.match(file.name)
            if match:
                found[match[1]].append((int(match[2]), int(match[3]), file.raw))
        return found

    # --- from a name to its page ------------------------------------------------------------

    def find(self, name: str) -> Ref | None:
        """What a finding, a figure or a field names: a hash, an id, ``station/n``, ``ledger/n``."""
        head, _, rest = name.partition("/")
        if head in {"ledger", "issuance"} and rest.isdecimal():
            entries = self.world.ledger if head == "ledger" else self.world.issuance
            kind = RefKind.LEDGER if head == "ledger" else RefKind.ISSUANCE
            return Ref(kind, rest) if 0 < int(rest) <= len(entries) else None
        try:
            raw = bytes.fromhex(head)
        except ValueError:
            return None
        if len(raw) == 32 and not rest:
            return self._by_hash(raw)
        return self._by_id(raw, rest) if len(raw) == 8 else None

    def _by_hash(self, name: bytes) -> Ref | None:
        if name in self.world.receipts:
            return Ref(RefKind.RECEIPT, name.hex())
        if name in self.papers:
            is_receipt = self.papers[name].raw[:3] == b"BTR"
            return Ref(RefKind.RECEIPT if is_receipt else RefKind.NAMED, name.hex())
        if name in self.records:
            return Ref(RefKind.RECORD, self.records[name].name)
        for kind, entries in (
            (RefKind.LEDGER, self._ledger_hashes), (RefKind.ISSUANCE, self._issuance_hashes)
        ):  # fmt: skip
            if name in entries:
                return Ref(kind, str(entries[name]))
        return None

    @cached_property
    def _ledger_hashes(self) -> dict[bytes, int]:
        return {e.hash: e.sequence for e in self.world.ledger}

    @cached_property
    def _issuance_hashes(self) -> dict[bytes, int]:
        return {e.hash: e.sequence for e in self.world.issuance}

    @cached_property
    def evidence(self) -> dict[bytes, list[int]]:
        """Hash → the ledger entries that stand on it."""
        found: dict[bytes, list[int]] = defaultdict(list)
        for entry in self.world.ledger:
            found[entry.evidence].append(entry.sequence)
        return found

    def _by_id(self, owner: bytes, rest: str) -> Ref | None:
        card, station = self.world.cards.get(owner), self.world.stations.get(owner)
        last = rest.rpartition("/")[2]
        if station is not None:
            is_record = last.isdecimal() and int(last) in station.records
            key = f"{owner.hex()}/{last}" if is_record else owner.hex()
            return Ref(RefKind.RECORD if is_record else RefKind.STATION, key)
        if card is None:
            return None
        if "/" not in rest and last.isdecimal() and int(last) in card.receipts:
            return Ref(RefKind.RECEIPT, card.receipts[int(last)].receipt.hash.hex())
        return Ref(RefKind.CARD, owner.hex())


def carried(place: Place) -> list[bytes]:
    """Receipts and statements that one record holds."""
    body = place.record.body
    if isinstance(body, Receipted):
        return [body.receipt]
    if isinstance(body, Collected):
        return [body.item]
    if isinstance(body, Aborted):
        return [body.other] if body.other is not None else []
    statement = getattr(body, "statement", None)
    return [statement] if isinstance(statement, bytes) else []


def _cose_name(raw: bytes) -> bytes:
    try:
        return Sign1.parse(raw).hash
    except WireError:
        return sha256(raw).digest()


def load(source: Source) -> Book:
    """Read and verify an export; :class:`backend.audit.errors.AuditError`."""
    export = read(source.folder)
    report = judge(export, source.trust_file, allow_demo=source.allow_demo,
                   head_file=source.head_file)  # fmt: skip
    return Book(source, export, report)
