"""What the key service must remember: SQLite, one transaction per release, an outbox.

A signed object is stored with its issuance items before the log is told, and handed out only
after the log took them (PROTOCOL.md §5). A service that dies between the two finds the items in
the outbox and appends them first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from keys.errors import HierarchyError, QuotaError, RequestUsedError, StockError
from keys.issuance import IssuanceAppender, IssuanceItem, decode_items, encode_items
from wire import cbor
from wire.env import Environment

MAX_SERIAL = 0xFFFFFFFF

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(env INTEGER NOT NULL CHECK (env IN (1, 2, 129, 130)));
CREATE TABLE IF NOT EXISTS used_request(
  hash BLOB PRIMARY KEY, result BLOB NOT NULL, released INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS outbox(id INTEGER PRIMARY KEY AUTOINCREMENT, items BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS quota(
  day TEXT, what TEXT, used INTEGER NOT NULL, PRIMARY KEY (day, what));
CREATE TABLE IF NOT EXISTS counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS chip(
  kdd BLOB PRIMARY KEY, batch TEXT NOT NULL, order_hash BLOB, card_id BLOB UNIQUE,
  certificate BLOB, channel_key BLOB, scrapped INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS given(
  kind TEXT, card_id BLOB, wallet INTEGER, number INTEGER NOT NULL, raw BLOB NOT NULL,
  PRIMARY KEY (kind, card_id, wallet));
CREATE TABLE IF NOT EXISTS station(
  id BLOB PRIMARY KEY, log_key BLOB NOT NULL, closed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS officer(
  terminal BLOB, role INTEGER, number INTEGER, channel_key BLOB,
  PRIMARY KEY (terminal, role, number, channel_key));
CREATE TABLE IF NOT EXISTS newest(
  kind TEXT PRIMARY KEY, version INTEGER NOT NULL, raw BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip of the received stock; the optional fields stand once its card is certified."""

    kdd: bytes
    batch: str
    order_hash: bytes | None
    card_id: bytes | None
    certificate: bytes | None
    channel_key: bytes | None
    scrapped: bool


class State:
    """The service's memory at ``path`` (``:memory:`` in tests), of one environment for ever.

    Hashes are 32 bytes, key diversification data (``kdd``) 10, card and station ids 8.
    """

    def __init__(self, path: Path | str, env: Environment) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        row = self._db.execute("SELECT env FROM meta").fetchone()
        if row is None:
            self._db.execute("INSERT INTO meta VALUES (?)", (int(env),))
        elif row[0] != env:
            raise HierarchyError("this key service's memory is of another environment")

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable at the end."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # --- requests, outbox -------------------------------------------------------------------

    def held_result(self, request_hash: bytes) -> list[bytes] | None:
        """What this request made but the log had not taken; None for a new request.

        :class:`RequestUsedError` when it was released: a request is used once.
        """
        row = self._db.execute(
            "SELECT result, released FROM used_request WHERE hash = ?", (request_hash,)
        ).fetchone()
        if row is None:
            return None
        if row[1]:
            raise RequestUsedError("this request was used already")
        return list(cbor.decode_sequence(row[0]))

    def use_request(self, request_hash: bytes, result: Sequence[bytes]) -> None:
        """Mark it used, inside the transaction that stores what it made."""
        self._db.execute(
            "INSERT INTO used_request(hash, result) VALUES (?, ?)",
            (request_hash, cbor.encode_sequence([*result])),
        )

    def released(self, request_hash: bytes) -> None:
        """The log holds everything this request made and it is handed out: never again."""
        self._db.execute("UPDATE used_request SET released = 1 WHERE hash = ?", (request_hash,))

    def queue(self, items: Sequence[IssuanceItem]) -> None:
        """Put items into the outbox, inside the transaction."""
        if items:
            self._db.execute("INSERT INTO outbox(items) VALUES (?)", (encode_items(items),))

    def flush(self, log: IssuanceAppender) -> None:
        """Append what the outbox holds, oldest first; what the log refuses stays there."""
        rows = self._db.execute("SELECT id, items FROM outbox ORDER BY id").fetchall()
        for number, items in rows:
            log.append_many(decode_items(items))
            self._db.execute("DELETE FROM outbox WHERE id = ?", (number,))

    # --- quotas, counters ---------------------------------------------------------------------

    def take(self, day: date, what: str, amount: int, limit: int) -> None:
        """Use ``amount`` of the day's quota; :class:`QuotaError` if it is not there."""
        row = self._db.execute(
            "SELECT used FROM quota WHERE day = ? AND what = ?", (day.isoformat(), what)
        ).fetchone()
        used = (row[0] if row else 0) + amount
        if used > limit:
            raise QuotaError(f"the day's quota of {what} ({limit}) would be exceeded")
        self._db.execute(
            "INSERT OR REPLACE INTO quota VALUES (?, ?, ?)", (day.isoformat(), what, used)
        )

    def next_number(self, name: str) -> int:
        """The next number of this series, from 1; :class:`QuotaError` after 2³² − 1.

        Without gaps: a transaction that is rolled back gives its number back.
        """
        row = self._db.execute("SELECT value FROM counter WHERE name = ?", (name,)).fetchone()
        value = (row[0] if row else 0) + 1
        if value > MAX_SERIAL:
            raise QuotaError(f"the numbers of {name} are used up")
        self._db.execute("INSERT OR REPLACE INTO counter VALUES (?, ?)", (name, value))
        return value

    # --- stock and cards ------------------------------------------------------------------------

    def receive_chips(self, batch: str, kdds: Sequence[bytes]) -> None:
        """Enter received chips (diversification data, 10 bytes each), all or none.

        :class:`StockError` for one that is known in another batch.
        """
        with self.transaction():
            for kdd in kdds:
                row = self._db.execute("SELECT batch FROM chip WHERE kdd = ?", (kdd,)).fetchone()
                if row and row[0] != batch:
                    raise StockError(f"chip {kdd.hex()} stands in batch {row[0]} already")
                self._db.execute(
                    "INSERT OR IGNORE INTO chip(kdd, batch) VALUES (?, ?)", (kdd, batch)
                )

    def _chip(self, where: str, value: bytes) -> Chip | None:
        row = self._db.execute(
            "SELECT kdd, batch, order_hash, card_id, certificate, channel_key, scrapped"  # noqa: S608
            f" FROM chip WHERE {where} = ? AND (scrapped = 0 OR '{where}' != 'order_hash')",
            (value,),
        ).fetchone()
        if row is None:
            return None
        kdd, batch, order_hash, card_id, certificate, channel_key, scrapped = row
        return Chip(
            kdd, batch, order_hash, card_id, certificate, channel_key, scrapped=bool(scrapped)
        )

    def chip(self, kdd: bytes) -> Chip | None:
        """The chip with this key diversification data."""
        return self._chip("kdd", kdd)

    def card(self, card_id: bytes) -> Chip | None:
        """The chip certified as this card."""
        return self._chip("card_id", card_id)

    def chip_of_order(self, order_hash: bytes) -> Chip | None:
        """The chip certified under this order and not scrapped."""
        return self._chip("order_hash", order_hash)

    def card_by_channel_key(self, channel_key: bytes) -> Chip | None:
        """The chip with this certified channel key."""
        return self._chip("channel_key", channel_key)

    def card_count(self) -> int:
        """How many cards were certified and not scrapped."""
        sql = "SELECT count(*) FROM chip WHERE card_id IS NOT NULL AND scrapped = 0"
        return int(self._db.execute(sql).fetchone()[0])

    def stock(self) -> tuple[int, int, int]:
        """Chips received and free, certified, scrapped."""
        sql = (
            "SELECT coalesce(sum(card_id IS NULL AND scrapped = 0), 0),"
            " coalesce(sum(card_id IS NOT NULL AND scrapped = 0), 0),"
            " coalesce(sum(scrapped), 0) FROM chip"
        )
        free, certified, scrapped = self._db.execute(sql).fetchone()
        return free, certified, scrapped

    def certify(self, chip: Chip) -> None:
        """Write the certified card's fields."""
        self._db.execute(
            "UPDATE chip SET order_hash = ?, card_id = ?, certificate = ?, channel_key = ?"
            " WHERE kdd = ? AND card_id IS NULL AND scrapped = 0",
            (chip.order_hash, chip.card_id, chip.certificate, chip.channel_key, chip.kdd),
        )

    def scrap(self, kdd: bytes) -> None:
        """The chip never becomes a card again; its order may be used for another chip."""
        self._db.execute("UPDATE chip SET scrapped = 1 WHERE kdd = ?", (kdd,))

    # --- what was signed last ---------------------------------------------------------------------

    def given(self, kind: str, card_id: bytes, wallet: int = 0) -> bytes | None:
        """The newest entitlement (of the wallet) or script of a card, signed."""
        row = self._db.execute(
            "SELECT raw FROM given WHERE kind = ? AND card_id = ? AND wallet = ?",
            (kind, card_id, wallet),
        ).fetchone()
        return row[0] if row else None

    def give(self, kind: str, card_id: bytes, wallet: int, number: int, raw: bytes) -> None:
        """Remember it as the newest."""
        self._db.execute(
            "INSERT OR REPLACE INTO given VALUES (?, ?, ?, ?, ?)",
            (kind, card_id, wallet, number, raw),
        )

    def newest(self, kind: str) -> tuple[int, bytes] | None:
        """Version and bytes of the newest hotlist or parameters."""
        row = self._db.execute("SELECT version, raw FROM newest WHERE kind = ?", (kind,)).fetchone()
        return (row[0], row[1]) if row else None

    def set_newest(self, kind: str, version: int, raw: bytes) -> None:
        """Remember it as the newest."""
        self._db.execute("INSERT OR REPLACE INTO newest VALUES (?, ?, ?)", (kind, version, raw))

    def add_approver(self, key_id: bytes, person: int, raw: bytes) -> None:
        """Remember an approval key that two others enrolled."""
        self.give("A", key_id, person, 1, raw)

    def approvers(self) -> list[bytes]:
        """Every such enrolment, in the order taken."""
        rows = self._db.execute("SELECT raw FROM given WHERE kind = 'A' ORDER BY rowid")
        return [row[0] for row in rows]

    # --- stations and officers --------------------------------------------------------------------

    def station_key(self, station: bytes) -> bytes | None:
        """The log key enrolled for this station, unless it was closed."""
        row = self._db.execute(
            "SELECT log_key FROM station WHERE id = ? AND closed = 0", (station,)
        ).fetchone()
        return row[0] if row else None

    def station_known(self, station: bytes) -> bool:
        """Whether this id was ever enrolled."""
        sql = "SELECT 1 FROM station WHERE id = ?"
        return self._db.execute(sql, (station,)).fetchone() is not None

    def enrol(self, station: bytes, log_key: bytes) -> None:
        """Remember a station."""
        self._db.execute("INSERT INTO station(id, log_key) VALUES (?, ?)", (station, log_key))

    def close_station(self, station: bytes) -> None:
        """It gets no certificate any more."""
        self._db.execute("UPDATE station SET closed = 1 WHERE id = ?", (station,))

    def officer_known(self, terminal: bytes, role: int, number: int, channel_key: bytes) -> bool:
        """Whether two people allowed this officer key in this role at this terminal."""
        row = self._db.execute(
            "SELECT 1 FROM officer WHERE terminal = ? AND role = ? AND number = ?"
            " AND channel_key = ?",
            (terminal, role, number, channel_key),
        ).fetchone()
        return row is not None

    def add_officer(self, terminal: bytes, role: int, number: int, channel_key: bytes) -> None:
        """Remember it."""
        self._db.execute(
            "INSERT OR IGNORE INTO officer VALUES (?, ?, ?, ?)",
            (terminal, role, number, channel_key),
        )
