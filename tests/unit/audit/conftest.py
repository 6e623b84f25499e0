"""One honest export on disk, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backend.audit.report import Report
from tests.support.audit_files import write
from tests.support.audit_story import tell
from tests.support.fraud_reports import fraud_reports
from wire import cbor


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``export/``, ``trust.cbor`` and heads noted; to be read only.

    ``head.cbor``: of this ledger; ``later.cbor``: of the same one, an entry longer; ``other.cbor``:
    of this ledger and of another issuance log.
    """
    folder = tmp_path_factory.mktemp("honest")
    story = tell()
    write(story.w.finish(), folder / "export")
    (folder / "trust.cbor").write_bytes(story.w.trust)
    book, _ = story.w.chain()[2]
    (folder / "head.cbor").write_bytes(book)
    story.w.post(story.w.ledger[0][1])
    (folder / "later.cbor").write_bytes(story.w.chain()[2][0])
    story.w.issuance[3]["time_s"] += 1
    (folder / "other.cbor").write_bytes(cbor.encode_sequence([book, story.w.chain()[2][1]]))
    return folder


@pytest.fixture
def copied(honest: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(honest, tmp_path / "copy"))


@pytest.fixture(scope="session")
def frauds() -> dict[str, Report]:
    """The auditor's report over each named fraud."""
    return {name: report for name, (_, report) in fraud_reports().items()}
