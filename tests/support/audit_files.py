"""The chains of a made-up export, and its files on disk."""

from __future__ import annotations

from pathlib import Path

from backend import ledger
from backend.audit.load import Export, read
from wire import cbor
from wire.chain import GENESIS, IssuanceEntry, LedgerEntry
from wire.cose import Sign1
from wire.log import Upload
from wire.objects import UploadHead


def chain_issuance(fields: list[dict]) -> tuple[list[bytes], bytes]:
    """Issuance entries of these fields, chained; the last one's hash."""
    previous, made = GENESIS, []
    for at, entry in enumerate(fields, 1):
        whole = {"family": None, "predecessor": None, "order": None, "cause": None,
                 "note": ""} | entry  # fmt: skip
        line = IssuanceEntry(sequence=at, previous=previous, **whole)
        made.append(bytes(line))
        previous = line.hash
    return made, previous


def chain_ledger(transfers: list[tuple[int, ledger.Transfer]]) -> tuple[list[bytes], bytes]:
    """Ledger entries of these transfers and times, chained; the last one's hash."""
    previous, made = GENESIS, []
    for at, (time_s, t) in enumerate(transfers, 1):
        line = LedgerEntry(at, previous, time_s, str(t.kind), t.evidence, t.postings)
        made.append(bytes(line))
        previous = line.hash
    return made, previous


def is_sound(raw: bytes) -> bool:
    """Whether an upload can be read."""
    try:
        Upload.parse(raw)
    except Exception:  # noqa: BLE001 - a fraud may be any malformed upload
        return False
    return True


def head_of(raw: bytes) -> UploadHead:
    """The head of one whose records cannot."""
    return UploadHead.parse(Sign1.parse(cbor.decode_array(raw, 2)[0]).payload)


def write(export: Export, folder: Path) -> None:
    """The export as files (docs/wire.md#export)."""
    (folder / "uploads").mkdir(parents=True)
    (folder / "objects").mkdir()
    for file in export.uploads:
        (folder / "uploads" / file.name).write_bytes(file.raw)
    sequences = {"issuance": export.issuance, "ledger": export.ledger, "heads": export.heads}
    for name, items in sequences.items():
        (folder / f"{name}.cbor").write_bytes(cbor.encode_sequence(list(items)))
    for kind, items in export.objects.items():
        (folder / f"objects/{kind}.cbor").write_bytes(cbor.encode_sequence(list(items)))
    assert read(folder).faults == ()
