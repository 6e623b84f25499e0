"""Every reachable state of a small model, breadth first: a counter-example is a shortest one."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

LIMIT = 3_000_000


class BrokenError(Exception):
    """A step that itself breaks a promise: (what is broken, the step's label)."""


class Model(Protocol):
    """What :func:`explore` walks through. States are immutable values."""

    def start(self) -> Hashable:
        """The first state."""

    def steps(self, state: Hashable) -> Iterable[tuple[str, Hashable]]:
        """Everything that may happen next: (label, next state)."""

    def broken(self, state: Hashable) -> str:
        """The promise that this state breaks; empty when it breaks none."""

    def is_rest(self, state: Hashable) -> bool:
        """Nothing is open here: every state must be able to come to one of these."""

    def is_bad_luck(self, label: str) -> bool:
        """Rest must be within reach without steps of this kind."""


@dataclass
class Explored:
    """What was found. ``stuck``: states from which no rest can be reached."""

    states: int
    broken: str = ""
    trace: list[str] = field(default_factory=list)
    stuck: int = 0


class Explorer:
    """Breadth first, with the way back of every state."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.seen: dict[Hashable, int] = {model.start(): 0}
        self.order: list[tuple[Hashable, int, str]] = [(model.start(), -1, "")]
        self.before: dict[int, list[int]] = {}

    def trace(self, at: int, *last: str) -> list[str]:
        """Labels from the start to state number ``at``."""
        found: list[str] = []
        while at > 0:
            _, before, label = self.order[at]
            found.append(label)
            at = before
        return [*reversed(found), *last]

    def run(self, *, live: bool) -> Explored:
        """Explore all; with ``live``, look also for states that cannot come to rest."""
        at = 0
        while at < len(self.order):
            if len(self.order) > LIMIT:
                raise MemoryError("the model is larger than its test allows")
            try:
                for label, after in self.model.steps(self.order[at][0]):
                    number = self.seen.setdefault(after, len(self.order))
                    if live and not self.model.is_bad_luck(label):
                        self.before.setdefault(number, []).append(at)
                    if number == len(self.order):
                        self.order.append((after, at, label))
                        if broken := self.model.broken(after):
                            return Explored(len(self.order), broken, self.trace(number))
            except BrokenError as e:
                return Explored(len(self.order), e.args[0], self.trace(at, e.args[1]))
            at += 1
        if not live:
            return Explored(len(self.order))
        stuck = self._stuck()
        trace = self.trace(min(stuck)) if stuck else []
        return Explored(len(self.order), "cannot come to rest" if stuck else "", trace, len(stuck))

    def _stuck(self) -> set[int]:
        good = {n for n, (state, _, _) in enumerate(self.order) if self.model.is_rest(state)}
        queue = deque(good)
        while queue:
            for before in self.before.get(queue.popleft(), ()):
                if before not in good:
                    good.add(before)
                    queue.append(before)
        return set(range(len(self.order))) - good


def explore(model: Model, *, live: bool = False) -> Explored:
    """All states of ``model``; ends at the first broken promise."""
    return Explorer(model).run(live=live)
