"""One call from an export's directory to the auditor's report; nothing but files is read.

The steps: docs/audit.md#how-it-judges.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.audit import report
from backend.audit.build import build, check_head, kind_of, open_head
from backend.audit.errors import HeadUnreadableError, TrustUnreadableError
from backend.audit.load import Export, read
from backend.audit.model import World
from backend.audit.report import Report
from keys.errors import KeysError
from wire import cbor
from wire.errors import WireError
from wire.objects import IssuanceHead, LedgerHead


def verify(
    folder: Path, trust_file: Path, *, allow_demo: bool, head_file: Path | None = None
) -> Report:
    """Verify an export under a trust file.

    ``head_file``: a LedgerHead noted earlier, or a heads.cbor; each must be an ancestor. Raises
    :class:`backend.audit.errors.AuditError` when nothing can be judged.
    """
    return judge(read(folder), trust_file, allow_demo=allow_demo, head_file=head_file)


def judge(
    export: Export, trust_file: Path, *, allow_demo: bool, head_file: Path | None = None
) -> Report:
    """The same of an export already read, for who shows its bytes beside what they prove.

    :class:`TrustUnreadableError`, :class:`backend.audit.errors.DemoRootError`,
    :class:`HeadUnreadableError`.
    """
    try:
        trust_raw = trust_file.read_bytes()
    except OSError as e:
        raise TrustUnreadableError(str(e)) from e
    with _uncollected():
        world = build(export, trust_raw, allow_demo=allow_demo)
        if head_file is not None:
            try:
                _check_noted(world, head_file.read_bytes(), str(head_file))
            except (OSError, WireError, KeysError) as e:
                raise HeadUnreadableError(str(e)) from e
        return report.make(world)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: all that is made lives until the report, without cycles.

    The collector would walk it again and again, and a receipt cost more the more there are.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _check_noted(world: World, raw: bytes, name: str) -> None:
    """Hold the chains to heads noted earlier: one COSE object, or a sequence of them.

    Raises :class:`HeadUnreadableError` when no ledger head is among them.
    """
    items = [raw] if kind_of(raw) else list(cbor.decode_sequence(raw))
    ledger = [x for x in items if kind_of(x) == LedgerHead.KIND]
    if not ledger:
        raise HeadUnreadableError(f"{name} holds no ledger head")
    for item in ledger:
        check_head(world, open_head(world.trust, LedgerHead, item), world.ledger, name)
    for item in (x for x in items if kind_of(x) == IssuanceHead.KIND):
        check_head(world, open_head(world.trust, IssuanceHead, item), world.issuance, name)
