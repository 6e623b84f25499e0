"""Transport codes on their way to the families: sealed mailers, apart from the cards.

The code is made here, sealed at once to the public key of the mail path (age, X25519) and handed
to the card; the desk cannot read it back. A mailer lies in ``pending/`` until its card counts as
issued, then in ``out/``, where the mail path takes it. Codes are never logged
(PROTOCOL.md §6, activation; docs/desk.md#transport-codes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pyrage

from issuer.errors import MailError
from keys.store import write_private
from wire.env import Environment
from wire.errors import WireError
from wire.purse import TRANSPORT_CODE_DIGITS
from wire.schema import Bytes8, Bytes16, Limit, Shape

CODES = 10**TRANSPORT_CODE_DIGITS
_RANDOM_BYTES = 16  # the remainder's bias is below 2^-100


@dataclass(frozen=True, slots=True)
class Mailer(Shape):
    """What is printed in the sealed letter: for which family and card, and the code."""

    environment: Environment
    card_id: Bytes8
    family: Bytes16
    code: Annotated[str, Limit(TRANSPORT_CODE_DIGITS, TRANSPORT_CODE_DIGITS)] = field(repr=False)


def new_code(random: Callable[[int], bytes]) -> str:
    """Eight random digits."""
    number = int.from_bytes(random(_RANDOM_BYTES), "big") % CODES
    return f"{number:0{TRANSPORT_CODE_DIGITS}d}"


def new_identity() -> tuple[str, str]:
    """A key of the mail path: (identity, which opens mailers; recipient, which seals them)."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def check_recipient(text: str) -> str:
    """``text`` if it is an age recipient; else :class:`MailError`."""
    try:
        pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as e:
        raise MailError("not an age recipient (age1...)") from e
    return text


def open_mailer(raw: bytes, identity: str) -> Mailer:
    """The mailer of a sealed file, for the mail path; :class:`MailError`."""
    try:
        key = pyrage.x25519.Identity.from_str(identity.strip())
        return Mailer.parse(pyrage.decrypt(raw, [key]))
    except (pyrage.IdentityError, pyrage.DecryptError, WireError) as e:
        raise MailError("the mailer does not open with this key") from e


class MailRoom:
    """The folder of mailers, one sealed file a card, for the owner's eyes only (0600)."""

    def __init__(self, path: Path, recipient: str, env: Environment) -> None:
        self._path, self._env = path, env
        self._recipient = check_recipient(recipient)

    def seal(self, card_id: bytes, family: bytes, code: str) -> None:
        """Seal a mailer durably, pending; an earlier pending one of this card is replaced.

        ``code``: eight digits. :class:`MailError` when it could not be written.
        """
        plain = bytes(Mailer(self._env, card_id, family, code))
        key = pyrage.x25519.Recipient.from_str(self._recipient)
        try:
            write_private(self._file("pending", card_id), pyrage.encrypt(plain, [key]))
        except OSError as e:
            raise MailError("the mailer could not be written; the card was not touched") from e

    def holds(self, card_id: bytes) -> bool:
        """Whether a mailer of this card is pending or out."""
        return any(self._file(where, card_id).exists() for where in ("pending", "out"))

    def release(self, card_id: bytes) -> Path:
        """Give the mailer to the mail path; again is harmless. Its file; :class:`MailError`."""
        pending, out = self._file("pending", card_id), self._file("out", card_id)
        try:
            if pending.exists():
                write_private(out, pending.read_bytes())
                pending.unlink()
        except OSError as e:
            raise MailError("the mailer could not be released; it is still pending") from e
        return out

    def discard(self, card_id: bytes) -> None:
        """The card was scrapped: its mailer goes."""
        for where in ("pending", "out"):
            self._file(where, card_id).unlink(missing_ok=True)

    def _file(self, where: str, card_id: bytes) -> Path:
        return self._path / where / f"{card_id.hex()}.age"
