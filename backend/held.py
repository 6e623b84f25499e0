"""What is held about the cards that one piece of work touches, read at once and kept true.

An upload asks the same tables about the same cards at every record. Here the history of many
cards comes in one query each; whoever adds a row within that work says so here. What may change
later (:class:`backend.models.ReceiptRow`, `Payable`) is read when it is judged. What this saves:
docs/benchmarks.md#ingest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlmodel import Session, col, select

from backend.models import (
    Card,
    DecisionRow,
    EntitlementRow,
    Hold,
    IntentRow,
    Payable,
    ReceiptRow,
    StatementRow,
    Station,
    WalletState,
)
from wire.objects import DecisionKind
from wire.receipt import Statement, StatementKind, link_of

AT_ONCE = 500  # ids a query, below SQLite's limit of variables


class Past(NamedTuple):
    """What of a receipt other receipts are held to; a card's whole history is made of these."""

    sequence: int
    hash: bytes
    kind: int
    wallet: int
    amount: int
    debited: int
    reversed: int
    link: bytes
    lost: int
    held: str

    @classmethod
    def of(cls, r: ReceiptRow) -> Past:
        """Of a row just made."""
        return cls(r.sequence, r.hash, r.kind, r.wallet, r.amount, r.debited, r.reversed,
                   link_of(r.raw), r.lost, r.held)  # fmt: skip


@dataclass(slots=True)
class CardHeld:
    """One card: its receipts by sequence, L by (wallet, entitlement sequence), and the rest."""

    card: Card | None = None
    receipts: dict[int, Past] = field(default_factory=dict)
    issued: dict[tuple[int, int], int] = field(default_factory=dict)
    wallets: dict[int, WalletState] = field(default_factory=dict)
    decisions: list[DecisionRow] = field(default_factory=list)
    loads: list[Statement] = field(default_factory=list)

    def entitled(self, wallet: int) -> int:
        """The highest L ever issued to this wallet, less what decisions moved away from it."""
        issued = max((n for (w, _), n in self.issued.items() if w == wallet), default=0)
        return issued - sum(
            d.amount for d in self.decisions
            if d.wallet == wallet and d.kind == int(DecisionKind.MOVE)
        )  # fmt: skip


@dataclass(slots=True)
class Held:
    """The cards, stations and intents of one transaction's work."""

    session: Session
    _cards: dict[bytes, CardHeld] = field(default_factory=dict)
    _rows: dict[tuple[bytes, int], ReceiptRow] = field(default_factory=dict)
    _named: dict[tuple[bytes, int], set[tuple[bytes, int]]] = field(default_factory=dict)
    _intents: dict[tuple[bytes, int], IntentRow | None] = field(default_factory=dict)
    _stations: dict[bytes, Station | None] = field(default_factory=dict)

    # --- cards ---------------------------------------------------------------------------------

    def card(self, card_id: bytes) -> CardHeld:
        """Everything of one card."""
        found = self._cards.get(card_id)
        if found is None:
            self.load([card_id])
            found = self._cards[card_id]
        return found

    def load(self, card_ids: Iterable[bytes]) -> None:
        """Read these cards, as far as they are not known yet."""
        for part in _parts(x for x in card_ids if x not in self._cards):
            self._load(part)

    def _load(self, ids: list[bytes]) -> None:
        session, new = self.session, {card_id: CardHeld() for card_id in ids}
        for card in session.exec(select(Card).where(col(Card.card_id).in_(ids))):
            new[card.card_id].card = card
        r = ReceiptRow
        columns = (r.card_id, r.sequence, r.hash, r.kind, r.wallet, r.amount, r.debited,
                   r.reversed, r.raw, r.lost, r.held)  # fmt: skip
        for card_id, sequence, digest, kind, wallet, amount, debited, back, raw, lost, held in (
            session.execute(select(*columns).where(col(r.card_id).in_(ids)))  # type: ignore[call-overload]
        ):
            new[card_id].receipts[sequence] = Past(
                sequence, digest, kind, wallet, amount, debited, back, link_of(raw), lost, held
            )
        e = EntitlementRow
        for card_id, wallet, sequence, loaded in session.exec(
            select(e.card_id, e.wallet, e.sequence, e.loaded).where(col(e.card_id).in_(ids))
        ):
            new[card_id].issued[wallet, sequence] = loaded
        for state in session.exec(select(WalletState).where(col(WalletState.card_id).in_(ids))):
            new[state.card_id].wallets[state.wallet] = state
        for decision in session.exec(select(DecisionRow).where(col(DecisionRow.card_id).in_(ids))):
            new[decision.card_id].decisions.append(decision)
        for card_id, raw in session.exec(
            select(StatementRow.card_id, StatementRow.raw).where(
                col(StatementRow.card_id).in_(ids), StatementRow.kind == int(StatementKind.LOAD)
            )
        ):
            new[card_id].loads.append(Statement.parse(raw))
        self._cards |= new

    # --- receipts ------------------------------------------------------------------------------

    def add(self, row: ReceiptRow) -> None:
        """A receipt settled now."""
        self.session.add(row)
        self._rows[row.card_id, row.sequence] = row
        self.card(row.card_id).receipts[row.sequence] = Past.of(row)
        named = self._named.get((row.terminal, row.terminal_sequence))
        if named is not None:
            named.add((row.card_id, row.sequence))

    def load_rows(self, keys: Iterable[tuple[bytes, int]]) -> None:
        """Read these receipts' rows, as far as they are held."""
        wanted = {(c, n) for c, n in keys if n in self.card(c).receipts} - self._rows.keys()
        hashes = (self.card(c).receipts[n].hash for c, n in wanted)
        for part in _parts(hashes):
            for row in self.session.exec(select(ReceiptRow).where(col(ReceiptRow.hash).in_(part))):
                self._rows[row.card_id, row.sequence] = row

    def row(self, card_id: bytes, sequence: int) -> ReceiptRow | None:
        """The row of a receipt, which may be changed."""
        key = card_id, sequence
        if key not in self._rows:
            self.load_rows([key])
        return self._rows.get(key)

    def naming(self, station: bytes, sequence: int) -> set[tuple[bytes, int]]:
        """(card, sequence) of every receipt that names this intent, whoever carried it home."""
        if (station, sequence) not in self._named:
            self.load_naming(station, [sequence])
        return self._named[station, sequence]

    def load_naming(self, station: bytes, sequences: Iterable[int]) -> None:
        """Read which receipts name these intents."""
        r = ReceiptRow
        for part in _parts(n for n in sequences if (station, n) not in self._named):
            self._named |= {(station, n): set() for n in part}
            for sequence, card_id, number in self.session.exec(
                select(r.terminal_sequence, r.card_id, r.sequence)
                .where(r.terminal == station, col(r.terminal_sequence).in_(part))
            ):  # fmt: skip
                self._named[station, sequence].add((card_id, number))

    # --- stations and intents ------------------------------------------------------------------

    def station(self, station: bytes) -> Station | None:
        """The row of a station."""
        if station not in self._stations:
            self._stations[station] = self.session.get(Station, station)
        return self._stations[station]

    def intent(self, station: bytes, sequence: int) -> IntentRow | None:
        """An intent or void of a station."""
        key = station, sequence
        if key not in self._intents:
            self._intents[key] = self.session.get(IntentRow, key)
        return self._intents[key]

    def add_intent(self, row: IntentRow) -> None:
        """An intent or void entered now."""
        self.session.add(row)
        self._intents[row.station, row.sequence] = row


@dataclass(slots=True)
class Judged:
    """What is held about receipts that are judged: why, what is owed, which voids there are."""

    holds: dict[bytes, list[Hold]] = field(default_factory=dict)
    owed: dict[bytes, Payable] = field(default_factory=dict)
    voids: dict[tuple[bytes, int], list[IntentRow]] = field(default_factory=dict)

    @classmethod
    def of(cls, session: Session, rows: Iterable[ReceiptRow]) -> Judged:
        """Of these receipts."""
        made, rows = cls(), list(rows)
        for part in _parts(r.hash for r in rows):
            for hold in session.exec(select(Hold).where(col(Hold.receipt).in_(part))):
                made.holds.setdefault(hold.receipt, []).append(hold)
            for owed in session.exec(select(Payable).where(col(Payable.receipt).in_(part))):
                made.owed[owed.receipt] = owed
        for station in {r.terminal for r in rows}:
            asked = (r.terminal_sequence for r in rows if r.terminal == station)
            for sequences in _parts(asked):
                for void in session.exec(
                    select(IntentRow).where(IntentRow.station == station,
                                            col(IntentRow.void_of).in_(sequences))
                ):  # fmt: skip
                    made.voids.setdefault((station, void.void_of or 0), []).append(void)
        return made


def _parts(ids: Iterable[bytes] | Iterable[int]) -> Iterator[list]:  # type: ignore[type-arg]
    every = sorted(set(ids))  # type: ignore[type-var]
    for at in range(0, len(every), AT_ONCE):
        yield every[at : at + AT_ONCE]
