"""Errors of the auditor: only what keeps it from judging at all. Everything else is a finding.

Their words: docs/errors.md#auditor.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """What went wrong, as a key into :mod:`backend.audit.messages`."""

    EXPORT = "export"
    TRUST = "trust"
    DEMO = "demo"
    HEAD = "head"
    OUTPUT = "output"


class AuditError(Exception):
    """Base of every error of the auditor. ``code`` names its message."""

    code = Code.EXPORT


class ExportUnreadableError(AuditError):
    """The directory is none, or holds nothing of an export."""


class TrustUnreadableError(AuditError):
    """The trust file cannot be read, or contradicts itself."""

    code = Code.TRUST


class DemoRootError(AuditError):
    """A root marked DEMO without ``--demo``."""

    code = Code.DEMO


class HeadUnreadableError(AuditError):
    """The head noted earlier is not a ledger head signed under this root."""

    code = Code.HEAD


class OutputError(AuditError):
    """The report could not be written."""

    code = Code.OUTPUT
