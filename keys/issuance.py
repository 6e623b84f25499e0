"""What a signer hands to the issuance log before it releases an object (PROTOCOL.md §5).

:class:`IssuanceItem` is a :class:`wire.chain.IssuanceEntry` without sequence, link and time,
which the log's keeper adds. ``POST /v1/issuance`` takes a CBOR sequence of byte strings, each one
item.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from keys.errors import IssuanceError
from wire import cbor
from wire.chain import Citation, IssuanceEntry, IssuanceKind
from wire.cose import Sign1
from wire.schema import Bytes8, Bytes16, Bytes32, Shape, Signed, Text

if TYPE_CHECKING:
    import httpx

MAX_ITEMS = 20_000
_ANY_TIME_S = 0


@dataclass(frozen=True, slots=True)
class IssuanceItem(Shape):
    """One entry to be; fields as in :class:`wire.chain.IssuanceEntry`."""

    kind: IssuanceKind
    item: Signed
    family: Bytes16 | None = None
    predecessor: Bytes8 | None = None
    order: Bytes32 | None = None
    cause: Citation | None = None
    note: Text = ""

    def check(self) -> None:
        """The rules of the entry it becomes."""
        self.entry(1, bytes(32), _ANY_TIME_S).check()

    def entry(self, sequence: int, previous: bytes, time_s: int) -> IssuanceEntry:
        """The entry at this place of the chain; ``previous``: the hash (32 bytes) before it."""
        return IssuanceEntry(
            sequence, previous, time_s, self.kind, self.item, self.family,
            self.predecessor, self.order, self.cause, self.note,
        )  # fmt: skip


class IssuanceAppender(Protocol):
    """The issuance log. Returns only when every item is durable; else raises, and none counts.

    Appending what is already there, byte for byte, must be harmless: a signer that was
    interrupted appends again.
    """

    def append_many(self, items: Sequence[IssuanceItem]) -> None:
        """Append the items, in order, all or none; :class:`IssuanceError` when it cannot."""
        ...


class HttpIssuance:
    """The log kept by the backend, over the office's own door (a client of its socket)."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def append_many(self, items: Sequence[IssuanceItem]) -> None:
        """See :class:`IssuanceAppender`."""
        import httpx  # noqa: PLC0415 - the log's keeper, which only parses items, needs no client

        try:
            answer = self._client.post(
                "/v1/issuance",
                content=encode_items(items),
                headers={"content-type": "application/cbor-seq"},
            )
        except httpx.HTTPError as e:
            raise IssuanceError("the issuance log cannot be reached") from e
        if answer.status_code != httpx.codes.OK:
            raise IssuanceError(f"the issuance log answered {answer.status_code}")


class MemoryIssuance:
    """The log in memory, for tests: items once each, in order."""

    def __init__(self) -> None:
        self.items: list[IssuanceItem] = []

    def append_many(self, items: Sequence[IssuanceItem]) -> None:
        """See :class:`IssuanceAppender`."""
        self.items += [i for i in items if i not in self.items]

    def chain(self, time_s: int) -> tuple[IssuanceEntry, ...]:
        """The items as a chain, all entered at ``time_s``."""
        entries: list[IssuanceEntry] = []
        for number, item in enumerate(self.items, 1):
            previous = entries[-1].hash if entries else bytes(32)
            entries.append(item.entry(number, previous, time_s))
        return tuple(entries)


def encode_items(items: Iterable[IssuanceItem]) -> bytes:
    """The body of ``POST /v1/issuance``."""
    return cbor.encode_sequence([bytes(i) for i in items])


def decode_items(raw: bytes) -> tuple[IssuanceItem, ...]:
    """The items of such a body; :class:`wire.errors.FormatError` for anything else."""
    return tuple(IssuanceItem.parse(i) for i in cbor.decode_sequence(raw))


def object_item(signed: Sign1) -> IssuanceItem:
    """The item of a COSE object that is entered by its hash."""
    return IssuanceItem(IssuanceKind.OBJECT, signed.hash, note=signed.kind)
