"""Whether one debit is owed, reason by reason, among neighbours that would answer otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import Session, select

from backend import ledger, payable
from backend.book import Book
from backend.held import Judged
from backend.models import Hold, Payable, ReceiptRow
from tests.support import backend_rows as rows
from tests.support.backend_rows import CODE, HIGH, LOW, ONE, THREE, TWO, WALLET, A, B, C, name
from wire.objects import DecisionKind, Tariff
from wire.receipt import ReceiptKind, StatementKind

DEBIT, REVERSAL = ReceiptKind.DEBIT, ReceiptKind.REVERSAL


@pytest.fixture
def session() -> Iterator[Session]:
    with rows.empty() as made:
        rows.programmes(made)
        rows.cards(made)
        for at in rows.STATIONS:
            rows.station(made, at, last=99)
        yield made


def debit(session: Session, n: int = 5, **changes: object) -> ReceiptRow:
    """Receipt ``n`` of card B, a debit of 10 whose own chain has its intent and DELIVERED."""
    of = rows.receipt(n, **changes)  # type: ignore[arg-type]
    row = rows.held(session, of)
    rows.intent(session, 10 * n, receipt=of.hash, delivered=name("delivered"))
    return row


def why(session: Session, row: ReceiptRow) -> dict[str, bytes]:
    return payable.why_not(rows.book(session), Judged.of(session, [row]), row)


# --- what is posted ----------------------------------------------------------------------------


def judged(session: Session, *rows_: ReceiptRow) -> Book:
    book = rows.book(session)
    book.debits |= {(r.card_id, r.sequence) for r in rows_}
    payable.judge_all(book)
    book.close()
    return book


def posted(session: Session) -> list[tuple[int, str, bytes]]:
    """(sequence, kind, evidence) of the whole ledger."""
    every = session.exec(select(ledger.Ledger).order_by(ledger.Ledger.sequence)).all()  # type: ignore[arg-type]
    return [(e.sequence, e.kind, e.evidence) for e in every]


def owed(session: Session) -> dict[bytes, Payable]:
    return {p.receipt: p for p in session.exec(select(Payable))}


def test_what_is_owed_is_posted_once(session: Session) -> None:
    ledger.post(session, [ledger.issue(name("before"), CODE, 1)], 1)
    first, second = debit(session, 5), debit(session, 7)
    session.flush()
    for _ in range(2):
        judged(session, first, second)
        assert posted(session)[1:] == [(2, "payable", first.hash), (3, "payable", second.hash)]
        made = owed(session)
        assert [(made[r.hash].provider, made[r.hash].programme, made[r.hash].amount_minor,
                 made[r.hash].ledger_sequence) for r in (first, second)] == [
            ("Mid", CODE, 20, 2), ("Mid", CODE, 20, 3)]  # fmt: skip
    assert (first.held, second.held) == ("", "")


def test_the_price_is_that_of_the_version_of_the_receipt(session: Session) -> None:
    rows.programme(session, version=2, tariffs=(Tariff(1, 2, ()), Tariff(2, 3, ()),
                                                Tariff(3, 5, ())))  # fmt: skip
    row = debit(session, basket_version=2)
    judged(session, row)
    assert [p.amount_minor for p in owed(session).values()] == [30]


def test_a_wallet_of_no_programme_is_owed_nothing(session: Session) -> None:
    row = debit(session, wallet=9)
    judged(session, row)
    assert row.held == "no-programme"
    assert owed(session) == {}


def test_a_reversal_is_owed_to_nobody(session: Session) -> None:
    row = debit(session, kind=REVERSAL)
    judged(session, row)
    assert posted(session) == []
    assert rows.findings(session) == []
    session.delete(session.get(rows.IntentRow, (TWO, 50)))
    session.flush()
    judged(session, row)
    assert rows.findings(session) == [(2, f"intent/{row.hash.hex()}")]


def test_undone_before_it_was_paid_both_entries_cancel(session: Session) -> None:
    row = debit(session)
    judged(session, row)
    row.lost = 1
    judged(session, row)
    judged(session, row)
    assert row.held == "loss"
    assert [k for _, k, _ in posted(session)] == ["payable", "unpayable"]
    assert owed(session) == {}
    row.lost = 0
    judged(session, row)
    assert row.held == ""
    assert [k for _, k, _ in posted(session)] == ["payable", "unpayable", "payable"]
    assert owed(session)[row.hash].ledger_sequence == 3


def test_undone_after_it_was_paid_it_is_owed_back(session: Session) -> None:
    row = debit(session)
    judged(session, row)
    paid = owed(session)[row.hash]
    paid.settlement = name("paid")
    reversal = rows.held(session, rows.receipt(6, kind=REVERSAL))
    judged(session, row)
    judged(session, row)
    assert row.held == "reversed"
    assert posted(session)[1:] == [(2, "unpayable", reversal.hash)]
    assert (paid.undone_sequence, paid.undone_evidence) == (2, reversal.hash)
    # Owed again before anything was given back: what was paid stands.
    session.delete(reversal)
    session.flush()
    judged(session, row)
    assert [k for _, k, _ in posted(session)] == ["payable", "unpayable", "payable"]
    again = owed(session)[row.hash]
    assert (again.settlement, again.undone_sequence, again.undone_evidence) == (
        name("paid"), None, None)  # fmt: skip
    assert again.ledger_sequence == 1
    # Given back: owed anew, under the entry that says so.
    row.lost = 1
    judged(session, row)
    again.undone_settlement = name("back")
    row.lost = 0
    judged(session, row)
    new = owed(session)[row.hash]
    assert (new.ledger_sequence, new.settlement, new.undone_sequence) == (5, None, None)
    assert (new.undone_settlement, new.amount_minor) == (None, 20)


def test_the_reversal_is_the_evidence_of_what_is_undone(session: Session) -> None:
    """Whatever other reasons there are; without one, the first reason's."""
    row = debit(session)
    judged(session, row)
    row.lost = 1
    reversal = rows.held(session, rows.receipt(6, kind=REVERSAL))
    judged(session, row)
    assert row.held == "loss,reversed"
    assert posted(session)[1:] == [(2, "unpayable", reversal.hash)]


def test_another_reason_is_its_own_evidence(session: Session) -> None:
    row = debit(session)
    judged(session, row)
    rows.put(session, Hold(receipt=row.hash, why="disputed", evidence=name("dispute")))
    judged(session, row)
    assert posted(session)[1:] == [(2, "unpayable", name("dispute"))]


# --- reasons -----------------------------------------------------------------------------------


def test_a_debit_without_a_reason(session: Session) -> None:
    assert why(session, debit(session)) == {}
    assert rows.findings(session) == []


def test_delivered_is_about_the_receipt_its_chain_records(session: Session) -> None:
    row = debit(session)
    of = session.get(rows.IntentRow, (TWO, 50))
    assert of is not None
    of.delivered = None
    assert why(session, row) == {"not-delivered": row.hash}
    of.delivered, of.receipt = name("delivered"), None
    assert why(session, row) == {"not-delivered": row.hash}
    assert rows.findings(session) == []
    for other in (bytes(32), b"\xff" * 32):
        of.receipt = other
        assert why(session, row) == {"not-delivered": row.hash}
    key = f"{TWO.hex()}/50/{row.hash.hex()}"
    assert rows.findings(session) == [(8, key)]


def test_a_receipt_of_an_aborted_intent_is_found(session: Session) -> None:
    row = debit(session)
    of = session.get(rows.IntentRow, (TWO, 50))
    assert of is not None
    of.aborted = True
    why(session, row)
    assert rows.findings(session) == [(8, f"{TWO.hex()}/50/{row.hash.hex()}")]


@pytest.mark.parametrize(("blocked", "known", "is_held"), [
    (0, 0, False), (0, 9, False), (3, 2, False), (3, 3, True), (3, 4, True), (1, 1, True),
])  # fmt: skip
def test_no_debit_after_the_hotlist_that_names_the_card(
    session: Session, blocked: int, known: int, is_held: bool
) -> None:
    row = debit(session)
    card, of = session.get(rows.Card, B), session.get(rows.IntentRow, (TWO, 50))
    assert card is not None
    assert of is not None
    card.blocked_version, of.hotlist_version = blocked, known
    assert why(session, row) == ({"blocked": row.hash} if is_held else {})
    assert rows.findings(session) == ([(12, f"{B.hex()}/5")] if is_held else [])


def test_a_station_nobody_enrolled(session: Session) -> None:
    row = debit(session, terminal=b"TERM0009")
    assert why(session, row) == {"unknown-terminal": row.hash}
    assert rows.findings(session) == [(19, f"terminal/{b'TERM0009'.hex()}")]


@pytest.mark.parametrize(("last", "reason"), [(49, True), (50, False), (51, False)])
def test_beyond_the_end_of_a_lost_terminal(session: Session, last: int, reason: bool) -> None:
    row = debit(session)
    for at in (ONE, THREE):
        _station(session, at).lost = name("other")
    _station(session, TWO).lost_last = last
    assert why(session, row) == {}
    _station(session, TWO).lost = name("lost")
    assert why(session, row) == ({"terminal-lost": name("lost")} if reason else {})


def _station(session: Session, at: bytes) -> rows.Station:
    found = session.get(rows.Station, at)
    assert found is not None
    return found


@pytest.mark.parametrize(("last", "reason"), [(49, "awaiting-log"), (50, "no-intent"),
                                              (51, "no-intent")])  # fmt: skip
@pytest.mark.parametrize("other", [None, bytes(32), b"\xff" * 32])
def test_a_chain_without_this_intent(
    session: Session, last: int, reason: str, other: bytes | None
) -> None:
    row = debit(session)
    of = session.get(rows.IntentRow, (TWO, 50))
    assert of is not None
    if other is None:
        session.delete(of)
    else:
        of.hash = other
    session.flush()
    _station(session, TWO).last = last
    assert why(session, row) == {reason: row.hash}
    missing = reason == "no-intent"
    assert rows.findings(session) == ([(2, f"intent/{row.hash.hex()}")] if missing else [])


@pytest.mark.parametrize(("columns", "is_held"), [
    ({}, True), ({"receipt": name("r")}, False), ({"aborted": True}, False),
    ({"on_counter": True}, True), ({"on_counter": True, "receipt": name("r")}, False),
    ({"on_counter": True, "aborted": True}, True),
    ({"on_counter": True, "aborted": True, "given_back": name("g")}, False),
    ({"given_back": name("g")}, True), ({"receipt": name("r"), "given_back": name("g")}, False),
])  # fmt: skip
def test_nothing_moves_while_a_void_is_open(
    session: Session, columns: dict[str, object], is_held: bool
) -> None:
    row = debit(session)
    for n, at, of in ((41, TWO, 40), (61, TWO, 60), (51, ONE, 50), (52, THREE, 50)):
        rows.intent(session, n, at=at, void_of=of)
    assert why(session, row) == {}
    void = rows.intent(session, 55, void_of=50, **columns)
    assert why(session, row) == ({"suspense": void.hash} if is_held else {})


def test_holds_of_this_receipt_alone(session: Session) -> None:
    row = debit(session)
    for n in (4, 6):
        other = rows.held(session, rows.receipt(n))
        rows.put(session, Hold(receipt=other.hash, why="clone", evidence=name(n)))
    assert why(session, row) == {}
    rows.put(session, Hold(receipt=row.hash, why="disputed", evidence=name(5)))
    assert why(session, row) == {"disputed": name(5)}


# --- decisions ---------------------------------------------------------------------------------


def test_a_decision_to_pay_sets_aside_all_but_what_is_final(session: Session) -> None:
    row = debit(session)
    row.lost = 3
    for reason in ("disputed", "clone", "awaiting-log"):
        rows.put(session, Hold(receipt=row.hash, why=reason, evidence=name(reason)))
    assert set(why(session, row)) == {"loss", "disputed", "clone", "awaiting-log"}
    rows.decision(session, DecisionKind.PAY, first=5, last=5)
    assert why(session, row) == {"clone": name("clone")}
    wrote = rows.decision(session, DecisionKind.WRITE_OFF, first=5, last=5)
    gave = rows.decision(session, DecisionKind.RETURN, first=5, last=5)
    after = rows.held(session, rows.receipt(6, kind=REVERSAL))
    assert why(session, row) == {
        "clone": name("clone"), "written-off": wrote.hash, "returned": gave.hash,
        "reversed": after.hash,
    }  # fmt: skip


@pytest.mark.parametrize(("card_id", "wallet", "first", "last", "counts"), [
    (B, WALLET, 5, 5, True), (B, WALLET, 4, 6, True), (B, WALLET, 1, 5, True),
    (B, WALLET, 5, 9, True), (B, WALLET, 1, 4, False), (B, WALLET, 6, 9, False),
    (A, WALLET, 5, 5, False), (C, WALLET, 5, 5, False), (B, LOW, 5, 5, False),
    (B, HIGH, 5, 5, False), (B, WALLET, 4, 4, False), (B, WALLET, 6, 6, False),
])  # fmt: skip
def test_a_decision_is_about_its_own_receipts(
    session: Session, card_id: bytes, wallet: int, first: int, last: int, *, counts: bool
) -> None:
    made = rows.decision(session, DecisionKind.RETURN, card_id=card_id, wallet=wallet,
                         first=first, last=last)  # fmt: skip
    assert why(session, debit(session)) == ({"returned": made.hash} if counts else {})


# --- reversals, seen and unseen ----------------------------------------------------------------


@pytest.mark.parametrize(("n", "changes", "is_reversed"), [
    (6, {}, True), (4, {}, False), (7, {}, False), (6, {"kind": DEBIT}, False),
    (6, {"wallet": LOW}, False), (6, {"wallet": HIGH}, False), (6, {"amount": 9}, False),
    (6, {"amount": 11}, False), (6, {"card_id": A}, False), (6, {"card_id": C}, False),
])  # fmt: skip
def test_the_next_receipt_is_its_reversal(
    session: Session, n: int, changes: dict[str, object], is_reversed: bool
) -> None:
    row = debit(session)
    values: dict[str, object] = {"kind": REVERSAL, "amount": 10, "counters": (1000, 10, 0, 0)}
    after = rows.receipt(n, **(values | changes))  # type: ignore[arg-type]
    rows.held(session, after)
    reasons = why(session, row)
    assert reasons == ({"reversed": after.hash} if is_reversed else {})


@pytest.mark.parametrize(("later", "doubted"), [
    # (sequence, wallet, kind, R after it), what the next but one says
    ([(7, WALLET, DEBIT, 10)], True), ([(7, WALLET, DEBIT, 11)], True),
    ([(7, WALLET, DEBIT, 9)], False), ([(6, WALLET, DEBIT, 10)], False),
    ([(7, LOW, DEBIT, 10)], False), ([(7, HIGH, DEBIT, 10)], False),
    ([(4, WALLET, DEBIT, 10)], False), ([(7, WALLET, REVERSAL, 10)], False),
    ([(7, WALLET, REVERSAL, 20)], True), ([(7, WALLET, REVERSAL, 19)], False),
    ([(7, WALLET, REVERSAL, 20), (9, WALLET, REVERSAL, 20)], False),
    ([(7, WALLET, DEBIT, 0), (8, WALLET, DEBIT, 10)], True),
    ([(7, LOW, REVERSAL, 10), (8, WALLET, DEBIT, 10)], True),
    ([(7, WALLET, DEBIT, 10), (8, WALLET, DEBIT, 0)], True),
])  # fmt: skip
def test_a_step_of_r_over_the_missing_next_is_its_reversal(
    session: Session, later: list[tuple[int, int, ReceiptKind, int]], *, doubted: bool
) -> None:
    row = debit(session)
    for n, wallet, kind, back in later:
        rows.held(session, rows.receipt(n, wallet=wallet, kind=kind,
                                        counters=(1000, 100, 0, back)))  # fmt: skip
    assert why(session, row) == ({"unseen-reversal": row.hash} if doubted else {})


@pytest.mark.parametrize(("card_id", "wallet", "n", "back", "doubted"), [
    (B, WALLET, 6, 13, True), (B, WALLET, 6, 12, False), (B, WALLET, 5, 13, False),
    (B, WALLET, 4, 13, False), (B, LOW, 6, 13, False), (B, HIGH, 6, 13, False),
    (A, WALLET, 6, 13, False), (C, WALLET, 6, 13, False), (B, WALLET, 9, 14, True),
])  # fmt: skip
def test_a_statement_shows_a_step_of_r_too(
    session: Session, card_id: bytes, wallet: int, n: int, back: int, *, doubted: bool
) -> None:
    """R was 3 at the receipt itself: what the step is counted from."""
    row = debit(session, counters=(1000, 100, 0, 3))
    rows.stated(session, rows.statement(StatementKind.LOAD, card_id=card_id, wallet=wallet,
                                        sequence=n, counters=(1000, 100, 0, back)))  # fmt: skip
    assert why(session, row) == ({"unseen-reversal": row.hash} if doubted else {})


def test_judged_in_order_and_only_what_is_held(session: Session) -> None:
    book = rows.book(session)
    book.debits |= {(C, 1), (B, 99)}
    for n in (7, 5):
        book.debits.add((B, debit(session, n).sequence))
    payable.judge_all(book)
    made = owed(session)
    assert [t.evidence for t in book.transfers] == sorted(
        made, key=lambda h: made[h].ledger_sequence)  # fmt: skip
    assert [t.evidence for t in book.transfers] == [
        r.hash for n in (5, 7) for r in [rows.receipt(n)]]  # fmt: skip
