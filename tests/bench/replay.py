"""A card that answers byte-identical commands with what was recorded, and refuses all others.

``python -m tests.bench.replay DOOR FILE`` puts it into a virtual reader and stays until its
standard input ends: a process of its own, so that no clock of the bench counts its work.
"""

from __future__ import annotations

import sys
from pathlib import Path

from card_os.host.trace import Trace
from card_os.icc import ATR_T1
from card_os.reference.vpcd import VpcdSlot

REFUSED = b"\x6f\x00"
SELECT = 0xA4


class ReplayCard:
    """As :class:`card_os.icc.IccDevice`; SELECT begins anew."""

    def __init__(self, trace: Trace) -> None:
        self._steps = [(s.command, s.answer) for s in trace.steps if s.command]
        self._at = 0

    def power_on(self) -> bytes:
        """Begin anew."""
        self._at = 0
        return ATR_T1

    def power_off(self) -> None:
        """Nothing is kept."""

    def transmit(self, command: bytes, /) -> bytes:
        """The recorded answer, or 6F00."""
        if command[1] == SELECT:
            self._at = 0
        if self._at >= len(self._steps) or command != self._steps[self._at][0]:
            return REFUSED
        self._at += 1
        return self._steps[self._at - 1][1]


def main() -> None:
    """Serve one card."""
    door, file = sys.argv[1:]
    trace = Trace.from_json_lines(Path(file).read_text("ascii").splitlines())
    slot = VpcdSlot(door, known_empty=True)
    slot.insert(ReplayCard(trace))
    print("in", flush=True)  # noqa: T201 - its parent waits for it
    sys.stdin.read()
    slot.remove()


if __name__ == "__main__":
    main()
