"""Why a family gets a card: decree row and field visit, as signed objects beside the orders.

A decree names every family; the desk verifies it and keeps only the rows of its own orders, so
that what lies here is what is worked on (UU PDP: no more than needed). What the screen makes of it:
docs/desk.md#the-face.
"""

# ruff: noqa: ISC004 - statements of SQL, each over lines
from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from issuer.store import named_errors, transaction
from keys.errors import KeysError
from keys.trust import TrustStore
from wire.cose import Sign1
from wire.errors import WireError
from wire.objects import DecreeAnnex, DecreeRow, FieldVerification, Order, Programme

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS decree (hash BLOB PRIMARY KEY, number TEXT NOT NULL,"
    " day INTEGER NOT NULL, signatory TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS decree_row (decree BLOB NOT NULL, row INTEGER NOT NULL,"
    " raw BLOB NOT NULL, family BLOB NOT NULL, PRIMARY KEY (decree, row))",
    "CREATE TABLE IF NOT EXISTS visit (hash BLOB PRIMARY KEY, raw BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS programme (code INTEGER PRIMARY KEY, version INTEGER NOT NULL,"
    " raw BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS misfit (number BLOB PRIMARY KEY)",
)


@dataclass(frozen=True, slots=True)
class Decree:
    """A verified decree without its rows. ``day``: YYYYMMDD."""

    hash: bytes
    number: str
    day: int
    signatory: str


@dataclass(frozen=True, slots=True)
class Right:
    """One row of a decree for this family, and its programme's own words if held."""

    row: DecreeRow
    programme: Programme | None


@dataclass(frozen=True, slots=True)
class Visit:
    """The field verification that the decree row cites, and the name of its signed object."""

    hash: bytes
    said: FieldVerification


@dataclass(frozen=True, slots=True)
class Evidence:
    """What stands behind one order; each part None or empty while it has not come.

    ``fits`` is False once the decree itself showed that the row named is not this family's.
    """

    decree: Decree | None
    rights: tuple[Right, ...]
    visit: Visit | None
    fits: bool


class EvidenceBook:
    """Verified evidence over the desk's database."""

    def __init__(self, db: sqlite3.Connection, trust: TrustStore) -> None:
        self._db, self._trust = db, trust
        with transaction(db):
            for statement in _SCHEMA:
                db.execute(statement)

    def take(self, raws: Sequence[bytes], orders: Iterable[Order]) -> int:
        """Keep what stands and concerns these orders; how many objects stood.

        An object of another kind or one that does not verify is left. Evidence is shown and decides
        one thing: an order whose row the decree gives to another family is none.
        """
        orders, stood = tuple(orders), 0
        for raw in raws:
            try:
                kind, name = (parsed := Sign1.parse(raw)).kind, parsed.hash
                if kind == DecreeAnnex.KIND:
                    self._keep_decree(name, self._trust.verify(DecreeAnnex, raw), orders)
                elif kind == FieldVerification.KIND:
                    self._trust.verify(FieldVerification, raw)
                    self._insert("INSERT OR IGNORE INTO visit VALUES (?, ?)", name, parsed.payload)
                elif kind == Programme.KIND:
                    self._keep_programme(self._trust.verify(Programme, raw), parsed.payload)
                else:
                    continue
            except (WireError, KeysError):
                continue
            stood += 1
        return stood

    def of(self, order: Order) -> Evidence:
        """What is held for this order."""
        with named_errors():
            head = self._db.execute(
                "SELECT hash, number, day, signatory FROM decree WHERE hash = ?", (order.decree,)
            ).fetchone()
            rows = self._db.execute(
                "SELECT decree, raw FROM decree_row WHERE family = ? ORDER BY decree, row",
                (order.family,),
            ).fetchall()
        if head is None:
            return Evidence(None, (), None, fits=self.fits(order))
        held = [(decree, DecreeRow.parse(raw)) for decree, raw in rows]
        rights = tuple(Right(row, self.programme(row.programme)) for _, row in held)
        named = [row for decree, row in held if (decree, row.row) == (order.decree, order.row)]
        visit = self._visit(named[0].verification) if named else None
        return Evidence(Decree(*head), rights, visit, fits=self.fits(order))

    def fits(self, order: Order) -> bool:
        """False once the decree showed that the row the order names is not its family's."""
        with named_errors():
            row = self._db.execute("SELECT 1 FROM misfit WHERE number = ?", (order.number,))
            return row.fetchone() is None

    def programme(self, code: int) -> Programme | None:
        """The newest version held of a programme."""
        with named_errors():
            row = self._db.execute("SELECT raw FROM programme WHERE code = ?", (code,)).fetchone()
        return None if row is None else Programme.parse(row[0])

    def _visit(self, name: bytes) -> Visit | None:
        with named_errors():
            row = self._db.execute("SELECT raw FROM visit WHERE hash = ?", (name,)).fetchone()
        return None if row is None else Visit(name, FieldVerification.parse(row[0]))

    def _keep_decree(self, name: bytes, annex: DecreeAnnex, orders: tuple[Order, ...]) -> None:
        families, owners = {o.family for o in orders}, {r.row: r.family for r in annex.rows}
        wrong = [o for o in orders if o.decree == name and owners.get(o.row) != o.family]
        with transaction(self._db):
            self._db.execute("INSERT OR IGNORE INTO decree VALUES (?, ?, ?, ?)",
                             (name, annex.number, annex.day, annex.signatory))  # fmt: skip
            self._db.executemany(
                "INSERT OR IGNORE INTO decree_row VALUES (?, ?, ?, ?)",
                [(name, r.row, bytes(r), r.family) for r in annex.rows if r.family in families],
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO misfit VALUES (?)", [(o.number,) for o in wrong]
            )

    def _keep_programme(self, programme: Programme, payload: bytes) -> None:
        self._insert(
            "INSERT INTO programme VALUES (?, ?, ?) ON CONFLICT (code) DO UPDATE SET"
            " version = excluded.version, raw = excluded.raw"
            " WHERE excluded.version > programme.version",
            programme.code, programme.version, payload,
        )  # fmt: skip

    def _insert(self, sql: str, *values: object) -> None:
        with transaction(self._db):
            self._db.execute(sql, values)
