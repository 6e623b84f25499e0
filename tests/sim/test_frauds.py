"""Named frauds, each re-signed with every key its author would hold (PROTOCOL.md §7).

Exactly the invariant named finds it, and with that rule removed nothing does: so each rule is
needed, and no fault is counted twice.
"""

from __future__ import annotations

import pytest

from backend.audit.rules import RULES, judge
from tests.support import audit_frauds_books, audit_frauds_more, audit_frauds_use
from tests.support.audit_frauds import FRAUDS
from tests.support.audit_story import tell
from wire.invariants import Invariant

MODULES = (audit_frauds_use, audit_frauds_more, audit_frauds_books)  # they enter their frauds


@pytest.mark.parametrize("name", sorted(FRAUDS))
def test_exactly_its_invariant_finds_it(name: str) -> None:
    invariant, commit = FRAUDS[name]
    story = tell()
    commit(story)
    world = story.w.audited()
    found = judge(world)
    assert {f.invariant for f in found} == {invariant}, found
    others = {key: rule for key, rule in RULES.items() if key != invariant}
    assert judge(world, others) == []


def test_every_invariant_has_its_fraud() -> None:
    assert {invariant for invariant, _ in FRAUDS.values()} == set(Invariant)
