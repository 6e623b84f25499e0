"""Changed objects at every door that keeps something: a typed refusal that kept nothing, or a yes.

An upload, a bundle, an acknowledgement, an order, an import file, a request: bytes changed on the
way, or contents changed and signed again by the key its author holds, so that only meaning is odd.
Each door's store is looked at after a refusal. What was taken must be taken again as the same.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import cbor2

from backend.errors import BackendError
from backend.ingest import Outcome
from backend.office import Office
from issuer.errors import IssuerError
from keys.errors import KeysError
from keys.signer import sign_object
from terminal.carry import apply_acknowledgement, install_bundle
from terminal.errors import TerminalError
from tests.support import backend_world
from tests.support import fuzz_mutate as mutate
from tests.support.backend_world import SoftCard, SoftStation
from tests.support.campaign import FaultError
from tests.support.fuzz_visits import _fork, _shop
from tests.support.terminal_world import CASH, FOOD, Terminal, entry
from tests.unit.issuer.desk_world import DeskWorld
from wire import log
from wire.bundle import Bundle, pack, unpack
from wire.cose import Sign1
from wire.errors import WireError
from wire.log import Record
from wire.objects import Acknowledgement, GoodsLine, Order, Unit, UploadHead
from wire.receipt import StatementKind

__all__ = ["DOORS", "UPLOADS", "backend", "play", "play_uploads"]

UPLOADS = 100  # of one piece
OTHERS = 10  # objects at other doors, of one piece
CODES = (WireError, KeysError, BackendError, TerminalError, IssuerError)
TWO32 = 1 << 32
SIGNED_BYTES = 100  # a receipt or a statement, no hash


# --- the backend --------------------------------------------------------------------------------


@dataclass
class Backend:
    """An office on a file, put back as it was before every piece."""

    world: backend_world.BackendWorld
    station: SoftStation
    cards: list[SoftCard]
    file: Path
    kept: Path
    watch: sqlite3.Connection

    def restore(self) -> None:
        """As after the story; nothing else holds the file."""
        self.watch.close()
        self.world.office.db.engine.dispose()
        for end in ("-wal", "-shm"):
            Path(f"{self.file}{end}").unlink(missing_ok=True)
        shutil.copyfile(self.kept, self.file)
        self.watch = sqlite3.connect(self.file)

    def version(self) -> int:
        """Changes with every commit of anybody (SQLite: PRAGMA data_version)."""
        return int(self.watch.execute("PRAGMA data_version").fetchone()[0])


@cache
def backend() -> Backend:
    """Cards, a terminal with one record of nearly every type, and half of it uploaded."""
    folder = Path(tempfile.mkdtemp(prefix="betang-fuzz-"))
    import atexit

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    world = backend_world.make(folder)
    world.import_all(rows=4)
    world.desk()
    cards = world.cards(3)
    station, other = world.terminal(b"TERM0001"), world.terminal(b"TERM0002")
    _day(station, other, cards)
    station.send(1, len(station.records) // 2)
    other.send()
    world.office.db.engine.dispose()
    file, kept = folder / "backend.sqlite", folder / "kept.sqlite"
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    shutil.copyfile(file, kept)
    return Backend(world, station, cards, file, kept, sqlite3.connect(file))


def _day(station: SoftStation, other: SoftStation, cards: list[SoftCard]) -> None:
    """A busy day at two terminals."""
    one, two, three = cards
    wallet = {c.card_id: max(c.wallets, key=lambda w: c.wallets[w].loaded) for c in cards}
    station.add(log.Boot("betang"))
    station.add(log.Shift(opened=True, officer=5))
    station.receive(bytes(32), GoodsLine("beras", Unit.GRAM, 50_000))
    for card in cards:
        station.debit(card, wallet[card.card_id], 1)
    intent = station.intent(one, wallet[one.card_id], 1)
    station.add(log.Aborted(intent.sequence, one.sequence, None))
    station.add(log.Pending(station.intent(two, wallet[two.card_id], 1).sequence))
    debit, receipt = station.debit(three, wallet[three.card_id], 1, deliver=False)
    station.void(three, debit, receipt)
    statement = one.statement(StatementKind.LOAD, station.name, wallet[one.card_id])
    station.add(log.Load(one.entitlements[wallet[one.card_id]].hash, bytes(statement)))
    station.add(log.Pin(bytes(two.statement(StatementKind.PIN_SET, station.name))))
    station.add(log.Handover("BAST-1", 5, "Balai", "", bytes(
        three.statement(StatementKind.ACTIVATION, station.name))))  # fmt: skip
    _, carried = other.debit(one, wallet[one.card_id], 1)
    station.add(log.Collected(bytes(carried)))
    station.add(log.Dispute(one.card_id, carried.sequence, carried.hash))
    station.add(log.Rejected(log.Reason.FOREIGN_CARD, None, "6A82"))
    station.debit(two, wallet[two.card_id], 1)
    station.add(log.Checkpoint(1, ()))
    station.add(log.Shift(opened=False, officer=5))


def _chain(first: int, previous: bytes, bodies: list[tuple[int, Any]]) -> list[Record]:
    """Records over any bodies, shaped or already arrays, rightly linked."""
    made = []
    for sequence, (time_s, body) in enumerate(bodies, start=first):
        if isinstance(body, tuple):
            kind, array = body
            raw = cbor2.dumps([sequence, previous, time_s, kind, array])
            record = Record(sequence, previous, time_s, kind, None, raw)
        else:
            record = Record.make(sequence, previous, time_s, body)
        made.append(record)
        previous = record.hash
    return made


def _odd_body(r: Random, b: Backend, record: Record) -> Any:
    """Another body for this record: a field's value changed, or what it carries signed again."""
    body = record.body
    carried = [f.name for f in fields(body) if f.name in {"receipt", "statement", "item"}
               and len(getattr(body, f.name)) > SIGNED_BYTES]  # fmt: skip
    if carried and r.random() < 0.6:
        return replace(body, **{carried[0]: _resigned(r, b, getattr(body, carried[0]))})
    array = body.to_array()
    return (int(record.kind), mutate.cbor(r, array))


def _resigned(r: Random, b: Backend, raw: bytes) -> bytes:
    """A receipt or statement with a byte changed, by the card that it names."""
    body = bytearray(raw[:-64])
    at = r.randrange(5, len(body))
    body[at] = r.choice((body[at] ^ 1 << r.randrange(8), 0, 0xFF))
    key = next((c.key for c in b.cards if c.card_id in raw), b.cards[0].key)
    return bytes(body) + key.sign(bytes(body))


def odd_upload(r: Random, b: Backend) -> bytes:
    """An upload of the second half of the day, changed."""
    station, half = b.station, len(b.station.records) // 2
    first = half + 1 if r.random() < 0.8 else r.choice((1, half, half + 2))
    good = station.upload(first)
    kind = r.randrange(10)
    if kind == 0:
        return mutate.blob(r, good)
    if kind == 1:
        return cbor2.dumps(mutate.cbor(r, cbor2.loads(good)))
    rows = station.records[first - 1 :]
    bodies: list[tuple[int, Any]] = [(x.time_s, x.body) for x in rows]
    i = r.randrange(len(bodies))
    match r.randrange(6):
        case 0:
            del bodies[i]
        case 1:
            bodies.insert(i, bodies[r.randrange(len(bodies))])
        case 2:
            j = r.randrange(len(bodies))
            bodies[i], bodies[j] = bodies[j], bodies[i]
        case 3:
            bodies[i] = (r.choice((0, 1, TWO32 - 1, bodies[i][0] + 10**6)), bodies[i][1])
        case _:
            bodies[i] = (bodies[i][0], _odd_body(r, b, rows[i]))
    try:
        made = _chain(first, rows[0].previous, bodies or [(1, log.Boot("x"))])
    except WireError:
        return mutate.blob(r, good)
    head = UploadHead(station.name, first, made[-1].sequence, made[-1].hash)
    if kind == 2:
        changes = {"first": r.choice((0, 1, first + 1)), "last": r.choice((0, head.last + 1)),
                   "head": bytes(32), "station": r.choice((b"TERM0002", b"NOBODY01"))}  # fmt: skip
        name = r.choice(list(changes))
        head = replace(head, **{name: changes[name]})
    signed = sign_object(station.log_key, head, backend_world.ENV)
    return cbor2.dumps([bytes(signed), [x.raw for x in made]])


def play_uploads(seed: int, number: int, size: int = UPLOADS) -> Counter[str]:
    """That many uploads to one office, from the same start; raises `FaultError`."""
    r, b, counts = Random(f"{seed}/{number}/uploads"), backend(), Counter[str]()  # noqa: S311
    b.restore()
    office, b.world.clock.now_s = b.world.office, backend_world.START_S
    due = size  # uploads until the office is put back as it was
    for _ in range(size):
        came = _upload(b, office, odd_upload(r, b))
        counts[f"upload: {came}"] += 1
        counts["uploads"] += 1
        if came == Outcome.ACCEPTED.value:
            due = min(due, r.choice((0, 0, 0, 2)))  # most of what comes after it is a fork
        if due == 0:
            _still_sound(office)
            b.restore()
            due = size
        due -= 1
    _still_sound(office)
    return counts


def _upload(b: Backend, office: Office, raw: bytes) -> str:
    """One upload: what came of it."""
    said, before = f"upload {raw[:200].hex()}.. {hashlib.sha256(raw).hexdigest()}", b.version()
    try:
        answer = office.take_upload(raw)
    except CODES as error:
        forked = type(error).__name__ == "ForkError"  # fraud is kept as a finding, by design
        if b.version() != before and not forked:
            raise FaultError(f"{said}: {error!r}, and something was stored") from error
        return type(error).__name__
    except Exception as error:
        raise FaultError(f"{said}: {type(error).__name__}: {error}") from error
    _again_the_same(office, raw, answer.ack, said)
    return answer.outcome.value


def _again_the_same(office: Office, raw: bytes, ack: bytes, said: str) -> None:
    log.Upload.parse(raw)
    second = office.take_upload(raw)
    if second.outcome is not Outcome.EXISTS or second.ack != ack:
        raise FaultError(f"{said}: taken twice with two answers")


def _still_sound(office: Office) -> None:
    """The report can be made, and no difference in it is without a finding."""
    try:
        office.settle()
        report = office.report()
    except Exception as error:
        raise FaultError(f"after odd uploads the office cannot report: {error!r}") from error
    # A card that signs other counters than it was given makes a difference; it must be a finding.
    if report["difference_minor"] != 0 and not report["findings"]:
        raise FaultError(f"{report['difference_minor']} rupiah do not balance, and nobody says so")


# --- import files ---------------------------------------------------------------------------------

IMPORTS: dict[str, tuple[str, Callable[[Office, bytes], object]]] = {
    "households": ("dtsen.csv", lambda o, d: o.import_households(d)),
    "programmes": ("programmes.json", lambda o, d: o.import_programmes(d)),
    "verifications": ("verifikasi.csv", lambda o, d: o.import_verifications(d)),
    "decree": ("sk.json", lambda o, d: o.import_decree(d)),
    "funds": ("funds.json", lambda o, d: o.import_funds(d)),
    "deliveries": ("", lambda o, d: o.import_deliveries(d)),
}
_DELIVERIES = json.dumps({"deliveries": [
    {"number": "SJ-1", "provider": "Perum Bulog", "terminal": b"TERM0001".hex(), "time_s": 5,
     "lines": [{"good": "beras", "unit": "g", "quantity": 50}]}]}).encode()  # fmt: skip
ODD = (
    None,
    True,
    -1,
    0,
    2**31,
    2**64,
    1.5,
    "",
    "x",
    "\ud800",
    "x" * 500,
    [],
    {},
    [[]],
    "2026-02-30",
)


def _odd_json(r: Random, value: Any) -> Any:
    """One value somewhere in a JSON document left out or changed for another of any kind."""
    if isinstance(value, dict) and value and r.random() < 0.92:
        key, made = r.choice(list(value)), dict(value)
        if r.random() < 0.1:
            del made[key]
        else:
            made[key] = _odd_json(r, made[key])
        return made
    if isinstance(value, list) and value and r.random() < 0.92:
        made_list = list(value)
        i = r.randrange(len(made_list))
        made_list[i] = _odd_json(r, made_list[i])
        return made_list
    return r.choice(ODD)


def odd_import(r: Random, name: str) -> bytes:
    """An import file, changed; a decree's hash says what stands there now."""
    file, _ = IMPORTS[name]
    raw = backend_world._files(62, 4)[file] if file else _DELIVERIES
    kind = r.random()
    if kind < 0.3:
        return mutate.blob(r, raw)
    if not file.endswith(".csv"):
        data = _odd_json(r, json.loads(raw))
        if name == "decree" and isinstance(data, dict):
            text = json.dumps(data.get("rows"), separators=(",", ":"), sort_keys=True)
            if r.random() < 0.9:
                data["annex_sha256"] = hashlib.sha256(text.encode()).hexdigest()
        return json.dumps(data).encode()
    lines = raw.split(b"\n")
    i = r.randrange(len(lines))
    cells = lines[i].split(b",")
    at = r.randrange(len(cells))
    odd = (b"", b'"', b"\xff", b"\0", b"1" * 400, b"-1", b"2026-02-30", mutate.blob(r, cells[at]))
    cells[at] = r.choice(odd)
    lines[i] = b",".join(cells) if r.random() < 0.8 else r.choice((b"", b",,,,", b'"'))
    return b"\n".join(lines)


def import_file(r: Random) -> str:
    """One changed import file at the office."""
    name, b = r.choice(list(IMPORTS)), backend()
    raw, office, before = odd_import(r, name), b.world.office, b.version()
    said = f"import of {name}, {raw[:300]!r}"
    try:
        IMPORTS[name][1](office, raw)
    except CODES as error:
        if b.version() != before:
            raise FaultError(f"{said}: {error!r}, and something was stored") from error
        return f"import {name}: {type(error).__name__}"
    except Exception as error:
        raise FaultError(f"{said}: {type(error).__name__}: {error}") from error
    return f"import {name}: taken"


# --- the terminal ---------------------------------------------------------------------------


@cache
def _counter() -> tuple[Terminal, bytes, bytes]:
    """A terminal at work; its next bundle and an acknowledgement of what it holds."""
    terminal, card, _ = _shop()
    mine = _fork(terminal)
    issuer = mine.issuer
    signed = unpack(mine.bundle(
        entry(card, issuer.entitlement(card, FOOD, sequence=2, loaded=9),
              issuer.entitlement(card, CASH, sequence=2, loaded=10**6))))  # fmt: skip
    head = mine.journal.head()
    ack = Acknowledgement(mine.station, head.sequence, head.hash, mine.clock.now_s)
    return mine, signed, issuer.object(ack)


def _stored(*dbs: sqlite3.Connection) -> bytes:
    h = hashlib.sha256()
    for db in dbs:
        h.update(db.serialize())
    return h.digest()


def _odd_signed(r: Random, raw: bytes, sign: Callable[[bytes], bytes] | None) -> bytes:
    """A COSE object changed in its bytes, or in its payload and signed again."""
    if sign is None or r.random() < 0.25:
        return mutate.blob(r, raw)
    value = cbor2.loads(Sign1.parse(raw).payload)
    for _ in range(r.choice((1, 1, 2))):
        value = mutate.cbor(r, value)
    return sign(cbor2.dumps(value))


def _signer(world: Any, shape: Any, env: Any) -> Callable[[bytes], bytes]:
    from wire import cose

    key = world.signer(shape.SIGNER)

    def sign(payload: bytes) -> bytes:
        message = cose.to_be_signed(key.public_key, shape.KIND, env, payload)
        return bytes(cose.assemble(key.public_key, shape.KIND, env, payload, key.sign(message)))

    return sign


def bundle(r: Random) -> str:
    """One changed bundle file at a terminal."""
    base, signed, _ = _counter()
    terminal = _fork(base)
    try:
        sign = _signer(base.issuer.world, Bundle, base.issuer.env)
        odd = _odd_signed(r, signed, sign)
        file = pack(odd) if r.random() < 0.85 else mutate.blob(r, zlib.compress(odd))
        return _terminal_takes(terminal, "bundle", file, lambda: _install_and_look(terminal, file))
    finally:
        _close(terminal)


def _install_and_look(terminal: Terminal, file: bytes) -> None:
    """Installed means usable: the roster can be read and the terminal starts again on it."""
    install_bundle(terminal.engine, file)
    terminal.roster.cards()
    terminal.roster.programmes()
    terminal.restart()


def acknowledgement(r: Random) -> str:
    """One changed acknowledgement at a terminal."""
    base, _, ack = _counter()
    terminal = _fork(base)
    try:
        sign = _signer(base.issuer.world, Acknowledgement, base.issuer.env)
        raw = _odd_signed(r, ack, sign)
        return _terminal_takes(terminal, "acknowledgement", raw,
                               lambda: apply_acknowledgement(terminal.engine, raw))  # fmt: skip
    finally:
        _close(terminal)


def _terminal_takes(
    terminal: Terminal, what: str, raw: bytes, take: Callable[[], object]
) -> str:  # fmt: skip
    before, said = _stored(*terminal.memory), f"{what} {raw[:400].hex()}"
    try:
        take()
    except CODES as error:
        stops = type(error).__name__ == "RestoredImageError"  # noted, by design
        if _stored(*terminal.memory) != before and not stops:
            raise FaultError(f"{said}: {error!r}, and something was stored") from error
        return f"{what}: {type(error).__name__}"
    except Exception as error:
        raise FaultError(f"{said}: {type(error).__name__}: {error}") from error
    terminal.journal.check()
    return f"{what}: taken"


def _close(terminal: Terminal) -> None:
    for db in terminal.memory:
        db.close()


# --- the desk -------------------------------------------------------------------------------------


@cache
def _desk() -> DeskWorld:
    return DeskWorld(seed=5)


def order(r: Random) -> str:
    """One changed order at an issuing desk."""
    w = _desk()
    raw = _odd_signed(r, w.signed_order(), _signer(w.world, Order, w.env))
    before, said = _stored(w.db), f"order {raw.hex()}"
    try:
        w.desk.book.add(raw)
    except CODES as error:
        if _stored(w.db) != before:
            raise FaultError(f"{said}: {error!r}, and something was stored") from error
        return f"order: {type(error).__name__}"
    except Exception as error:
        raise FaultError(f"{said}: {type(error).__name__}: {error}") from error
    try:
        w.desk.book.next()
        if w.desk.book.add(raw):
            raise FaultError(f"{said}: new a second time")
    finally:
        w.db.execute("DELETE FROM job")
    return "order: taken"


DOORS: dict[str, Callable[[Random], str]] = {
    "import": import_file, "bundle": bundle, "acknowledgement": acknowledgement, "order": order,
}  # fmt: skip


def play(seed: int, number: int, size: int = OTHERS) -> Counter[str]:
    """That many objects at each other door; raises `FaultError`."""
    r, counts = Random(f"{seed}/{number}/doors"), Counter[str]()  # noqa: S311
    backend().restore()
    clock = backend().world.clock
    for step in range(size):
        # The key service is not put back: a request at a time of its own is no replay to it.
        clock.now_s = backend_world.START_S + 100 * number + step
        for door in DOORS.values():
            counts[door(r)] += 1
    backend().restore()
    return counts
