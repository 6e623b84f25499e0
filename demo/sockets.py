"""Where pcscd or namespaces cannot be had: the same programs reach the served card by its socket.

Proves less, and the demo says so: no pcscd, and no terminal without a network. Never in CI.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

SOCKET = "socket:"


class SocketWorld:
    """Stands where :class:`demo.pcscd.PcscdWorld` does; a reader's name is its socket."""

    def __init__(self, readers: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="betang-sockets-")
        folder = Path(self._folder.name)
        self.readers = [f"{SOCKET}{folder / f'reader{n}'}" for n in range(readers)]
        self.doors = self.readers
        self.env: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def command(
        self, args: Sequence[str], *, offline: bool = False, env: Mapping[str, str] | None = None
    ) -> list[str]:
        """The command as it is: nothing here takes a network away."""
        del offline, env
        return list(args)

    def popen(self, args: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program."""
        return subprocess.Popen(args, **options)
