"""A key service over a world in memory, with two people, a clock and a real card."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256

from pyroaring import BitMap

from card_os.reference.card import ReferenceCard
from card_os.reference.packages import PACKAGES
from card_os.reference.profiles import JCOP_LIKE, TransportKeys
from keys.approvals import make_approval, make_request
from keys.cardsession import SD_AID, TransportSets, install_command
from keys.enrol import StationRequest
from keys.hierarchy import SERVICE_ROLES, World, make_world
from keys.issuance import MemoryIssuance
from keys.kdf import StaticKeys
from keys.relay import CardRelay
from keys.service import EntitlementWish, Keys, KeyService, Quotas
from keys.signer import Ed25519Signer, P256KeyAgreement
from keys.state import State
from keys.trust import TrustStore
from wire import cvc
from wire.apdu import CommandApdu, ResponseApdu
from wire.chain import Citation
from wire.cose import Sign1
from wire.entitlement import NEVER_S, Entitlement, Lot, Script, ScriptAction
from wire.env import PACKAGE_AID, Environment, purse_aid
from wire.objects import Enrolment, Hotlist, KeyRole, Order, Parameters, StationKind

ENV = Environment.DEMO_LIVE
NOW_S = 1_775_000_000  # 2026-03-31 23:33 UTC
TODAY = date(2026, 3, 31)
DAY_S = 86_400
TRANSPORT = StaticKeys(b"T" * 16, b"M" * 16, b"D" * 16)
TERMINAL, DESK = b"TERM0001", b"DESK0001"
FAMILY = b"F" * 16


class Clock:
    """Seconds that move when told."""

    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> int:
        return self.now_s


class FailingLog(MemoryIssuance):
    """A log that can be made to refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None

    def append_many(self, items):
        if self.error:
            raise self.error
        super().append_many(items)


@dataclass
class KeyWorld:
    world: World
    trust: TrustStore
    service: KeyService
    state: State
    log: FailingLog
    clock: Clock
    rng: random.Random
    orders: int = 0
    terminal_log: Ed25519Signer = field(init=False)
    terminal_channel: P256KeyAgreement = field(init=False)

    def __post_init__(self) -> None:
        self.terminal_log = Ed25519Signer.generate(self.rng.randbytes)
        self.terminal_channel = P256KeyAgreement.generate(self.rng.randbytes)

    def two(self, action, payloads, asker=1, approver=2, **options):
        """Request and approval for these payloads."""
        options = {"now_s": self.clock()} | options
        request = make_request(
            self.world.people[asker], ENV, person=asker, action=action, payloads=payloads, **options
        )
        approval = make_approval(
            self.world.people[approver], ENV, person=approver, request=request,
            now_s=options["now_s"],
        )  # fmt: skip
        return request, approval

    def registry(self, *shapes):
        return self.service.sign_registry(
            shapes, *self.two(shapes[0].KIND, [bytes(s) for s in shapes])
        )

    def entitle(self, *wishes):
        return self.service.sign_entitlements(
            wishes, *self.two("entitlements", [bytes(w) for w in wishes])
        )

    def script(self, *bodies):
        return self.service.sign_scripts(bodies, *self.two("scripts", bodies))

    def order(self, **changes) -> bytes:
        self.orders += 1
        fields = {
            "number": self.orders.to_bytes(16, "big"), "family": FAMILY, "decree": b"S" * 32,
            "row": 1, "predecessor": None, "wallets": (1,), "desk": DESK,
            "valid_until_s": self.clock() + DAY_S,
        } | changes  # fmt: skip
        return self.registry(Order(**fields))[0]

    def station_request(self, station=TERMINAL) -> StationRequest:
        return StationRequest.make(
            ENV, station, StationKind.TERMINAL, self.terminal_log, self.terminal_channel
        )

    def enrol_terminal(self) -> None:
        self.registry(
            Enrolment(TERMINAL, StationKind.TERMINAL, self.terminal_log.public_key,
                      "area", "place", self.clock())
        )  # fmt: skip

    def card(self, serial: int = 1, *, received: bool = True) -> ReferenceCard:
        raw = serial.to_bytes(4, "big")
        if received:
            self.state.receive_chips("b1", [JCOP_LIKE.kdd_of(raw)])
        card = ReferenceCard.create(
            transport_keys=TransportKeys(0xFF, TRANSPORT), serial=raw, registry=PACKAGES,
            random=self.rng.randbytes,
        )  # fmt: skip
        card.power_on()
        return card

    def certified(self, serial: int = 1) -> cvc.Certificate:
        """A card, certified the whole way through."""
        card = self.card(serial)
        with CardRelay(self.service, self.order(), 7) as relay:
            keyed(self, relay, card)
            return relay.certify()

    def hotlist(self, version, serials) -> Hotlist:
        return Hotlist(version, self.clock(), BitMap(serials).serialize())


def make(quotas: Quotas | None = None, path=":memory:", log=None, seed: int = 1) -> KeyWorld:
    rng, clock = random.Random(seed), Clock()  # noqa: S311 - repeatable on purpose
    world = make_world(ENV, random=rng.randbytes, now_s=NOW_S, from_s=NOW_S - 30 * DAY_S)
    trust = TrustStore(world.trust, allow_demo=True)
    state, log = State(path, ENV), log or FailingLog()
    signers = {name: s for name, s in world.signers.items() if name[0] in SERVICE_ROLES}
    keys = Keys(
        signers, b"m" * 16, {"b1": TransportSets(0xFF, {b"": TRANSPORT})},
        P256KeyAgreement.generate(rng.randbytes), b"DEMOPERS",
    )  # fmt: skip
    service = KeyService(trust, keys, state, log, clock=clock, random=rng.randbytes, quotas=quotas)
    return KeyWorld(world, trust, service, state, log, clock, rng)


# --- a desk without its screens -----------------------------------------------------------


def send(card: ReferenceCard, command: CommandApdu) -> ResponseApdu:
    return ResponseApdu.parse(card.transmit(bytes(command)))


def select(card: ReferenceCard, aid: bytes) -> None:
    assert send(card, CommandApdu(0, 0xA4, 4, 0, aid, 256)).sw == 0x9000


def open_channel(relay, card: ReferenceCard, aid: bytes = SD_AID) -> None:
    select(card, aid)
    second = relay.external_authenticate(send(card, relay.initialize_update()))
    relay.finish(send(card, second))


def through(relay, card: ReferenceCard, command: CommandApdu) -> ResponseApdu:
    return relay.unwrap(send(card, relay.wrap(command)))


def install(w: KeyWorld) -> CommandApdu:
    return install_command(ENV, w.trust.root_key, PACKAGE_AID + b"\x01")


GENERATE = CommandApdu(0x80, 0x46, 0, 0, b"", 256)


def rotated(relay, card: ReferenceCard) -> None:
    """Transport keys out, own keys in."""
    open_channel(relay, card)
    assert relay.unwrap(send(card, relay.put_key())).sw == 0x9000


def keyed(w: KeyWorld, relay, card: ReferenceCard) -> bytes:
    """The whole way to GENERATE KEYS; its answer."""
    rotated(relay, card)
    open_channel(relay, card)
    assert through(relay, card, install(w)).sw == 0x9000
    open_channel(relay, card, purse_aid(ENV))
    answer = through(relay, card, GENERATE)
    assert answer.sw == 0x9000
    return answer.data


# --- bodies ------------------------------------------------------------------------------


CAUSE = Citation(b"S" * 32, 1)


def wish(cert: cvc.Certificate, *, cause=CAUSE, **changes) -> EntitlementWish:
    fields = {
        "env": ENV, "card_id": cert.subject, "certificate_hash": cert.digest[:16], "wallet": 1,
        "programme": 1, "sequence": 1, "loaded": 100, "forfeited_through": 0, "cap": 100,
        "issued": TODAY, "acknowledged": 0, "settled_debited": 0, "settled_reversed": 0,
        "bypass_total": 0, "key_version": 1,
    } | changes  # fmt: skip
    fields.setdefault("lots", (Lot(NEVER_S, fields["loaded"]),))
    return EntitlementWish(Entitlement.encode_body(**fields), cause)


def script_body(cert: cvc.Certificate, **changes) -> bytes:
    fields = {
        "env": ENV, "card_id": cert.subject, "number": 1, "action": ScriptAction.BLOCK,
        "officer": 0, "issued": TODAY, "key_version": 1,
    } | changes  # fmt: skip
    return Script.encode_body(**fields)


PARAMETERS = Parameters(1, 1, 1, 1, 1, 1, 1, 10)


def hash_of(raw: bytes) -> bytes:
    return Sign1.parse(raw).hash


def digest(raw: bytes) -> bytes:
    return sha256(raw).digest()


def others() -> dict[tuple[KeyRole, int], bytes]:
    """Public keys made elsewhere, which a ceremony states: the backend's and two people's."""
    keys = {(KeyRole.ACK, 1): Ed25519Signer.generate(os.urandom).public_key}
    for n in (1, 2):
        keys[KeyRole.APPROVAL, n] = Ed25519Signer.generate(os.urandom).public_key
    return keys
