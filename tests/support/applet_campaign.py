"""The comparison of `applet_pair` at length: two Java hosts at once, as one leaves a core idle."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Self

from card_os.reference.external import AppletHost
from tests.support.applet_pair import play, starts

__all__ = ["SIZE", "Comparison"]

SIZE = 50  # sequences of one piece
WORKERS = 2


class Comparison:
    """Hosts and starting cards; `piece` is the campaign's."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        hosts = [self._stack.enter_context(AppletHost()) for _ in range(WORKERS)]
        self._pool = self._stack.enter_context(ThreadPoolExecutor(WORKERS))
        self._starts = list(self._pool.map(lambda host: starts(host.make), hosts))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def piece(self, seed: int, number: int) -> Counter[str]:
        """SIZE sequences; what they counted. Raises DifferenceError, which names its own seed."""
        first = seed + number * SIZE

        def some(worker: int) -> Counter[str]:
            counts: Counter[str] = Counter()
            for each in range(first + worker, first + SIZE, WORKERS):
                counts.update(play(self._starts[worker], each))
            return counts

        return sum(self._pool.map(some, range(WORKERS)), Counter())
