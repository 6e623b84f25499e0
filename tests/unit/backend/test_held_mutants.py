"""What is read at once is of those asked about and nobody else, and stays true as rows come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import Session

from backend.held import Held, Judged, Past, _parts
from backend.models import Hold, Payable, WalletState
from tests.support import backend_rows as rows
from tests.support.backend_rows import HIGH, LOW, ONE, THREE, TWO, WALLET, A, B, C, name
from wire.objects import DecisionKind
from wire.receipt import StatementKind


@pytest.fixture
def session() -> Iterator[Session]:
    with rows.empty() as made:
        yield made


def test_ids_are_asked_in_parts_each_once() -> None:
    assert [len(p) for p in _parts([*range(1001), *range(1001)])] == [500, 500, 1]
    assert [n for p in _parts(reversed(range(1001))) for n in p] == [*range(1001)]
    assert [*_parts([])] == []


def test_a_card_is_its_own_rows(session: Session) -> None:
    rows.cards(session)
    for n, card_id in enumerate((A, B, C), 1):
        rows.held(session, rows.receipt(n, 10 * n, card_id=card_id, link=name(n)),
                  lost=n, held=f"h{n}")  # fmt: skip
        rows.entitlement(session, 100 * n, card_id=card_id, wallet=WALLET, sequence=n)
        put = WalletState(card_id=card_id, wallet=WALLET, loaded=n)
        rows.put(session, put)
        rows.decision(session, DecisionKind.MOVE, n, card_id=card_id)
        rows.stated(session, rows.statement(StatementKind.LOAD, card_id=card_id, sequence=n))
        rows.stated(session, rows.statement(StatementKind.PIN_SET, card_id=card_id))
        rows.stated(session, rows.statement(StatementKind.ACTIVATION, card_id=card_id))
    known = Held(session)
    found = known.card(B)
    of = rows.receipt(2, 20, card_id=B, link=name(2))
    assert found.receipts == {2: Past(2, of.hash, 1, WALLET, 20, 20, 0, name(2), 2, "h2")}
    assert found.card is not None
    assert found.card.card_id == B
    assert found.issued == {(WALLET, 2): 200}
    assert {w: s.loaded for w, s in found.wallets.items()} == {WALLET: 2}
    assert [d.amount for d in found.decisions] == [2]
    assert [(s.kind, s.sequence) for s in found.loads] == [(StatementKind.LOAD, 2)]
    assert known.card(B) is found
    nobody = known.card(rows.ENV.mark + b"none")
    assert (nobody.card, nobody.receipts, nobody.issued) == (None, {}, {})


def test_a_card_is_read_once_and_kept(session: Session) -> None:
    rows.cards(session)
    known = Held(session)
    known.load([A, B])
    before = known.card(A)
    rows.held(session, rows.receipt(1, card_id=A))
    known.load([A, C])
    assert known.card(A) is before
    assert before.receipts == {}


def test_entitled_is_the_highest_l_less_what_moved_away(session: Session) -> None:
    rows.card(session)
    for sequence, (loaded, wallet) in enumerate(((5000, LOW), (300, WALLET), (200, WALLET),
                                                 (7000, HIGH)), 1):  # fmt: skip
        rows.entitlement(session, loaded, wallet=wallet, sequence=sequence)
    for kind, amount, wallet in ((DecisionKind.MOVE, 30, WALLET), (DecisionKind.MOVE, 4, WALLET),
                                 (DecisionKind.MOVE, 500, LOW), (DecisionKind.MOVE, 600, HIGH),
                                 (DecisionKind.RETURN, 7, WALLET),
                                 (DecisionKind.WRITE_OFF, 8, WALLET)):  # fmt: skip
        rows.decision(session, kind, amount, wallet=wallet)
    found = Held(session).card(B)
    assert [found.entitled(w) for w in (LOW, WALLET, HIGH, 9)] == [4500, 266, 6400, 0]


def test_a_receipt_added_is_known_at_once(session: Session) -> None:
    rows.card(session)
    known = Held(session)
    first = rows.held(session, rows.receipt(1))
    assert known.naming(TWO, 20) == set()
    assert known.row(B, 1) is first
    assert known.row(B, 2) is None
    assert known.row(A, 1) is None
    row = rows.row_of(rows.receipt(2))
    known.add(row)
    assert known.row(B, 2) is row
    was = Past(2, row.hash, 1, WALLET, 10, 10, 0, bytes(32), 0, "")
    assert known.card(B).receipts[2] == was
    assert known.naming(TWO, 20) == {(B, 2)}
    assert known.naming(TWO, 10) == {(B, 1)}
    session.flush()
    assert Held(session).row(B, 2) is row


def test_rows_are_read_of_those_asked_for(session: Session) -> None:
    rows.cards(session)
    for card_id in (A, B, C):
        for n in (1, 2, 3):
            rows.held(session, rows.receipt(n, card_id=card_id))
    session.expunge_all()
    known = Held(session)
    known.load_rows([(B, 2), (B, 9), (A, 3)])
    assert sorted(known._rows) == [(A, 3), (B, 2)]
    row = known._rows[B, 2]
    assert (row.card_id, row.sequence) == (B, 2)
    assert known.row(C, 1) is not None
    known.load_rows([(B, 1), (B, 2)])
    assert known.row(B, 2) is row


def test_who_names_an_intent(session: Session) -> None:
    """Whatever card: the station and the intent's number are what is named."""
    rows.cards(session)
    rows.held(session, rows.receipt(1, card_id=A, terminal_sequence=10))
    rows.held(session, rows.receipt(1, card_id=B, terminal_sequence=10))
    rows.held(session, rows.receipt(2, card_id=B, terminal_sequence=11))
    rows.held(session, rows.receipt(3, card_id=B, terminal_sequence=10, terminal=ONE))
    rows.held(session, rows.receipt(4, card_id=B, terminal_sequence=10, terminal=THREE))
    known = Held(session)
    known.load_naming(TWO, [10, 12])
    assert known._named == {(TWO, 10): {(A, 1), (B, 1)}, (TWO, 12): set()}
    found = known.naming(TWO, 10)
    rows.held(session, rows.receipt(5, card_id=B, terminal_sequence=10))
    assert known.naming(TWO, 10) is found
    assert known.naming(TWO, 11) == {(B, 2)}
    assert known.naming(ONE, 10) == {(B, 3)}
    known.load_naming(TWO, [10])
    assert known.naming(TWO, 10) == {(A, 1), (B, 1)}


def test_a_station_and_its_intents(session: Session) -> None:
    rows.stations(session)
    for at in (ONE, TWO, THREE):
        for n in (10, 20):
            rows.intent(session, n, at=at)
    known = Held(session)
    found = known.station(TWO)
    assert found is not None
    assert found.station == TWO
    assert known.station(b"TERM0009") is None
    first = known.intent(TWO, 20)
    assert first is not None
    assert (first.station, first.sequence) == (TWO, 20)
    assert known.intent(TWO, 30) is None
    new = rows.IntentRow(station=TWO, sequence=30, hash=name(30), card_id=B, expected=2)
    known.add_intent(new)
    assert known.intent(TWO, 30) is new
    session.flush()
    assert Held(session).intent(TWO, 30) is new
    # What was read is kept: a row taken away meanwhile is still what this work began with.
    session.delete(first)
    session.flush()
    assert known.intent(TWO, 20) is first
    session.delete(found)
    session.flush()
    assert known.station(TWO) is found


def test_what_is_judged_has_its_own_holds_dues_and_voids(session: Session) -> None:
    made = [rows.receipt(n, terminal=at) for n, at in ((1, TWO), (2, TWO), (3, ONE), (4, THREE))]
    every = [rows.held(session, r) for r in made]
    for n, r in enumerate(made):
        for why in ("disputed", "clone"):
            rows.put(session, Hold(receipt=r.hash, why=why, evidence=name(n)))
        rows.put(session, Payable(receipt=r.hash, provider="P", programme=1, amount_minor=n,
                                  ledger_sequence=n))  # fmt: skip
    for at in (ONE, TWO, THREE):
        for debit in (10, 20, 30, 40):
            rows.intent(session, 100 + debit, at=at, void_of=debit)
        rows.intent(session, 210, at=at, void_of=10)
        rows.intent(session, 10, at=at)
    known = Judged.of(session, [every[0], every[2]])
    assert {h: [(x.why, x.evidence) for x in v] for h, v in known.holds.items()} == {
        made[0].hash: [("disputed", name(0)), ("clone", name(0))],
        made[2].hash: [("disputed", name(2)), ("clone", name(2))],
    }  # fmt: skip
    assert {h: p.amount_minor for h, p in known.owed.items()} == {made[0].hash: 0, made[2].hash: 2}
    assert {k: [v.sequence for v in voids] for k, voids in known.voids.items()} == {
        (TWO, 10): [110, 210], (ONE, 30): [130],
    }  # fmt: skip
