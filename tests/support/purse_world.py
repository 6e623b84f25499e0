"""Keys, certificates, entitlements and a purse on a bench, for every test that needs a card.

Keys are plain `cryptography` keys of small fixed scalars, so that nothing is generated at run time.
`Bench` drives `PurseApplet` without a security domain; sessions are real SCP11a ones, through the
host's end of `keys.scp11`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from hashlib import sha256
from random import Random

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from card_os.reference.applets import Applet, CardContext, CardServices
from card_os.reference.errors import CardError
from card_os.reference.memory import Nvm, Persistent
from card_os.reference.purse import PurseApplet
from card_os.reference.purse_store import PurseStore
from keys.scp11 import Scp11aHost, SoftwareEcdhKey
from keys.securechannel import CardMessaging, HostMessaging, SecurityLevel, SessionKeys
from wire import cvc, ecdsa
from wire.apdu import CommandApdu, ResponseApdu
from wire.cvc import CaId, CaKind, CardExtension, LinkExtension, Role, TerminalExtension
from wire.entitlement import NEVER_S, Entitlement, Lot, Script, ScriptAction
from wire.env import Environment, purse_aid
from wire.purse import CardState, Debit, Ins, InstallParameters, Life, Read, Void
from wire.receipt import Interface, Receipt

PREFIX = "purse/"
ENV = Environment.DEMO_LIVE
CODE, PIN, OTHER_PIN = b"40817263", b"271954", b"602847"
BIRTH = date(2026, 3, 1)  # 5F25 of the card certificate
TODAY = date(2026, 6, 1)
END = date(2026, 7, 6)
OFFICER = 77
FOOD, CASH = 0x0101, 0x0202  # wallet codes
INTENT = bytes(range(32))
# Scalars of the fixed keys
ROOT, TERMINAL_CA, CARD_CA, ISSUER, STRANGER, TERMINAL = 11, 12, 13, 14, 15, 16


@lru_cache(maxsize=64)
def private_key(scalar: int) -> ec.EllipticCurvePrivateKey:
    """The P-256 key of a small scalar."""
    return ec.derive_private_key(scalar, ec.SECP256R1())


@lru_cache(maxsize=64)
def point(scalar: int) -> bytes:
    """Its uncompressed point."""
    key = private_key(scalar).public_key()
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def sign(scalar: int, message: bytes) -> bytes:
    """r ‖ s, the same for the same message (RFC 6979)."""
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    r, s = decode_dss_signature(private_key(scalar).sign(message, algorithm))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def malleated(signature: bytes) -> bytes:
    """The other valid signature of the same message (r, n − s)."""
    s = ecdsa.P256_ORDER - int.from_bytes(signature[32:], "big")
    return signature[:32] + s.to_bytes(32, "big")


@dataclass(frozen=True)
class World:
    """One environment's CAs; everything a card is given is made here.

    ``ca_version`` and the ``signer`` arguments let a test sign with another version or key.
    """

    env: Environment = ENV

    def ca(self, kind: CaKind, version: int = 1) -> CaId:
        """A CA id of this world."""
        return CaId(self.env.mark, kind, version)

    def terminal_certificate(
        self, role: Role = Role.TERMINAL, *, terminal: bytes = b"TERM0001",
        effective: date = TODAY, expires: date = END, officer: int = 0, serial: int = 500,
        ca_version: int = 1, signer: int = TERMINAL_CA, key: int = TERMINAL,
    ) -> cvc.Certificate:  # fmt: skip
        """A terminal certificate of one role."""
        unsigned = cvc.encode_unsigned(
            serial=serial, issuer=self.ca(CaKind.TERMINAL_CA, ca_version), subject=terminal,
            effective=effective, expires=expires,
            extension=TerminalExtension(self.env, role, officer), public_key=point(key),
        )  # fmt: skip
        return cvc.assemble(unsigned, sign(signer, unsigned))

    def link(
        self, kind: CaKind, version: int = 1, *, key: int | None = None, lowest_kept: int = 1,
        back: bool = False, effective: date = BIRTH, signer: int = ROOT,
        subject: bytes | None = None,
    ) -> cvc.Certificate:  # fmt: skip
        """A link that gives the card CA key ``key`` (the kind's own when None)."""
        scalar = key if key is not None else {CaKind.ISSUER: ISSUER}.get(kind, TERMINAL_CA)
        unsigned = cvc.encode_unsigned(
            serial=version, issuer=self.ca(CaKind.ROOT),
            subject=bytes(self.ca(kind, version)) if subject is None else subject,
            effective=effective, expires=date(2036, 1, 1),
            extension=LinkExtension(self.env, lowest_kept, back), public_key=point(scalar),
        )  # fmt: skip
        return cvc.assemble(unsigned, sign(signer, unsigned))

    def card_certificate(
        self, channel: bytes, receipt: bytes, *, card_id: bytes | None = None,
        effective: date = BIRTH, serial: int = 1,
    ) -> cvc.Certificate:  # fmt: skip
        """A card certificate over two public points."""
        unsigned = cvc.encode_unsigned(
            serial=serial, issuer=self.ca(CaKind.CARD_CA), subject=card_id or self.card_id(),
            effective=effective, expires=date(2036, 3, 1),
            extension=CardExtension(self.env, ecdsa.compress(receipt)), public_key=channel,
        )  # fmt: skip
        return cvc.assemble(unsigned, sign(CARD_CA, unsigned))

    def card_id(self, serial: int = 1) -> bytes:
        """Mark and dense serial."""
        return self.env.mark + serial.to_bytes(4, "big")

    def entitlement(
        self, certificate_hash: bytes, *, wallet: int = FOOD, sequence: int = 1,
        loaded: int = 1000, through: int = 0, cap: int = 400, issued: date = TODAY,
        acknowledged: int = 0, bypass_total: int = 0, key_version: int = 1,
        signer: int = ISSUER, card_id: bytes | None = None, lots: tuple[Lot, ...] | None = None,
        programme: int = 9,
    ) -> Entitlement:  # fmt: skip
        """A signed entitlement for the card with that certificate hash (32 bytes)."""
        body = Entitlement.encode_body(
            env=self.env, card_id=card_id or self.card_id(),
            certificate_hash=certificate_hash[:16], wallet=wallet, programme=programme,
            sequence=sequence, loaded=loaded, lots=lots or (Lot(NEVER_S, loaded),),
            forfeited_through=through, cap=cap, issued=issued, acknowledged=acknowledged,
            settled_debited=0, settled_reversed=0, bypass_total=bypass_total,
            key_version=key_version,
        )  # fmt: skip
        return Entitlement.parse(body + sign(signer, body))

    def script(
        self, action: ScriptAction, number: int = 1, *, officer: int | None = None,
        issued: date = TODAY, key_version: int = 1, signer: int = ISSUER,
        card_id: bytes | None = None,
    ) -> Script:  # fmt: skip
        """A signed script."""
        named = OFFICER if officer is None else officer
        body = Script.encode_body(
            env=self.env, card_id=card_id or self.card_id(), number=number, action=action,
            officer=named if action is ScriptAction.PIN_RESET else 0, issued=issued,
            key_version=key_version,
        )  # fmt: skip
        return Script.parse(body + sign(signer, body))


class Refused(Exception):  # noqa: N818 - a test's way to see a status word
    """The card answered something other than 9000."""

    def __init__(self, sw: int) -> None:
        super().__init__(f"{sw:04X}")
        self.sw = sw


@dataclass
class HostSession:
    """An open SCP11a session: commands in clear here, protected on the wire."""

    bench: Bench
    messaging: HostMessaging = field(repr=False)
    certificate: cvc.Certificate

    def exchange(
        self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"", cla: int = 0x80
    ) -> ResponseApdu:
        """One command; the answer's MAC is verified wherever one is due."""
        secured = self.messaging.wrap(CommandApdu(cla, ins, p1, p2, data, 256))
        return self.messaging.unwrap(self.bench.transmit(secured))

    def sw(self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"", cla: int = 0x80) -> int:
        """The status word alone."""
        return self.exchange(ins, p1, p2, data, cla).sw

    def send(self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> bytes:
        """The data of a 9000; raises `Refused`."""
        answer = self.exchange(ins, p1, p2, data)
        if answer.sw != 0x9000:
            raise Refused(answer.sw)
        return answer.data

    def state(self) -> CardState:
        """READ STATE."""
        return CardState.parse(self.send(Ins.READ, Read.STATE))

    def read(self, what: Read, p2: int = 0, data: bytes = b"") -> ResponseApdu:
        """READ."""
        return self.exchange(Ins.READ, what, p2, data)

    def receipt(self, sequence: int) -> ResponseApdu:
        """READ RECEIPT."""
        return self.read(Read.RECEIPT, 0, sequence.to_bytes(4, "big"))

    def verify(self, pin: bytes = PIN) -> int:
        """VERIFY; the status word."""
        return self.sw(Ins.VERIFY, 0, 0x80, pin)

    def debit(self, order: Debit, p1: int = 0) -> Receipt:
        """DEBIT."""
        return Receipt.parse(self.send(Ins.DEBIT, p1, 0, bytes(order)))

    def void(self, order: Void) -> Receipt:
        """VOID."""
        return Receipt.parse(self.send(Ins.VOID, 0, 0, bytes(order)))


def debit_of(
    expected: int, amount: int = 100, wallet: int = FOOD, terminal_sequence: int = 40
) -> Debit:
    """A DEBIT order."""
    return Debit(wallet, amount, expected, terminal_sequence, 1_780_000_000, 3, INTENT)


def void_of(sequence: int) -> Void:
    """A VOID order."""
    return Void(sequence, 41, 1_780_000_100, INTENT)


class Bench:
    """One purse with its memory, and every step of its life as a method.

    ``applet_class`` lets a test plant a bug. `fork` gives an independent copy, RAM wiped.
    """

    def __init__(
        self, world: World | None = None, nvm: Nvm | None = None, seed: int = 1,
        applet_class: Callable[..., Applet] = PurseApplet,
        interface: Interface = Interface.CONTACT,
    ) -> None:  # fmt: skip
        self.world = world or World()
        self.nvm = nvm or Nvm()
        self.random = Random(seed).randbytes  # noqa: S311 - tests must repeat
        self.interface = interface
        self.applet_class = applet_class
        self.applet = self._make()

    def _make(self) -> Applet:
        env = self.world.env
        parameters = bytes(InstallParameters(env, point(ROOT)))
        services = CardServices(purse_aid(env), self.random)
        applet = self.applet_class(Persistent(self.nvm, PREFIX), parameters, services)
        applet.select()
        return applet

    @property
    def store(self) -> PurseStore:
        """The records, read anew."""
        return PurseStore(Persistent(self.nvm, PREFIX))

    def fork(
        self, applet_class: Callable[..., Applet] | None = None, seed: int | None = None
    ) -> Bench:
        """An independent copy of the card, freshly selected; with ``seed`` its randomness too."""
        seed = int.from_bytes(self.random(4), "big") if seed is None else seed
        chosen = applet_class or self.applet_class
        return type(self)(self.world, self.nvm.fork(), seed, chosen, self.interface)

    def power_on(self) -> None:
        """Power and SELECT: RAM is gone."""
        self.nvm.power_on()
        self.applet = self._make()

    def transmit(self, command: CommandApdu) -> ResponseApdu:
        """One command as the card's dispatcher gives it; PowerLoss passes through."""
        context = CardContext(self.interface, self.random, None)
        try:
            return ResponseApdu(self.applet.process(command, context), 0x9000)
        except CardError as error:
            return ResponseApdu(error.data, error.sw)

    def scp03(self, command: CommandApdu, level: SecurityLevel = SecurityLevel.FULL) -> bytes:
        """One command through the security domain's channel (which wraps it); `Refused`."""
        channel = CardMessaging(SessionKeys(*[bytes(16)] * 4), level, bytes(16))
        try:
            return self.applet.process(command, CardContext(self.interface, self.random, channel))
        except CardError as error:
            raise Refused(error.sw) from error

    def pso(self, certificate: cvc.Certificate | bytes, p2: int = 0x10) -> int:
        """PERFORM SECURITY OPERATION; the status word."""
        return self.transmit(CommandApdu(0x80, Ins.PSO, 0, p2, bytes(certificate))).sw

    # Life

    def give_links(self) -> Bench:
        """Both CA keys, version 1."""
        for kind in (CaKind.TERMINAL_CA, CaKind.ISSUER):
            assert self.pso(self.world.link(kind)) == 0x9000
        return self

    def generate_keys(self) -> bytes:
        """GENERATE KEYS: 130 bytes."""
        return self.scp03(CommandApdu(0x80, Ins.GENERATE_KEYS, 0, 0, le=256))

    @property
    def channel_public(self) -> bytes:
        """The card's channel key, as its certificate would say; a stranger's before KEYED."""
        card = self.store.card
        return point(STRANGER) if card.life < Life.KEYED else self.store.keys(card).channel.public

    @property
    def receipt_public(self) -> bytes:
        """The card's receipt key."""
        return self.store.keys(self.store.card).receipt.public

    def own_certificate(self, **changes: object) -> cvc.Certificate:
        """A card certificate over this card's keys."""
        make: Callable[..., cvc.Certificate] = self.world.card_certificate
        return make(self.channel_public, self.receipt_public, **changes)

    def personalise(self) -> Bench:
        """From KEYED to INERT."""
        session = self.open(Role.PERSONALISER, officer=5)
        session.send(Ins.PERSONALISE, 0, 0, CODE + bytes(self.own_certificate()))
        return self

    def activate(self) -> Bench:
        """From INERT to ACTIVE with `PIN`."""
        self.open(Role.HANDOVER, officer=OFFICER).send(Ins.ACTIVATE, 0, 0, CODE + PIN)
        return self

    @property
    def certificate_hash(self) -> bytes:
        """SHA-256 of the card certificate."""
        return sha256(self.store.certificate).digest()

    def entitlement(self, **changes: object) -> Entitlement:
        """An entitlement for this card."""
        make: Callable[..., Entitlement] = self.world.entitlement
        return make(self.certificate_hash, **changes)

    def load(self, **changes: object) -> bytes:
        """LOAD of `entitlement(**changes)` in a terminal's session; the statement."""
        session = self.open(Role.TERMINAL)
        return session.send(Ins.LOAD, 0, 0, bytes(self.entitlement(**changes)))

    # Sessions

    def begin(self, certificate: cvc.Certificate, key: int = TERMINAL) -> HostSession:
        """PSO and MUTUAL AUTHENTICATE; nothing secured was sent yet. Raises `Refused`."""
        sw = self.pso(certificate)
        if sw != 0x9000:
            raise Refused(sw)
        host = Scp11aHost(SoftwareEcdhKey(private_key(key)), self.channel_public, self.random)
        answer = self.transmit(host.command())
        if answer.sw != 0x9000:
            raise Refused(answer.sw)
        return HostSession(self, host.finish(answer), certificate)

    def open(self, role: Role = Role.TERMINAL, **changes: object) -> HostSession:
        """A session of that role, READ STATE done."""
        make: Callable[..., cvc.Certificate] = self.world.terminal_certificate
        session = self.begin(make(role, **changes))
        session.state()
        return session

    def pay(self, amount: int = 100, wallet: int = FOOD, pin: bytes = PIN) -> Receipt:
        """A whole tap: VERIFY and DEBIT."""
        session = self.open()
        assert session.verify(pin) == 0x9000
        return session.debit(debit_of(self.store.card.sequence, amount, wallet))


def stages(first: Bench) -> dict[str, Bench]:
    """A card in every life, from a fresh one."""
    installed = first.fork().give_links()
    keyed = installed.fork()
    keyed.generate_keys()
    inert = keyed.fork().personalise()
    active = inert.fork().activate()
    active.load(bypass_total=2)
    active.load(wallet=CASH, loaded=50_000, cap=50_000, bypass_total=2)
    lives = {"INSTALLED": installed, "KEYED": keyed, "INERT": inert, "ACTIVE": active}
    return {"BARE": first, **lives}


@lru_cache(maxsize=8)
def _stages(env: Environment) -> dict[str, Bench]:
    return stages(Bench(World(env)))


def stage(life: str = "ACTIVE", env: Environment = ENV) -> Bench:
    """A fresh copy of a card in that life, links given but for BARE.

    ACTIVE has `PIN`, the wallets FOOD (L 1000, cap 400) and CASH (L 50 000) and two bypasses.
    """
    return _stages(env)[life].fork()
