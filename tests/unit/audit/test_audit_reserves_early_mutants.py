"""What moves early: the provisional amount, on worlds made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.audit import reserves
from tests.support.audit_small import CASH, FOOD, OTHER, W1, day
from tests.unit.audit.test_audit_reserves_mutants import Loss

# --- the provisional amount ------------------------------------------------------------


def above(x: Loss) -> list[bytes]:
    """The moves above the provisional amount."""
    return [o.hash for o, _ in reserves.replay(x.s.world).above]


@pytest.mark.parametrize("amount", [99, 100, 101])
def test_early_no_more_moves_than_the_provisional_amount(amount: int) -> None:
    x = Loss()
    move = x.move(amount)
    assert above(x) == ([move] if amount > 100 else [])
    x = Loss()
    x.sync(x.one)
    x.sync(x.two)
    x.move(amount)
    assert above(x) == []  # all knew


def test_moves_of_one_wallet_add_up_and_of_another_do_not() -> None:
    x = Loss()
    x.move(60)
    x.move(60, W1)
    x.move(40)
    assert above(x) == []
    last = x.move(1)
    assert above(x) == [last]


def test_a_station_certified_while_the_decision_was_signed_could_not_be_waited_for() -> None:
    x = Loss()
    x.sync(x.one)
    move = x.move(101)
    signed = x.s.world.objects[move].payload.time_s
    for at, found in ((signed - 1, [move]), (signed, []), (signed + 9, [])):
        for key in ((x.two.station, 20), (x.two.station, 21)):
            cert, entry = x.s.world.certificates[key]
            x.s.world.certificates[key] = (cert, replace(entry, time_s=at))
        assert above(x) == found, at
        assert len(x.changes()) == 1


def test_the_provisional_amount_is_the_newest_before_the_draft_or_any_signed_meanwhile() -> None:
    x = Loss()
    x.s.programme(CASH, version=3, provisional=40)
    x.s.programme(CASH, version=2, provisional=300)
    x.s.programme(FOOD, version=8, provisional=900)
    x.s.programme(OTHER, version=9, provisional=900)
    first = x.move(41)
    assert above(x) == [first]
    second = x.move(9)
    x.s.programme(CASH, version=4, provisional=700)  # too late
    assert above(x) == [first, second]
    drafted = x.s.world.objects[first].payload.time_s
    for at, found in ((drafted - 1, [first, second]), (drafted, [second])):
        entered(x, 2, at)
        assert above(x) == found, at
    entered(x, 4, drafted)
    assert above(x) == [second]


def entered(x: Loss, version: int, at: int) -> None:
    """This version of the cash programme entered then."""
    objects = x.s.world.by_shape
    for every in objects.values():
        for i, o in enumerate(every):
            if getattr(o.payload, "provisional", None) and (o.payload.code, o.payload.version) == (
                CASH, version,
            ):  # fmt: skip
                every[i] = replace(o, entry=replace(o.entry, time_s=at))


def test_without_a_programme_before_it_nothing_moves_early() -> None:
    x = Loss()
    at = x.s.order
    for every in x.s.world.by_shape.values():
        for i, o in enumerate(every):
            if hasattr(o.payload, "provisional"):
                every[i] = replace(o, entry=replace(o.entry, sequence=at + 1))
    move = x.move(1)
    assert above(x) == [move]
    assert day("2026-03-30") == x.old.certificate.effective
