"""The revisions make exactly the tables of the models, constraints included."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect
from sqlmodel import SQLModel

import backend.models  # noqa: F401 - fills the metadata
from tests.support.backend_world import BackendWorld


def test_migrated_is_modelled(world: BackendWorld) -> None:
    with world.office.db.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []


def test_every_check_constraint_is_there(world: BackendWorld) -> None:
    found = inspect(world.office.db.engine)
    for name, table in SQLModel.metadata.tables.items():
        wanted = {c.name for c in table.constraints if c.__visit_name__ == "check_constraint"}
        assert {c["name"] for c in found.get_check_constraints(name)} >= wanted, name
