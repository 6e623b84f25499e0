"""A byte-level link: T=0 characters and T=1 blocks between a host and an `IccDevice`, in process.

vpcd and CCID readers move whole APDUs, so what happens on the contacts is modelled here: procedure
bytes and GET RESPONSE for T=0, blocks with LRC, chaining, retransmission and resynchronisation for
T=1 (ISO 7816-3). The `Line` counts every character, can cut the supply after any of them and can
garble one. It is a model for tests, not a driver.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

from card_os.host.links import (
    CardRemoved,
    LinkProtocolError,
    PoweredLink,
    complete,
)
from card_os.icc import T0Face

if TYPE_CHECKING:
    from collections.abc import Iterator

    from card_os.host.links import Power
    from card_os.icc import IccDevice

__all__ = ["Line", "T0Link", "T1Link"]

_NULL = 0x60
_RETRIES = 3
_MAX_BLOCKS = 1000


class _Cut(Exception):  # noqa: N818 - it is a switch, not a fault
    """The supply was cut."""


@dataclass(slots=True)
class Line:
    """The contacts. `cut_after`: characters until the supply is cut, counting both directions.

    `garble`: numbers of characters (from 0) that arrive with wrong parity (T=1 only).
    """

    cut_after: int | None = None
    garble: frozenset[int] = frozenset()
    to_card: int = 0
    to_host: int = 0
    guard_etu: int = field(default=12, kw_only=True)

    @property
    def characters(self) -> int:
        """Characters carried, both directions."""
        return self.to_card + self.to_host

    def seconds(self, clock_hz: int = 4_000_000, f: int = 372, d: int = 1) -> float:
        """Return the transmission time: 12 etu a character (T=0) or 11 (T=1), etu = F/(D*f)."""
        return self.characters * self.guard_etu * f / (d * clock_hz)

    def carry(self, data: bytes, *, host_sends: bool) -> bytes:
        """Move characters one by one; return them, or nothing if one is damaged. Raises _Cut."""
        intact = True
        for _ in data:
            if self.cut_after is not None and self.characters >= self.cut_after:
                raise _Cut
            intact = intact and self.characters not in self.garble
            if host_sends:
                self.to_card += 1
            else:
                self.to_host += 1
        return data if intact else b""


class _TpduLink(PoweredLink):
    """The line and its cut; the protocol is the subclass's. An ATR's characters do not count."""

    def __init__(self, power: Power, line: Line) -> None:
        self.line = line
        super().__init__(power)

    def reset(self) -> bytes:
        """Cut and restore power; return the ATR. Raises CardMute when there is none."""
        atr = super().reset()
        self._begin()
        return atr

    def transmit(self, command: bytes, /) -> bytes:
        """Return the R-APDU. Raises CardRemoved after a cut, LinkProtocolError on a bad line."""
        if not self._open:
            raise CardRemoved("the card is not powered")
        try:
            return self._run(command)
        except _Cut:
            self.close()
            raise CardRemoved("the supply was cut within the command") from None
        except CardRemoved:
            self.close()
            raise

    def _begin(self) -> None:
        """Forget the protocol's state."""

    def _run(self, command: bytes) -> bytes:
        raise NotImplementedError


class T0Link(_TpduLink):
    """T=0 (ISO 7816-3 section 10): header, procedure bytes, data one way, SW1 SW2.

    `one_by_one`: the card asks for each data byte by the complement of INS; `nulls`: how many
    NULL bytes (60, "wait") it sends while it works. T=0 has no error detection above parity,
    which the model leaves out: use no `garble` here.
    """

    def __init__(
        self,
        device: IccDevice,
        line: Line | None = None,
        *,
        one_by_one: bool = False,
        nulls: int = 0,
    ) -> None:
        self._face = T0Face(device)
        self._one_by_one = one_by_one
        self._nulls = nulls
        super().__init__(self._face, line or Line())

    def _run(self, command: bytes) -> bytes:
        if len(command) > 5 and command[4] == 0:
            raise LinkProtocolError("T=0 carries extended lengths only by ENVELOPE")
        return complete(self._tpdu, command, t0=True)

    def _tpdu(self, command: bytes) -> bytes:
        """Exchange one command TPDU; the direction of the data goes with the instruction."""
        header = command[:5].ljust(5, b"\0")  # case 1: P3 = 00
        data = command[5:]
        card = self._card_bytes(self.line.carry(header, host_sends=True), data, command)
        received = b""
        wanted = 0 if data else (header[4] or 256) if len(command) == 5 else 0
        ins = header[1]
        while True:
            byte = self._next(card)
            if byte == _NULL:
                continue
            if byte in {ins, ins ^ 0xFF}:  # section 10.3.3: all that is left, or one byte
                all_left = byte == ins
                if data:
                    part, data = (data, b"") if all_left else (data[:1], data[1:])
                    self.line.carry(part, host_sends=True)
                else:
                    size = wanted - len(received) if all_left else 1
                    received += bytes(self._next(card) for _ in range(size))
                continue
            if byte & 0xF0 not in {0x60, 0x90}:
                raise LinkProtocolError(f"procedure byte {byte:02X} is none")
            return received + bytes([byte, self._next(card)])

    def _next(self, card: Iterator[int]) -> int:
        for byte in card:
            return self.line.carry(bytes([byte]), host_sends=False)[0]
        raise CardRemoved("the card went away within the command")

    def _card_bytes(self, header: bytes, data: bytes, command: bytes) -> Iterator[int]:
        """Yield what the card sends; a generator, so it acts only when the host listens."""
        ins = header[1]

        def life() -> Iterator[int]:
            if data:
                yield from [ins ^ 0xFF] * len(data) if self._one_by_one else [ins]
            yield from [_NULL] * self._nulls
            answer = self._face.transmit(command)
            out, sw = answer[:-2], answer[-2:]
            if out and self._one_by_one:
                for byte in out:
                    yield from (ins ^ 0xFF, byte)
            elif out:
                yield ins
                yield from out
            yield from sw

        return iter(life())


# ---- T=1 ---------------------------------------------------------------------------------------

_R, _S = 0x80, 0xC0
_RESYNCH, _IFS, _WTX = 0x00, 0x01, 0x03
_MORE = 0x20


def _lrc(data: bytes) -> int:
    return reduce(lambda a, b: a ^ b, data, 0)


def _block(pcb: int, inf: bytes = b"") -> bytes:
    """Return NAD, PCB, LEN, INF, LRC (ISO 7816-3 section 11.3)."""
    body = bytes([0, pcb, len(inf)]) + inf
    return body + bytes([_lrc(body)])


def _open(block: bytes) -> tuple[int, bytes] | None:
    """Return (PCB, INF), or None for a block that arrived damaged."""
    if len(block) < 4 or len(block) != block[2] + 4 or _lrc(block) != 0 or block[0] != 0:
        return None
    return block[1], block[3:-1]


@dataclass(slots=True)
class _End:
    """What both ends keep: send and receive numbers, what is still to be sent, the last block."""

    size: int  # the other end's IFS
    send: int = 0
    expect: int = 0
    queue: list[bytes] = field(default_factory=list)
    received: bytes = b""
    last: bytes = b""

    def load(self, data: bytes) -> bytes:
        """Queue an APDU in pieces of the other end's IFS; return the first block."""
        self.queue = [data[i : i + self.size] for i in range(0, len(data), self.size)]
        return self.next_i()

    def next_i(self) -> bytes:
        """Return the next I-block of the chain; it stays `last` until acknowledged."""
        inf = self.queue.pop(0)
        self.last = _block(self.send << 6 | (_MORE if self.queue else 0), inf)
        self.send ^= 1
        return self.last

    def r(self, error: int = 0) -> bytes:
        """Return an R-block that names the I-block expected next (section 11.3.2.2)."""
        return _block(_R | self.expect << 4 | error)

    def accept(self, pcb: int, inf: bytes) -> bool | None:
        """Take an I-block: True = the APDU is whole, False = more to come, None = not expected."""
        if pcb >> 6 & 1 != self.expect:
            return None
        self.expect ^= 1
        self.received += inf
        return not pcb & _MORE

    def take(self) -> bytes:
        """Return the APDU received and begin a new one."""
        data, self.received = self.received, b""
        return data

    def resynch(self) -> None:
        """Both numbers to 0, chains dropped (section 11.6.3.2)."""
        self.send = self.expect = 0
        self.queue.clear()
        self.received = self.last = b""


class _T1Chip:
    """The card's end: one block in, one block out."""

    def __init__(self, device: IccDevice, ifs: int, ifsd: int, wtx: int) -> None:
        self._device = device
        self.ifs = ifs
        self._ifsd = ifsd
        self._wtx = wtx
        self._end = _End(ifsd)
        self._waits = 0
        self._answer = b""

    def power_on(self) -> bytes:
        """Reset chip and protocol."""
        self._end = _End(self._ifsd)
        self._answer, self._waits = b"", 0
        return self._device.power_on()

    def power_off(self) -> None:
        """Take the supply away."""
        self._device.power_off()

    def block(self, raw: bytes) -> bytes:
        """Answer a block; no bytes when the card does not answer at all."""
        end = self._end
        opened = _open(raw)
        if opened is None:
            # An I-block sent stays `last`: the host's next R-block may ask for it.
            return end.r(error=1)
        pcb, inf = opened
        if pcb & 0xC0 == _S:
            return self._s_block(pcb, inf)
        if pcb & 0xC0 == _R:
            return self._r_block(pcb)
        whole = end.accept(pcb, inf)
        if whole is None:
            return end.r(error=2)
        if not whole:
            end.last = end.r()
            return end.last
        self._answer = self._device.transmit(end.take())
        self._waits = self._wtx
        return self._go_on()

    def _go_on(self) -> bytes:
        if not self._answer:
            return b""
        if self._waits:
            self._waits -= 1
            self._end.last = _block(_S | _WTX, b"\x01")
            return self._end.last
        answer, self._answer = self._answer, b""
        return self._end.load(answer)

    def _r_block(self, pcb: int) -> bytes:
        end = self._end
        wants = pcb >> 4 & 1
        if end.queue and wants == end.send:
            return end.next_i()
        return end.last or end.r(error=2)  # not acknowledged: the last block once more

    def _s_block(self, pcb: int, inf: bytes) -> bytes:
        if pcb & 0x20:  # a response: only to our WTX
            return self._go_on()
        if pcb & 0x1F == _RESYNCH:
            self._end.resynch()
            self._answer = b""
        elif pcb & 0x1F == _IFS and len(inf) == 1:
            self._end.size = inf[0]
        return _block(pcb | 0x20, inf)


class T1Link(_TpduLink):
    """T=1 (ISO 7816-3 section 11). `ifsc`/`ifsd`: information field sizes of card and host.

    A damaged block is asked for again up to 3 times, then the ends resynchronise and the command
    fails with LinkProtocolError: it may have been done, so it is never repeated here.
    `wtx`: how often the card asks for more time per command.
    """

    def __init__(
        self,
        device: IccDevice,
        line: Line | None = None,
        *,
        ifsc: int = 254,
        ifsd: int = 254,
        wtx: int = 0,
    ) -> None:
        self._end = _End(ifsc)
        self._card = _T1Chip(device, ifsc, ifsd, wtx)
        super().__init__(self._card, line or Line(guard_etu=11))

    def _begin(self) -> None:
        self._end = _End(self._card.ifs)

    def _run(self, command: bytes) -> bytes:
        try:
            return complete(self._apdu, command)
        except LinkProtocolError:
            self._resynch()
            raise

    def _apdu(self, command: bytes) -> bytes:
        end = self._end
        outgoing, failures = end.load(command), 0
        for _ in range(_MAX_BLOCKS):
            opened = _open(self._send(outgoing))
            if opened is None or (opened[0] & 0xC0 == _R and opened[0] & 0x0F):
                failures += 1
                if failures > _RETRIES:
                    raise LinkProtocolError("the line is too bad; the command may have been done")
                if opened is None:
                    outgoing = end.r(error=1)  # ask again
                elif opened[0] >> 4 & 1 != end.send:
                    outgoing = end.last  # our I-block did not arrive
                continue  # else what did not arrive was our R or S block: send it again
            failures = 0
            pcb, inf = opened
            if pcb & 0xC0 == _S:
                outgoing = _block(pcb | 0x20, inf)  # WTX granted
            elif pcb & 0xC0 == _R:
                acknowledged = bool(end.queue) and pcb >> 4 & 1 == end.send
                outgoing = end.next_i() if acknowledged else end.last
            else:
                whole = end.accept(pcb, inf)
                if whole:
                    return end.take()
                outgoing = end.r(error=2 if whole is None else 0)
        raise LinkProtocolError("the exchange of blocks does not end")

    def _resynch(self) -> None:
        for _ in range(_RETRIES):
            if self._send(_block(_S | _RESYNCH)) == _block(_S | 0x20 | _RESYNCH):
                self._end.resynch()
                return
        self.close()

    def _send(self, block: bytes) -> bytes:
        answer = self._card.block(self.line.carry(block, host_sends=True))
        if not answer:
            raise CardRemoved("the card went away within the command")
        return self.line.carry(answer, host_sends=False)
