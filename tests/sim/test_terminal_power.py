"""Power cuts of the terminal: what may lie on the disk after one, and what the journal then says.

SQLite in WAL mode appends frames and syncs the log, then (at a checkpoint) writes pages into the
database and syncs it, and later starts the log over. Between two syncs a disk may keep any subset
of the sectors written, some of them torn. Each commit of a real working day is replayed here with
random such subsets; the journal must open, be one chain, and say the state before or after that
commit, and never less than what an earlier commit had made durable.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from terminal.journal import Journal, Station
from terminal.outcomes import Redeemed, Voided
from terminal.roster import Roster
from terminal.store import connect
from tests.support.terminal_world import CASH, FOOD, PIN, Issuer, at_work, entry
from wire.cvc import Role

SECTOR = 512
SEED = 20260601
STATES_PER_CUT = 30


@dataclass(frozen=True)
class Image:
    """The two files as they stand in the page cache."""

    db: bytes
    wal: bytes

    @classmethod
    def of(cls, path: Path) -> Image:
        wal = Path(f"{path}-wal")
        return cls(path.read_bytes(), wal.read_bytes() if wal.exists() else b"")

    def put(self, path: Path) -> None:
        for name in ("", "-wal", "-shm"):
            Path(f"{path}{name}").unlink(missing_ok=True)
        path.write_bytes(self.db)
        Path(f"{path}-wal").write_bytes(self.wal)


def torn(random: Random, old: bytes, new: bytes) -> bytes:
    """``old`` on the way to ``new``: a random subset of sectors, one of them cut within."""
    style = random.randrange(4)
    if style == 0:  # a prefix, cut anywhere
        at = random.randrange(len(new) + 1)
        return new[:at] + old[at:]
    keep = random.choice((0.1, 0.5, 0.9))
    result = bytearray(old.ljust(len(new), b"\0") if style == 1 else old)
    for at in range(0, len(new), SECTOR):
        if random.random() < keep:
            piece = new[at : at + SECTOR]
            if random.random() < 0.1:
                piece = piece[: random.randrange(len(piece) + 1)]
            result[len(result) :] = bytes(max(0, at - len(result)))
            result[at : at + len(piece)] = piece
    return bytes(result)


def cuts(random: Random, before: Image, after: Image) -> list[Image]:
    """Disks a cut may leave between two commits: log first, then (checkpoint) the database."""
    found = [before, after, Image(before.db, after.wal)]
    found += [Image(before.db, torn(random, before.wal, after.wal)) for _ in range(STATES_PER_CUT)]
    if before.db != after.db:
        found += [
            Image(torn(random, before.db, after.db), after.wal) for _ in range(STATES_PER_CUT)
        ]
    return found


def record_day(folder: Path):
    """(before, after) images and logical states of every commit of a busy day."""
    terminal, card = at_work(path=folder)
    terminal.journal._db.execute("PRAGMA wal_autocheckpoint = 24")
    path, seen = folder / "journal.db", []
    honest = terminal.journal.append

    def append(*args, **kwargs):
        before = (Image.of(path), logical(terminal.journal))
        made = honest(*args, **kwargs)
        seen.append((before, (Image.of(path), logical(terminal.journal))))
        return made

    terminal.journal.append = append
    second = terminal.issuer.card(2)
    terminal.engine.install(terminal.bundle(
        entry(second, terminal.issuer.entitlement(second, FOOD)), base=1))  # fmt: skip
    for number in range(5):
        terminal.clock.now_s += 60
        with terminal.begin(card) as visit:
            visit.verify_pin(PIN)
            paid = visit.redeem(CASH, 100)
            assert isinstance(paid, Redeemed)
            if number % 2:
                visit.delivered(paid.intent)
    with terminal.begin(card, Role.SUPERVISOR) as visit:
        assert isinstance(visit.void(paid.intent, on_counter=False, reason="salah"), Voided)
    with terminal.begin(second) as visit:
        visit.verify_pin(PIN)
        second.drop_answer_of = 0
        visit.redeem(FOOD, 1)
    with terminal.begin(second) as visit:
        visit.delivered(visit.recovered[0].intent)
    return terminal.journal.station, seen


def logical(journal: Journal):
    return journal.head(), journal.derived()


def reopened(path: Path, station: Station):
    journal = Journal(connect(path), station)
    journal.check()
    state = logical(journal)
    journal._db.close()
    return state


def test_after_any_cut_the_journal_is_before_or_after_the_commit(tmp_path):
    (tmp_path / "t").mkdir()
    station, day = record_day(tmp_path / "t")
    random, states, checkpoints = Random(SEED), 0, 0  # noqa: S311 - repeatable
    fast = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path  # noqa: S108
    work = fast / f"betang-power-{os.getpid()}"
    work.mkdir()
    try:
        for (before, old), (after, new) in day:
            checkpoints += before.db != after.db
            for image in cuts(random, before, after):
                image.put(work / "j.db")
                state = reopened(work / "j.db", station)
                assert state in (old, new), f"seed {SEED}: neither before nor after"
                if image == after:
                    assert state == new
                states += 1
    finally:
        shutil.rmtree(work)
    assert states >= 500, states
    assert checkpoints >= 2, "the day must cross checkpoints"


def test_after_any_cut_the_roster_is_one_bundle_or_the_other(tmp_path):
    (tmp_path / "t").mkdir()
    issuer = Issuer()
    terminal, card = at_work(issuer, path=tmp_path / "t")
    path, random = tmp_path / "t" / "roster.db", Random(SEED + 1)  # noqa: S311

    def shown(roster: Roster):
        return roster.version, roster.cards(), roster.is_hotlisted(card.card_id)

    for number in range(4):
        before, old = Image.of(path), shown(terminal.roster)
        hotlist = (1,) if number % 2 else ()
        terminal.engine.install(
            terminal.bundle(
                entry(card, issuer.entitlement(card, FOOD, sequence=number + 2)), hotlist=hotlist
            )
        )
        after, new = Image.of(path), shown(terminal.roster)
        for image in cuts(random, before, after):
            image.put(tmp_path / "r.db")
            roster = Roster(connect(tmp_path / "r.db"), station=terminal.station,
                            trust=issuer.world.trust, allow_demo=True)  # fmt: skip
            assert shown(roster) in (old, new)
            roster._db.close()


_WRITER = """
import sys
from terminal.journal import Journal, Station
from terminal.store import connect
from wire import log
from wire.env import Environment
j = Journal(connect(sys.argv[1]), Station(b"TERM0001", Environment.DEMO_LIVE, bytes(32)))
while True:
    (r,) = j.append(1, log.Boot("x" * 60))
    sys.stdout.write(f"{r.sequence} {r.hash.hex()}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("lines", [1, 40, 150])
def test_sigkill_loses_nothing_that_was_reported_durable(tmp_path, lines):
    station = Station(b"TERM0001", _demo(), bytes(32))
    root = Path(__file__).parents[2]
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path / "j.db")], cwd=root,
                              stdout=subprocess.PIPE, text=True) as process:  # fmt: skip
            last = ""
            for _ in range(lines):
                last = process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().splitlines()
        complete = [x for x in [last.strip(), *rest] if len(x.split()) == 2 and len(x) > 64]
        sequence, digest = complete[-1].split()
        journal = Journal(connect(tmp_path / "j.db"), station)
        journal.check()
        assert journal.head().sequence >= int(sequence)
        (record,) = journal.records(int(sequence), int(sequence))
        if len(digest) == 64:
            assert record.hash.hex() == digest
        journal._db.close()


def _demo():
    from wire.env import Environment

    return Environment.DEMO_LIVE
