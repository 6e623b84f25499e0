"""The benchmarks run, and docs/benchmarks.md is the page of a run with the same figures."""

import json
import re
from typing import Any

import pytest

from tests.bench import frame, run
from tests.bench.doc import document, number, table
from tests.bench.frame import ROOT, TOY, Row, at_least, at_most

PAGE = ROOT / "docs" / "benchmarks.md"
REASONS = ROOT / "tests" / "bench" / "reasons.md"


@pytest.fixture(scope="module")
def toy() -> dict[str, Any]:
    """Every benchmark at a toy size."""
    parts = [run.part(name, TOY) for name in run.NAMES]
    return json.loads(json.dumps(run.whole(parts, frame.machine(ROOT))))


def _shape(page: str) -> list[str]:
    """Headings and the figures that have a bar: what no size changes."""
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| [≤≥][^|]* \|", page, re.MULTILINE)
    return re.findall(r"^## .+", page, re.MULTILINE) + rows


def test_page_has_the_shape_of_a_run(toy):
    """A benchmark or a bar that came or went since the page was written is noticed."""
    wanted = _shape(document(toy, REASONS.read_text("utf-8")))
    written = [x for x in _shape(PAGE.read_text("utf-8")) if x not in wanted]
    assert all("PostgreSQL" in x or "tap_host" in x for x in written)
    missing = [x for x in wanted if x not in _shape(PAGE.read_text("utf-8"))]
    assert all("tap_host" in x for x in missing)


def test_every_part_says_what_it_is(toy):
    for part in toy["parts"]:
        assert part["text"], part["name"]
        assert part["rows"], part["name"]
        assert part["peak_mb"] > 0


def test_page_says_kept_and_short():
    assert at_least("a", 0.5, 0.6).met is False
    assert at_least("a", 0.6, 0.6).met is True
    assert at_most("a", 400, 400, "ms").met is True
    assert at_most("a", 401, 400, "ms").met is False
    rows = table([frame.asdict(r) for r in (at_least("a", 0.5, 0.6), Row("b", 12345.6, "/s"))])
    assert rows[2:] == ["| a | 0.5 | ≥ 0.6 | **short** |", "| b | 12,346 /s |  |  |"]


def test_busy_machine_is_said(toy):
    idle = toy | {"load_after": 0, "machine": toy["machine"] | {"load": 0}}
    assert "busy" not in document(idle, "")
    assert "busy" in document(idle | {"load_after": 99}, "")


def test_sizes_come_from_the_environment():
    size = run.size_of({"GROWTH": "10,20", "FAMILIES": "7", "PCSCD": "0"})
    assert (size.growth, size.families, size.pcscd) == ((10, 20), 7, False)
    assert size.taps == frame.Size().taps


def test_numbers_are_short():
    assert [number(x) for x in (0, 0.01234, 12.345, 123.4, 12345.6)] == [
        "0", "0.0123", "12.3", "123", "12,346",
    ]  # fmt: skip
