"""docs/runbooks.md holds to its tests, to the keys there are and to the programs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/runbooks.md"
KEYS = (
    "Root", "Card CA", "Terminal CA", "Issuer key", "Registry key", "Policy key", "Ack key",
    "Approval key", "Terminal channel key", "Officer key", "Personaliser channel key",
    "Terminal log key", "Card keys", "Card management keys",
)  # fmt: skip
"""PROTOCOL.md §3, in its order; of a card's two keys one chip is broken."""
OTHERS = ("Stolen terminal", "Backup", "Restore")


def test_every_section_names_its_tests_and_every_key_has_one() -> None:
    sections = re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", PAGE.read_text(), re.MULTILINE)
    titles = [title for title, _ in sections]
    assert not {*KEYS, *OTHERS} - set(titles)
    tests = "".join(p.read_text() for p in PAGE.parents[1].glob("tests/**/test_*.py"))
    for title, text in sections:
        if title not in {*KEYS, *OTHERS}:
            continue
        assert "**Refused after**" in text, title
        assert "**Settles still**" in text, title
        assert "**Bound**" in text, title
        named = re.findall(r"`(test_\w+)`", text.rpartition("\nTest: ")[2])
        assert named, title
        for name in named:
            assert f"def {name}(" in tests, (title, name)


def test_every_command_of_the_page_is_one() -> None:
    from backend import cli as backend_cli
    from keys import cli as keys_cli
    from terminal import cli as terminal_cli

    parsers = {"betang-keys": keys_cli._parser, "betang-backend": backend_cli._parser,
               "betang-terminal": terminal_cli._parser}  # fmt: skip
    lines = re.findall(r"^    (betang-.+)$", PAGE.read_text(), re.MULTILINE)
    known = [line for line in lines if line.split()[0] in parsers]
    assert len(known) > 20
    for line in known:
        program, *arguments = shlex.split(line, comments=True)
        parsers[program]().parse_args(arguments)
