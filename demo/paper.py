"""A receipt printer that is a pseudo-terminal, and its paper as a picture.

A fake of the paper only: the bytes come over a real serial line from python-escpos. It knows the
few ESC/POS commands that the slips use and refuses every other, so that a garbled slip is seen.
"""

from __future__ import annotations

import os
import threading
import tty
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from PIL import Image, ImageDraw, ImageFont

WIDTH, MARGIN, LINE_HEIGHT = 420, 16, 26
FONT_FOLDER = Path("/usr/share/fonts/truetype/dejavu")
_SKIPPED = {  # two-byte commands and how many argument bytes follow
    b"\x1b@": 0, b"\x1bt": 1, b"\x1bd": 1, b"\x1bM": 1, b"\x1b-": 1, b"\x1b{": 1, b"\x1dB": 1,
    b"\x1d!": 1, b"\x1b!": 1, b"\x1bR": 1, b"\x1b2": 0, b"\x1bG": 1, b"\x1dH": 1, b"\x1db": 1,
}  # fmt: skip
_CUT = b"\x1dV"


class PaperError(Exception):
    """Bytes that no slip of ours holds."""


@dataclass(frozen=True, slots=True)
class Printed:
    """One line on paper."""

    text: str
    bold: bool
    centred: bool


def decode(data: bytes) -> list[list[Printed]]:
    """The slips in ``data`` (ESC/POS bytes), each a list of lines; a slip ends with a cut.

    :class:`PaperError` for a command or byte that no slip of ours holds.
    """
    slips: list[list[Printed]] = []
    lines: list[Printed] = []
    text, bold, centred, at = bytearray(), False, False, 0
    while at < len(data):
        word = data[at : at + 2]
        if data[at] == 0x0A:
            lines.append(Printed(text.decode("cp437"), bold, centred))
            text, at = bytearray(), at + 1
        elif word == b"\x1bE":
            bold, at = bool(data[at + 2] & 1), at + 3
        elif word == b"\x1ba":
            centred, at = data[at + 2] in {1, 0x31}, at + 3
        elif word == _CUT:
            at += 4 if data[at + 2] in {0x41, 0x42} else 3
            slips.append(lines)
            lines = []
        elif word in _SKIPPED:
            at += 2 + _SKIPPED[word]
        elif data[at] >= 0x20:
            text.append(data[at])
            at += 1
        else:
            raise PaperError(f"unknown printer command {data[at : at + 3].hex()}")
    if lines or text:
        raise PaperError("a slip is not cut")
    return slips


def picture(lines: list[Printed], to: Path | BinaryIO) -> None:
    """Draw one slip as a PNG."""
    regular = ImageFont.truetype(str(FONT_FOLDER / "DejaVuSansMono.ttf"), 18)
    strong = ImageFont.truetype(str(FONT_FOLDER / "DejaVuSansMono-Bold.ttf"), 18)
    image = Image.new("L", (WIDTH, 2 * MARGIN + LINE_HEIGHT * len(lines)), 255)
    draw = ImageDraw.Draw(image)
    for n, line in enumerate(lines):
        font = strong if line.bold else regular
        x = (WIDTH - draw.textlength(line.text, font)) / 2 if line.centred else MARGIN
        draw.text((x, MARGIN + n * LINE_HEIGHT), line.text, fill=0, font=font)
    image.save(to, "PNG")


class Paper:
    """A printer at the far end of a pseudo-terminal; ``port`` is what the terminal opens."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._data = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._slave)  # the last end of the line: the reader sees it and stops
        self._thread.join(5)
        os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._master, 4096)
            except OSError:
                return
            if not part:
                return
            self._data += part

    def taken(self, count: int) -> bool:
        """Whether that many bytes have come over the line."""
        return len(self._data) >= count

    def slips(self) -> list[list[Printed]]:
        """What was printed so far; raises :class:`PaperError` for a slip not understood."""
        return decode(bytes(self._data))
