"""The table of rules (docs/audit.md#rules): one function per invariant, so a test can remove it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from backend.audit.findings import Finding
from backend.audit.model import World
from wire.invariants import Invariant

Rule = Callable[[World], Iterator[Finding]]
RULES: dict[Invariant, Rule] = {}


def rule(invariant: Invariant) -> Callable[[Rule], Rule]:
    """Enter a function as the rule of ``invariant``; ``ValueError`` for a second one."""

    def enter(function: Rule) -> Rule:
        if invariant in RULES:
            raise ValueError(f"two rules for {invariant.name}")
        RULES[invariant] = function
        return function

    return enter


def is_old(world: World, since_s: int, age_s: int) -> bool:
    """Whether what is open since then is older than the signed age allows."""
    return world.now_s - since_s > age_s
