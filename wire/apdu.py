"""Command and response APDUs, short length only (ISO/IEC 7816-4 §5.1, §5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from wire.errors import FormatError, require

MAX_COMMAND_DATA_BYTES = 255
MAX_RESPONSE_DATA_BYTES = 256


@dataclass(frozen=True, slots=True)
class CommandApdu:
    """One C-APDU.

    ``le`` is the expected length: ``None`` when absent, 1..256 otherwise (256 is coded 00).
    Extended length is not used anywhere in Betang (card_os/SPEC.md#transport).
    """

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    le: int | None = None

    def __post_init__(self) -> None:
        """Refuse fields that do not fit their bytes."""
        require(all(0 <= b <= 0xFF for b in self.header_fields), "APDU header byte out of range")
        require(len(self.data) <= MAX_COMMAND_DATA_BYTES, "APDU data longer than 255 bytes")
        require(self.le is None or 1 <= self.le <= MAX_RESPONSE_DATA_BYTES, "Le out of range")

    @property
    def header_fields(self) -> tuple[int, int, int, int]:
        """CLA, INS, P1, P2."""
        return self.cla, self.ins, self.p1, self.p2

    @property
    def header(self) -> bytes:
        """The four header bytes."""
        return bytes(self.header_fields)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read one short C-APDU of case 1 to 4; :class:`FormatError`, for left-over bytes too."""
        require(len(raw) >= 4, "APDU shorter than its header")
        (cla, ins, p1, p2), body = raw[:4], raw[4:]
        if not body:
            return cls(cla, ins, p1, p2)
        if len(body) == 1:
            return cls(cla, ins, p1, p2, le=body[0] or 256)
        lc_bytes = body[0]
        require(lc_bytes != 0, "extended length is not supported")
        data, rest = body[1 : 1 + lc_bytes], body[1 + lc_bytes :]
        require(len(data) == lc_bytes and len(rest) <= 1, "Lc does not match the data")
        return cls(cla, ins, p1, p2, data, (rest[0] or 256) if rest else None)

    def __bytes__(self) -> bytes:
        lc = bytes([len(self.data)]) + self.data if self.data else b""
        le = b"" if self.le is None else bytes([self.le & 0xFF])
        return self.header + lc + le


@dataclass(frozen=True, slots=True)
class ResponseApdu:
    """One R-APDU: data (0..256 bytes) and the status word, 0000..FFFF."""

    data: bytes
    sw: int

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read one R-APDU of 2 to 258 bytes; :class:`FormatError`."""
        if not 2 <= len(raw) <= MAX_RESPONSE_DATA_BYTES + 2:
            raise FormatError("R-APDU of impossible length")
        return cls(raw[:-2], int.from_bytes(raw[-2:], "big"))

    def __bytes__(self) -> bytes:
        return self.data + self.sw.to_bytes(2, "big")
