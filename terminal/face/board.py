"""The screen as every open page sees it: published by the worker, followed by event streams."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator

from terminal.kiosk_screens import View


class Board:
    """The newest view. A slow page misses views in between, never the newest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._view: View | None = None
        self._run, self._revision = secrets.token_hex(4), 0
        self._followers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def view(self) -> View:
        """What is shown now; ``LookupError`` before the worker's first, which no page sees."""
        if self._view is None:
            raise LookupError("nothing was published yet")
        return self._view

    @property
    def mark(self) -> str:
        """Names what is shown below the strip: this run of the program, and the screen's turn."""
        return f"{self._run}.{self._revision}"

    def publish(self, view: View) -> None:
        """From the worker's thread."""
        with self._lock:
            if self._view is None or (view.number, view.screen) != (
                self._view.number, self._view.screen
            ):  # fmt: skip
                self._revision += 1
            self._view = view
            for loop, event in self._followers:
                loop.call_soon_threadsafe(event.set)

    async def follow(self) -> AsyncIterator[tuple[View, str]]:
        """The view and its mark now, then each newest one."""
        me = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._followers.add(me)
        try:
            while True:
                me[1].clear()
                with self._lock:
                    now = self.view, self.mark
                yield now
                await me[1].wait()
        finally:
            with self._lock:
                self._followers.discard(me)
