"""The terminal's journal: the hash-chained log in SQLite, append only, one commit per step.

A record that :meth:`Journal.append` returned is durable (PROTOCOL.md §1.3); its bytes are
docs/wire.md#log's. Derived tables (:mod:`.projection`) change in the same transaction, so after
any crash they say exactly what the records say. Every method may raise
:class:`terminal.errors.JournalError` and its kinds, the store's errors by name.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from terminal.errors import (
    AcknowledgementRefusedError,
    JournalDamagedError,
    OtherStationError,
    StepError,
)
from terminal.projection import SCHEMA, TABLES, State, project
from terminal.store import named_errors, transaction
from wire import log
from wire.env import Environment
from wire.errors import FormatError
from wire.log import MAX_UPLOAD_RECORDS, IntentKind, Record, check_chain
from wire.objects import Acknowledgement, GoodsLine, Unit
from wire.receipt import Receipt
from wire.schema import Shape

_OWN = """
CREATE TABLE station (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL,
  environment INTEGER NOT NULL, genesis BLOB NOT NULL);
CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL,
  hash BLOB NOT NULL, time_s INTEGER NOT NULL, acknowledged INTEGER NOT NULL,
  acknowledged_hash BLOB NOT NULL);
CREATE TABLE record (sequence INTEGER PRIMARY KEY, raw BLOB NOT NULL);
CREATE TRIGGER record_stays BEFORE UPDATE ON record
  BEGIN SELECT raise(ABORT, 'records are append only'); END;
CREATE TRIGGER record_unacknowledged BEFORE DELETE ON record
  WHEN OLD.sequence > (SELECT acknowledged FROM head)
  BEGIN SELECT raise(ABORT, 'only acknowledged records may go'); END;
CREATE TABLE card_certificate (card_id BLOB PRIMARY KEY, raw BLOB NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Station:
    """Whose journal it is; ``genesis`` is the hash of the signed Enrolment."""

    station_id: bytes
    env: Environment
    genesis: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The journal's end, and how far the backend acknowledged it."""

    sequence: int
    hash: bytes
    time_s: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class IntentRow:
    """An intent with its state; ``record`` is the INTENT or VOID record as chained.

    ``debit`` is, for a void, the debit's intent. ``expected`` is the card's sequence before.
    """

    sequence: int
    kind: IntentKind
    hash: bytes
    card_id: bytes
    expected: int
    debit: int | None
    on_counter: bool
    state: State
    left_pending: bool
    record: Record
    receipt: Receipt | None


@dataclass(frozen=True, slots=True)
class CardMemory:
    """What this terminal proved about a card before; ``wallets``: code → (D, R)."""

    certificate: bytes | None
    sequence: int
    hash: bytes | None
    script_count: int
    pin_set_count: int
    handed_over: bool
    foreign_image: bool
    wallets: dict[int, tuple[int, int]]


_UNKNOWN = CardMemory(None, 0, None, 0, 0, False, False, {})
_INTENT = (
    "SELECT sequence, kind, hash, card_id, expected, debit, on_counter, state, left_pending,"
    " raw, receipt FROM intent "
)


class Journal:
    """The log of one station over an open connection (:func:`terminal.store.connect`).

    Card ids are 8 bytes, hashes (of records, objects, certificates) 32.
    """

    def __init__(self, db: sqlite3.Connection, station: Station) -> None:
        """Make or open it; :class:`OtherStationError`, :class:`JournalDamagedError`."""
        self._db = db
        self.station = station
        with named_errors():
            made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'station'").fetchone()
        if made is None:
            self._create()
        self._check_station()
        self._check_end()

    def _create(self) -> None:
        s = self.station
        with transaction(self._db):
            for statement in (_OWN + SCHEMA).split(";\n"):
                # A trigger's body holds one statement, closed on its own line.
                self._db.execute(statement)
            self._db.execute(
                "INSERT INTO station VALUES (1, ?, ?, ?)", (s.station_id, int(s.env), s.genesis)
            )
            self._db.execute("INSERT INTO head VALUES (1, 0, ?, 0, 0, ?)", (s.genesis, s.genesis))

    def _check_station(self) -> None:
        with named_errors():
            row = self._db.execute("SELECT id, environment, genesis FROM station").fetchone()
        s = self.station
        if row != (s.station_id, int(s.env), s.genesis):
            raise OtherStationError("the journal belongs to another station or enrolment")

    def _check_end(self) -> None:
        head = self.head()
        row = self._one("SELECT max(sequence) FROM record")
        last = head.acknowledged if row is None or row[0] is None else row[0]
        if last != head.sequence:
            raise JournalDamagedError("the journal's end is not its last record")
        raw = self._one("SELECT raw FROM record WHERE sequence = ?", head.sequence)
        if raw is not None and Record.parse(raw[0]).hash != head.hash:
            raise JournalDamagedError("the journal's last record is another one")

    # --- writing ---------------------------------------------------------------------------

    def append(self, time_s: int, *bodies: Shape, certificate: bytes | None = None) -> list[Record]:
        """Chain and keep these bodies, all in one commit; they are durable on return.

        ``time_s`` is held at the last record's time at least. ``certificate``: the card's, kept
        beside an INTENT so that a receipt from a bundle can be verified without the card.
        Raises :class:`StepError` (nothing written), :class:`JournalFullError` and the like.
        """
        made: list[Record] = []
        with transaction(self._db):
            head = self.head()
            previous, sequence = head.hash, head.sequence
            at_s = max(time_s, head.time_s)
            for body in bodies:
                sequence += 1
                record = Record.make(sequence, previous, at_s, body)
                self._db.execute("INSERT INTO record VALUES (?, ?)", (sequence, record.raw))
                project(self._db, record)
                if certificate is not None and isinstance(body, log.Intent):
                    self._db.execute(
                        "INSERT OR REPLACE INTO card_certificate VALUES (?, ?)",
                        (body.card_id, certificate),
                    )
                previous = record.hash
                made.append(record)
            self._db.execute(
                "UPDATE head SET sequence = ?, hash = ?, time_s = ?", (sequence, previous, at_s)
            )
        return made

    def is_another_chain(self, ack: Acknowledgement) -> bool:
        """Whether a **verified** acknowledgement of this station shows records not held here.

        Beyond the end, or another record at a sequence that is held or was the last one pruned.
        What was pruned before that can no longer be told.
        """
        row = self._one(
            "SELECT sequence < ?1, acknowledged = ?1 AND acknowledged_hash <> ?2 FROM head",
            ack.last, ack.head,
        )  # fmt: skip
        held = self._one("SELECT raw FROM record WHERE sequence = ?", ack.last)
        is_other = held is not None and Record.parse(held[0]).hash != ack.head
        return is_other or (row is not None and any(row))

    def acknowledge(self, ack: Acknowledgement) -> int:
        """Take a **verified** acknowledgement and prune what it covers; how many records went.

        Raises :class:`AcknowledgementRefusedError` unless it names this station and the very
        hash of the record at its ``last``. Whether it shows another chain is the caller's to ask
        before (:meth:`is_another_chain`).
        """
        with transaction(self._db):
            head = self.head()
            if ack.station != self.station.station_id:
                raise AcknowledgementRefusedError("acknowledgement for another station")
            if ack.last > head.sequence:
                raise AcknowledgementRefusedError("acknowledgement beyond the journal's end")
            if ack.last <= head.acknowledged:
                return 0
            (raw,) = self._db.execute(
                "SELECT raw FROM record WHERE sequence = ?", (ack.last,)
            ).fetchone()
            if Record.parse(raw).hash != ack.head:
                raise AcknowledgementRefusedError("acknowledgement of another chain")
            self._db.execute(
                "UPDATE head SET acknowledged = ?, acknowledged_hash = ?", (ack.last, ack.head)
            )
            return self._db.execute("DELETE FROM record WHERE sequence <= ?", (ack.last,)).rowcount

    # --- reading ---------------------------------------------------------------------------

    def _one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        with named_errors():
            row: tuple[Any, ...] | None = self._db.execute(sql, values).fetchone()
            return row

    def _all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with named_errors():
            return self._db.execute(sql, values).fetchall()

    def head(self) -> Head:
        """The end of the chain."""
        with named_errors():
            row = self._db.execute(
                "SELECT sequence, hash, time_s, acknowledged FROM head"
            ).fetchone()
        return Head(*row)

    def records(self, first: int, last: int) -> list[Record]:
        """The records ``first`` to ``last`` still held, verified to be one chain.

        :class:`JournalDamagedError` when they are not.
        """
        rows = self._all(
            "SELECT raw FROM record WHERE sequence BETWEEN ? AND ? ORDER BY sequence", first, last
        )
        try:
            records = [Record.parse(raw) for (raw,) in rows]
            if records:
                check_chain(records, records[0].previous, records[0].sequence)
        except FormatError as e:
            raise JournalDamagedError(str(e)) from e
        return records

    def unacknowledged(self) -> list[Record]:
        """What the backend has not acknowledged, oldest first, at most one upload."""
        first = self.head().acknowledged + 1
        return self.records(first, first + MAX_UPLOAD_RECORDS - 1)

    def check(self) -> None:
        """Verify everything held: chain from the acknowledged record to the end.

        :class:`JournalDamagedError`.
        """
        row = self._one("SELECT acknowledged_hash FROM head")
        head, records = self.head(), self.records(0, 1 << 32)
        start = row[0] if row else None
        if len(records) != head.sequence - head.acknowledged:
            raise JournalDamagedError("records are missing")
        if records and (records[0].previous != start or records[-1].hash != head.hash):
            raise JournalDamagedError("the chain does not link to its ends")

    def derived(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every derived table's rows, for comparison."""
        return {
            name: sorted(self._all(f"SELECT * FROM {name}"), key=repr)  # noqa: S608
            for name in TABLES
        }

    def _intents(self, where: str, *values: object) -> list[IntentRow]:
        return [_row(r) for r in self._all(f"{_INTENT}{where} ORDER BY sequence", *values)]

    def intent(self, sequence: int) -> IntentRow:
        """The intent (debit or void) at this sequence; :class:`StepError` if there is none."""
        found = self._intents("WHERE sequence = ?", sequence)
        if not found:
            raise StepError(f"there is no intent {sequence}")
        return found[0]

    def find_intent(self, sequence: int) -> IntentRow | None:
        """The intent at this sequence, or None."""
        return next(iter(self._intents("WHERE sequence = ?", sequence)), None)

    def open_intents(self, card_id: bytes | None = None) -> list[IntentRow]:
        """Intents whose outcome is unknown, of this card or of all."""
        if card_id is None:
            return self._intents("WHERE state = ?", State.OPEN)
        return self._intents("WHERE state = ? AND card_id = ?", State.OPEN, card_id)

    def intents_of(self, card_id: bytes) -> list[IntentRow]:
        """Every intent about this card."""
        return self._intents("WHERE card_id = ?", card_id)

    def voids_of(self, debit: int) -> list[IntentRow]:
        """Every void intent about this debit."""
        return self._intents("WHERE debit = ?", debit)

    def undelivered(self, card_id: bytes | None = None) -> list[IntentRow]:
        """Debits with a receipt, without DELIVERED, and not voided: somebody has to say."""
        where = (
            "WHERE kind = 1 AND state = ? AND NOT EXISTS (SELECT 1 FROM intent v WHERE"
            " v.debit = intent.sequence AND v.state IN (?, ?))"
        )
        values: tuple[object, ...] = (State.RECEIPTED, State.RECEIPTED, State.RETURNED)
        if card_id is not None:
            where, values = where + " AND card_id = ?", (*values, card_id)
        return self._intents(where, *values)

    def suspended(self) -> list[IntentRow]:
        """Voids after hand-over whose goods still lie on the counter: back to stock or family."""
        return self._intents(
            "WHERE kind = 2 AND on_counter AND state IN (?, ?)", State.RECEIPTED, State.ABORTED
        )

    def card(self, card_id: bytes) -> CardMemory:
        """What this terminal remembers of a card."""
        row = self._one(
            "SELECT certificate, sequence, hash, script_count, pin_set_count, handed_over,"
            " foreign_image FROM card WHERE card_id = ?", card_id,
        )  # fmt: skip
        if row is None:
            return _UNKNOWN
        wallets = self._all("SELECT wallet, debited, reversed FROM wallet WHERE card_id = ?",
                            card_id)  # fmt: skip
        certificate, sequence, digest, scripts, pins, handed, foreign = row
        return CardMemory(
            certificate, sequence, digest, scripts, pins, bool(handed), bool(foreign),
            {w: (d, r) for w, d, r in wallets},
        )  # fmt: skip

    def card_certificate(self, card_id: bytes) -> bytes | None:
        """The certificate kept beside this card's last INTENT."""
        row = self._one("SELECT raw FROM card_certificate WHERE card_id = ?", card_id)
        return None if row is None else row[0]

    def own_reversals(self, card_id: bytes, wallet: int, after: int) -> int:
        """Sum of this terminal's own reversals on that wallet with a sequence above ``after``."""
        row = self._one(
            "SELECT coalesce(sum(amount), 0) FROM reversal WHERE card_id = ? AND wallet = ?"
            " AND sequence > ?", card_id, wallet, after,
        )  # fmt: skip
        return 0 if row is None else int(row[0])

    def stock(self) -> tuple[GoodsLine, ...]:
        """What should lie on the shelf; a negative count shows as zero (it is in the log)."""
        rows = self._all("SELECT good, unit, quantity FROM stock ORDER BY good, unit")
        return tuple(GoodsLine(str(g), Unit(u), max(0, q)) for g, u, q in rows)

    def received(self, delivery: bytes, good: str) -> bool:
        """Whether this line of a delivery was taken in already."""
        return self._one("SELECT 1 FROM delivery WHERE hash = ? AND good = ?",
                         delivery, good) is not None  # fmt: skip

    def shift_officer(self) -> int | None:
        """The officer whose shift is open, or None."""
        row = self._one("SELECT officer FROM shift")
        return None if row is None else int(row[0])

    def synced(self) -> log.Sync | None:
        """The last bundle recorded here (its pending list left out)."""
        row = self._one("SELECT epoch, counter, bundle, hotlist_version FROM sync")
        return None if row is None else log.Sync(row[0], row[1], row[2], row[3], ())

    @property
    def stopped(self) -> bool:
        """True once a restored image was shown: only a new enrolment helps (PROTOCOL.md §4.1)."""
        return self._one("SELECT 1 FROM stop") is not None


def _row(r: Sequence[Any]) -> IntentRow:
    receipt = None if r[10] is None else Receipt.parse(r[10])
    return IntentRow(
        r[0], IntentKind(r[1]), r[2], r[3], r[4], r[5], bool(r[6]), State(r[7]), bool(r[8]),
        Record.parse(r[9]), receipt,
    )  # fmt: skip


def replay(db: sqlite3.Connection, station: Station, records: Iterable[Record]) -> Journal:
    """A journal made anew from its records, for checks: its derived tables must be the same."""
    journal = Journal(db, station)
    for record in records:
        journal.append(record.time_s, record.body)
    return journal
