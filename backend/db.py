"""The database: SQLite (WAL, FULL) by default, PostgreSQL by one setting.

A writing transaction holds the one row of ``world`` (PostgreSQL) or the write lock (SQLite), so
that both chains grow in one order. Nothing below the routes and jobs commits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, event
from sqlmodel import Session, create_engine, select

from backend.errors import ConfigError
from backend.models import World
from wire.env import Environment

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_MS = 30_000


def sqlite_url(folder: Path) -> str:
    """The address of the default database of a data folder."""
    return f"sqlite:///{folder / 'backend.sqlite'}"


def connect(url: str) -> Engine:
    """An engine; SQLite waits for its lock and is durable at every commit."""
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(
        url, connect_args={"check_same_thread": False, "timeout": BUSY_MS / 1000}
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


def migrate(engine: Engine) -> None:
    """Bring the tables to the newest revision."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect().execution_options(writes=True) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


class Database:
    """Sessions on one engine, for one environment."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(writes=True)
        # On PostgreSQL only this level shows a report its many tables at one moment.
        # Writers stay at READ COMMITTED: their view must be younger than the lock they take.
        is_postgresql = engine.dialect.name == "postgresql"
        level = {"isolation_level": "REPEATABLE READ"} if is_postgresql else {}
        self._reader = engine.execution_options(**level)

    def found(self, env: Environment, epoch: int = 1) -> None:
        """Create the tables and say whose they are; :class:`ConfigError` if another's."""
        migrate(self.engine)
        with Session(self._writer) as session, session.begin():
            world = session.get(World, 1)
            if world is None:
                session.add(World(id=1, environment=int(env), epoch=epoch))
            elif world.environment != env:
                raise ConfigError("this database belongs to another environment")

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One writing transaction: committed at the end, rolled back on any error."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            session.exec(select(World).with_for_update()).one()
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent view; nothing is kept."""
        with Session(self._reader, expire_on_commit=False) as session:
            yield session
