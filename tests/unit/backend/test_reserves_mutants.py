"""Which stations may still take a lost card's money, and what each event does to its reserve."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlmodel import Session, select

from backend import objects, receipts, reserves
from backend.errors import UnknownError
from backend.models import Card, Certificate, Ledger, ReserveRow, Station
from keys.signer import sign_object
from keys.trust import TrustStore
from tests.support import backend_rows as rows
from tests.support.backend_rows import (
    CODE,
    HIGH,
    LOW,
    NOW_S,
    ONE,
    THREE,
    TWO,
    WALLET,
    A,
    B,
    C,
    name,
)  # fmt: skip
from wire import cbor
from wire.chain import IssuanceEntry, IssuanceKind, LedgerEntry
from wire.cvc import Role
from wire.objects import Decision, DecisionKind, SignedShape, TerminalLost
from wire.receipt import ReceiptKind

DAY = 20260316
DAY_S = int(datetime(2026, 3, 16, tzinfo=UTC).timestamp())


@pytest.fixture
def session() -> Iterator[Session]:
    with rows.empty() as made:
        rows.programmes(made)
        rows.cards(made, card_date=DAY, blocked_version=5)
        for at in rows.STATIONS:
            rows.station(made, at, hotlist_version=4)
        yield made


def card(session: Session, card_id: bytes = B) -> Card:
    found = session.get(Card, card_id)
    assert found is not None
    return found


def station(session: Session, at: bytes = TWO) -> Station:
    found = session.get(Station, at)
    assert found is not None
    return found


def certified(session: Session, at: bytes, *, role: Role = Role.TERMINAL, expires: int = DAY_S,
              n: int = 0) -> None:  # fmt: skip
    rows.put(session, Certificate(digest=name(at, n, role), station=at, serial=1, role=int(role),
                                  officer=0, effective=0, expires=expires, raw=b""))  # fmt: skip


def left(session: Session) -> dict[tuple[bytes, int], int]:
    return {(r.card_id, r.wallet): reserves.left(r) for r in session.exec(select(
        ReserveRow))}  # fmt: skip


# --- who may still take it ---------------------------------------------------------------------


@pytest.mark.parametrize(("role", "expires", "is_open"), [
    (Role.TERMINAL, DAY_S, True), (Role.TERMINAL, DAY_S + 1, True),
    (Role.TERMINAL, DAY_S - 1, False), (Role.SUPERVISOR, DAY_S, True),
    *[(r, DAY_S + 9, False) for r in Role if r not in {Role.TERMINAL, Role.SUPERVISOR}],
])  # fmt: skip
def test_whose_certificate_the_card_takes(
    session: Session, role: Role, expires: int, *, is_open: bool
) -> None:
    certified(session, TWO, role=role, expires=expires)
    certified(session, TWO, expires=DAY_S - 1, n=1)
    assert reserves.open_stations(session, card(session)) == ([TWO] if is_open else [])


@pytest.mark.parametrize(("blocked", "known", "is_open"), [
    (5, 4, True), (5, 5, False), (5, 6, False), (1, 1, False), (1, 0, True), (0, 0, True),
    (0, 9, True),
])  # fmt: skip
def test_a_station_that_knows_of_the_block_is_over(
    session: Session, blocked: int, known: int, *, is_open: bool
) -> None:
    certified(session, TWO)
    card(session).blocked_version, station(session).hotlist_version = blocked, known
    assert reserves.open_stations(session, card(session)) == ([TWO] if is_open else [])


def test_a_closed_station_takes_nothing(session: Session) -> None:
    for at in (THREE, ONE, TWO):
        certified(session, at)
    assert reserves.open_stations(session, card(session)) == [ONE, TWO, THREE]
    station(session).lost = name("lost")
    assert reserves.open_stations(session, card(session)) == [ONE, THREE]


@pytest.mark.parametrize(("listed", "is_open"), [
    (cbor.encode([7]), True), (cbor.encode([8]), False), (cbor.encode([9]), False),
    (cbor.encode([8, 9, 7]), True), (cbor.encode([]), False), (b"", False),
    (cbor.encode([6]), False),
])  # fmt: skip
def test_an_intent_of_this_card_in_the_newest_sync(
    session: Session, listed: bytes, *, is_open: bool
) -> None:
    """Whatever the hotlist it knows and its certificates; not once it is closed."""
    for n, card_id in ((7, B), (8, A), (9, C)):
        rows.intent(session, n, card_id=card_id)
    rows.intent(session, 6, at=ONE)
    at = station(session)
    at.pending, at.hotlist_version = listed, 9
    assert reserves.open_stations(session, card(session)) == ([TWO] if is_open else [])
    at.lost = name("lost")
    assert reserves.open_stations(session, card(session)) == []


# --- how much ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("amount", "lost", "holders", "wanted"), [
    (10, 0, (ONE,), 10), (10, 3, (ONE,), 7), (10, 10, (ONE,), 0), (10, 11, (ONE,), 0),
    (10, -2, (ONE,), 10), (10, 0, (), 0), (10, 1, (ONE, TWO), 9), (1, 0, (ONE,), 1),
    (10, 1, (ONE,), 9),
])  # fmt: skip
def test_what_is_left_of_a_reserve(
    session: Session, amount: int, lost: int, holders: tuple[bytes, ...], wanted: int
) -> None:
    assert reserves.left(rows.reserve(session, amount, lost=lost, holders=holders)) == wanted


def test_the_total_is_of_one_wallet_over_all_cards(session: Session) -> None:
    for n, card_id in enumerate((A, B, C)):
        for m, wallet in enumerate((LOW, WALLET, HIGH)):
            rows.reserve(session, 10 ** (3 * m + n), card_id=card_id, wallet=wallet)
    assert [reserves.total(session, w) for w in (LOW, WALLET, HIGH, 9)] == [
        111, 111_000, 111_000_000, 0]  # fmt: skip


# --- when the log takes an object --------------------------------------------------------------


@pytest.fixture
def trust() -> TrustStore:
    return TrustStore(rows.people().trust, allow_demo=True)


def enter(session: Session, trust: TrustStore, shape: SignedShape) -> bytes:
    """Draft it, sign it, and have the log take it; its hash."""
    objects.draft(session, shape, f"{shape.KIND}-{len(bytes(shape))}-{name(bytes(shape)).hex()}")
    made = sign_object(rows.people().signer(shape.SIGNER), shape, rows.ENV).hash
    reserves.entered(session, trust, IssuanceEntry(
        1, bytes(32), NOW_S, IssuanceKind.OBJECT, made, None, None, None, None, shape.KIND,
    ))  # fmt: skip
    return made


def move(amount: int, card_id: bytes = B, wallet: int = WALLET, number: str = "1") -> Decision:
    return Decision(number, DecisionKind.MOVE, card_id, wallet, 0, 0, amount, A, "x", NOW_S)


def ledger_of(session: Session) -> list[tuple[str, bytes, int]]:
    """(kind, evidence, amount) of every entry but those of the move itself."""
    every = session.exec(select(Ledger).order_by(Ledger.sequence)).all()  # type: ignore[arg-type]
    made = [(e.kind, e.evidence, LedgerEntry.parse(e.raw)) for e in every]
    return [(k, e, x.postings[1].amount) for k, e, x in made if k != "move"]


def row(session: Session, card_id: bytes = B, wallet: int = WALLET) -> ReserveRow:
    found = session.get(ReserveRow, (card_id, wallet))
    assert found is not None
    return found


def test_a_move_reserves_what_open_stations_may_still_take(
    session: Session, trust: TrustStore
) -> None:
    certified(session, THREE)
    certified(session, ONE)
    first = enter(session, trust, move(5))
    of = row(session)
    assert (of.amount, of.lost, of.programme) == (5, 0, CODE)
    assert cbor.decode(of.holders) == [ONE, THREE]
    assert ledger_of(session) == [("reserve", first, 5)]
    assert session.get(rows.DecisionRow, first) is not None
    # Another of the same wallet adds to it, and to who it waits for.
    of.lost = 7
    station(session, ONE).lost = name("lost")
    certified(session, TWO)
    second = enter(session, trust, move(3, number="2"))
    assert (of.amount, of.lost) == (8, 5)
    assert cbor.decode(of.holders) == [ONE, TWO, THREE]
    assert ledger_of(session)[1:] == [("reserve", second, 3)]
    assert left(session) == {(B, WALLET): 3}


@pytest.mark.parametrize("lost", [0, 2])
def test_a_reserve_that_was_over_begins_anew(
    session: Session, trust: TrustStore, lost: int
) -> None:
    certified(session, TWO)
    of = rows.reserve(session, 10, lost=lost, holders=())
    enter(session, trust, move(5))
    assert (of.amount, of.lost, cbor.decode(of.holders)) == (5, 0, [TWO])


def test_nobody_to_wait_for_no_reserve(session: Session, trust: TrustStore) -> None:
    made = enter(session, trust, move(5))
    assert session.get(ReserveRow, (B, WALLET)) is None
    assert ledger_of(session) == []
    assert session.get(rows.DecisionRow, made) is not None


def test_a_move_of_a_card_or_wallet_nobody_knows_reserves_nothing(
    session: Session, trust: TrustStore
) -> None:
    certified(session, TWO)
    enter(session, trust, move(5, b"nobody.."))
    with pytest.raises(UnknownError):
        enter(session, trust, move(5, wallet=9))
    assert session.exec(select(ReserveRow)).all() == []


def three(session: Session) -> None:
    """Reserves of all three cards and of the neighbouring wallets."""
    for n, card_id in enumerate((A, B, C)):
        for m, wallet in enumerate((LOW, WALLET, HIGH)):
            rows.reserve(session, 10 ** (3 * m + n), card_id=card_id, wallet=wallet)


@pytest.mark.parametrize(("kind", "first", "last", "over"), [
    (DecisionKind.WRITE_OFF, 0, 0, True), (DecisionKind.WRITE_OFF, 1, 1, False),
    (DecisionKind.WRITE_OFF, 0, 1, False), (DecisionKind.WRITE_OFF, 1, 0, False),
    (DecisionKind.PAY, 0, 0, False), (DecisionKind.RETURN, 0, 0, False),
    (DecisionKind.CLOSE_GAP, 0, 0, False),
])  # fmt: skip
def test_a_decision_over_no_receipt_writes_a_reserve_off(
    session: Session, trust: TrustStore, kind: DecisionKind, *, first: int, last: int, over: bool
) -> None:  # fmt: skip
    three(session)
    before = left(session)
    made = enter(session, trust, Decision("1", kind, B, WALLET, first, last, 0, None, "x", NOW_S))
    if over:
        before[B, WALLET] = 0
    assert left(session) == before
    assert ledger_of(session) == ([("reserve-cleared", made, 10_000)] if over else [])
    if over:
        session.delete(row(session))
        session.flush()
        enter(session, trust, Decision("2", kind, B, WALLET, 0, 0, 0, None, "x", NOW_S))
        assert len(ledger_of(session)) == 1


def test_a_lost_terminal_ends_what_waits_for_it_alone(session: Session, trust: TrustStore) -> None:
    """One entry a programme, whatever is pending there; others wait on."""
    rows.reserve(session, 1, card_id=A)
    rows.reserve(session, 10, card_id=B)
    rows.reserve(session, 100, card_id=C, holders=(ONE, TWO))
    rows.reserve(session, 1000, wallet=HIGH)
    rows.reserve(session, 10_000, wallet=LOW, lost=10_000)
    rows.reserve(session, 7, card_id=A, wallet=LOW, holders=(ONE,))
    rows.reserve(session, 8, card_id=C, wallet=LOW, holders=(THREE,))
    made = enter(session, trust, TerminalLost(TWO, 0, "x", NOW_S))
    assert ledger_of(session) == [("reserve-cleared", made, 11), ("reserve-cleared", made, 1000)]
    assert {k: n for k, n in left(session).items() if n} == {
        (C, WALLET): 100, (A, LOW): 7, (C, LOW): 8}  # fmt: skip
    assert cbor.decode(row(session, C).holders) == [ONE]
    first = enter(session, trust, TerminalLost(ONE, 0, "y", NOW_S))
    assert ledger_of(session)[2:] == [("reserve-cleared", first, 7),
                                      ("reserve-cleared", first, 100)]  # fmt: skip


def test_what_the_office_never_drafted_does_nothing(session: Session, trust: TrustStore) -> None:
    three(session)
    before = left(session)
    for note in ("decision", "terminal-lost", "nothing"):
        reserves.entered(session, trust, IssuanceEntry(
            1, bytes(32), NOW_S, IssuanceKind.OBJECT, name(), None, None, None, None, note,
        ))  # fmt: skip
    assert left(session) == before
    assert ledger_of(session) == []


# --- a SYNC, and what is lost ------------------------------------------------------------------


def synced(session: Session, at: bytes = TWO) -> list[tuple[str, bytes, str, int]]:
    book = rows.book(session)
    reserves.synced(book, at, name("sync"))
    return rows.legs(book.transfers)


@pytest.mark.parametrize(("known", "pending", "over"), [
    (4, [], False), (5, [], True), (6, [], True), (5, [7], False), (5, [8], True),
])  # fmt: skip
def test_a_sync_ends_a_reserve_when_the_block_is_known_and_nothing_pending(
    session: Session, known: int, pending: list[int], *, over: bool
) -> None:
    rows.intent(session, 7)
    rows.intent(session, 8, card_id=A)
    for at in (ONE, THREE):
        station(session, at).hotlist_version = 9
    rows.reserve(session, 10)
    of = station(session)
    of.hotlist_version, of.pending = known, cbor.encode([*pending])
    cleared = [("reserve-cleared", name("sync"), f"reserved-loss/{CODE}", 10)]
    assert synced(session) == (cleared if over else [])
    assert left(session) == {(B, WALLET): 0 if over else 10}
    assert synced(session) == []


def test_a_sync_of_one_of_several_leaves_it_waiting(session: Session) -> None:
    for at in rows.STATIONS:
        station(session, at).hotlist_version = 5
    rows.reserve(session, 10, holders=(ONE, TWO, THREE))
    assert synced(session) == []
    assert cbor.decode(row(session).holders) == [ONE, THREE]
    assert synced(session) == []
    assert synced(session, ONE) == []
    assert len(synced(session, THREE)) == 1


def test_a_reserve_of_no_card_or_for_no_station_waits(session: Session) -> None:
    rows.reserve(session, 10, card_id=b"nobody..")
    rows.reserve(session, 10, holders=(b"TERM0009",))
    station(session).hotlist_version = 9
    assert synced(session) == []
    assert synced(session, b"TERM0009") == []


@pytest.mark.parametrize(("amount", "lost", "takes", "kind", "wanted"), [
    (10, 0, 3, ReceiptKind.DEBIT, ("reserve-cleared", f"reserved-loss/{CODE}", 3)),
    (10, 0, 1, ReceiptKind.DEBIT, ("reserve-cleared", f"reserved-loss/{CODE}", 1)),
    (10, 3, 1, ReceiptKind.REVERSAL, ("reserve", f"reserve/{CODE}", 1)),
    (10, 0, 10, ReceiptKind.DEBIT, ("reserve-cleared", f"reserved-loss/{CODE}", 10)),
    (10, 0, 12, ReceiptKind.DEBIT, ("reserve-cleared", f"reserved-loss/{CODE}", 10)),
    (10, 10, 2, ReceiptKind.DEBIT, None), (10, 0, 0, ReceiptKind.DEBIT, None),
    (10, 3, 3, ReceiptKind.REVERSAL, ("reserve", f"reserve/{CODE}", 3)),
    (10, 12, 3, ReceiptKind.REVERSAL, ("reserve", f"reserve/{CODE}", 1)),
    (10, 13, 3, ReceiptKind.REVERSAL, None), (10, 0, 3, ReceiptKind.REVERSAL, None),
])  # fmt: skip
def test_a_recorded_loss_takes_the_place_of_the_reserve(
    session: Session, amount: int, lost: int, *, takes: int, kind: ReceiptKind,
    wanted: tuple[str, str, int] | None,
) -> None:  # fmt: skip
    three(session)
    of = row(session)
    of.amount, of.lost = amount, lost
    book = rows.book(session)
    receipt = rows.row_of(rows.receipt(1, 20, kind=kind), lost=takes)
    reserves.settled(book, receipt)
    made = [] if wanted is None else [(wanted[0], receipt.hash, *wanted[1:])]
    assert rows.legs(book.transfers) == made
    assert of.lost == lost + (takes if kind == ReceiptKind.DEBIT else -takes)


def test_a_receipt_that_is_lost_reaches_its_reserve(session: Session) -> None:
    rows.reserve(session, 10)
    rows.entitlement(session, 5)
    book = rows.book(session)
    receipt = rows.receipt(1, 9, counters=(100, 9, 0, 0))
    receipts.settle(book, receipt)
    assert rows.legs(book.transfers) == [
        ("debit", receipt.hash, f"redeemed/{CODE}", 5), ("loss", receipt.hash, f"loss/{CODE}", 4),
        ("reserve-cleared", receipt.hash, f"reserved-loss/{CODE}", 4),
    ]  # fmt: skip
    receipts.settle(book, rows.receipt(1, 9, card_id=A, counters=(100, 9, 0, 0)))
    assert [k for k, *_ in rows.legs(book.transfers)[3:]] == ["loss"]
    assert row(session).lost == 4
