"""Time, as every service takes it: a function that gives Unix seconds (docs/wire.md#dates)."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]


def system_clock() -> int:
    """Unix seconds of this machine."""
    return int(time.time())
