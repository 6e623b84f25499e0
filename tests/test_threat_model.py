"""Every test that docs/threat-model.md names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = sorted(set(re.findall(r"`(test_\w+)`", (ROOT / "docs/threat-model.md").read_text("utf-8"))))
WRITTEN = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"def (test_\w+)\(", path.read_text("utf-8"))
}


def test_the_model_names_tests() -> None:
    assert len(NAMED) > 40


@pytest.mark.parametrize("name", NAMED)
def test_named_test_exists(name: str) -> None:
    assert name in WRITTEN
