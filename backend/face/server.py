"""Serves the auditor's face on this machine; imported only when it is asked for."""

from __future__ import annotations

import uvicorn

from backend.face.app import Pages
from backend.face.reading import Reading
from ui.guard import LOOPBACK, SERVED, Door


def serve(reading: Reading, port: int) -> None:
    """Answer until interrupted. Nothing is kept of who looked at what."""
    uvicorn.run(Pages(reading, Door.at(port)).app, host=LOOPBACK, port=port, **SERVED)
