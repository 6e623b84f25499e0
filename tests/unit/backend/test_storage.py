"""A disk that is full, a database that is busy or gone: said in one line, nothing changed."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from backend.api import make_app, make_office_app
from backend.db import Database, connect, sqlite_url
from backend.errors import BusyError, FullError
from backend.office import Office
from demo import dataset
from keys.hierarchy import World
from tests.support.backend_world import TODAY, BackendWorld, make
from tests.unit.backend.test_cli import SECRET, init, people, run
from wire.log import Boot

__all__ = ["people"]
Door = Callable[[Office], FastAPI]


def stored(folder: Path) -> list[str]:
    """Everything the database of this folder says."""
    with sqlite3.connect(folder / "backend.sqlite") as db:
        said = list(db.iterdump())
    db.close()
    return said


def ask(
    world: BackendWorld, method: str, path: str, body: bytes = b"", door: Door = make_app
) -> httpx.Response:
    """One request to a door of the API in this process."""

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(door(world.office), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://backend") as client:
            return await client.request(method, path, content=body)

    return asyncio.run(asked())


def test_a_body_has_a_limit(ready: BackendWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.api.MAX_BODY_BYTES", 99)
    answer = ask(ready, "POST", "/v1/uploads", bytes(100))
    assert (answer.status_code, answer.json()["detail"]) == (422, "body larger than 64 MiB")
    assert "64 MiB" not in ask(ready, "POST", "/v1/uploads", bytes(99)).text


@pytest.fixture
def local(tmp_path: Path) -> BackendWorld:
    return make(tmp_path)


@pytest.mark.parametrize("lang", ["id", "en"])
def test_a_full_disk_at_the_command_line(
    people: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lang: str
) -> None:
    """No file of the process may grow beyond 48 KiB, as if its disk were full there."""
    monkeypatch.setenv("BETANG_BACKEND_PASSPHRASE", SECRET)
    assert init(tmp_path) == 0
    assert run(tmp_path, "report", "--json") == 0
    (tmp_path / "dtsen.csv").write_bytes(dataset.make(62, TODAY)["dtsen.csv"])
    before = stored(tmp_path / "b")
    argv = [sys.executable, "-m", "backend.cli", "--data", str(tmp_path / "b"), "--demo", "--lang",
            lang, "import", "--households", str(tmp_path / "dtsen.csv")]  # fmt: skip
    limit = 48 * 1024
    done = subprocess.run(
        argv, env={**os.environ}, capture_output=True, text=True, check=False, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith({"id": "Penyimpanan penuh", "en": "The storage is full"}[lang])
    assert done.stderr.count("\n") == 1
    assert stored(tmp_path / "b") == before
    assert run(tmp_path, "import", "--households", str(tmp_path / "dtsen.csv")) == 0


def test_a_full_disk_over_http(local: BackendWorld, tmp_path: Path) -> None:
    local.import_all(rows=3)
    terminal = local.terminal(b"TERM0001")
    for _ in range(200):
        terminal.add(Boot("x" * 60))
    raw, engine = terminal.upload(), local.office.db.engine
    with engine.connect() as c:
        pages = c.exec_driver_sql("PRAGMA page_count").scalar()
        c.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        before = stored(tmp_path)
    answer = ask(local, "POST", "/v1/uploads", raw)
    assert answer.status_code == httpx.codes.INSUFFICIENT_STORAGE
    problem = answer.json()
    assert problem["type"] == "urn:betang:full"
    assert problem["title"] != problem["title_en"]
    assert "sqlite" not in answer.text
    assert stored(tmp_path) == before
    engine.dispose()  # room again
    assert ask(local, "POST", "/v1/uploads", raw).status_code == httpx.codes.OK
    engine.dispose()


def test_a_database_that_another_program_locks(local: BackendWorld, tmp_path: Path) -> None:
    terminal = local.terminal(b"TERM0001")
    terminal.add(Boot("x"))
    local.office.db.engine.dispose()
    local.office.db = Database(connect(sqlite_url(tmp_path), busy_ms=1))
    before, other = stored(tmp_path), sqlite3.connect(tmp_path / "backend.sqlite")
    other.execute("BEGIN IMMEDIATE")
    answer = ask(local, "POST", "/v1/uploads", terminal.upload())
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:betang:busy")
    assert stored(tmp_path) == before
    other.close()
    assert ask(local, "POST", "/v1/uploads", terminal.upload()).status_code == httpx.codes.OK
    local.office.db.engine.dispose()


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    gone = Database(connect(f"postgresql+psycopg://betang@/betang?host={tmp_path}"))
    with pytest.raises(BusyError), gone.write():
        pass
    with pytest.raises(BusyError), gone.turn("order"):
        pass


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FullError), Database(connect(sqlite_url(tmp_path / "nowhere"))).write():
        pass


def test_what_nobody_foresaw_is_a_problem_too(
    local: BackendWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(type(local.office), "report")
    answer = ask(local, "GET", "/v1/report", door=make_office_app)
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:betang:backend")
    assert "Traceback" not in answer.text
