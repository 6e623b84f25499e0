"""A receipt among its neighbours: other cards, other wallets, the sequence before and after."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from sqlmodel import Session, select

from backend import receipts
from backend.book import Book
from backend.held import CardHeld
from backend.models import Card, Hold, ReceiptRow, WalletState
from tests.support import backend_rows as rows
from tests.support.backend_rows import CODE, HIGH, LOW, NOW_S, WALLET, A, B, C, name
from wire.objects import DecisionKind, Window
from wire.receipt import Counters, ReceiptKind

DEBIT, REVERSAL = ReceiptKind.DEBIT, ReceiptKind.REVERSAL


@pytest.fixture
def session() -> Iterator[Session]:
    with rows.empty() as made:
        yield made


@pytest.fixture
def book(session: Session) -> Book:
    """Three cards entitled to 1000 of each wallet, and their programmes."""
    rows.programmes(session)
    for card in rows.cards(session):
        for wallet in rows.WALLETS:
            rows.entitlement(session, 1000, card_id=card.card_id, wallet=wallet)
    return rows.book(session)


def card_of(book: Book, card_id: bytes = B) -> Card:
    found = book.session.get(Card, card_id)
    assert found is not None
    return found


def test_find_is_by_card_and_sequence(session: Session) -> None:
    for card_id in (A, B, C):
        for n in (1, 2, 3):
            rows.held(session, rows.receipt(n, card_id=card_id))
    for card_id in (A, B, C):
        for n in (1, 2, 3):
            found = receipts.find(session, card_id, n)
            assert found is not None
            assert (found.card_id, found.sequence) == (card_id, n)
    for card_id, n in ((A, 5), (C, 5), (B, 7), (B, 9)):
        rows.held(session, rows.receipt(n, card_id=card_id))
    for n in (0, 5, 8):
        assert receipts.find(session, B, n) is None


# --- settling ----------------------------------------------------------------------------------


def test_a_receipt_is_entered_as_it_stands(book: Book, session: Session) -> None:
    of = rows.receipt(1, 30, counters=(1000, 30, 0, 0), basket_version=4, terminal_sequence=77)
    row = receipts.settle(book, of)
    session.flush()
    assert row is not None
    assert row is session.get(ReceiptRow, of.hash)
    wanted = rows.row_of(of)
    assert row.model_dump() == wanted.model_dump()
    assert receipts.settle(book, of) is row
    assert rows.legs(book.transfers) == [("debit", of.hash, f"redeemed/{CODE}", 30)]
    assert book.debits == {(B, 1)}
    assert book.cards == {B}
    assert book.held.card(B).wallets[WALLET].debited == 30
    assert rows.findings(session) == []


@pytest.mark.parametrize("larger", [False, True])
def test_a_clone_is_found_and_holds_the_one_that_was_first(
    book: Book, session: Session, *, larger: bool
) -> None:
    both = (rows.receipt(1, 30), rows.receipt(1, 40))
    first, second = sorted(both, key=lambda r: r.hash, reverse=larger)
    receipts.settle(book, first)
    book.debits.clear()
    book.transfers.clear()
    assert receipts.settle(book, second) is None
    assert receipts.settle(book, second) is None
    assert rows.findings(session) == [(3, f"{B.hex()}/1/{second.hash.hex()}")]
    assert [(h.receipt, h.why, h.evidence) for h in session.exec(select(Hold))] == [
        (first.hash, "clone", second.hash)]  # fmt: skip
    assert book.debits == {(B, 1)}
    assert book.transfers == []
    assert session.get(ReceiptRow, second.hash) is None


def test_a_hold_is_of_one_receipt_for_one_reason(book: Book, session: Session) -> None:
    every = [rows.held(session, rows.receipt(n)) for n in (1, 2, 3)]
    every.sort(key=lambda r: r.hash)
    for row, why in ((every[0], "m"), (every[2], "m"), (every[1], "l"), (every[1], "n")):
        receipts.hold(book, row, why, name(why))
    receipts.hold(book, every[1], "m", name(1))
    receipts.hold(book, every[1], "m", name(2))  # the first evidence stays
    held = [(h.why, h.evidence) for h in session.exec(select(Hold))
            if h.receipt == every[1].hash]  # fmt: skip
    assert held == [("l", name("l")), ("n", name("n")), ("m", name(1))]
    assert book.debits == {(B, 1), (B, 2), (B, 3)}


@pytest.mark.parametrize("why", ["l", "n"])
@pytest.mark.parametrize("other", [0, 2])
def test_another_receipts_hold_or_another_reason_holds_nothing(
    book: Book, session: Session, why: str, other: int
) -> None:
    every = sorted((rows.held(session, rows.receipt(n)) for n in (1, 2, 3)), key=lambda r: r.hash)
    receipts.hold(book, every[1], why, name(why))
    receipts.hold(book, every[1], "m", name("m"))
    receipts.hold(book, every[other], "m", name("o"))
    assert [h.why for h in session.exec(select(Hold))] == [why, "m", "m"]


@pytest.mark.parametrize(("kind", "before", "told"), [
    (DEBIT, "", False), (DEBIT, "no-intent", False), (DEBIT, "awaiting-log,unseen-reversal", True),
    (REVERSAL, "", True), (REVERSAL, None, True), (DEBIT, None, False),
])  # fmt: skip
def test_who_else_is_judged_when_a_receipt_comes(
    book: Book, session: Session, kind: ReceiptKind, before: str | None, told: bool
) -> None:
    """A reversal tells of the receipt before it; a debit does when that was in doubt."""
    for n in (1, 3):
        rows.held(session, rows.receipt(n, terminal_sequence=n), held="unseen-reversal")
    if before is not None:
        rows.held(session, rows.receipt(4), held=before)
    receipts.settle(book, rows.receipt(5, 10, kind=kind, counters=(1000, 10, 0, 0)))
    assert book.debits == {(B, 5)} | ({(B, 4)} if told else set())


# --- what is lost ------------------------------------------------------------------------------


@pytest.mark.parametrize(("debited", "back", "forfeited", "lost"), [
    (1000, 0, 0, 0), (1001, 0, 0, 1), (1030, 0, 0, 30), (1031, 0, 0, 30), (1005, 5, 0, 0),
    (1005, 4, 0, 1), (1000, 0, 1, 1), (30, 0, 0, 0),
])  # fmt: skip
def test_what_lies_above_the_entitlement_is_lost(
    book: Book, debited: int, back: int, forfeited: int, lost: int
) -> None:
    of = rows.receipt(1, 30, counters=(5000, debited, forfeited, back))
    row = receipts.settle(book, of)
    assert row is not None
    assert row.lost == lost
    wanted = [("debit", of.hash, f"redeemed/{CODE}", 30 - lost)] if lost < 30 else []
    wanted += [("loss", of.hash, f"loss/{CODE}", lost)] if lost else []
    got = [x for x in rows.legs(book.transfers) if x[0] != "forfeit"]
    assert got == wanted


@pytest.mark.parametrize(("kind", "lost", "gone"), [
    (DEBIT, 7, 7), (DEBIT, 0, 0), (REVERSAL, 7, 0), (None, 0, 0),
])  # fmt: skip
def test_a_reversal_gives_back_what_its_debit_lost(
    book: Book, session: Session, kind: ReceiptKind | None, lost: int, gone: int
) -> None:
    for n in (2, 4, 7):
        rows.held(session, rows.receipt(n, terminal_sequence=n), lost=3)
    if kind is not None:
        rows.held(session, rows.receipt(5, 30, kind=kind), lost=lost)
    of = rows.receipt(6, 30, kind=REVERSAL, counters=(5000, 4000, 0, 30))
    row = receipts.settle(book, of)
    assert row is not None
    assert row.lost == gone
    wanted = [("reversal", of.hash, f"outstanding/{CODE}", 30 - gone)]
    wanted += [("loss", of.hash, f"loss/{CODE}", -gone)] if gone else []
    assert rows.legs(book.transfers) == wanted


@pytest.mark.parametrize(("after", "at", "lost"), [
    (REVERSAL, 2, 0), (DEBIT, 2, 30), (REVERSAL, 3, 30), (None, 2, 30),
])  # fmt: skip
def test_a_debit_whose_reversal_came_first_loses_nothing(
    book: Book, session: Session, after: ReceiptKind | None, at: int, lost: int
) -> None:
    if after is not None:
        rows.held(session, rows.receipt(at, 30, kind=after))
    row = receipts.settle(book, rows.receipt(1, 30, counters=(9000, 9000, 0, 0)))
    assert row is not None
    assert row.lost == lost


def test_what_a_card_may_lose_is_of_its_own_wallet(session: Session) -> None:
    card = CardHeld(issued={(LOW, 1): 500, (WALLET, 1): 100, (HIGH, 1): 900})
    of = rows.receipt(1, 30, counters=(9000, 110, 0, 0))
    assert receipts._lost(card, of) == 10


def test_moved_away_is_of_one_card_and_wallet(session: Session) -> None:
    kinds = (DecisionKind.RETURN, DecisionKind.MOVE, DecisionKind.WRITE_OFF)
    n = 1
    for card_id in (A, B, C):
        for wallet in (LOW, WALLET, HIGH):
            for kind in kinds:
                rows.decision(session, kind, n, card_id=card_id, wallet=wallet)
                n *= 2
    rows.decision(session, DecisionKind.MOVE, n, first=1)
    assert receipts.moved_away(session, B, WALLET) == (1 << 13) + n
    assert receipts.moved_away(session, B, 1) == 0
    assert receipts.moved_away(session, b"nobody..", WALLET) == 0


def test_a_wallet_of_no_programme_is_not_booked(session: Session) -> None:
    rows.card(session)
    book = rows.book(session)
    of = rows.receipt(1, 30, counters=(1000, 30, 5, 0))
    receipts.settle(book, of)
    assert book.transfers == []
    assert rows.findings(session) == [(7, f"{B.hex()}/1")]


# --- counters ----------------------------------------------------------------------------------


def test_counters_only_ever_grow_each_by_itself(book: Book, session: Session) -> None:
    def see(*c: int, wallet: int = WALLET) -> WalletState:
        return receipts._see_counters(book, B, wallet, Counters(*c), name(c))

    state = see(10, 4, 3, 2)
    assert (state.loaded, state.debited, state.forfeited, state.reversed) == (10, 4, 3, 2)
    assert rows.legs(book.transfers) == [("forfeit", name((10, 4, 3, 2)), f"forfeited/{CODE}", 3)]
    assert see(9, 3, 2, 1) is state
    assert (state.loaded, state.debited, state.forfeited, state.reversed) == (10, 4, 3, 2)
    see(11, 4, 3, 2)
    see(11, 5, 3, 2)
    assert len(book.transfers) == 1
    see(11, 5, 5, 2)
    see(11, 5, 5, 3)
    assert (state.loaded, state.debited, state.forfeited, state.reversed) == (11, 5, 5, 3)
    assert rows.legs(book.transfers)[1:] == [
        ("forfeit", name((11, 5, 5, 2)), f"forfeited/{CODE}", 2)]  # fmt: skip
    other = see(1, 0, 0, 0, wallet=LOW)
    assert (other.loaded, state.loaded) == (1, 11)
    session.flush()
    assert session.get(WalletState, (B, WALLET)) is state


def test_a_step_of_r_doubts_the_last_before_each_gap_of_its_wallet(
    book: Book, session: Session
) -> None:
    """1 2 _ 4 5(other wallet) _ 7: only 2 and 7 can hide an unseen reversal of this wallet."""
    for n, wallet in ((1, WALLET), (2, WALLET), (4, WALLET), (5, LOW), (7, WALLET), (9, HIGH)):
        rows.held(session, rows.receipt(n, wallet=wallet))
    rows.held(session, rows.receipt(3, card_id=A))
    before = {(B, 2), (A, 9)}
    for step, told in ((0, set()), (1, {(B, 2), (B, 7)}), (1, set()), (0, set())):
        book.debits = set(before)
        receipts._see_counters(book, B, WALLET, Counters(9, 9, 0, step), name())
        assert book.debits == before | told


def test_the_date_of_a_card_only_goes_forward(book: Book) -> None:
    for day, known in ((date(2026, 3, 16), 20260316), (date(2026, 3, 15), 20260316),
                       (date(2026, 3, 17), 20260317)):  # fmt: skip
        book.cards.clear()
        receipts._see_card(book, rows.receipt(1, card_date=day))
        assert card_of(book).card_date == known
        assert book.cards == {B}
    book.cards.clear()
    stranger = rows.receipt(1, card_id=B)
    book.held._cards[B] = CardHeld()  # nobody certified it
    assert receipts._see_card(book, stranger) is None
    assert book.cards == set()


# --- what one receipt shows --------------------------------------------------------------------


@pytest.mark.parametrize(("named", "loaded", "found"), [
    ((WALLET, 1), 1000, []), ((WALLET, 1), 999, [6]), ((WALLET, 1), 1001, [6]),
    ((WALLET, 2), 1000, [7]), ((WALLET, 0), 1000, [7]), ((0x1A09, 1), 1000, [7]),
])  # fmt: skip
def test_l_of_a_receipt_is_that_of_the_entitlement_it_names(
    book: Book, session: Session, named: tuple[int, int], loaded: int, found: list[int]
) -> None:
    wallet, number = named
    of = rows.receipt(1, wallet=wallet, counters=(loaded, 10, 0, 0), entitlement_sequence=number)
    receipts.settle(book, of)
    assert rows.findings(book.session) == [(n, f"{B.hex()}/1") for n in found]


@pytest.mark.parametrize(("kind", "asked", "found"), [
    (DEBIT, (50, 3), []), (DEBIT, (51, 3), ["cap"]), (DEBIT, (50, 4), ["bypass"]),
    (DEBIT, (51, 4), ["cap", "bypass"]), (REVERSAL, (51, 4), []), (DEBIT, (1, 0), []),
])  # fmt: skip
def test_the_cap_and_the_bypasses_of_a_debit(
    book: Book, session: Session, kind: ReceiptKind, asked: tuple[int, int], found: list[str]
) -> None:
    amount, bypass = asked
    of = rows.receipt(1, amount, kind=kind, bypass_count=bypass, counters=(1000, amount, 0, 0))
    receipts.settle(book, of)
    assert rows.findings(book.session) == [(10, f"{B.hex()}/1/{x}") for x in found]


@pytest.mark.parametrize(("t", "is_open"), [
    (99, False), (100, True), (199, True), (200, False), (299, False), (300, True), (399, True),
    (400, False),
])  # fmt: skip
def test_a_debit_lies_in_one_of_the_windows(session: Session, t: int, is_open: bool) -> None:
    """The first second of a window is in it, its end is not."""
    rows.programme(session, windows=(Window(100, 200), Window(300, 400)))
    rows.card(session)
    rows.entitlement(session, 1000)
    receipts.settle(rows.book(session), rows.receipt(1, terminal_time_s=t))
    assert rows.findings(session) == ([] if is_open else [(10, f"{B.hex()}/1/window")])


def test_without_windows_it_is_always_open(book: Book, session: Session) -> None:
    receipts.settle(book, rows.receipt(1, terminal_time_s=1))
    receipts.settle(book, rows.receipt(2, kind=REVERSAL, terminal_time_s=NOW_S))
    assert rows.findings(session) == []
