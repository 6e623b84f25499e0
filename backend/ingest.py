"""Ingest of one upload, exactly once, in one transaction (PROTOCOL.md §4.1, §5).

Verification (:mod:`backend.verify`) runs before the transaction opens. The same bytes again get
the same acknowledgement; records held already must be equal; other bytes at a held sequence are
fraud and stop the upload; everything else that is wrong is a finding and stops nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from sqlalchemy import insert
from sqlmodel import Session, col, or_, select

from backend import issuance, objects, receipts, verify
from backend.book import Book
from backend.errors import ForkError, UnknownError, UploadGapError, UploadRefusedError
from backend.findings import Fault
from backend.models import Card, ReceiptRow, RecordRow, Station, Tally, Upload
from backend.payable import judge_all
from backend.records import Reader
from backend.verify import Bad, CardItem
from keys.issuance import object_item
from keys.signer import Signer, sign_object
from keys.trust import TrustStore
from wire import log
from wire.cose import Sign1
from wire.log import Record
from wire.objects import Acknowledgement, UploadHead

DUPLICATES = "duplicates"
"""The tally of uploads that brought nothing new."""
_SELECT_CARDS = 500  # ids a query, below SQLite's limit of variables


@dataclass(frozen=True, slots=True)
class Checked:
    """An upload whose signatures were verified outside any transaction."""

    raw: bytes
    upload: log.Upload
    items: Mapping[bytes, CardItem | Bad]


class Outcome(StrEnum):
    """What became of an upload that was not refused."""

    ACCEPTED = "accepted"
    EXISTS = "exists"
    """Every record of it was held already, byte for byte; nothing changed but the count."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The acknowledgement (COSE) and whether anything was new."""

    ack: bytes
    outcome: Outcome


def check(session: Session, trust: TrustStore, raw: bytes) -> Checked:
    """Verify everything that needs no order: log signature, receipts, statements.

    Raises :class:`UploadRefusedError` when the upload's own signature or frame does not stand.
    """
    upload = verify.parse_upload(raw)
    station = session.get(Station, upload.head.station)
    if station is None:
        raise UploadRefusedError("no such station is enrolled")
    verify.check_upload(upload, station.log_key, trust.env)
    items = verify.items_of(upload)
    for record in upload.records:
        if isinstance(record.body, log.Aborted) and record.body.other is not None:
            items.append(record.body.other)
    return Checked(raw, upload, verify.verify_items(items, _keys(session, items), trust.env))


def _keys(session: Session, items: list[bytes]) -> dict[bytes, bytes]:
    wanted = sorted({card_id for raw in items if (card_id := verify.card_of(raw))})
    keys: dict[bytes, bytes] = {}
    for at in range(0, len(wanted), _SELECT_CARDS):
        part = wanted[at : at + _SELECT_CARDS]
        rows = session.exec(
            select(Card.card_id, Card.receipt_key).where(col(Card.card_id).in_(part))
        )
        keys |= dict(rows.all())
    return keys


def apply(session: Session, trust: TrustStore, ack: Signer, checked: Checked, now_s: int) -> Answer:
    """Enter an upload and return its acknowledgement.

    1. the same upload again gets the same answer; 2. overlap must be equal, the rest must link;
    3. records, in order; 4. each card's row of receipts; 5. what is payable; 6. post;
    7. acknowledge. Raises :class:`ForkError`, :class:`UploadGapError` and, for a station that
    nobody enrolled, :class:`UnknownError`.
    """
    head = checked.upload.head
    digest = sha256(checked.raw).digest()
    station = session.get(Station, head.station)
    if station is None:
        raise UnknownError("no such station")
    same = session.exec(select(Upload).where(Upload.digest == digest)).first()  # 1
    if same is not None:
        return _exists(session, same.ack)
    new = _new_records(session, station, checked.upload)  # 2
    if not new:
        return _exists(session, _last_ack(session, station))
    book = Book(session, trust.env, now_s)
    reader = Reader(book, station, checked.items)
    _check_times(reader, new)
    _keep(session, head.station, new)
    _prepare(book, head.station, checked, new)
    for record in new:  # 3
        reader.apply(record)
    before = station.last
    station.last, station.head = head.last, head.head
    station.last_time_s = max(station.last_time_s, new[-1].time_s)
    session.add(station)
    _judge_waiting(book, head.station, before, head.last)
    conclude(book)  # 4, 5, 6
    answer = acknowledge(session, trust, ack, head, now_s)  # 7
    session.add(
        Upload(station=head.station, first=head.first, last=head.last, digest=digest,
               raw=checked.raw, ack=answer, arrived_s=now_s)
    )  # fmt: skip
    session.flush()
    return Answer(answer, Outcome.ACCEPTED)


def _keep(session: Session, station: bytes, new: Sequence[Record]) -> None:
    """The records as plain rows: nobody changes them."""
    session.execute(
        insert(RecordRow),
        [
            {"station": station, "sequence": r.sequence, "hash": r.hash, "kind": int(r.kind),
             "time_s": r.time_s, "raw": r.raw}
            for r in new
        ],
    )  # fmt: skip


def _prepare(book: Book, station: bytes, checked: Checked, new: Sequence[Record]) -> None:
    """Read at once what the records will ask for one by one."""
    book.held.load(i.card_id for i in checked.items.values() if not isinstance(i, Bad))
    outcomes = (r.body for r in new if isinstance(r.body, log.Receipted | log.Aborted))
    book.held.load_naming(station, (body.intent for body in outcomes))


def _exists(session: Session, ack: bytes) -> Answer:
    tally = session.get(Tally, DUPLICATES) or Tally(name=DUPLICATES)
    tally.value += 1
    session.add(tally)
    session.flush()
    return Answer(ack, Outcome.EXISTS)


def _judge_waiting(book: Book, station: bytes, before: int, last: int) -> None:
    """Receipts of this terminal that others carried home before its own log came."""
    rows = book.session.exec(
        select(ReceiptRow).where(
            ReceiptRow.terminal == station, ReceiptRow.terminal_sequence <= last,
            or_(col(ReceiptRow.terminal_sequence) > before,
                col(ReceiptRow.held).contains("awaiting-log")),
        )
    )  # fmt: skip
    book.debits |= {(r.card_id, r.sequence) for r in rows}


def conclude(book: Book) -> None:
    """Check the cards touched, judge the debits touched, post what follows."""
    book.session.flush()
    book.held.load({*book.cards, *(card_id for card_id, _ in book.debits)})
    for card_id in sorted(book.cards):
        receipts.check_card(book, card_id)
    judge_all(book)
    book.close()


def acknowledge(
    session: Session, trust: TrustStore, signer: Signer, head: UploadHead, now_s: int
) -> bytes:
    """Sign an acknowledgement, keep it, and enter it into the issuance log by its hash."""
    signed = sign_object(
        signer, Acknowledgement(head.station, head.last, head.head, now_s), trust.env
    )
    name = f"{head.station.hex()}/{head.last}/{now_s}"
    objects.keep(session, Acknowledgement.KIND, bytes(signed), name)
    issuance.append(session, trust, [object_item(signed)], now_s)
    return bytes(signed)


def _new_records(session: Session, station: Station, upload: log.Upload) -> list[Record]:
    head = upload.head
    if head.first > station.last + 1:
        raise UploadGapError(station.last + 1)
    overlap = [r for r in upload.records if r.sequence <= station.last]
    new = [r for r in upload.records if r.sequence > station.last]
    held = dict(
        session.exec(
            select(RecordRow.sequence, RecordRow.raw).where(
                RecordRow.station == head.station, RecordRow.sequence >= head.first,
                RecordRow.sequence <= head.last,
            )
        ).all()
    )  # fmt: skip
    for record in overlap:
        if held.get(record.sequence) != record.raw:
            raise ForkError(f"sequence {record.sequence} is held with other bytes")
    if new and new[0].previous != station.head:
        raise ForkError(f"sequence {new[0].sequence} does not link to what is held")
    return new


def _last_ack(session: Session, station: Station) -> bytes:
    found = session.exec(
        select(Upload.ack).where(Upload.station == station.station)
        .order_by(col(Upload.id).desc()).limit(1)
    ).first()  # fmt: skip
    if found is None:
        raise UnknownError("nothing of this station was ever acknowledged")
    return found


def _check_times(reader: Reader, new: list[Record]) -> None:
    """Time never runs backwards across uploads, nor ahead of arrival (invariant 11)."""
    if new[0].time_s < reader.station.last_time_s:
        reader.fault(11, new[0], "the log runs back in time")
    if new[-1].time_s > reader.book.now_s + _MAX_SKEW_S:
        reader.fault(11, new[-1], "the log is ahead of its arrival")


_MAX_SKEW_S = 300


def fork_fault(checked: Checked, why: str) -> Fault:
    """The finding of a forked chain (invariant 2); recorded in a transaction of its own."""
    head = checked.upload.head
    signed = Sign1.parse(checked.upload.signed_head.raw).hash
    return Fault(2, f"fork/{head.station.hex()}/{signed.hex()}", signed, head.station.hex(), why)
