"""The rules hold in every reachable state; without any one of them a promise breaks.

Each broken variant ends at a shortest counter-example. Where one rule is covered by another, both
are taken away, and the model shows that one of the two would do.
"""

from __future__ import annotations

import pytest

from tests.models import evidence, recovery, trust
from tests.models.evidence import Evidence
from tests.models.explore import Explored, explore
from tests.models.recovery import ALL, Recovery, State
from tests.models.trust import Trust


def recovered(*, live: bool = False, **rules: object) -> Explored:
    return explore(Recovery(recovery.Rules(**rules)), live=live)


@pytest.mark.parametrize(
    ("rules", "states"),
    [({}, 47_761), ({"first_load": 1}, 69_921)],
    ids=["base", "a top-up"],
)
def test_debit_and_void_hold_and_can_come_to_rest(rules: dict[str, object], states: int) -> None:
    found = recovered(live=True, **rules)
    assert (found.broken, found.trace, found.states) == ("", [], states)


@pytest.mark.parametrize(
    ("rules", "broken"),
    [
        ({"debit_slots": 1}, "a lawful void is refused"),
        ({"debit_slots": 1, "ring": 1}, "a lawful void is refused"),
        ({"void_latest": False, "ring": 3}, "a lawful void is refused"),
        ({"atomic": False}, "counters and receipts disagree"),
        ({"intent_first": False}, "a debit without INTENT on disk"),
        ({"receipt_first": False}, "goods without a durable receipt"),
        ({"abort": "error"}, "an intent is both aborted and done"),
        ({"abort": "missing"}, "an intent is both aborted and done"),
        ({"void_own": False}, "the family has goods and money"),
        ({"confirm_own": False}, "CONFIRMed but not DELIVERED"),
        ({"final": False}, "CONFIRMed but not DELIVERED"),
        ({"waits": ALL - {"hand"}}, "the family has goods and money"),
        ({"waits": ALL - {"give"}}, "the family has goods and money"),
        ({"waits": ALL - {"back"}}, "goods in stock and the debit stands"),
        ({"asks": ALL - {"hand"}}, "goods handed twice"),
        ({"asks": ALL - {"give"}}, "goods handed twice"),
        ({"asks": ALL - {"back"}}, "goods returned twice"),
        ({"asks": ALL - {"void"}}, "the family has goods and money"),
        ({"acknowledge": "highest"}, "a receipt can no longer be settled"),
        ({"once": False}, "settled twice"),
        ({"load": "set", "first_load": 1}, "balance below 0, or more than was issued"),
        ({"load": "add"}, "balance below 0, or more than was issued"),
        ({"holds": False}, "payable above the goods with families"),
    ],
)
def test_debit_and_void_need_each_rule(rules: dict[str, object], broken: str) -> None:
    found = recovered(**rules)
    assert found.broken == broken, found.trace


def test_without_word_from_the_backend_an_intent_stays_pending_for_ever() -> None:
    """The acknowledgement reached the card, and another receipt its slot, before the recovery."""
    found = recovered(live=True, tells=False)
    assert found.broken == "cannot come to rest"
    assert any("LOADs" in step for step in found.trace)


class Goal(Recovery):
    """A state to be reached: the model is not empty."""

    def __init__(self, wanted: str) -> None:
        super().__init__()
        self.wanted = wanted

    def broken(self, s: State) -> str:
        lines = [(i, self.void_of(x.journal, i.expected + 1))
                 for x in s.terminals for i in x.journal]  # fmt: skip
        done = {(i.state, void) for i, void in lines if not i.voids}
        executed = {x[:2] for x in s.card.receipts}
        overtaken = any(
            i.state == "I" and (t, n) in executed and s.card.acknowledged > i.expected
            for t, x in enumerate(s.terminals) for n, i in enumerate(x.journal)
        )  # fmt: skip
        reused = overtaken and len(s.card.receipts) > self.rules.ring
        reached = {
            "void before goods": ("R", "R") in done and self.is_rest(s),
            "void after goods": ("E", "R") in done and self.is_rest(s),
            "acknowledged before recovered": overtaken,
            "slot reused": reused,
        }
        return "reached" if reached[self.wanted] else ""


BLOCKED: dict[str, object] = {"scripts": (evidence.BLOCK,), "debits": 1, "pin_sets": 2}
GOALS = "void before goods", "void after goods", "acknowledged before recovered", "slot reused"


@pytest.mark.parametrize("wanted", GOALS)
def test_the_model_reaches(wanted: str) -> None:
    assert explore(Goal(wanted)).broken == "reached"


@pytest.mark.parametrize(
    ("rules", "states"), [({}, 27_187), (BLOCKED, 3_570)], ids=["reset", "block"]
)
def test_statements_scripts_and_resets_hold(rules: dict[str, object], states: int) -> None:
    found = explore(Evidence(evidence.Rules(**rules)), live=True)
    assert (found.broken, found.trace, found.states) == ("", [], states)


@pytest.mark.parametrize(
    ("rules", "broken"),
    [
        ({"keeps": False}, "no evidence is left of one of the pins"),
        ({"collects": False}, "no evidence is left of one of the pins"),
        ({"atomic": False}, "one reset set two PINs"),
        ({"increasing": False}, "a script ran twice or out of order"),
        (BLOCKED | {"block_stops": False}, "a blocked card pays"),
    ],
)
def test_evidence_needs_each_rule(rules: dict[str, object], broken: str) -> None:
    found = explore(Evidence(evidence.Rules(**rules)))
    assert found.broken == broken, found.trace


def test_certificate_cache_and_links_hold() -> None:
    found = explore(Trust(), live=True)
    assert (found.broken, found.trace) == ("", [])


@pytest.mark.parametrize(
    ("rules", "broken"),
    [
        ({"above_highest": False}, "an old link is taken again"),
        ({"empties": False}, "a version below the lowest kept is held"),
        ({"checks_version": False, "empties_cache": False}, "a version no longer kept is taken"),
        ({"cache": "body"}, "a forged certificate is taken"),
        ({"writes": "at PSO"}, "written before any proof"),
        ({"forward": False}, "the date goes back"),
        ({"bounded": False}, "the date leaps"),
        ({"steps_back": False}, "cannot come to rest"),
    ],
)
def test_trust_needs_each_rule(rules: dict[str, object], broken: str) -> None:
    found = explore(Trust(trust.Rules(**rules)), live=True)
    assert found.broken == broken, found.trace


@pytest.mark.parametrize("rule", ["checks_version", "empties_cache"])
def test_either_check_of_the_cache_would_do(rule: str) -> None:
    """Two guards for one promise: a single fault on a chip does not open the card."""
    assert explore(Trust(trust.Rules(**{rule: False})), live=True).broken == ""
