"""The desk's face as a process: one bench, one loopback port (docs/ui.md, Safety)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager

import uvicorn

from issuer.cards import Stack
from issuer.face.app import make_face
from issuer.face.bench import BenchThread
from issuer.place import Place
from ui.guard import LOOPBACK, SERVED, Door
from wire.env import Environment


def serve(
    open_place: Callable[[], AbstractContextManager[Place]], open_stack: Callable[[], Stack],
    env: Environment, port: int, *, stop_after: int,
) -> None:  # fmt: skip
    """Serve until the process is told to end; a card in work is finished first.

    Only this machine's own user is served. Raises what opening the desk raises.
    """

    def end() -> None:
        server.should_exit = True

    config = uvicorn.Config("", host=LOOPBACK, port=port, timeout_graceful_shutdown=1, **SERVED)
    server = uvicorn.Server(config)
    thread = BenchThread(open_place, open_stack, on_end=end, stop_after=stop_after)
    config.app = make_face(thread.bench, env, Door.at(port, os.getuid())).app
    try:
        server.run()
    finally:
        thread.close()
