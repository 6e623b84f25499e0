"""The honest story gives no finding, and its figures add up."""

from __future__ import annotations

from backend.audit.facts import Fact
from backend.audit.report import make
from tests.support.audit_story import CASH, FOOD, bulk, tell


def test_the_honest_story_has_no_finding() -> None:
    report = make(tell().w.audited())
    assert report.findings == []
    assert (report.difference_minor, report.goods_difference) == (0, 0)
    food, cash, school = report.programmes
    # 28 by decree rows, 3 by decision; 10 debits less 1 void, 1 returned; 3 forfeited
    assert (food.issued, food.redeemed, food.forfeited, food.moved) == (31, 8, 3, 3)
    assert (cash.redeemed, cash.moved, cash.losses) == (432_000, 190_000, 0)
    assert school.returned == 10_000
    assert [p.settled_minor for p in report.providers] == [432_000, 1_050_000, 50_000]
    assert report.settled_minor == 1_532_000
    assert {a.kind for a in report.alerts} == {"bypass", "dispute"}
    assert {e.what.fact for e in report.explained} == {
        Fact.CLOSED, Fact.WRITTEN_OFF, Fact.BROUGHT_HOME_DECIDED, Fact.CARD_COUNT,
    }  # fmt: skip


def test_places_add_up_to_programmes() -> None:
    report = make(tell().w.audited())
    for code, wallet in ((1, FOOD), (2, CASH)):
        line = next(p for p in report.programmes if p.code == code)
        places = [p for p in report.places if p.code == code]
        assert sum(p.redeemed for p in places) == line.redeemed, wallet
        assert sum(p.loaded for p in places) == line.loaded
        assert sum(p.forfeited for p in places) == line.forfeited
        assert sum(p.issued for p in places) == line.issued
        assert sum(p.residual for p in places) == line.residual
        assert sum(p.moved for p in places) == line.moved


def test_two_thousand_receipts_without_a_finding() -> None:
    story = bulk(2000)
    export = story.w.finish()
    report = make(story.w.audited(export))
    assert report.findings == []
    assert report.counts()["receipts"] >= 2000
    assert (report.difference_minor, report.goods_difference) == (0, 0)
