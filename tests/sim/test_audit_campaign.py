"""The auditor's campaign finds an auditor that lacks a check, or that accuses without reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.audit.build import build
from backend.audit.facts import Fact
from backend.audit.findings import Finding, say
from backend.audit.model import World
from backend.audit.rules import RULES
from tests.sim.test_frauds import FRAUDS
from tests.support.audit_authors import AUTHORS, EXPECTED, table
from tests.support.audit_campaign import ALONE, NAMES, TOGETHER, check, piece, together
from tests.support.audit_world import AuditWorld
from tests.support.campaign import FaultError
from wire.invariants import Invariant

ROOT = Path(__file__).resolve().parents[2]
Judged = tuple[AuditWorld, World, dict[str, set[object]]]


@pytest.fixture(scope="module")
def judged() -> Judged:
    """A small province with one fraud of each invariant."""
    first = {FRAUDS[name][0]: name for name in reversed(TOGETHER)}
    names = [name for name in TOGETHER if name in first.values()]
    p, committed = together(3, 600, names)
    return p.w, build(p.w.finish(), p.w.trust, allow_demo=True), committed


def test_all_are_found_and_nothing_else(judged: Judged) -> None:
    w, world, committed = judged
    assert len(committed) == len(Invariant)
    assert check(w, world, committed) >= len(committed)


@pytest.mark.parametrize("invariant", Invariant)
def test_an_auditor_without_one_rule_is_caught(judged: Judged, invariant: Invariant) -> None:
    w, world, committed = judged
    rules = {key: rule for key, rule in RULES.items() if key != invariant}
    with pytest.raises(FaultError, match=f"not found.*{invariant.name}"):
        check(w, world, committed, rules)


def test_a_false_alarm_is_caught(judged: Judged) -> None:
    w, world, committed = judged

    def accuse(_: World) -> Iterator[Finding]:
        yield from RULES[Invariant.LINKS](world)
        yield Finding(Invariant.LINKS, f"{w.cards[0].card_id.hex()}/1", say(Fact.LINK_OTHER))

    with pytest.raises(FaultError, match="false alarm"):
        check(w, world, committed, {**RULES, Invariant.LINKS: accuse})


def test_a_finding_at_another_place_is_caught(judged: Judged) -> None:
    w, world, committed = judged
    moved = {name: (of if name != "a_cloned_card" else set()) for name, of in committed.items()}
    with pytest.raises(FaultError, match="clone"):
        check(w, world, moved)


def test_a_piece_is_its_seed_and_number() -> None:
    clean, again, fraud = piece(1, 0, 100), piece(1, 0, 100), piece(1, 1, 100)
    assert clean == again
    assert (clean["clean"], clean["findings"]) == (1, 0)
    assert (fraud["frauds"], fraud["clean"]) == (1, 0)
    assert fraud["findings"] >= 1


def test_every_fraud_has_an_author_whose_keys_are_told() -> None:
    assert set(NAMES) == set(EXPECTED) == set(FRAUDS)
    assert {author for author, _ in EXPECTED.values()} == set(AUTHORS)
    assert len(set(TOGETHER)) == len(TOGETHER) == len(NAMES) - len(ALONE)
    assert table() in (ROOT / "docs/audit.md").read_text()
