"""What an export of the lost backend holds beyond a restored backup (docs/runbooks.md).

The export's issuance log is followed in its order: objects, certificates and entitlements are
entered anew, and where it names an acknowledgement the upload behind it is taken. The chains that
grow so are others than those published before; settlement is the same.
"""

from __future__ import annotations

from pathlib import Path

from sqlmodel import select

from backend import entitle, issuance, lost, objects
from backend.errors import ConfigError
from backend.models import Object
from backend.office import Office
from backend.verify import parse_upload
from keys.issuance import IssuanceItem
from wire import cbor
from wire.bundle import Bundle
from wire.chain import IssuanceEntry, IssuanceKind
from wire.cose import Sign1
from wire.errors import WireError
from wire.objects import (
    Acknowledgement,
    Decision,
    DecreeAnnex,
    FundRelease,
    Hotlist,
    Order,
    Parameters,
    Programme,
    SignedShape,
    StockDelivery,
    TerminalLost,
)


def readmit(office: Office, folder: Path) -> dict[str, int]:
    """Enter what ``folder``, an export, has and this backend has not; how much of each.

    Again is harmless. Raises :class:`ConfigError` for no export, and what entering raises: what
    was entered before stays, and the same command goes on from there.
    """
    try:
        raws = cbor.decode_sequence((folder / "issuance.cbor").read_bytes())
        entries = [IssuanceEntry.parse(raw) for raw in raws]
        signed = _by_hash(folder / "objects")
        uploads = _uploads(folder / "uploads")
    except (OSError, WireError) as e:
        raise ConfigError(f"{folder} is no export: {e}") from e
    with office.db.read() as session:
        held = [entry.hash for entry in issuance.entries(session)]
    same = next((n for n, (a, b) in enumerate(zip(entries, held, strict=False)) if a.hash != b),
                min(len(entries), len(held)))  # fmt: skip
    done = {"items": 0, "objects": 0, "uploads": 0, "missing": 0}
    for entry in entries[same:]:
        if entry.kind == IssuanceKind.OBJECT and entry.note == Acknowledgement.KIND:
            raw = uploads.get(_acknowledged(signed.get(entry.item)))
            done["missing" if raw is None else "uploads"] += 1
            if raw is not None:
                office.take_upload(raw)
            continue
        done["items"] += _enter(office, entry)
        if entry.kind == IssuanceKind.OBJECT and entry.note != Bundle.KIND:
            raw = signed.get(entry.item)
            done["missing" if raw is None else "objects"] += 1
            if raw is not None:
                _complete(office, raw)
    return done


def _by_hash(folder: Path) -> dict[bytes, bytes]:
    raws = [r for p in sorted(folder.glob("*.cbor")) for r in cbor.decode_sequence(p.read_bytes())]
    return {Sign1.parse(raw).hash: raw for raw in raws}


def _uploads(folder: Path) -> dict[tuple[bytes, int, bytes] | None, bytes]:
    """Uploads by station, last record and its hash: what their acknowledgement names."""
    found: dict[tuple[bytes, int, bytes] | None, bytes] = {}
    for path in sorted(folder.glob("*.cbor")):
        raw = path.read_bytes()
        head = parse_upload(raw).head
        found[head.station, head.last, head.head] = raw
    return found


def _acknowledged(raw: bytes | None) -> tuple[bytes, int, bytes] | None:
    if raw is None:
        return None
    ack = Acknowledgement.parse(Sign1.parse(raw).payload)
    return ack.station, ack.last, ack.head


def _enter(office: Office, entry: IssuanceEntry) -> int:
    """The entry's item into this log; rows are funded first, as far as the money goes."""
    item = IssuanceItem(entry.kind, entry.item, entry.family, entry.predecessor, entry.order,
                        entry.cause, entry.note)  # fmt: skip
    with office.db.write() as session:
        entitle.allocate(session)
        return len(issuance.append(session, office.trust, [item], office.clock()))


def _complete(office: Office, raw: bytes) -> None:
    """The signed object and what it changes, unless it is held."""
    sign1 = Sign1.parse(raw)
    with office.db.write() as session:
        if session.exec(select(Object.id).where(Object.hash == sign1.hash)).first() is not None:
            return
        shape = objects.SHAPES[sign1.kind].parse(sign1.payload)
        row = objects.draft(session, shape, _name(shape, sign1.hash))
        now_s = office.clock()
        digest = objects.complete(session, office.trust, row.id or 0, raw, now_s)
        if isinstance(shape, Decision | TerminalLost):
            lost.conclude(session, office.trust.env, digest, now_s)


def _name(shape: SignedShape, digest: bytes) -> str:
    """The name that the office would have drafted it under."""
    match shape:
        case Order():
            return shape.number.hex()
        case Programme():
            return f"{shape.code}/{shape.version}"
        case FundRelease() | Decision() | StockDelivery() | DecreeAnnex():
            return shape.number
        case Hotlist() | Parameters():
            return str(shape.version)
        case TerminalLost():
            return shape.terminal.hex()
    return f"readmitted/{digest.hex()}"
