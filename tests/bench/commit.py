"""The terminal's journal alone, with ready records, over the same syncs of a bare file."""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random

from keys.signer import P256Signer
from terminal.journal import Journal, Station
from terminal.store import connect
from tests.bench.frame import ROOT, Row, Section, Size, at_least, interleaved, timed
from tests.support.backend_world import CASH, ENV, START_S, TODAY, Clock, SoftCard
from tests.support.power_disk import Recording, Sync, Write
from wire import log
from wire.entitlement import NEVER_S, Entitlement, Lot
from wire.receipt import ReceiptKind
from wire.schema import Shape

TITLE = "Journal"
STATION = Station(b"TERM0001", ENV, bytes(32))
CERTIFICATE = bytes(228)


@dataclass
class Ready:
    """The bodies of many taps, in order; the times make the chain the same each time."""

    steps: list[tuple[int, Shape, bytes | None]] = field(default_factory=list)
    taps: int = 0

    def write(self, journal: Journal) -> None:
        """Each body in a commit of its own, as the engine does."""
        for time_s, body, certificate in self.steps:
            journal.append(time_s, body, certificate=certificate)


def ready(taps: int) -> Ready:
    """INTENT, RECEIPT, DELIVERED of so many taps with as many cards."""
    rng, made = Random(5), Ready(taps=taps)  # noqa: S311
    journal = Journal(sqlite3.connect(":memory:", isolation_level=None), STATION)
    clock = Clock()
    for n in range(taps):
        card = _card(rng, n, clock)
        time_s = START_S + 60 * n
        intent = log.Intent(card.card_id, card.digest, CASH, 1_000, 1, (), 0, 1, 0, 1, 1, 1, "")
        (record,) = journal.append(time_s, intent, certificate=CERTIFICATE)
        receipt = card.receipt(ReceiptKind.DEBIT, STATION.station_id, record, CASH, 1_000)
        rest: list[Shape] = [log.Receipted(record.sequence, bytes(receipt)),
                             log.Delivered(record.sequence)]  # fmt: skip
        for body in rest:
            journal.append(time_s, body)
        made.steps += [(time_s, intent, CERTIFICATE), *((time_s, body, None) for body in rest)]
    return made


def _card(rng: Random, n: int, clock: Clock) -> SoftCard:
    card_id = ENV.mark + (n + 1).to_bytes(4, "big")
    card = SoftCard(card_id, P256Signer.generate(rng.randbytes), sha256(card_id).digest(), clock)
    body = Entitlement.encode_body(
        env=ENV, card_id=card_id, certificate_hash=card.digest[:16], wallet=CASH, programme=258,
        sequence=1, loaded=1_000_000, lots=(Lot(NEVER_S, 1_000_000),), forfeited_through=0,
        cap=250_000, issued=TODAY, acknowledged=0, settled_debited=0, settled_reversed=0,
        bypass_total=2, key_version=1,
    )  # fmt: skip
    card.load(Entitlement.parse(body + bytes(64)))
    return card


def measure(size: Size) -> Section:
    """tap_commit, syncs, their latency."""
    work = ready(size.taps)
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as name:
        folder = Path(name)
        syncs, wal = _counted(folder, work)
        ours, limit = interleaved(
            max(1, size.repeats // 3), lambda: _journal(folder, work),
            lambda: _file(folder, wal, syncs),
        )  # fmt: skip
        latency = _latency(folder, 3 if size.repeats == 1 else 200)
    commits = len(work.steps)
    made = Section(text=[
        "tap_commit: `Journal.append` of ready INTENT, RECEIPT and DELIVERED bodies, each its own",
        "commit, from an empty journal; the baseline appends as many bytes as SQLite wrote to its",
        "WAL to a bare file with as many syncs (fdatasync), on the same file system. Bytes and",
        "syncs are counted by a VFS under SQLite in a run of its own.",
    ])  # fmt: skip
    made.add(
        Row("journal, a tap", ours / work.taps * 1e3, "ms"),
        Row("bare file, a tap", limit / work.taps * 1e3, "ms"),
        at_least("tap_commit", limit / ours, 0.6),
        Row("commits a tap", commits / work.taps, ""),
        Row("syncs a tap, checkpoints included", syncs / work.taps, ""),
        Row("bytes to the WAL a tap", wal / work.taps, "B"),
        Row("one sync of an appended page, median", latency * 1e3, "ms"),
    )
    return made


def _journal(folder: Path, work: Ready) -> float:
    path = folder / "journal.db"
    for each in folder.glob("journal.db*"):
        each.unlink()
    db = connect(path)
    journal = Journal(db, STATION)
    taken = timed(time.perf_counter, lambda: work.write(journal))
    db.close()
    return taken


def _file(folder: Path, size: int, syncs: int) -> float:
    path, piece = folder / "bare", os.urandom(max(1, size // syncs))
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def write() -> None:
        for _ in range(syncs):
            os.write(handle, piece)
            os.fdatasync(handle)

    try:
        return timed(time.perf_counter, write)
    finally:
        os.close(handle)


def _counted(folder: Path, work: Ready) -> tuple[int, int]:
    """Syncs, and bytes written to the WAL, of the same work."""
    place = folder / "counted"
    place.mkdir()
    recording = Recording(place)
    with recording.running():
        db = connect(place / "journal.db")
        journal = Journal(db, STATION)
        begun = len(recording.ops)
        work.write(journal)
        done = recording.ops[begun:]
        wal = recording.file("journal.db-wal")
        db.close()
    written = sum(len(o.data) for o in done if isinstance(o, Write) and o.inode == wal)
    return sum(isinstance(o, Sync) for o in done), written


def _latency(folder: Path, times: int) -> float:
    taken = []
    with (folder / "latency").open("ab", buffering=0) as stream:
        for _ in range(times):
            stream.write(bytes(4096))
            taken.append(timed(time.perf_counter, lambda: os.fdatasync(stream.fileno())))
    return statistics.median(taken)
