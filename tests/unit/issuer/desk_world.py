"""A key service, a desk and reference cards in one process; nothing of the protocol is mocked."""

from __future__ import annotations

import atexit
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from card_os.host.links import CardRemoved, InProcessLink
from card_os.host.opening import CardIdentity
from card_os.host.purse import PurseSession
from card_os.reference.card import ReferenceCard
from card_os.reference.packages import PACKAGES
from card_os.reference.profiles import JCOP_LIKE, TransportKeys
from issuer.cardwork import Tools
from issuer.desklog import DeskLog, Station
from issuer.evidence import EvidenceBook
from issuer.mail import MailRoom, new_identity, open_mailer
from issuer.orders import OrderBook
from issuer.outcomes import Issued
from issuer.personalise import Desk
from issuer.store import connect
from keys import ca
from keys.cardsession import TransportSets
from keys.enrol import OfficerRequest
from keys.hierarchy import SERVICE_ROLES, make_world
from keys.issuance import MemoryIssuance
from keys.kdf import StaticKeys
from keys.service import Keys, KeyService
from keys.signer import Ed25519Signer, P256KeyAgreement, sign_object
from keys.state import State
from keys.trust import TrustStore
from wire.chain import IssuanceKind
from wire.cvc import Certificate, Role
from wire.dates import day_of
from wire.entitlement import NEVER_S, Entitlement, Lot
from wire.env import Environment
from wire.log import DeskStep
from wire.objects import KeyRole, Order
from wire.purse import Life

ENV = Environment.DEMO_LIVE
NOW_S = 1_775_000_000
DAY_S = 86_400
TRANSPORT = StaticKeys(b"T" * 16, b"M" * 16, b"D" * 16)
DESK_ID, OFFICER = b"DESK0001", 7
GENESIS = b"g" * 32
PIN = "739155"
COMMANDS = 50  # of one card from blank to issued, two wallets loaded


class Killed(BaseException):
    """The desk's process dies here."""


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> int:
        return self.now_s


class Source:
    """Entitlements signed by the issuer key for the wallets named, once the card is certified."""

    def __init__(self, world: DeskWorld) -> None:
        self.world, self.wallets, self.error = world, (1, 2), None

    def entitlements(self, card_id: bytes) -> list[bytes]:
        if self.error is not None:
            raise self.error
        return [self.world.entitlement(card_id, wallet) for wallet in self.wallets]


class CutLink:
    """A link that dies at one command: before it reached the card, or before its answer came."""

    def __init__(
        self,
        card: ReferenceCard,
        cut_at: int | None = None,
        *,
        answered: bool = False,
        error: Callable[[], BaseException] = lambda: CardRemoved("pulled"),
    ) -> None:
        self._inner = InProcessLink(card)
        self._cut_at, self._answered, self._error = cut_at, answered, error
        self.sent: list[bytes] = []
        self._dead = False

    atr = property(lambda self: self._inner.atr)
    interface = property(lambda self: self._inner.interface)

    def transmit(self, command: bytes, /) -> bytes:
        if self._dead:
            raise CardRemoved("the card is gone")
        cut = self._dead = self._cut_at == len(self.sent)
        self.sent.append(command)
        if cut and not self._answered:
            raise self._error()
        answer = self._inner.transmit(command)
        if cut:
            raise self._error()
        return answer

    def reset(self) -> bytes:
        return self._inner.reset()

    def close(self) -> None:
        self._inner.close()


class DeskWorld:
    """One root, its key service, one desk; ``folder`` holds the mail."""

    def __init__(self, env: Environment = ENV, seed: int = 1) -> None:
        self.env, self.clock = env, Clock()
        self.rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.world = make_world(
            env, random=self.rng.randbytes, now_s=NOW_S, from_s=NOW_S - 30 * DAY_S
        )
        self.trust = TrustStore(self.world.trust, allow_demo=True)
        self.issuance = MemoryIssuance()
        self.state = State(":memory:", env)
        signers = {n: s for n, s in self.world.signers.items() if n[0] in SERVICE_ROLES}
        self.service = KeyService(
            self.trust,
            Keys(signers, b"m" * 16, {"b1": TransportSets(0xFF, {b"": TRANSPORT})},
                 P256KeyAgreement.generate(self.rng.randbytes), b"DEMOPERS"),
            self.state, self.issuance, clock=self.clock, random=self.rng.randbytes,
        )  # fmt: skip
        self.identity, self.recipient = new_identity()
        self.folder = Path(tempfile.mkdtemp(prefix="betang-desk-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.db = connect(":memory:")
        self.log_key = Ed25519Signer.generate(self.rng.randbytes)
        self.source = Source(self)
        self.events: list[object] = []
        self.verbs: object = self.service
        self.cards = self.orders = 0
        self.start()

    def start(self) -> Desk:
        """The desk's program starts (again) over what is on its disk."""
        desk_log = DeskLog(self.db, Station(DESK_ID, self.env, GENESIS))
        book = OrderBook(self.db, self.trust, DESK_ID, self.clock)
        mail = MailRoom(self.folder / "mail", self.recipient, self.env)
        tools = Tools(self.verbs, self.trust, self.world.links, self.source, mail, self.clock,
                      self.rng.randbytes)  # fmt: skip
        self.desk = Desk(desk_log, book, tools, self.events.append,
                         evidence=EvidenceBook(self.db, self.trust))  # fmt: skip
        return self.desk

    # --- what others give the desk --------------------------------------------------------

    def signed_order(self, **changes) -> bytes:
        self.orders += 1
        fields = {
            "number": self.orders.to_bytes(16, "big"), "family": self.orders.to_bytes(16, "little"),
            "decree": b"S" * 32, "row": self.orders, "predecessor": None, "wallets": (1, 2),
            "desk": DESK_ID, "valid_until_s": self.clock() + DAY_S,
        } | changes  # fmt: skip
        signer = changes.pop("signer", self.world.signer(KeyRole.REGISTRY))
        fields.pop("signer", None)
        return bytes(sign_object(signer, Order(**fields), self.env))

    def order(self, **changes) -> bytes:
        """Take a fresh order; its number."""
        raw = self.signed_order(**changes)
        self.desk.book.add(raw)
        return self.orders.to_bytes(16, "big")

    def card(self, *, received: bool = True, keys: StaticKeys = TRANSPORT, kvn: int = 0xFF):
        """A chip from its maker, not powered."""
        self.cards += 1
        raw = self.cards.to_bytes(4, "big")
        if received:
            self.state.receive_chips("b1", [JCOP_LIKE.kdd_of(raw)])
        return ReferenceCard.create(
            transport_keys=TransportKeys(kvn, keys), serial=raw, registry=PACKAGES,
            random=self.rng.randbytes,
        )  # fmt: skip

    def entitlement(self, card_id: bytes, wallet: int, **changes) -> bytes:
        chip = self.state.card(card_id)
        assert chip is not None
        assert chip.certificate is not None
        fields = {
            "env": self.env, "card_id": card_id, "wallet": wallet, "programme": wallet,
            "certificate_hash": Certificate.parse(chip.certificate).digest[:16], "sequence": 1,
            "loaded": 100, "lots": (Lot(NEVER_S, 100),), "forfeited_through": 0, "cap": 100,
            "issued": day_of(self.clock()), "acknowledged": 0, "settled_debited": 0,
            "settled_reversed": 0, "bypass_total": 2, "key_version": 1,
        } | changes  # fmt: skip
        signer = fields.pop("signer", self.world.signer(KeyRole.ISSUER))
        body = Entitlement.encode_body(**fields)
        return body + signer.sign(body)

    # --- what came of it --------------------------------------------------------------------

    def make(self, card: ReferenceCard, number: bytes | None = None, **more):
        """One visit of the card at the desk."""
        return self.desk.personalise(InProcessLink(card), OFFICER, number, **more)

    def certificates(self, family: bytes) -> list[bytes]:
        """Card certificates of this family in the issuance log."""
        return [i.item for i in self.issuance.items
                if i.kind == IssuanceKind.CARD_CERTIFICATE and i.family == family]  # fmt: skip

    def steps(self, number: bytes) -> list[DeskStep]:
        """The order's steps in the desk log."""
        return [r.body.step for r in self.desk.log.records()
                if getattr(r.body, "order", None) == number]  # fmt: skip

    def code(self, card_id: bytes) -> str:
        """The transport code, as the mail path reads it."""
        raw = (self.folder / "mail" / "out" / f"{card_id.hex()}.age").read_bytes()
        return open_mailer(raw, self.identity).code


def activate(w: DeskWorld, card, card_id: bytes) -> None:
    """What the family's hand-over does with the code from the mail."""
    key = P256KeyAgreement.generate(w.rng.randbytes)
    certificate = ca.issue_terminal_certificate(
        w.world.issuer(KeyRole.TERMINAL_CA),
        OfficerRequest.make(w.env, b"TERM0001", Role.HANDOVER, 41, key), serial=77,
        now_s=w.clock(),
    )  # fmt: skip
    with PurseSession.open(
        InProcessLink(card), env=w.env, certificate=certificate, channel_key=key,
        verify_card_certificate=CardIdentity.of, random=w.rng.randbytes,
    ) as session:  # fmt: skip
        session.activate(w.code(card_id), PIN)
        assert session.state.life == Life.ACTIVE


def issued_once(w: DeskWorld, number: bytes, card, outcome) -> None:
    assert isinstance(outcome, Issued), outcome
    assert outcome.order == number
    job = w.desk.book.job(number)
    assert job.card_id == outcome.card_id
    assert len(w.certificates(job.order.family)) == 1
    assert w.steps(number)[-1] == DeskStep.VERIFIED
    activate(w, card, outcome.card_id)
    w.desk.log.check()


class DyingVerbs:
    """The key service, with the desk dying right after one verb was answered."""

    def __init__(self, service, verb: str) -> None:
        self._service, self._verb = service, verb

    def __getattr__(self, name: str):
        real = getattr(self._service, name)
        if name != self._verb:
            return real

        def call(*arguments):
            real(*arguments)
            raise Killed

        return call
