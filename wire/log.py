"""The station's log: hash-chained records, and the upload that carries them (docs/wire.md#log).

record = CBOR array [sequence, previous hash, time, type, body array]. The hash of a record is
SHA-256 of its bytes; the first record links to the hash of the station's enrolment. One
signature over the head binds all records before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Any, Self

from wire import cbor
from wire.cose import Sign1
from wire.errors import FormatError, require
from wire.objects import GoodsLine, UploadHead
from wire.schema import U16, U32, Bytes8, Bytes16, Bytes32, Name, Shape, Signed, Text

GENESIS_SEQUENCE = 0
MAX_UPLOAD_RECORDS = 100_000


class IntentKind(IntEnum):
    """What an intent asks of the card."""

    DEBIT = 1
    VOID = 2


class Reason(IntEnum):
    """Why a card or a person was turned away (REJECTED)."""

    SPECIMEN_CARD = 1
    FOREIGN_CARD = 2
    DEAD_CARD = 3
    HOTLISTED = 4
    CARD_CERTIFICATE = 5
    ROLLED_BACK = 6
    ENTITLEMENT_FORGED = 7
    ABOVE_CEILING = 8
    IDENTITY_CHANGED = 9
    RESTORED_IMAGE = 10
    BLOCKED = 11
    NOT_ACTIVE = 12
    DATA_TOO_OLD = 13
    TRAINING_CARD = 14
    ACKNOWLEDGED_AHEAD = 15


class StockMove(IntEnum):
    """Why the stock of this point changed, apart from hand-overs."""

    RECEIVED = 1
    COUNTED = 2
    LOST = 3
    SENT_BACK = 4


@dataclass(frozen=True, slots=True)
class Boot(Shape):
    """The program started."""

    software: Name


@dataclass(frozen=True, slots=True)
class Clock(Shape):
    """The clock was moved, or is suspected: ``suspect`` true when it ran behind proof."""

    before_s: U32
    after_s: U32
    suspect: bool


@dataclass(frozen=True, slots=True)
class Sync(Shape):
    """A bundle was installed; ``pending`` lists the intents then open (their sequences)."""

    epoch: U32
    counter: U32
    bundle: Bytes32
    hotlist_version: U32
    pending: tuple[U32, ...]


@dataclass(frozen=True, slots=True)
class Shift(Shape):
    """A shift opened or closed by this officer."""

    opened: bool
    officer: U32


@dataclass(frozen=True, slots=True)
class Stock(Shape):
    """Goods came or went apart from hand-overs; ``delivery`` names a StockDelivery.

    For COUNTED the quantity is what was found on the shelf, for the others what moved.
    """

    move: StockMove
    delivery: Bytes32 | None
    line: GoodsLine


@dataclass(frozen=True, slots=True)
class Intent(Shape):
    """What is about to be asked of the card: durable before DEBIT; its hash goes to the card.

    ``bypass_reason`` is not empty exactly when a supervisor bypasses the PIN.
    """

    card_id: Bytes8
    certificate: Bytes32
    wallet: U16
    amount: U32
    basket_version: U16
    lines: tuple[GoodsLine, ...]
    expected_sequence: U32
    terminal_serial: U32
    officer: U32
    epoch: U32
    counter: U32
    hotlist_version: U32
    bypass_reason: Text


@dataclass(frozen=True, slots=True)
class Receipted(Shape):
    """The card's receipt of an intent or void of this log."""

    intent: U32
    receipt: Signed


@dataclass(frozen=True, slots=True)
class Aborted(Shape):
    """Proof that the intent never happened.

    ``card_sequence`` as READ in a later session, or ``other``: the receipt at that place.
    """

    intent: U32
    card_sequence: U32
    other: Signed | None


@dataclass(frozen=True, slots=True)
class Pending(Shape):
    """The card left before the outcome of this intent was known."""

    intent: U32


@dataclass(frozen=True, slots=True)
class Delivered(Shape):
    """Goods or money of this intent's receipt are in the family's hands."""

    intent: U32


@dataclass(frozen=True, slots=True)
class Load(Shape):
    """A card took an entitlement here."""

    entitlement: Bytes32
    statement: Signed


@dataclass(frozen=True, slots=True)
class ScriptDone(Shape):
    """A card executed a script here."""

    script: Bytes32
    statement: Signed


@dataclass(frozen=True, slots=True)
class Pin(Shape):
    """A card's PIN was set here (change or reset)."""

    statement: Signed


@dataclass(frozen=True, slots=True)
class VoidIntent(Shape):
    """The intent of a void, durable before VOID; ``intent`` is the debit's own sequence.

    ``on_counter``: the goods had been handed over and now lie on the counter.
    """

    intent: U32
    card_id: Bytes8
    sequence: U32
    terminal_serial: U32
    officer: U32
    on_counter: bool
    reason: Text


@dataclass(frozen=True, slots=True)
class Returned(Shape):
    """After a proven void the goods are back in stock; ``void`` is the void's sequence."""

    void: U32


@dataclass(frozen=True, slots=True)
class GivenBack(Shape):
    """The void did not happen; the goods went back to the family."""

    void: U32


@dataclass(frozen=True, slots=True)
class Handover(Shape):
    """A card was handed over and activated: the signed hand-over note (BAST)."""

    bast: Name
    officer: U32
    place: Name
    proxy: Text
    statement: Signed


@dataclass(frozen=True, slots=True)
class Collected(Shape):
    """A receipt or statement of this card, carried home for another terminal."""

    item: Signed


@dataclass(frozen=True, slots=True)
class Dispute(Shape):
    """The holder, PIN-verified, says this receipt is wrong."""

    card_id: Bytes8
    sequence: U32
    receipt: Bytes32


@dataclass(frozen=True, slots=True)
class Rejected(Shape):
    """A card was turned away and nothing was written to it; ``card_id`` None if unknown."""

    reason: Reason
    card_id: Bytes8 | None
    detail: Text


@dataclass(frozen=True, slots=True)
class Checkpoint(Shape):
    """Counts by which a reader may check their own sums."""

    open_intents: U32
    stock: tuple[GoodsLine, ...]


class DeskStep(IntEnum):
    """Steps of personalisation, in order (issuer)."""

    STARTED = 1
    MANAGEMENT_KEYS = 2
    INSTALLED = 3
    KEYS_MADE = 4
    CERTIFIED = 5
    PERSONALISED = 6
    LOADED = 7
    VERIFIED = 8
    SCRAPPED = 9
    FAILED = 10


@dataclass(frozen=True, slots=True)
class Desk(Shape):
    """One step at the desk: who, which order, which card (no id before it has one)."""

    step: DeskStep
    officer: U32
    order: Bytes16 | None
    card_id: Bytes8 | None
    detail: Text


class CardSaid(IntEnum):
    """What a card proved to be that was read and not worked on."""

    FOREIGN = 1
    BLANK = 2
    OWN_KEYS = 3
    PURSE = 4
    PURSE_CLOSED = 5
    SPECIMEN = 6
    OTHER_WORLD = 7
    UNKNOWN_VERSION = 8
    MUTE = 9
    PULLED = 10


@dataclass(frozen=True, slots=True)
class CardRead(Shape):
    """A card was read and nothing else done with it; ``said`` is what was shown.

    At a desk durable before it is shown; in a hall written when the card leaves, always PURSE.
    PURSE and only PURSE: state and wallets of a family's card were shown. ``card_id`` None if
    neither the card nor the desk named it.
    """

    said: CardSaid
    officer: U32
    card_id: Bytes8 | None


class RecordType(IntEnum):
    """Codes of the record types; the body's class is :data:`BODIES`."""

    BOOT = 1
    CLOCK = 2
    SYNC = 3
    SHIFT = 4
    STOCK = 5
    INTENT = 6
    RECEIPT = 7
    ABORTED = 8
    PENDING = 9
    DELIVERED = 10
    LOAD = 11
    SCRIPT = 12
    PIN = 13
    VOID = 14
    RETURNED = 15
    GIVEN_BACK = 16
    HANDOVER = 17
    COLLECTED = 18
    DISPUTE = 19
    REJECTED = 20
    CHECKPOINT = 21
    DESK = 22
    CARD_READ = 23


BODIES: dict[RecordType, type[Shape]] = {
    RecordType.BOOT: Boot,
    RecordType.CLOCK: Clock,
    RecordType.SYNC: Sync,
    RecordType.SHIFT: Shift,
    RecordType.STOCK: Stock,
    RecordType.INTENT: Intent,
    RecordType.RECEIPT: Receipted,
    RecordType.ABORTED: Aborted,
    RecordType.PENDING: Pending,
    RecordType.DELIVERED: Delivered,
    RecordType.LOAD: Load,
    RecordType.SCRIPT: ScriptDone,
    RecordType.PIN: Pin,
    RecordType.VOID: VoidIntent,
    RecordType.RETURNED: Returned,
    RecordType.GIVEN_BACK: GivenBack,
    RecordType.HANDOVER: Handover,
    RecordType.COLLECTED: Collected,
    RecordType.DISPUTE: Dispute,
    RecordType.REJECTED: Rejected,
    RecordType.CHECKPOINT: Checkpoint,
    RecordType.DESK: Desk,
    RecordType.CARD_READ: CardRead,
}
TYPES = {shape: kind for kind, shape in BODIES.items()}


@dataclass(frozen=True, slots=True)
class Record:
    """One link of a station's chain, with its exact bytes."""

    sequence: int
    previous: bytes
    time_s: int
    kind: RecordType
    body: Any
    raw: bytes

    @classmethod
    def make(cls, sequence: int, previous: bytes, time_s: int, body: Shape) -> Self:
        """The record that follows ``previous`` (a record hash, or the enrolment's)."""
        kind = TYPES[type(body)]
        require(0 < sequence <= 0xFFFFFFFF and 0 <= time_s <= 0xFFFFFFFF, "record out of range")
        require(len(previous) == 32, "previous hash is not 32 bytes")
        raw = cbor.encode([sequence, previous, time_s, int(kind), body.to_array()])
        return cls(sequence, previous, time_s, kind, body, raw)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read one record; :class:`FormatError`. Whether it links is :func:`check_chain`'s."""
        sequence, previous, time_s, kind, body = cbor.decode_array(raw, 5)
        for n in (sequence, time_s):
            require(type(n) is int and 0 <= n <= 0xFFFFFFFF, "record number out of range")
        require(type(previous) is bytes and len(previous) == 32, "previous hash is not 32 bytes")
        if type(kind) is not int or sequence == 0:
            raise FormatError("record without sequence or type")
        try:
            record_type = RecordType(kind)
        except ValueError as e:
            raise FormatError("record of an unknown type") from e
        shape = BODIES[record_type].from_array(body)
        return cls(sequence, previous, time_s, record_type, shape, raw)  # type: ignore[arg-type]

    @property
    def hash(self) -> bytes:
        """SHA-256 of the record's bytes: the next one's link, and H(intent) for an INTENT."""
        return sha256(self.raw).digest()

    def __bytes__(self) -> bytes:
        return self.raw


def check_chain(records: Iterable[Record], previous: bytes, first: int) -> bytes:
    """Hash (32 bytes) of the last record if the chain is contiguous and linked from ``previous``.

    ``first`` is the sequence the first record must have. Times must not run backwards.
    :class:`FormatError` otherwise.
    """
    time_s = 0
    for expected, record in enumerate(records, start=first):
        require(record.sequence == expected, "chain has a gap")
        require(record.previous == previous, "chain does not link")
        require(record.time_s >= time_s, "chain runs back in time")
        previous, time_s = record.hash, record.time_s
    return previous


@dataclass(frozen=True, slots=True)
class Upload:
    """A signed head and the records beside it; the same bytes over HTTP or as a file.

    bytes = CBOR array [COSE_Sign1(UploadHead), [record, ...]].
    """

    head: UploadHead
    signed_head: Sign1
    records: tuple[Record, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read one upload and bind its records to the head's hash; :class:`FormatError`.

        No signature is checked, and the first record's link is the caller's to compare.
        """
        signed, items = cbor.decode_array(raw, 2)
        if not isinstance(signed, bytes) or not isinstance(items, list):
            raise FormatError("upload is not [head, records]")
        require(0 < len(items) <= MAX_UPLOAD_RECORDS, "upload without records or with too many")
        cose = Sign1.parse(signed)
        head = UploadHead.parse(cose.payload)
        if not all(isinstance(x, bytes) for x in items):
            raise FormatError("upload record is not a byte string")
        records = tuple(Record.parse(x) for x in items if isinstance(x, bytes))
        require(head.last - head.first + 1 == len(records), "upload head counts other records")
        last = check_chain(records, records[0].previous, head.first)
        require(last == head.head, "upload head has another hash than its records")
        return cls(head, cose, records)

    def __bytes__(self) -> bytes:
        return cbor.encode([self.signed_head.raw, [r.raw for r in self.records]])
