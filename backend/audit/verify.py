"""One call from an export's directory to the auditor's report; nothing but files is read."""

from __future__ import annotations

from pathlib import Path

from backend.audit import report
from backend.audit.build import build, check_head, kind_of, open_head
from backend.audit.errors import HeadUnreadableError, TrustUnreadableError
from backend.audit.load import read
from backend.audit.report import Report
from keys.errors import KeysError
from wire import cbor
from wire.errors import WireError
from wire.objects import LedgerHead


def verify(
    folder: Path, trust_file: Path, *, allow_demo: bool, head_file: Path | None = None
) -> Report:
    """Verify an export under a trust file.

    ``head_file``: a LedgerHead noted earlier, or a heads.cbor; it must be an ancestor. Raises
    :class:`backend.audit.errors.AuditError` when nothing can be judged.
    """
    try:
        trust_raw = trust_file.read_bytes()
    except OSError as e:
        raise TrustUnreadableError(str(e)) from e
    world = build(read(folder), trust_raw, allow_demo=allow_demo)
    if head_file is not None:
        try:
            noted = [
                open_head(world.trust, LedgerHead, raw) for raw in _heads(head_file.read_bytes())
            ]
        except (OSError, WireError, KeysError) as e:
            raise HeadUnreadableError(str(e)) from e
        if not noted:
            raise HeadUnreadableError(f"{head_file} holds no ledger head")
        for head in noted:
            check_head(world, head, world.ledger, str(head_file))
    return report.make(world)


def _heads(raw: bytes) -> list[bytes]:
    """The ledger heads of a file: one COSE object, or a sequence with some."""
    if kind_of(raw):
        return [raw]
    return [item for item in cbor.decode_sequence(raw) if kind_of(item) == LedgerHead.KIND]
