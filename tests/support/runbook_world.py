"""One office, one hall and real cards for the run-books: a key is stolen, the remedy is executed.

Everything is the real one: the backend on a database, the key service, the terminal's folder and
engine, reference cards, the auditor over the backend's own export.
"""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from backend.api import make_app
from backend.audit.build import build
from backend.audit.findings import Finding
from backend.audit.load import read
from backend.audit.rules import judge
from backend.db import Database, connect
from backend.office import Office
from card_os.host.opening import CardIdentity
from card_os.host.purse import PurseSession
from keys import ca
from keys.enrol import OfficerRequest, StationRequest
from keys.hierarchy import LINK_KINDS, Heads, new_signer
from keys.service import KeyService
from keys.signer import Ed25519Signer, P256KeyAgreement, Signer, sign_object
from keys.trust import TrustStore
from terminal import sync
from terminal.config import Config, Folder
from terminal.outcomes import Redeemed
from terminal.visit import Visit
from tests.sim.test_terminal_backend import Bridge, InProcess
from tests.support import backend_world, terminal_world
from tests.support.backend_world import DESK, ENV, SCHOOL, BackendWorld
from tests.support.terminal_world import PIN, Card
from wire import cbor
from wire.cose import Sign1
from wire.cvc import Certificate, Role
from wire.objects import IssuanceHead, KeyRole, LedgerHead, Order, StationKind

WORDS = "sandi"
DAY_S = 86_400
SUPERVISOR = 41


@contextmanager
def at_the_backends_time():
    """Cards and certificates of the terminal's world, at the backend's date."""
    before = terminal_world.START_S
    terminal_world.START_S = backend_world.START_S
    try:
        yield
    finally:
        terminal_world.START_S = before


class Town:
    """The office and its world, cards handed over, and as many halls as a test wants."""

    def __init__(self, folder: Path, url: str | None = None, seed: int = 1) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.world: BackendWorld = backend_world.make(folder, url, seed)
        self.office, self.clock, self.keys = self.world.office, self.world.clock, self.world.keys
        self.world.import_all(rows=9)
        self.world.desk()
        self.issuer = Bridge(self.world)
        self.office.order_cards(DESK)
        with at_the_backends_time():
            wanted = [o for o in self.office.orders(DESK)
                      if SCHOOL in Order.parse(Sign1.parse(o).payload).wallets]  # fmt: skip
            self.cards = [self.issuer.issue(raw) for raw in wanted[:3]]
        self.office.entitle()

    def reborn(self, url: str) -> None:
        """The office on a restored database; the key service goes on where it was."""
        old = self.office
        old.db.engine.dispose()
        database = Database(connect(url))
        database.found(ENV)
        self.office = Office(database, old.trust, old.keys, old.authority, old.ack, self.clock,
                             old.pepper)  # fmt: skip
        self.world.office = self.office
        self._restart({})

    def close(self) -> None:
        self.office.db.engine.dispose()

    def hall(self, name: str = "TERM0001") -> Hall:
        """A terminal, enrolled and provisioned, with its supervisor."""
        return Hall(self, name)

    # --- what the office sees -------------------------------------------------------------

    def report(self) -> dict:
        """The reconciliation after a settlement."""
        self.office.settle()
        return self.office.report()

    def is_exact(self) -> bool:
        """Both differences are zero and the ledger says what the objects say."""
        report = self.report()
        return not (report["difference_minor"] or report["goods_difference"] or report["ledger"])

    def held(self) -> dict[tuple[str, int], str]:
        """Card and sequence → why a receipt is not paid."""
        from tests.unit.backend.test_ingest import held

        return {key: why for key, why in held(self.world).items() if why}

    def found(self) -> set[int]:
        """Invariants of the findings that the backend has."""
        return {int(f["invariant"]) for f in self.office.report()["findings"]}

    def audit(self, name: str = "export") -> set[int]:
        """Invariants of what the auditor finds in the backend's export."""
        self.office.export(self.folder / name)
        return self.judge(name)

    def judge(self, name: str) -> set[int]:
        """The same of an export that is written already."""
        return {int(f.invariant) for f in self.findings(name)}

    def findings(self, name: str) -> list[Finding]:
        """What is found in an export that is written already."""
        trust = bytes(self.office.trust.trust_file())
        return judge(build(read(self.folder / name), trust, allow_demo=True))

    def heads(self) -> Heads:
        """The newest published heads: what a revocation made now still honours."""
        self.office.export(self.folder / "heads")
        raws = cbor.decode_sequence((self.folder / "heads/heads.cbor").read_bytes())
        signed = [Sign1.parse(raw) for raw in raws]
        ledger = max((LedgerHead.parse(s.payload) for s in signed if s.kind == LedgerHead.KIND),
                     key=lambda h: h.sequence)  # fmt: skip
        log = max((IssuanceHead.parse(s.payload) for s in signed if s.kind == IssuanceHead.KIND),
                  key=lambda h: h.sequence)  # fmt: skip
        return Heads(ledger.sequence, ledger.head, log.sequence, log.head)

    # --- remedies -------------------------------------------------------------

    def signer(self, role: KeyRole) -> Signer:
        """What the thief holds: the first key of this role."""
        return self.keys.signers[role, 1]

    def revoke(self, key: bytes, heads: Heads | None = None) -> None:
        """betang-keys revoke; the new trust file taken by the office and its key service."""
        raw = self.keys.root.revoke(key, heads or self.heads(), now_s=self.clock())
        self.office.trust.add_revocation(raw)
        self._restart({})

    def rotate(self, role: KeyRole) -> Signer:
        """betang-keys rotate: a second version, linked so that cards drop the revoked first."""
        made = new_signer(role, self.world.random)
        now_s = self.clock()
        statement = self.keys.root.state(role, 2, made.public_key, now_s, now_s=now_s)
        self.office.trust.add_statement(statement)
        self._restart({(role, 2): made} if role != KeyRole.ACK else {})
        if role == KeyRole.ACK:
            self.office.ack = made
        if role in LINK_KINDS:
            link = self.keys.root.link(role, 2, made.public_key, lowest_kept=2, now_s=now_s)
            self.office.found([link.raw])
        return made

    def replace(self, role: KeyRole) -> Signer:
        """Both, in the run-book's order."""
        self.revoke(self.signer(role).public_key)
        return self.rotate(role)

    def new_personaliser(self) -> None:
        """betang-keys new-personaliser, and the service started again."""
        self._restart({}, personaliser=P256KeyAgreement.generate(self.world.random))

    def _restart(self, more: dict, **changes: object) -> None:
        """The key service anew on its state, under the trust that holds now."""
        old = self.world.service
        signers = {**old._keys.signers, **more}
        keys = dataclasses.replace(old._keys, signers=signers, **changes)
        trust = TrustStore(self.office.trust.trust_file(), allow_demo=True)
        self.world.service = KeyService(trust, keys, self.world.state, self.office,
                                        clock=self.clock, random=self.world.random)  # fmt: skip
        self.office.keys = self.world.service

    # --- what a thief makes -------------------------------------------------------------

    def forged_certificate(
        self, signer: Signer, role: Role, terminal: bytes = b"THIEF001", officer: int = 0
    ) -> Credentials:
        """A terminal's or officer's certificate by this CA key, for a key of the thief's."""
        random = self.world.random
        key = P256KeyAgreement.generate(random)
        request = (
            OfficerRequest.make(ENV, terminal, role, officer, key) if officer else
            StationRequest.make(ENV, terminal, StationKind.TERMINAL,
                                Ed25519Signer.generate(random), key)
        )  # fmt: skip
        made = ca.issue_terminal_certificate(ca.Issuer(ENV, 1, signer), request, serial=999,
                                             now_s=self.clock())  # fmt: skip
        return Credentials(made, key)

    def session(self, card: Card, held: Credentials) -> PurseSession:
        """The thief's own program at a card."""
        links = [Certificate.parse(raw) for raw in self._links()]
        return PurseSession.open(
            card.link(), env=ENV, certificate=held.certificate, channel_key=held.key,
            verify_card_certificate=CardIdentity.of, random=self.world.random, links=links,
        )  # fmt: skip

    def _links(self) -> list[bytes]:
        return [link.raw for link in self.keys.links]

    def sign(self, signer: Signer, shape: object) -> bytes:
        """An object by a stolen key."""
        return bytes(sign_object(signer, shape, ENV))


@dataclass(frozen=True, slots=True)
class Credentials:
    """A certificate and its key."""

    certificate: Certificate
    key: P256KeyAgreement


class Hall:
    """A village hall's terminal in its own folder."""

    def __init__(self, town: Town, name: str) -> None:
        self.town, self.name = town, name.encode()
        self.folder = Folder(town.folder / name, demo=True, log_n=10)
        request = self.folder.create(Config(station=name, environment=ENV), WORDS,
                                     town.world.random)  # fmt: skip
        self.request = request
        self.provision = town.office.enrol(request, "*", "Balai Desa")
        self.officer_request = self.folder.make_officer(Role.SUPERVISOR, SUPERVISOR, WORDS,
                                                        town.world.random)  # fmt: skip
        self.officer_certificate = town.office.certify_officer(self.officer_request)
        self.folder.provision(self.provision, WORDS)
        self.reopen()
        self.engine.open_shift(5)

    def reopen(self) -> None:
        """The program started anew."""
        self.opened = self.folder.open(WORDS, clock=self.town.clock,
                                       random=self.town.world.random)  # fmt: skip
        self.engine = self.opened.engine

    def sync(self) -> sync.Synced:
        """Upload, acknowledgement, bundle: over the real routes."""
        transport = InProcess(make_app(self.town.office))
        with httpx.Client(transport=transport, base_url="http://backend") as client:
            return sync.over_http(self.engine, self.opened.log_key, client)

    def stick(self) -> bytes:
        """What is not acknowledged, as a file."""
        target = self.town.folder / f"{self.name.decode()}.upload"
        sync.export_file(self.engine, self.opened.log_key, target)
        return target.read_bytes()

    def own(self) -> Credentials:
        """What a thief of the device holds."""
        held = self.engine.credentials(Role.TERMINAL, None)
        return Credentials(held.certificate, held.key)

    def supervisor(self) -> Credentials:
        """What a thief of the officer's token holds."""
        officer = self.folder.officer(Role.SUPERVISOR, SUPERVISOR, WORDS)
        return Credentials(Certificate.parse(self.officer_certificate), officer.key)

    def begin(self, card: Card) -> object:
        """A visit, or why there is none."""
        return self.engine.begin(card.link())

    def pay(self, card: Card, amount: int = 1000) -> int:
        """So many rupiah for school, with PIN, handed over; the receipt's sequence."""
        visit = self.begin(card)
        assert isinstance(visit, Visit), visit
        with visit:
            visit.verify_pin(PIN)
            paid = visit.redeem(SCHOOL, amount)
            assert isinstance(paid, Redeemed), paid
            visit.delivered(paid.intent)
        return visit.state.sequence
