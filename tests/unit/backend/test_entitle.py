"""Entitlements never exceed decree rows or released funds; L and C never step back."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from backend import entitle, objects
from backend.errors import FundsError, SignerError, WalletFullError
from backend.models import Card, EntitlementRow, Fund, Row
from keys.issuance import IssuanceItem
from keys.service import EntitlementWish
from keys.signer import P256Signer
from tests.support.backend_world import (
    CASH,
    DESK,
    ENV,
    FOOD,
    BackendWorld,
    SoftCard,
    SoftStation,
    _files,
)
from wire.bundle import Why
from wire.chain import Citation, IssuanceKind
from wire.entitlement import Entitlement, Lot
from wire.objects import DecisionKind, KeyRole


def test_rows_are_funded_in_order_as_far_as_the_money_goes(world: BackendWorld) -> None:
    world.import_all()
    world.office.entitle()
    with world.office.db.read() as session:
        for code, programme in objects.programmes(session).items():
            rows = session.exec(
                select(Row).where(Row.programme == code).order_by(col(Row.id))
            ).all()
            fund = session.get(Fund, code)
            assert fund is not None
            funded = [r.funded for r in rows]
            assert funded == sorted(funded, reverse=True)
            price = programme.tariffs[-1].price_minor
            taken = sum(r.amount * price for r in rows if r.funded)
            assert taken == fund.allocated_minor <= fund.released_minor
            assert all(funded) == (code == 0x0101)


def test_the_rest_is_told_that_its_funds_are_not_released(ready: BackendWorld) -> None:
    cards = ready.cards(12)
    terminal = ready.terminal(b"TERM0001")
    assert terminal.bundle is not None
    with ready.office.db.read() as session:
        unfunded = {(r.family, r.programme) for r in session.exec(select(Row)) if not r.funded}
        family = {c.card_id: c.family for c in session.exec(select(Card))}
    told = {
        (family[e.card_id], n.programme)
        for e in terminal.bundle.cards for n in e.notes if n.why == Why.FUNDS_NOT_RELEASED
    }  # fmt: skip
    assert told == unfunded
    assert len(terminal.bundle.cards) == len(cards)


def test_each_row_funds_one_step_and_running_again_changes_nothing(ready: BackendWorld) -> None:
    ready.cards(12)
    with ready.office.db.read() as session:
        first = session.exec(select(EntitlementRow)).all()
        used = [r for r in session.exec(select(Row)) if r.entitlement]
    assert len({(e.cause, e.cause_row) for e in first}) == len(first) == len(used)
    assert ready.office.entitle() == (0, [])


def forged(ready: BackendWorld, card: SoftCard, cause: Citation | None, step: int) -> None:
    """An entitlement by the genuine issuer key, past the key service."""
    wallet = CASH
    last = card.entitlements[wallet]
    body = Entitlement.encode_body(
        env=ENV, card_id=card.card_id, certificate_hash=card.digest[:16], wallet=wallet,
        programme=last.programme, sequence=last.sequence + 1, loaded=last.loaded + step,
        lots=(Lot(0xFFFFFFFF, last.loaded + step),), forfeited_through=0, cap=last.cap,
        issued=last.issued, acknowledged=0, settled_debited=0, settled_reversed=0,
        bypass_total=3, key_version=1,
    )  # fmt: skip
    issuer = ready.keys.signers[KeyRole.ISSUER, 1]
    assert isinstance(issuer, P256Signer)
    item = IssuanceItem(IssuanceKind.ENTITLEMENT, body + issuer.sign(body), cause=cause)
    ready.office.append_many([item])


@pytest.mark.parametrize("what", ["none", "unknown", "used", "decision"])
def test_the_log_refuses_a_step_that_nothing_funds(ready: BackendWorld, what: str) -> None:
    card = next(c for c in ready.cards(12) if CASH in c.wallets)
    with ready.office.db.read() as session:
        row = session.exec(select(Row).where(col(Row.entitlement).is_not(None))).first()
    assert row is not None
    causes = {
        "none": None,
        "unknown": Citation(row.decree, 999_999),
        "used": Citation(row.decree, row.row),
        "decision": Citation(bytes(32), 0),
    }
    with pytest.raises(FundsError):
        forged(ready, card, causes[what], 1000)


def test_an_unfunded_row_funds_nothing(world: BackendWorld) -> None:
    world.import_all()
    world.desk()
    with world.office.db.write() as session:
        entitle.allocate(session)
        row = session.exec(
            select(Row).where(Row.programme == 0x0102, col(Row.funded).is_(False))
        ).first()
    assert row is not None
    world.office.order_cards(DESK)
    for raw in world.office.orders(DESK):
        card = world.issue(raw)
        with world.office.db.read() as session:
            held = session.get(Card, card.card_id)
        if held is not None and held.family == row.family:
            break
    with world.office.db.read() as session:
        held = session.get(Card, card.card_id)
        programme = objects.programmes(session)[0x0102]
        assert held is not None
        builder = entitle.Builder(session, ENV, 1, world.clock())
        step = entitle.Step(held, programme, row.amount, Citation(row.decree, row.row), 2**32 - 1)
        wish = builder.wish(step)
    payload = [bytes(wish)]
    request, approval = world.office.authority.allow("entitlements", payload)
    with pytest.raises(FundsError):
        world.service.sign_entitlements([wish], request, approval)


def test_the_database_itself_keeps_the_bound(ready: BackendWorld) -> None:
    def exceed() -> None:
        with ready.office.db.write() as session:
            fund = session.get(Fund, 0x0102)
            assert fund is not None
            fund.allocated_minor = fund.released_minor + 1
            session.add(fund)

    with pytest.raises(IntegrityError):
        exceed()


@pytest.mark.parametrize("table", ["card", "receipt", "station"])
def test_the_database_itself_keeps_the_environment(ready: BackendWorld, table: str) -> None:
    from sqlalchemy import text

    ready.cards(1)
    terminal = ready.terminal(b"TERM0001")
    card = ready.cards(2)[0]
    terminal.debit(card, next(iter(card.wallets)), 1)
    terminal.send()
    with pytest.raises(IntegrityError), ready.office.db.write() as session:
        session.connection().execute(text(f"UPDATE {table} SET environment = 130"))  # noqa: S608


def test_a_reissue_carries_the_acknowledgement_and_no_cause(ready: BackendWorld) -> None:
    card = next(c for c in ready.cards(12) if CASH in c.wallets and FOOD in c.wallets)
    terminal = ready.terminal(b"TERM0001")
    terminal.debit(card, CASH, 1000)
    terminal.debit(card, FOOD, 1)
    terminal.send()
    before = dict(card.entitlements)
    made, refused = ready.office.entitle()
    assert (made, refused) == (len(before), [])
    ready.load(card)
    for wallet, e in card.entitlements.items():
        old = before[wallet]
        assert (e.sequence, e.loaded, e.acknowledged) == (old.sequence + 1, old.loaded, 2)
        assert e.lots == old.lots
    assert card.entitlements[CASH].settled_debited == 1000
    assert card.entitlements[FOOD].settled_debited == 1
    with ready.office.db.read() as session:
        rows = session.exec(select(EntitlementRow).where(EntitlementRow.sequence == 2)).all()
    assert all(r.cause is None for r in rows)
    assert ready.office.entitle() == (0, [])


def test_the_key_service_refusing_leaves_everything(ready: BackendWorld) -> None:
    class Refuses:
        def allow(self, action: str, payloads: object) -> tuple[bytes, bytes]:
            return b"\x00", b"\x00"

        def close(self, action: str, payloads: object) -> None:
            return

    ready.office.order_cards(DESK)
    ready.issue(ready.office.orders(DESK)[0])
    ready.office.authority = Refuses()
    with pytest.raises(SignerError):
        ready.office.entitle()
    with ready.office.db.read() as session:
        assert session.exec(select(EntitlementRow)).all() == []


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 400)), min_size=1, max_size=12))
def test_lots_are_in_order_and_end_at_l(moves: list[tuple[int, int]]) -> None:
    """Steps at rising times: ends rise, expiries do not fall, never more than four live."""
    last: Entitlement | None = None
    now_s, loaded, sequence = 1000, 0, 0
    for amount, wait in moves:
        now_s += wait
        expired = last.expired_through(now_s) if last else 0
        step = entitle.Step(None, None, amount, None, now_s + 500)  # type: ignore[arg-type]
        try:
            lots = entitle._lots(last, step, loaded + amount, expired)
        except WalletFullError:
            continue
        loaded, sequence = loaded + amount, sequence + 1
        assert lots[-1].end == loaded
        assert len(lots) <= 4
        assert all(a.end < b.end and a.expires_s <= b.expires_s for a, b in pairwise(lots))
        body = Entitlement.encode_body(
            env=ENV, card_id=bytes(8), certificate_hash=bytes(16), wallet=1, programme=1,
            sequence=sequence, loaded=loaded, lots=lots, forfeited_through=expired, cap=1,
            issued=__import__("datetime").date(2026, 1, 1), acknowledged=0, settled_debited=0,
            settled_reversed=0, bypass_total=0, key_version=1,
        )  # fmt: skip
        last = Entitlement.parse(body + bytes(64))


def test_a_wish_names_what_it_stands_on() -> None:
    wish = EntitlementWish(b"x", Citation(hashlib.sha256(b"").digest(), 7))
    assert EntitlementWish.parse(bytes(wish)) == wish


def another_round(world: BackendWorld, rows: int) -> None:
    """The next decree for the same families, its funds released."""
    decree = json.loads(_files(62, rows)["sk.json"])
    decree["number"] += "/2"
    funds = json.loads(_files(62, rows)["funds.json"])
    for release in funds["releases"]:
        release["sp2d"] += "/2"
        release["amount_minor"] *= 2
    world.office.import_decree(json.dumps(decree).encode())
    world.office.import_funds(json.dumps(funds).encode())
    world.office.entitle()


def ceiling(terminal: SoftStation, wallet: int) -> int:
    assert terminal.bundle is not None
    return next(x.highest for x in terminal.bundle.ceilings if x.wallet == wallet)


def test_a_card_topped_up_elsewhere_stays_below_the_ceiling_held_here(ready: BackendWorld) -> None:
    card = next(c for c in ready.cards(12) if CASH in c.wallets)
    terminal = ready.terminal(b"TERM0001")
    before = card.wallets[CASH].loaded
    another_round(ready, 12)
    ready.load(card)
    assert card.wallets[CASH].loaded == 2 * before
    assert card.wallets[CASH].loaded <= ceiling(terminal, CASH)


def test_the_ceiling_is_what_may_be_decreed_and_two_rounds_more(ready: BackendWorld) -> None:
    """A forged L beyond it is refused; a wallet that nobody holds yet has one too."""
    terminal = ready.terminal(b"TERM0001")
    assert ceiling(terminal, CASH) == 3 * 250_000
    card = next(c for c in ready.cards(12) if CASH in c.wallets)
    assert ceiling(terminal, CASH) == 3 * 250_000
    terminal.debit(card, CASH, 10_000, deliver=False)
    terminal.send()
    ready.office.decide(DecisionKind.RETURN, card.card_id, CASH, first=1, last=1, amount=10_000,
                        number="K-1", reason="tidak dilayani")  # fmt: skip
    terminal.sync()
    assert ceiling(terminal, CASH) == 3 * 250_000 + 10_000
    ready.office.entitle()
    terminal.sync()
    assert ceiling(terminal, CASH) == 3 * 250_000 + 10_000
