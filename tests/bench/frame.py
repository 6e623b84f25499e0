"""What every benchmark shares: sizes, rows, interleaved clocks, the machine.

A benchmark is a module with ``TITLE`` and ``measure(size) -> Section``. It runs in a process of its
own, so that its peak of memory is its own. Ratios are taken of runs that alternate, by medians.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("cryptography", "cbor2", "pynacl", "sqlalchemy", "sqlmodel", "psycopg", "pyscard")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. ``growth`` in receipts, ascending; ``days`` in uploads of ``taps``."""

    repeats: int = 15
    taps: int = 200
    days: int = 10
    receipts: int = 5_000
    growth: tuple[int, ...] = (1_000, 10_000, 100_000)
    families: int = 30_000
    cards: int = 2_000
    transfers: int = 20_000
    pcscd: bool = True
    postgresql: str = ""


TOY = Size(repeats=1, taps=5, days=1, receipts=20, growth=(10, 20), families=3, cards=3,
           transfers=20, pcscd=False)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. ``bar`` in words (≥ 0.6), ``met`` whether the figure keeps it; None without."""

    what: str
    value: float
    unit: str
    bar: str = ""
    met: bool | None = None


def at_least(what: str, value: float, bar: float, unit: str = "") -> Row:
    """A row that should not be below its bar."""
    return Row(what, value, unit, f"≥ {bar:g}{' ' + unit if unit else ''}", value >= bar)


def at_most(what: str, value: float, bar: float, unit: str = "") -> Row:
    """A row that should not be above its bar."""
    return Row(what, value, unit, f"≤ {bar:g}{' ' + unit if unit else ''}", value <= bar)


@dataclass(slots=True)
class Section:
    """The rows of one benchmark and the words that say what they are."""

    rows: list[Row] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def add(self, *rows: Row) -> None:
        """More rows."""
        self.rows += rows

    def as_json(self) -> dict[str, Any]:
        """For build/bench.json."""
        return {"rows": [asdict(r) for r in self.rows], "text": self.text}


def timed(clock: Callable[[], float], work: Callable[[], object]) -> float:
    """Seconds of ``clock`` that ``work`` takes."""
    begun = clock()
    work()
    return clock() - begun


def interleaved(times: int, *works: Callable[[], float]) -> list[float]:
    """The median seconds of each of several works, which alternate and time themselves."""
    taken: list[list[float]] = [[] for _ in works]
    for n in range(times):
        order = range(len(works)) if n % 2 == 0 else reversed(range(len(works)))
        for k in order:
            taken[k].append(works[k]())
    return [statistics.median(t) for t in taken]


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process, all threads."""
    return timed(time.process_time, work)


def per_second(count: int, seconds: float) -> float:
    """A rate; 0 for what took no time."""
    return count / seconds if seconds else 0.0


def sum_of(parts: Sequence[float]) -> float:
    """Their sum."""
    return float(sum(parts))


def machine(folder: Path) -> dict[str, Any]:
    """Processor, cores, memory, versions, the file system under ``folder``, the load now."""
    cpuinfo = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text("ascii", "replace"))
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text("ascii"))
    return {
        "cpu": cpuinfo[1] if cpuinfo else platform.machine(),
        "cores": os.cpu_count(),
        "memory_mb": int(memory[1]) // 1024 if memory else 0,
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES} | native(),
        "file_system": file_system(folder),
        "load": round(os.getloadavg()[0], 1),
    }


def native() -> dict[str, str]:
    """Versions of what the libraries stand on."""
    import sqlite3

    from cryptography.hazmat.backends.openssl.backend import backend

    return {"SQLite": sqlite3.sqlite_version, "OpenSSL": backend.openssl_version_text().split()[1]}


def file_system(folder: Path) -> str:
    """Type of the mount that ``folder`` lies on."""
    best, kind = "", "?"
    for line in Path("/proc/mounts").read_text("ascii", "replace").splitlines():
        _, point, name, *_ = line.split()
        if str(folder.resolve()).startswith(point) and len(point) >= len(best):
            best, kind = point, name
    return kind
