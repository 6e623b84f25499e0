"""Entitlements and scripts: what the issuer signs and the card parses (docs/wire.md#entitlement).

An entitlement is cumulative and idempotent: "L of this wallet is now x" (PROTOCOL.md §5).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from itertools import pairwise
from typing import Self

from wire import dates, ecdsa, raw
from wire.env import Environment
from wire.errors import FormatError, require
from wire.receipt import Counters

ENTITLEMENT = raw.layout("8s 16s H H I I B 8I I I 4s I I I H H")
SCRIPT = raw.layout("8s H B I 4s H")
ENTITLEMENT_BYTES = raw.DOMAIN_BYTES + ENTITLEMENT.size + ecdsa.SIGNATURE_BYTES
SCRIPT_BYTES = raw.DOMAIN_BYTES + SCRIPT.size + ecdsa.SIGNATURE_BYTES
if (ENTITLEMENT_BYTES, SCRIPT_BYTES) != (166, 90):
    raise FormatError("entitlement layout differs from docs/wire.md")

MAX_LOTS = 4  # PROTOCOL.md §4: a wallet that would need a fifth live lot is refused at issue
MAX_WALLETS = 8  # SPEC.md#sizes
NEVER_S = raw.U32_MAX
CERTIFICATE_HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class Lot:
    """A stretch of L that expires together: expired at ``expires_s`` <= t; ends at ``end``."""

    expires_s: int
    end: int


@dataclass(frozen=True, slots=True)
class Entitlement:
    """One wallet's cumulative right on one card.

    ``loaded`` is L, ``forfeited_through`` C, ``cap`` the most one DEBIT may take, all in the
    wallet's smallest unit. ``acknowledged`` is the receipt sequence the backend holds without a
    gap, ``settled_debited``/``settled_reversed`` the wallet's D and R at it. ``bypass_total`` is
    the number of PIN bypasses ever allowed on this card.
    """

    env: Environment
    card_id: bytes
    certificate_hash: bytes
    wallet: int
    programme: int
    sequence: int
    loaded: int
    lots: tuple[Lot, ...]
    forfeited_through: int
    cap: int
    issued: date
    acknowledged: int
    settled_debited: int
    settled_reversed: int
    bypass_total: int
    key_version: int
    raw: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read one 166-byte entitlement and check every rule that needs no other object.

        :class:`wire.errors.FormatError`; the signature is not checked here.
        """
        env, f, _ = raw.split(data, b"E", ENTITLEMENT)
        count, slots = f[6], f[7:15]
        require(1 <= count <= MAX_LOTS, "entitlement without lots or with more than four")
        require(not any(slots[2 * count :]), "unused lots are not zero")
        lots = tuple(Lot(slots[2 * i], slots[2 * i + 1]) for i in range(count))
        values = [env, *f[:6], lots, f[15], f[16], dates.date_from_bcd(f[17])]
        values += [*f[18:23], data]
        e = cls(*values)
        e._check()
        return e

    def _check(self) -> None:
        require(self.wallet > 0, "wallet 0 stands for none in statements")
        require(self.sequence > 0 and self.loaded <= raw.MAX_LOADED, "L or sequence out of range")
        require(self.forfeited_through <= self.loaded, "C above L")
        require(self.settled_reversed <= self.settled_debited, "settled R above settled D")
        require(self.settled_debited - self.settled_reversed <= self.loaded, "settled above L")
        require(self.lots[-1].end == self.loaded, "last lot does not end at L")
        for a, b in pairwise(self.lots):
            require(a.end < b.end and a.expires_s <= b.expires_s, "lots out of order")

    @staticmethod
    def encode_body(
        *, env: Environment, card_id: bytes, certificate_hash: bytes, wallet: int,
        programme: int, sequence: int, loaded: int, lots: tuple[Lot, ...],
        forfeited_through: int, cap: int, issued: date, acknowledged: int,
        settled_debited: int, settled_reversed: int, bypass_total: int, key_version: int,
    ) -> bytes:  # fmt: skip
        """The bytes the issuer key signs."""
        slots = [n for lot in lots for n in (lot.expires_s, lot.end)]
        slots += [0] * (2 * MAX_LOTS - len(slots))
        return raw.domain(b"E", env) + ENTITLEMENT.pack(
            card_id, certificate_hash, wallet, programme, sequence, loaded, len(lots), *slots,
            forfeited_through, cap, dates.date_to_bcd(issued), acknowledged,
            settled_debited, settled_reversed, bypass_total, key_version,
        )  # fmt: skip

    def expired_through(self, time_s: int) -> int:
        """C(t): forfeited-through or the largest end among lots expired at ``time_s``."""
        return max([self.forfeited_through] + [x.end for x in self.lots if x.expires_s <= time_s])

    def available(self, counters: Counters, time_s: int) -> int:
        """L − max(consumed, C(t)) of PROTOCOL.md §4, in the wallet's unit."""
        return self.loaded - max(counters.consumed, self.expired_through(time_s))

    def apply(self, before: Counters) -> Counters:
        """Counters of the wallet after this entitlement is loaded (SPEC.md, LOAD)."""
        loaded = max(before.loaded, self.loaded)
        spent = before.debited - before.reversed + before.forfeited
        forfeited = before.forfeited + max(0, self.forfeited_through - spent)
        return Counters(loaded, before.debited, forfeited, before.reversed)

    @property
    def hash(self) -> bytes:
        """SHA-256 of the signed body: the entitlement's name."""
        return raw.body_hash(self.raw)

    def verify(self, issuer_key: bytes) -> Self:
        """Return self if ``issuer_key`` (a P-256 point) signed it; else raise."""
        ecdsa.verify_p256(issuer_key, self.raw[-64:], raw.body_of(self.raw))
        return self

    def __bytes__(self) -> bytes:
        return self.raw


class ScriptAction(IntEnum):
    """What a script does (PROTOCOL.md §5)."""

    BLOCK = 1
    UNBLOCK = 2
    PIN_UNBLOCK = 3
    PIN_RESET = 4


@dataclass(frozen=True, slots=True)
class Script:
    """One issuer command to one card; ``officer`` names who may set the PIN after PIN_RESET."""

    env: Environment
    card_id: bytes
    number: int
    action: ScriptAction
    officer: int
    issued: date
    key_version: int
    raw: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read one 90-byte script; :class:`FormatError`. The signature is not checked here."""
        env, f, _ = raw.split(data, b"C", SCRIPT)
        try:
            action = ScriptAction(f[2])
        except ValueError as e:
            raise FormatError("script with an unknown action") from e
        require(f[1] > 0, "script without a number")
        require((f[3] != 0) == (action == ScriptAction.PIN_RESET), "officer only for PIN_RESET")
        return cls(env, f[0], f[1], action, f[3], dates.date_from_bcd(f[4]), f[5], data)

    @staticmethod
    def encode_body(
        *, env: Environment, card_id: bytes, number: int, action: ScriptAction, officer: int,
        issued: date, key_version: int,
    ) -> bytes:  # fmt: skip
        """The bytes the issuer key signs."""
        return raw.domain(b"C", env) + SCRIPT.pack(
            card_id, number, action, officer, dates.date_to_bcd(issued), key_version
        )

    @property
    def hash(self) -> bytes:
        """SHA-256 of the signed body: the script's name."""
        return raw.body_hash(self.raw)

    def verify(self, issuer_key: bytes) -> Self:
        """Return self if ``issuer_key`` (a P-256 point) signed it; else raise."""
        ecdsa.verify_p256(issuer_key, self.raw[-64:], raw.body_of(self.raw))
        return self

    def __bytes__(self) -> bytes:
        return self.raw
