"""Exports on disk, and the books an auditor's face makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.face.alter import Source
from backend.face.book import Book, load
from tests.support.audit_files import write
from tests.support.audit_story import Story, bulk, tell
from tests.support.fraud_reports import fraud_reports


def source_of(story: Story, folder: Path) -> Source:
    """The story's export and trust file in ``folder``."""
    write(story.w.finish(), folder / "export")
    (folder / "trust.cbor").write_bytes(story.w.trust)
    return Source(folder / "export", folder / "trust.cbor", allow_demo=True)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The honest story's; to be read only."""
    return source_of(tell(), tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="session")
def book(source: Source) -> Book:
    """The honest story, loaded."""
    return load(source)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """Three hundred receipts."""
    return load(source_of(bulk(300), tmp_path_factory.mktemp("bulk")))


@pytest.fixture(scope="session")
def frauds() -> dict[str, Book]:
    """The book of each named fraud, made in memory."""
    nowhere = Source(Path("export"), Path("trust.cbor"), allow_demo=True)
    return {name: Book(nowhere, *made) for name, made in fraud_reports().items()}
