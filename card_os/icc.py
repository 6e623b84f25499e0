"""What a card is to whatever holds its contacts: power, one answer per command, and an ATR.

Neutral ground between `card_os.reference` (a card) and `card_os.host` (a reader), which never
import each other.
"""

from __future__ import annotations

from functools import reduce
from typing import Protocol

from wire.receipt import Interface

__all__ = [
    "ATR_CONTACTLESS",
    "ATR_T0",
    "ATR_T1",
    "IccDevice",
    "Interface",
    "T0Face",
    "build_atr",
    "interface_of",
]


class IccDevice(Protocol):
    """A card as its contacts see it; whole APDUs, one at a time.

    `power_on` on a powered card is a reset: RAM dies, the ATR is returned again. `transmit` takes a
    complete C-APDU and returns the R-APDU, SW included (so at least 2 bytes), or **no bytes at
    all**: the card was not powered, is mute, or lost its supply within this command. After an
    empty answer the card counts as unpowered until `power_on`.
    """

    def power_on(self) -> bytes:
        """Power up or reset; return the ATR."""

    def power_off(self) -> None:
        """Take the supply away; harmless on an unpowered card."""

    def transmit(self, command: bytes, /) -> bytes:
        """Return the R-APDU, or no bytes if the card did not answer."""


def build_atr(interface_bytes: bytes, historical: bytes) -> bytes:
    """Return TS, T0, the bytes given (from TD1, TA.. as in `interface_bytes`), history and TCK.

    `interface_bytes` is empty (T=0, no TCK) or starts with TD1. ISO 7816-3 section 8.2.
    """
    if len(historical) > 15:
        raise ValueError("an ATR has room for 15 historical bytes")
    body = bytes([(0x80 if interface_bytes else 0) | len(historical)]) + interface_bytes
    body += historical
    check = bytes([reduce(lambda a, b: a ^ b, body)]) if interface_bytes else b""
    return b"\x3b" + body + check


# Compact-TLV (80), tag 5: issuer's data, 6 bytes.
_HISTORICAL = b"\x80\x56BETANG"
ATR_T0 = build_atr(b"", _HISTORICAL)
ATR_T1 = build_atr(bytes.fromhex("81 31 FE 45"), _HISTORICAL)  # T=1, IFSC 254, BWI 4, CWI 5
# PC/SC part 3 (contactless ATR): 3B 8N 80 01, history, TCK.
ATR_CONTACTLESS = build_atr(bytes.fromhex("80 01"), _HISTORICAL)


def interface_of(atr: bytes) -> Interface:
    """Tell contactless (PC/SC part 3: 3B 8N 80 01 ...) from contact by the ATR."""
    contactless = (
        len(atr) >= 4 and atr[0] == 0x3B and atr[1] & 0xF0 == 0x80 and atr[2:4] == b"\x80\x01"
    )
    return Interface.CONTACTLESS if contactless else Interface.CONTACT


class T0Face:
    """A T=0 face on a card that speaks APDUs: an answer with data becomes 61xx + GET RESPONSE.

    T=0 carries data one way per command, so a case 4 command arrives without Le (ISO 7816-3,
    T=0 transport of APDUs) and its data waits for GET RESPONSE; the next other command drops it.
    A case 2 command with an Le other than what the card has is answered 6Cxx and the data kept
    for the same header with the right Le, so the command itself runs once.
    """

    def __init__(self, device: IccDevice) -> None:
        self._device = device
        self._waiting = b""  # response data not yet fetched
        self._sw = b""
        self._header = b""  # of the case 2 command that was answered 6Cxx

    def power_on(self) -> bytes:
        """Reset the card; what waited for GET RESPONSE is gone."""
        self._forget()
        return self._device.power_on()

    def power_off(self) -> None:
        """Take the supply away."""
        self._forget()
        self._device.power_off()

    def transmit(self, command: bytes, /) -> bytes:
        """Answer one command TPDU (header, P3, data) given as C-APDU of case 1, 2 or 3."""
        if len(command) >= 5 and command[1] == 0xC0 and self._waiting and not self._header:
            return self._get_response(command[4] or 256)
        if len(command) == 5 and self._header == command[:4]:
            return self._exact(command)
        self._forget()
        answer = self._device.transmit(command)
        data, sw = answer[:-2], answer[-2:]
        if not data:
            return answer
        self._waiting, self._sw = data, sw
        if len(command) == 5:
            self._header = command[:4]
            return self._exact(command)
        return self._more()

    def _exact(self, command: bytes) -> bytes:
        if (command[4] or 256) != len(self._waiting):
            return bytes([0x6C, len(self._waiting) & 0xFF])
        answer = self._waiting + self._sw
        self._forget()
        return answer

    def _get_response(self, wanted: int) -> bytes:
        if wanted > len(self._waiting):
            return bytes([0x6C, len(self._waiting)])
        data, self._waiting = self._waiting[:wanted], self._waiting[wanted:]
        return data + (self._more() if self._waiting else self._sw)

    def _more(self) -> bytes:
        return bytes([0x61, min(len(self._waiting), 256) & 0xFF])

    def _forget(self) -> None:
        self._waiting = self._sw = self._header = b""
