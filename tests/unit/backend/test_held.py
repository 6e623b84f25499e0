"""What is read at once for many says what one at a time said."""

from __future__ import annotations

import pytest
from sqlmodel import col, select

from backend.errors import FundsError
from backend.held import Held, Past
from backend.models import DecisionRow, Issuance, ReceiptRow, Row, fresh
from keys.issuance import IssuanceItem
from keys.signer import P256Signer
from tests.support.backend_world import CASH, ENV, BackendWorld, SoftCard, SoftStation
from tests.unit.backend.test_ingest import findings, held, payables
from wire import log
from wire.chain import Citation, IssuanceKind
from wire.entitlement import Entitlement, Lot
from wire.objects import DecisionKind, KeyRole
from wire.receipt import ReceiptKind, link_of


@pytest.fixture
def card(ready: BackendWorld) -> SoftCard:
    return next(c for c in ready.cards(10) if CASH in c.wallets)


@pytest.fixture
def terminal(ready: BackendWorld, card: SoftCard) -> SoftStation:
    return ready.terminal(b"TERM0001")


def test_a_row_of_some_columns_is_none() -> None:
    with pytest.raises(TypeError, match="not its columns"):
        fresh(ReceiptRow, sequence=1)


def test_the_link_stands_before_the_signature(card: SoftCard, terminal: SoftStation) -> None:
    _, receipt = terminal.debit(card, CASH, 1000)
    assert link_of(bytes(receipt)) == receipt.link == card.digest


def test_a_card_held_is_its_rows(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    for amount in (1000, 2000):
        terminal.debit(card, CASH, amount)
    terminal.send()
    with ready.office.db.read() as session:
        known = Held(session)
        found = known.card(card.card_id)
        rows = session.exec(select(ReceiptRow).order_by(col(ReceiptRow.sequence))).all()
        assert [*found.receipts.values()] == [Past.of(r) for r in rows]
        assert known.row(card.card_id, 2) is rows[1]
        assert known.row(card.card_id, 3) is None
        assert found.entitled(CASH) == card.entitlements[CASH].loaded
        asked = rows[0].terminal_sequence
        assert known.naming(terminal.name, asked) == {(card.card_id, 1)}
        assert known.naming(terminal.name, asked + 1) == set()


def test_delivered_before_its_receipt_is_no_consequence_of_a_receipt_set_aside_later(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    """All records are kept before the first is judged; only those before it excuse it."""
    intent = terminal.intent(card, CASH, 1000)
    receipt = card.receipt(ReceiptKind.DEBIT, terminal.name, intent, CASH, 1000)
    terminal.add(log.Delivered(intent.sequence))
    spoilt = bytearray(bytes(receipt))
    spoilt[-1] ^= 1
    terminal.add(log.Receipted(intent.sequence, bytes(spoilt)))
    terminal.send()
    assert findings(ready) == [8, 1]


def test_the_receipt_that_was_missing_ends_the_doubt_about_the_one_before(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    """Receipt 2 is a debit, and what R stepped by came later: 1 is payable again."""
    other = ready.terminal(b"TERM0002")
    terminal.debit(card, CASH, 1000)
    second, receipt = other.debit(card, CASH, 1000, deliver=False)
    other.void(card, second, receipt)
    terminal.debit(card, CASH, 500)
    terminal.send()
    assert held(ready)[card.card_id.hex(), 1] == "unseen-reversal"
    other.send()
    assert held(ready)[card.card_id.hex(), 1] == ""
    assert payables(ready) == 1500


def _signed(ready: BackendWorld, card: SoftCard, step: int, number: int) -> bytes:
    last = card.entitlements[CASH]
    body = Entitlement.encode_body(
        env=ENV, card_id=card.card_id, certificate_hash=card.digest[:16], wallet=CASH,
        programme=last.programme, sequence=last.sequence + number, loaded=last.loaded + step,
        lots=(Lot(0xFFFFFFFF, last.loaded + step),), forfeited_through=0, cap=last.cap,
        issued=last.issued, acknowledged=0, settled_debited=0, settled_reversed=0,
        bypass_total=3, key_version=1,
    )  # fmt: skip
    issuer = ready.keys.signers[KeyRole.ISSUER, 1]
    assert isinstance(issuer, P256Signer)
    return body + issuer.sign(body)


def _free_row(ready: BackendWorld, card: SoftCard) -> Row:
    """The row this card's entitlement stands on, as if nothing stood on it yet."""
    with ready.office.db.write() as session:
        used = card.entitlements[CASH].hash
        row = session.exec(select(Row).where(Row.entitlement == used)).one()
        row.entitlement = None
        session.add(row)
        return row


def test_a_row_funds_one_step_within_one_append_too(ready: BackendWorld, card: SoftCard) -> None:
    row = _free_row(ready, card)
    cause = Citation(row.decree, row.row)
    items = [
        IssuanceItem(IssuanceKind.ENTITLEMENT, _signed(ready, card, n * row.amount, n), cause=cause)
        for n in (1, 2)
    ]
    with pytest.raises(FundsError, match="used"):
        ready.office.append_many(items)
    ready.office.append_many(items[:1])
    with ready.office.db.read() as session:
        held_row = session.get(Row, row.id)
        assert held_row is not None
        assert held_row.entitlement == Entitlement.parse(items[0].item).hash


def test_l_is_counted_on_within_one_append(ready: BackendWorld, card: SoftCard) -> None:
    """The second stands on the first of the same batch: a step without a cause is seen."""
    row = _free_row(ready, card)
    cause = Citation(row.decree, row.row)
    items = [
        IssuanceItem(IssuanceKind.ENTITLEMENT, _signed(ready, card, row.amount, 1), cause=cause),
        IssuanceItem(IssuanceKind.ENTITLEMENT, _signed(ready, card, row.amount + 1, 2)),
    ]
    with pytest.raises(FundsError, match="rises exactly"):
        ready.office.append_many(items)


def _decided(ready: BackendWorld, card: SoftCard, kind: DecisionKind) -> Citation:
    """A receipt of 10,000 that was not served, decided over in this way."""
    station = ready.terminal(b"TERM0001")
    station.debit(card, CASH, 10_000, deliver=False)
    station.send()
    ready.office.decide(kind, card.card_id, CASH, first=1, last=1, amount=10_000,
                        number="K-1", reason="tidak dilayani")  # fmt: skip
    with ready.office.db.read() as session:
        return Citation(session.exec(select(DecisionRow)).one().hash, 0)


@pytest.mark.parametrize(("kind", "step", "why"), [
    (DecisionKind.RETURN, 9_999, "another amount"),
    (DecisionKind.RETURN, 10_001, "another amount"),
    (DecisionKind.PAY, 10_000, "gives nothing"),
])  # fmt: skip
def test_a_decision_funds_what_it_says_and_nothing_else(
    ready: BackendWorld, card: SoftCard, kind: DecisionKind, step: int, why: str
) -> None:
    cause = _decided(ready, card, kind)
    item = IssuanceItem(IssuanceKind.ENTITLEMENT, _signed(ready, card, step, 1), cause=cause)
    with pytest.raises(FundsError, match=why):
        ready.office.append_many([item])


def test_a_decision_is_for_one_wallet(ready: BackendWorld, card: SoftCard) -> None:
    cause = _decided(ready, card, DecisionKind.RETURN)
    with ready.office.db.write() as session:  # as if it had been another wallet's
        session.exec(select(DecisionRow)).one().wallet = CASH + 1
    item = IssuanceItem(IssuanceKind.ENTITLEMENT, _signed(ready, card, 10_000, 1), cause=cause)
    with pytest.raises(FundsError, match="this card and wallet"):
        ready.office.append_many([item])


def test_a_decision_funds_one_step(ready: BackendWorld, card: SoftCard) -> None:
    cause = _decided(ready, card, DecisionKind.RETURN)
    items = [
        IssuanceItem(IssuanceKind.ENTITLEMENT, _signed(ready, card, n * 10_000, n), cause=cause)
        for n in (1, 2)
    ]
    with pytest.raises(FundsError, match="used"):
        ready.office.append_many(items)
    ready.office.append_many(items[:1])


def test_a_decision_is_for_one_card(ready: BackendWorld, card: SoftCard) -> None:
    cause = _decided(ready, card, DecisionKind.RETURN)
    other = next(c for c in ready.cards(12) if CASH in c.wallets and c.card_id != card.card_id)
    item = IssuanceItem(IssuanceKind.ENTITLEMENT, _signed(ready, other, 10_000, 1), cause=cause)
    with pytest.raises(FundsError, match="this card and wallet"):
        ready.office.append_many([item])


def test_an_item_twice_in_one_append_is_entered_once(ready: BackendWorld, card: SoftCard) -> None:
    row = _free_row(ready, card)
    item = IssuanceItem(
        IssuanceKind.ENTITLEMENT, _signed(ready, card, row.amount, 1),
        cause=Citation(row.decree, row.row),
    )  # fmt: skip
    with ready.office.db.read() as session:
        before = len(session.exec(select(Issuance.sequence)).all())
    ready.office.append_many([item, item])
    with ready.office.db.read() as session:
        assert len(session.exec(select(Issuance.sequence)).all()) == before + 1
