"""The purse's persistent memory (card_os/SPEC.md#tears).

Small records (card, secrets, wallets, trust) change only inside a transaction. Bulk bodies lie in
more slots than there are bodies: a new one goes to a slot that nothing refers to, and the
transaction then moves the index. A record that is missing is in its state of INSTALL, so INSTALL
writes nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import sha256
from struct import Struct
from typing import Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from card_os.reference.errors import CardFileError
from card_os.reference.memory import Store
from keys.scp11 import SoftwareEcdhKey
from wire import dates, ecdsa, raw
from wire.cvc import CaKind
from wire.entitlement import MAX_WALLETS
from wire.purse import PIN_TRIES, RING_SLOTS, TRANSPORT_CODE_TRIES, Flag, Life
from wire.receipt import Counters

__all__ = ["Card", "CardKeys", "PurseStore", "Secrets", "TrustSlot", "Wallet"]

NONE = 0xFF  # an index that refers to nothing
NO_FLAGS = Flag(0)
STATEMENT_SLOTS = 3  # PIN statement, script statement, spare
ENTITLEMENT_SLOTS = MAX_WALLETS + 1
KEY_SETS = 2
TRUST_SLOTS = 2
_TRUST_KINDS = (CaKind.TERMINAL_CA, CaKind.ISSUER)

_CARD = Struct(">B B 8s I I H H H H H I 4s 32s 32s B B B B")
_SECRETS = Struct(">6s B 8s B B")
_WALLET = Struct(">H I 4I I B")
_TRUST = Struct(">H 65s")
_HIGHEST = Struct(">H H")
_KEYS = Struct(">32s 32s")


@dataclass(frozen=True, slots=True)
class Card:
    """Everything about the card that is one small value; indices name bulk slots."""

    life: Life = Life.INSTALLED
    flags: Flag = NO_FLAGS
    card_id: bytes = bytes(8)
    sequence: int = 0
    acknowledged: int = 0
    script_number: int = 0
    script_count: int = 0
    pin_set_count: int = 0
    bypass_count: int = 0
    bypass_total: int = 0
    reset_officer: int = 0
    own_date: date = date(2000, 1, 1)
    head: bytes = bytes(32)
    cached_certificate: bytes = bytes(32)
    key_set: int = NONE
    pin_statement: int = NONE
    script_statement: int = NONE
    wallets: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the record."""
        f = _CARD.unpack(data)
        head = [Life(f[0]), Flag(f[1]), *f[2:11], dates.date_from_bcd(f[11])]
        return cls(*head, *f[12:])

    def __bytes__(self) -> bytes:
        return _CARD.pack(
            self.life, self.flags, self.card_id, self.sequence, self.acknowledged,
            self.script_number, self.script_count, self.pin_set_count, self.bypass_count,
            self.bypass_total, self.reset_officer, dates.date_to_bcd(self.own_date), self.head,
            self.cached_certificate, self.key_set, self.pin_statement, self.script_statement,
            self.wallets,
        )  # fmt: skip

    @property
    def free_slots(self) -> int:
        """Ring slots whose receipt is acknowledged, or that never held one."""
        return RING_SLOTS - (self.sequence - self.acknowledged)

    @property
    def personalised(self) -> bool:
        """Whether the card has its certificate."""
        return self.life >= Life.INERT


@dataclass(frozen=True, slots=True)
class Secrets:
    """PIN and transport code with their try counters, and the PIN unblocks left."""

    pin: bytes = field(default=bytes(6), repr=False)
    pin_tries: int = 0
    code: bytes = field(default=bytes(8), repr=False)
    code_tries: int = 0
    unblocks: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the record."""
        return cls(*_SECRETS.unpack(data))

    def __bytes__(self) -> bytes:
        return _SECRETS.pack(self.pin, self.pin_tries, self.code, self.code_tries, self.unblocks)

    def tries(self, life: Life) -> int:
        """Tries left of what counts now: the PIN when ACTIVE, else the transport code."""
        return self.pin_tries if life is Life.ACTIVE else self.code_tries

    def restored(self, life: Life) -> Secrets:
        """All tries again, of the same one."""
        if life is Life.ACTIVE:
            return replace(self, pin_tries=PIN_TRIES)
        return replace(self, code_tries=TRANSPORT_CODE_TRIES)


@dataclass(frozen=True, slots=True)
class Wallet:
    """One wallet; ``entitlement`` is the bulk slot of the entitlement in force."""

    code: int
    entitlement_sequence: int
    counters: Counters
    cap: int
    entitlement: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the record."""
        f = _WALLET.unpack(data)
        return cls(f[0], f[1], Counters(*f[2:6]), f[6], f[7])

    def __bytes__(self) -> bytes:
        c = self.counters
        return _WALLET.pack(
            self.code, self.entitlement_sequence, c.loaded, c.debited, c.forfeited, c.reversed,
            self.cap, self.entitlement,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrustSlot:
    """A CA key the card trusts; version 0 is an empty slot."""

    version: int = 0
    key: bytes = bytes(ecdsa.POINT_BYTES)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the record."""
        return cls(*_TRUST.unpack(data))

    def __bytes__(self) -> bytes:
        return _TRUST.pack(self.version, self.key)


@dataclass(frozen=True, slots=True)
class CardKeys:
    """The card's two key pairs; neither private key ever leaves this object."""

    channel: SoftwareEcdhKey
    receipt: SoftwareEcdhKey

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read two private scalars."""
        channel, receipt = (
            SoftwareEcdhKey(ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1()))
            for scalar in _KEYS.unpack(data)
        )
        return cls(channel, receipt)

    def __bytes__(self) -> bytes:
        scalars = (
            key.private_key.private_numbers().private_value.to_bytes(32, "big")
            for key in (self.channel, self.receipt)
        )
        return _KEYS.pack(*scalars)

    def sign(self, body: bytes) -> bytes:
        """``body`` and its signature r ‖ s by the receipt key."""
        der = self.receipt.private_key.sign(body, ec.ECDSA(hashes.SHA256()))
        r, s = decode_dss_signature(der)
        return body + r.to_bytes(32, "big") + s.to_bytes(32, "big")


class PurseStore:
    """The records of one purse; see the module's text for what may be written when."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: dict[int, CardKeys] = {}  # RAM: scalars made keys once per power-on

    def transaction(self) -> AbstractContextManager[None]:
        """All writes inside become one."""
        return self._store.transaction()

    @property
    def card(self) -> Card:
        """The card's small values."""
        data = self._store.get("card")
        return Card() if data is None else Card.parse(data)

    def put_card(self, card: Card) -> None:
        """Write them."""
        self._store.put("card", bytes(card))

    @property
    def secrets(self) -> Secrets:
        """PIN, code, tries."""
        data = self._store.get("secrets")
        return Secrets() if data is None else Secrets.parse(data)

    def put_secrets(self, secrets: Secrets) -> None:
        """Write them: one record, so one write, inside a transaction or alone."""
        self._store.put("secrets", bytes(secrets))

    def wallets(self, card: Card) -> list[Wallet]:
        """All wallets, by index."""
        return [Wallet.parse(self._must(f"wallet/{i}")) for i in range(card.wallets)]

    def put_wallet(self, index: int, wallet: Wallet) -> None:
        """Write one."""
        self._store.put(f"wallet/{index}", bytes(wallet))

    def trust(self, kind: CaKind) -> list[TrustSlot]:
        """The two slots of a kind."""
        data = [self._store.get(f"trust/{kind.name}/{i}") for i in range(TRUST_SLOTS)]
        return [TrustSlot() if d is None else TrustSlot.parse(d) for d in data]

    def put_trust(self, kind: CaKind, index: int, slot: TrustSlot) -> None:
        """Write one slot."""
        self._store.put(f"trust/{kind.name}/{index}", bytes(slot))

    def highest(self, kind: CaKind) -> int:
        """The highest link version ever applied for a kind, 0 before the first."""
        return self._highest()[_TRUST_KINDS.index(kind)]

    def put_highest(self, kind: CaKind, version: int) -> None:
        """Write it."""
        both = self._highest()
        both[_TRUST_KINDS.index(kind)] = version
        self._store.put("trust/highest", _HIGHEST.pack(*both))

    def _highest(self) -> list[int]:
        data = self._store.get("trust/highest")
        return [0, 0] if data is None else list(_HIGHEST.unpack(data))

    # Bulk bodies: read by what refers to them, written where nothing does.

    def entitlement(self, wallet: Wallet) -> bytes:
        """The entitlement in force."""
        return self._must(f"entitlement/{wallet.entitlement}")

    def put_spare_entitlement(self, card: Card, body: bytes) -> int:
        """Write one where no wallet refers to; return its index."""
        used = {w.entitlement for w in self.wallets(card)}
        return self._put_spare("entitlement", ENTITLEMENT_SLOTS, used, body)

    def statement(self, index: int) -> bytes | None:
        """The statement an index of `Card` refers to."""
        return None if index == NONE else self._must(f"statement/{index}")

    def put_spare_statement(self, card: Card, body: bytes) -> int:
        """Write one where neither index refers to; return its index."""
        used = {card.pin_statement, card.script_statement}
        return self._put_spare("statement", STATEMENT_SLOTS, used, body)

    @property
    def certificate(self) -> bytes:
        """The card certificate (only when personalised)."""
        return self._must("certificate")

    def put_spare_certificate(self, body: bytes) -> None:
        """Write it; before PERSONALISE commits nothing refers to it."""
        self._store.put("certificate", body)

    @property
    def certificate_hash(self) -> bytes:
        """SHA-256 of the card certificate."""
        return sha256(self.certificate).digest()

    def keys(self, card: Card) -> CardKeys:
        """The key pairs in force (KEYED or later)."""
        if card.key_set not in self._keys:
            self._keys[card.key_set] = CardKeys.parse(self._must(f"keys/{card.key_set}"))
        return self._keys[card.key_set]

    def put_spare_keys(self, card: Card, keys: CardKeys) -> int:
        """Write key pairs where the card does not refer to; return their index."""
        self._keys.clear()
        return self._put_spare("keys", KEY_SETS, {card.key_set}, bytes(keys))

    def receipt(self, card: Card, sequence: int) -> bytes | None:
        """The receipt of that sequence, or None (SPEC.md#read).

        The slot of the next receipt counts as spare as soon as its own is acknowledged: what a
        torn command left there never shows.
        """
        age = card.sequence - sequence
        spare_from = RING_SLOTS - 1
        if sequence == 0 or not 0 <= age < RING_SLOTS:
            return None
        if age == spare_from and sequence <= card.acknowledged:
            return None
        return self._must(f"ring/{(sequence - 1) % RING_SLOTS}")

    def put_spare_receipt(self, card: Card, body: bytes) -> None:
        """Write the next receipt into the slot it will have; the caller checked that it is free.

        CardFileError when it is not.
        """
        if card.free_slots < 1:
            raise CardFileError("the ring's next slot holds an unacknowledged receipt")
        self._store.put(f"ring/{card.sequence % RING_SLOTS}", body)

    def _put_spare(self, name: str, slots: int, used: set[int], body: bytes) -> int:
        index = next(i for i in range(slots) if i not in used)
        self._store.put(f"{name}/{index}", body)
        return index

    def _must(self, key: str) -> bytes:
        data = self._store.get(key)
        if data is None:
            raise CardFileError(f"the card refers to {key}, which is not there")
        return data

    def logical_state(self) -> tuple[object, ...]:
        """Everything the purse can ever show or decide by, signatures left out.

        What two of these have equal, no command can tell apart: tests compare them after tears.
        """
        card = self.card
        wallets = self.wallets(card)
        low = max(1, card.sequence - RING_SLOTS + 1)
        ring = [self.receipt(card, s) for s in range(low, card.sequence + 1)]
        statements = [self.statement(i) for i in (card.pin_statement, card.script_statement)]
        bodies = [None if b is None else raw.body_of(b) for b in ring + statements]
        entitlements = [self.entitlement(w) for w in wallets]
        trust = [(self.highest(k), *map(bytes, self.trust(k))) for k in _TRUST_KINDS]
        indices = {"key_set": NONE, "pin_statement": NONE, "script_statement": NONE}
        return (
            bytes(replace(card, **indices)),  # type: ignore[arg-type]
            bytes(self.secrets),
            tuple(bytes(replace(w, entitlement=NONE)) for w in wallets),
            tuple(trust), tuple(bodies), tuple(entitlements),
            None if card.key_set == NONE else bytes(self.keys(card)),
            self.certificate if card.personalised else None,
        )  # fmt: skip
