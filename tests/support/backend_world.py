"""A small world for backend tests: real keys, a real key service, cards and terminals that sign.

Cards and terminals here are as small as the wire allows: they sign real receipts and records with
real keys, and lie when a test tells them to.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from pathlib import Path

from backend.db import Database, connect
from backend.office import Office
from demo import dataset
from keys import ca
from keys.enrol import Provision, StationRequest
from keys.hierarchy import SERVICE_ROLES, World, make_world
from keys.issuance import IssuanceItem
from keys.service import KeyService
from keys.servicecore import Keys
from keys.signer import Ed25519Signer, P256KeyAgreement, P256Signer, sign_object
from keys.state import Chip, State
from keys.trust import TrustStore
from tests.support.people import Person, TwoKeys
from wire import log
from wire.bundle import Bundle, unpack
from wire.chain import IssuanceKind
from wire.cose import Sign1
from wire.entitlement import Entitlement
from wire.env import Environment
from wire.log import Record, Upload
from wire.objects import (
    Acknowledgement,
    GoodsLine,
    KeyRole,
    Order,
    StationKind,
    UploadHead,
    open_signed,
)
from wire.receipt import (
    Counters,
    Interface,
    Receipt,
    ReceiptKind,
    Statement,
    StatementKind,
    Verification,
)
from wire.schema import Shape

ENV = Environment.DEMO_LIVE
START_S = 1_775_000_000  # 2026-03-31 23:33 UTC
TODAY = date(2026, 3, 16)
DESK = b"DESK0001"
FOOD, CASH, SCHOOL, VISIT = 0x1A01, 0x1A02, 0x1A03, 0x1A04


class Clock:
    """Seconds that move when told."""

    def __init__(self, now_s: int = START_S) -> None:
        self.now_s = now_s

    def __call__(self) -> int:
        return self.now_s


class _Later:
    """The issuance log, known only after the key service is made."""

    office: Office

    def append_many(self, items: Sequence[IssuanceItem]) -> None:
        self.office.append_many(items)


@dataclass
class BackendWorld:
    """An office on a database, with its key service and two people."""

    office: Office
    keys: World
    service: KeyService
    state: State
    clock: Clock
    random: Callable[[int], bytes]
    serial: int = 0

    def import_all(self, seed: int = 62, rows: int | None = None) -> None:
        """The demo's data, all of it or the first ``rows`` of its decree."""
        files = _files(seed, rows)
        o = self.office
        o.import_households(files["dtsen.csv"])
        o.import_programmes(files["programmes.json"])
        o.import_verifications(files["verifikasi.csv"])
        o.import_decree(files["sk.json"])
        o.import_funds(files["funds.json"])

    def desk(self, station: bytes = DESK) -> SoftStation:
        return self.enrol(station, StationKind.DESK)

    def terminal(self, name: bytes, area: str = "*") -> SoftStation:
        return self.enrol(name, StationKind.TERMINAL, area)

    def enrol(self, name: bytes, kind: StationKind, area: str = "*") -> SoftStation:
        log_key = Ed25519Signer.generate(self.random)
        channel = P256KeyAgreement.generate(self.random) if kind == StationKind.TERMINAL else None
        request = StationRequest.make(ENV, name, kind, log_key, channel)
        provision = Provision.parse(self.office.enrol(request, area, "Balai Desa"))
        station = SoftStation(self, name, log_key, Sign1.parse(provision.enrolment).hash)
        if provision.bundle:
            station.install(provision.bundle)
        return station

    def issue(self, order_raw: bytes) -> SoftCard:
        """What the desk and the key service do with an order, without the APDUs."""
        order = Order.parse(Sign1.parse(order_raw).payload)
        self.serial += 1
        channel = P256KeyAgreement.generate(self.random)
        receipt_key = P256Signer.generate(self.random)
        card_id = ENV.mark + self.serial.to_bytes(4, "big")
        cert = ca.issue_card_certificate(
            self.keys.issuer(KeyRole.CARD_CA), serial=self.serial, card_id=card_id,
            channel_key=channel.public_key, receipt_key=receipt_key.public_key,
            now_s=self.clock(),
        )  # fmt: skip
        order_hash = Sign1.parse(order_raw).hash
        kdd = self.serial.to_bytes(10, "big")
        self.state.receive_chips("test", [kdd])
        with self.state.transaction():
            self.state.certify(Chip(kdd, "test", order_hash, card_id, bytes(cert),
                                    channel.public_key, scrapped=False))  # fmt: skip
        item = IssuanceItem(IssuanceKind.CARD_CERTIFICATE, bytes(cert), order.family,
                            order.predecessor, order_hash)  # fmt: skip
        self.office.append_many([item])
        return SoftCard(card_id, receipt_key, cert.digest, self.clock)

    def cards(self, count: int) -> list[SoftCard]:
        """That many cards, in the decree's order, with what they are entitled to loaded."""
        self.office.order_cards(DESK)
        made = [self.issue(raw) for raw in self.office.orders(DESK)[:count]]
        self.office.entitle()
        for card in made:
            self.load(card)
        return made

    def load(self, card: SoftCard) -> None:
        for raw in self.office.entitlements_of(card.card_id):
            card.load(Entitlement.parse(raw))


@lru_cache
def _files(seed: int, rows: int | None) -> dict[str, bytes]:
    files = dataset.make(seed, TODAY)
    if rows is None:
        return files
    decree = json.loads(files["sk.json"])
    kept = decree["rows"] = decree["rows"][:rows]
    canonical = json.dumps(kept, separators=(",", ":"), sort_keys=True).encode()
    decree["annex_sha256"] = hashlib.sha256(canonical).hexdigest()
    cited = {r["no_kk"].encode() for r in kept}
    for name in ("dtsen.csv", "verifikasi.csv"):
        header, *lines = files[name].splitlines(keepends=True)
        wanted = [x for x in lines if x.split(b",")[0] in cited]
        files[name] = b"".join([header, *wanted])
    return files | {"sk.json": json.dumps(decree).encode()}


def make(folder: Path, url: str | None = None, seed: int = 1) -> BackendWorld:
    """A world on SQLite in ``folder``, or on the database at ``url``."""
    rng, clock = random.Random(seed), Clock()  # noqa: S311 - tests repeat
    world = make_world(ENV, random=rng.randbytes, now_s=clock(), from_s=START_S - 90 * 86_400)
    trust = TrustStore(world.trust, allow_demo=True)
    state, later = State(":memory:", ENV), _Later()
    signers = {name: s for name, s in world.signers.items() if name[0] in SERVICE_ROLES}
    keys = Keys(signers, rng.randbytes(32), {}, P256KeyAgreement.generate(rng.randbytes),
                b"DEMOPERS")  # fmt: skip
    service = KeyService(trust, keys, state, later, clock=clock, random=rng.randbytes)
    database = Database(connect(url or f"sqlite:///{folder / 'backend.sqlite'}"))
    database.found(ENV)
    people = TwoKeys(ENV, Person(1, world.people[1]), Person(2, world.people[2]), clock)
    ack = world.signers[KeyRole.ACK, 1]
    later.office = Office(database, TrustStore(world.trust, allow_demo=True), service, people,
                          ack, clock, lambda: b"p" * 32)  # fmt: skip
    later.office.found([bytes(link) for link in world.links])
    return BackendWorld(later.office, world, service, state, clock, rng.randbytes)


@dataclass
class SoftCard:
    """Just enough of a card: counters, a sequence, a key."""

    card_id: bytes
    key: P256Signer
    digest: bytes
    clock: Clock
    sequence: int = 0
    wallets: dict[int, Counters] = field(default_factory=dict)
    entitlements: dict[int, Entitlement] = field(default_factory=dict)
    link: bytes = b""
    scripts: int = 0

    def __post_init__(self) -> None:
        self.link = self.digest

    def load(self, e: Entitlement) -> None:
        self.wallets[e.wallet] = e.apply(self.wallets.get(e.wallet, Counters(0, 0, 0, 0)))
        self.entitlements[e.wallet] = e

    def statement(self, kind: StatementKind, terminal: bytes, wallet: int = 0,
                  number: int = 0) -> Statement:  # fmt: skip
        e = self.entitlements.get(wallet)
        body = Statement.encode_body(
            env=ENV, kind=kind, card_id=self.card_id, sequence=self.sequence, wallet=wallet,
            counters=self.wallets.get(wallet, Counters(0, 0, 0, 0)),
            entitlement_sequence=e.sequence if e else 0, script_count=self.scripts,
            pin_set_count=1, bypass_count=0, terminal_id=terminal, terminal_serial=1, officer=7,
            detail=0, number=number, card_date=TODAY, link=self.link,
        )  # fmt: skip
        return Statement.parse(body + self.key.sign(body))

    def receipt(self, kind: ReceiptKind, terminal: bytes, intent: Record, wallet: int,
                amount: int, **changes: object) -> Receipt:  # fmt: skip
        """Commit a debit or reversal and sign it."""
        c = self.wallets[wallet]
        if kind == ReceiptKind.DEBIT:
            c = replace(c, debited=c.debited + amount)
        else:
            c = replace(c, reversed=c.reversed + amount)
        self.wallets[wallet] = c
        self.sequence += 1
        fields: dict[str, object] = dict(  # noqa: C408 - reads like the call it feeds
            env=ENV, kind=kind, card_id=self.card_id, sequence=self.sequence, wallet=wallet,
            basket_version=1, amount=amount, counters=c, terminal_id=terminal,
            terminal_serial=1, officer=0, terminal_sequence=intent.sequence,
            terminal_time_s=intent.time_s, intent_hash=intent.hash,
            verification=Verification.PIN, interface=Interface.CONTACT,
            entitlement_sequence=self.entitlements[wallet].sequence, script_count=self.scripts,
            pin_set_count=1, bypass_count=0, card_date=TODAY, link=self.link,
        )  # fmt: skip
        body = Receipt.encode_body(**(fields | changes))  # type: ignore[arg-type]
        made = Receipt.parse(body + self.key.sign(body))
        self.link = made.hash
        return made


@dataclass
class SoftStation:
    """Just enough of a terminal: a chain, a log key."""

    world: BackendWorld
    name: bytes
    log_key: Ed25519Signer
    enrolment: bytes
    records: list[Record] = field(default_factory=list)
    bundle: Bundle | None = None
    bundle_hash: bytes = b""

    def add(self, body: Shape) -> Record:
        """Append one record."""
        previous = self.records[-1].hash if self.records else self.enrolment
        record = Record.make(len(self.records) + 1, previous, self.world.clock(), body)
        self.records.append(record)
        return record

    def install(self, raw: bytes, pending: tuple[int, ...] = ()) -> Bundle:
        signed = unpack(raw)
        policy = self.world.keys.signers[KeyRole.POLICY, 1].public_key
        self.bundle = open_signed(Bundle, signed, policy, ENV)
        self.bundle_hash = Sign1.parse(signed).hash
        from wire.objects import Hotlist

        version = open_signed(Hotlist, self.bundle.hotlist, policy, ENV).version
        self.add(log.Sync(self.bundle.epoch, self.bundle.counter, self.bundle_hash, version,
                          pending))  # fmt: skip
        return self.bundle

    def sync(self, pending: tuple[int, ...] = ()) -> Bundle:
        raw = self.world.office.bundle(self.name, None)
        assert raw is not None
        return self.install(raw, pending)

    def intent(self, card: SoftCard, wallet: int, amount: int, hotlist: int = 1) -> Record:
        return self.add(
            log.Intent(card.card_id, card.digest, wallet, amount, 1, (), card.sequence, 1, 0, 1, 1,
                       hotlist, "")
        )  # fmt: skip

    def debit(self, card: SoftCard, wallet: int, amount: int, *, deliver: bool = True,
              record: bool = True) -> tuple[Record, Receipt]:  # fmt: skip
        """A whole tap."""
        intent = self.intent(card, wallet, amount)
        receipt = card.receipt(ReceiptKind.DEBIT, self.name, intent, wallet, amount)
        if record:
            self.add(log.Receipted(intent.sequence, bytes(receipt)))
            if deliver:
                self.add(log.Delivered(intent.sequence))
        return intent, receipt

    def void(self, card: SoftCard, debit: Record, receipt: Receipt, *,
             on_counter: bool = False) -> tuple[Record, Receipt]:  # fmt: skip
        """A whole void, its goods back in stock if they had been handed over."""
        void = self.add(log.VoidIntent(debit.sequence, card.card_id, card.sequence, 1, 0,
                                       on_counter, "salah tekan"))  # fmt: skip
        made = card.receipt(ReceiptKind.REVERSAL, self.name, void, receipt.wallet, receipt.amount)
        self.add(log.Receipted(void.sequence, bytes(made)))
        if on_counter:
            self.add(log.Returned(void.sequence))
        return void, made

    def receive(self, delivery: bytes, good: GoodsLine) -> Record:
        return self.add(log.Stock(log.StockMove.RECEIVED, delivery, good))

    def upload(self, first: int = 1, last: int | None = None) -> bytes:
        """The upload of these records, signed."""
        end = last or len(self.records)
        part = tuple(self.records[first - 1 : end])
        head = UploadHead(self.name, first, end, part[-1].hash)
        return bytes(Upload(head, sign_object(self.log_key, head, ENV), part))

    def send(self, first: int = 1, last: int | None = None) -> Acknowledgement:
        """Upload it and check the answer."""
        raw = self.world.office.ingest(self.upload(first, last))
        ack = self.world.keys.signers[KeyRole.ACK, 1].public_key
        return open_signed(Acknowledgement, raw, ack, ENV)
