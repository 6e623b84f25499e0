"""Signed objects (docs/wire.md#objects): drafts before they are signed, and what each changes then.

A draft is committed before the key service is asked, so that an interruption asks again for the
same bytes: Ed25519 then gives the same object, and the issuance log takes it only once. An object's
hash is its name, 32 bytes (docs/wire.md#cose).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, TypeVar

from sqlmodel import Session, col, select

from backend import ledger
from backend.errors import ConflictError, UnknownError, invariant
from backend.models import (
    Card,
    DecisionRow,
    Fund,
    Issuance,
    Ledger,
    Object,
    PostingRow,
    RecordRow,
    Row,
    Station,
)
from keys.issuance import IssuanceItem
from keys.trust import TrustStore
from wire import bundle, cose, objects
from wire.chain import IssuanceKind
from wire.cose import Sign1
from wire.objects import (
    Decision,
    DecisionKind,
    DecreeAnnex,
    FundRelease,
    Programme,
    SignedShape,
    Tariff,
)

T = TypeVar("T", bound=SignedShape)

SHAPES: dict[str, type[SignedShape]] = {
    shape.KIND: shape
    for shape in (
        objects.Acknowledgement, objects.Decision, objects.DecreeAnnex, objects.Enrolment,
        objects.FieldVerification, objects.FundRelease, objects.Hotlist, objects.Order,
        objects.Parameters, objects.Programme, objects.StockDelivery, objects.TerminalLost,
        bundle.Bundle,
    )
}  # fmt: skip


def draft(session: Session, shape: SignedShape, name: str) -> Object:
    """Keep ``shape`` to be signed under ``name``; the same again is harmless.

    The same but for its time is the same: a job that is run again after an interruption.
    Raises :class:`ConflictError` when the name stands with other content.
    """
    payload = bytes(shape)
    held = session.exec(
        select(Object).where(Object.kind == shape.KIND, Object.name == name)
    ).first()
    if held is not None:
        if held.payload != payload and not _is_later_copy(shape, held.payload):
            raise ConflictError(f"{shape.KIND} {name} exists with other content")
        return held
    row = Object(kind=shape.KIND, payload=payload, name=name)
    session.add(row)
    session.flush()
    return row


def _is_later_copy(shape: SignedShape, payload: bytes) -> bool:
    held: Any = type(shape).parse(payload)
    later: Any = shape
    return hasattr(held, "time_s") and dataclasses.replace(later, time_s=held.time_s) == held


def exists(session: Session, shape: SignedShape, name: str) -> bool:
    """Whether this, but for its time, was signed under this name before."""
    held = session.exec(
        select(Object).where(Object.kind == shape.KIND, Object.name == name)
    ).first()
    return held is not None and held.raw is not None and _is_later_copy(shape, held.payload)


def named(session: Session, shape: type[T], name: str) -> T | None:
    """The payload kept under this name, signed or waiting for it."""
    held = session.exec(
        select(Object).where(Object.kind == shape.KIND, Object.name == name)
    ).first()
    return None if held is None else shape.parse(held.payload)


def is_logged(session: Session, trust: TrustStore, shape: SignedShape) -> bool:
    """Whether the issuance log holds this object: it was signed, whatever became of the answer.

    An object's name is the hash of header and payload, so it is known without the signature.
    """
    for name in _names(trust, shape):
        item = IssuanceItem(IssuanceKind.OBJECT, name, note=shape.KIND)
        key = sha256(bytes(item)).digest()
        if session.exec(select(Issuance.sequence).where(Issuance.key == key)).first():
            return True
    return False


def is_kept(session: Session, trust: TrustStore, shape: SignedShape) -> bool:
    """Whether this very content is held signed, under whatever name it was drafted."""
    names = _names(trust, shape)
    return session.exec(select(Object.id).where(col(Object.hash).in_(names))).first() is not None


def _names(trust: TrustStore, shape: SignedShape) -> list[bytes]:
    """The names this object has under each key that may sign it."""
    keys = [s.public_key for s in trust.statements() if s.role == shape.SIGNER]
    signed = [cose.to_be_signed(k, shape.KIND, trust.env, bytes(shape)) for k in keys]
    return [sha256(s).digest() for s in signed]


def draft_named(session: Session, trust: TrustStore, note: str, name: bytes) -> SignedShape | None:
    """The unsigned draft of this kind whose object will have this name."""
    shape = SHAPES.get(note)
    if shape is None:
        return None
    keys = [s.public_key for s in trust.statements() if s.role == shape.SIGNER]
    for row in unsigned(session, note):
        if any(
            sha256(cose.to_be_signed(key, note, trust.env, row.payload)).digest() == name
            for key in keys
        ):
            return shape.parse(row.payload)
    return None


def drop(session: Session, trust: TrustStore, row_ids: Iterable[int]) -> None:
    """Forget drafts that nobody will sign; what the issuance log holds stays to be completed."""
    for row_id in row_ids:
        row = session.get(Object, row_id)
        if row is None or row.raw is not None:
            continue
        if not is_logged(session, trust, SHAPES[row.kind].parse(row.payload)):
            session.delete(row)
    session.flush()


def forget(session: Session, row_ids: Iterable[int]) -> None:
    """Take away drafts whose content is held signed: one content is one object, as first named."""
    for row_id in row_ids:
        row = session.get(Object, row_id)
        if row is not None and row.raw is None:
            session.delete(row)
    session.flush()


def unsigned(session: Session, kind: str) -> list[Object]:
    """Drafts of one kind, oldest first."""
    found = session.exec(
        select(Object).where(Object.kind == kind, col(Object.raw).is_(None))
        .order_by(col(Object.id))
    )  # fmt: skip
    return list(found)


def complete(session: Session, trust: TrustStore, row_id: int, raw: bytes, now_s: int) -> bytes:
    """Enter the signed object of a draft and what it changes; its hash (32 bytes).

    :class:`UnknownError` for no such draft, ``keys.errors.TrustError`` and ``WireError`` for one
    that does not stand. Bytes other than the draft's are a fault (``invariant``).
    """
    row = session.get(Object, row_id)
    if row is None:
        raise UnknownError("no such draft")
    shape = trust.verify(SHAPES[row.kind], raw)
    invariant(bytes(shape) == row.payload, "the signer signed other bytes")
    if row.raw is not None:
        return row.hash or b""
    digest = Sign1.parse(raw).hash
    if session.exec(select(Object.id).where(Object.hash == digest)).first() is not None:
        session.delete(row)  # two drafts of one content are one object, under its first name
        session.flush()
        return digest
    row.raw, row.hash = raw, digest
    session.add(row)
    session.flush()
    _enter(session, shape, row.hash, now_s)
    return row.hash


def keep(session: Session, kind: str, raw: bytes, name: str) -> bytes:
    """Keep an object signed elsewhere (acknowledgements), not verified here; its hash."""
    signed = Sign1.parse(raw)
    if session.exec(select(Object.id).where(Object.hash == signed.hash)).first() is None:
        session.add(Object(kind=kind, payload=signed.payload, raw=raw, hash=signed.hash, name=name))
        session.flush()
    return signed.hash


def signed_of(session: Session, kind: str) -> list[bytes]:
    """The signed objects of one kind, oldest first."""
    rows = session.exec(
        select(Object.raw).where(Object.kind == kind, col(Object.raw).is_not(None))
        .order_by(col(Object.id))
    )  # fmt: skip
    return [raw for raw in rows if raw is not None]


def payloads_of(session: Session, shape: type[T]) -> list[tuple[bytes, T]]:
    """(hash, payload) of the signed objects of one shape, oldest first."""
    rows = session.exec(
        select(Object.hash, Object.payload)
        .where(Object.kind == shape.KIND, col(Object.raw).is_not(None))
        .order_by(col(Object.id))
    )
    return [(digest or b"", shape.parse(payload)) for digest, payload in rows]


def by_hash(session: Session, shape: type[T], digest: bytes) -> T:
    """The payload of the signed object of this hash; :class:`UnknownError`."""
    row = session.exec(select(Object).where(Object.hash == digest)).first()
    if row is None or row.kind != shape.KIND:
        raise UnknownError(f"no {shape.KIND} {digest.hex()}")
    return shape.parse(row.payload)


def programmes(session: Session) -> dict[int, Programme]:
    """Code → the newest version of each programme."""
    newest: dict[int, Programme] = {}
    for _, programme in payloads_of(session, Programme):
        held = newest.get(programme.code)
        if held is None or programme.version > held.version:
            newest[programme.code] = programme
    return newest


def by_wallet(session: Session) -> dict[int, Programme]:
    """Wallet → its programme."""
    return {p.wallet: p for p in programmes(session).values()}


def tariff_of(programme: Programme, version: int) -> Tariff | None:
    """Its tariff of this version; None where none was signed: a card signs what it is sent."""
    return next((t for t in programme.tariffs if t.version == version), None)


# --- what an object changes ------------------------------------------------------------


def _enter(session: Session, shape: SignedShape, digest: bytes, now_s: int) -> None:
    match shape:
        case FundRelease():
            fund = session.get(Fund, shape.programme) or Fund(programme=shape.programme)
            fund.released_minor += shape.amount_minor
            session.add(fund)
            entry = ledger.fund_release(digest, shape.programme, shape.amount_minor)
            ledger.post(session, [entry], now_s)
        case DecreeAnnex():
            session.add_all(
                Row(decree=digest, row=r.row, family=r.family, programme=r.programme,
                    amount=r.amount)
                for r in shape.rows
            )  # fmt: skip
        case Decision():
            _enter_decision(session, shape, digest, now_s)
        case objects.Hotlist():
            _enter_hotlist(session, shape)
        case objects.TerminalLost():
            _enter_lost(session, shape, digest, now_s)
    session.flush()


def _enter_decision(session: Session, d: Decision, digest: bytes, now_s: int) -> None:
    if session.get(DecisionRow, digest) is None:
        enter_decision(session, d, digest, now_s)


def enter_decision(session: Session, d: Decision, digest: bytes, now_s: int) -> None:
    """Enter a decision, once: when its signature comes, of a MOVE when the log takes it.

    From then on a late debit of the old card is judged without what moved, as the auditor does,
    who knows the order of the log and not when an answer arrived. :class:`UnknownError` when no
    programme has its wallet.
    """
    session.add(
        DecisionRow(hash=digest, kind=int(d.kind), card_id=d.card_id, wallet=d.wallet,
                    first=d.first, last=d.last, amount=d.amount, new_card=d.new_card)
    )  # fmt: skip
    session.flush()
    if d.kind not in {DecisionKind.MOVE, DecisionKind.RETURN}:
        return
    programme = by_wallet(session).get(d.wallet)
    if programme is None:
        raise UnknownError(f"no programme has wallet {d.wallet}")
    make = ledger.moved if d.kind == DecisionKind.MOVE else ledger.returned
    ledger.post(session, [make(digest, programme.code, d.amount)], now_s)


def _enter_hotlist(session: Session, hotlist: objects.Hotlist) -> None:
    from pyroaring import BitMap  # noqa: PLC0415 - only here

    serials = BitMap.deserialize(hotlist.serials)
    for card in session.exec(select(Card).where(Card.blocked_version == 0)):
        if int.from_bytes(card.card_id[4:], "big") in serials:
            card.blocked_version = hotlist.version
            session.add(card)


def _enter_lost(session: Session, lost: objects.TerminalLost, digest: bytes, now_s: int) -> None:
    station = session.get(Station, lost.terminal)
    if station is None:
        raise UnknownError("no such terminal")
    station.lost, station.lost_last = digest, lost.last
    session.add(station)
    # What nobody can count any more goes to a loss account (invariant 15).
    shelf = f"stock/{lost.terminal.hex()}"
    left = Counter({g: n for (a, g), n in ledger.balances(session).items() if a == shelf})
    later = _posted_after(session, lost, shelf)
    for _, good, amount in later:
        left[good] -= amount
    lines = [(digest, good, n) for good, n in sorted(left.items()) if n]
    ledger.post(
        session,
        [
            ledger.stock(ledger.Kind.STOCK_LOSS, evidence, good, -n, terminal=lost.terminal,
                         other=f"stock-loss/{lost.terminal.hex()}")
            for evidence, good, n in lines + later
        ],
        now_s,
    )  # fmt: skip


def _posted_after(
    session: Session, lost: objects.TerminalLost, shelf: str
) -> list[tuple[bytes, str, int]]:
    """(record, good, amount): what records beyond ``last`` changed on the shelf already.

    An upload may come while the object is being signed. The chain ends at ``last`` all the same:
    each of these is turned round, as it would be had it come afterwards (docs/ledger.md).
    """
    rows = session.exec(
        select(Ledger.evidence, PostingRow.good, PostingRow.amount)
        .join(PostingRow, col(PostingRow.sequence) == col(Ledger.sequence))
        .join(RecordRow, col(RecordRow.hash) == col(Ledger.evidence))
        .where(PostingRow.account == shelf, RecordRow.station == lost.terminal,
               RecordRow.sequence > lost.last)
        .order_by(col(Ledger.sequence), col(PostingRow.id))
    )  # fmt: skip
    return [(evidence, good, amount) for evidence, good, amount in rows]
