"""Errors of the terminal: its own storage, data and configuration.

What happens with a card is no error but an :mod:`terminal.outcomes` value. Both with their words:
docs/errors.md#terminal.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """What went wrong, as a key into :mod:`terminal.messages`."""

    TERMINAL = "terminal"
    JOURNAL = "journal"
    JOURNAL_FULL = "journal-full"
    JOURNAL_BUSY = "journal-busy"
    JOURNAL_DAMAGED = "journal-damaged"
    JOURNAL_OF_ANOTHER = "journal-of-another"
    BUNDLE_NOT_NEWER = "bundle-not-newer"
    BUNDLE_REFUSED = "bundle-refused"
    BUNDLE_BASE = "bundle-base"
    ROSTER_EMPTY = "roster-empty"
    ACK_REFUSED = "ack-refused"
    CONFIG = "config"
    NOT_PROVISIONED = "not-provisioned"
    TRANSFER = "transfer"
    STEP = "step"
    STOPPED = "stopped"


class TerminalError(Exception):
    """Base of every error of the terminal. ``code`` names its message."""

    code = Code.TERMINAL


class JournalError(TerminalError):
    """The journal could not be read or written; what was there before still is."""

    code = Code.JOURNAL


class JournalFullError(JournalError):
    """No room on the disk: nothing was written, and nothing may follow from it."""

    code = Code.JOURNAL_FULL


class JournalBusyError(JournalError):
    """Another program holds the journal; nothing was written."""

    code = Code.JOURNAL_BUSY


class JournalDamagedError(JournalError):
    """The journal does not hold the chain it says it holds."""

    code = Code.JOURNAL_DAMAGED


class OtherStationError(JournalError):
    """The file belongs to another station or enrolment."""

    code = Code.JOURNAL_OF_ANOTHER


class StepError(TerminalError):
    """The step does not fit the state of that intent, shift or stock; nothing was written."""

    code = Code.STEP


class BundleRefusedError(TerminalError):
    """The bundle was not installed; what was installed before stays in force."""

    code = Code.BUNDLE_REFUSED


class NotNewerError(BundleRefusedError):
    """The bundle is not newer than what is installed."""

    code = Code.BUNDLE_NOT_NEWER


class BaseMissingError(BundleRefusedError):
    """A delta on another bundle than the installed one: a full one is needed."""

    code = Code.BUNDLE_BASE


class RosterEmptyError(TerminalError):
    """No bundle is installed."""

    code = Code.ROSTER_EMPTY


class AcknowledgementRefusedError(TerminalError):
    """The acknowledgement is not for this journal; nothing was pruned."""

    code = Code.ACK_REFUSED


class RestoredImageError(AcknowledgementRefusedError):
    """The office acknowledged records of this terminal that its journal does not hold."""

    code = Code.STOPPED


class ConfigError(TerminalError):
    """The terminal's folder does not hold what is needed, or holds it already."""

    code = Code.CONFIG


class NotProvisionedError(ConfigError):
    """The terminal has not been provisioned yet."""

    code = Code.NOT_PROVISIONED


class TransferError(TerminalError):
    """Upload or bundle could not be carried; the journal keeps everything for next time."""

    code = Code.TRANSFER


class UploadRefusedError(TransferError):
    """The backend answered that it does not take the upload."""
