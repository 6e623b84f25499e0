"""Both doors of the backend (docs/ledger.md#http), by one process, each with a loop of its own."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from threading import Thread

import uvicorn
from fastapi import FastAPI

from backend.api import Metrics, make_app, make_office_app
from backend.office import Office
from keys.doors import listen

DOOR = "office.sock"
"""Name of the office's own door in the data folder."""


def serve(office: Office, folder: Path, host: str, port: int) -> None:
    """Stations at ``host`` and ``port``, the office at :data:`DOOR`, until SIGTERM or SIGINT.

    Requests that run are answered first; the socket is gone afterwards. :class:`OSError` when one
    of the two cannot be opened.
    """
    metrics, door = Metrics(), folder / DOOR
    stations = _server(make_app(office, metrics))
    inside = _server(make_office_app(office, metrics))

    def stop(*_: object) -> None:
        stations.should_exit = True

    def serve_inside() -> None:
        try:
            inside.run(sockets=[own])
        finally:
            stop()

    # uvicorn raises the signal that ended it once more; without a handler nothing is tidied up.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as public, listen(door) as own:
        thread = Thread(target=serve_inside)
        thread.start()
        try:
            stations.run(sockets=[public])
        finally:
            # Only now: what a station still asks for may need the key service, and that this door.
            inside.should_exit, inside.force_exit = True, stations.force_exit
            thread.join()
            door.unlink(missing_ok=True)


def _server(app: FastAPI) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    )
