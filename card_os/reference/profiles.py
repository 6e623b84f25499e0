"""What a card maker fixes before delivery: SCP03 options, identity data, room for load files.

GET DATA answers them in the clear (docs/foreign-clients.md#selection-and-data).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from keys.kdf import StaticKeys
from keys.scp03 import Scp03Options
from wire.errors import require
from wire.tlv import encode

__all__ = ["JCOP_LIKE", "CardProfile", "TransportKeys", "capability_data", "recognition_data"]

SERIAL_BYTES = 4
CPLC_BYTES = 42
SCP03_I = 0x70  # pseudo-random challenge, R-MAC, R-ENCRYPTION


@dataclass(frozen=True, slots=True)
class TransportKeys:
    """The key set a maker delivers a card with. There are no default keys."""

    kvn: int
    keys: StaticKeys = field(repr=False)


@dataclass(frozen=True, slots=True)
class CardProfile:
    """One product. ``cplc`` is the 42 bytes of 9F7F, its serial number (bytes 12..15) zero."""

    name: str
    cplc: bytes
    iin: bytes
    scp03_i: int = SCP03_I
    memory_bytes: int = 0  # for load files; 0: no bound but their own, and the card does not tell
    key_bytes: tuple[int, ...] = (16, 24, 32)

    def __post_init__(self) -> None:
        """Refuse what does not fit."""
        require(len(self.cplc) == CPLC_BYTES, "CPLC data is 42 bytes")
        Scp03Options.parse(self.scp03_i)

    def cplc_of(self, serial: bytes) -> bytes:
        """Return the CPLC data of the chip with that serial number (4 bytes)."""
        require(len(serial) == SERIAL_BYTES, "a chip's serial number is 4 bytes")
        return self.cplc[:12] + serial + self.cplc[16:]

    def kdd_of(self, serial: bytes) -> bytes:
        """Return the key diversification data (10 bytes): CPLC bytes 10..19, serial included."""
        return self.cplc_of(serial)[10:20]

    def cin_of(self, serial: bytes) -> bytes:
        """Return the card image number: fabricator(2), batch(2), serial(4)."""
        return self.cplc[:2] + self.cplc[16:18] + serial


def recognition_data(scp03_i: int) -> bytes:
    """Return the value of tag 73: what this security domain is (GPCS, card recognition data).

    GlobalPlatform 2.3.1 (OIDs under 1.2.840.114283), SCP03 with the parameter "i".
    """
    gp = bytes.fromhex("2A864886FC6B")
    return (
        encode(0x06, gp + b"\x01")
        + encode(0x60, encode(0x06, gp + b"\x02\x02\x03\x01"))
        + encode(0x63, encode(0x06, gp + b"\x03"))
        + encode(0x64, encode(0x06, gp + b"\x04\x03" + bytes([scp03_i])))
    )


def capability_data(scp03_i: int, key_bytes: Iterable[int]) -> bytes:
    """Return the value of tag 67: what this security domain can do (GPCS, card capabilities).

    A0 {80 the protocol, 81 its options "i", 82 the lengths of its AES keys as bits: 1 16 bytes, 2
    24, 4 32}, 83 the hashes of a load file: 01 SHA-1, 02 SHA-256. No tokens, receipts or DAP.
    """
    lengths = sum(1 << (16, 24, 32).index(size) for size in key_bytes)
    scp = encode(0x80, b"\x03") + encode(0x81, bytes([scp03_i])) + encode(0x82, bytes([lengths]))
    return encode(0xA0, scp) + encode(0x83, b"\x01\x02")


# A common dual-interface Java Card; the numbers are of no real batch.
JCOP_LIKE = CardProfile(
    name="jcop",
    cplc=bytes.fromhex("4790 D321 4700 0000 0000 6100 00000000 0001".replace(" ", "")) + bytes(24),
    iin=bytes.fromhex("42455447"),
)
