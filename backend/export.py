"""The export for auditors: files of signed or chained objects (docs/wire.md#export)."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlmodel import Session, col, select

from backend import heads, issuance, ledger, objects
from backend.errors import ConfigError
from backend.models import Issuance, Station, Upload
from wire import cbor
from wire.chain import IssuanceKind
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
    StockDelivery,
    TerminalLost,
)

KINDS = (
    Order, Programme, FieldVerification, DecreeAnnex, FundRelease, StockDelivery, Enrolment,
    Hotlist, Parameters, Acknowledgement, TerminalLost, Decision,
)  # fmt: skip
_MARK = "issuance.cbor"


def write(session: Session, folder: Path) -> dict[str, int]:
    """Write the whole export; an older export at ``folder`` is replaced. Files and their items.

    Raises :class:`ConfigError` for a folder that holds something else.
    """
    part = folder.with_name(folder.name + ".part")
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise ConfigError(f"{folder} holds something else; it was left as it is")
    shutil.rmtree(part, ignore_errors=True)
    (part / "uploads").mkdir(parents=True)
    (part / "objects").mkdir()
    written: dict[str, int] = {}

    def sequence(name: str, items: list[bytes]) -> None:
        (part / name).write_bytes(cbor.encode_sequence(items))
        written[name] = len(items)

    for upload in session.exec(select(Upload).order_by(col(Upload.id))):
        name = f"{upload.station.hex()}-{upload.first:010d}-{upload.last:010d}.cbor"
        (part / "uploads" / name).write_bytes(upload.raw)
        written[f"uploads/{name}"] = 1
    raws = session.exec(select(Issuance.raw).order_by(col(Issuance.sequence)))
    sequence("issuance.cbor", list(raws))
    sequence("ledger.cbor", list(ledger.entries(session)))
    sequence("heads.cbor", heads.published(session))
    for shape in KINDS:
        items = objects.signed_of(session, shape.KIND)
        if shape is Enrolment:
            items = issuance.items_of(session, IssuanceKind.ENROLMENT)
        sequence(f"objects/{shape.KIND}.cbor", items)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return written


def stations(session: Session) -> list[Station]:
    """Every station, by id."""
    return list(session.exec(select(Station).order_by(col(Station.station))))
