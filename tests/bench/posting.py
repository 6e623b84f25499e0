"""The ledger alone: transfers posted per second, a transaction and a sync for each batch."""

from __future__ import annotations

import tempfile
import time
from hashlib import sha256
from pathlib import Path

from backend import ledger
from backend.db import Database, connect, sqlite_url
from tests.bench.frame import ROOT, Row, Section, Size, cpu, timed
from tests.support.backend_world import ENV, START_S

TITLE = "Ledger"
BATCH = 1_000


def measure(size: Size) -> Section:
    """On SQLite, and PostgreSQL where there is one."""
    made = Section(text=[
        f"`ledger.post` in batches of {BATCH}, each one transaction: chained entries with their",
        "two postings. Wall and CPU time of this process.",
    ])  # fmt: skip
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        made.add(*_rows("SQLite", sqlite_url(Path(folder)), size.transfers))
    if size.postgresql:
        made.add(*_rows("PostgreSQL", size.postgresql, size.transfers))
    return made


def _rows(name: str, url: str, count: int) -> list[Row]:
    database = Database(connect(url))
    database.found(ENV)
    transfers = [
        ledger.debit(sha256(n.to_bytes(4, "big")).digest(), 258, 1_000) for n in range(count)
    ]

    def work() -> None:
        for at in range(0, count, BATCH):
            with database.write() as session:
                ledger.post(session, transfers[at : at + BATCH], START_S)

    used = [0.0]

    def noted() -> None:
        used[0] = cpu(work)

    wall = timed(time.perf_counter, noted)
    database.engine.dispose()
    return [
        Row(f"transfers posted, {name}", count / wall, "/s"),
        Row(f"transfers posted per CPU second, {name}", count / used[0], "/s"),
    ]
