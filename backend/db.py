"""The database: SQLite (WAL, FULL) by default, PostgreSQL by one setting.

A writing transaction holds the one row of ``world`` (PostgreSQL) or the write lock (SQLite), so
that both chains grow in one order. Nothing below the routes and jobs commits.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlmodel import Session, create_engine, select

from backend.errors import BackendError, BusyError, ConfigError, FullError
from backend.models import World
from backend.turns import WAIT_S, Turns
from wire.env import Environment

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_MS = 30_000


def sqlite_url(folder: Path) -> str:
    """The address of the default database of a data folder."""
    return f"sqlite:///{folder / 'backend.sqlite'}"


def connect(url: str, busy_ms: int = BUSY_MS) -> Engine:
    """An engine; SQLite waits ``busy_ms`` for its lock and is durable at every commit."""
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(
        url, connect_args={"check_same_thread": False, "timeout": busy_ms / 1000}
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


_SQLITE_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY,
                sqlite3.SQLITE_CANTOPEN}  # fmt: skip
_SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_FULL_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


@contextmanager
def stored() -> Iterator[None]:
    """A store that cannot write or answer becomes :class:`FullError` or :class:`BusyError`."""
    try:
        yield
    except (DBAPIError, PoolTimeoutError, OSError) as e:
        told = trouble(e)
        if told is None:
            raise
        raise told from e


def trouble(e: Exception) -> BackendError | None:
    """What an error of the store, or a disk, is to a person; None for another error."""
    if isinstance(e, PoolTimeoutError):
        return BusyError("no connection to the database is free")
    if isinstance(e, OSError):
        return FullError(e.strerror or "") if e.errno in _FULL_ERRNO else None
    if not isinstance(e, DBAPIError):
        return None
    why = str(e.orig).strip().split("\n")[0]
    if isinstance(e.orig, sqlite3.Error):
        primary = getattr(e.orig, "sqlite_errorcode", 0) & 0xFF  # extended codes stand above it
        if primary in _SQLITE_FULL:
            return FullError(why)
        return BusyError(why) if primary in _SQLITE_BUSY else None
    state = str(getattr(e.orig, "sqlstate", None) or "")
    if state in {"53100", "25006"} or state[:2] == "58":  # disk full, read only, I/O
        return FullError(why)
    # A PostgreSQL that is not there gives no SQLSTATE at all.
    is_busy = state[:2] in {"08", "40", "53", "55", "57"} or not state
    return BusyError(why) if isinstance(e, OperationalError) and is_busy else None


def newest_revision() -> str:
    """The newest revision: their files are numbered."""
    return max(p.name[:4] for p in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def migrate(engine: Engine) -> None:
    """Bring the tables to the newest revision; Alembic is loaded only when one is due."""
    with engine.connect() as connection:
        if engine.dialect.has_table(connection, "alembic_version"):
            held = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            if held == newest_revision():
                return
    from alembic import command  # noqa: PLC0415 - a fifth of a second
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect().execution_options(writes=True) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


class Database:
    """Sessions on one engine, for one environment; its turns wait ``turn_wait_s`` at most."""

    def __init__(self, engine: Engine, turn_wait_s: float = WAIT_S) -> None:
        self.engine = engine
        self._turns = Turns(engine, turn_wait_s)
        self._writer = engine.execution_options(writes=True)
        # On PostgreSQL only this level shows a report its many tables at one moment.
        # Writers stay at READ COMMITTED: their view must be younger than the lock they take.
        is_postgresql = engine.dialect.name == "postgresql"
        level = {"isolation_level": "REPEATABLE READ"} if is_postgresql else {}
        self._reader = engine.execution_options(**level)

    def found(self, env: Environment, epoch: int = 1) -> None:
        """Create the tables and say whose they are; :class:`ConfigError` if another's.

        A higher ``epoch`` is taken: bundles then count as newer than all of the one before.
        """
        with stored():
            migrate(self.engine)
        with self.read() as session:
            world = session.get(World, 1)
        if world is None:
            world = World(id=1, environment=int(env), epoch=epoch)
            with stored(), Session(self._writer, expire_on_commit=False) as session:
                held = session.get(World, 1)
                if held is None:
                    session.add(world)
                    session.commit()
                else:
                    world = held
        if world.environment != env:
            raise ConfigError("this database belongs to another environment")
        if world.epoch < epoch:  # a restored backend, or a policy key in other hands
            with (
                stored(),
                Session(self._writer, expire_on_commit=False) as session,
                session.begin(),
            ):
                session.exec(select(World).with_for_update()).one().epoch = epoch

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One writing transaction: committed at the end, rolled back on any error."""
        with (
            stored(),
            Session(self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            session.exec(select(World).with_for_update()).one()
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent view; nothing is kept."""
        with stored(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Be the only job of this name on this database (:mod:`backend.turns`)."""
        with stored(), self._turns.take(name):
            yield
