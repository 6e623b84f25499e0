"""The architecture page names files and functions that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PLACES = re.findall(r"`([a-z_/]+\.py)` `(\w+)`", PAGE)


def test_the_way_has_nine_steps() -> None:
    assert [int(n) for n in re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)] == list(range(1, 10))
    assert len(PLACES) == 9


@pytest.mark.parametrize(("file", "name"), PLACES)
def test_a_place_is_there(file: str, name: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    assert re.search(rf"^(def|class) {name}\b", text, re.MULTILINE)


@pytest.mark.parametrize("target", re.findall(r"`make ([a-z-]+)`", PAGE))
def test_a_campaign_is_there(target: str) -> None:
    assert (ROOT / "scripts" / "campaigns.d" / target).exists()
