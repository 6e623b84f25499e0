"""A root, cards and terminals in one process, for every test of the terminal.

Cards are the reference purse behind an `IccDevice`; sessions, signatures and bundles are real.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from random import Random

from pyroaring import BitMap

from card_os.host.links import InProcessLink
from card_os.host.purse import PurseSession
from card_os.icc import ATR_T1
from card_os.reference.applets import CardContext, CardServices
from card_os.reference.errors import CardError
from card_os.reference.memory import Nvm, Persistent, PowerLoss
from card_os.reference.purse import PurseApplet
from keys import ca
from keys.enrol import OfficerRequest, StationRequest
from keys.hierarchy import make_world
from keys.securechannel import CardMessaging, SecurityLevel, SessionKeys
from keys.signer import Ed25519Signer, P256KeyAgreement, sign_object
from terminal.engine import Engine, Officer
from terminal.journal import Journal, Station
from terminal.outcomes import Event
from terminal.roster import Roster
from terminal.store import connect
from terminal.visit import Visit
from wire.apdu import CommandApdu, ResponseApdu
from wire.bundle import Bundle, CardEntry, Ceiling, Note, pack
from wire.cvc import Certificate, Role
from wire.dates import start_of_day_s
from wire.entitlement import NEVER_S, Entitlement, Lot, Script, ScriptAction
from wire.env import Environment, purse_aid
from wire.objects import (
    Enrolment,
    GoodsLine,
    Hotlist,
    KeyRole,
    Parameters,
    Programme,
    StationKind,
    StockDelivery,
    Tariff,
    Unit,
    Window,
)
from wire.purse import CardKeys, Ins, InstallParameters
from wire.receipt import Interface

ENV = Environment.DEMO_LIVE
START_S = 1_780_300_800  # 2026-06-01 08:00 UTC
TODAY = date(2026, 6, 1)
DAY_S = 86_400
PIN, OTHER_PIN, CODE = "271954", "602847", "40817263"
FOOD, CASH, CLINIC = 0x1A01, 0x1A02, 0x1A04
SUPERVISOR, HANDOVER = 41, 42
BASKET = (GoodsLine("beras", Unit.GRAM, 5000), GoodsLine("minyak", Unit.MILLILITRE, 1000))
GIB = 1 << 30


class Clock:
    """Seconds that move when told."""

    def __init__(self, now_s: int = START_S) -> None:
        self.now_s = now_s

    def __call__(self) -> int:
        return self.now_s


def programme(code: int, wallet: int, unit: Unit, **changes: object) -> Programme:
    """A programme open all year."""
    is_basket = unit == Unit.BASKET
    lines = BASKET if is_basket else ()
    made = Programme(
        code, 1, "Dinas Sosial", f"Program {code}", f"Programme {code}", wallet, unit, "bulog",
        1_000_000, 4, 0, stocked=unit in {Unit.BASKET, Unit.RUPIAH},
        windows=(Window(START_S - 60 * DAY_S, START_S + 60 * DAY_S),),
        tariffs=(Tariff(1, 150_000 if is_basket else 1, lines),),
    )  # fmt: skip
    return replace(made, **changes)


PROGRAMMES = (
    programme(257, FOOD, Unit.BASKET, cap=2),
    programme(258, CASH, Unit.RUPIAH),
    programme(260, CLINIC, Unit.VISIT),
)


class Issuer:
    """Everything above terminals and cards: one root, its keys, what they sign."""

    def __init__(self, env: Environment = ENV, seed: int = 7) -> None:
        self.env = env
        self.random = Random(seed).randbytes  # noqa: S311 - tests must repeat
        self.world = make_world(
            env, random=self.random, now_s=START_S, from_s=START_S - 200 * DAY_S
        )
        self.serial = 0

    def object(self, shape: object) -> bytes:
        """A COSE object by the key of its role."""
        signer = self.world.signer(type(shape).SIGNER)
        return bytes(sign_object(signer, shape, self.env))

    def entitlement(
        self, card: Card, wallet: int, *, sequence: int = 1, loaded: int = 4, **changes: object
    ) -> Entitlement:
        """A signed entitlement of this card."""
        values: dict[str, object] = {
            "programme": next((p.code for p in PROGRAMMES if p.wallet == wallet), 1),
            "lots": (Lot(NEVER_S, loaded),), "forfeited_through": 0, "cap": 500_000,
            "issued": TODAY, "acknowledged": 0, "settled_debited": 0, "settled_reversed": 0,
            "bypass_total": 2, "key_version": 1, "card_id": card.card_id,
            "certificate_hash": card.certificate.digest[:16],
        } | changes  # fmt: skip
        body = Entitlement.encode_body(
            env=self.env, wallet=wallet, sequence=sequence, loaded=loaded, **values
        )
        return Entitlement.parse(body + self.world.signer(KeyRole.ISSUER).sign(body))

    def script(self, card: Card, action: ScriptAction, number: int = 1, officer: int = 0) -> Script:
        """A signed script for this card."""
        body = Script.encode_body(
            env=self.env, card_id=card.card_id, number=number, action=action, officer=officer,
            issued=TODAY, key_version=1,
        )  # fmt: skip
        return Script.parse(body + self.world.signer(KeyRole.ISSUER).sign(body))

    def card(self, serial: int = 1, *, life: str = "active") -> Card:
        """A personalised card; ``life`` inert or active (PIN set by the handover officer)."""
        return Card(self, serial, life)

    def terminal_ca(self) -> ca.Issuer:
        """The terminal CA."""
        return self.world.issuer(KeyRole.TERMINAL_CA)

    def next_serial(self) -> int:
        """A new certificate serial."""
        self.serial += 1
        return self.serial


class Card:
    """The purse with its memory, as a device in a reader."""

    def __init__(self, issuer: Issuer, serial: int, life: str) -> None:
        self.issuer = issuer
        self.nvm = Nvm()
        self.random = Random(1000 + serial).randbytes  # noqa: S311
        self.powered = False
        self.drop_answer_of: int | None = None
        self.card_id = issuer.env.mark + serial.to_bytes(4, "big")
        self._make()
        self._personalise(serial)
        if life == "active":
            self.activate_raw()

    def _make(self) -> None:
        env = self.issuer.env
        parameters = bytes(InstallParameters(env, self.issuer.world.trust.root_key))
        services = CardServices(purse_aid(env), self.random)
        self.applet = PurseApplet(Persistent(self.nvm, "purse/"), parameters, services)

    def power_on(self) -> bytes:
        self.nvm.power_on()
        self._make()
        self.powered = True
        return ATR_T1

    def power_off(self) -> None:
        self.powered = False

    def transmit(self, raw: bytes, /) -> bytes:
        """One APDU; ``drop_answer_of``: the n-th next secured command is done, not answered."""
        if not self.powered:
            return b""
        command = CommandApdu.parse(raw)
        if command.ins == Ins.SELECT:
            if command.data != purse_aid(self.issuer.env):
                return b"\x6a\x82"
            return self.applet.select() + b"\x90\x00"
        lost = False
        if command.cla & 0x04 and self.drop_answer_of is not None:
            lost = self.drop_answer_of == 0
            self.drop_answer_of = None if lost else self.drop_answer_of - 1
        try:
            context = CardContext(Interface.CONTACT, self.random, None)
            answer = bytes(ResponseApdu(self.applet.process(command, context), 0x9000))
        except CardError as e:
            answer = bytes(ResponseApdu(e.data, e.sw))
        except PowerLoss:
            lost = True
        if lost:
            self.powered = False
            return b""
        return answer

    def link(self) -> InProcessLink:
        """A reader with this card in it."""
        return InProcessLink(self)

    def _personalise(self, serial: int) -> None:
        issuer = self.issuer
        channel = CardMessaging(SessionKeys(*[bytes(16)] * 4), SecurityLevel.FULL, bytes(16))
        context = CardContext(Interface.CONTACT, self.random, channel)
        answer = self.applet.process(CommandApdu(0x80, Ins.GENERATE_KEYS, 0, 0, b"", 256), context)
        keys = CardKeys.parse(answer)
        self.certificate = ca.issue_card_certificate(
            issuer.world.issuer(KeyRole.CARD_CA), serial=serial, card_id=self.card_id,
            channel_key=keys.channel_key, receipt_key=keys.receipt_key, now_s=START_S,
            effective=date(2026, 3, 1),
        )  # fmt: skip
        key = P256KeyAgreement.generate(issuer.random)
        certificate = ca.issue_personaliser_certificate(
            issuer.terminal_ca(), subject=b"KEYSRV01", channel_key=key.public_key,
            serial=issuer.next_serial(), now_s=START_S,
        )  # fmt: skip
        with PurseSession.open_keyed(
            self.link(), env=issuer.env, certificate=certificate, channel_key=key, card_keys=keys,
            random=issuer.random, links=issuer.world.links,
        ) as session:  # fmt: skip
            session.personalise(CODE, self.certificate)

    def activate_raw(self) -> None:
        """Handed over somewhere else, with PIN."""
        with self._session(Role.HANDOVER, b"OFFICE01", 9) as session:
            session.activate(CODE, PIN)

    def _session(self, role: Role, terminal: bytes, officer: int = 0) -> PurseSession:
        from card_os.host.opening import CardIdentity

        issuer, key = self.issuer, P256KeyAgreement.generate(self.issuer.random)
        request = (
            OfficerRequest.make(issuer.env, terminal, role, officer, key) if officer else
            StationRequest.make(issuer.env, terminal, StationKind.TERMINAL,
                                Ed25519Signer.generate(issuer.random), key)
        )  # fmt: skip
        certificate = ca.issue_terminal_certificate(
            issuer.terminal_ca(), request, serial=issuer.next_serial(), now_s=START_S
        )
        return PurseSession.open(
            self.link(), env=issuer.env, certificate=certificate, channel_key=key,
            verify_card_certificate=CardIdentity.of, random=issuer.random,
            links=issuer.world.links,
        )  # fmt: skip

    def elsewhere(self, wallet: int, amount: int, terminal: bytes = b"OTHER001") -> None:
        """A debit at another terminal."""
        from wire.purse import Debit

        with self._session(Role.TERMINAL, terminal) as session:
            session.verify_pin(PIN)
            session.debit(Debit(wallet, amount, session.state.sequence, 77, START_S, 1, bytes(32)))

    def load_raw(self, entitlement: Entitlement) -> None:
        """LOAD at another terminal."""
        with self._session(Role.TERMINAL, b"OTHER001") as session:
            session.load(entitlement)


@dataclass
class Terminal:
    """A terminal's folder and keys; `restart` is a new process on the same files."""

    issuer: Issuer
    station: bytes = b"TERM0001"
    path: Path | None = None
    clock: Clock = field(default_factory=Clock)
    counter: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.station).randbytes  # noqa: S311
        self.log_key = Ed25519Signer.generate(self.random)
        self.key = P256KeyAgreement.generate(self.random)
        self.officers = {
            role: Officer(number, P256KeyAgreement.generate(self.random))
            for role, number in ((Role.SUPERVISOR, SUPERVISOR), (Role.HANDOVER, HANDOVER))
        }
        enrolment = Enrolment(self.station, StationKind.TERMINAL, self.log_key.public_key,
                              "*", "Balai desa", START_S)  # fmt: skip
        self.genesis = sign_object(
            self.issuer.world.signer(KeyRole.REGISTRY), enrolment, self.issuer.env
        ).hash
        self.certificates = self.make_certificates(TODAY)
        self.memory = (sqlite3.connect(":memory:", isolation_level=None),
                       sqlite3.connect(":memory:", isolation_level=None))  # fmt: skip
        self.events: list[Event] = []
        self.restart()

    def make_certificates(self, effective: date) -> list[Certificate]:
        """Terminal's and officers' certificates from that day."""
        issuer = self.issuer
        requests: list[StationRequest | OfficerRequest] = [
            StationRequest.make(issuer.env, self.station, StationKind.TERMINAL, self.log_key,
                                self.key)
        ]  # fmt: skip
        requests += [
            OfficerRequest.make(issuer.env, self.station, role, o.number, o.key)
            for role, o in self.officers.items()
        ]
        now_s = max(START_S, start_of_day_s(effective))
        return [
            ca.issue_terminal_certificate(
                issuer.terminal_ca(), request, serial=issuer.next_serial(), now_s=now_s,
                effective=effective,
            )
            for request in requests
        ]  # fmt: skip

    def restart(self) -> Engine:
        """A new engine on the same stores; START is written when a bundle is there."""
        if self.path is None:
            journal_db, roster_db = self.memory
        else:
            journal_db = connect(self.path / "journal.db")
            roster_db = connect(self.path / "roster.db")
        self.journal = Journal(journal_db, Station(self.station, self.issuer.env, self.genesis))
        self.roster = Roster(
            roster_db, station=self.station, trust=self.issuer.world.trust, allow_demo=True
        )
        self.engine = Engine(
            self.journal, self.roster, channel_key=self.key, clock=self.clock,
            random=self.random, emit=self.events.append,
        )  # fmt: skip
        self.engine.start()
        return self.engine

    def bundle(self, *cards: CardEntry, **changes: object) -> bytes:
        """The next bundle file, full unless ``base`` says otherwise."""
        self.counter += 1
        return pack(self.signed_bundle(*cards, **changes))

    def signed_bundle(
        self, *cards: CardEntry, hotlist: tuple[int, ...] | bytes = (),
        hotlist_version: int | None = None,
        stale_stop_s: int = 400 * DAY_S, stale_warn_s: int = 30 * DAY_S,
        programmes: tuple[Programme | bytes, ...] = PROGRAMMES,
        deliveries: tuple[StockDelivery, ...] = (),
        **changes: object,
    ) -> bytes:  # fmt: skip
        """The COSE bundle."""
        issuer = self.issuer
        version = self.counter if hotlist_version is None else hotlist_version
        listed = hotlist if isinstance(hotlist, bytes) else issuer.object(
            Hotlist(version, self.clock.now_s, BitMap(hotlist).serialize())
        )  # fmt: skip
        parameters = Parameters(1, DAY_S, DAY_S, DAY_S, DAY_S, stale_warn_s, stale_stop_s, 50)
        made = Bundle(
            "*", self.station, 1, self.counter, 0, self.clock.now_s, (), (),
            listed, issuer.object(parameters),
            tuple(p if isinstance(p, bytes) else issuer.object(p) for p in programmes),
            tuple(Ceiling(p.wallet, 1_000_000) for p in PROGRAMMES), cards,
            tuple(c.raw for c in self.certificates), tuple(x.raw for x in issuer.world.links),
            tuple(issuer.object(d) for d in deliveries), (),
        )  # fmt: skip
        return issuer.object(replace(made, **changes))

    def begin(self, card: Card, role: Role = Role.TERMINAL) -> Visit:
        """A visit that must open."""
        visit = self.engine.begin(card.link(), role, self.officers.get(role))
        assert isinstance(visit, Visit), visit
        return visit

    def kinds(self) -> list[str]:
        """Names of the records, in order."""
        return [r.kind.name for r in self.journal.records(0, GIB)]


def entry(
    card: Card, *entitlements: Entitlement, scripts: tuple[Script, ...] = (),
    acknowledged: int = 0, resolved: tuple[bytes, ...] = (), notes: tuple[Note, ...] = (),
    script_count: int = 0, pin_set_count: int = 0,
) -> CardEntry:  # fmt: skip
    """What a bundle says of a card."""
    return CardEntry(
        card.card_id, card.certificate.digest, acknowledged, script_count, pin_set_count,
        tuple(e.raw for e in entitlements), tuple(s.raw for s in scripts), resolved, notes,
    )  # fmt: skip


def at_work(
    issuer: Issuer | None = None, path: Path | None = None, **food: object
) -> tuple[Terminal, Card]:
    """A terminal with an open shift and a card whose FOOD (4) and CASH (1 000 000) it carries."""
    issuer = issuer or Issuer()
    card = issuer.card()
    terminal = Terminal(issuer, path=path)
    terminal.engine.install(terminal.bundle(entry(
        card, issuer.entitlement(card, FOOD, **food),
        issuer.entitlement(card, CASH, loaded=1_000_000),
    )))  # fmt: skip
    terminal.engine.open_shift(5)
    return terminal, card
