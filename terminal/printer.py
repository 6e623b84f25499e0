"""Slips onto paper: python-escpos over a serial line. The sale stands if the printer is gone.

What must be printed: PROTOCOL.md §6, debited and not served.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from serial import Serial, SerialException

from terminal.slip import Line

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


class Printer:
    """A printer on an open port."""

    def __init__(self, port: Port) -> None:
        self._port = port

    def print(self, lines: Iterable[Line]) -> PrintOutcome:
        """Write a slip; never raises for a printer that is gone."""
        from terminal.escpos_slip import encode  # noqa: PLC0415 - most commands print nothing

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
