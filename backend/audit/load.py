"""An export as it lies on disk: files into byte strings, nothing verified yet (wire.md#export).

A damaged or missing file is a finding and never stops the reading of the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backend.audit.errors import ExportUnreadableError
from backend.audit.facts import Fact
from backend.audit.findings import Finding, What, say
from wire import cbor
from wire.errors import FormatError
from wire.invariants import Invariant
from wire.objects import (
    Acknowledgement,
    Decision,
    DecreeAnnex,
    Enrolment,
    FieldVerification,
    FundRelease,
    Hotlist,
    Order,
    Parameters,
    Programme,
    SignedShape,
    StockDelivery,
    TerminalLost,
)

SHAPES: dict[str, type[SignedShape]] = {
    shape.KIND: shape
    for shape in (
        Order,
        Programme,
        FieldVerification,
        DecreeAnnex,
        FundRelease,
        StockDelivery,
        Enrolment,
        Hotlist,
        Parameters,
        Acknowledgement,
        TerminalLost,
        Decision,
    )
}
CHAINS = ("issuance.cbor", "ledger.cbor", "heads.cbor")
UPLOAD_NAME = re.compile(r"^([0-9a-f]{16})-([0-9]{10})-([0-9]{10})\.cbor$")
MAX_FILES = 1_000_000


@dataclass(frozen=True, slots=True)
class UploadFile:
    """One file of ``uploads/``: its name, and the bytes of the Upload."""

    name: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Export:
    """Every byte string of an export, and what was wrong with its files."""

    uploads: tuple[UploadFile, ...]
    issuance: tuple[bytes, ...]
    ledger: tuple[bytes, ...]
    heads: tuple[bytes, ...]
    objects: Mapping[str, tuple[bytes, ...]]
    faults: tuple[Finding, ...] = ()


def expected_files() -> tuple[str, ...]:
    """Names, relative to the export, of the files that must be there (uploads apart)."""
    return (*CHAINS, *(f"objects/{kind}.cbor" for kind in SHAPES))


def read(folder: Path) -> Export:
    """Read every file of the export at ``folder``.

    Raises :class:`ExportUnreadableError` when it is no directory or holds none of the files.
    """
    names = expected_files()
    if not folder.is_dir() or not any((folder / name).is_file() for name in names):
        raise ExportUnreadableError(f"{folder} is not an export")
    reader = _Reader(folder)
    issuance, ledger, heads = (reader.sequence(name, Invariant.CHAINED_LEDGER) for name in CHAINS)
    objects = {
        kind: reader.sequence(f"objects/{kind}.cbor", Invariant.SIGNATURES) for kind in SHAPES
    }
    uploads = reader.uploads()
    reader.strangers({*names, *(f"uploads/{u.name}" for u in uploads)})
    return Export(uploads, issuance, ledger, heads, objects, tuple(reader.faults))


class _Reader:
    """Reads files and notes what is wrong with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[Finding] = []

    def fault(self, invariant: Invariant, name: str, what: What) -> None:
        self.faults.append(Finding(invariant, name, what, (name,)))

    def bytes_of(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            self.fault(Invariant.CHAINED_LEDGER, name, say(Fact.FILE_MISSING))
            return None

    def sequence(self, name: str, invariant: Invariant) -> tuple[bytes, ...]:
        """The items of a file, up to where it is damaged."""
        raw = self.bytes_of(name)
        items: list[bytes] = []
        try:
            items.extend(cbor.decode_sequence(raw or b""))
        except (FormatError, IndexError) as e:
            self.fault(invariant, name, say(Fact.FILE_DAMAGED, items=len(items), detail=str(e)))
        return tuple(items)

    def uploads(self) -> tuple[UploadFile, ...]:
        """Every file whose name is that of an upload."""
        folder = self.folder / "uploads"
        if not folder.is_dir():
            self.fault(Invariant.CHAINED_LEDGER, "uploads", say(Fact.FOLDER_MISSING))
            return ()
        found = []
        for path in sorted(folder.iterdir())[:MAX_FILES]:
            raw = self.bytes_of(f"uploads/{path.name}") if UPLOAD_NAME.match(path.name) else None
            if raw is not None:
                found.append(UploadFile(path.name, raw))
        return tuple(found)

    def strangers(self, known: set[str]) -> None:
        """Files that no signature and no chain binds."""
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_file() and name not in known:
                self.fault(Invariant.CHAINED_LEDGER, name, say(Fact.FILE_STRANGE))
