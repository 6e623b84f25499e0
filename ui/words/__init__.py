"""The one catalogue of page words: Indonesian in the templates, English in ``en/*.po``.

Texts of typed results (outcomes, errors) are pairs beside their types in each package's
``messages.py``; :meth:`Words.pick` chooses from those.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from babel.messages.pofile import read_po

LANGUAGES: Final = ("id", "en")
_FOLDER = Path(__file__).parent / "en"


class CatalogueError(Exception):
    """Two files of the catalogue say the same text differently."""


@dataclass(frozen=True, slots=True)
class Words:
    """One language: ``id`` says a text as it is written, ``en`` looks it up."""

    language: str

    def say(self, indonesian: str, **values: object) -> str:
        """The text in this language, ``{name}`` filled; the Indonesian where English is missing."""
        text = indonesian if self.language == "id" else english().get(indonesian, indonesian)
        return text.format_map(values) if values else text

    def pick(self, pair: tuple[str, str] | list[str]) -> str:
        """One of (Indonesian, English)."""
        return pair[LANGUAGES.index(self.language)]


@cache
def english() -> dict[str, str]:
    """Every Indonesian text and its English; :class:`CatalogueError` for two answers to one."""
    found: dict[str, str] = {}
    for path in sorted(_FOLDER.glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file):
                text, answer = str(message.id), str(message.string)
                if not text or not answer:
                    continue
                if found.setdefault(text, answer) != answer:
                    raise CatalogueError(f"{path.name}: {text!r} has another English elsewhere")
    return found
