"""Bundles: all that a terminal needs until it syncs again (PROTOCOL.md §5, docs/wire.md#bundle).

file = zlib stream of one COSE_Sign1 by the policy key. A full bundle has ``base`` 0; a delta
names the counter it builds on and holds only what changed since. The same bytes travel over
HTTP or as a file.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar

from wire.errors import FormatError, require
from wire.objects import KeyRole, SignedShape
from wire.schema import U16, U32, Bytes8, Bytes32, Limit, Name, Shape, Signed, Text

MAX_BUNDLE_BYTES = 64 * 1024 * 1024


class Why(IntEnum):
    """Why a family may take nothing of a programme now; the screen explains it."""

    FUNDS_NOT_RELEASED = 1
    NOT_IN_ROUND = 2
    EXCLUDED_BY_RULE = 3
    BLOCKED = 4
    REPLACED = 5


@dataclass(frozen=True, slots=True)
class Note(Shape):
    """One reason, for one programme; ``detail`` in Indonesian, ``detail_en`` in English."""

    programme: U16
    why: Why
    detail: Text
    detail_en: Text


@dataclass(frozen=True, slots=True)
class CardEntry(Shape):
    """What the backend knows of one card of this area.

    ``scripts`` ascend; ``script_count`` and ``pin_set_count`` are the counts whose statements
    the backend holds, so the terminal collects only newer ones; ``resolved`` are receipts s + 1
    of this card that settle an intent reported pending by this terminal.
    """

    card_id: Bytes8
    certificate: Bytes32
    acknowledged: U32
    script_count: U16
    pin_set_count: U16
    entitlements: tuple[Signed, ...]
    scripts: tuple[Signed, ...]
    resolved: tuple[Signed, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Ceiling(Shape):
    """The highest L any card may hold in this wallet; terminals refuse more."""

    wallet: U16
    highest: U32


@dataclass(frozen=True, slots=True)
class Bundle(SignedShape):
    """Version (``epoch``, ``counter``); installed whole, never one that is not newer.

    ``programmes``, ``hotlist``, ``parameters``, ``acknowledgements``, ``statements``,
    ``revocations`` and ``deliveries`` are COSE objects; ``certificates`` and ``links`` CVCs.
    """

    KIND: ClassVar[str] = "bundle"
    SIGNER: ClassVar[KeyRole] = KeyRole.POLICY
    area: Name
    station: Bytes8
    epoch: U32
    counter: U32
    base: U32
    time_s: U32
    statements: tuple[Signed, ...]
    revocations: tuple[Signed, ...]
    hotlist: Annotated[bytes, Limit(1, 1 << 25)]
    parameters: Signed
    programmes: tuple[Signed, ...]
    ceilings: tuple[Ceiling, ...]
    cards: tuple[CardEntry, ...]
    certificates: tuple[Signed, ...]
    links: tuple[Signed, ...]
    deliveries: tuple[Signed, ...]
    acknowledgements: tuple[Signed, ...]

    def check(self) -> None:
        """A delta builds on something older."""
        require(self.base < self.counter, "delta builds on itself")


def pack(signed: bytes) -> bytes:
    """The file of one signed bundle (its COSE bytes)."""
    return zlib.compress(signed, 9)


def unpack(raw: bytes) -> bytes:
    """The signed bundle (COSE bytes, at most 64 MiB) of one file, its signature not looked at.

    :class:`FormatError` for a damaged or longer stream and for bytes behind it.
    """
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(raw, MAX_BUNDLE_BYTES)
    except zlib.error as e:
        raise FormatError("bundle file is damaged") from e
    require(stream.eof and not stream.unused_data, "bundle file is cut short or too long")
    return data
