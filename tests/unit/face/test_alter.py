"""One byte altered in a copy: found, wherever it is, and the export is never touched."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path

import pytest

from backend.audit.errors import Code
from backend.face.alter import NoSuchByteError, Source, alter, choose, files
from backend.face.book import Book
from backend.face.cli import main
from backend.face.reading import Reading, newest_head
from tests.support.audit_story import found, tell
from tests.support.audit_world import AuditWorld
from tests.unit.face.conftest import source_of


def state(folder: Path) -> dict[str, bytes]:
    return {str(p): sha256(p.read_bytes()).digest() for p in folder.rglob("*") if p.is_file()}


def test_a_byte_of_every_file_is_found_and_the_export_stays(source: Source, book: Book) -> None:
    before = state(source.folder)
    for name, size in files(source):
        result = alter(source, name, size // 2, book.report.findings)
        assert result.is_found, name
        assert result.before ^ result.after == 1
    assert state(source.folder) == before


def test_random_bytes_are_found(source: Source, book: Book) -> None:
    below = random.Random(7).randrange  # noqa: S311
    for _ in range(20):
        name, offset = choose(source, below)
        assert alter(source, name, offset, book.report.findings).is_found, (name, offset)


def test_every_byte_can_be_chosen(source: Source) -> None:
    total = sum(size for _, size in files(source))
    assert choose(source, lambda _: 0) == (files(source)[0][0], 0)
    last = files(source)[-1]
    assert choose(source, lambda n: n - 1) == (last[0], last[1] - 1)
    assert choose(source, lambda n: n - 1 if n == total else -1) == (last[0], last[1] - 1)


@pytest.mark.parametrize(
    ("name", "offset"), [("../trust.cbor", 0), ("/etc/passwd", 0), ("nothing.cbor", 0),
                         ("heads.cbor", -1), ("heads.cbor", 10_000_000)]
)  # fmt: skip
def test_only_bytes_of_the_export_can_be_altered(source: Source, name: str, offset: int) -> None:
    with pytest.raises(NoSuchByteError):
        alter(source, name, offset, [])


def test_an_empty_folder_has_no_byte(tmp_path: Path) -> None:
    with pytest.raises(NoSuchByteError):
        choose(Source(tmp_path, tmp_path), lambda _: 0)


# --- reading again ------------------------------------------------------------


def test_a_changed_export_is_noticed_and_read_again(tmp_path: Path) -> None:
    story = found(AuditWorld())
    source = source_of(story, tmp_path)
    reading = Reading.open(source)
    assert reading.changed() is None
    old = reading.book
    assert old.report.counts()["receipts"] == 0
    (source.folder).rename(tmp_path / "old")
    assert reading.reload().code == Code.EXPORT  # type: ignore[union-attr]
    assert reading.book is old
    source_of(tell(), tmp_path)
    assert reading.changed() == newest_head(source)
    assert reading.changed() != reading.head
    assert reading.reload() is None
    assert reading.changed() is None
    assert reading.book.report.counts()["receipts"] == 20


def test_the_command_line_verifies_as_before_and_refuses_what_cannot_be_judged(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trust = str(source.trust_file)
    assert main(["verify", str(source.folder), "--trust", trust, "--demo"]) == 0
    assert main(["face", str(tmp_path), "--trust", trust, "--demo"]) == 2
    assert "bukan ekspor" in capsys.readouterr().err
    assert main(["face", str(source.folder), "--trust", trust, "--lang", "en"]) == 2
    assert "DEMO" in capsys.readouterr().err
