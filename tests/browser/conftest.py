"""Debian's Chromium, and faces served on loopback by threads of the test."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

SCREENS = Path(__file__).parents[2] / "build" / "screens"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium a file: while it lives, Playwright's event loop runs in this thread, and what
    other tests of this worker do with asyncio would find it running.
    """
    path = shutil.which("chromium")
    assert path, "Debian's chromium is missing: scripts/setup test installs it"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in an own context; an error in its console fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda e: complaints.append(str(e)))
    yield opened
    context.close()
    assert not complaints, complaints


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[int], Any]], str]]:
    """Serve ``make(port)`` on a free port; the address."""
    with ExitStack() as stack:

        def start(make: Callable[[int], Any]) -> str:
            config = uvicorn.Config("", port=0, log_level="warning", access_log=False,
                                    lifespan="off", timeout_graceful_shutdown=1)  # fmt: skip
            listening = config.bind_socket()
            listening.listen()  # the page may come before the server runs
            port = listening.getsockname()[1]
            config.app = make(port)
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()

            def stop() -> None:
                server.should_exit = True
                server.force_exit = True
                thread.join()
                listening.close()

            stack.callback(stop)
            return f"http://127.0.0.1:{port}"

        yield start
