"""SQLite as the desk uses it: WAL, FULL, explicit transactions, errors by name (docs/desk.md)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from issuer.errors import LogBusyError, LogDamagedError, LogError, LogFullError

BUSY_TIMEOUT_MS = 5_000


def connect(path: Path | str) -> sqlite3.Connection:
    """A connection whose commits are durable when they return (WAL, ``synchronous=FULL``)."""
    with named_errors():
        db = sqlite3.connect(path, isolation_level=None)
        db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        return db


@contextmanager
def named_errors() -> Iterator[None]:
    """SQLite's errors as :class:`LogError`; constraint failures are faults, and stay.

    :class:`LogFullError`, :class:`LogBusyError`, :class:`LogDamagedError` by cause.
    """
    try:
        yield
    except sqlite3.OperationalError as e:
        code = getattr(e, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise LogFullError("no room on the disk") from e
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise LogBusyError("the store is in use") from e
        raise LogError(str(e)) from e
    except sqlite3.DatabaseError as e:
        if isinstance(e, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise LogDamagedError(str(e)) from e


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Everything inside becomes durable at the end, or nothing of it ever was.

    Raises :class:`LogError` and its kinds.
    """
    with named_errors():
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
