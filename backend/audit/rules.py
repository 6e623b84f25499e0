"""All rules, and the verdict over a world (docs/audit.md)."""

from __future__ import annotations

from collections.abc import Mapping

from backend.audit import rules_card, rules_chain, rules_money, rules_use, rules_visit
from backend.audit.findings import Finding
from backend.audit.model import World
from backend.audit.registry import RULES, Rule
from wire.invariants import Invariant

MODULES = (rules_chain, rules_card, rules_visit, rules_use, rules_money)


def judge(world: World, rules: Mapping[Invariant, Rule] = RULES) -> list[Finding]:
    """Every finding of these rules, by invariant, each once."""
    found: dict[Finding, None] = {}
    for _, rule in sorted(rules.items()):
        found |= dict.fromkeys(rule(world))
    return list(found)
