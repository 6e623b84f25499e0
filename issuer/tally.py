"""What became of each card at this desk: the day's counts and the last ones, for the screen.

The desk log is the record; it is pruned once the backend has it. This keeps a month of short rows
(docs/desk.md#the-face). Times are Unix seconds; its methods raise :class:`issuer.errors.LogError`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from issuer.store import named_errors, transaction

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS card_done (place INTEGER PRIMARY KEY AUTOINCREMENT,"
    " time_s INTEGER NOT NULL, officer INTEGER NOT NULL, number BLOB NOT NULL, card_id BLOB,"
    " outcome TEXT NOT NULL, good INTEGER NOT NULL)"
)
KEPT_S = 31 * 86_400


@dataclass(frozen=True, slots=True)
class Done:
    """One card. ``outcome``: its key in :mod:`issuer.messages`; ``order`` b"" for none."""

    time_s: int
    officer: int
    order: bytes
    card_id: bytes | None
    outcome: str
    is_good: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Cards issued, and visits of a card that did not end so."""

    good: int
    bad: int


class Tally:
    """The rows of one desk over its database."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        with transaction(db):
            db.execute(_SCHEMA)

    def add(self, done: Done) -> None:
        """Remember one card; rows older than a month go."""
        row = (done.time_s, done.officer, done.order, done.card_id, done.outcome, done.is_good)
        with transaction(self._db):
            self._db.execute(
                "INSERT INTO card_done(time_s, officer, number, card_id, outcome, good)"
                " VALUES (?, ?, ?, ?, ?, ?)", row,
            )  # fmt: skip
            self._db.execute("DELETE FROM card_done WHERE time_s < ?", (done.time_s - KEPT_S,))

    def count(self, from_s: int, to_s: int) -> Counts:
        """Cards from ``from_s`` up to, not including, ``to_s``."""
        sql = "SELECT total(good), count(*) FROM card_done WHERE time_s >= ? AND time_s < ?"
        with named_errors():
            good, every = self._db.execute(sql, (from_s, to_s)).fetchone()
        return Counts(int(good), every - int(good))

    def last(self, count: int) -> tuple[Done, ...]:
        """The last ``count`` cards, the newest first."""
        sql = (
            "SELECT time_s, officer, number, card_id, outcome, good FROM card_done"
            " ORDER BY place DESC LIMIT ?"
        )
        with named_errors():
            rows = self._db.execute(sql, (count,)).fetchall()
        return tuple(
            Done(time_s, officer, order, card_id, outcome, bool(good))
            for time_s, officer, order, card_id, outcome, good in rows
        )
