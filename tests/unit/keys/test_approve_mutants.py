"""What a person's program answers; each met a mutant that survived."""

from __future__ import annotations

import pytest

from keys import approve
from keys.approve import Role
from keys.exchange import Exchange
from tests.support.keys_world import make
from tests.unit.keys.test_approve import FUNDS, Desk, offered
from wire.objects import FundRelease


def test_what_is_answered_does_not_hold_up_what_comes_after_it(tmp_path) -> None:
    w, folder = make(), Exchange(tmp_path)
    one, two = Desk(w, 1), Desk(w, 2)
    shapes = [FUNDS, *(FundRelease(f"SP2D-{n}", 6658, n, FUNDS.time_s) for n in (1, 2))]
    names = sorted(offered(folder, shape) for shape in shapes)
    first, second, third = names
    assert one.person.answer(folder, first, Role.ASK)
    assert one.step(folder, Role.ASK) == 2
    assert two.person.answer(folder, second, Role.AGREE)
    assert two.step(folder, Role.AGREE) == 2
    assert one.step(folder, Role.ASK) == two.step(folder, Role.AGREE) == 0
    assert folder.has(third, approve.Part.APPROVAL)


def test_who_serves_says_as_whom() -> None:
    given = ["serve", "--data", "d", "--exchange", "x", "--trust", "t"]
    for role in Role:
        assert approve._parser().parse_args([*given, "--as", str(role)]).role is role
    for bad in (given, [*given, "--as", "nobody"]):
        with pytest.raises(SystemExit):
            approve._parser().parse_args(bad)
