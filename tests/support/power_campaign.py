"""sim-power: a terminal's days cut at every write, and its real face killed in the middle of taps.

A day is recorded write by write (:mod:`tests.support.power_disk`); after each cut the stores must
open, be one chain, say the state before or after the step that ran, never less than what an ended
step had made durable, and go on. Kills of the process are in :mod:`tests.support.power_kill`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from keys import ca
from keys.enrol import OfficerRequest, Provision
from keys.signer import sign_object
from terminal import sync
from terminal.carry import build_upload
from terminal.config import ENROLMENT, Config, Folder
from terminal.errors import NotProvisionedError
from terminal.journal import Journal
from terminal.outcomes import Redeemed, Voided
from terminal.roster import Roster
from terminal.store import connect
from tests.support.campaign import FaultError
from tests.support.power_disk import Disk, Files, Mark, Op, Recording, Write, lay_out
from tests.support.terminal_world import (
    CASH,
    DAY_S,
    FOOD,
    PIN,
    START_S,
    Card,
    Issuer,
    Terminal,
    at_work,
    entry,
)
from wire import log
from wire.cvc import Role
from wire.entitlement import ScriptAction
from wire.objects import Acknowledgement, Enrolment, GoodsLine, StockDelivery, Unit

PIECES_A_DAY = 40
STICK = "stick/upload.cbor"
LOG_N = 10  # the cheapest seal: keys are opened thousands of times
WORDS = "kata sandi"
Check = Callable[[Path, dict[str, list[Any]]], None]


@dataclass(frozen=True, slots=True)
class Day:
    """What was done to the disk, and what must hold of what a cut leaves of it.

    ``check(folder, allowed)``: ``allowed`` are, by store, the states before and after the step.
    """

    ops: tuple[Op, ...]
    check: Check


# --- the states of a day ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cut:
    """A disk after a cut, and the last (maybe None) and next state of each store."""

    files: Files
    allowed: dict[str, list[Any]]
    kind: str


def cuts(ops: tuple[Op, ...], random: Random, part: int = 0, parts: int = 1) -> Iterator[Cut]:
    """Every ``parts``-th cut point: each prefix by sectors, some torn, and random subsets."""
    disk, said = Disk(), dict[str, Any]()
    coming = _coming(ops)
    for index, op in enumerate(ops):
        if isinstance(op, Mark):
            said[op.state[0]] = op.state[1]
            disk.do(op)
            continue
        allowed = {k: [said.get(k), *coming[index].get(k, [])] for k in {*said, *coming[index]}}
        if index % parts == part:
            yield from _around(disk, op, random, allowed)
        disk.do(op)
    if part == 0:
        yield Cut(disk.prefix(), {k: [v] for k, v in said.items()}, "prefixes")


def _around(disk: Disk, op: Op, random: Random, allowed: dict[str, list[Any]]) -> Iterator[Cut]:
    if isinstance(op, Write):
        for n in range(op.sectors):
            yield Cut(disk.prefix(op, n), allowed, "prefixes")
            if random.random() < 0.25:
                at = random.randrange(512)
                yield Cut(disk.prefix(op, n, at), allowed, "torn prefixes")
    else:
        yield Cut(disk.prefix(), allowed, "prefixes")
    after = Disk(disk.durable, disk.names, list(disk.pending))
    if isinstance(op, Write):
        after.do(op)
    for _ in range(4 if after.pending else 0):
        yield Cut(after.torn(random), allowed, "dropped and torn")


def _coming(ops: tuple[Op, ...]) -> list[dict[str, list[Any]]]:
    """For each operation the next state of each store."""
    found: list[dict[str, list[Any]]] = []
    following: dict[str, list[Any]] = {}
    for op in reversed(ops):
        if isinstance(op, Mark):
            following = following | {op.state[0]: [op.state[1]]}
        found.append(following)
    return found[::-1]


def judge(day: Day, found: Iterator[Cut], folder: Path) -> Counter[str]:
    """Lay out each disk and check it; :class:`FaultError` for the first that is wrong."""
    counts: Counter[str] = Counter()
    for number, cut in enumerate(found):
        lay_out(cut.files, folder)
        try:
            day.check(folder, cut.allowed)
        except FaultError as e:
            raise FaultError(f"state {number} ({cut.kind}): {e}") from e
        except Exception as e:
            raise FaultError(f"state {number} ({cut.kind}): {type(e).__name__}: {e}") from e
        counts[cut.kind] += 1
        counts["disk states"] += 1
    return counts


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one: a state is laid out in a millisecond there."""
    fast = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    place = fast if os.access(fast, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="betang-power-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


# --- a working day ------------------------------------------------------------


def logical(journal: Journal) -> Any:
    """What a journal says."""
    return journal.head(), journal.derived()


def shown(roster: Roster) -> Any:
    """What a roster says."""
    if roster.is_empty:
        return None, (), ()
    serials = [c.card_id for c in roster.cards()]
    return roster.version, tuple(roster.cards()), tuple(map(roster.is_hotlisted, serials))


@contextmanager
def marking(recording: Recording) -> Iterator[None]:
    """Mark the end of each commit of journals and rosters, as the program sees it."""
    honest = [(c, n, getattr(c, n)) for c, n in (
        (Journal, "append"), (Journal, "acknowledge"), (Journal, "__init__"),
        (Roster, "install"), (Roster, "provision"), (Roster, "__init__"))]  # fmt: skip

    def marked(cls: Any, plain: Any) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            made = plain(self, *args, **kwargs)
            if cls is Journal:
                recording.mark(("journal", logical(self)))
            else:
                recording.mark(("roster", shown(self)))
            return made

        return method

    for cls, name, plain in honest:
        setattr(cls, name, marked(cls, plain))
    try:
        yield
    finally:
        for cls, name, plain in honest:
            setattr(cls, name, plain)


def working_day(seed: int, prepare: Callable[[Terminal], None] = lambda _: None) -> Day:
    """A day of taps, bundles, a void, a lost answer, a stick, an acknowledgement, a restart."""
    random, issuer = Random(seed), Issuer(seed=seed)  # noqa: S311 - repeatable
    with tempfile.TemporaryDirectory() as place:
        recording = Recording(Path(place))
        with recording.running(), marking(recording):
            terminal, card = at_work(issuer, path=Path(place))
            _work(terminal, card, random, recording, prepare)
            close(terminal)
        station = terminal.journal.station
        trust = issuer.world.trust

    def check(folder: Path, allowed: dict[str, list[Any]]) -> None:
        journal = Journal(connect(folder / "journal.db"), station)
        roster = Roster(connect(folder / "roster.db"), station=station.station_id, trust=trust,
                        allow_demo=True)  # fmt: skip
        try:
            journal.check()
            fresh = (("journal", logical(journal)), ("roster", shown(roster)))
            for store, state in fresh:
                _is_one_of(store, state, allowed.get(store, [None]))
            journal.append(START_S, log.Boot("after the cut"))
            journal.check()
        finally:
            journal._db.close()
            roster._db.close()
        held = folder / STICK
        _is_one_of("stick", held.read_bytes() if held.exists() else None,
                   allowed.get("stick", [None]))  # fmt: skip

    return Day(tuple(recording.ops), check)


def _is_one_of(store: str, state: Any, allowed: list[Any]) -> None:
    if state in allowed or (allowed[0] is None and _is_fresh(store, state)):
        return
    raise FaultError(f"the {store} is neither before nor after the step that ran")


def _is_fresh(store: str, state: Any) -> bool:
    """Nothing was durable yet: an empty store is the state before."""
    if store == "journal":
        return bool(state[0].sequence == 0)
    return state in {None, (None, (), ())}


def close(terminal: Terminal) -> None:
    """End the program: connections closed, the log checkpointed."""
    terminal.journal._db.close()
    terminal.roster._db.close()


def _work(terminal: Terminal, card: Card, random: Random, recording: Recording,
          prepare: Callable[[Terminal], None]) -> None:  # fmt: skip
    pages = random.choice((8, 24, 24, 60))  # a checkpoint every few commits, or hours
    _tune(terminal, pages)
    prepare(terminal)
    issuer, engine = terminal.issuer, terminal.engine
    second = issuer.card(2)
    delivery = StockDelivery(
        "SJ-1", "bulog", terminal.station, (GoodsLine("beras", Unit.GRAM, 50_000),), START_S
    )
    engine.install(terminal.bundle(
        entry(second, issuer.entitlement(second, FOOD), issuer.entitlement(second, CASH),
              scripts=(issuer.script(second, ScriptAction.PIN_UNBLOCK),)),
        base=1, deliveries=(delivery,)))  # fmt: skip
    engine.receive("SJ-1")
    for number in range(random.randrange(3, 6)):
        paid = _tap(terminal, card, CASH, random.randrange(1, 5000), deliver=number % 2 == 1)
    on_counter = random.random() < 0.5
    if on_counter:
        engine.delivered(paid)
    with terminal.begin(card, Role.SUPERVISOR) as visit:
        done = visit.void(paid, on_counter=on_counter, reason="salah")
    if on_counter and isinstance(done, Voided):
        engine.returned(done.void)
    with terminal.begin(second) as visit:
        visit.verify_pin(PIN)
        second.drop_answer_of = random.randrange(3)
        visit.redeem(FOOD, 1)
    second.drop_answer_of = None
    _carry_out(terminal, recording)
    with terminal.begin(second) as visit:
        for outcome in visit.recovered:
            if isinstance(outcome, Redeemed):
                visit.delivered(outcome.intent)
    close(terminal)  # the machine is switched off properly, and on again
    terminal.restart()
    _tune(terminal, pages)
    prepare(terminal)
    terminal.clock.now_s += DAY_S // 4
    terminal.engine.install(
        terminal.bundle(
            entry(card, issuer.entitlement(card, CASH, sequence=2, loaded=1_000_000)), hotlist=(2,)
        )
    )
    _tap(terminal, card, FOOD, 1, deliver=True)
    terminal.engine.close_shift()
    _carry_out(terminal, recording)


def _tune(terminal: Terminal, pages: int) -> None:
    for store in (terminal.journal, terminal.roster):
        store._db.execute(f"PRAGMA wal_autocheckpoint = {pages}")


def _tap(terminal: Terminal, card: Card, wallet: int, amount: int, *, deliver: bool) -> int:
    terminal.clock.now_s += 60
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        paid = visit.redeem(wallet, amount)
        if not isinstance(paid, Redeemed):
            raise FaultError(f"the day does not go as planned: {paid}")
        if deliver:
            visit.delivered(paid.intent)
    return paid.intent


def _carry_out(terminal: Terminal, recording: Recording) -> None:
    """The upload onto a stick, and the office's acknowledgement back from one."""
    stick = recording.folder / STICK
    sync.export_file(terminal.engine, terminal.log_key, stick)
    recording.mark(("stick", stick.read_bytes()))
    upload = build_upload(terminal.journal, terminal.log_key)
    assert upload is not None
    ack = Acknowledgement(upload.head.station, upload.head.last, upload.head.head, START_S + 60)
    file = recording.folder.with_name(recording.folder.name + ".ack")
    file.write_bytes(terminal.issuer.object(ack))
    try:
        sync.import_file(terminal.engine, file)
    finally:
        file.unlink()


# --- the founding of a folder ------------------------------------------------------------


class Founding:
    """The folder made, an officer's key, the provision: what `betang-terminal` does once."""

    def __init__(self, seed: int) -> None:
        self.issuer, self.random = Issuer(seed=seed), Random(seed).randbytes  # noqa: S311
        self.config = Config(station="TERM0001", environment=self.issuer.env)
        self.card = self.issuer.card()
        self.entries = [entry(self.card, self.issuer.entitlement(self.card, CASH, loaded=1_000))]
        self._helper = Terminal(self.issuer)

    def folder(self, path: Path) -> Folder:
        """The folder at ``path``."""
        return Folder(path, demo=True, log_n=LOG_N)

    def provision(self, request: Any, *officers: OfficerRequest) -> bytes:
        """The office's answer."""
        issuer = self.issuer
        enrolment = Enrolment(b"TERM0001", request.kind, request.log_key, "*", "Balai", START_S)
        signed = sign_object(issuer.world.signer(Enrolment.SIGNER), enrolment, issuer.env)
        certificates = [
            ca.issue_terminal_certificate(
                issuer.terminal_ca(), r, serial=issuer.next_serial(), now_s=START_S
            )
            for r in (request, *officers)
        ]
        self._helper.certificates = certificates
        return bytes(Provision(signed.raw, bytes(issuer.world.trust),
                               tuple(c.raw for c in certificates),
                               tuple(x.raw for x in issuer.world.links),
                               self._helper.bundle(*self.entries)))  # fmt: skip


def founding(seed: int) -> Day:
    """A folder's first hour; after a cut the same commands must lead to the same terminal."""
    world = Founding(seed)
    with tempfile.TemporaryDirectory() as place:
        recording = Recording(Path(place))
        with recording.running():
            folder = world.folder(Path(place))
            request = folder.create(world.config, WORDS, world.random)
            recording.mark(("request", bytes(request)))
            officer = folder.make_officer(Role.SUPERVISOR, 41, WORDS, world.random)
            recording.mark(("officer", bytes(officer)))
            provision = world.provision(request, officer)
            folder.provision(provision, WORDS)
            recording.mark(("provisioned", provision))

    def check(place: Path, allowed: dict[str, list[Any]]) -> None:
        found, said = world.folder(place), {k: v[0] for k, v in allowed.items()}
        again = _request(world, found, bytes(said.get("request") or b""))
        wish = found.make_officer(Role.SUPERVISOR, 41, WORDS, world.random)
        if said.get("officer") and wish.channel_key != officer.channel_key:
            raise FaultError("the officer's key is another one than was certified")
        if not said.get("provisioned"):
            held = (place / ENROLMENT).exists()
            raw = provision if said.get("request") or held else world.provision(again, wish)
            found.provision(raw, WORDS)
        opened = found.open(WORDS, clock=lambda: START_S, random=world.random)
        opened.engine.journal.check()
        if opened.engine.roster.is_empty or not opened.engine.roster.certificates():
            raise FaultError("the terminal opens without its data")
        opened.engine.journal._db.close()
        opened.engine.roster._db.close()

    return Day(tuple(recording.ops), check)


def _request(world: Founding, folder: Folder, given: bytes) -> Any:
    """The station's request after a cut: of the keys that were given out, or of new ones."""
    try:
        request = folder.request(WORDS)
    except NotProvisionedError:
        if given:
            raise FaultError("the folder forgot keys whose request was given out") from None
        return folder.create(world.config, WORDS, world.random)
    if given and bytes(request.log_key) not in given:
        raise FaultError("the log key is another one than was enrolled")
    return request


# --- the campaign's piece ------------------------------------------------------------


@lru_cache(maxsize=2)
def day_of(seed: int, number: int) -> Day:
    """The day a piece works on: every fourth is a founding."""
    return founding(seed + number) if number % 4 == 1 else working_day(seed + number)


def states(seed: int, number: int) -> Counter[str]:
    """One fortieth of a day's disk states."""
    day = day_of(seed, number // PIECES_A_DAY)
    random = Random(seed * 1_000_003 + number)  # noqa: S311 - repeatable
    with scratch() as folder:
        return judge(day, cuts(day.ops, random, number % PIECES_A_DAY, PIECES_A_DAY), folder)
