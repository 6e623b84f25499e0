"""The applet on a card that is Java alone, in a virtual reader: no reference code in front of it.

A process of its own (VpcdConnector.java) is handed the reader's TCP socket as its standard input;
the card is in the reader for as long as it lives.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from card_os.reference.external import class_path
from card_os.reference.vpcd import connect_reader
from keys.kdf import StaticKeys

__all__ = ["in_reader"]

_CLASS = "id.betang.purse.VpcdConnector"
_END_S = 10.0


@contextmanager
def in_reader(door: str, keys: StaticKeys) -> Iterator[None]:
    """A new card in the reader behind ``door`` while the block runs; each key is ``keys.mac``."""
    java = shutil.which("java")
    assert java is not None, "the applet was built"
    command = [java, "-XX:+UseSerialGC", "-cp", class_path(), _CLASS, keys.mac.hex()]
    with connect_reader(door) as sock:
        card = subprocess.Popen(command, stdin=sock)
    try:
        yield
    finally:
        card.terminate()
        card.wait(_END_S)
