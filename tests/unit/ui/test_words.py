"""Every text of every face has one English, and the catalogue holds nothing that no page says."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from ui.words import english

ROOT = Path(__file__).parents[3]
FOLDERS = ("ui", "issuer/face", "terminal/face", "backend/face", "demo")
TITLE = re.compile(r"""Face\(\s*"([^"]+)\"""")
SAID = re.compile(r"""\b_\(\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")
FIELD = re.compile(r"\{(\w+)\}")


def texts() -> dict[str, set[str]]:
    """Each text that a template says, and a face's title, with where it stands."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder in FOLDERS:
        for path in (ROOT / folder / "templates").rglob("*.html"):
            for double, single in SAID.findall(path.read_text("utf-8")):
                found[double or single].add(f"{folder}/{path.name}")
        for path in (ROOT / folder).glob("*.py"):
            for title in TITLE.findall(path.read_text("utf-8")):
                found[title].add(str(path))
    return found


TEXTS = texts()


def test_the_templates_are_found() -> None:
    assert len(TEXTS) > 300
    assert {"Baki kartu", "Pemeriksa", "Titik bagi", "Meja penerbitan"} <= TEXTS.keys()


def test_every_text_has_its_english() -> None:
    missing = {text: sorted(where) for text, where in TEXTS.items() if text not in english()}
    assert missing == {}


def test_nothing_in_the_catalogue_is_unsaid() -> None:
    assert english().keys() - TEXTS.keys() == set()


@pytest.mark.parametrize("path", sorted((ROOT / "ui/words/en").glob("*.po")), ids=lambda p: p.stem)
def test_no_text_is_answered_twice_in_a_file(path: Path) -> None:
    """Two files may share a text with one English (:class:`ui.words.CatalogueError` otherwise)."""
    ids = re.findall(r'^msgid "(.+)"$', path.read_text("utf-8"), re.MULTILINE)
    assert sorted(ids) == sorted(set(ids))
    with path.open("rb") as file:
        assert not [m.id for m in read_po(file) if m.id and not m.string]


def test_both_languages_are_filled_with_the_same_values() -> None:
    assert [t for t, e in english().items() if set(FIELD.findall(t)) != set(FIELD.findall(e))] == []


def test_a_card_is_put_in_with_one_word() -> None:
    """The reader is a contact reader: nothing is tapped or touched with the card."""
    assert [t for t in TEXTS if re.search(r"\btempel", t, re.IGNORECASE)] == []


SHOWN_ONLY = (
    "|length", "pages > 1", "page > 1", "page - 1", "page < pages", "p.end > p.at", "altered",
)  # fmt: skip
"""Comparisons that only lay out a page: how long a list is, which page, which bytes to mark."""


def test_no_page_compares_or_reckons_amounts_or_dates() -> None:
    pages = [p for f in FOLDERS for p in (ROOT / f / "templates").rglob("*.html")]
    assert len(pages) > 60
    for path in pages:
        for tag in re.findall(r"{[%{](.*?)[%}]}", path.read_text("utf-8"), re.DOTALL):
            said = re.sub(r'"[^"]*"|\'[^\']*\'', "", tag)
            is_rule = re.search(
                r"(?<![-|])[<>]|\w [-*/] \w|selectattr|rejectattr|\|sum|\|m(in|ax)", said
            )
            assert not is_rule or any(x in tag for x in SHOWN_ONLY), (path.name, tag)
