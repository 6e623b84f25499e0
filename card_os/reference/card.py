"""The reference card: memory, security domain and applets behind the contacts of an ICC.

What it answers a GlobalPlatform client, row by row: docs/foreign-clients.md.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from card_os.icc import ATR_CONTACTLESS, ATR_T0, ATR_T1
from card_os.reference.applets import Registry
from card_os.reference.content import CardContent, LoadFile
from card_os.reference.dispatcher import Dispatcher
from card_os.reference.errors import CardFileError
from card_os.reference.keysets import KeySets
from card_os.reference.memory import Nvm, Persistent, PowerLoss
from card_os.reference.profiles import JCOP_LIKE, CardProfile, TransportKeys
from card_os.reference.security_domain import CardLife, SecurityDomain
from wire.receipt import Interface

__all__ = ["Protocol", "ReferenceCard"]

_DOMAIN = "sd/"


class Protocol(enum.StrEnum):
    """The transmission protocol a contact card offers; a contactless one always looks like T=1."""

    T0 = "t0"
    T1 = "t1"


@dataclass(frozen=True, slots=True)
class _Face:
    """How the card meets its reader: which ATR, which interface code."""

    interface: Interface
    protocol: Protocol

    @property
    def atr(self) -> bytes:
        """One of the three of :mod:`card_os.icc`."""
        if self.interface is Interface.CONTACTLESS:
            return ATR_CONTACTLESS
        return ATR_T0 if self.protocol is Protocol.T0 else ATR_T1


class ReferenceCard:
    """A card in software; an `IccDevice`.

    ``transmit`` takes whole APDUs with either ATR; put `card_os.icc.T0Face` before it for a reader
    that speaks T=0. It returns no bytes while unpowered, and from the moment power is lost within a
    command until ``power_on``.
    """

    def __init__(
        self,
        nvm: Nvm,
        *,
        registry: Registry,
        random: Callable[[int], bytes],
        interface: Interface = Interface.CONTACT,
        protocol: Protocol | str = Protocol.T1,
    ) -> None:
        """Take a memory that `create` once filled. Raises CardFileError if it is another."""
        if nvm.get(_DOMAIN + "life") is None:
            raise CardFileError("this memory holds no card")
        self.nvm = nvm
        self._face = _Face(interface, Protocol(protocol))
        content = CardContent(nvm, registry, random)
        domain = SecurityDomain(Persistent(nvm, _DOMAIN), content, random)
        self._dispatcher = Dispatcher(domain, content, random=random, interface=interface)
        self._powered = False

    @classmethod
    def create(
        cls,
        path: Path | None = None,
        *,
        transport_keys: TransportKeys,
        serial: bytes,
        registry: Registry,
        random: Callable[[int], bytes],
        interface: Interface = Interface.CONTACT,
        protocol: Protocol | str = Protocol.T1,
        profile: CardProfile = JCOP_LIKE,
        preloaded: Iterable[bytes] | None = None,
    ) -> Self:
        """Make a card as its maker delivers it, in a new file or in RAM (``path`` None).

        ``serial`` is the chip's 4 bytes; ``preloaded`` the packages already on it (None: all of
        the registry). Raises CardFileError when the file exists.
        """
        if path is not None and path.exists():
            raise CardFileError(f"{path} exists; it was left as it is")
        nvm = Nvm(path)
        store = Persistent(nvm, _DOMAIN)
        KeySets(store).install_first(transport_keys.kvn, transport_keys.keys)
        for name, value in {
            "i": bytes([profile.scp03_i]),
            "keybytes": bytes(profile.key_bytes),
            "cplc": profile.cplc_of(serial),
            "kdd": profile.kdd_of(serial),
            "memory": profile.memory_bytes.to_bytes(4, "big"),
            "iin": profile.iin,
            "cin": profile.cin_of(serial),
        }.items():
            store.put(name, value)
        content = CardContent(nvm, registry, random)
        for package in registry if preloaded is None else preloaded:
            content.add_load_file(package, LoadFile(bytes(32), 0))  # in the mask: no file
        store.put("life", bytes([CardLife.OP_READY]))  # last: what lacks it is no card
        return cls(nvm, registry=registry, random=random, interface=interface, protocol=protocol)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        registry: Registry,
        random: Callable[[int], bytes],
        interface: Interface = Interface.CONTACT,
        protocol: Protocol | str = Protocol.T1,
    ) -> Self:
        """Take the card in a file, as any reader finds it: ``interface`` is the reader's kind.

        Raises CardFileError when there is none.
        """
        if not path.exists():
            raise CardFileError(f"there is no card at {path}")
        nvm = Nvm(path)
        return cls(nvm, registry=registry, random=random, interface=interface, protocol=protocol)

    def power_on(self) -> bytes:
        """Power up or reset; return the ATR, or no bytes if power failed in the recovery."""
        self._powered = False
        try:
            self.nvm.power_on()
        except PowerLoss:
            return b""
        self._dispatcher.reset()
        self._powered = True
        return self._face.atr

    def power_off(self) -> None:
        """Take the supply away; RAM is gone."""
        self._powered = False
        self._dispatcher.reset()

    def transmit(self, command: bytes, /) -> bytes:
        """Return the R-APDU, or no bytes if the card has no power or loses it."""
        if not self._powered:
            return b""
        try:
            return self._dispatcher.transmit(command)
        except PowerLoss:
            self.power_off()
            return b""
