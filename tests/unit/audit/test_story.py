"""The honest story gives no finding, and its figures add up."""

from __future__ import annotations

from backend.audit.report import make
from tests.support.audit_story import tell


def test_the_honest_story_has_no_finding() -> None:
    report = make(tell().w.audited())
    assert report.findings == []
    assert (report.difference_minor, report.goods_difference) == (0, 0)
