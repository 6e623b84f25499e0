"""docs/errors.md from the programs' messages: ``python -m tests.support.errors_doc`` writes it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from backend import messages as backend
from backend.audit import messages as audit
from issuer import cap_messages as issuer_cap
from issuer import messages as issuer
from keys import messages as keys
from terminal import messages as terminal

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
Texts = Mapping[Any, tuple[str, str]]

HEAD = """# Error codes

Every code a program can show, with both its texts. Generated from the messages modules by
`python -m tests.support.errors_doc`; a test keeps it equal. Over HTTP a code is the `type` of an
RFC 9457 problem (`urn:betang:CODE`, of the key service `urn:betang:keys:CODE`); on a command line
the text comes with the detail in parentheses and never a traceback. A refusal changes nothing that
is stored, unless its text says so (`tests/sim/test_bad_input.py` compares hashes).
"""

SECTIONS: tuple[tuple[str, str, Texts], ...] = (
    ("Backend", "backend.errors", backend.MESSAGES),
    ("Key service and `betang-keys`", "keys.errors", keys.MESSAGES),
    ("Terminal", "terminal.errors", terminal.ERRORS),
    ("Terminal: outcomes of a visit", "terminal.outcomes", terminal.OUTCOMES),
    ("Issuing desk", "issuer.errors", issuer.ERRORS),
    ("Issuing desk: outcomes of a card", "issuer.outcomes", issuer.OUTCOMES),
    ("Issuing desk: outcomes of loading the applet", "issuer.cap_load", issuer_cap.OUTCOMES),
    ("Auditor", "backend.audit.errors", audit.MESSAGES),
)  # fmt: skip


def table() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, module, texts in SECTIONS:
        where = dict(_raised(module))
        parts.append(
            f"\n## {title}\n\n| code | Indonesian | English | where |\n|---|---|---|---|\n"
        )
        for code, (indonesian, english) in texts.items():
            name = str(code.value if isinstance(code, Enum) else code)
            place = where.get(name) or where.get(name.partition(".")[0]) or module
            row = [f"`{name}`", indonesian, english, f"`{place}`"]
            parts.append("| " + " | ".join(x.replace("|", "\\|") for x in row) + " |\n")
    return "".join(parts)


def _raised(module: str) -> Iterator[tuple[str, str]]:
    """Code (or outcome) → the class that carries it, the first that sets it itself."""
    for name, value in inspect.getmembers(importlib.import_module(module), inspect.isclass):
        if value.__module__ != module:
            continue
        code = vars(value).get("code")
        if isinstance(code, Enum):
            yield str(code.value), f"{module}.{name}"
        else:
            yield name, f"{module}.{name}"


if __name__ == "__main__":
    PAGE.write_text(table(), encoding="utf-8")
