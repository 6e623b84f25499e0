"""The README is short, its two commands exist, and what it points to is there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


# `make test` runs these tests: its flags must not reach the make that they start.
ENV = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_the_two_commands_are_there() -> None:
    assert {"make demo", "make test"} <= set(commands())


@pytest.mark.parametrize("command", commands())
def test_command_exists(command: str) -> None:
    """`make test` runs this very test; the demo is run by .ci/run and the demo's own tests."""
    words = command.split()
    if words[0].startswith(".venv/bin/"):
        subprocess.run([ROOT / words[0], words[1], "--help"], check=True, capture_output=True)
        return
    assert words[0] == "make", command
    subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, env=ENV, check=True, capture_output=True)


def test_make_help_lists_every_target_with_words() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+%?)(?: [a-z%-]+)*:", makefile, re.MULTILINE))
    printed = subprocess.run(
        ["make", "help"], cwd=ROOT, env=ENV, check=True, capture_output=True, text=True
    ).stdout
    assert {line.split()[0] for line in printed.splitlines()} == targets
    assert {"help", "demo", "test", "lint", "clean", "lock"} <= targets


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/status.md"]
)
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert ((ROOT / document).parent / target).exists(), f"{document}: {target}"
