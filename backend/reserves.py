"""Reserved losses: what moved from a lost card while a terminal could still debit it (§6).

A reserve is booked with its MOVE for as long as one of the stations that were open then is: it
clears with each late debit that becomes a recorded loss, with the SYNC or TERMINAL_LOST of the
last such station, or by a decision that writes it off (docs/ledger.md#reserves). What an object
does to a reserve it does when the issuance log holds it, so that its place there, and not the
moment its signature came back, stands between the uploads before and after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sqlmodel import Session, col, select

from backend import ledger, objects
from backend.book import Book
from backend.models import Card, Certificate, IntentRow, ReceiptRow, ReserveRow, Station
from keys.trust import TrustStore
from wire import cbor, dates
from wire.chain import IssuanceEntry
from wire.cvc import Role
from wire.objects import Decision, DecisionKind, TerminalLost
from wire.receipt import ReceiptKind


def open_stations(session: Session, card: Card) -> list[bytes]:
    """Stations that may still take the card's money: no SYNC of the block, not closed.

    Every station with a terminal or supervisor certificate whose end the card's own date, as far
    as it is known, has not passed; and every one whose newest SYNC lists an intent of this card.
    """
    text = str(card.card_date)
    from_s = dates.start_of_day_s(dates.date_from_bcd(bytes.fromhex(text)))
    acceptable = set(
        session.exec(
            select(Certificate.station).where(
                col(Certificate.role).in_([int(Role.TERMINAL), int(Role.SUPERVISOR)]),
                Certificate.expires >= from_s,
            )
        )
    )
    return [
        s.station
        for s in session.exec(select(Station).order_by(col(Station.station)))
        if s.lost is None
        and ((s.station in acceptable and not _knows(s, card)) or _pending(session, s, card))
    ]


def _knows(station: Station, card: Card) -> bool:
    return 0 < card.blocked_version <= station.hotlist_version


def _pending(session: Session, station: Station, card: Card) -> bool:
    listed = cbor.decode(station.pending) if station.pending else []
    for sequence in listed if isinstance(listed, list) else []:
        intent = session.get(IntentRow, (station.station, sequence))
        if intent is not None and intent.card_id == card.card_id:
            return True
    return False


def total(session: Session, wallet: int) -> int:
    """What is reserved of one wallet, over all cards."""
    rows = session.exec(select(ReserveRow).where(ReserveRow.wallet == wallet))
    return sum(left(row) for row in rows)


def left(row: ReserveRow) -> int:
    """What of a reserve is open: nothing once no station can debit the card."""
    return max(0, row.amount - max(0, row.lost)) if _holders(row) else 0


def _holders(row: ReserveRow) -> list[bytes]:
    listed = cbor.decode(row.holders)
    return [bytes(s) for s in listed if isinstance(s, bytes)] if isinstance(listed, list) else []


def _keep(session: Session, row: ReserveRow, holders: Iterable[bytes]) -> None:
    row.holders = cbor.encode([*sorted(holders)])
    session.add(row)
    session.flush()


# --- objects, when the issuance log takes them ----------------------------------------------


def entered(session: Session, trust: TrustStore, entry: IssuanceEntry) -> None:
    """What a decision or TERMINAL_LOST that the log now holds does to reserves."""
    shape = objects.draft_named(session, trust, entry.note, entry.item)
    transfers: list[ledger.Transfer] = []
    match shape:
        case Decision(kind=DecisionKind.MOVE):
            transfers = _book(session, shape, entry.item)
            objects.enter_decision(session, shape, entry.item, entry.time_s)
        case Decision(kind=DecisionKind.WRITE_OFF, first=0, last=0):
            row = session.get(ReserveRow, (shape.card_id, shape.wallet))
            if row is not None:
                transfers = _close(session, [row], entry.item)
        case TerminalLost():
            transfers = _release(session, shape.terminal, entry.item, is_lost=True)
        case _:
            return
    ledger.post(session, transfers, entry.time_s)


def _book(session: Session, d: Decision, evidence: bytes) -> list[ledger.Transfer]:
    card = session.get(Card, d.card_id)
    programme = objects.by_wallet(session).get(d.wallet)
    if card is None or programme is None:
        return []
    holders = open_stations(session, card)
    if not holders:
        return []
    row = session.get(ReserveRow, (d.card_id, d.wallet))
    if row is None or not _holders(row):
        row = row or ReserveRow(card_id=d.card_id, wallet=d.wallet, programme=programme.code)
        row.amount = row.lost = 0
        row.holders = cbor.encode([])
    row.lost = min(row.lost, row.amount)
    row.amount += d.amount
    _keep(session, row, {*_holders(row), *holders})
    return [ledger.reserve(evidence, programme.code, d.amount)]


def _close(
    session: Session, rows: Iterable[ReserveRow], evidence: bytes
) -> list[ledger.Transfer]:  # fmt: skip
    """These reserves are over: one entry per programme."""
    cleared: Counter[int] = Counter()
    for row in rows:
        cleared[row.programme] += left(row)
        _keep(session, row, [])
    return [ledger.reserve_cleared(evidence, code, n) for code, n in sorted(cleared.items()) if n]


def _release(
    session: Session, station: bytes, evidence: bytes, *, is_lost: bool
) -> list[ledger.Transfer]:  # fmt: skip
    over = []
    for row in session.exec(select(ReserveRow)).all():
        holders = _holders(row)
        if station not in holders or not (is_lost or _is_free(session, station, row.card_id)):
            continue
        if holders == [station]:
            over.append(row)
        else:
            _keep(session, row, [s for s in holders if s != station])
    return _close(session, over, evidence)


def _is_free(session: Session, name: bytes, card_id: bytes) -> bool:
    station, card = session.get(Station, name), session.get(Card, card_id)
    if station is None or card is None:
        return False
    return _knows(station, card) and not _pending(session, station, card)


# --- records ------------------------------------------------------------


def synced(book: Book, station: bytes, evidence: bytes) -> None:
    """A station's SYNC: reserves that waited for it alone are over."""
    book.session.flush()
    for transfer in _release(book.session, station, evidence, is_lost=False):
        book.add(transfer)


def settled(book: Book, receipt: ReceiptRow) -> None:
    """A recorded loss takes the reserve's place; its reversal gives it back."""
    row = book.session.get(ReserveRow, (receipt.card_id, receipt.wallet))
    if row is None or not receipt.lost:
        return
    before = left(row)
    row.lost += receipt.lost if receipt.kind == ReceiptKind.DEBIT else -receipt.lost
    book.session.add(row)
    change = left(row) - before
    if change > 0:
        book.add(ledger.reserve(receipt.hash, row.programme, change))
    if change < 0:
        book.add(ledger.reserve_cleared(receipt.hash, row.programme, -change))
