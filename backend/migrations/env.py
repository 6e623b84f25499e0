"""Alembic's entry: run the revisions on the connection handed over by :mod:`backend.db`."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import backend.models  # noqa: F401 - fills SQLModel.metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run migrations through betang-backend (or backend.db.migrate)")
context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
