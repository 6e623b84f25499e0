"""The machine of `make mutation`, over a module of two lines: what it kills and what survives."""

from __future__ import annotations

import json

import pytest

from tests.support.mutants import altered, in_order, mutants_of
from tests.support.mutation import Group, Run, suite_of, wilson

TOY = """\
from __future__ import annotations

def may(have: int | None, want: int) -> bool:
    if have is None:
        raise ValueError("no purse")
    return want <= max(have, have)
"""
TEST = """\
import pytest
import toy

def test_the_border():
    assert toy.may(2, 2)
    assert not toy.may(2, 3)

def test_no_purse():
    with pytest.raises(ValueError):
        toy.may(None, 2)
"""
# The last names an alteration that no test can notice: the table's way of counting it apart.
PAGE = """\
| File | Line | Altered | Kind | Why |
|---|---|---|---|---|
| `toy.py` | `return want <= max(have, have)` | `return want < max(have, have)` | left | so |
"""


def judged(root, seed=5):
    run = Run(seed, [Group("toy", ("toy.py",), ("test_toy.py",))], root / "result.json", root)
    order = in_order(mutants_of("toy.py", root), seed)
    run.go([m for m in order if "DropS" in m.operator or "LtE->Lt" in m.operator], 9, 2, 60)
    return run, json.loads((root / "result.json").read_text())


def test_a_fault_is_killed_by_its_test_and_survives_without(tmp_path):
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "test_toy.py").write_text(TEST)
    _, told = judged(tmp_path)
    assert (told["judged"], told["killed"], told["survivors"]) == (2, 2, [])
    (tmp_path / "result.json").unlink()
    (tmp_path / "test_toy.py").write_text(TEST.replace("assert toy.may(2, 2)", "pass"))
    run, told = judged(tmp_path)
    assert told["killed"] == 1
    assert [s["now"] for s in told["survivors"]] == ["return want < max(have, have)"]
    assert len(run.unlisted()) == 1
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "mutation.md").write_text(PAGE)
    assert run.unlisted() == []
    run.write()
    told = json.loads(run.path.read_text())
    assert (told["of"], told["rate"], told["survivors"][0]["listed"]) == (2, 0.5, True)
    (tmp_path / "docs" / "mutation.md").write_text(PAGE.replace("left", "equivalent"))
    run.write()
    told = json.loads(run.path.read_text())
    assert (told["equivalent"], told["of"], told["rate"], told["survivors"]) == (1, 1, 1.0, [])


def test_what_never_runs_is_not_altered(tmp_path):
    (tmp_path / "toy.py").write_text(TOY)
    assert not [m for m in mutants_of("toy.py", tmp_path) if "BitOr" in m.operator]


@pytest.mark.parametrize(("source", "altered_to"), [
    ("a - b", {"a + b"}),
    ("a and b", {"a or b"}),
    ("a is None", {"a is not None"}),
    ("a in b", {"a not in b"}),
    ("-a", {"+a"}),
    ("not a", {"a"}),
    ("a == 1", {"a != 1", "a < 1", "a <= 1", "a > 1", "a >= 1", "a == 2", "a == 0"}),
    ("f(True)", {"pass", "f(False)"}),
    ("a += 1", {"a -= 1", "a *= 1", "a += 2", "a += 0"}),
    ("b if a else c", {"b if not a else c"}),
    ("[x for x in a if x]", {"[x for x in a if not x]"}),
])  # fmt: skip
def test_what_is_put_instead(tmp_path, source, altered_to):
    (tmp_path / "toy.py").write_text(source + "\n")
    mutants = mutants_of("toy.py", tmp_path)
    assert {altered(m, tmp_path)[2] for m in mutants} == altered_to
    assert len(mutants) == len(altered_to)


@pytest.mark.parametrize(("source", "was", "now"), [
    ("def f():\n    return 0 + a", "return 0 + a", "return None"),
    ("if a:\n    f", "if a:", "if not a:"),
    ("while not a:\n    f", "while not a:", "while a:"),
    ("if a:\n    raise E", "raise E", "pass"),
    ("for x in a:\n    f", "for x in a:", "for x in ():"),
    ("while a:\n    break", "break", "continue"),
    ("try:\n    f\nexcept E:\n    g", "except E:", "except ():"),
    ("@g\ndef f():\n    h", "@g", "@lambda same: same"),
])  # fmt: skip
def test_what_is_put_instead_of_a_line(tmp_path, source, was, now):
    (tmp_path / "toy.py").write_text(source + "\n")
    assert (was, now) in {altered(m, tmp_path)[1:] for m in mutants_of("toy.py", tmp_path)}


def test_a_sample_begins_with_one_of_every_site(tmp_path):
    (tmp_path / "toy.py").write_text(TOY)
    mutants = mutants_of("toy.py", tmp_path)
    order = in_order(mutants, 7)
    sites = {m.site for m in mutants}
    assert sorted(order) == sorted(mutants)
    assert {m.site for m in order[: len(sites)]} == sites
    assert order == in_order(mutants[::-1], 7) != in_order(mutants, 8)


def test_a_suite_is_of_the_tests_that_run_the_line(tmp_path):
    (tmp_path / "toy.py").write_text(TOY)
    mutant = next(m for m in mutants_of("toy.py", tmp_path) if m.line == 5)
    tests = {
        "far": {"cpu_s": 0.1, "lines": {"toy.py": [1]}},
        "slow": {"cpu_s": 4.0, "lines": {"toy.py": [5]}},
        "near": {"cpu_s": 1.0, "lines": {"toy.py": [5, 6]}},
        "test_toy": {"cpu_s": 1.25, "lines": {"toy.py": [5]}},
        "quick": {"cpu_s": 0.5, "lines": {"toy.py": [5]}},
    }
    assert suite_of(mutant, tests) == (["near", "test_toy", "quick"], 2.75)
    assert suite_of(mutant, {"far": tests["far"]}) == (["far"], 0.1)


def test_wilsons_interval():
    assert wilson(95, 100) == [0.8882, 0.9785]  # computed by hand from Wilson's formula
    assert wilson(0, 0) == [0.0, 1.0]
