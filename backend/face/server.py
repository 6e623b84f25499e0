"""Serves the auditor's face on this machine; imported only when it is asked for."""

from __future__ import annotations

import uvicorn

from backend.face.app import Pages
from backend.face.reading import Reading
from ui.guard import Door


def serve(reading: Reading, host: str, port: int) -> None:
    """Answer until interrupted. Nothing is kept of who looked at what."""
    names = {host, "127.0.0.1", "localhost"}
    door = Door(frozenset(f"{name}:{port}" for name in names))
    uvicorn.run(Pages(reading, door).app, host=host, port=port, access_log=False,
                log_level="warning")  # fmt: skip
