"""docs/applet.md says what is: the lines its habits stand in, and the figures as measured now."""

import re
import subprocess
import sys
from pathlib import Path

from card_os.reference.external import APPLET, AppletHost

ROOT = Path(__file__).parents[3]
DOC = (ROOT / "docs" / "applet.md").read_text("utf-8")
HABIT = re.compile(r"\| ([A-Z]\w+\.java):(\d+) \| `(.+?)` \|")


def test_every_habit_stands_where_the_document_says() -> None:
    rows = HABIT.findall(DOC)
    assert len(rows) >= 20
    for file, line, text in rows:
        source = APPLET / "src" / "main" / "java" / "id" / "betang" / "purse" / file
        lines = source.read_text("utf-8").splitlines()
        here = [n for n, found in enumerate(lines, 1) if text in found]
        assert int(line) in here, f"{file}:{line} is not {text!r}; it stands at {here}"


def test_the_figures_are_those_measured(applet_host: AppletHost) -> None:
    """Code size alone may differ by compiler: it is an estimate and labelled so."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "applet-figures"],
        capture_output=True,
        text=True,
        check=True,
    )
    for table in done.stdout.split("\n\n")[:2]:
        assert table.strip() in DOC
