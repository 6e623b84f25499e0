"""What the journal's records add up to: derived tables, updated in the records' own transaction.

What follows what: docs/wire.md#log, PROTOCOL.md §4 (terminal order) and §6 (void).
Every table here is a function of the records alone, so a journal that was never pruned can be
rebuilt; a pruned one keeps here what the memory of cards and intents needs.
"""

from __future__ import annotations

import sqlite3
from enum import StrEnum

from terminal.errors import StepError
from wire import log
from wire.log import IntentKind, Record, RecordType
from wire.receipt import Receipt, ReceiptKind, Statement, StatementKind

SCHEMA = """
CREATE TABLE intent (
  sequence INTEGER PRIMARY KEY, kind INTEGER NOT NULL, hash BLOB NOT NULL, card_id BLOB NOT NULL,
  expected INTEGER NOT NULL, debit INTEGER REFERENCES intent (sequence),
  on_counter INTEGER NOT NULL, state TEXT NOT NULL, left_pending INTEGER NOT NULL DEFAULT 0,
  raw BLOB NOT NULL, receipt BLOB);
CREATE INDEX intent_card ON intent (card_id);
CREATE INDEX intent_debit ON intent (debit);
CREATE TABLE card (
  card_id BLOB PRIMARY KEY, certificate BLOB, sequence INTEGER NOT NULL DEFAULT 0, hash BLOB,
  script_count INTEGER NOT NULL DEFAULT 0, pin_set_count INTEGER NOT NULL DEFAULT 0,
  handed_over INTEGER NOT NULL DEFAULT 0, foreign_image INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE wallet (
  card_id BLOB NOT NULL, wallet INTEGER NOT NULL, debited INTEGER NOT NULL,
  reversed INTEGER NOT NULL, PRIMARY KEY (card_id, wallet)) WITHOUT ROWID;
CREATE TABLE reversal (
  card_id BLOB NOT NULL, sequence INTEGER NOT NULL, wallet INTEGER NOT NULL,
  amount INTEGER NOT NULL, PRIMARY KEY (card_id, sequence)) WITHOUT ROWID;
CREATE TABLE stock (
  good TEXT NOT NULL, unit INTEGER NOT NULL, quantity INTEGER NOT NULL,
  PRIMARY KEY (good, unit)) WITHOUT ROWID;
CREATE TABLE delivery (hash BLOB NOT NULL, good TEXT NOT NULL, PRIMARY KEY (hash, good))
  WITHOUT ROWID;
CREATE TABLE sync (
  one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, counter INTEGER NOT NULL,
  bundle BLOB NOT NULL, hotlist_version INTEGER NOT NULL);
CREATE TABLE shift (one INTEGER PRIMARY KEY CHECK (one = 1), officer INTEGER NOT NULL,
  sequence INTEGER NOT NULL, time_s INTEGER NOT NULL);
CREATE TABLE stop (sequence INTEGER PRIMARY KEY);
"""

TABLES = (
    "intent", "card", "wallet", "reversal", "stock", "delivery", "sync", "shift", "stop",
)  # fmt: skip
CARDS_THAT_STOP = 2


class State(StrEnum):
    """How far an intent came; SUSPENDED and what follows only for voids and their debits."""

    OPEN = "open"
    ABORTED = "aborted"
    RECEIPTED = "receipted"
    DELIVERED = "delivered"
    RETURNED = "returned"
    GIVEN_BACK = "given-back"


def project(db: sqlite3.Connection, record: Record) -> None:
    """Take one record into the derived tables; :class:`StepError` where it does not fit."""
    body = record.body
    match record.kind:
        case RecordType.INTENT | RecordType.VOID:
            _intent(db, record)
        case RecordType.RECEIPT:
            receipt = Receipt.parse(body.receipt)
            _move(db, body.intent, {State.OPEN}, State.RECEIPTED, receipt.raw)
            _remember(db, receipt)
            if receipt.kind == ReceiptKind.REVERSAL:
                _put(db, "reversal", receipt.card_id, receipt.sequence, receipt.wallet,
                     receipt.amount)  # fmt: skip
        case RecordType.ABORTED:
            _move(db, body.intent, {State.OPEN}, State.ABORTED)
            if body.other is not None:
                _remember(db, Receipt.parse(body.other))
        case RecordType.PENDING:
            db.execute("UPDATE intent SET left_pending = 1 WHERE sequence = ?", (body.intent,))
        case RecordType.DELIVERED:
            _move(db, body.intent, {State.RECEIPTED}, State.DELIVERED)
            _goods(db, body.intent, -1)
        case RecordType.RETURNED:
            _move(db, body.void, {State.RECEIPTED}, State.RETURNED)
            _goods(db, _debit_of(db, body.void), 1)
        case RecordType.GIVEN_BACK:
            _move(db, body.void, {State.ABORTED}, State.GIVEN_BACK)
        case RecordType.STOCK:
            _stock(db, body)
        case RecordType.SHIFT:
            db.execute("DELETE FROM shift")
            if body.opened:
                _put(db, "shift", 1, body.officer, record.sequence, record.time_s)
        case RecordType.SYNC:
            _put(db, "sync", 1, body.epoch, body.counter, body.bundle, body.hotlist_version)
        case RecordType.COLLECTED:
            _item(db, body.item)
        case RecordType.LOAD | RecordType.SCRIPT | RecordType.PIN | RecordType.HANDOVER:
            statement = Statement.parse(body.statement)
            _statement(db, statement)
            if record.kind == RecordType.HANDOVER:
                db.execute(
                    "UPDATE card SET handed_over = 1 WHERE card_id = ?", (statement.card_id,)
                )
        case RecordType.REJECTED:
            _rejected(db, record)
        case _:
            pass


def _put(db: sqlite3.Connection, table: str, *values: object) -> None:
    marks = ", ".join("?" * len(values))
    db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)  # noqa: S608


def _intent(db: sqlite3.Connection, record: Record) -> None:
    body = record.body
    _card(db, body.card_id)
    row: tuple[object, ...]
    if record.kind == RecordType.INTENT:
        db.execute(
            "UPDATE card SET certificate = ? WHERE card_id = ?", (body.certificate, body.card_id)
        )
        row = (IntentKind.DEBIT, body.card_id, body.expected_sequence, None, False)
    else:
        row = (IntentKind.VOID, body.card_id, body.sequence, body.intent, body.on_counter)
    db.execute(
        "INSERT INTO intent (sequence, hash, raw, state, kind, card_id, expected, debit,"
        " on_counter) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (record.sequence, record.hash, record.raw, State.OPEN, *row),
    )


def _move(
    db: sqlite3.Connection, sequence: int, before: set[State], after: State,
    receipt: bytes | None = None,
) -> None:  # fmt: skip
    row = db.execute("SELECT state FROM intent WHERE sequence = ?", (sequence,)).fetchone()
    if row is None or State(row[0]) not in before:
        raise StepError(f"intent {sequence} cannot become {after}")
    db.execute(
        "UPDATE intent SET state = ?, receipt = coalesce(?, receipt) WHERE sequence = ?",
        (after, receipt, sequence),
    )


def _debit_of(db: sqlite3.Connection, void: int) -> int:
    row = db.execute("SELECT debit FROM intent WHERE sequence = ?", (void,)).fetchone()
    return int(row[0])


def _goods(db: sqlite3.Connection, intent: int, sign: int) -> None:
    row = db.execute("SELECT raw FROM intent WHERE sequence = ?", (intent,)).fetchone()
    body: log.Intent = Record.parse(row[0]).body
    for line in body.lines:
        _add_stock(db, line.good, line.unit, sign * line.quantity)


def _add_stock(db: sqlite3.Connection, good: str, unit: int, quantity: int) -> None:
    db.execute(
        "INSERT INTO stock VALUES (?, ?, ?) ON CONFLICT (good, unit)"
        " DO UPDATE SET quantity = quantity + excluded.quantity",
        (good, unit, quantity),
    )


def _stock(db: sqlite3.Connection, body: log.Stock) -> None:
    line = body.line
    if body.move == log.StockMove.COUNTED:
        _put(db, "stock", line.good, line.unit, line.quantity)
        return
    _add_stock(
        db, line.good, line.unit,
        line.quantity if body.move == log.StockMove.RECEIVED else -line.quantity,
    )  # fmt: skip
    if body.move == log.StockMove.RECEIVED and body.delivery is not None:
        db.execute("INSERT OR IGNORE INTO delivery VALUES (?, ?)", (body.delivery, line.good))


def _card(db: sqlite3.Connection, card_id: bytes) -> None:
    db.execute("INSERT OR IGNORE INTO card (card_id) VALUES (?)", (card_id,))


def _remember(db: sqlite3.Connection, receipt: Receipt) -> None:
    """The highest (sequence, D, R, receipt hash) of a card (PROTOCOL.md §4, terminal order)."""
    _card(db, receipt.card_id)
    db.execute(
        "UPDATE card SET sequence = ?, hash = ? WHERE card_id = ? AND sequence < ?",
        (receipt.sequence, receipt.hash, receipt.card_id, receipt.sequence),
    )
    c = receipt.counters
    db.execute(
        "INSERT INTO wallet VALUES (?, ?, ?, ?) ON CONFLICT (card_id, wallet) DO UPDATE SET"
        " debited = max(debited, excluded.debited), reversed = max(reversed, excluded.reversed)",
        (receipt.card_id, receipt.wallet, c.debited, c.reversed),
    )


def _item(db: sqlite3.Connection, item: bytes) -> None:
    if item[2:3] == b"S":
        _statement(db, Statement.parse(item))
    else:
        _remember(db, Receipt.parse(item))


def _statement(db: sqlite3.Connection, statement: Statement) -> None:
    """Which counts this terminal can prove: only the newest statement of a kind is evidence."""
    _card(db, statement.card_id)
    column = {
        StatementKind.ACTIVATION: "pin_set_count", StatementKind.PIN_SET: "pin_set_count",
        StatementKind.SCRIPT: "script_count",
    }.get(statement.kind)  # fmt: skip
    if column is None:
        return
    count = getattr(statement, column)
    db.execute(
        f"UPDATE card SET {column} = max({column}, ?) WHERE card_id = ?",  # noqa: S608
        (count, statement.card_id),
    )


def _rejected(db: sqlite3.Connection, record: Record) -> None:
    body: log.Rejected = record.body
    if body.reason != log.Reason.RESTORED_IMAGE:
        return
    if body.card_id is not None:
        _card(db, body.card_id)
        db.execute("UPDATE card SET foreign_image = 1 WHERE card_id = ?", (body.card_id,))
    (cards,) = db.execute("SELECT count(*) FROM card WHERE foreign_image").fetchone()
    # PROTOCOL.md §4.1: an acknowledgement or two cards stop the terminal; one is refused.
    if body.card_id is None or cards >= CARDS_THAT_STOP:
        db.execute("INSERT INTO stop VALUES (?)", (record.sequence,))
