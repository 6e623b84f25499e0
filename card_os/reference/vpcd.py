"""The card's end of vsmartcard's vpcd: puts an `IccDevice` into a virtual PC/SC reader.

vpcd listens, the card connects. Each message is a 2-byte big-endian length and that many bytes;
a message of one byte is a control (0 power off, 1 power on, 2 reset, 4 send the ATR), anything
longer a C-APDU. Only the ATR and APDUs are answered. vpcd asks for the ATR about every 0.4 s to
see whether the card is still there, powered or not. (vsmartcard, virtualsmartcard protocol)
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from card_os.icc import IccDevice

__all__ = ["VpcdError", "VpcdSlot", "connect_reader"]

POWER_OFF, POWER_ON, RESET, ATR = 0, 1, 2, 4
_RETRY_S = 0.05
_LEAVE_S = 3.0
_ABSENCES = 2
_APART_S = 0.1  # pcscd's check and its poll would else meet the same absence


class VpcdError(Exception):
    """The virtual reader could not be reached or spoke something else."""


def connect_reader(address: str, timeout_s: float = 5.0) -> socket.socket:
    """Return a TCP socket to the reader at `host:port`, or got from the door at a path with `/`.

    A door (demo/pcscd.py) is a unix socket inside the private pcscd's network namespace: whoever
    connects is handed a connected TCP socket (SCM_RIGHTS). Raises VpcdError.
    """
    try:
        if "/" not in address:
            host, _, port = address.rpartition(":")
            sock = socket.create_connection((host, int(port)), timeout_s)
        else:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
                door.settimeout(timeout_s)
                door.connect(address)
                _, fds, _, _ = socket.recv_fds(door, 1, 1)
            if not fds:
                raise VpcdError(f"no virtual reader listens behind {address}")
            sock = socket.socket(fileno=fds[0])
    except (OSError, ValueError) as error:
        raise VpcdError(f"cannot reach the virtual reader at {address}: {error}") from error
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _read_exactly(sock: socket.socket, size: int) -> bytes:
    """Return `size` bytes, or fewer at the end of the stream."""
    data = b""
    while len(data) < size:
        # Without it the kernel delays its ACK, and vpcd's Nagle the next command, by 40 ms.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        chunk = sock.recv(size - len(data))
        if not chunk:
            break
        data += chunk
    return data


class VpcdSlot:
    """One slot of a virtual reader: `insert` a card, `remove` it, from any thread.

    While a card is in, a thread serves it and connects again when pcscd restarts. A card that
    gives no answer (`IccDevice.transmit` returned nothing) leaves the slot: vpcd knows no other
    way to say it. `on_gone` is then called from that thread.

    pcscd learns of a removal only when it polls (every 0.4 s). A card that leaves within a command
    or a power-down and is back before the poll makes pcscd 1.9 report an empty reader for good, so
    unless a poll must have seen the slot empty, the next insertion first lets two requests for the
    ATR find nobody. (One may be pcscd's check before it powers the card down for a client. Where
    the card was unpowered already, no client has it and the request was a poll.)
    """

    def __init__(
        self,
        address: str,
        *,
        known_empty: bool = False,
        on_gone: Callable[[], None] | None = None,
        cut_after: int | None = None,
    ) -> None:
        """`known_empty`: no card left this slot within the last poll; saves 0.4 s once.

        `cut_after`: drop the line after that many bytes of the stream (both ways), for tests.
        """
        self._address = address
        self._on_gone = on_gone
        self.cut_after = cut_after
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._sock: socket.socket | None = None
        self._out = threading.Event()
        self._seen_empty = known_empty
        self.stream_bytes = 0

    @property
    def occupied(self) -> bool:
        """Whether a card is in the slot."""
        return self._thread is not None and self._thread.is_alive()

    def insert(self, device: IccDevice) -> None:
        """Put a card in; raise VpcdError when one is in or the reader cannot be reached."""
        with self._lock:
            if self.occupied:
                raise VpcdError("a card is already in the reader")
            self._out.clear()
            self._sock = connect_reader(self._address)
            self._thread = threading.Thread(
                target=self._serve, args=(device, self._sock), name="vpcd-slot", daemon=True
            )
            self._thread.start()

    def remove(self) -> None:
        """Take the card out; returns when the reader has noticed (or 3 s later)."""
        with self._lock:
            self._out.set()
            thread = self._thread
            if thread is not None and thread is not threading.current_thread():
                thread.join(_LEAVE_S)  # until the next poll
                if thread.is_alive() and self._sock is not None:
                    with contextlib.suppress(OSError):
                        self._sock.shutdown(socket.SHUT_RDWR)
                    thread.join(_LEAVE_S)
            self._thread = None

    def _serve(self, device: IccDevice, first: socket.socket) -> None:
        sock: socket.socket | None = first
        absences = 0
        try:
            while sock is not None and not self._seen_empty and not self._out.is_set():
                with sock:
                    absences += self._be_absent(sock)
                self._seen_empty = absences >= _ABSENCES
                self._out.wait(0 if self._seen_empty else _APART_S)
                sock = self._connect_again()
            self.stream_bytes = 0
            while sock is not None:
                self._seen_empty = False
                with sock:
                    gone = self._converse(device, sock)
                device.power_off()
                if gone or self._out.is_set():
                    break
                sock = self._connect_again()
        finally:
            device.power_off()
            if not self._out.is_set() and self._on_gone is not None:
                self._on_gone()

    def _connect_again(self) -> socket.socket | None:
        """Connect, waiting for pcscd to come back; None when the card was removed meanwhile."""
        while not self._out.is_set():
            try:
                self._sock = connect_reader(self._address)
            except VpcdError:
                self._out.wait(_RETRY_S)
                continue
            return self._sock
        return None

    def _be_absent(self, sock: socket.socket) -> bool:
        """Leave at the first message; return whether that asked for the ATR."""
        try:
            return self._receive(sock) == bytes([ATR])
        except (OSError, _LineCutError):
            return False

    def _converse(self, device: IccDevice, sock: socket.socket) -> bool:
        """Serve one connection; return True when the card is gone rather than the reader."""
        atr = b""
        powered = True  # as far as we know
        try:
            while True:
                message = self._receive(sock)
                if message is None:
                    return False
                if len(message) != 1:
                    answer = b"" if self._out.is_set() else device.transmit(message)
                    if not answer:
                        return True
                    self._send(sock, answer)
                elif message[0] == POWER_OFF:
                    device.power_off()
                    powered = False
                elif message[0] in {POWER_ON, RESET}:
                    atr = device.power_on()
                    powered = True
                elif message[0] == ATR:
                    if self._out.is_set():
                        self._seen_empty = not powered
                        return True
                    # Asked also before power on; the ATR is known only from a powered card.
                    atr = atr or device.power_on()
                    self._send(sock, atr)
        except _LineCutError:
            return True
        except OSError:
            return False

    def _receive(self, sock: socket.socket) -> bytes | None:
        """Return one message, or None at the end of the stream."""
        head = self._count(_read_exactly(sock, 2), 2)
        if head is None:
            return None
        size = int.from_bytes(head, "big")
        return self._count(_read_exactly(sock, size), size)

    def _send(self, sock: socket.socket, data: bytes) -> None:
        frame = len(data).to_bytes(2, "big") + data
        if self.cut_after is not None and self.stream_bytes + len(frame) > self.cut_after:
            sock.sendall(frame[: self.cut_after - self.stream_bytes])
            raise _LineCutError
        self.stream_bytes += len(frame)
        sock.sendall(frame)

    def _count(self, data: bytes, expected: int) -> bytes | None:
        if len(data) < expected:
            return None
        self.stream_bytes += expected
        if self.cut_after is not None and self.stream_bytes > self.cut_after:
            raise _LineCutError
        return data


class _LineCutError(Exception):
    """The test's cut was reached."""
