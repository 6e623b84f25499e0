"""Errors of the wire layer. The CLI and the HTTP layer turn them into messages.

Every ``parse`` here raises :class:`FormatError` for bytes that break docs/wire.md, and every
``verify`` :class:`SignatureInvalidError`, whatever else it names.
"""

from __future__ import annotations


class WireError(Exception):
    """Base of every error raised by ``wire``."""


class FormatError(WireError):
    """The bytes are not the object they claim to be; nothing of them may be used."""


class EnvironmentMismatchError(WireError):
    """A well-formed object of another environment (PROTOCOL.md §2)."""


class SignatureInvalidError(WireError):
    """The signature does not verify under the given key."""


def require(condition: bool, why: str) -> None:
    """Raise :class:`FormatError` unless ``condition`` holds."""
    if not condition:
        raise FormatError(why)
