"""The family, decree row and visit that the desk shows, and what it does with a wrong row."""

from __future__ import annotations

import pytest

from issuer.errors import SkipRefusedError, TransferError
from issuer.face import screens as s
from issuer.orders import JobState
from issuer.outcomes import (
    Refusal,
    Refused,
)
from issuer.tally import Counts
from tests.unit.issuer.bench_world import World, proofs, signed_in
from tests.unit.issuer.desk_world import OFFICER, CutLink
from wire.cose import Sign1
from wire.log import DeskStep


@pytest.fixture
def o():
    """A desk whose office answers."""
    return World(reached=True)


def test_the_family_is_shown_with_its_decree_row_and_visit(o):
    family = (1).to_bytes(16, "little")
    o.office.proofs, decree, visit = proofs(o.w, family)
    o.office.open = [o.w.signed_order(decree=decree)]
    o.sign_in()
    shown = o.screen.family
    assert shown.name == Sign1.parse(o.office.open[0]).hash
    e = shown.evidence
    assert (e.decree.number, e.decree.hash, e.fits) == ("188.44/17/2026", decree, True)
    assert [(r.row.row, r.row.amount, r.programme.title_id) for r in e.rights] == [
        (1, 2, "Paket pangan"),
        (501, 250_000, "Bantuan tunai"),
    ]
    assert (e.visit.hash, e.visit.said.reason) == (visit, "sesuai, foto diambil")
    # Other families' rows are verified and left.
    held = o.w.db.execute("SELECT family FROM decree_row").fetchall()
    assert held == [(family,)] * 2


def test_evidence_that_does_not_verify_is_left_and_a_wrong_row_is_seen(o):
    family = (1).to_bytes(16, "little")
    raws, decree, _ = proofs(o.w, family, row=2)
    o.office.proofs = [raws[0][:-1] + b"?", *raws[1:], b"?", o.w.signed_order()]
    o.w.orders = 0
    o.office.open = [o.w.signed_order(decree=decree)]
    o.sign_in()
    assert isinstance(o.screen, s.WrongRow)
    e = o.screen.family.evidence
    assert (e.visit, e.fits) == (None, False)
    assert o.w.db.execute("SELECT count(*) FROM visit").fetchone() == (0,)


def wrong_row(o: World, orders: int = 1, **more) -> list[bytes]:
    """The first order names the row of another family; the numbers of all."""
    family = (1).to_bytes(16, "little")
    o.office.proofs, decree, _ = proofs(o.w, family, row=2)
    o.w.orders = 0
    o.office.open = [o.w.signed_order(decree=decree, **more)]
    o.office.open += [o.w.signed_order() for _ in range(orders)]
    o.sign_in()
    return [n.to_bytes(16, "big") for n in range(1, orders + 2)]


def test_an_order_of_another_familys_row_is_refused_explained_and_skipped_by_one_key(o):
    first, second = wrong_row(o)
    refused = Refused(Refusal.OTHER_ROW, first)
    assert (o.screen.outcome, o.screen.can_skip) == (refused, True)
    assert o.screen.family.order.number == first
    card = o.w.card()
    writes = card.nvm.writes
    assert isinstance(o.insert(card), s.WrongRow)  # nothing begins by itself
    assert o.w.make(card) == refused  # nor by the engine, whoever asks
    assert o.w.make(card, first) == refused
    assert (card.nvm.writes, o.w.desk.book.job(first).step) == (writes, None)
    o.go()
    assert o.w.desk.book.job(first).state == JobState.SET_ASIDE
    assert (o.bench.view.aside, o.bench.view.waiting, o.bench.view.today) == (1, 1, Counts(0, 0))
    (record,) = [r.body for r in o.w.desk.log.records() if getattr(r.body, "order", b"") == first]
    assert (record.step, record.officer) == (DeskStep.FAILED, OFFICER)
    assert record.detail == "Refused.other-row: set aside"
    assert o.screen == s.Ready(o.bench.view.queue[0], card_in=True, take_out=False)
    o.go()
    assert o.screen.outcome.order == second


def test_the_next_card_swapped_in_at_once_meets_the_same_refusal(o):
    family = (1).to_bytes(16, "little")
    o.office.proofs, decree, _ = proofs(o.w, family, row=7)
    o.w.orders = 0
    o.office.open = [o.w.signed_order(), o.w.signed_order(family=family, decree=decree)]
    o.sign_in()
    assert isinstance(o.insert(o.w.card()), s.Finished)
    assert isinstance(o.insert(o.w.card()), s.WrongRow)
    assert o.bench.view.today == Counts(1, 0)
    o.go()
    assert isinstance(o.screen, s.NoOrders)


def test_only_a_refused_order_without_a_bound_card_is_skipped(o):
    first, second = wrong_row(o)
    with pytest.raises(SkipRefusedError):
        o.w.desk.skip(second, OFFICER)
    o.w.db.execute("UPDATE job SET step = ? WHERE number = ?", (int(DeskStep.KEYS_MADE), first))
    with pytest.raises(SkipRefusedError):
        o.w.desk.skip(first, OFFICER)
    assert o.w.desk.book.job(first).state == JobState.OPEN


def test_a_card_begun_before_the_decree_came_is_refused_and_can_only_be_scrapped(o):
    o.office.error = TransferError("cable")
    family = (1).to_bytes(16, "little")
    o.office.proofs, decree, _ = proofs(o.w, family, row=2)
    o.w.orders = 0
    o.office.open = [o.w.signed_order(decree=decree)]
    o.w.desk.book.add_all(o.office.open)
    o.sign_in()
    card = o.w.card()
    o.insert(lambda: CutLink(card, 40))
    o.take()
    o.office.error = None
    o.tell(s.Contact())
    screen = o.insert(card)
    assert isinstance(screen, s.WrongRow)
    assert (screen.can_skip, screen.family.can_scrap) == (False, True)
    assert screen.outcome.card_id == screen.family.card_id is not None
    o.go()  # no skipping here
    assert o.w.desk.book.aside_count() == 0
    o.tell(s.AskScrap(screen.family.order.number))
    o.tell(s.GiveReason(o.bench.view.turn, "baris salah"))
    o.tell(s.Scrap(o.bench.view.turn))
    o.go()
    assert o.screen.can_skip  # its order is open again, and refused again


def test_rows_that_have_not_come_yet_refuse_nothing(o):
    """The decree is held for another family; a new order's own row was not looked at yet."""
    family = (1).to_bytes(16, "little")
    raws, decree, _ = proofs(o.w, family)
    o.office.proofs = raws
    o.office.open = [o.w.signed_order(decree=decree)]
    o.sign_in()
    o.w.desk.book.add(o.w.signed_order(decree=decree, row=999))
    other = o.w.desk.book.jobs()[-1]
    assert o.bench._place.evidence.of(other.order).fits
    o.tell(s.Contact())
    assert not o.bench._place.evidence.of(other.order).fits


def test_without_evidence_nothing_is_invented(o):
    signed_in(o, 1)
    e = o.screen.family.evidence
    assert (e.decree, e.rights, e.visit, e.fits) == (None, (), None, True)
