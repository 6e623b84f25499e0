"""Card content: which load files and applet instances the card holds, and their records.

Life cycle codes and status words are GlobalPlatform's (docs/foreign-clients.md#content).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from card_os.reference.applets import Applet, CardServices, Package, Registry
from card_os.reference.errors import CardError
from card_os.reference.memory import Nvm, Persistent
from wire.tlv import encode, parse_sequence

__all__ = ["LOCKED", "MAX_INSTANCES", "SELECTABLE", "CardContent", "Instance", "LoadFile"]

MAX_INSTANCES = 8
INSTALLED, SELECTABLE = 0x03, 0x07  # GPCS, application life cycle coding
LOCKED = 0x80  # beside the state it was locked in

SW_CONDITIONS = 0x6985
SW_DATA = 0x6A80
SW_NO_SPACE = 0x6A84
SW_NOT_FOUND = 0x6A88


@dataclass(frozen=True, slots=True)
class LoadFile:
    """An executable load file on the card: SHA-256 of its data block, its size in bytes.

    ``version`` is its package's, major and minor; b"" for what the mask holds.
    """

    sha256: bytes
    size_bytes: int
    version: bytes = b""

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the record: hash(32), size(4), version(2, or none)."""
        return cls(raw[:32], int.from_bytes(raw[32:36], "big"), raw[36:])

    def __bytes__(self) -> bytes:
        return self.sha256 + self.size_bytes.to_bytes(4, "big") + self.version


@dataclass(frozen=True, slots=True)
class Instance:
    """One applet instance. ``slot`` names the place of its own records and is never used twice."""

    aid: bytes
    package: bytes
    module: bytes
    privileges: bytes
    life: int
    slot: int
    parameters: bytes

    @property
    def selectable(self) -> bool:
        """Whether SELECT finds it."""
        return self.life & SELECTABLE == SELECTABLE and not self.life & LOCKED

    @classmethod
    def parse(cls, aid: bytes, raw: bytes) -> Self:
        """Read the record."""
        package, module, privileges, life, slot, parameters = parse_sequence(
            raw, (0xC4, 0x84, 0xC5, 0xC6, 0xC7, 0xC9)
        )
        return cls(aid, package, module, privileges, life[0], int.from_bytes(slot), parameters)

    def __bytes__(self) -> bytes:
        return (
            encode(0xC4, self.package)
            + encode(0x84, self.module)
            + encode(0xC5, self.privileges)
            + encode(0xC6, bytes([self.life]))
            + encode(0xC7, self.slot.to_bytes(4, "big"))
            + encode(0xC9, self.parameters)
        )


class CardContent:
    """Load files and instances in persistent memory, and the instances' objects (their RAM)."""

    def __init__(self, nvm: Nvm, registry: Registry, random: Callable[[int], bytes]) -> None:
        self._nvm = nvm
        self._store = Persistent(nvm, "content/")
        self._packages = {aid: Package.of(aid, entry) for aid, entry in registry.items()}
        self._random = random
        self._running: dict[bytes, Applet] = {}

    def power_on(self) -> None:
        """RAM is gone: every applet object is made anew when it is first selected."""
        self._running.clear()

    def load_files(self) -> dict[bytes, LoadFile]:
        """Return what was loaded, by package AID."""
        store, names = self._store, self._store.keys("file/")
        return {bytes.fromhex(k[5:]): LoadFile.parse(store.get(k) or b"") for k in names}

    def modules(self, package: bytes) -> tuple[bytes, ...]:
        """Return the AIDs of a package's modules."""
        return self._packages[package].modules

    def version(self, package: bytes) -> bytes:
        """Return the version of a load file on the card, major and minor."""
        return self.load_files()[package].version or bytes(self._packages[package].version)

    def used_bytes(self) -> int:
        """Return how many bytes of load files the card holds."""
        return sum(file.size_bytes for file in self.load_files().values())

    def knows(self, package: bytes) -> bool:
        """Whether this card's virtual machine can run the package."""
        return package in self._packages

    def add_load_file(self, package: bytes, file: LoadFile) -> None:
        """Record a load file."""
        self._store.put(f"file/{package.hex()}", bytes(file))

    def instances(self) -> dict[bytes, Instance]:
        """Return the instances by AID, in order of AID."""
        store, names = self._store, self._store.keys("app/")
        aids = [bytes.fromhex(name[4:]) for name in names]
        return {a: Instance.parse(a, store.get(f"app/{a.hex()}") or b"") for a in aids}

    def applet(self, aid: bytes) -> Applet:
        """Return the running object of an instance; ``KeyError`` for an unknown AID."""
        if aid not in self._running:
            self._running[aid] = self._make(self.instances()[aid])
        return self._running[aid]

    def install(self, instance: Instance) -> None:
        """Make an instance (its ``slot`` is chosen here): its own records first, then its entry.

        Raises CardError: 6A88 package or module unknown, 6985 AID taken, 6A84 full, or the
        applet's own refusal.
        """
        known = self.instances()
        if instance.package not in self.load_files() or not self.knows(instance.package):
            raise CardError(SW_NOT_FOUND, "no such load file")
        if instance.module not in self.modules(instance.package):
            raise CardError(SW_NOT_FOUND, "no such module")
        if instance.aid in known or instance.aid in self.load_files():
            raise CardError(SW_CONDITIONS, "the AID is taken")
        if len(known) >= MAX_INSTANCES:
            raise CardError(SW_NO_SPACE, "no place for another instance")
        self._sweep({i.slot for i in known.values()})
        slot = int.from_bytes(self._store.get("slot") or b"") + 1
        placed = replace(instance, slot=slot)
        applet = self._make(placed)
        with self._store.transaction():
            self._store.put(f"app/{placed.aid.hex()}", bytes(placed))
            self._store.put("slot", slot.to_bytes(4, "big"))
        self._running[placed.aid] = applet

    def set_life(self, aid: bytes, life: int) -> None:
        """Write an instance's life cycle state. Raises CardError 6A88."""
        known = self.instances()
        if aid not in known:
            raise CardError(SW_NOT_FOUND, "no such instance")
        self._store.put(f"app/{aid.hex()}", bytes(replace(known[aid], life=life)))

    def delete(self, aid: bytes, *, related: bool) -> None:
        """Delete an instance, or a load file (with its instances when ``related``), at once.

        Raises CardError: 6A88 unknown, 6985 a load file that instances still need.
        """
        known, names = self.instances(), []
        if aid in known:
            names = [f"app/{aid.hex()}"]
        elif aid in self.load_files():
            users = [i.aid for i in known.values() if i.package == aid]
            if users and not related:
                raise CardError(SW_CONDITIONS, "instances still need the load file")
            names = [f"app/{user.hex()}" for user in users] + [f"file/{aid.hex()}"]
        else:
            raise CardError(SW_NOT_FOUND, "nothing of that AID")
        with self._store.transaction():
            for name in names:
                self._store.delete(name)
        left = self.instances()
        self._running = {a: r for a, r in self._running.items() if a in left}
        self._sweep({i.slot for i in left.values()})

    def _make(self, instance: Instance) -> Applet:
        store = Persistent(self._nvm, f"applet/{instance.slot}/")
        services = CardServices(instance.aid, self._random)
        return self._packages[instance.package].factory(store, instance.parameters, services)

    def _sweep(self, live: set[int]) -> None:
        """Erase the records of instances that are no more, or that a power cut left unborn."""
        for key in self._nvm.keys("applet/"):
            if int(key.split("/")[1]) not in live:
                self._nvm.delete(key)
