"""What is open at this terminal, as data for a screen or the command line."""

from __future__ import annotations

from dataclasses import dataclass

from terminal.engine import Engine
from terminal.journal import Head
from terminal.roster import Version
from wire.cvc import TerminalExtension
from wire.dates import end_of_day_s
from wire.objects import GoodsLine


@dataclass(frozen=True, slots=True)
class CertificateEnd:
    """One certificate's role, officer (0 for none) and last second."""

    role: str
    officer: int
    end_s: int


@dataclass(frozen=True, slots=True)
class Status:
    """The terminal now. Numbers in lists are sequences of intents and voids."""

    station: str
    environment: str
    now_s: int
    clock_suspect: bool
    stopped: bool
    head: Head
    unacknowledged: int
    version: Version | None
    shift_officer: int | None
    unknown: tuple[int, ...]
    undelivered: tuple[int, ...]
    suspended: tuple[int, ...]
    certificates: tuple[CertificateEnd, ...]
    stock: tuple[GoodsLine, ...]


def status(engine: Engine) -> Status:
    """Read it all; nothing is written."""
    journal, roster = engine.journal, engine.roster
    head = journal.head()
    ends = tuple(
        CertificateEnd(c.extension.role.name, c.extension.officer, end_of_day_s(c.expires))
        for c in roster.certificates() if isinstance(c.extension, TerminalExtension)
    )  # fmt: skip
    return Status(
        journal.station.station_id.decode("ascii", "replace"), journal.station.env.name,
        engine.now_s(), engine.is_clock_suspect, journal.stopped, head,
        head.sequence - head.acknowledged, None if roster.is_empty else roster.version,
        journal.shift_officer(), tuple(x.sequence for x in journal.open_intents()),
        tuple(x.sequence for x in journal.undelivered()),
        tuple(x.sequence for x in journal.suspended()), ends, journal.stock(),
    )  # fmt: skip
