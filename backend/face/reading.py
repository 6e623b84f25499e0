"""The export (docs/wire.md#export) an auditor reads, loaded again on request when it changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

from backend.audit.build import kind_of
from backend.audit.errors import AuditError
from backend.face.alter import Source
from backend.face.book import Book, load
from wire import cbor
from wire.cose import Sign1
from wire.errors import WireError
from wire.objects import LedgerHead


@dataclass(frozen=True, slots=True)
class Head:
    """A published ledger head as it lies in the export, not verified."""

    sequence: int
    hash: str


def newest_head(source: Source) -> Head | None:
    """The newest ledger head in ``heads.cbor`` right now; None while the export is replaced."""
    try:
        raws = list(cbor.decode_sequence((source.folder / "heads.cbor").read_bytes()))
        heads = [LedgerHead.parse(Sign1.parse(x).payload) for x in raws
                 if kind_of(x) == LedgerHead.KIND]  # fmt: skip
    except (OSError, WireError, IndexError):
        return None
    newest = max(heads, key=lambda h: h.sequence, default=None)
    return Head(newest.sequence, newest.head.hex()) if newest is not None else None


@dataclass(slots=True)
class Reading:
    """A book and the source it came from; a reload changes both at once or neither."""

    source: Source
    book: Book
    head: Head | None
    _turn: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def open(cls, source: Source) -> Reading:
        """Load for the first time; :class:`backend.audit.errors.AuditError`."""
        return cls(source, load(source), newest_head(source))

    def reload(self) -> AuditError | None:
        """Load anew; on an error everything stays as it was."""
        with self._turn:
            head = newest_head(self.source)
            try:
                book = load(self.source)
            except AuditError as e:
                return e
            self.book, self.head = book, head
        return None

    def changed(self) -> Head | None:
        """The head that lies there now, when it is another than the one loaded."""
        now = newest_head(self.source)
        return now if now != self.head else None
