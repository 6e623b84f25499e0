"""Power cuts and kills of the terminal, in small (`make sim-power` is the campaign), and the
planted bugs that the campaign's own functions find.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from keys import store
from terminal import sync
from tests.support.campaign import FaultError
from tests.support.killed import close_all
from tests.support.power_campaign import cuts, founding, judge, scratch, working_day
from tests.support.power_disk import Mark
from tests.support.power_kill import kills
from tests.support.terminal_world import Terminal

SEED = 20260601


@pytest.fixture(scope="module", autouse=True)
def programs():
    yield
    close_all()


def seeded() -> Random:
    return Random(SEED)  # noqa: S311 - repeatable


# --- the disk ------------------------------------------------------------


def test_after_any_cut_the_stores_are_before_or_after_the_step():
    day = working_day(SEED)
    assert sum(isinstance(op, Mark) for op in day.ops) > 40
    with scratch() as folder:
        counts = judge(day, cuts(day.ops, seeded(), 3, 11), folder)
    assert counts["disk states"] >= 500, counts
    assert min(counts.values()) >= 40, counts


def test_after_any_cut_of_its_founding_the_same_commands_make_the_same_terminal():
    day = founding(SEED)
    with scratch() as folder:
        counts = judge(day, cuts(day.ops, seeded(), 6, 30), folder)
    assert counts["disk states"] >= 20, counts


def unsynced(terminal: Terminal) -> None:
    """Commits that do not wait for the disk."""
    terminal.journal._db.execute("PRAGMA synchronous = OFF")


def test_a_journal_that_does_not_sync_is_found():
    day = working_day(SEED, unsynced)
    with scratch() as folder, pytest.raises(FaultError, match="neither before nor after"):
        judge(day, cuts(day.ops, seeded(), 0, 20), folder)


def test_a_file_renamed_before_it_is_synced_is_found(monkeypatch):
    def hasty(target: Path, data: bytes) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with store.os.fdopen(store.os.open(part, flags, 0o600), "wb") as f:
            f.write(data)
        part.replace(target)

    monkeypatch.setattr(sync, "write_private", hasty)
    day = working_day(SEED)
    with scratch() as folder, pytest.raises(FaultError, match="stick"):
        judge(day, cuts(day.ops, seeded(), 0, 20), folder)


# --- the process ------------------------------------------------------------

GROUPED = """
from contextlib import contextmanager
from terminal import journal
turn = 0
@contextmanager
def grouped(db):
    global turn
    turn += 1
    if not db.in_transaction:
        db.execute("BEGIN IMMEDIATE")
    yield
    if turn % 3 == 0:
        db.execute("COMMIT")
journal.transaction = grouped
"""
"""A commit for every third step, as somebody might who counts syncs."""


def test_a_killed_face_forgets_nothing():
    counts = kills(SEED, 0, 3)
    assert counts["kills"] == 3
    assert counts["agreements"] >= 3, counts


def test_a_journal_that_commits_later_is_found():
    with pytest.raises(FaultError):
        kills(SEED, 0, 3, GROUPED)
