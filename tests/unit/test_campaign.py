"""The frame of the campaigns: faults are listed, a run goes on where it was cut off."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.support import campaign as frame
from tests.support.campaign import Campaign, FaultError, run


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(frame, "ROOT", tmp_path)
    return tmp_path


def numbers(seen: list[int], bad: int = -1) -> Campaign:
    def piece(seed: int, number: int) -> Counter[str]:
        seen.append(number)
        if number == bad:
            raise FaultError("as planted")
        return Counter({"seen": 1})

    return Campaign("sim-test", "states", full=1000, reduced=10, piece=piece, size=2)


def test_a_run_goes_on_where_the_same_seed_ended(root):
    seen: list[int] = []
    run(numbers(seen), 6, 60, seed=7)
    result = run(numbers(seen), 10, 60, seed=7)
    assert seen == [0, 1, 2, 3, 4]
    assert result.counts == {"seen": 5}
    run(numbers(seen), 2, 60, seed=8)
    assert seen[5:] == [0]
    kept = json.loads((root / "build" / "sim" / "sim-test.json").read_text())
    assert (kept["seed"], kept["done"], kept["full_size"], kept["faults"]) == (8, 2, 1000, [])


def test_a_fault_is_listed_with_its_piece_and_begins_anew():
    seen: list[int] = []
    result = run(numbers(seen, bad=1), 6, 60, seed=7)
    assert [f["piece"] for f in result.faults] == [1]
    assert "as planted" in result.faults[0]["fault"]
    run(numbers(seen), 2, 60, seed=7)
    assert seen == [0, 1, 2, 0]


def test_time_ends_a_run():
    seen: list[int] = []
    assert run(numbers(seen), 6, 0, seed=7).pieces == 0


@pytest.mark.parametrize(("bad", "status"), [(-1, 0), (2, 1)])
def test_a_fault_is_a_failed_command(monkeypatch, bad, status):
    monkeypatch.setenv("SEED", "3")
    monkeypatch.setattr("sys.argv", ["sim-test", "reduced"])
    seen: list[int] = []
    assert frame.main(numbers(seen, bad)) == status
    assert seen == [0, 1, 2, 3, 4]
