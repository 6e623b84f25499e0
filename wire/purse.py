"""The purse's commands, answers and status words (card_os/SPEC.md).

Only layouts live here: who may send what, and what it changes, is the card's part of SPEC.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum, IntFlag
from itertools import pairwise
from struct import Struct
from typing import Self

from wire import dates, tlv
from wire.ecdsa import POINT_BYTES, p256_public_key
from wire.entitlement import MAX_WALLETS
from wire.env import Environment, purse_aid
from wire.errors import FormatError, require
from wire.receipt import Counters

SPEC_VERSION = 1  # SPEC.md#select, tag C1
RING_SLOTS = 32  # SPEC.md#sizes
RING_WARN_FROM = 24  # PROTOCOL.md §4: the screen warns from 24 unacknowledged receipts
PIN_DIGITS = 6
PIN_TRIES = 3
PIN_UNBLOCKS = 10  # this and the code's tries: SPEC.md, PERSONALISE
TRANSPORT_CODE_DIGITS = 8
TRANSPORT_CODE_TRIES = 5
DATE_STEP_MAX_DAYS = 400  # SPEC.md#trust-on-the-card, date rule

KVN_PURSE = 0x01  # P1 of MUTUAL AUTHENTICATE, P2 beside it (SPEC.md#commands)
KID_SCP11A = 0x11
KID_CA = 0x10  # P2 of PERFORM SECURITY OPERATION


class Ins(IntEnum):
    """Instruction bytes of the purse (SPEC.md#commands)."""

    SELECT = 0xA4
    PSO = 0x2A
    GET_DATA = 0xCA
    MUTUAL_AUTHENTICATE = 0x82
    GENERATE_KEYS = 0x46
    READ = 0x30
    LOAD = 0x32
    SCRIPT = 0x34
    VERIFY = 0x20
    CHANGE_PIN = 0x24
    ACTIVATE = 0x36
    DEBIT = 0x38
    VOID = 0x3A
    CONFIRM = 0x3C
    PERSONALISE = 0x3E


class Read(IntEnum):
    """P1 of READ."""

    STATE = 0
    ENTITLEMENT = 1  # P2: index of the wallet in STATE
    RECEIPT = 2  # data: sequence, 4 bytes
    PIN_STATEMENT = 3
    SCRIPT_STATEMENT = 4


class Sw(IntEnum):
    """Status words (SPEC.md#status-words). 63Cx: verification failed, x tries left."""

    OK = 0x9000
    VERIFICATION_FAILED = 0x63C0
    WRONG_LENGTH = 0x6700
    SECURITY_NOT_SATISFIED = 0x6982
    AUTHENTICATION_BLOCKED = 0x6983
    CONDITIONS_NOT_SATISFIED = 0x6985
    SECURE_MESSAGING_WRONG = 0x6988
    WRONG_DATA = 0x6A80
    FILE_NOT_FOUND = 0x6A82
    NO_SPACE = 0x6A84
    WRONG_P1P2 = 0x6A86
    DATA_NOT_FOUND = 0x6A88
    INS_NOT_SUPPORTED = 0x6D00
    CLA_NOT_SUPPORTED = 0x6E00
    AMOUNT_EXCEEDS_BALANCE = 0x9400
    WALLET_UNKNOWN = 0x9401
    SEQUENCE_DIFFERS = 0x9402
    RING_FULL = 0x9403
    AMOUNT_EXCEEDS_CAP = 0x9404
    CARD_INERT = 0x9405
    CARD_BLOCKED = 0x9406
    BYPASS_EXHAUSTED = 0x9407
    ENTITLEMENT_DIFFERS = 0x9408
    ACKNOWLEDGED_AHEAD = 0x9409
    VOID_NOT_POSSIBLE = 0x940A
    DATE_REFUSED = 0x940B
    SEQUENCE_EXHAUSTED = 0x940C
    PIN_TOO_SIMPLE = 0x940D
    NOT_NEWER = 0x940E


class Life(IntEnum):
    """Life cycle of the purse (SPEC.md#states)."""

    INSTALLED = 1
    KEYED = 2
    INERT = 3
    ACTIVE = 4


class Flag(IntFlag):
    """Second status byte of STATE."""

    BLOCKED = 1
    PIN_RESET_PENDING = 2
    CONFIRMED = 4


@dataclass(frozen=True, slots=True)
class Fci:
    """Answer to SELECT: which world and which versions; no state, no identifier."""

    env: Environment
    spec_version: int

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read 6F{84 AID, A5{C0 environment, C1 version}}; :class:`FormatError`.

        The AID must be that of the environment's world.
        """
        (body,) = tlv.parse_sequence(raw, (0x6F,))
        aid, prop = tlv.parse_sequence(body, (0x84, 0xA5))
        env_byte, version = tlv.parse_sequence(prop, (0xC0, 0xC1))
        require(len(env_byte) == 1 and len(version) == 1, "FCI fields malformed")
        try:
            env = Environment(env_byte[0])
        except ValueError as e:
            raise FormatError("FCI with an unknown environment") from e
        require(aid == purse_aid(env), "FCI names another AID than its environment's")
        return cls(env, version[0])

    def __bytes__(self) -> bytes:
        prop = tlv.encode(0xC0, bytes([self.env])) + tlv.encode(0xC1, bytes([self.spec_version]))
        return tlv.encode(0x6F, tlv.encode(0x84, purse_aid(self.env)) + tlv.encode(0xA5, prop))


@dataclass(frozen=True, slots=True)
class InstallParameters:
    """Application parameters (tag C9) of INSTALL: environment ‖ root public key, 66 bytes.

    The rest of the trust anchors follows by links: Java Card hands an applet at most 127 bytes
    (docs/adr/0002).
    """

    env: Environment
    root_key: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read 66 bytes; :class:`FormatError`. That the key is a point is for the card to check."""
        require(len(raw) == 66, "install parameters are not 66 bytes")
        try:
            return cls(Environment(raw[0]), raw[1:])
        except ValueError as e:
            raise FormatError("unknown environment") from e

    def __bytes__(self) -> bytes:
        return bytes([self.env]) + self.root_key


@dataclass(frozen=True, slots=True)
class CardKeys:
    """The card's two public keys as GENERATE KEYS answers them, uncompressed points."""

    channel_key: bytes
    receipt_key: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read 65 + 65 bytes; :class:`FormatError` for a point off the curve."""
        require(len(raw) == 2 * POINT_BYTES, "GENERATE KEYS answers two points")
        points = raw[:POINT_BYTES], raw[POINT_BYTES:]
        for point in points:
            p256_public_key(point)
        return cls(*points)

    def __bytes__(self) -> bytes:
        return self.channel_key + self.receipt_key


_STATE = Struct(">8s 8s B B I I H H H H H B B 4s B")
_WALLET = Struct(">H I 4I")
STATE_BYTES, WALLET_BYTES = _STATE.size, _WALLET.size
if (STATE_BYTES, WALLET_BYTES) != (43, 22):
    raise FormatError("state layout differs from card_os/SPEC.md")


@dataclass(frozen=True, slots=True)
class WalletState:
    """One wallet as STATE shows it; its index is its place in the list."""

    wallet: int
    entitlement_sequence: int
    counters: Counters

    def __bytes__(self) -> bytes:
        c = self.counters
        return _WALLET.pack(self.wallet, self.entitlement_sequence,
                            c.loaded, c.debited, c.forfeited, c.reversed)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CardState:
    """Answer to READ STATE: both identities first, then counters and sequences."""

    card_id: bytes
    terminal_id: bytes
    life: Life
    flags: Flag
    sequence: int
    acknowledged: int
    script_number: int
    script_count: int
    pin_set_count: int
    bypass_count: int
    bypass_total: int
    pin_tries: int
    pin_unblocks_left: int
    card_date: date
    wallets: tuple[WalletState, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read 43 + 22 n bytes, n at most 8; :class:`FormatError`."""
        require(len(raw) >= STATE_BYTES, "state shorter than its head")
        f = _STATE.unpack(raw[:STATE_BYTES])
        count = f[14]
        require(count <= MAX_WALLETS, "more than eight wallets")
        require(len(raw) == STATE_BYTES + count * WALLET_BYTES, "state of wrong length")
        try:
            life, flags = Life(f[2]), Flag(f[3])
        except ValueError as e:
            raise FormatError("unknown life state") from e
        require(f[3] <= 7 and f[5] <= f[4], "state with unknown flags or acknowledged too far")
        wallets = tuple(
            WalletState(w[0], w[1], Counters(*w[2:]))
            for w in _WALLET.iter_unpack(raw[STATE_BYTES:])
        )
        values = [f[0], f[1], life, flags, *f[4:13], dates.date_from_bcd(f[13]), wallets]
        return cls(*values)

    @property
    def free_slots(self) -> int:
        """Ring slots that hold no unacknowledged receipt."""
        return RING_SLOTS - (self.sequence - self.acknowledged)

    def __bytes__(self) -> bytes:
        head = _STATE.pack(
            self.card_id, self.terminal_id, self.life, self.flags, self.sequence,
            self.acknowledged, self.script_number, self.script_count, self.pin_set_count,
            self.bypass_count, self.bypass_total, self.pin_tries, self.pin_unblocks_left,
            dates.date_to_bcd(self.card_date), len(self.wallets),
        )  # fmt: skip
        return head + b"".join(bytes(w) for w in self.wallets)


_DEBIT = Struct(">H I I I I H 32s")
_VOID = Struct(">I I I 32s")


@dataclass(frozen=True, slots=True)
class Debit:
    """Data of DEBIT, 52 bytes. ``expected_sequence`` is the card's current one."""

    wallet: int
    amount: int
    expected_sequence: int
    terminal_sequence: int
    terminal_time_s: int
    basket_version: int
    intent_hash: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read 52 bytes; :class:`FormatError`."""
        require(len(raw) == _DEBIT.size, "DEBIT data of wrong length")
        return cls(*_DEBIT.unpack(raw))

    def __bytes__(self) -> bytes:
        return _DEBIT.pack(
            self.wallet, self.amount, self.expected_sequence, self.terminal_sequence,
            self.terminal_time_s, self.basket_version, self.intent_hash,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Void:
    """Data of VOID, 44 bytes: the sequence of the card's latest receipt, then the intent."""

    sequence: int
    terminal_sequence: int
    terminal_time_s: int
    intent_hash: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read 44 bytes; :class:`FormatError`."""
        require(len(raw) == _VOID.size, "VOID data of wrong length")
        return cls(*_VOID.unpack(raw))

    def __bytes__(self) -> bytes:
        return _VOID.pack(
            self.sequence, self.terminal_sequence, self.terminal_time_s, self.intent_hash
        )


def encode_pin(pin: str) -> bytes:
    """Six ASCII digits as bytes; a :class:`FormatError`'s text never repeats the PIN."""
    require(len(pin) == PIN_DIGITS and pin.isascii() and pin.isdecimal(), "PIN is not six digits")
    return pin.encode("ascii")


def pin_too_simple(pin: bytes) -> bool:
    """True for equal digits, runs up or down, and anything that reads as a date.

    DDMMYY, MMDDYY and YYMMDD count as dates when day is 01..31 and month 01..12
    (card_os/SPEC.md#pin). ``pin`` is six ASCII digits.
    """
    d = [b - 0x30 for b in pin]
    steps = {b - a for a, b in pairwise(d)}
    if steps in ({0}, {1}, {-1}):
        return True
    two = [10 * d[i] + d[i + 1] for i in (0, 2, 4)]

    def day(n: int) -> bool:
        return 1 <= n <= 31

    def month(n: int) -> bool:
        return 1 <= n <= 12

    return (
        (day(two[0]) and month(two[1]))
        or (month(two[0]) and day(two[1]))
        or (month(two[1]) and day(two[2]))
    )
