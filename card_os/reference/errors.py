"""Errors of the reference card. Only `CardError` reaches the reader, as its status word.

ISO 7816-4 and GPCS for the security domain, SPEC.md#status-words for the purse.
"""

from __future__ import annotations

__all__ = ["CardError", "CardFileError", "ReferenceCardError"]


class ReferenceCardError(Exception):
    """Base of every error raised by ``card_os.reference``."""


class CardError(ReferenceCardError):
    """The card refuses a command: the R-APDU is ``data`` and the status word ``sw``.

    ``data`` is empty but for a warning under secure messaging (63Cx), where it is the R-MAC.
    """

    def __init__(self, sw: int, why: str = "", data: bytes = b"") -> None:
        super().__init__(f"{sw:04X} {why}".rstrip())
        self.sw = sw
        self.data = data


class CardFileError(ReferenceCardError):
    """A card's file cannot be read as one, or does not hold what was asked for."""
