"""The issuance log, and what its entries make known to the backend (PROTOCOL.md §5).

A signer appends before it hands anything out. Appending enters the card, certificate,
entitlement, script or station in the same transaction: what the log holds the backend knows,
whatever happens to the process that asked for the signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import groupby
from typing import Any

from sqlalchemy import insert
from sqlmodel import Session, col, func, select

from backend import entitlements, reserves
from backend.errors import ConflictError, invariant
from backend.models import Card, Certificate, Issuance, ScriptRow, Station
from keys.issuance import IssuanceItem
from keys.trust import TrustStore
from wire import cvc, dates
from wire.chain import GENESIS, IssuanceEntry, IssuanceKind
from wire.cose import Sign1
from wire.objects import Decision, Enrolment, TerminalLost

_AT_ONCE = 500  # keys a query, below SQLite's limit of variables


def head(session: Session) -> tuple[int, bytes]:
    """Sequence and hash of the newest entry; (0, 32 zero bytes) of an empty log."""
    row = session.exec(
        select(Issuance.sequence, Issuance.hash).order_by(col(Issuance.sequence).desc()).limit(1)
    ).first()
    return (0, GENESIS) if row is None else (row[0], row[1])


def append(
    session: Session, trust: TrustStore, items: Sequence[IssuanceItem], now_s: int
) -> list[IssuanceEntry]:
    """Append the items not yet in the log, in order; the caller's transaction holds them all.

    Raises :class:`wire.errors.WireError` or :class:`keys.errors.KeysError` for an item that does
    not verify, :class:`ConflictError` for a card or sequence entered with other bytes.
    """
    keys = [sha256(bytes(item)).digest() for item in items]
    held = _held(session, keys)
    sequence, previous = head(session)
    made: list[IssuanceEntry] = []
    rows: list[dict[str, Any]] = []
    for item, key in zip(items, keys, strict=True):
        if key in held:
            continue
        held.add(key)
        sequence += 1
        entry = item.entry(sequence, previous, now_s)
        raw = bytes(entry)
        previous = sha256(raw).digest()
        rows.append({"sequence": sequence, "hash": previous, "kind": int(item.kind), "key": key,
                     "raw": raw})  # fmt: skip
        made.append(entry)
    if rows:
        session.flush()
        session.execute(insert(Issuance), rows)
    for kind, run in groupby(made, key=lambda e: e.kind):
        if kind == IssuanceKind.ENTITLEMENT:
            entitlements.enter(session, trust, [*run], now_s)
        else:
            for entry in run:
                _enter(session, trust, entry)
    return made


def _held(session: Session, keys: Sequence[bytes]) -> set[bytes]:
    """Which of these are in the log already."""
    found: set[bytes] = set()
    for at in range(0, len(keys), _AT_ONCE):
        part = keys[at : at + _AT_ONCE]
        found |= {*session.exec(select(Issuance.key).where(col(Issuance.key).in_(part)))}
    return found


def entries(session: Session) -> list[IssuanceEntry]:
    """The whole log, in order."""
    rows = session.exec(select(Issuance.raw).order_by(col(Issuance.sequence)))
    return [IssuanceEntry.parse(raw) for raw in rows]


def count(session: Session) -> int:
    """How many entries."""
    return session.exec(select(func.count()).select_from(Issuance)).one()


def items_of(session: Session, kind: IssuanceKind) -> list[bytes]:
    """The items of one kind, in order."""
    rows = session.exec(
        select(Issuance.raw).where(Issuance.kind == int(kind)).order_by(col(Issuance.sequence))
    )
    return [IssuanceEntry.parse(raw).item for raw in rows]


def _enter(session: Session, trust: TrustStore, entry: IssuanceEntry) -> None:
    match entry.kind:
        case IssuanceKind.CARD_CERTIFICATE:
            _enter_card(session, trust, entry)
        case IssuanceKind.TERMINAL_CERTIFICATE:
            _enter_certificate(session, trust, entry.item)
        case IssuanceKind.SCRIPT:
            _enter_script(session, trust, entry.item)
        case IssuanceKind.ENROLMENT:
            _enter_station(session, trust, entry.item)
        case IssuanceKind.SCRAPPED:
            card = session.get(Card, entry.item)
            invariant(card is not None, "a card that nobody certified was scrapped")
            if card is not None:
                card.scrapped = True
        case IssuanceKind.LINK:
            trust.link(cvc.Certificate.parse(entry.item))
        case IssuanceKind.OBJECT:
            if entry.note in {Decision.KIND, TerminalLost.KIND}:
                reserves.entered(session, trust, entry)
    session.flush()


def _enter_card(session: Session, trust: TrustStore, entry: IssuanceEntry) -> None:
    identity = trust.card_certificate(cvc.Certificate.parse(entry.item))
    if session.get(Card, identity.card_id) is not None:
        raise ConflictError("this card id was certified with other bytes")
    if entry.family is None or entry.order is None:
        raise ConflictError("a card certificate without family or order")
    session.add(
        Card(
            card_id=identity.card_id, environment=int(trust.env), certificate=entry.item,
            digest=identity.certificate.digest, receipt_key=identity.receipt_key,
            family=entry.family, predecessor=entry.predecessor, order_hash=entry.order,
            issued_s=entry.time_s,
            card_date=int(identity.certificate.effective.strftime("%Y%m%d")),
        )
    )  # fmt: skip


def _enter_certificate(session: Session, trust: TrustStore, raw: bytes) -> None:
    cert = trust.terminal_certificate(cvc.Certificate.parse(raw))
    extension = cert.extension
    if not isinstance(extension, cvc.TerminalExtension):
        raise ConflictError("not a terminal certificate")
    session.add(
        Certificate(
            digest=cert.digest, station=cert.subject, serial=cert.serial,
            role=int(extension.role), officer=extension.officer,
            effective=dates.start_of_day_s(cert.effective), raw=raw,
            expires=dates.end_of_day_s(cert.expires),
        )
    )  # fmt: skip


def _enter_script(session: Session, trust: TrustStore, raw: bytes) -> None:
    s = trust.script(raw)
    session.add(ScriptRow(hash=s.hash, card_id=s.card_id, number=s.number, action=int(s.action),
                          raw=raw))  # fmt: skip


def _enter_station(session: Session, trust: TrustStore, raw: bytes) -> None:
    enrolment = trust.verify(Enrolment, raw)
    if session.get(Station, enrolment.station) is not None:
        raise ConflictError("this station id was enrolled before")
    link = Sign1.parse(raw).hash
    session.add(
        Station(
            station=enrolment.station, environment=int(trust.env), kind=int(enrolment.kind),
            log_key=enrolment.log_key, area=enrolment.area, place=enrolment.place,
            enrolment=raw, head=link,
        )
    )  # fmt: skip
