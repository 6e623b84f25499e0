"""Ingest of terminals' uploads over the bare loop, and its growth with what is held already."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

from sqlmodel import select

from backend.models import FindingRow
from tests.bench import bare
from tests.bench.frame import Row, Section, Size, at_least, at_most, cpu
from tests.bench.village import TAPS_OF_A_CARD, Day, Village, village

TITLE = "Ingest"


def measure(size: Size) -> Section:
    """Over the bare loop on SQLite, on PostgreSQL where there is one; growth on SQLite."""
    made = Section(text=[
        f"Uploads of {size.taps} taps (INTENT, RECEIPT, DELIVERED), from bytes to the signed",
        "acknowledgement, ledger and heads included; CPU time of this process, that of a",
        "PostgreSQL server apart. The bare loop runs on the same bytes after each upload.",
    ])  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        made.add(*_over_bare("SQLite", Path(folder), None, size))
    if size.postgresql:
        with tempfile.TemporaryDirectory() as folder:
            made.add(*_over_bare("PostgreSQL", Path(folder), size.postgresql, size))
    else:
        made.text.append("PostgreSQL was not there.")
    made.add(*_growth(size))
    return made


def _over_bare(name: str, folder: Path, url: str | None, size: Size) -> list[Row]:
    v = village(folder, url, max(1, size.taps * size.days // TAPS_OF_A_CARD))
    ours = limit = 0.0
    receipts = 0
    for n, day in enumerate(v.days(size.taps * size.days + size.taps, size.taps)):
        taken = _enter(v, day)
        if n:  # the first day warms caches
            ours += taken
            limit += cpu(lambda d=day: bare.loop(d.receipts, d.records))  # type: ignore[misc]
            receipts += len(day.receipts)
    _check(v)
    return [
        Row(f"{name}: receipts per CPU second", receipts / ours, "/s"),
        Row(f"{name}: the bare loop", receipts / limit, "/s"),
        at_least(f"ingest over the bare loop, {name}", limit / ours, 0.75),
    ]


def _enter(v: Village, day: Day) -> float:
    gc.freeze()  # what the bench itself holds is no garbage of the backend's to look for
    return cpu(lambda: v.office.ingest(day.raw))


def _check(v: Village) -> None:
    """Nothing measured was a refusal or a finding."""
    with v.office.db.read() as session:
        found = session.exec(select(FindingRow.detail)).all()
    if found:
        raise RuntimeError(f"the bench's receipts are not right: {found[:3]}")


def _growth(size: Size) -> list[Row]:
    """Receipts at each size: CPU seconds per receipt of the last tenth that reaches it."""
    top = size.growth[-1]
    with tempfile.TemporaryDirectory() as folder:
        v = village(Path(folder), None, max(1, top // TAPS_OF_A_CARD))
        costs, done = [], 0
        for target in size.growth:
            begin = target - max(1, target // 10)
            spent = count = 0.0
            for day in v.days(target - done, size.taps):
                taken = _enter(v, day)
                done += len(day.receipts)
                if done > begin:
                    spent, count = spent + taken, count + len(day.receipts)
            costs.append(spent / count)
        _check(v)
    rows = [
        Row(f"ingest, per receipt when {n:,} are held", cost * 1e6, "µs")
        for n, cost in zip(size.growth, costs, strict=True)
    ]
    return [*rows, at_most("growth of ingest, dearest over the first", max(costs) / costs[0], 1.3)]
