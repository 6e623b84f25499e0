"""Errors of the backend. The CLI and the HTTP layer turn codes into docs/errors.md's words."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """What went wrong, as a key into :mod:`backend.messages`."""

    BACKEND = "backend"
    CONFIG = "config"
    IMPORT = "import"
    FUNDS = "funds"
    WALLET = "wallet"
    UNKNOWN = "unknown"
    UPLOAD = "upload"
    FORK = "fork"
    GAP = "gap"
    AUTHORITY = "authority"
    REFUSED = "refused"
    SIGNER = "signer"
    RESERVE = "reserve"
    LEDGER = "ledger"
    CONFLICT = "conflict"
    PROOF = "proof"
    FULL = "full"
    BUSY = "busy"


class BackendError(Exception):
    """Base of every error of the backend. ``status`` is its HTTP status (RFC 9457)."""

    code = Code.BACKEND
    status = 500


class ConfigError(BackendError):
    """The folder, its config or a setting cannot be used."""

    code = Code.CONFIG


class ImportRefusedError(BackendError):
    """A file to import contradicts itself or what is held; nothing of it was kept."""

    code = Code.IMPORT
    status = 422


class FundsError(BackendError):
    """More would be issued than was released for the programme (invariant 18)."""

    code = Code.FUNDS
    status = 409


class WalletFullError(BackendError):
    """The wallet would need a fifth live lot (PROTOCOL.md §4)."""

    code = Code.WALLET
    status = 409


class UnknownError(BackendError):
    """No such card, station, programme or object."""

    code = Code.UNKNOWN
    status = 404


class UploadRefusedError(BackendError):
    """The upload's own signature, frame or chain does not stand; nothing of it was kept."""

    code = Code.UPLOAD
    status = 422


class ForkError(BackendError):
    """Same station, same sequence, other bytes: fraud (invariant 2). Nothing more was kept."""

    code = Code.FORK
    status = 409


class UploadGapError(BackendError):
    """Records before this upload are missing; ``expected`` is the sequence to begin with."""

    code = Code.GAP
    status = 409

    def __init__(self, expected: int) -> None:
        super().__init__(f"the chain is held up to {expected - 1}")
        self.expected = expected


class AuthorityError(BackendError):
    """No two people are at hand to ask and approve."""

    code = Code.AUTHORITY
    status = 403


class RefusedError(AuthorityError):
    """One of the two people refused; nothing was signed and the draft is dropped."""

    code = Code.REFUSED


class SignerError(BackendError):
    """The key service cannot be reached or refused."""

    code = Code.SIGNER
    status = 502


class ReserveError(BackendError):
    """The lost card's residual may not be released yet (PROTOCOL.md §6, replacement)."""

    code = Code.RESERVE
    status = 409


class LedgerError(BackendError):
    """Postings that do not balance, or a chain that does not link."""

    code = Code.LEDGER


class ConflictError(BackendError):
    """The same name with other content: ``exists_with_different_…``."""

    code = Code.CONFLICT
    status = 409


class ProofError(BackendError):
    """A station or officer did not prove that it holds the keys it asks a certificate for."""

    code = Code.PROOF
    status = 422


class FullError(BackendError):
    """The store cannot take more: the disk is full or does not write. Nothing was changed."""

    code = Code.FULL
    status = 507


class BusyError(BackendError):
    """The store or another job is busy, or the database does not answer. Nothing was changed."""

    code = Code.BUSY
    status = 503


def invariant(condition: bool, why: str) -> None:
    """Raise :class:`LedgerError` unless ``condition`` holds."""
    if not condition:
        raise LedgerError(why)
