"""The desk log: signed, hash-chained, append only, kept and uploaded as a terminal's is.

A record that :meth:`DeskLog.append` returned is durable; what ``also`` writes beside it (the
state of an order) is durable with it or not at all. The bytes are docs/wire.md#log's. Every method
may raise :class:`issuer.errors.LogError` and its kinds, the store's errors by name.
"""

# ruff: noqa: ISC004 - statements of SQL, each over lines
from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from issuer.errors import AcknowledgementRefusedError, LogDamagedError, OtherStationError
from issuer.store import named_errors, transaction
from keys.errors import KeysError
from keys.signer import Signer, sign_object
from keys.trust import TrustStore
from wire.env import Environment
from wire.errors import FormatError, WireError
from wire.log import MAX_UPLOAD_RECORDS, Record, Upload, check_chain
from wire.objects import Acknowledgement, UploadHead
from wire.schema import Shape

_SCHEMA = (
    "CREATE TABLE station (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL,"
    " environment INTEGER NOT NULL, genesis BLOB NOT NULL)",
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL,"
    " hash BLOB NOT NULL, time_s INTEGER NOT NULL, acknowledged INTEGER NOT NULL,"
    " acknowledged_hash BLOB NOT NULL)",
    "CREATE TABLE record (sequence INTEGER PRIMARY KEY, raw BLOB NOT NULL)",
    "CREATE TRIGGER record_stays BEFORE UPDATE ON record"
    " BEGIN SELECT raise(ABORT, 'records are append only'); END",
    "CREATE TRIGGER record_unacknowledged BEFORE DELETE ON record"
    " WHEN OLD.sequence > (SELECT acknowledged FROM head)"
    " BEGIN SELECT raise(ABORT, 'only acknowledged records may go'); END",
)
Also = Callable[[sqlite3.Connection], None]


@dataclass(frozen=True, slots=True)
class Station:
    """Whose log it is; ``genesis`` is the hash of the signed Enrolment."""

    station_id: bytes
    env: Environment
    genesis: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The log's end, and how far the backend acknowledged it."""

    sequence: int
    hash: bytes
    time_s: int
    acknowledged: int


class DeskLog:
    """The log of one desk over an open connection (:func:`issuer.store.connect`)."""

    def __init__(self, db: sqlite3.Connection, station: Station) -> None:
        """Make or open it; :class:`OtherStationError`, :class:`LogDamagedError`."""
        self._db = db
        self.station = station
        sql = "SELECT 1 FROM sqlite_master WHERE name = 'station'"
        with named_errors():
            made = db.execute(sql).fetchone()
        if made is None:
            self._create()
        with named_errors():
            row = db.execute("SELECT id, environment, genesis FROM station").fetchone()
        if row != (station.station_id, int(station.env), station.genesis):
            raise OtherStationError("the desk log belongs to another station or enrolment")
        self.check()

    def _create(self) -> None:
        s = self.station
        with transaction(self._db):
            for statement in _SCHEMA:
                self._db.execute(statement)
            self._db.execute(
                "INSERT INTO station VALUES (1, ?, ?, ?)", (s.station_id, int(s.env), s.genesis)
            )
            self._db.execute("INSERT INTO head VALUES (1, 0, ?, 0, 0, ?)", (s.genesis, s.genesis))

    def append(self, time_s: int, *bodies: Shape, also: Also | None = None) -> list[Record]:
        """Chain and keep these bodies, all in one commit; they are durable on return.

        ``time_s`` is held at the last record's time at least. ``also`` writes in the same commit.
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
                previous = record.hash
                made.append(record)
            self._db.execute(
                "UPDATE head SET sequence = ?, hash = ?, time_s = ?", (sequence, previous, at_s)
            )
            if also is not None:
                also(self._db)
        return made

    def head(self) -> Head:
        """The end of the chain."""
        with named_errors():
            row = self._db.execute(
                "SELECT sequence, hash, time_s, acknowledged FROM head"
            ).fetchone()
        return Head(*row)

    def records(self, first: int = 1, last: int = 1 << 32) -> list[Record]:
        """The records ``first`` to ``last`` still held, verified to be one chain.

        :class:`LogDamagedError` when they are not.
        """
        sql = "SELECT raw FROM record WHERE sequence BETWEEN ? AND ? ORDER BY sequence"
        with named_errors():
            rows = self._db.execute(sql, (first, last)).fetchall()
        try:
            records = [Record.parse(raw) for (raw,) in rows]
            if records:
                check_chain(records, records[0].previous, records[0].sequence)
        except FormatError as e:
            raise LogDamagedError(str(e)) from e
        return records

    def check(self) -> None:
        """Verify everything held: chain from the acknowledged record to the end.

        :class:`LogDamagedError`.
        """
        with named_errors():
            (start,) = self._db.execute("SELECT acknowledged_hash FROM head").fetchone()
        head, records = self.head(), self.records()
        if len(records) != head.sequence - head.acknowledged:
            raise LogDamagedError("records are missing")
        last = records[-1].hash if records else start
        if (records and records[0].previous != start) or last != head.hash:
            raise LogDamagedError("the chain does not link to its ends")

    def build_upload(self, log_key: Signer) -> Upload | None:
        """Every record the backend has not acknowledged, under one signed head; None when none.

        A repeated upload has the same records; the backend answers with the same acknowledgement.
        """
        first = self.head().acknowledged + 1
        records = self.records(first, first + MAX_UPLOAD_RECORDS - 1)
        if not records:
            return None
        s = self.station
        head = UploadHead(s.station_id, records[0].sequence, records[-1].sequence, records[-1].hash)
        return Upload(head, sign_object(log_key, head, s.env), tuple(records))

    def acknowledge(self, raw: bytes, trust: TrustStore) -> int:
        """Verify an acknowledgement and prune what it covers; how many records went.

        Raises :class:`AcknowledgementRefusedError` unless it verifies, names this station and the
        very hash of the record at its ``last``.
        """
        try:
            ack = trust.verify(Acknowledgement, raw)
        except (WireError, KeysError) as e:
            raise AcknowledgementRefusedError(str(e)) from e
        if ack.station != self.station.station_id:
            raise AcknowledgementRefusedError("acknowledgement for another station")
        with transaction(self._db):
            head = self.head()
            if ack.last > head.sequence:
                raise AcknowledgementRefusedError("acknowledgement beyond the log's end")
            if ack.last <= head.acknowledged:
                return 0
            (held,) = self._db.execute(
                "SELECT raw FROM record WHERE sequence = ?", (ack.last,)
            ).fetchone()
            if Record.parse(held).hash != ack.head:
                raise AcknowledgementRefusedError("acknowledgement of another chain")
            self._db.execute(
                "UPDATE head SET acknowledged = ?, acknowledged_hash = ?", (ack.last, ack.head)
            )
            return self._db.execute("DELETE FROM record WHERE sequence <= ?", (ack.last,)).rowcount
