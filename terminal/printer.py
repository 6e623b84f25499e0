"""Slips onto paper: python-escpos over a serial line. The sale stands if the printer is gone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from escpos.escpos import Escpos
from serial import Serial, SerialException

from terminal.slip import Line, Style

TIMEOUT_S = 3.0
BAUD = 19_200


@dataclass(frozen=True, slots=True)
class Printed:
    """The printer took every byte (whether there was paper nobody can tell)."""


@dataclass(frozen=True, slots=True)
class PrinterGone:
    """The slip was not printed; everything else stands. ``detail`` is for the service person."""

    detail: str


PrintOutcome = Printed | PrinterGone


class Port(Protocol):
    """What bytes are written to: a pyserial port, or a test's."""

    def write(self, data: bytes, /) -> Any:
        """Write all bytes; OSError or SerialException when the line is gone."""

    def flush(self) -> None:
        """Wait until they are sent."""


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


class Printer:
    """A printer on an open port."""

    def __init__(self, port: Port) -> None:
        self._port = port

    def print(self, lines: Iterable[Line]) -> PrintOutcome:
        """Write a slip; never raises for a printer that is gone."""
        data = encode(lines)
        try:
            self._port.write(data)
            self._port.flush()
        except (OSError, SerialException) as e:
            return PrinterGone(str(e))
        return Printed()


def print_on(device: str, lines: Iterable[Line]) -> PrintOutcome:
    """Open the serial device, print, close."""
    try:
        with Serial(device, BAUD, timeout=TIMEOUT_S, write_timeout=TIMEOUT_S) as port:
            return Printer(port).print(lines)
    except (OSError, SerialException, ValueError) as e:
        return PrinterGone(str(e))
