"""What the suite holds: every key above the card, and a card prepared by APDUs alone.

Nothing here knows which program is the card. A card that takes part has the package of our AIDs
loaded and the security domain's keys `TRANSPORT` (any key version).
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from card_os.host import errors
from card_os.host.opening import CardIdentity, agree, exchange, select_purse
from card_os.host.purse import PurseSession
from card_os.host.security_domain import LocalChannel, PurseKeySession, SecurityDomainSession
from keys.kdf import StaticKeys
from keys.scp11 import SoftwareEcdhKey
from wire import cvc, ecdsa
from wire.apdu import CommandApdu
from wire.cvc import CaId, CaKind, Role
from wire.entitlement import NEVER_S, Entitlement, Lot, Script, ScriptAction
from wire.env import PACKAGE_AID, Environment, purse_aid
from wire.purse import CardKeys, Debit, InstallParameters, Void

if TYPE_CHECKING:
    from collections.abc import Iterator

    from card_os.host.links import Link

ENV = Environment.DEMO_LIVE
TRANSPORT = StaticKeys(*[bytes(range(0x40, 0x50))] * 3)
MODULE_AID = PACKAGE_AID + b"\x01"
FOOD, CASH = 11, 22
CODE, PIN = "12345678", "739155"
DAY = date(2026, 6, 1)  # the card certificate's 5F25: the card's own date once personalised
START, END = date(2026, 6, 1), date(2026, 7, 6)
FAR = date(2035, 1, 1)
OFFICER = 7001
CARD_ID = b"DEMO\x00\x00\x00\x2a"
TERMINAL = b"DEMOT001"


class SigningKey:
    """A P-256 key that signs raw r‖s."""

    def __init__(self) -> None:
        self.ecdh = SoftwareEcdhKey.generate(os.urandom)
        self.public = self.ecdh.public

    def sign(self, message: bytes) -> bytes:
        der = self.ecdh.private_key.sign(message, ec.ECDSA(hashes.SHA256()))
        r, s = decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def negate(raw: bytes) -> bytes:
    """The same object under the other valid signature (r, n − s): ECDSA is malleable."""
    s = ecdsa.P256_ORDER - int.from_bytes(raw[-32:], "big")
    return raw[:-32] + s.to_bytes(32, "big")


def flip(raw: bytes, at: int = -1) -> bytes:
    """One bit of one byte turned."""
    changed = bytearray(raw)
    changed[at] ^= 1
    return bytes(changed)


@dataclass
class Authorities:
    """Root, terminal CA, card CA, issuer; every key of every version made once."""

    env: Environment = ENV
    root: SigningKey = field(default_factory=SigningKey)
    card_ca: SigningKey = field(default_factory=SigningKey)
    keys: dict[tuple[CaKind, int], SigningKey] = field(default_factory=dict)

    def key(self, kind: CaKind, version: int = 1) -> SigningKey:
        if (kind, version) not in self.keys:
            self.keys[kind, version] = SigningKey()
        return self.keys[kind, version]

    def ca_id(self, kind: CaKind, version: int = 1) -> CaId:
        return CaId(self.env.mark, kind, version)

    def link(
        self, kind: CaKind, version: int = 1, *, lowest: int = 0, day: date = date(2026, 1, 1),
        step_back: bool = False, signer: SigningKey | None = None,
        public_key: bytes | None = None,
    ) -> cvc.Certificate:  # fmt: skip
        unsigned = cvc.encode_unsigned(
            serial=900 + version, issuer=self.ca_id(CaKind.ROOT),
            subject=bytes(self.ca_id(kind, version)), effective=day, expires=max(day, FAR),
            extension=cvc.LinkExtension(self.env, lowest, step_back),
            public_key=public_key or self.key(kind, version).public,
        )  # fmt: skip
        return cvc.assemble(unsigned, (signer or self.root).sign(unsigned))

    def links(self) -> list[cvc.Certificate]:
        return [self.link(CaKind.TERMINAL_CA), self.link(CaKind.ISSUER)]

    def terminal(
        self, role: Role, public_key: bytes, *, officer: int = 0, serial: int = 1,
        subject: bytes = TERMINAL, start: date = START, end: date = END, version: int = 1,
        signer: SigningKey | None = None,
    ) -> cvc.Certificate:  # fmt: skip
        unsigned = cvc.encode_unsigned(
            serial=serial, issuer=self.ca_id(CaKind.TERMINAL_CA, version), subject=subject,
            effective=start, expires=end,
            extension=cvc.TerminalExtension(self.env, role, officer), public_key=public_key,
        )  # fmt: skip
        key = signer or self.key(CaKind.TERMINAL_CA, version)
        return cvc.assemble(unsigned, key.sign(unsigned))

    def card(
        self, keys: CardKeys, *, card_id: bytes = CARD_ID, start: date = DAY
    ) -> cvc.Certificate:
        unsigned = cvc.encode_unsigned(
            serial=int.from_bytes(card_id[4:], "big"), issuer=self.ca_id(CaKind.CARD_CA),
            subject=card_id, effective=start, expires=FAR,
            extension=cvc.CardExtension(self.env, ecdsa.compress(keys.receipt_key)),
            public_key=keys.channel_key,
        )  # fmt: skip
        return cvc.assemble(unsigned, self.card_ca.sign(unsigned))

    def verify_card(self, certificate: cvc.Certificate) -> CardIdentity:
        return CardIdentity.of(certificate.verify(self.card_ca.public))


@dataclass(frozen=True)
class Station:
    """A certificate and its key."""

    certificate: cvc.Certificate
    key: SoftwareEcdhKey


class Bench:
    """One card on one link, and everybody who may speak to it."""

    def __init__(self, link: Link, authorities: Authorities) -> None:
        self.link = link
        self.up = authorities
        self.stations: dict[Role, Station] = {}
        self.keys: CardKeys | None = None
        self.certificate: cvc.Certificate | None = None
        self.used_entitlements: dict[int, int] = {}

    # --- preparation, by APDUs ------------------------------------------------------------------

    def channel(self) -> LocalChannel:
        return LocalChannel(lambda _: TRANSPORT, os.urandom)

    def install(self, parameters: bytes | None = None) -> None:
        """INSTALLED: a fresh instance in the place of any other of this world."""
        env, aid = self.up.env, purse_aid(self.up.env)
        self.uninstall(env)
        with SecurityDomainSession(self.link, self.channel()) as domain:
            wanted = bytes(InstallParameters(env, self.up.root.public))
            domain.install_for_install(PACKAGE_AID, MODULE_AID, aid, parameters or wanted)

    def uninstall(self, env: Environment) -> None:
        """No instance of that world."""
        domain = SecurityDomainSession(self.link, self.channel())
        with domain, suppress(errors.NotThereError):
            domain.delete(purse_aid(env))

    def make_keys(self) -> CardKeys:
        """KEYED."""
        with PurseKeySession(self.link, self.channel(), self.up.env) as session:
            self.keys = session.generate_keys()
        return self.keys

    def trust(self) -> None:
        """The first links."""
        select_purse(self.link, self.up.env)
        for each in self.up.links():
            assert self.pso(each) == 0x9000

    def personalise(self) -> None:
        """INERT."""
        assert self.keys is not None
        self.certificate = self.up.card(self.keys)
        with self.keyed_session() as session:
            session.personalise(CODE, self.certificate)

    def activate(self) -> None:
        """ACTIVE."""
        with self.session(Role.HANDOVER) as session:
            session.activate(CODE, PIN)

    def prepare(self, life: str) -> Bench:
        """Bring the card to a life state from a fresh instance."""
        steps = {
            "INSTALLED": [self.install, self.trust],
            "KEYED": [self.make_keys],
            "INERT": [self.personalise],
            "ACTIVE": [self.activate],
        }
        for name, work in steps.items():
            for step in work:
                step()
            if name == life:
                break
        return self

    def loaded(self, amount: int = 1000, **more: Any) -> Bench:
        """ACTIVE with a FOOD wallet."""
        self.prepare("ACTIVE")
        with self.session(Role.TERMINAL) as session:
            session.load(self.entitlement(loaded=amount, **more))
        return self

    # --- sessions -------------------------------------------------------------------------------

    def station(self, role: Role, **fields: Any) -> Station:
        """A station of that role; the usual one is made once, as real ones are."""
        if not fields and role in self.stations:
            return self.stations[role]
        key = SoftwareEcdhKey.generate(os.urandom)
        person = role in {Role.SUPERVISOR, Role.HANDOVER}
        fields.setdefault("officer", OFFICER if person else 0)
        made = Station(self.up.terminal(role, key.public, **fields), key)
        if set(fields) == {"officer"} and fields["officer"] in {0, OFFICER}:
            self.stations[role] = made
        return made

    def session(self, who: Role | Station = Role.TERMINAL, **more: Any) -> PurseSession:
        station = self.station(who) if isinstance(who, Role) else who
        return PurseSession.open(
            self.link, env=self.up.env, certificate=station.certificate, channel_key=station.key,
            verify_card_certificate=self.up.verify_card, random=os.urandom, **more,
        )  # fmt: skip

    def keyed_session(self, who: Role | Station = Role.PERSONALISER) -> PurseSession:
        assert self.keys is not None
        station = self.station(who) if isinstance(who, Role) else who
        return PurseSession.open_keyed(
            self.link, env=self.up.env, certificate=station.certificate, channel_key=station.key,
            card_keys=self.keys, random=os.urandom,
        )  # fmt: skip

    def half_open(self, who: Role | Station = Role.TERMINAL, card_key: bytes = b"") -> Any:
        """A session after MUTUAL AUTHENTICATE, before READ STATE; for :func:`raw`."""
        assert self.keys is not None
        station = self.station(who) if isinstance(who, Role) else who
        select_purse(self.link, self.up.env)
        assert self.pso(station.certificate) == 0x9000
        messaging = agree(self.link, station.key, card_key or self.keys.channel_key, os.urandom)
        return SimpleNamespace(_link=self.link, _messaging=messaging)

    @contextmanager
    def paying(self) -> Iterator[PurseSession]:
        """A terminal session with the PIN verified."""
        with self.session(Role.TERMINAL) as session:
            session.verify_pin(PIN)
            yield session

    # --- bare APDUs -----------------------------------------------------------------------------

    def send(self, header: str, data: bytes = b"", le: int | None = 256) -> tuple[bytes, int]:
        """One command without secure messaging; ``header`` is CLA INS P1 P2 in hex."""
        answer = exchange(self.link, CommandApdu(*bytes.fromhex(header), data, le))
        return answer.data, answer.sw

    def pso(self, certificate: cvc.Certificate | bytes) -> int:
        """PERFORM SECURITY OPERATION: its status word (no data may come)."""
        data, sw = self.send("802A0010", bytes(certificate), None)
        assert data == b""
        return sw

    # --- objects --------------------------------------------------------------------------------

    def entitlement(
        self, *, wallet: int = FOOD, sequence: int | None = None, loaded: int = 1000,
        signer: SigningKey | None = None, **fields: Any,
    ) -> Entitlement:  # fmt: skip
        """The next entitlement of a wallet, or one with the fields given."""
        assert self.certificate is not None
        if sequence is None:
            sequence = self.used_entitlements.get(wallet, 0) + 1
            self.used_entitlements[wallet] = sequence
        f: dict[str, Any] = {
            "env": self.up.env, "card_id": CARD_ID, "wallet": wallet, "programme": 3,
            "certificate_hash": self.certificate.digest[:16], "sequence": sequence,
            "loaded": loaded, "lots": (Lot(NEVER_S, loaded),), "forfeited_through": 0,
            "cap": 500, "issued": DAY, "acknowledged": 0, "settled_debited": 0,
            "settled_reversed": 0, "bypass_total": 0, "key_version": 1,
        }  # fmt: skip
        f.update(fields)
        body = Entitlement.encode_body(**f)
        key = signer or self.up.key(CaKind.ISSUER, f["key_version"])
        return Entitlement.parse(body + key.sign(body))

    def script(
        self, action: ScriptAction, number: int = 1, *, signer: SigningKey | None = None,
        **fields: Any,
    ) -> Script:  # fmt: skip
        f: dict[str, Any] = {
            "env": self.up.env, "card_id": CARD_ID, "number": number, "action": action,
            "officer": OFFICER if action == ScriptAction.PIN_RESET else 0, "issued": DAY,
            "key_version": 1,
        }  # fmt: skip
        f.update(fields)
        body = Script.encode_body(**f)
        key = signer or self.up.key(CaKind.ISSUER, f["key_version"])
        return Script.parse(body + key.sign(body))


def debit_of(
    session: PurseSession, amount: int = 100, *, wallet: int = FOOD, **fields: Any
) -> Debit:
    f: dict[str, Any] = {
        "wallet": wallet, "amount": amount, "expected_sequence": session.state.sequence,
        "terminal_sequence": 77, "terminal_time_s": 1_780_000_000, "basket_version": 4,
        "intent_hash": sha256(b"intent").digest(),
    }  # fmt: skip
    return Debit(**(f | fields))


def void_of(session: PurseSession, **fields: Any) -> Void:
    f: dict[str, Any] = {
        "sequence": session.state.sequence, "terminal_sequence": 78,
        "terminal_time_s": 1_780_000_100, "intent_hash": sha256(b"void").digest(),
    }  # fmt: skip
    return Void(**(f | fields))


def raw(session: Any, header: str, data: bytes = b"") -> tuple[bytes, int]:
    """Any command through the session's secure messaging: clear answer data and status word.

    ``header`` is INS P1 P2 in hex, or CLA INS P1 P2 with the class in clear (80 becomes 84).
    """
    head = bytes.fromhex(header)
    fields = head if len(head) == 4 else b"\x80" + head
    assert session._messaging is not None
    secured = session._messaging.wrap(CommandApdu(*fields, data, 256))
    answer = session._messaging.unwrap(exchange(session._link, secured))
    return answer.data, answer.sw


def refused(session: PurseSession, header: str, data: bytes, sw: int) -> None:
    """The command is refused with ``sw``, without data, and STATE is the same before and after."""
    before = session.read_state()
    assert raw(session, header, data) == (b"", sw)
    assert session.read_state() == before
