"""Links of the campaign that die after a given byte: T=0, T=1, vpcd's stream, pcscd itself."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from card_os.host.links import AtrLink, CardMute, CardRemoved, Link, complete
from card_os.host.pcsc import PcscReader
from card_os.host.tpdu import Line, T0Link, T1Link
from card_os.icc import IccDevice, Interface
from card_os.reference.vpcd import VpcdError, VpcdSlot

IFS = 128  # smaller than the longest APDU, so that T=1 chains
WAIT_S = 60.0  # only a hang takes as long


class VpcdLink(AtrLink):
    """A reader over vpcd's stream: the card's end is `VpcdSlot`, this is the other.

    What came of an answer when the line goes is handed on, as vpcd does: a link cannot tell.
    """

    def __init__(self, device: IccDevice, cut: int | None) -> None:
        """Power the card up; raises CardMute."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(WAIT_S)
        address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.slot = VpcdSlot(address, known_empty=True, cut_after=cut)
        self.slot.insert(device)
        self._sock, _ = self._listener.accept()
        self._sock.settimeout(WAIT_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ask(b"\x01", answered=False)
        self._atr = self._ask(b"\x04")
        if len(self._atr) < 2:
            self.close()
            raise CardMute("the card gives no ATR")

    @property
    def characters(self) -> int:
        """Bytes of the stream so far, both ways."""
        return self.slot.stream_bytes

    def transmit(self, command: bytes, /) -> bytes:
        """Return what came; CardRemoved when that was less than a status word."""
        return complete(self._ask, command)

    def reset(self) -> bytes:
        """Never used: a link that died is closed."""
        raise CardRemoved("the card is gone")

    def close(self) -> None:
        """The reader goes; the slot's thread ends."""
        self.slot._out.set()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._listener.close()
        self.slot.remove()

    def _ask(self, message: bytes, *, answered: bool = True) -> bytes:
        try:
            self._sock.sendall(len(message).to_bytes(2, "big") + message)
            if not answered:
                return b""
            size = int.from_bytes(self._read(2).rjust(2, b"\0"), "big")
            return self._read(size)
        except OSError:
            return b""

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            try:
                chunk = self._sock.recv(size - len(data))
            except ConnectionError:
                break
            if not chunk:
                break
            data += chunk
        return data


def _t0(device: IccDevice, cut: int | None) -> Link:
    return T0Link(device, Line(cut))


def _t1(device: IccDevice, cut: int | None) -> Link:
    return T1Link(device, Line(cut, guard_etu=11), ifsc=IFS, ifsd=IFS)


Connect = Callable[[IccDevice, int | None], Link]
PROTOCOLS: dict[str, Connect] = {"T=0": _t0, "T=1": _t1, "vpcd": VpcdLink}


def carried(link: Any) -> int:
    """Bytes that a link has carried so far."""
    return int(link.line.characters if isinstance(link, T0Link | T1Link) else link.characters)


class PcscdLink:
    """A card behind pcscd whose stream is cut ``cut`` bytes after it was powered up.

    pcscd's own polls, every 0.4 s, are in the stream, too.
    """

    def __init__(
        self, reader: PcscReader, slot: VpcdSlot, device: IccDevice, cut: int | None
    ) -> None:
        """Put the card in and power it up; raises LinkError."""
        self._slot = slot
        slot.cut_after = None
        slot.insert(device)
        try:
            reader.wait_for_card(WAIT_S)  # in vain: the connection says so
            self._link = reader.connect()
        except BaseException:
            slot.remove()
            raise
        self._start = slot.stream_bytes
        slot.cut_after = None if cut is None else self._start + cut

    @property
    def atr(self) -> bytes:
        """The ATR of the power-up."""
        return self._link.atr

    @property
    def interface(self) -> Interface:
        """Contact or contactless, told from the ATR."""
        return self._link.interface

    @property
    def characters(self) -> int:
        """Bytes of the stream since the power-up, both ways."""
        return self._slot.stream_bytes - self._start

    def transmit(self, command: bytes, /) -> bytes:
        """As `PcscLink`."""
        return self._link.transmit(command)

    def reset(self) -> bytes:
        """Never used: a link that died is closed."""
        return self._link.reset()

    def close(self) -> None:
        """Power off and take the card out."""
        self._slot.cut_after = None
        self._link.close()
        self._slot.remove()


def pcscd(reader: PcscReader, slot: VpcdSlot, restart: Callable[[], None]) -> Connect:
    """Through a private pcscd and its driver vpcd.

    A card's end that goes after one byte of an answer's length is the end of pcscd (a fault of
    vpcd's driver, not ours): ``restart`` then starts it anew, as a system does.
    """

    def connect(device: IccDevice, cut: int | None) -> Link:
        try:
            return PcscdLink(reader, slot, device, cut)
        except VpcdError:
            restart()
            return PcscdLink(reader, slot, device, cut)

    return connect
