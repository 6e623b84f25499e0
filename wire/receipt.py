"""Receipts and statements: what the card signs (PROTOCOL.md §4, docs/wire.md#receipt)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Self

from wire import dates, ecdsa, raw
from wire.env import Environment
from wire.errors import FormatError, require

RECEIPT = raw.layout("B 8s I H H I 4I 8s I I I I 32s B B I H H H 4s 32s")
STATEMENT = raw.layout("B 8s I H 4I I H H H 8s I I B H 4s 32s")
RECEIPT_BYTES = raw.DOMAIN_BYTES + RECEIPT.size + ecdsa.SIGNATURE_BYTES
STATEMENT_BYTES = raw.DOMAIN_BYTES + STATEMENT.size + ecdsa.SIGNATURE_BYTES
if (RECEIPT_BYTES, STATEMENT_BYTES) != (210, 165):
    raise FormatError("receipt layout differs from docs/wire.md")


class ReceiptKind(IntEnum):
    """What the receipt moved."""

    DEBIT = 1
    REVERSAL = 2


class Verification(IntEnum):
    """How the holder was verified."""

    NONE = 0
    PIN = 1
    BYPASS = 2


class Interface(IntEnum):
    """The card's interface in that session."""

    CONTACT = 1
    CONTACTLESS = 2


class StatementKind(IntEnum):
    """Which command a statement answers."""

    LOAD = 1
    ACTIVATION = 2
    PIN_SET = 3
    SCRIPT = 4


@dataclass(frozen=True, slots=True)
class Counters:
    """Cumulative totals of one wallet, in its unit: loaded, debited, forfeited, reversed."""

    loaded: int
    debited: int
    forfeited: int
    reversed: int

    @property
    def consumed(self) -> int:
        """D − R + F."""
        return self.debited - self.reversed + self.forfeited

    @property
    def balance(self) -> int:
        """L − D − F + R, what the card would still pay if no lot had expired."""
        return self.loaded - self.consumed


@dataclass(frozen=True, slots=True)
class Receipt:
    """One debit or reversal as the card signed it; counters are those after it.

    ``amount`` is in the wallet's smallest unit, ``terminal_time_s`` in Unix seconds,
    ``link`` the SHA-256 of the previous receipt's body, of the card certificate at sequence 1.
    """

    env: Environment
    kind: ReceiptKind
    card_id: bytes
    sequence: int
    wallet: int
    basket_version: int
    amount: int
    counters: Counters
    terminal_id: bytes
    terminal_serial: int
    officer: int
    terminal_sequence: int
    terminal_time_s: int
    intent_hash: bytes
    verification: Verification
    interface: Interface
    entitlement_sequence: int
    script_count: int
    pin_set_count: int
    bypass_count: int
    card_date: date
    link: bytes
    raw: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read one 210-byte receipt; :class:`FormatError`. The signature is not checked here."""
        env, f, _ = raw.split(data, b"R", RECEIPT)
        try:
            kind, verification = ReceiptKind(f[0]), Verification(f[16])
            interface = Interface(f[17])
        except ValueError as e:
            raise FormatError("receipt with an unknown code") from e
        require(f[2] > 0 and f[5] > 0, "receipt without sequence or amount")
        counters = Counters(*f[6:10])
        require(counters.reversed <= counters.debited, "receipt with R above D")
        require(counters.balance >= 0, "receipt with a negative balance")
        values = [env, kind, *f[1:6], counters, *f[10:16], verification, interface, *f[18:22]]
        values += [dates.date_from_bcd(f[22]), f[23], data]
        return cls(*values)

    @staticmethod
    def encode_body(
        *, env: Environment, kind: ReceiptKind, card_id: bytes, sequence: int, wallet: int,
        basket_version: int, amount: int, counters: Counters, terminal_id: bytes,
        terminal_serial: int, officer: int, terminal_sequence: int, terminal_time_s: int,
        intent_hash: bytes, verification: Verification, interface: Interface,
        entitlement_sequence: int, script_count: int, pin_set_count: int, bypass_count: int,
        card_date: date, link: bytes,
    ) -> bytes:  # fmt: skip
        """The bytes a card signs."""
        c = counters
        return raw.domain(b"R", env) + RECEIPT.pack(
            kind, card_id, sequence, wallet, basket_version, amount,
            c.loaded, c.debited, c.forfeited, c.reversed,
            terminal_id, terminal_serial, officer, terminal_sequence, terminal_time_s,
            intent_hash, verification, interface, entitlement_sequence,
            script_count, pin_set_count, bypass_count, dates.date_to_bcd(card_date), link,
        )  # fmt: skip

    @property
    def hash(self) -> bytes:
        """SHA-256 of the signed body: the next receipt's link, and the receipt's name."""
        return raw.body_hash(self.raw)

    def verify(self, receipt_key: bytes) -> Self:
        """Return self if the card's receipt key (a P-256 point) signed it; else raise."""
        ecdsa.verify_p256(receipt_key, self.raw[-64:], raw.body_of(self.raw))
        return self

    def __bytes__(self) -> bytes:
        return self.raw


def link_of(receipt: bytes) -> bytes:
    """The link (32 bytes) of a receipt that was read before: the field before the signature."""
    return receipt[-ecdsa.SIGNATURE_BYTES - 32 : -ecdsa.SIGNATURE_BYTES]


@dataclass(frozen=True, slots=True)
class Statement:
    """Signed answer to LOAD, ACTIVATE, PIN set and SCRIPT: no sequence of its own.

    ``wallet`` and counters are those of the loaded wallet, zero otherwise. ``detail`` is the
    action for SCRIPT and the :class:`PinSetPath` for PIN_SET, ``number`` the script's number.
    """

    env: Environment
    kind: StatementKind
    card_id: bytes
    sequence: int
    wallet: int
    counters: Counters
    entitlement_sequence: int
    script_count: int
    pin_set_count: int
    bypass_count: int
    terminal_id: bytes
    terminal_serial: int
    officer: int
    detail: int
    number: int
    card_date: date
    link: bytes
    raw: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read one 165-byte statement; :class:`FormatError`. The signature is not checked here."""
        env, f, _ = raw.split(data, b"S", STATEMENT)
        try:
            kind = StatementKind(f[0])
        except ValueError as e:
            raise FormatError("statement of an unknown kind") from e
        values = [env, kind, *f[1:4], Counters(*f[4:8]), *f[8:17]]
        values += [dates.date_from_bcd(f[17]), f[18], data]
        return cls(*values)

    @staticmethod
    def encode_body(
        *, env: Environment, kind: StatementKind, card_id: bytes, sequence: int, wallet: int,
        counters: Counters, entitlement_sequence: int, script_count: int, pin_set_count: int,
        bypass_count: int, terminal_id: bytes, terminal_serial: int, officer: int, detail: int,
        number: int, card_date: date, link: bytes,
    ) -> bytes:  # fmt: skip
        """The bytes a card signs."""
        c = counters
        return raw.domain(b"S", env) + STATEMENT.pack(
            kind, card_id, sequence, wallet, c.loaded, c.debited, c.forfeited, c.reversed,
            entitlement_sequence, script_count, pin_set_count, bypass_count,
            terminal_id, terminal_serial, officer, detail, number,
            dates.date_to_bcd(card_date), link,
        )  # fmt: skip

    @property
    def hash(self) -> bytes:
        """SHA-256 of the signed body."""
        return raw.body_hash(self.raw)

    def verify(self, receipt_key: bytes) -> Self:
        """Return self if the card's receipt key (a P-256 point) signed it; else raise."""
        ecdsa.verify_p256(receipt_key, self.raw[-64:], raw.body_of(self.raw))
        return self

    def __bytes__(self) -> bytes:
        return self.raw


class PinSetPath(IntEnum):
    """How a PIN came to be set (``detail`` of a PIN_SET statement)."""

    CHANGE = 1
    RESET = 2
