"""One process for one village hall: the worker with engine and card, and the web beside it.

On 127.0.0.1 alone (docs/ui.md, Safety).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from card_os.host.pcsc import PcscReader
from keys.doors import client_at
from terminal import sync
from terminal.config import Config, Folder, Opened
from terminal.counter import Counter
from terminal.engine import Engine
from terminal.face.app import hall_face
from terminal.face.board import Board
from terminal.kiosk import Kiosk
from terminal.kiosk_socket import SocketReader
from terminal.kiosk_thread import KioskThread
from ui.face import Face, Mark
from ui.guard import LOOPBACK, SERVED, Door

SOCKET = "socket:"


@dataclass(frozen=True, slots=True)
class Hall:
    """A worker and its face, not started yet."""

    worker: KioskThread
    face: Face


def make_hall(
    folder: Folder, open_terminal: Callable[[], Opened], counter: Callable[[Opened], Counter],
    *, port: int,
) -> Hall:  # fmt: skip
    """The hall of a terminal's folder; ``open_terminal`` runs in the worker's thread."""
    config, board = folder.config(), Board()
    reader = reader_of(config)

    def make() -> Kiosk:
        opened = open_terminal()
        return Kiosk(
            counter(opened), connect=reader.connect, unlock=folder.officer,
            publish=board.publish, carry=carrier(opened),
        )  # fmt: skip

    worker = KioskThread(make, reader)
    door = Door.at(port, os.getuid())
    env = config.environment
    mark = Mark(demo=env.is_demo, specimen=env.is_specimen)
    return Hall(worker, hall_face(board, worker.command, door=door, mark=mark))


def reader_of(config: Config) -> PcscReader | SocketReader:
    """The reader that config.json names: a pattern for pcscd, or ``socket:ADDRESS``."""
    if config.reader.startswith(SOCKET):
        return SocketReader(config.reader.removeprefix(SOCKET))
    return PcscReader(config.reader)


def carrier(opened: Opened) -> Callable[[Engine], None] | None:
    """Upload and install over HTTP, where config.json names a backend."""
    url = opened.config.backend
    if not url:
        return None

    def carry(engine: Engine) -> None:
        with client_at(url) as client:
            sync.over_http(engine, opened.log_key, client)

    return carry


def serve(folder: Folder, passphrase: str, counter: Callable[[Opened], Counter],
          *, port: int) -> None:  # fmt: skip
    """Serve until the process is told to end; a step that runs is finished first."""

    def open_terminal() -> Opened:
        return folder.open(passphrase, clock=lambda: int(time.time()), random=os.urandom)

    hall = make_hall(folder, open_terminal, counter, port=port)
    hall.worker.start()
    try:
        uvicorn.run(hall.face.app, host=LOOPBACK, port=port, timeout_graceful_shutdown=1, **SERVED)
    finally:
        hall.worker.stop()
