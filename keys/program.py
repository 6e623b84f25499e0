"""How every command line of the project ends when nobody reads its output any more."""

from __future__ import annotations

import functools
import os
import select
import sys
from collections.abc import Callable
from typing import ParamSpec

PIPE_CLOSED = 141
"""What a shell says of a program that SIGPIPE ended: 128 + 13."""
P = ParamSpec("P")


def quiet(main: Callable[P, int]) -> Callable[P, int]:
    """``main``, ending with :data:`PIPE_CLOSED` and no word when its output's reader has left.

    SIGPIPE itself stays ignored: it would also end a server whose client has left.
    """

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            try:
                return main(*args, **kwargs)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            if not _reader_left():  # another pipe than ours broke
                raise
            # What is still buffered goes nowhere; else the interpreter complains at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE_CLOSED

    return run


def _reader_left() -> bool:
    poll = select.poll()
    poll.register(sys.stdout, 0)  # an error is told unasked
    return bool(poll.poll(0))
