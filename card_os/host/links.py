"""Links: how a C-APDU reaches a card and its R-APDU comes back (ISO 7816-4; SPEC.md#transport).

Above a link nobody sees 61xx, 6Cxx, readers or sockets; below it nobody sees sessions.
The `Link` protocol, and its implementations: `InProcessLink` (here), `pcsc.PcscLink`,
`socketlink.SocketLink`,
`trace.RecordingLink` and `trace.ReplayLink`, `tpdu.TpduLink`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from card_os.icc import Interface, interface_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from card_os.icc import IccDevice

__all__ = [
    "AtrLink",
    "CardMute",
    "CardRemoved",
    "HostError",
    "InProcessLink",
    "Interface",
    "Link",
    "LinkError",
    "LinkProtocolError",
    "NoCard",
    "NoReader",
    "PoweredLink",
    "ReaderGone",
    "UnresponsiveCard",
    "complete",
]

_MAX_ROUNDS = 300  # 64 KiB in pieces of 256 bytes, and some


class HostError(Exception):
    """Base of everything the reader's side raises."""


class LinkError(HostError):
    """The command's outcome is unknown, or it never reached a card; the message says which."""


class NoReader(LinkError):  # noqa: N818 - the words the screens use
    """No reader matches (or no PC/SC service runs)."""


class ReaderGone(LinkError):  # noqa: N818
    """The reader or its service vanished; connect again."""


class NoCard(LinkError):  # noqa: N818
    """No card is in the reader; nothing was sent."""


class CardRemoved(LinkError):  # noqa: N818
    """The card went away, perhaps within a command: it may have done it."""


class CardMute(LinkError):  # noqa: N818
    """A card is there but cannot be spoken to: no ATR, or an ATR that fits no protocol."""


class UnresponsiveCard(CardMute):
    """The card took a command and did not answer in time."""


class LinkProtocolError(LinkError):
    """The card or what stands before it answered something that is no R-APDU."""


class Link(Protocol):
    """A connected card. One thread at a time; a link that raised LinkError is to be closed."""

    @property
    def atr(self) -> bytes:
        """The ATR of the last power-up."""

    @property
    def interface(self) -> Interface:
        """Contact or contactless, told from the ATR."""

    def transmit(self, command: bytes, /) -> bytes:
        """Send a complete C-APDU; return the R-APDU, SW included (>= 2 bytes). LinkError."""

    def reset(self) -> bytes:
        """Cut and restore power; return the ATR. Raises LinkError."""

    def close(self) -> None:
        """Let go of the card; harmless twice."""


def is_case_4_short(command: bytes) -> bool:
    """Whether a short C-APDU carries data and Le (ISO 7816-4 table 1)."""
    return len(command) > 6 and command[4] != 0 and len(command) == 6 + command[4]


def complete(exchange: Callable[[bytes], bytes], command: bytes, *, t0: bool = False) -> bytes:
    """Run a command to its end over `exchange`, following 61xx and 6Cxx (ISO 7816-4, SW1).

    `t0`: the card speaks T=0, whose case 4 commands travel without Le (ISO 7816-3).
    6Cxx repeats the command with the Le named, once; 61xx collects by GET RESPONSE in the
    command's channel, without secure messaging. Raises LinkProtocolError on an endless chain.
    """
    sent = command[:-1] if t0 and is_case_4_short(command) else command
    answer = _whole(exchange(sent))
    has_le = len(command) == 5 or is_case_4_short(command)
    if answer[-2] == 0x6C and len(answer) == 2 and has_le:
        answer = _whole(exchange(command[:-1] + answer[-1:]))
    data = b""
    for _ in range(_MAX_ROUNDS):
        if answer[-2] != 0x61:
            break
        data += answer[:-2]
        le = answer[-1]
        # Basic channels 0-3; the SM bits are the first command's alone.
        get_response = bytes([command[0] & 0x03, 0xC0, 0x00, 0x00])
        answer = _whole(exchange(get_response + bytes([le])))
        if answer[-2] == 0x6C and len(answer) == 2:
            answer = _whole(exchange(get_response + answer[-1:]))
    else:
        raise LinkProtocolError("the card announces more data without end")
    return data + answer


def _whole(answer: bytes) -> bytes:
    if len(answer) < 2:
        raise CardRemoved("the card went away within the command")
    return answer


class AtrLink:
    """What a link keeps of a power-up: its ATR, and the interface that this tells."""

    _atr = b""

    @property
    def atr(self) -> bytes:
        """The ATR of the last power-up."""
        return self._atr

    @property
    def interface(self) -> Interface:
        """Contact or contactless, told from the ATR."""
        return interface_of(self._atr)


class Power(Protocol):
    """A chip's supply, as :class:`card_os.icc.IccDevice` has it."""

    def power_on(self) -> bytes:
        """Power up or reset; return the ATR."""

    def power_off(self) -> None:
        """Take the supply away."""


class PoweredLink(AtrLink):
    """A link to a chip in this process, powered at construction."""

    def __init__(self, power: Power) -> None:
        """Power the chip up; raises CardMute when it has no ATR."""
        self._power = power
        self._open = False
        self.reset()

    def reset(self) -> bytes:
        """Cut and restore power; return the ATR. Raises CardMute when there is none."""
        self._power.power_off()
        self._atr = self._power.power_on()
        if not self._atr:
            raise CardMute("the card gives no ATR")
        self._open = True
        return self._atr

    def close(self) -> None:
        """Take the power away."""
        self._open = False
        self._power.power_off()


class InProcessLink(PoweredLink):
    """A card object that whole APDUs are carried to; `t0`: as a T=0 card, without Le in case 4."""

    def __init__(self, device: IccDevice, *, t0: bool = False) -> None:
        """Power the device up; raises CardMute when it has no ATR."""
        super().__init__(device)
        self._device = device
        self._t0 = t0

    def transmit(self, command: bytes, /) -> bytes:
        """Return the R-APDU; CardRemoved when the card gave none or the link is closed."""
        if not self._open:
            raise CardRemoved("the card is not powered")
        try:
            return complete(self._device.transmit, command, t0=self._t0)
        except LinkError:
            self._open = False
            raise
