"""What code cites exists: a page under docs/, an ADR, a section of a page."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOPS = (
    "wire",
    "keys",
    "card_os",
    "terminal",
    "issuer",
    "backend",
    "ui",
    "demo",
    "scripts",
    "tests",
)
FOLDERS = ("", "docs", "card_os")  # where a page is looked for that is named without its folder
SECTION = re.compile(r"((?:docs/|card_os/)?[A-Za-z][\w/-]*\.md)#([\w-]+)")
PAGE = re.compile(r"docs/[\w/-]+\.md\b")
DECISION = re.compile(r"docs/adr/(\d{4})")


def sections(page: Path) -> set[str]:
    """Names of a page's sections: ``{#name}``, and the heading as GitHub slugs it."""
    found = set()
    for heading in re.findall(r"^#+ (.*)", page.read_text("utf-8"), re.MULTILINE):
        found |= set(re.findall(r"\{#([\w-]+)\}", heading))
        text = re.sub(r"\{#.*|[^\w\s-]", "", heading.lower()).strip()
        found.add(text.replace(" ", "-"))
    return found


def faults(text: str) -> list[str]:
    """Citations in ``text`` of what is not there; a section may be cited by its beginning."""
    bad = [page for page in PAGE.findall(text) if not (ROOT / page).exists()]
    bad += [f"ADR {n}" for n in DECISION.findall(text) if not [*ROOT.glob(f"docs/adr/{n}-*")]]
    for name, section in SECTION.findall(text):
        pages = [ROOT / folder / name for folder in FOLDERS]
        named = next((sections(p) for p in pages if p.exists()), set())
        if not any(s == section or s.startswith(f"{section}-") for s in named):
            bad.append(f"{name}#{section}")
    return bad


def test_every_citation_in_code_leads_somewhere() -> None:
    paths = [p for top in TOPS for p in sorted((ROOT / top).rglob("*"))
             if p.suffix in {".py", ".java"} and p != Path(__file__)]  # fmt: skip
    assert len(paths) > 100
    bad = {str(p.relative_to(ROOT)): x for p in paths if (x := faults(p.read_text("utf-8")))}
    assert not bad


def test_a_citation_of_nothing_is_found() -> None:
    assert faults("docs/wire.md#receipt, wire.md#log, SPEC.md#commands, docs/adr/0001") == []
    text = "docs/wire.md#reciept, docs/wire.md#re, docs/wires.md, SPEC.md#comands, docs/adr/0999"
    assert len(faults(text)) == 5
