"""Length-framed APDUs over a TCP or unix socket: a card without PC/SC (demo and conformance).

Both directions use one frame: **kind (1 byte), length (2 bytes, big-endian), data**. The host
asks, the card answers each frame with one frame, in order:

    host                            card
    00 off    no data               00, no data
    01 on     no data (or reset)    01, the ATR              00, no data: no card, or it gave none
    02 APDU   the C-APDU            02, the R-APDU with SW   00, no data: the card went away

After an answer 00 the card is unpowered. One host at a time: a second connection waits until the
first has ended. The end of the stream takes the power away. A frame of another kind, or with data
where none belongs, ends the connection.
"""

from __future__ import annotations

import contextlib
import socket

from card_os.host.links import (
    AtrLink,
    CardMute,
    CardRemoved,
    LinkError,
    LinkProtocolError,
    NoCard,
    NoReader,
    ReaderGone,
    UnresponsiveCard,
    complete,
)

__all__ = ["APDU", "OFF", "ON", "SocketLink"]

OFF, ON, APDU = 0, 1, 2


class SocketLink(AtrLink):
    """A card behind a socket: `host:port`, or the path of a unix socket (contains `/`)."""

    def __init__(self, address: str, *, timeout_s: float = 30.0, t0: bool = False) -> None:
        """Connect and power up. Raises NoReader, NoCard, CardMute."""
        self._t0 = t0
        self._sock = _connect(address, timeout_s)
        try:
            self.reset()
        except LinkError:
            self.close()
            raise

    def transmit(self, command: bytes, /) -> bytes:
        """Return the R-APDU. Raises CardRemoved, ReaderGone, UnresponsiveCard."""
        return complete(self._exchange, command, t0=self._t0)

    def reset(self) -> bytes:
        """Power the card up anew; return the ATR. Raises NoCard when none is in, CardMute."""
        kind, data = self._ask(ON, b"")
        if kind == OFF:
            raise NoCard("no card is in the reader")
        if not data:
            raise CardMute("the card gives no ATR")
        self._atr = data
        return data

    def close(self) -> None:
        """End the connection; the card loses power."""
        with contextlib.suppress(OSError):
            self._sock.close()

    def _exchange(self, command: bytes) -> bytes:
        kind, data = self._ask(APDU, command)
        if kind == OFF:
            raise CardRemoved("the card went away within the command")
        return data

    def _ask(self, kind: int, data: bytes) -> tuple[int, bytes]:
        try:
            self._sock.sendall(bytes([kind]) + len(data).to_bytes(2, "big") + data)
            head = self._read(3)
            answer = self._read(int.from_bytes(head[1:], "big"))
        except TimeoutError as error:
            self.close()
            raise UnresponsiveCard("the card did not answer in time") from error
        except OSError as error:
            self.close()
            raise ReaderGone(f"the card's socket is gone: {error}") from error
        if head[0] not in {kind, OFF}:
            raise LinkProtocolError(f"unexpected frame of kind {head[0]:02X}")
        return head[0], answer

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self._sock.recv(size - len(data))
            if not chunk:
                raise ConnectionError("the other end closed it")
            data += chunk
        return data


def _connect(address: str, timeout_s: float) -> socket.socket:
    try:
        if "/" in address:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.settimeout(timeout_s)
                sock.connect(address)
            except OSError:
                sock.close()
                raise
        else:
            host, _, port = address.rpartition(":")
            sock = socket.create_connection((host, int(port)), timeout_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, ValueError) as error:
        raise NoReader(f"no card is served at {address}: {error}") from error
    return sock
