"""Statements, and one card's row of receipts: its prefix, its links, its steps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import Session, select

from backend import receipts
from backend.book import Book
from backend.models import Card, StatementRow, WalletState
from tests.support import backend_rows as rows
from tests.support.backend_rows import HIGH, LOW, WALLET, A, B, C, name
from wire.objects import DecisionKind
from wire.receipt import Receipt, ReceiptKind, StatementKind

DEBIT, REVERSAL = ReceiptKind.DEBIT, ReceiptKind.REVERSAL


@pytest.fixture
def session() -> Iterator[Session]:
    with rows.empty() as made:
        yield made


@pytest.fixture
def book(session: Session) -> Book:
    rows.programmes(session)
    rows.cards(session)
    return rows.book(session)


def card_of(book: Book, card_id: bytes = B) -> Card:
    found = book.session.get(Card, card_id)
    assert found is not None
    return found


# --- statements --------------------------------------------------------------------------------


def test_a_statement_is_kept_once(book: Book, session: Session) -> None:
    made = [rows.statement(StatementKind.LOAD, counters=(7, 2, 1, 1)),
            rows.statement(StatementKind.SCRIPT, number=4, script_count=4)]  # fmt: skip
    assert book.held.card(B).loads == []
    for of in (*made, *made):
        receipts.state(book, of)
    kept = session.exec(select(StatementRow).order_by(StatementRow.kind)).all()  # type: ignore[arg-type]
    assert [(s.hash, s.card_id, s.kind, s.number, s.raw) for s in kept] == [
        (s.hash, B, int(s.kind), s.number, s.raw) for s in made]  # fmt: skip
    assert book.held.card(B).loads == [made[0]]
    assert book.cards == {B}


def test_each_kind_of_statement_tells_its_own(book: Book, session: Session) -> None:
    def after(kind: StatementKind, **changes: int) -> tuple[bool, int, int, set[int]]:
        of = rows.statement(kind, counters=(7, 2, 1, 1), **changes)
        receipts.state(book, of)
        card = card_of(book)
        session.flush()
        known = {w.wallet for w in session.exec(select(WalletState))}
        return card.active, card.pin_set_count, card.script_count, known

    many = {"pin_set_count": 5, "script_count": 6}
    assert after(StatementKind.PIN_SET, **many) == (False, 5, 0, set())
    assert after(StatementKind.PIN_SET, pin_set_count=4) == (False, 5, 0, set())
    assert after(StatementKind.SCRIPT, **many) == (False, 5, 6, set())
    assert after(StatementKind.SCRIPT, script_count=5) == (False, 5, 6, set())
    assert after(StatementKind.LOAD, **many) == (False, 5, 6, {WALLET})
    assert after(StatementKind.ACTIVATION, pin_set_count=9) == (True, 5, 6, {WALLET})
    assert not card_of(book, A).active
    assert not card_of(book, C).active


def test_a_statement_of_no_card_is_kept_and_changes_nothing(session: Session) -> None:
    book = rows.book(session)
    receipts.state(book, rows.statement(StatementKind.LOAD, counters=(7, 2, 1, 1)))
    assert len(session.exec(select(StatementRow)).all()) == 1
    assert session.exec(select(WalletState)).all() == []
    assert book.cards == set()


# --- the prefix --------------------------------------------------------------------------------


def held(book: Book, *sequences: int, card_id: bytes = B) -> None:
    for n in sequences:
        rows.held(book.session, rows.receipt(n, card_id=card_id))


def close(book: Book, first: int, last: int, kind: DecisionKind = DecisionKind.CLOSE_GAP,
          card_id: bytes = B) -> None:  # fmt: skip
    rows.decision(book.session, kind, card_id=card_id, first=first, last=last)


def prefix(book: Book) -> int:
    return receipts._prefix(rows.book(book.session).held.card(B))


def test_the_prefix_ends_before_the_first_that_is_missing(book: Book) -> None:
    assert prefix(book) == 0
    held(book, 2, 3)
    assert prefix(book) == 0
    held(book, 1)
    assert prefix(book) == 3
    held(book, 5, 9, 10)
    held(book, 4, 6, card_id=A)
    held(book, 4, 6, card_id=C)
    close(book, 4, 4, DecisionKind.WRITE_OFF)
    close(book, 4, 9, card_id=A)
    assert prefix(book) == 3
    close(book, 4, 4)
    assert prefix(book) == 5
    close(book, 6, 8)
    assert prefix(book) == 10
    close(book, 12, 12)
    assert prefix(book) == 10
    close(book, 11, 12)
    assert prefix(book) == 12


@pytest.mark.parametrize("kind", [k for k in DecisionKind if k != DecisionKind.CLOSE_GAP])
def test_only_one_kind_of_decision_closes_a_gap(book: Book, kind: DecisionKind) -> None:
    close(book, 1, 1, kind)
    assert prefix(book) == 0


def test_what_is_acknowledged_never_goes_back(book: Book, session: Session) -> None:
    held(book, 1, 2, 4)
    receipts.check_card(book, B)
    assert card_of(book).acknowledged == 2
    card_of(book).acknowledged = 9  # by a decision that is not held any more
    receipts.check_card(book, B)
    assert card_of(book).acknowledged == 9
    assert card_of(book, A).acknowledged == 0
    receipts.check_card(book, b"nobody..")


# --- links and steps ---------------------------------------------------------------------------


def chain(session: Session, *items: tuple[int, ReceiptKind, int, int, int, int],
          spoilt: int = 0, by: bytes = b"") -> list[Receipt]:  # fmt: skip
    """(sequence, kind, wallet, amount, D, R): linked in their order, but for one."""
    made: list[Receipt] = []
    for n, kind, wallet, amount, debited, back in items:
        link = made[-1].hash if made and made[-1].sequence == n - 1 else name("gap")
        link = rows.digest(B) if n == 1 else link
        link = by if n == spoilt else link
        made.append(rows.receipt(n, amount, kind=kind, wallet=wallet, link=link,
                                 counters=(1000, debited, 0, back)))  # fmt: skip
        rows.held(session, made[-1])
    return made


GOOD = [(1, DEBIT, WALLET, 10, 10, 0), (2, REVERSAL, WALLET, 10, 10, 10), (3, DEBIT, LOW, 7, 7, 0),
        (4, DEBIT, WALLET, 5, 15, 10), (5, DEBIT, HIGH, 1, 1, 0), (6, DEBIT, LOW, 2, 9, 0),
        (7, REVERSAL, LOW, 2, 9, 2)]  # fmt: skip


def test_a_row_that_follows_is_no_finding(book: Book, session: Session) -> None:
    chain(session, *GOOD)
    receipts.check_card(book, B)
    assert rows.findings(session) == []
    assert card_of(book).acknowledged == 7


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("by", [bytes(32), b"\xff" * 32])
def test_each_links_to_the_one_before(book: Book, session: Session, n: int, by: bytes) -> None:
    chain(session, *GOOD, spoilt=n, by=by)
    receipts.check_card(book, B)
    # Whoever names another is found, and nobody after it: its own hash is what they link to.
    assert rows.findings(session) == [(5, f"{B.hex()}/{n}")]


@pytest.mark.parametrize("gone", range(1, 8))
def test_after_a_gap_nothing_is_known_to_link(book: Book, session: Session, gone: int) -> None:
    chain(session, *[x for x in GOOD if x[0] != gone])
    receipts.check_card(book, B)
    assert rows.findings(session) == []


@pytest.mark.parametrize(("n", "d", "r"), [
    (n, d, r) for n in range(1, 8) for d, r in ((1, 0), (-1, 0), (0, 1))
    if GOOD[n - 1][4] + d >= GOOD[n - 1][5] + r  # R above D is no receipt
])  # fmt: skip
def test_d_and_r_step_by_the_amount(book: Book, session: Session, n: int, d: int, r: int) -> None:
    every = [(*x[:4], x[4] + d, x[5] + r) if x[0] == n else x for x in GOOD]
    chain(session, *every)
    receipts.check_card(book, B)
    next_of_wallet = {1: 2, 2: 4, 3: 6, 6: 7}.get(n)
    wanted = [(6, f"{B.hex()}/{x}") for x in (n, next_of_wallet) if x]
    assert sorted(rows.findings(session)) == wanted


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_step_over_a_gap_is_not_judged(book: Book, session: Session, n: int) -> None:
    """Whatever is missing may have moved D and R of the wallet, whoever stands around it."""
    wrong = [(*x[:4], x[4] + 50, x[5]) if x[0] > n and x[2] == WALLET else x for x in GOOD]
    chain(session, *[x for x in wrong if x[0] != n])
    receipts.check_card(book, B)
    assert rows.findings(session) == []


def test_the_first_of_a_wallet_steps_from_nothing(book: Book, session: Session) -> None:
    chain(session, (1, DEBIT, LOW, 1, 1, 0), (2, DEBIT, WALLET, 5, 6, 0))
    receipts.check_card(book, B)
    assert rows.findings(session) == [(6, f"{B.hex()}/2")]


def test_the_first_of_a_wallet_after_a_gap_is_not_judged(book: Book, session: Session) -> None:
    chain(session, (2, DEBIT, LOW, 1, 1, 0), (3, DEBIT, WALLET, 5, 6, 0))
    receipts.check_card(book, B)
    assert rows.findings(session) == []
