"""The issuance log, and what its entries make known to the backend (PROTOCOL.md §5).

A signer appends before it hands anything out. Appending enters the card, certificate,
entitlement, script or station in the same transaction: what the log holds the backend knows,
whatever happens to the process that asked for the signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from sqlmodel import Session, col, func, select

from backend import ledger, reserves
from backend.errors import ConflictError, FundsError, invariant
from backend.models import (
    Card,
    Certificate,
    DecisionRow,
    EntitlementRow,
    Issuance,
    Row,
    ScriptRow,
    Station,
)
from keys.issuance import IssuanceItem
from keys.trust import TrustStore
from wire import cvc, dates
from wire.chain import GENESIS, Citation, IssuanceEntry, IssuanceKind
from wire.cose import Sign1
from wire.entitlement import Entitlement
from wire.objects import Decision, DecisionKind, Enrolment, TerminalLost


def head(session: Session) -> tuple[int, bytes]:
    """Sequence and hash of the newest entry; (0, 32 zero bytes) of an empty log."""
    row = session.exec(select(Issuance).order_by(col(Issuance.sequence).desc()).limit(1)).first()
    return (0, GENESIS) if row is None else (row.sequence, row.hash)


def append(
    session: Session, trust: TrustStore, items: Sequence[IssuanceItem], now_s: int
) -> list[IssuanceEntry]:
    """Append the items not yet in the log, in order; the caller's transaction holds them all.

    Raises :class:`wire.errors.WireError` or :class:`keys.errors.KeysError` for an item that does
    not verify, :class:`ConflictError` for a card or sequence entered with other bytes.
    """
    sequence, previous = head(session)
    made: list[IssuanceEntry] = []
    for item in items:
        key = sha256(bytes(item)).digest()
        if session.exec(select(Issuance.sequence).where(Issuance.key == key)).first():
            continue
        sequence += 1
        entry = item.entry(sequence, previous, now_s)
        previous = entry.hash
        session.add(
            Issuance(sequence=sequence, hash=previous, kind=int(item.kind), key=key,
                     raw=bytes(entry))
        )  # fmt: skip
        session.flush()
        _enter(session, trust, entry)
        made.append(entry)
    return made


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
        case IssuanceKind.ENTITLEMENT:
            _enter_entitlement(session, trust, entry, entry.time_s)
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


def _enter_entitlement(
    session: Session, trust: TrustStore, entry: IssuanceEntry, now_s: int
) -> None:
    """1. it verifies; 2. its step of L stands on an unused row or decision; 3. row, ledger."""
    e = trust.entitlement(entry.item)  # 1
    before = session.exec(
        select(func.max(EntitlementRow.loaded)).where(
            EntitlementRow.card_id == e.card_id, EntitlementRow.wallet == e.wallet
        )
    ).one()
    step, cause = e.loaded - (before or 0), entry.cause
    if (step > 0) != (cause is not None) or step < 0:
        raise FundsError("L rises exactly when a decree row or decision is cited")
    if cause is not None:
        _use_cause(session, e, cause, step)  # 2
    session.add(
        EntitlementRow(
            hash=e.hash, card_id=e.card_id, wallet=e.wallet, sequence=e.sequence,
            programme=e.programme, loaded=e.loaded, forfeited_through=e.forfeited_through,
            acknowledged=e.acknowledged, cause=cause.source if cause else None,
            cause_row=cause.row if cause else None, raw=entry.item,
        )
    )  # fmt: skip
    if step:
        ledger.post(session, [ledger.issue(e.hash, e.programme, step)], now_s)  # 3


def _use_cause(session: Session, e: Entitlement, cause: Citation, step: int) -> None:
    """Each row and each decision funds at most one step of L (invariant 18)."""
    if cause.row == 0:
        decision = session.get(DecisionRow, cause.source)
        target = decision and (decision.new_card or decision.card_id)
        if decision is None or target != e.card_id or decision.wallet != e.wallet:
            raise FundsError("the decision cited is not about this card and wallet")
        if decision.kind not in {DecisionKind.MOVE, DecisionKind.RETURN}:
            raise FundsError("the decision cited gives nothing to a card")
        if decision.used or decision.amount != step:
            raise FundsError("the decision cited was used, or is for another amount")
        decision.used = True
        return
    row = session.exec(select(Row).where(Row.decree == cause.source, Row.row == cause.row)).first()
    card = session.get(Card, e.card_id)
    if row is None or card is None or row.family != card.family or row.programme != e.programme:
        raise FundsError("the decree row cited is not this family's and programme's")
    if row.entitlement is not None or row.amount != step:
        raise FundsError("the decree row cited was used, or is for another amount")
    if not row.funded:
        raise FundsError("no funds were released for the decree row cited")
    row.entitlement = e.hash


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
