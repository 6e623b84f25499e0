"""Signed orders, and how far the desk came with each: one order, one card (PROTOCOL.md §5).

An order is taken once, after the registry's signature, the desk's id and the date were checked.
Its row also remembers which chip is becoming its card; the row changes only in the commit that
logs the step.
"""

# ruff: noqa: ISC004 - statements of SQL, each over lines
from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from issuer.errors import OrderDiffersError, OrderRefusedError, OrderUnknownError
from issuer.store import named_errors, transaction
from keys.errors import KeysError
from keys.trust import TrustStore
from wire.cose import Sign1
from wire.errors import WireError
from wire.log import DeskStep
from wire.objects import Order

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS job (place INTEGER PRIMARY KEY AUTOINCREMENT,"
    " number BLOB NOT NULL UNIQUE, raw BLOB NOT NULL, state INTEGER NOT NULL DEFAULT 0,"
    " chip BLOB, card_id BLOB, step INTEGER NOT NULL DEFAULT 0, scrapping TEXT)",
    "CREATE TABLE IF NOT EXISTS scrapped (chip BLOB PRIMARY KEY, number BLOB NOT NULL,"
    " card_id BLOB, reason TEXT NOT NULL)",
)
BOUND_FROM = DeskStep.KEYS_MADE  # from here on the key service may have certified the chip
_COLUMNS = "number, raw, state, chip, card_id, step, scrapping"


class JobState(IntEnum):
    """Where an order stands."""

    OPEN = 0
    ISSUED = 1
    SET_ASIDE = 2  # it names another family's decree row, and an officer skipped it


@dataclass(frozen=True, slots=True)
class Job:
    """One order at this desk. ``chip`` b"" while no card was begun; ``step`` the furthest."""

    order: Order
    raw: bytes
    state: JobState
    chip: bytes
    card_id: bytes | None
    step: DeskStep | None
    scrapping: str | None

    @property
    def number(self) -> bytes:
        """The order's number, its name at the desk."""
        return self.order.number

    @property
    def is_bound(self) -> bool:
        """Whether the key service may have certified this job's chip for its order."""
        return self.step is not None and self.step >= BOUND_FROM

    @property
    def can_scrap(self) -> bool:
        """Whether a card of this order was begun here and is not issued."""
        return self.step is not None and self.state == JobState.OPEN


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a delivery of orders; ``refused`` holds the reasons."""

    new: int
    held: int
    refused: tuple[str, ...]


class OrderBook:
    """The desk's orders over its database. ``desk``: its station id (8 bytes).

    An order's number is 16 bytes, a chip's name 12 (:func:`issuer.identify.chip_of`).
    """

    def __init__(
        self, db: sqlite3.Connection, trust: TrustStore, desk: bytes, clock: Callable[[], int]
    ) -> None:
        self._db, self._trust, self._desk, self._clock = db, trust, desk, clock
        with transaction(db):
            for statement in _SCHEMA:
                db.execute(statement)

    # --- taking orders ---------------------------------------------------------------------

    def add(self, raw: bytes) -> bool:
        """Take one signed order; False when these very bytes are held already.

        1. signature, role, environment; 2. this desk; 3. still valid; 4. one body a number.
        Raises :class:`OrderRefusedError` and :class:`OrderDiffersError`.
        """
        try:
            order = self._trust.verify(Order, raw)  # 1
        except (WireError, KeysError) as e:
            raise OrderRefusedError(f"the order does not stand: {e}") from e
        if order.desk != self._desk:  # 2
            raise OrderRefusedError("the order is for another desk")
        if self._clock() > order.valid_until_s:  # 3
            raise OrderRefusedError("the order is no longer valid")
        with transaction(self._db):
            held = self._db.execute(
                "SELECT raw FROM job WHERE number = ?", (order.number,)
            ).fetchone()
            if held is not None:  # 4
                if Sign1.parse(held[0]).hash != Sign1.parse(raw).hash:
                    raise OrderDiffersError(f"order {order.number.hex()} is held otherwise")
                return False
            self._db.execute("INSERT INTO job(number, raw) VALUES (?, ?)", (order.number, raw))
            return True

    def add_all(self, raws: list[bytes]) -> Taken:
        """Take what stands of a delivery; what does not is told and stops nothing."""
        new, refused = 0, []
        for raw in raws:
            try:
                new += self.add(raw)
            except OrderRefusedError as e:
                refused.append(str(e))
        return Taken(new, len(raws) - new - len(refused), tuple(refused))

    # --- reading ---------------------------------------------------------------------------

    def _jobs(self, where: str, *values: object) -> list[Job]:
        sql = f"SELECT {_COLUMNS} FROM job {where}"  # noqa: S608 - clauses of this module
        with named_errors():
            return [_job(row) for row in self._db.execute(sql, values).fetchall()]

    def job(self, number: bytes) -> Job:
        """The job of this order; :class:`OrderUnknownError`."""
        found = self._jobs("WHERE number = ?", number)
        if not found:
            raise OrderUnknownError(f"no order {number.hex()} is held here")
        return found[0]

    def job_of_chip(self, chip: bytes) -> Job | None:
        """The job whose card this chip is or is becoming."""
        found = self._jobs("WHERE chip = ?", chip) if chip else []
        return found[0] if found else None

    def next(self) -> Job | None:
        """The first of :meth:`waiting`, or None."""
        return next(iter(self.waiting()), None)

    def waiting(self) -> list[Job]:
        """The open orders, still valid, that no chip is bound to, the next one first.

        Replacements go first: their families wait without a card. One begun and not yet bound is
        among them: its chip is stock like any other.
        """
        now_s = self._clock()
        rows = self._jobs("WHERE state = 0 AND step < ? ORDER BY place", int(BOUND_FROM))
        valid = [j for j in rows if j.order.valid_until_s >= now_s]
        return sorted(valid, key=lambda j: j.order.predecessor is None)

    def begun(self) -> list[Job]:
        """Open orders whose card is bound and not issued: each waits for its own chip."""
        return self._jobs("WHERE state = 0 AND step >= ? ORDER BY place", int(BOUND_FROM))

    def jobs(self) -> list[Job]:
        """Every order, in the order taken."""
        return self._jobs("ORDER BY place")

    def scrap_reason(self, chip: bytes) -> str | None:
        """Why this chip was scrapped, or None."""
        with named_errors():
            row = self._db.execute("SELECT reason FROM scrapped WHERE chip = ?", (chip,)).fetchone()
        return None if row is None else str(row[0])

    def scrapped_count(self) -> int:
        """How many chips were scrapped here."""
        return self._count("SELECT count(*) FROM scrapped")

    def aside_count(self) -> int:
        """How many orders were set aside."""
        return self._count("SELECT count(*) FROM job WHERE state = ?", int(JobState.SET_ASIDE))

    def _count(self, sql: str, *values: object) -> int:
        with named_errors():
            return int(self._db.execute(sql, values).fetchone()[0])


# --- changes, each in the commit of a log record -------------------------------------------------


def begin(db: sqlite3.Connection, number: bytes, chip: bytes) -> None:
    """Bind the chip to the order; an order that it was begun for before is let go."""
    db.execute("UPDATE job SET chip = NULL, step = 0 WHERE chip = ? AND card_id IS NULL", (chip,))
    db.execute("UPDATE job SET chip = ?, step = 0 WHERE number = ?", (chip or None, number))


def reach(db: sqlite3.Connection, number: bytes, step: DeskStep, card_id: bytes | None) -> None:
    """The card came this far."""
    state = JobState.ISSUED if step == DeskStep.VERIFIED else JobState.OPEN
    db.execute(
        "UPDATE job SET step = max(step, ?), card_id = coalesce(?, card_id), state = ?"
        " WHERE number = ?", (int(step), card_id, int(state), number),
    )  # fmt: skip


def set_aside(db: sqlite3.Connection, number: bytes) -> None:
    """The order waits no more; a chip that was begun for it is let go."""
    db.execute(
        "UPDATE job SET state = ?, chip = NULL, step = 0 WHERE number = ?",
        (int(JobState.SET_ASIDE), number),
    )


def mark_scrapping(db: sqlite3.Connection, number: bytes, reason: str) -> None:
    """The key service is about to be told."""
    db.execute("UPDATE job SET scrapping = ? WHERE number = ?", (reason, number))


def scrap(db: sqlite3.Connection, job: Job, reason: str) -> None:
    """The chip never becomes a card; the order is open for another."""
    if job.chip:
        db.execute(
            "INSERT OR REPLACE INTO scrapped VALUES (?, ?, ?, ?)",
            (job.chip, job.number, job.card_id, reason),
        )
    db.execute(
        "UPDATE job SET state = 0, chip = NULL, card_id = NULL, step = 0, scrapping = NULL"
        " WHERE number = ?", (job.number,),
    )  # fmt: skip


@lru_cache(maxsize=10_000)
def _order(raw: bytes) -> Order:
    """The order in these bytes, which were verified when they were taken.

    Kept: the screen asks at each card for all that wait, and the same bytes are the same order.
    """
    return Order.parse(Sign1.parse(raw).payload)


def _job(row: tuple[bytes, bytes, int, bytes | None, bytes | None, int, str | None]) -> Job:
    _, raw, state, chip, card_id, step, scrapping = row
    return Job(_order(raw), raw, JobState(state), chip or b"", card_id,
               DeskStep(step) if step else None, scrapping)  # fmt: skip
