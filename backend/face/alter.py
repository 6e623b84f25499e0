"""One byte of a copy is altered, and the auditor runs on the copy (docs/audit.md#the-face).

The export itself is only read. The copy lies in a folder of its own and is gone afterwards.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend.audit.errors import AuditError, Code, ExportUnreadableError
from backend.audit.findings import Finding
from backend.audit.verify import verify

MASK = 0x01
"""Which bit of the byte is turned round: the smallest change there is."""


class NoSuchByteError(Exception):
    """The export has no such file, or the file no such byte."""


@dataclass(frozen=True, slots=True)
class Source:
    """What an auditor was given; ``head_file``: a ledger head noted earlier."""

    folder: Path
    trust_file: Path
    allow_demo: bool = False
    head_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Altered:
    """One byte altered in a copy, and what the auditor then said that it had not said before.

    ``refused``: the code when nothing could be judged at all.
    """

    file: str
    offset: int
    before: int
    after: int
    findings: tuple[Finding, ...]
    refused: Code | None = None

    @property
    def is_found(self) -> bool:
        """Whether the auditor noticed."""
        return bool(self.findings) or self.refused is not None


def files(source: Source) -> list[tuple[str, int]]:
    """Every file of the export with its size, by name; empty ones apart."""
    found = (p for p in sorted(source.folder.rglob("*")) if p.is_file())
    sizes = [(p.relative_to(source.folder).as_posix(), p.stat().st_size) for p in found]
    return [(name, size) for name, size in sizes if size]


def choose(source: Source, below: Callable[[int], int]) -> tuple[str, int]:
    """A byte of the export, each as likely as any other; ``below(n)`` is random in 0..n−1.

    File and offset; :class:`NoSuchByteError` for an export without a byte.
    """
    every = files(source)
    at = below(sum(size for _, size in every)) if every else 0
    for name, size in every:
        if at < size:
            return name, at
        at -= size
    raise NoSuchByteError("the export has no bytes")


def alter(source: Source, file: str, offset: int, known: list[Finding]) -> Altered:
    """Alter byte ``offset`` of ``file`` in a copy and audit that; ``known``: found before.

    Raises :class:`NoSuchByteError`, and :class:`ExportUnreadableError` when it cannot be copied.
    """
    size = dict(files(source)).get(file)
    if size is None or not 0 <= offset < size:
        raise NoSuchByteError(f"{file} has no byte {offset}")
    with tempfile.TemporaryDirectory(prefix="betang-audit-") as folder:
        copy = Path(folder) / "export"
        try:
            shutil.copytree(source.folder, copy)
            data = bytearray((copy / file).read_bytes())
            before = data[offset]
            data[offset] ^= MASK
            (copy / file).write_bytes(data)
        except (OSError, IndexError) as e:
            raise ExportUnreadableError(str(e)) from e
        try:
            report = verify(copy, source.trust_file, allow_demo=source.allow_demo,
                            head_file=source.head_file)  # fmt: skip
        except AuditError as e:
            return Altered(file, offset, before, before ^ MASK, (), e.code)
    new = tuple(f for f in report.findings if f not in known)
    return Altered(file, offset, before, before ^ MASK, new)
