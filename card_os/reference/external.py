"""The reference security domain in front of a purse in another program: the Java Card applet.

The card's own half (SELECT, INSTALL, DELETE, SCP03) stays the reference card's. What is for the
purse goes unwrapped to the applet host (card_os/applet), a process that runs the applet in
jCardSim; one connection is one instance. The instance's whole persistent memory is mirrored into
the card's memory after every command that changed it, so that files, forks and power cuts work as
with the reference purse: power that fails before a write fails before that write in the applet.
What is proved so: docs/applet.md#how-it-is-proved.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from typing import IO, Self

from card_os.reference.applets import CardContext, CardServices, Registry
from card_os.reference.errors import CardError, ReferenceCardError
from card_os.reference.memory import Persistent, Store
from wire.apdu import CommandApdu
from wire.env import PACKAGE_AID
from wire.receipt import Interface

__all__ = ["AppletHost", "AppletHostError", "AppletInstance", "class_path", "host_command"]

APPLET = Path(__file__).parents[1] / "applet"
HOST_CLASS = "id.betang.purse.Host"
STATE = "state"  # the record that mirrors the instance's memory
INSTALL, COMMAND, SAVE, RESTORE, RESET, PLANT, DESELECT, MARK, REWIND = range(0x10, 0x19)
NO_CHANNEL, NEVER = 0xFF, 0xFFFF
SW_OK = 0x9000
SW_DATA = 0x6A80
_START_S, _ANSWER_S = 60.0, 60.0
_HEAD = struct.Struct(">B H")
_ASKED = struct.Struct(">B B H")
_DONE = struct.Struct(">? ? H H")


class AppletHostError(ReferenceCardError):
    """The applet host cannot be started, or went away; the message is one line."""


def class_path() -> str:
    """Where Maven put classes and libraries. Raises AppletHostError when nothing is built."""
    target = APPLET / "target"
    parts = [target / "test-classes", target / "classes", *sorted((target / "lib").glob("*.jar"))]
    if not (target / "test-classes" / (HOST_CLASS.replace(".", "/") + ".class")).exists():
        raise AppletHostError("the applet is not built: run `make applet`")
    return ":".join(map(str, parts))


def host_command() -> list[str]:
    """What starts the host. Raises AppletHostError without a JDK or a build."""
    java = shutil.which("java")
    if java is None:
        raise AppletHostError("there is no java on this machine (openjdk-17-jdk-headless)")
    # One collector thread is enough, and leaves the other core alone.
    return [java, "-XX:+UseSerialGC", "-cp", class_path(), HOST_CLASS]


class AppletHost:
    """The Java process; ends with `close`, or with this process."""

    def __init__(self, installed: bytes = b"") -> None:
        """Start it. Raises AppletHostError without a JDK or a build.

        ``installed``: INSTALL parameters of a purse that every connection finds installed, for
        hosts that speak to it without a security domain (card_os.host.socketlink).
        """
        command = host_command()
        if installed:
            command += ["--install", installed.hex()]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self._stdout.readline().strip()
        if not line:
            self._process.wait(_START_S)
            raise AppletHostError("the applet host did not start")
        self.port = int(line)

    @property
    def _stdout(self) -> IO[bytes]:
        if self._process.stdout is None:
            raise AppletHostError("the applet host has no output")
        return self._process.stdout

    def close(self) -> None:
        """End the process; every instance is gone."""
        self._process.terminate()
        self._process.wait(_START_S)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def make(self, store: Store, parameters: bytes, services: CardServices) -> AppletInstance:
        """An `AppletFactory`: the purse of INSTALL, or again after power-on."""
        return AppletInstance(self.port, store, parameters, services)

    @property
    def packages(self) -> Registry:
        """The load files of a card whose purse is the applet."""
        return {PACKAGE_AID: self.make}


class _Connection:
    """Frames to one chip in the host."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), _ANSWER_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, kind: int, data: bytes = b"") -> bytes:
        """One frame there, one back. Raises AppletHostError."""
        try:
            self._sock.sendall(_HEAD.pack(kind, len(data)) + data)
            answered, size = _HEAD.unpack(self._read(_HEAD.size))
            answer = self._read(size)
        except OSError as error:
            raise AppletHostError(f"the applet host is gone: {error}") from error
        if answered != kind:
            raise AppletHostError(f"the applet host answered {answered:02X} to {kind:02X}")
        return answer

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            chunk = self._sock.recv(size - len(data))
            if not chunk:
                raise ConnectionError("the other end closed it")
            data += chunk
        return data

    def close(self) -> None:
        """The chip is gone."""
        with contextlib.suppress(OSError):
            self._sock.close()

    def __del__(self) -> None:
        self.close()


class AppletInstance:
    """One instance of the applet, an `Applet`; made anew at every power-on from the mirror."""

    def __init__(
        self, port: int, store: Store, parameters: bytes, services: CardServices
    ) -> None:  # fmt: skip
        """Install it, or take it from the card's memory. Raises CardError 6A80 as the applet."""
        if not isinstance(store, Persistent):
            raise AppletHostError("an applet in another program needs the card's own memory")
        self._store = store
        self._aid = services.aid
        self._port = port
        self._connection = _Connection(port)
        self.largest_transaction = 0  # bytes of the last command's largest one
        self.last = (b"", NO_CHANNEL, 0)  # the last command, its channel's level, its writes
        asked = bytes([len(services.aid)]) + services.aid + parameters
        if len(asked) > 127:  # Java Card hands INSTALL's data over with a signed length byte
            raise CardError(SW_DATA, "install parameters too long")
        sw = int.from_bytes(self._connection.ask(INSTALL, asked), "big")
        if sw != SW_OK:
            raise CardError(sw, "the applet refused INSTALL")
        saved = store.get(STATE)
        if saved is None:
            self._mirror()
        else:
            self._connection.ask(RESTORE, saved)

    @property
    def state(self) -> bytes:
        """The whole persistent memory, keys and PINs included (State.java); for tests."""
        return self._connection.ask(SAVE)

    def plant(self) -> None:
        """Plant a bug: each transaction's first write is made outside it (for tests)."""
        self._connection.ask(PLANT)

    def restore(self, state: bytes) -> None:
        """Change the persistent memory under a running session (for tests of faults)."""
        self._connection.ask(RESTORE, state)

    def mark(self) -> None:
        """Note this moment, RAM included (for tests)."""
        self._connection.ask(MARK)

    def tear(self, apdu: bytes, level: int, before: int) -> tuple[bool, bytes]:
        """Rewind to the mark, run a command whose write number ``before`` meets no power.

        Returns whether power failed, and the memory it left; the card's own memory and its
        switch have no part in it (for tests).
        """
        self._connection.ask(REWIND)
        answer = self._connection.ask(COMMAND, _ASKED.pack(Interface.CONTACT, level, before) + apdu)
        return _DONE.unpack(answer[: _DONE.size])[0], self.state

    def select(self) -> bytes:
        """The FCI; RAM is wiped."""
        head = bytes((0x00, 0xA4, 0x04, 0x00, len(self._aid)))
        return self._transmit(head + self._aid + b"\x00", Interface.CONTACT, NO_CHANNEL)

    def deselect(self) -> None:
        """Wipe RAM."""
        self._connection.ask(DESELECT)

    def process(self, command: CommandApdu, ctx: CardContext) -> bytes:
        """One command, already unwrapped when it came through SCP03. Raises CardError, PowerLoss.

        AppletHostError when the host went away.
        """
        level = NO_CHANNEL if ctx.secure_channel is None else int(ctx.secure_channel.level)
        return self._transmit(bytes(command), ctx.interface, level)

    def _transmit(self, apdu: bytes, interface: Interface, level: int) -> bytes:
        left = self._store.writes_left
        tear = NEVER if left is None else min(max(left, 0), NEVER - 1)
        answer = self._connection.ask(COMMAND, _ASKED.pack(interface, level, tear) + apdu)
        torn, changed, writes, self.largest_transaction = _DONE.unpack(answer[: _DONE.size])
        answer, self.last = answer[_DONE.size :], (apdu, level, writes)
        if changed:
            self._mirror()
        self._store.spend(writes, torn=torn)
        sw = int.from_bytes(answer[-2:], "big")
        if sw != SW_OK:
            raise CardError(sw, data=answer[:-2])
        return answer[:-2]

    def _mirror(self) -> None:
        self._store.mirror(STATE, self._connection.ask(SAVE))
