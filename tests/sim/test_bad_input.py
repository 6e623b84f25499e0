"""Bad input at every door: refused with one clear message, and nothing stored has changed.

Each case compares a hash of everything stored (all tables of all SQLite files, all files) before
and after. `docs/errors.md` is the table of all codes.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from sqlalchemy import event

from backend import api
from backend.api import make_app, make_office_app
from card_os.host.links import CardRemoved, NoReader
from issuer.errors import OrderRefusedError
from issuer.outcomes import Issued
from keys.enrol import OfficerRequest, StationRequest
from keys.httpserver import VERBS
from keys.httpserver import make_app as keys_app
from keys.issuance import IssuanceItem
from keys.signer import Ed25519Signer, P256KeyAgreement, P256Signer, sign_object
from terminal import cli
from terminal.carry import apply_acknowledgement, install_bundle
from terminal.errors import AcknowledgementRefusedError, BundleRefusedError, JournalFullError
from terminal.outcomes import TerminalRefused
from terminal.projection import TABLES
from tests.support import backend_world, errors_doc
from tests.support.terminal_world import CASH, DAY_S, FOOD, PIN, Issuer, Terminal, at_work, entry
from tests.unit.issuer.desk_world import DeskWorld
from tests.unit.issuer.test_cli import InProcess, desk
from tests.unit.terminal.test_cli import point
from wire import cbor, log
from wire.bundle import pack, unpack
from wire.chain import IssuanceKind
from wire.cose import Sign1
from wire.cvc import Role
from wire.env import Environment
from wire.log import Boot, Record, Upload
from wire.objects import Acknowledgement, KeyRole, Order, StationKind, UploadHead

__all__ = ["desk", "point"]

SPECIMEN = Environment.DEMO_SPECIMEN
BIG = 200_000
NOTED = (Boot, log.Rejected)
INSIDE = {"/v1/issuance", "/v1/enrolments", "/v1/officers"}
"""Routes of the office's own door."""


def dump(*stores: sqlite3.Connection | Path) -> str:
    """A hash of every table of these databases and every file of these folders."""
    h = hashlib.sha256()
    for store in stores:
        if isinstance(store, sqlite3.Connection):
            h.update("\n".join(store.iterdump()).encode())
            continue
        for path in sorted(p for p in store.rglob("*") if p.is_file()):
            if path.name.endswith(("-wal", "-shm")):
                continue
            h.update(str(path).encode() + dump_of(path))
    return h.hexdigest()


def dump_of(path: Path) -> bytes:
    """A file's content; of a database its tables, whatever its pages and WAL look like."""
    raw = path.read_bytes()
    if not raw.startswith(b"SQLite"):
        return raw
    with sqlite3.connect(path) as db:
        text = "\n".join(db.iterdump())
    db.close()
    return text.encode()


def spoil(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """This object truncated, repeated, forged, oversize, empty and in other than its own bytes."""
    yield "empty", b""
    yield "truncated", raw[:-1]
    yield "half", raw[: len(raw) // 2]
    yield "repeated", raw + raw
    yield "trailing", raw + b"\0"
    yield "oversize", raw + bytes(BIG)
    for at in (0, len(raw) // 3, len(raw) // 2, len(raw) - 1):
        forged = bytearray(raw)
        forged[at] ^= 1
        yield f"forged at {at}", bytes(forged)
    head = 1 if raw[:1] == b"\xd2" else 0
    if (
        raw[head] & 0xE0 == 0x80 and raw[head] < 0x98
    ):  # an array's head, one byte longer than needed
        yield "non-canonical", raw[:head] + bytes([0x98, raw[head] & 0x1F]) + raw[head + 1 :]


# --- the table ------------------------------------------------------------


def test_the_table_of_codes_is_what_the_programs_say():
    assert errors_doc.PAGE.read_text(encoding="utf-8") == errors_doc.table()


def test_every_code_has_both_texts():
    for _, _, texts in errors_doc.SECTIONS:
        for code, (indonesian, english) in texts.items():
            assert indonesian.strip(), code
            assert english.strip() not in {"", indonesian}, code


# --- backend ------------------------------------------------------------


@pytest.fixture
def office(tmp_path, monkeypatch):
    monkeypatch.setattr(api, "MAX_BODY_BYTES", BIG)
    w = backend_world.make(tmp_path)
    w.import_all(rows=3)
    w.desk()
    (card, *_) = w.cards(2)
    station = w.terminal(b"TERM0001")
    station.debit(card, next(iter(card.wallets)), 1)
    with (
        httpx.Client(transport=InProcess(make_app(w.office)), base_url="http://backend") as http,
        httpx.Client(transport=InProcess(make_office_app(w.office)), base_url="http://o") as inside,
    ):
        yield SimpleNamespace(w=w, http=http, inside=inside, station=station, card=card,
                              folder=tmp_path,
                              state=lambda: dump(tmp_path, w.state._db))  # fmt: skip
    w.office.db.engine.dispose()


def refused(office, path: str, raw: bytes, why: str) -> None:
    """One RFC 9457 problem in both languages, and nothing changed."""
    before = office.state()
    answer = door_of(office, path).post(path, content=raw)
    assert 400 <= answer.status_code < 500, why
    problem = answer.json()
    assert problem["title"], why
    assert problem["title_en"], why
    assert "Traceback" not in answer.text, why
    assert office.state() == before, why


def door_of(office, path: str) -> httpx.Client:
    return office.inside if path.partition("?")[0] in INSIDE else office.http


def test_uploads(office):
    station = office.station
    good = station.upload()
    for why, raw in spoil(good):
        refused(office, "/v1/uploads", raw, why)
    signed, records = cbor.decode_array(good, 2)
    refused(office, "/v1/uploads", cbor.encode([signed, records[::-1]]), "reordered")
    refused(office, "/v1/uploads", cbor.encode([signed, records + records[-1:]]), "duplicated")
    refused(office, "/v1/uploads", station.upload(first=2), "a gap")
    last = station.records[-1]
    head = UploadHead(station.name, 1, last.sequence, last.hash)
    for why, key, env in (
        ("foreign environment", station.log_key, SPECIMEN),
        ("another's key", Ed25519Signer.generate(office.w.random), backend_world.ENV),
    ):
        upload = Upload(head, sign_object(key, head, env), tuple(station.records))
        refused(office, "/v1/uploads", bytes(upload), why)
    assert office.http.post("/v1/uploads", content=good).status_code == 200
    before = office.w.office.report()["counts"]["receipts"]
    assert office.http.post("/v1/uploads", content=good).status_code == 200
    assert office.w.office.report()["counts"]["receipts"] == before


def test_issuance_log(office):
    with office.w.office.db.read() as session:
        from backend import issuance

        (held, *_) = issuance.items_of(session, IssuanceKind.CARD_CERTIFICATE)
    item = bytes(IssuanceItem(IssuanceKind.CARD_CERTIFICATE, held, b"F" * 16, None, b"o" * 32))
    good = cbor.encode_sequence([item])
    for why, raw in spoil(good):
        if why != "empty":
            refused(office, "/v1/issuance", raw, why)
    refused(office, "/v1/issuance", good, "another family for a known certificate")
    before = office.state()
    assert office.inside.post("/v1/issuance", content=b"").status_code == 200
    assert office.state() == before


def request(office, name=b"TERM0002", env=backend_world.ENV, key=None) -> StationRequest:
    key = key or Ed25519Signer.generate(office.w.random)
    return StationRequest.make(env, name, StationKind.TERMINAL, key,
                               P256KeyAgreement.generate(office.w.random))  # fmt: skip


def test_enrolment_and_certificates(office):
    where = "/v1/enrolments?area=*&place=Balai"
    for path, good in (
        (where, bytes(request(office))),
        ("/v1/certificates", bytes(request(office, b"TERM0001", key=office.station.log_key))),
        ("/v1/officers", bytes(OfficerRequest.make(
            backend_world.ENV, b"TERM0001", Role.SUPERVISOR, 41,
            P256KeyAgreement.generate(office.w.random)))),
    ):  # fmt: skip
        for why, raw in spoil(good):
            refused(office, path, raw, f"{path} {why}")
    refused(office, "/v1/certificates", bytes(request(office, b"TERM0001")), "another log key")
    refused(office, "/v1/certificates", bytes(request(office, b"NOBODY01")), "never enrolled")
    assert office.inside.post(where, content=bytes(request(office))).status_code == 200


def test_bundle_requests(office):
    before = office.state()
    for path in ("/v1/bundles/zz", "/v1/bundles/00", f"/v1/bundles/{b'NOBODY01'.hex()}",
                 "/v1/cards/00/entitlements", f"/v1/cards/{b'DEMO9999'.hex()}/entitlements",
                 "/v1/orders/xyz", f"/v1/bundles/{b'TERM0001'.hex()}?epoch=x"):  # fmt: skip
        answer = office.http.get(path)
        assert 400 <= answer.status_code < 500, path
        assert "Traceback" not in answer.text
    assert office.state() == before


def test_the_backends_disk_is_full(office):
    good, engine = office.station.upload(), office.w.office.db.engine

    @event.listens_for(engine, "connect")
    def full(connection, _):
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    engine.dispose()
    with sqlite3.connect(office.folder / "backend.sqlite") as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("VACUUM")
    db.close()
    before, answer = "", None
    for _ in range(50):
        before, good = office.state(), office.station.upload()
        answer = office.http.post("/v1/uploads", content=good)
        if answer.status_code != httpx.codes.OK:
            break
        office.station.add(Boot("x" * 60))
    assert answer.status_code == httpx.codes.INSUFFICIENT_STORAGE
    assert answer.json()["type"] == "urn:betang:full"
    assert office.state() == before
    event.remove(engine, "connect", full)
    engine.dispose()
    assert office.http.post("/v1/uploads", content=good).status_code == 200


# --- key service ------------------------------------------------------------


def test_the_key_service(office):
    http = httpx.Client(transport=InProcess(keys_app(office.w.service)), base_url="http://keys")
    before = office.state()
    terminal = bytes(request(office, b"TERM0001", key=office.station.log_key))
    for verb, (count, _) in VERBS.items():
        bodies = [b"", b"\xff", cbor.encode([]), cbor.encode([b"x"] * count + [b"x"])]
        if count:
            bodies.append(cbor.encode([None] * count))
        if count and verb != "card-close":  # closing what is not open is harmless
            bodies.append(cbor.encode([b"x"] * count))
        for body in bodies:
            if verb in {"trust", "stock", "personaliser-certificate"} and body == b"\x80":
                continue  # what they are asked for
            answer = http.post(f"/v1/{verb}", content=body)
            assert 400 <= answer.status_code < 500, (verb, body, answer.text)
            assert answer.json()["title"]
            assert answer.json()["title_en"]
    for why, raw in spoil(terminal):
        assert http.post("/v1/terminal", content=cbor.encode([raw])).status_code == 422, why
    foreign = bytes(request(office, b"TERM0001", SPECIMEN, office.station.log_key))
    assert http.post("/v1/terminal", content=cbor.encode([foreign])).status_code == 422
    assert http.post("/v1/nothing", content=b"").status_code == 404
    http.close()
    assert office.state() == before


# --- terminal ------------------------------------------------------------


def stored(terminal: Terminal) -> str:
    return dump(*terminal.memory)


def test_bundles_at_the_terminal():
    terminal, card = at_work()
    good = terminal.bundle(entry(card, terminal.issuer.entitlement(card, FOOD, sequence=2)))
    signed = unpack(good)
    terminal.engine.install(terminal.bundle())
    older, newer = good, terminal.bundle(entry(card))
    before = stored(terminal)
    bad = [*spoil(newer), *((f"inside: {w}", pack(x)) for w, x in spoil(unpack(newer))),
           ("acknowledgement", signed[:40])]  # fmt: skip
    other = Issuer(SPECIMEN, seed=9)
    foreign = Terminal(other)
    bad.append(("foreign environment", foreign.bundle()))
    elsewhere = Terminal(terminal.issuer, station=b"TERM0002", counter=80)
    bad.append(("another terminal's", elsewhere.bundle()))
    bad.append(("older hotlist", pack(terminal.signed_bundle(hotlist_version=0))))
    bad.append(("no such base", terminal.bundle(base=1)))
    for why, raw in bad:
        with pytest.raises(BundleRefusedError):
            terminal.engine.install(raw)
        assert stored(terminal) == before, why
    assert install_bundle(terminal.engine, older).version is None
    assert stored(terminal) == before


def test_acknowledgements_at_the_terminal():
    terminal, _ = at_work()
    head, issuer = terminal.journal.head(), terminal.issuer
    ack = Acknowledgement(terminal.station, head.sequence, head.hash, terminal.clock.now_s)
    good = issuer.object(ack)
    key = Ed25519Signer.generate(issuer.random)
    bad = [*spoil(good)]
    bad.append(("forged key", bytes(sign_object(key, ack, issuer.env))))
    bad.append(("foreign", bytes(sign_object(issuer.world.signer(KeyRole.ACK), ack, SPECIMEN))))
    # One of this station for another chain is no bad input but evidence: it stops the terminal.
    elsewhere = Acknowledgement(b"TERM0009", head.sequence, head.hash, terminal.clock.now_s)
    bad.append(("another station", issuer.object(elsewhere)))
    before = stored(terminal)
    for why, raw in bad:
        with pytest.raises(AcknowledgementRefusedError):
            apply_acknowledgement(terminal.engine, raw)
        assert stored(terminal) == before, why
    assert apply_acknowledgement(terminal.engine, good) > 0
    before = stored(terminal)
    assert apply_acknowledgement(terminal.engine, good) == 0
    assert stored(terminal) == before


def test_the_terminals_commands_say_one_thing_and_change_nothing(point, capsys):
    file = point.provision()
    folder, bundle = point.path / "t", point.helper.bundle(entry(point.card))
    provision = file.read_bytes()
    point.run("status")
    capsys.readouterr()
    before = kept(folder)
    noise = point.path / "noise"
    for command, good in (("provision", provision), ("sync", bundle)):
        for why, raw in spoil(good):
            noise.write_bytes(raw)
            words = [command, str(noise)] if command == "provision" else [
                command, "--import", str(noise)]  # fmt: skip
            assert point.run(*words) == cli.FAILED, (command, why)
            shown = capsys.readouterr().err
            assert shown.count("betang-terminal:") == 1, (why, shown)
            assert "Traceback" not in shown
            assert kept(folder) == before, (command, why)


def kept(folder: Path) -> list[object]:
    """Every file and table, but for what each start and each refusal has to note."""
    found: list[object] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.name.endswith(("-wal", "-shm")) or path.name == "journal.sqlite":
            continue
        found.append((path.name, dump_of(path)))
    with sqlite3.connect(folder / "journal.sqlite") as db:
        records = [Record.parse(raw) for (raw,) in db.execute("SELECT raw FROM record")]
        found.append([r.body for r in records if not isinstance(r.body, NOTED)])
        found += [db.execute(f"SELECT * FROM {t}").fetchall() for t in TABLES]  # noqa: S608
    db.close()
    return found


class Pulled:
    """A card that leaves after so many commands."""

    def __init__(self, card, commands: int) -> None:
        self.card, self.left = card, commands

    def link(self):
        self.inner = self.card.link()
        self.atr, self.interface = self.inner.atr, self.inner.interface
        return self

    def transmit(self, command, /):
        self.left -= 1
        if self.left < 0:
            raise CardRemoved("pulled")
        return self.inner.transmit(command)

    def reset(self):
        return self.inner.reset()

    def close(self):
        self.inner.close()


class NoReaderThere:
    def link(self):
        raise NoReader("the reader is gone")


def test_a_vanished_reader_and_a_pulled_card(point, capsys):
    point.provision()
    point.run("shift", "open", "--officer", "5")
    point.run("tap", "--redeem", f"{FOOD}=1", secrets=PIN)  # loaded, certificate cached
    capsys.readouterr()
    before, card = kept(point.path / "t"), point.card.nvm.digest()
    for reader in [NoReaderThere(), *(Pulled(point.card, n) for n in range(8))]:
        words = ("tap", "--redeem", f"{FOOD}=1")
        assert point.run(*words, secrets=PIN, card=reader) in {cli.FAILED, cli.REFUSED}
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err + shown.out
        assert shown.err.strip() or shown.out.strip()
        assert point.card.nvm.digest() == card
        assert kept(point.path / "t") == before


def fill(terminal: Terminal) -> str:
    """Write until the disk is full; what is stored then."""
    for _ in range(500):
        before = stored(terminal)
        try:
            terminal.engine.write(log.Boot("x" * 60))
        except JournalFullError:
            assert stored(terminal) == before
            return before
    raise AssertionError("the disk never filled up")


def test_a_full_disk_and_a_wrong_clock_at_the_counter():
    terminal, card = at_work()
    db = terminal.memory[0]
    with terminal.engine.begin(card.link()) as visit:
        visit.verify_pin(PIN)
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")
        before, memory = fill(terminal), card.nvm.digest()
        for _ in range(3):
            assert visit.redeem(CASH, 1).key == "TerminalRefused.store-full"
    assert (stored(terminal), card.nvm.digest()) == (before, memory)
    db.execute("PRAGMA max_page_count = 1000000")
    terminal.clock.now_s += 400 * DAY_S
    before, memory = stored(terminal), card.nvm.digest()
    begun = terminal.engine.begin(card.link())
    assert isinstance(begun, TerminalRefused)
    assert (stored(terminal), card.nvm.digest()) == (before, memory)
    terminal.clock.now_s -= 800 * DAY_S
    with terminal.engine.begin(card.link()) as visit:
        assert terminal.engine.is_clock_suspect
        assert terminal.engine.now_s() >= terminal.journal.head().time_s


# --- issuing desk ------------------------------------------------------------


def test_orders_at_the_desk():
    w = DeskWorld()
    good = w.signed_order()
    w.desk.book.add(good)
    before = dump(w.db, w.folder)
    order = Order.parse(Sign1.parse(good).payload)
    registry = w.world.signer(KeyRole.REGISTRY)
    bad = [*spoil(w.signed_order())]
    bad.append(("another desk's", w.signed_order(desk=b"DESK0009")))
    bad.append(("ended", w.signed_order(valid_until_s=w.clock() - 1)))
    bad.append(("foreign", bytes(sign_object(registry, order, SPECIMEN))))
    bad.append(
        ("forged", bytes(sign_object(Ed25519Signer.generate(w.rng.randbytes), order, w.env)))
    )
    for why, raw in bad:
        with pytest.raises(OrderRefusedError):
            w.desk.book.add(raw)
        assert dump(w.db, w.folder) == before, why
    assert (w.desk.book.add(good), dump(w.db, w.folder)) == (False, before)


@pytest.mark.parametrize("why", ["forged", "foreign", "another card's", "truncated"])
def test_entitlements_at_the_desk(why):
    w = DeskWorld()
    number, card = w.order(), w.card()
    honest = w.source.entitlements

    def bad(card_id):
        if why == "forged":
            return [w.entitlement(card_id, 1, signer=P256Signer.generate(w.rng.randbytes))]
        if why == "foreign":
            return [w.entitlement(card_id, 1, env=SPECIMEN)]
        if why == "another card's":
            return [w.entitlement(card_id, 1, certificate_hash=b"x" * 16)]
        return [honest(card_id)[0][:-1]]

    w.source.entitlements = bad
    assert not isinstance(w.make(card, number), Issued)
    assert w.make(card, number).key in {"Faulty", "Waiting"}
    w.source.entitlements = honest
    assert isinstance(w.make(card, number), Issued)


def test_the_desks_commands_say_one_thing_and_change_nothing(desk):
    desk.provision()
    desk.run("orders")
    orders = cbor.encode_sequence(desk.world.office.orders(backend_world.DESK))
    before = dump(desk.path / "desk")
    file = desk.path / "noise"
    for why, raw in spoil(orders):
        file.write_bytes(raw)
        code = desk.run("orders", "--file", str(file))
        assert "Traceback" not in desk.err, why
        assert code == 0 or desk.err.count("betang-issuer:") == 1, why
        assert dump(desk.path / "desk") == before, why
