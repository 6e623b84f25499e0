"""sim-upload: fifty uploaders that repeat, overlap and reorder, and a backend killed beside them.

The backend is the real `betang-backend serve` as a process on SQLite or PostgreSQL; a second
program takes the same uploads as files (`betang-backend ingest`). Each round has five kills.
What was acknowledged must be there when it is dead; at the end every sum is the truth's exactly,
and the auditor finds nothing in the export.
"""

from __future__ import annotations

import http.client
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import create_engine, text

from backend import report as reconciliation
from backend.audit.verify import verify
from backend.config import ACK, CONFIG, KEYS, PEPPER, TRUST, Config
from backend.db import Database, connect, sqlite_url
from keys.store import SealedStore
from tests.support.campaign import FaultError
from tests.support.killed import Program, close_all, free_port, program
from tests.support.upload_senders import END_S, Office, Sticks, Uploader
from tests.support.upload_story import Story, tell
from wire import cbor
from wire.chain import LedgerEntry
from wire.objects import KeyRole

POSTGRES = os.environ.get("BETANG_TEST_POSTGRES", "")
STORES = ["sqlite", *(["postgresql"] if POSTGRES else [])]
KILLS, ROUNDS_A_STORY = 5, 10
KILL_S, KILL_AFTER_S = 10.0, 0.05
"""A kill comes after some answers, or so many seconds, and an instant within so many more."""
SECRET = "rahasia"
LOAD = "from backend import cli, serve"
CLOCK = "cli.system_clock = lambda: at"


# --- a backend's folder and database ------------------------------------------------------------


@dataclass
class Template:
    """A story and the database as it was before anything was uploaded."""

    store: str
    story: Story
    folder: Path
    name: str
    made: int = 0

    @contextmanager
    def copy(self) -> Iterator[tuple[Path, str]]:
        """A data folder with a database of its own: path and URL."""
        folder = Path(tempfile.mkdtemp(prefix="betang-upload-"))
        self._keys(folder)
        self.made += 1
        name = f"{self.name}_{self.made}"
        try:
            if self.store == "sqlite":
                shutil.copy(self.folder / "backend.sqlite", folder / "backend.sqlite")
                yield folder, sqlite_url(folder)
            else:
                _admin(f'CREATE DATABASE "{name}" TEMPLATE "{self.name}"')
                yield folder, _url(name)
        finally:
            shutil.rmtree(folder)
            if self.store != "sqlite":
                _admin(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _keys(self, folder: Path) -> None:
        world, store = self.story.keys, SealedStore(folder / KEYS, log_n=10)
        store.save(ACK, world.signers[KeyRole.ACK, 1].private_bytes(), SECRET)  # type: ignore[attr-defined]
        store.save(PEPPER, b"p" * 32, SECRET)
        (folder / TRUST).write_bytes(bytes(world.trust))
        config = Config(key_service=str(folder / "nobody"))
        (folder / CONFIG).write_text(config.model_dump_json())

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.folder)
        if self.store != "sqlite":
            _admin(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')


def _url(name: str) -> str:
    return POSTGRES.replace("/betang?", f"/{name}?")


def _admin(statement: str) -> None:
    engine = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with engine.connect() as c:
        c.execute(text(statement))
    engine.dispose()


_templates: dict[str, tuple[tuple[int, Size], Template]] = {}


@dataclass(frozen=True, slots=True)
class Size:
    """Terminals, visits before the round; uploaders and kills in it, and whether files come too."""

    points: int = 8
    taps: int = 40
    uploaders: int = 50
    kills: int = KILLS
    sticks: bool = True


FULL, SMALL = Size(), Size(4, 8, 8, 1, sticks=False)


def template(store: str, seed: int, size: Size = FULL) -> Template:
    """The template of this store, seed and size; one of each store is kept."""
    held, wanted = _templates.get(store), (seed, size)
    if held is not None:
        if held[0] == wanted:
            return held[1]
        held[1].close()
        del _templates[store]
    folder, name = Path(tempfile.mkdtemp(prefix="betang-upload-")), f"u{os.getpid()}_{seed}"
    if store != "sqlite":
        _admin(f'CREATE DATABASE "{name}"')
    url = None if store == "sqlite" else _url(name)
    made = Template(store, tell(folder, url, seed, size.points, size.taps), folder, name)
    _templates[store] = wanted, made
    return made


def close() -> None:
    """Remove every template, unload every program."""
    for _, made in _templates.values():
        made.close()
    _templates.clear()
    close_all()


# --- a round ------------------------------------------------------------


class Round:
    """Fifty uploaders and a stick against one backend that is killed."""

    def __init__(  # noqa: PLR0917 - one caller
        self, made: Template, folder: Path, url: str, seed: int, size: Size, patch: str
    ) -> None:
        self.random, self.story = Random(seed), made.story  # noqa: S311 - repeatable
        self.folder, self.url, self.size = folder, url, size
        self.office = Office(made.story)
        self.argv = ["--data", str(folder), "--demo"]
        self.env = {"BETANG_BACKEND_PASSPHRASE": SECRET, "BETANG_DATABASE_URL": url}
        self.backend, self.patch = program(LOAD, CLOCK), patch
        self.tool = program(LOAD, CLOCK, 1) if size.sticks else self.backend
        stations = sorted(made.story.chains)
        self.threads: list[threading.Thread] = [
            Uploader(self.office, stations[n % len(stations)], seed * 100 + n)
            for n in range(size.uploaders)
        ]
        if size.sticks:
            (folder / "stick").mkdir()
            self.threads.append(Sticks(self.office, folder / "stick", self.random, self._ingest))
        self.uploads = sum(len(t.left) for t in self.threads if isinstance(t, Uploader))

    def run(self) -> Counter[str]:
        """The whole round; :class:`FaultError`."""
        try:
            self._upload()
            self._sums()
        finally:
            self._over()
        return self.office.counts

    def start(self, what: Program, *argv: str) -> None:
        """Start a command on this round's folder and database."""
        what.start(self.story.now_s, [*self.argv, *argv], self.env, self.patch)

    def _upload(self) -> None:
        for thread in self.threads:
            thread.start()
        for _ in range(self.size.kills):
            self._up()
            more = self.random.randrange(1, self.uploads // (self.size.kills + 1))
            self._until(KILL_S, self.office.counts["acknowledgements"] + more)
            time.sleep(self.random.uniform(0, KILL_AFTER_S))
            self._kill()
        self._up()
        if not self._until(END_S):
            raise FaultError("uploads are not acknowledged in the end")
        self.backend.kill()
        self.backend.died()
        self._durable()

    def _over(self) -> None:
        """Everybody goes home."""
        self.office.faults.append("over")
        self.office.set(is_up=False)
        self.backend.rest()
        self.tool.kill()
        for thread in self.threads:
            if thread.ident is not None:
                thread.join(30)
        self.tool.rest()

    def _up(self) -> None:
        port = free_port()
        self.start(self.backend, "serve", "--port", str(port))
        end = time.monotonic() + 60
        while True:
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                line.request("GET", "/v1/health")
                line.getresponse().read()
            except (OSError, http.client.HTTPException):
                if self.backend.is_dead() or time.monotonic() > end:
                    self.backend.died()
                    raise FaultError("the backend does not come up") from None
                time.sleep(0.01)
            else:
                break
            finally:
                line.close()
        self.office.set(is_up=True, port=port)

    def _until(self, seconds: float, count: int | None = None) -> bool:
        """Let them work so long, or to so many answers; whether all are done. Raises faults."""
        office, end = self.office, time.monotonic() + seconds

        def enough() -> bool:
            return bool(office.faults) or (
                count is not None and office.counts["acknowledgements"] >= count
            )

        while (left := end - time.monotonic()) > 0 and any(t.is_alive() for t in self.threads):
            with office.turn:
                is_enough = office.turn.wait_for(enough, min(left, 0.05))
            self._complain()
            if is_enough:
                break
        return not any(t.is_alive() for t in self.threads)

    def _complain(self) -> None:
        if self.office.faults:
            raise FaultError(self.office.faults[0])

    def _kill(self) -> None:
        """SIGKILL under load; when nobody waits for an answer any more, look at the dead."""
        uploaders = [t for t in self.threads if isinstance(t, Uploader)]
        busy = sum(t.is_alive() for t in uploaders)
        self.office.set(is_up=False)
        self.backend.kill()
        if self.random.random() < 0.5:
            self.tool.kill()
        self.backend.died()
        self.office.counts["kills"] += 1
        self.office.counts["kills under load"] += busy > 0
        with self.office.turn:
            self.office.turn.wait_for(
                lambda: self.office.waiting >= sum(t.is_alive() for t in uploaders), 60
            )
        self._complain()
        self._durable()

    def _ingest(self, paths: list[str]) -> tuple[int, str]:
        self.start(self.tool, "ingest", *paths)
        return self.tool.ended(), self.tool.told

    # --- what must hold ------------------------------------------------------------

    def _durable(self) -> None:
        """Whatever was acknowledged lies in the database, with the very head."""
        with self.office.turn:
            acks = dict(self.office.acks)
        with self._dead() as ask:
            held = dict(ask("SELECT station, last FROM station"))
            for (station, last), head in acks.items():
                if held.get(station, 0) < last:
                    raise FaultError(f"acknowledged to {last}, held to {held.get(station)}")
                at = f"station = {self._hex(station)} AND sequence = {last}"
                found = ask(f"SELECT hash FROM record WHERE {at}")  # noqa: S608 - our own values
                if [bytes(h) for (h,) in found] != [head]:
                    raise FaultError(f"record {last} is not the acknowledged one")

    def _hex(self, raw: bytes) -> str:
        return f"X'{raw.hex()}'" if self.url.startswith("sqlite") else f"'\\x{raw.hex()}'"

    @contextmanager
    def _dead(self) -> Iterator[Any]:
        """Read the dead backend's database; of SQLite a copy, so that its WAL stays to be found."""
        if self.url.startswith("sqlite"):
            with tempfile.TemporaryDirectory(dir=self.folder) as place:
                for name in ("backend.sqlite", "backend.sqlite-wal"):
                    with suppress(FileNotFoundError):
                        shutil.copy(self.folder / name, place)
                db = sqlite3.connect(Path(place) / "backend.sqlite")
                try:
                    yield lambda sql: db.execute(sql).fetchall()
                finally:
                    db.close()
            return
        engine = create_engine(self.url)
        with engine.connect() as c:
            yield lambda sql: [(bytes(a), *b) if isinstance(a, memoryview) else (a, *b)
                               for a, *b in c.execute(text(sql))]  # fmt: skip
        engine.dispose()

    def _tool(self, *argv: str) -> None:
        self.start(self.tool, *argv)
        if self.tool.ended() != 0:
            raise FaultError(f"{argv[0]} failed: {self.tool.told}")

    def _sums(self) -> None:
        """Settle and export with the real program; everything is the truth's."""
        self._tool("settle")
        self._tool("export", "--out", str(self.folder / "export"))
        engine = connect(self.url)
        with Database(engine).read() as session:
            said = reconciliation.reconcile(session)
        engine.dispose()
        truth = self.story.truth
        found = {
            "receipts": said["counts"]["receipts"], "settled": said["settled_minor"],
            "redeemed": {p["code"]: p["redeemed"] for p in said["programmes"]},
            "handed": {(g["terminal"], g["good"]): g["handed"] for g in said["goods"]
                       if g["handed"]},
            "wrong": (said["difference_minor"], said["goods_difference"], said["findings"],
                      said["ledger"], said["gaps"]),
        }  # fmt: skip
        wanted = {
            "receipts": len(truth.receipts), "settled": truth.settled_minor,
            "redeemed": {p["code"]: truth.redeemed.get(p["code"], 0) for p in said["programmes"]},
            "handed": truth.handed, "wrong": (0, 0, [], [], []),
        }  # fmt: skip
        for name, value in wanted.items():
            if found[name] != value:
                raise FaultError(f"{name}: the backend says {found[name]}, true is {value}")
        self._ledger()
        audited = verify(self.folder / "export", self.folder / TRUST, allow_demo=True)
        if audited.findings:
            raise FaultError(f"the auditor finds {audited.findings[0]}")
        if (audited.settled_minor, audited.counts()["receipts"]) != (
            truth.settled_minor, len(truth.receipts),
        ):  # fmt: skip
            raise FaultError("the auditor adds up to something else")
        self.office.counts["receipts, each settled once"] += len(truth.receipts)

    def _ledger(self) -> None:
        """Each debit and reversal was posted once, and nothing else was."""
        raw = (self.folder / "export" / "ledger.cbor").read_bytes()
        entries = [LedgerEntry.parse(x) for x in cbor.decode_sequence(raw)]
        posted = Counter(e.evidence for e in entries if e.kind in {"debit", "reversal"})
        if posted != Counter(self.story.truth.receipts):
            raise FaultError("the ledger does not post each receipt once")


def play(
    seed: int, number: int, size: Size = FULL, *, patch: str = "", store: str = ""
) -> Counter[str]:
    """One round, on each store in turn or on this one; ``patch`` may plant a bug."""
    store = store or STORES[number % len(STORES)]
    made = template(store, seed + number // (ROUNDS_A_STORY * len(STORES)), size)
    with made.copy() as (folder, url):
        one = Round(made, folder, url, seed * 1_000_003 + number, size, patch)
        counts = one.run()
    return counts + Counter({f"kills on {store}": size.kills, "rounds": 1})
