"""How two people are asked: one folder, each file written whole (docs/ledger.md#two-people).

``<name>.pending`` is an action with its payloads, by the backend; ``<name>.request`` the asker's
COSE Request, ``<name>.approval`` the approver's COSE Approval, ``<name>.refusal`` the reason of
whoever refused. The name is the hash of the pending action: it cannot be changed under a signature,
and the same action again finds what was signed for it. Nothing in the folder is secret, and nothing
in it is believed: signatures are checked by the next person and by the signer.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from keys.errors import ApprovalError
from wire.env import Environment
from wire.errors import WireError
from wire.schema import Blob, Name, Shape

NAME_BYTES = 16
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_ANSWER_BYTES = 4096
_NAME = re.compile(rf"[0-9a-f]{{{2 * NAME_BYTES}}}")


class Part(StrEnum):
    """What a file of the folder is, by its suffix."""

    PENDING = "pending"
    REQUEST = "request"
    APPROVAL = "approval"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Pending(Shape):
    """An action that two people are asked for: exactly these payloads, in this environment."""

    environment: Environment
    action: Name
    payloads: tuple[Blob, ...]

    @property
    def name(self) -> str:
        """First 16 bytes of SHA-256 of the bytes, as hex: the name of its files."""
        return sha256(bytes(self)).digest()[:NAME_BYTES].hex()


class Exchange:
    """The folder at ``path``; it exists."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def offer(self, pending: Pending) -> str:
        """Put an action down, unless it lies there; its name."""
        if self.read(pending.name, Part.PENDING) is None:
            self.put(pending.name, Part.PENDING, bytes(pending))
        return pending.name

    def names(self) -> list[str]:
        """The actions that lie there, sorted."""
        found = (p.stem for p in self._path.glob(f"*.{Part.PENDING}"))
        return sorted(n for n in found if _NAME.fullmatch(n))

    def pending(self, name: str) -> Pending:
        """The action of this name; :class:`ApprovalError` if its bytes are not those it names."""
        raw = self.read(name, Part.PENDING)
        try:
            found = Pending.parse(raw or b"")
        except WireError as e:
            raise ApprovalError(f"{name} is no pending action") from e
        if found.name != name:
            raise ApprovalError(f"{name} holds another action than its name says")
        return found

    def read(self, name: str, part: Part) -> bytes | None:
        """One file; None when it is not there, :class:`ApprovalError` when it is too large."""
        limit = MAX_FILE_BYTES if part == Part.PENDING else MAX_ANSWER_BYTES
        try:
            with self._file(name, part).open("rb") as f:
                raw = f.read(limit + 1)
        except FileNotFoundError:
            return None
        if len(raw) > limit:
            raise ApprovalError(f"{name}.{part} is larger than any of ours")
        return raw

    def has(self, name: str, part: Part) -> bool:
        """Whether this file lies there."""
        return self._file(name, part).exists()

    def put(self, name: str, part: Part, raw: bytes) -> None:
        """Write one file whole; readers see all of it or nothing."""
        target = self._file(name, part)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        with draft.open("wb") as f:
            f.write(raw)
            f.flush()
            os.fsync(f.fileno())
        draft.replace(target)

    def clear(self, name: str) -> None:
        """Take an action and all answers to it away, the action first: nobody signs it then."""
        for part in Part:
            self._file(name, part).unlink(missing_ok=True)

    def _file(self, name: str, part: Part) -> Path:
        if not _NAME.fullmatch(name):
            raise ApprovalError("a pending action is named by 32 hex digits")
        return self._path / f"{name}.{part}"
