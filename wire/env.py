"""Environments: two worlds, each with a demonstration twin (PROTOCOL.md §2, docs/wire.md#env).

The environment is one byte. It stands in every CVC, in every COSE protected header and in the
domain string of every raw object, so an object of one world never verifies in another.
"""

from __future__ import annotations

from enum import IntEnum

DEMO_BIT = 0x80


class Environment(IntEnum):
    """One byte: bits 0..6 the world (1 live, 2 specimen), bit 7 a root marked DEMO."""

    LIVE = 0x01
    SPECIMEN = 0x02
    DEMO_LIVE = 0x81
    DEMO_SPECIMEN = 0x82

    @property
    def is_demo(self) -> bool:
        """True below a root marked DEMO."""
        return bool(self & DEMO_BIT)

    @property
    def is_specimen(self) -> bool:
        """True for specimen material, which can never redeem."""
        return self & ~DEMO_BIT == Environment.SPECIMEN

    @property
    def mark(self) -> bytes:
        """Four ASCII bytes at the front of every card id and CA id: ``DEMO`` or ``KHBS``."""
        return b"DEMO" if self.is_demo else b"KHBS"


LIVE_PURSE_AID = bytes.fromhex("F0424554414E4701")
SPECIMEN_PURSE_AID = bytes.fromhex("F0424554414E4702")
PACKAGE_AID = bytes.fromhex("F0424554414E47")


def purse_aid(env: Environment) -> bytes:
    """AID of the purse of this world (card_os/SPEC.md#select)."""
    return SPECIMEN_PURSE_AID if env.is_specimen else LIVE_PURSE_AID
