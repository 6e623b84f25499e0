"""Recorded traces: what a link carried, and a link that plays it back and nothing else.

`tap_host` (docs/benchmarks.md#tap) measures the engine against such a replayed card.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from card_os.host.links import AtrLink, Interface, Link, LinkError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["RecordingLink", "ReplayLink", "Trace", "TraceMismatch", "TraceStep"]


class TraceMismatch(LinkError):  # noqa: N818 - reads as what happened
    """A replayed command is not the recorded one, byte for byte, or the trace has ended."""


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One exchange. `command` is empty for a power-up, whose `answer` is the ATR."""

    command: bytes
    answer: bytes


@dataclass(slots=True)
class Trace:
    """Power-ups and exchanges in order. What secure messaging does not cover stands in clear."""

    steps: list[TraceStep] = field(default_factory=list)

    def to_json_lines(self) -> str:
        """Return one line per step, hex: `{"c": command, "r": answer}`."""
        rows = ({"c": step.command.hex(), "r": step.answer.hex()} for step in self.steps)
        return "".join(json.dumps(row) + "\n" for row in rows)

    @classmethod
    def from_json_lines(cls, lines: Iterable[str]) -> Self:
        """Read what `to_json_lines` wrote. Raises ValueError or KeyError."""
        rows = [json.loads(line) for line in lines if line.strip()]
        return cls([TraceStep(bytes.fromhex(row["c"]), bytes.fromhex(row["r"])) for row in rows])


class RecordingLink:
    """A link that notes what passes; failed exchanges are not noted."""

    def __init__(self, link: Link, trace: Trace) -> None:
        """Wrap a link that is powered; its ATR becomes a step."""
        self._link = link
        self.trace = trace
        trace.steps.append(TraceStep(b"", link.atr))

    @property
    def atr(self) -> bytes:
        """The ATR of the last power-up."""
        return self._link.atr

    @property
    def interface(self) -> Interface:
        """Contact or contactless, told from the ATR."""
        return self._link.interface

    def transmit(self, command: bytes, /) -> bytes:
        """Pass a command on and note it with its answer."""
        answer = self._link.transmit(command)
        self.trace.steps.append(TraceStep(bytes(command), answer))
        return answer

    def reset(self) -> bytes:
        """Pass a reset on and note the ATR."""
        atr = self._link.reset()
        self.trace.steps.append(TraceStep(b"", atr))
        return atr

    def close(self) -> None:
        """Close the link below."""
        self._link.close()


class ReplayLink(AtrLink):
    """A link that answers from a trace and refuses any command that is not the recorded one."""

    def __init__(self, trace: Trace) -> None:
        """Start at the trace's first step, a power-up. Raises TraceMismatch."""
        self._steps = iter(trace.steps)
        self._atr = self._next(b"")

    def transmit(self, command: bytes, /) -> bytes:
        """Return the recorded answer. Raises TraceMismatch."""
        if not command:
            raise TraceMismatch("an empty command is no command")
        return self._next(command)

    def reset(self) -> bytes:
        """Return the recorded ATR. Raises TraceMismatch when no reset was recorded here."""
        self._atr = self._next(b"")
        return self._atr

    def close(self) -> None:
        """Nothing to let go of."""

    def _next(self, command: bytes) -> bytes:
        step = next(self._steps, None)
        if step is None:
            raise TraceMismatch("the trace has ended")
        if step.command != command:
            raise TraceMismatch(
                f"recorded {step.command.hex() or 'reset'}, asked {command.hex() or 'reset'}"
            )
        return step.answer
