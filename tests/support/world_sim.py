"""A village in one process: real cards, terminals, backend and auditor, and a seeded scheduler.

Cards are the reference purse, terminals the engine on real SQLite journals, the backend the whole
application behind its HTTP routes. What truly happened is read from the cards' own memory and from
what the simulated people did with goods; :mod:`tests.support.world_oracle` judges by that alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx

from backend.api import make_app
from card_os.host.links import InProcessLink
from card_os.reference.memory import Nvm, Persistent
from card_os.reference.purse_store import PurseStore
from keys.enrol import OfficerRequest, Provision, StationRequest
from keys.issuance import IssuanceItem
from keys.signer import Ed25519Signer, P256KeyAgreement
from keys.state import Chip
from terminal.carry import install_bundle
from terminal.engine import Engine, Officer
from terminal.journal import Journal, Station
from terminal.outcomes import Event
from terminal.roster import Roster
from tests.support import backend_world
from tests.support.terminal_world import START_S, Card, Issuer
from wire.chain import IssuanceKind, TrustFile
from wire.cose import Sign1
from wire.cvc import Role
from wire.objects import Order, StationKind
from wire.receipt import Counters, Receipt, ReceiptKind

ENV, DESK = backend_world.ENV, backend_world.DESK
FAMILIES, POINTS = 5, 4
PROVIDERS = {"SJ": "Perum Bulog", "KAS": "Bank Kalteng"}
GOODS = {"beras": ("g", 10**8), "minyak": ("ml", 10**8), "gula": ("g", 10**8)}
CASH_MINOR = 10**9


class SimulationError(AssertionError):
    """The oracle contradicts the system: a fault was found."""


class Crash(BaseException):
    """The terminal's process is gone, at a commit of its journal."""


def require(condition: object, why: str) -> None:
    """Raise :class:`SimulationError` unless it holds."""
    if not condition:
        raise SimulationError(why)


# --- cards ------------------------------------------------------------


class SimCard(Card):
    """A card that can be pulled after some commands or lose power before a write.

    ``truth``: every receipt it ever signed, read from its own memory.
    """

    def __init__(self, issuer: Issuer, serial: int, family: bytes) -> None:
        self.family, self.truth = family, {}
        self.pull_after: int | None = None
        self.pull_answer = False
        self.is_lost = self.is_gone = self.is_clone = self.is_cloned = False
        self.known_sequence = 0
        super().__init__(issuer, serial, "inert")

    truth: dict[int, Receipt]

    def transmit(self, raw: bytes, /) -> bytes:
        """One APDU, unless the card is pulled: before the command, or before its answer."""
        if self.pull_after is not None:
            self.pull_after -= 1
            if self.pull_after < 0:
                self.pull_after = None
                if self.pull_answer:
                    super().transmit(raw)
                self.powered = False
                return b""
        return super().transmit(raw)

    def put_in(self, *, tear: int | None = None, pull: int | None = None) -> InProcessLink:
        """Into a reader; ``tear``: power fails before that write, ``pull``: out after commands."""
        link = self.link()
        self.nvm.tear_before, self.pull_after = tear, pull
        return link

    def take_out(self) -> None:
        """Out of the reader, whole."""
        self.pull_after = None
        self.powered = False
        self.nvm.power_on()

    @property
    def store(self) -> PurseStore:
        """What the memory says after the next power-up."""
        copy = self.nvm.fork()
        copy.power_on()
        return PurseStore(Persistent(copy, "purse/"))

    def observe(self) -> list[Receipt]:
        """Read what it signed since the last time; its own arithmetic must hold."""
        store, fresh = self.store, []
        card = store.card
        require(card.sequence >= self.known_sequence, "a card's sequence ran back")
        for sequence in range(self.known_sequence + 1, card.sequence + 1):
            raw = store.receipt(card, sequence)
            require(raw is not None, "a receipt was overwritten before it was seen")
            receipt = Receipt.parse(raw or b"")
            before = self.truth.get(sequence - 1)
            link = before.hash if before else self.certificate.digest
            require(receipt.link == link and receipt.sequence == sequence, "truth does not link")
            self.truth[sequence] = receipt
            fresh.append(receipt)
        self.known_sequence = card.sequence
        for wallet in store.wallets(card):
            self._check(wallet.code, wallet.counters)
        return fresh

    def _check(self, wallet: int, c: Counters) -> None:
        """The card's D and R are the sums of its receipts, and nothing is overdrawn."""
        require(c.balance >= 0 and c.reversed <= c.debited, "a wallet below zero")
        sums = Counter[ReceiptKind]()
        for r in self.truth.values():
            sums[r.kind] += r.amount if r.wallet == wallet else 0
        shown = (c.debited, c.reversed)
        require(
            shown == (sums[ReceiptKind.DEBIT], sums[ReceiptKind.REVERSAL]), "value from nowhere"
        )

    def clone(self) -> SimCard:
        """The same memory in another body: what a broken chip allows."""
        twin = object.__new__(SimCard)
        twin.__dict__.update(self.__dict__)
        twin.nvm, twin.truth = self.nvm.fork(), dict(self.truth)
        twin.powered = False
        twin._make()
        twin.is_clone, self.is_cloned = True, True
        return twin


class Bridge(Issuer):
    """Cards of the backend's own hierarchy, entered in its issuance log."""

    def __init__(self, world: backend_world.BackendWorld) -> None:
        self.env, self.world, self.backend = ENV, world.keys, world
        self.random, self.serial = world.random, 1 << 20  # type: ignore[assignment]

    def issue(self, order_raw: bytes) -> SimCard:
        """What the desk does with an order."""
        order, name = Order.parse(Sign1.parse(order_raw).payload), Sign1.parse(order_raw).hash
        self.backend.serial += 1
        card = SimCard(self, self.backend.serial, order.family)
        state, kdd = self.backend.state, self.backend.serial.to_bytes(10, "big")
        state.receive_chips("sim", [kdd])
        with state.transaction():
            state.certify(Chip(kdd, "sim", name, card.card_id, card.certificate.raw,
                               card.certificate.public_key, scrapped=False))  # fmt: skip
        self.backend.office.append_many([IssuanceItem(
            IssuanceKind.CARD_CERTIFICATE, card.certificate.raw, order.family,
            order.predecessor, name)])  # fmt: skip
        return card


# --- terminals ------------------------------------------------------------


class Point:
    """A distribution point: its stores outlive its process (:meth:`restart`)."""

    def __init__(self, sim: World, name: bytes) -> None:
        self.sim, self.name = sim, name
        self.random: Callable[[int], bytes] = sim.keys_random
        self.log_key = Ed25519Signer.generate(self.random)
        self.key = P256KeyAgreement.generate(self.random)
        self.stores = (_memory(), _memory())
        self.skew_s = 0
        self.crash_in: int | None = None
        self.crash_after = self.is_lost = self.is_image = False
        self.withheld_until = 0
        self.sent: list[bytes] = []
        self.installed: list[bytes] = []
        self.rejections: Counter[str] = Counter()
        self.events: list[Event] = []
        self._enrol()

    def _enrol(self) -> None:
        office = self.sim.office
        raw = office.enrol(self.request(), "*", "Balai Desa")
        self.provision = Provision.parse(raw)
        self.officers = {}
        for role, number in ((Role.SUPERVISOR, 41), (Role.HANDOVER, 42)):
            key = P256KeyAgreement.generate(self.random)
            office.certify_officer(OfficerRequest.make(ENV, self.name, role, number, key))
            self.officers[role] = Officer(number, key)
        self.restart(boot=False)
        self.engine.roster.provision(self.provision.certificates, self.provision.links)
        install_bundle(self.engine, self.provision.bundle)
        self.engine.start()

    def request(self) -> StationRequest:
        """For enrolment and renewal."""
        return StationRequest.make(ENV, self.name, StationKind.TERMINAL, self.log_key, self.key)

    def restart(self, *, boot: bool = True) -> None:
        """A new process on the same stores."""
        self.crash_in = None
        genesis = Sign1.parse(self.provision.enrolment).hash
        journal = Journal(self.stores[0], Station(self.name, ENV, genesis))
        journal.check()
        self._honest = journal.append
        journal.append = self._append  # type: ignore[method-assign, assignment]
        roster = Roster(self.stores[1], station=self.name, allow_demo=True,
                        trust=TrustFile.parse(self.provision.trust))  # fmt: skip
        self.engine = Engine(journal, roster, channel_key=self.key, clock=self.now_s,
                             random=self.random, emit=self.events.append)  # fmt: skip
        if boot:
            self.engine.start()

    def _append(self, *args: object, **kwargs: object) -> object:
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                self.crash_in = None
                if self.crash_after:
                    self._honest(*args, **kwargs)  # type: ignore[arg-type]
                raise Crash
        return self._honest(*args, **kwargs)  # type: ignore[arg-type]

    def now_s(self) -> int:
        """The machine's clock, right or wrong."""
        return max(0, self.sim.clock() + self.skew_s)

    @property
    def journal(self) -> Journal:
        """The journal of this process."""
        return self.engine.journal

    @property
    def works(self) -> bool:
        """Whether it may serve cards at all."""
        return not self.is_lost and not self.journal.stopped

    def digest(self) -> bytes:
        """A hash of everything it has stored."""
        h = hashlib.sha256()
        for db in self.stores:
            for line in db.iterdump():
                h.update(line.encode())
        return h.digest()

    def image(self) -> Point:
        """The same terminal from a copy of its disk: same id, same keys, older journal."""
        twin = object.__new__(Point)
        twin.__dict__.update(self.__dict__)
        twin.stores = (_memory(), _memory())
        for source, target in zip(self.stores, twin.stores, strict=True):
            source.backup(target)
        twin.is_image, twin.events = True, []
        return twin


def _memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


# --- the network ------------------------------------------------------------


class Wire(httpx.BaseTransport):
    """The ASGI application behind a line that loses and repeats requests and answers."""

    def __init__(self, app: object, random: Random) -> None:
        self.app, self.random, self.loop = app, random, asyncio.new_event_loop()
        self.trouble = 0.0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request over the line."""
        is_bad = self.random.random() < self.trouble
        kind = self.random.randrange(3) if is_bad else 3
        if kind == 0:
            raise httpx.ConnectError("the line is down")
        answer = self.loop.run_until_complete(self._ask(request))
        if kind == 1:
            raise httpx.ReadError("the answer was lost")
        if kind == 2:
            answer = self.loop.run_until_complete(self._ask(request))
        return httpx.Response(answer.status_code, content=answer.content)

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://backend") as client:
            return await client.request(request.method, str(request.url), content=request.content)


@dataclass
class Mail:
    """A file on its way: an upload, an acknowledgement or a bundle."""

    kind: str
    point: Point
    raw: bytes


# --- the world ------------------------------------------------------------


@dataclass
class Goods:
    """What the family got for a debit, as people know it."""

    state: str = "none"  # none, handed, counter, stock
    ever: bool = False


@dataclass
class World:
    """Everything, and the truth about it."""

    folder: Path
    seed: int
    goods: dict[bytes, Goods] = field(default_factory=dict)
    intents: dict[bytes, tuple[Point, int]] = field(default_factory=dict)
    receipts: dict[bytes, Receipt] = field(default_factory=dict)
    cards: list[SimCard] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    mail: list[Mail] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    decided: set[bytes] = field(default_factory=set)
    expected: set[int] = field(default_factory=set)
    images: list[Point] = field(default_factory=list)
    url: str | None = None
    """The backend's database; SQLite in the folder when not given."""

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 - a simulation repeats
        self.backend = backend_world.make(self.folder, self.url, self.seed)
        self.backend.clock.now_s = START_S
        self.clock, self.office = self.backend.clock, self.backend.office
        self.keys_random = self.backend.random
        self.files = backend_world._files(62, FAMILIES)
        self.backend.import_all(rows=FAMILIES)
        self.bridge = Bridge(self.backend)
        self.backend.desk()
        self.app = make_app(self.office)
        self.wire = Wire(self.app, self.random)
        self.client = httpx.Client(transport=self.wire, base_url="http://backend")
        self.top_up(1.0)
        self.order_cards()
        self.office.entitle()
        for _ in range(POINTS):
            self.new_point()

    def close(self) -> None:
        """Let go of the line, the databases and the keys' store."""
        self.client.close()
        self.wire.loop.run_until_complete(self.wire.loop.shutdown_default_executor())
        self.wire.loop.close()
        for point in [*self.points, *self.images]:
            for db in point.stores:
                db.close()
        self.office.db.engine.dispose()

    # --- office ------------------------------------------------------------

    def order_cards(self) -> list[SimCard]:
        """A card for each family without one."""
        self.office.order_cards(DESK)
        made = [self.bridge.issue(raw) for raw in self.office.orders(DESK)]
        self.cards += made
        return made

    def top_up(self, share: float) -> None:
        """A new decree for some families, and funds for a share of its rows."""
        self.counts["top-up"] += 1
        number = self.counts["top-up"]
        decree = json.loads(self.files["sk.json"])
        rows = [r for r in decree["rows"] if self.random.random() < 0.8] or decree["rows"]
        canonical = json.dumps(rows, separators=(",", ":"), sort_keys=True).encode()
        decree |= {"number": f"SIM/{number}", "rows": rows,
                   "annex_sha256": hashlib.sha256(canonical).hexdigest()}  # fmt: skip
        self.office.import_decree(json.dumps(decree).encode())
        releases = []
        for item in json.loads(self.files["programmes.json"])["programmes"]:
            wanted = sum(item["id"] in r["programmes"] for r in rows)
            minor = wanted * item["amount_per_round"] * item["versions"][0]["price_minor"]
            if int(minor * share):
                releases.append(
                    {
                        "sp2d": f"SP2D/{number}/{item['id']}",
                        "date": decree["date"],
                        "programme": item["id"],
                        "amount_minor": int(minor * share),
                    }
                )
        self.office.import_funds(json.dumps({"releases": releases}).encode())
        self.office.entitle()

    def new_point(self) -> Point:
        """Enrol a terminal, with goods on its shelf and a shift open."""
        name = f"TERM{len(self.points) + 1:04}".encode()
        self._deliver(name)
        point = Point(self, name)
        self.points.append(point)
        for _, delivery in point.engine.roster.deliveries():
            point.engine.receive(delivery.number)
        point.engine.open_shift(5)
        return point

    def _deliver(self, name: bytes) -> None:
        food = [{"good": g, "unit": u, "quantity": n} for g, (u, n) in GOODS.items()]
        cash = [{"good": "rupiah", "unit": "rupiah", "quantity": CASH_MINOR}]
        data = [
            {"number": f"{kind}-{name.decode()}", "provider": PROVIDERS[kind],
             "terminal": name.hex(), "time_s": self.clock(), "lines": lines}
            for kind, lines in (("SJ", food), ("KAS", cash))
        ]  # fmt: skip
        self.office.import_deliveries(json.dumps({"deliveries": data}).encode())

    # --- what is true ------------------------------------------------------------

    def observe(self, card: SimCard, point: Point | None = None) -> None:
        """Take in what a card signed; a receipt belongs to the terminal that was asked."""
        for receipt in card.observe():
            self.receipts[receipt.hash] = receipt
            self.goods.setdefault(receipt.hash, Goods())
            if point is not None:
                self.intents[receipt.hash] = (point, receipt.terminal_sequence)

    def goods_of(self, point: Point, intent: int) -> Goods:
        """The goods of a debit's intent at a terminal."""
        for digest, (at, sequence) in self.intents.items():
            if at is point and sequence == intent:
                return self.goods[digest]
        raise SimulationError("a receipt that no card signed")

    def hand(self, point: Point, intent: int) -> None:
        """Goods go over the counter."""
        goods = self.goods_of(point, intent)
        require(goods.state == "none", "goods would be handed over twice")
        goods.state, goods.ever = "handed", True

    @property
    def live(self) -> list[Point]:
        """Terminals at work."""
        return [p for p in self.points if p.works]

    @property
    def held(self) -> list[SimCard]:
        """Cards that somebody can still put into a reader."""
        return [c for c in self.cards if not c.is_gone and not c.is_clone]

    def digest(self) -> bytes:
        """A hash of every row of the backend's database."""
        return database_digest(self.folder / "backend.sqlite")


def database_digest(path: Path) -> bytes:
    """A hash of every table of a SQLite file."""
    h = hashlib.sha256()
    with sqlite3.connect(path) as db:
        for line in db.iterdump():
            h.update(line.encode())
    db.close()
    return h.digest()


__all__ = ["Crash", "Goods", "Mail", "Nvm", "Point", "SimCard", "SimulationError", "World",
           "database_digest", "require"]  # fmt: skip
