"""Every named fraud's export and the auditor's report over it: made once a test process."""

from __future__ import annotations

from functools import cache

import pytest

from backend.audit.load import Export
from backend.audit.report import Report, make
from tests.sim.test_frauds import FRAUDS
from tests.support.audit_story import tell

ONE_WORKER = pytest.mark.xdist_group("frauds")
"""For the tests that need them all."""


@cache
def fraud_reports() -> dict[str, tuple[Export, Report]]:
    """Name -> (export, report); to be read only."""
    made = {}
    for name, (_, commit) in FRAUDS.items():
        story = tell()
        commit(story)
        export = story.w.finish()
        made[name] = export, make(story.w.audited(export))
    return made
