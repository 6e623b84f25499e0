"""Every invariant has its rule: what `judge` does not know of finds nothing."""

from __future__ import annotations

from backend.audit.rules import RULES
from wire.invariants import Invariant


def test_every_invariant_has_its_rule() -> None:
    assert set(RULES) == set(Invariant)
    assert len({id(rule) for rule in RULES.values()}) == len(RULES)
