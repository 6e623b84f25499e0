"""Worlds on SQLite, and on PostgreSQL when BETANG_TEST_POSTGRES names one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from backend.db import sqlite_url
from tests.support.backend_world import BackendWorld, make

POSTGRES = os.environ.get("BETANG_TEST_POSTGRES", "")
STORES = ["sqlite", *(["postgresql"] if POSTGRES else [])]


@pytest.fixture(params=STORES)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, one test's own."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path)
        return
    name = f"t{os.getpid()}_{abs(hash(tmp_path)) % 10**9}"
    admin = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with admin.connect() as c:
        c.execute(text(f'CREATE DATABASE "{name}"'))
    yield POSTGRES.replace("/betang?", f"/{name}?")
    with admin.connect() as c:
        c.execute(text(f'DROP DATABASE "{name}"'))
    admin.dispose()


@pytest.fixture
def world(address: str, tmp_path: Path) -> Iterator[BackendWorld]:
    made = make(tmp_path, address)
    yield made
    made.office.db.engine.dispose()


@pytest.fixture
def ready(world: BackendWorld) -> BackendWorld:
    """With some of the demo's data imported and a desk enrolled."""
    world.import_all(rows=12)
    world.desk()
    return world
