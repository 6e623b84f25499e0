"""Every locked dependency's licence can go with Apache-2.0."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-build.txt")
# SPDX names that ask at most for a notice, and weak copyleft used as an unchanged library.
NOTICE = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MIT-CMU",
    "PSF-2.0", "Unlicense", "Zlib",
}  # fmt: skip
WEAK_COPYLEFT = {"LGPL-2.1-or-later", "LGPL-3.0-only", "MPL-2.0"}
ALLOWED = NOTICE | WEAK_COPYLEFT
# Older metadata, word for word, to SPDX.
OLD_WORDS = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
# Distributions whose metadata says nothing or too much; read by hand in the named file.
BY_HAND = {
    "atheris": "Apache-2.0",  # LICENSE; its metadata names none
    "fido2": "BSD-2-Clause AND Apache-2.0 AND MPL-2.0",  # COPYING, COPYING.APLv2, COPYING.MPLv2
    "pyrage": "MIT",  # LICENSE; its metadata names none
    "qrcode": "BSD-3-Clause AND MIT",  # LICENSE: based on a library under MIT
    "yubikey-manager": "BSD-2-Clause",  # COPYING
}


def locked_names() -> list[str]:
    lines = "\n".join((ROOT / lock).read_text("utf-8") for lock in LOCKS)
    return sorted(set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", lines, re.MULTILINE)))


def licence_of(name: str) -> str:
    """SPDX expression from the installed metadata."""
    if name in BY_HAND:
        return BY_HAND[name]
    about = metadata.metadata(name)
    expression = about.get("License-Expression") or ""
    classifiers = [
        line.rsplit(" :: ", 1)[1]
        for line in about.get_all("Classifier") or []
        if line.startswith("License :: ")
    ]
    said = [expression] if expression else classifiers or [about.get("License") or ""]
    return " AND ".join(OLD_WORDS.get(word, word) for word in said)


def acceptable(expression: str) -> bool:
    """OR: one is enough; AND: all are needed."""
    return any(
        all(part.strip(" ()") in ALLOWED for part in choice.split(" AND "))
        for choice in expression.split(" OR ")
    )


@pytest.mark.parametrize("name", locked_names())
def test_licence_is_allowed(name: str) -> None:
    licence = licence_of(name)
    assert acceptable(licence), f"{name}: {licence!r} is not in the list of allowed licences"


def test_other_licences_are_refused() -> None:
    assert not acceptable("GPL-3.0-only")
    assert not acceptable("MIT AND AGPL-3.0-only")
    assert not acceptable("")
    assert acceptable("GPL-3.0-only OR MIT")


def test_our_own_licence_stands_in_the_project() -> None:
    assert metadata.metadata("betang")["License-Expression"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


def test_locks_have_hashes_and_no_index_address() -> None:
    for lock in LOCKS:
        text = (ROOT / lock).read_text("utf-8")
        assert "://" not in text, lock
        # A URL, an editable or an option line would bypass the hashes.
        for block in re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", text)):
            if block.strip():
                assert re.match(r"[a-z0-9._-]+==\S+", block), f"{lock}: {block[:60]}"
                assert "--hash=sha256:" in block, f"{lock}: {block[:60]}"
