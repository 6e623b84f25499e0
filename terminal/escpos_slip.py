"""A slip as ESC/POS bytes, by python-escpos, which loads slowly: so apart from the printer."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from escpos import capabilities
from escpos.escpos import Escpos

from terminal.slip import Line, Style

# python-escpos makes a folder in /tmp at every import and leaves it there
shutil.rmtree(capabilities.pickle_dir, ignore_errors=True)


class _Buffer(Escpos):  # type: ignore[misc]
    """An ESC/POS encoder that only collects bytes (python-escpos's Dummy has no profile)."""

    def __init__(self) -> None:
        super().__init__(profile="default", magic_encode_args={"encoding": "CP437"})
        self.data = bytearray()

    def _raw(self, msg: bytes) -> None:
        self.data += msg


def encode(lines: Iterable[Line]) -> bytes:
    """The ESC/POS bytes of a slip, cut at the end."""
    out = _Buffer()
    out.hw("INIT")
    for line in lines:
        out.set(
            align="center" if line.style is Style.TITLE else "left",
            bold=line.style in {Style.TITLE, Style.STRONG},
            font="b" if line.style is Style.SMALL else "a",
        )
        out.textln(line.text)
    out.ln(3)
    out.cut()
    return bytes(out.data)
