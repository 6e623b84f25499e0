"""The revisions make exactly the tables of the models, constraints included."""

from __future__ import annotations

from dataclasses import replace

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select
from sqlmodel import SQLModel

import backend.models  # noqa: F401 - fills the metadata
from backend.db import MIGRATIONS, migrate, newest_revision
from backend.models import ReceiptRow
from tests.support.backend_world import CASH, BackendWorld


def test_migrated_is_modelled(world: BackendWorld) -> None:
    with world.office.db.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []


def test_every_check_constraint_is_there(world: BackendWorld) -> None:
    found = inspect(world.office.db.engine)
    for name, table in SQLModel.metadata.tables.items():
        wanted = {c.name for c in table.constraints if c.__visit_name__ == "check_constraint"}
        assert {c["name"] for c in found.get_check_constraints(name)} >= wanted, name


def test_a_loss_becomes_its_amount(ready: BackendWorld) -> None:
    """0003: until then a loss was the whole receipt; nothing else of the row changes."""
    card = next(c for c in ready.cards(12) if CASH in c.wallets)
    terminal = ready.terminal(b"TERM0001")
    terminal.debit(card, CASH, 250_000)
    card.wallets[CASH] = replace(card.wallets[CASH], loaded=270_000)
    terminal.debit(card, CASH, 20_000)
    terminal.send()
    engine = ready.office.db.engine
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect().execution_options(writes=True) as connection:
        before = connection.execute(select(ReceiptRow.__table__)).all()
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
        losses = connection.exec_driver_sql("SELECT sequence, loss FROM receipt ORDER BY sequence")
        assert [(n, bool(loss)) for n, loss in losses] == [(1, False), (2, True)]
        connection.commit()
    migrate(engine)
    with engine.connect() as connection:
        after = connection.execute(select(ReceiptRow.__table__)).all()
        assert sorted(after, key=repr) == sorted(before, key=repr)
        assert sorted(row.lost for row in after) == [0, 20_000]


def test_the_newest_revision_is_the_highest_file(world: BackendWorld) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == newest_revision()
