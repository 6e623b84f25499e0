"""Errors of the reference card. Only `CardError` reaches the reader, as its status word."""

from __future__ import annotations

__all__ = ["CardError", "CardFileError", "ReferenceCardError"]


class ReferenceCardError(Exception):
    """Base of every error raised by ``card_os.reference``."""


class CardError(ReferenceCardError):
    """The card refuses a command: the R-APDU is the status word ``sw`` and no data."""

    def __init__(self, sw: int, why: str = "") -> None:
        super().__init__(f"{sw:04X} {why}".rstrip())
        self.sw = sw


class CardFileError(ReferenceCardError):
    """A card's file cannot be read as one, or does not hold what was asked for."""
