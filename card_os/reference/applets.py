"""What an application on the reference card is, and what the card gives it.

After the Java Card applet: install, select, process, deselect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from card_os.reference.memory import Store
from keys.securechannel import CardMessaging
from wire.apdu import CommandApdu
from wire.receipt import Interface

__all__ = ["Applet", "AppletFactory", "CardContext", "CardServices", "Package", "Registry"]


@dataclass(frozen=True, slots=True)
class CardContext:
    """What the card knows while one command runs.

    ``secure_channel`` is the security domain's SCP03 session that this command came through,
    already unwrapped (the answer is wrapped behind the applet); None for a command that did not.
    Its ``level`` may be NONE: an applet checks it.
    """

    interface: Interface
    random: Callable[[int], bytes]
    secure_channel: CardMessaging | None


@dataclass(frozen=True, slots=True)
class CardServices:
    """What an applet instance holds for as long as the card is powered: its AID, randomness."""

    aid: bytes
    random: Callable[[int], bytes]


class Applet(Protocol):
    """One instance. The object is its RAM: it is made anew at every power-on.

    Errors leave as `CardError`; the answer is data with 9000.
    """

    def select(self) -> bytes:
        """Become selected, volatile state wiped; return the FCI."""

    def deselect(self) -> None:
        """Stop being selected: wipe volatile state. Not called when power is lost."""

    def process(self, command: CommandApdu, ctx: CardContext) -> bytes:
        """Return the answer's data; raise CardError."""


# (the instance's own records, the value of C9 in INSTALL, services). Called at INSTALL, with no
# records yet, and again after each power-on. What it writes at INSTALL counts only once the
# security domain has committed the instance; CardError refuses the installation.
AppletFactory = Callable[[Store, bytes, CardServices], Applet]


@dataclass(frozen=True, slots=True)
class Package:
    """An executable load file: its applet class, the AIDs of its modules, its version."""

    factory: AppletFactory
    modules: tuple[bytes, ...]
    version: tuple[int, int] = (1, 0)

    @classmethod
    def of(cls, aid: bytes, entry: Package | AppletFactory) -> Package:
        """Return the package; a bare factory has one module, the package's AID and 01."""
        return entry if isinstance(entry, Package) else cls(entry, (aid + b"\x01",))


# What load files this card can run: its "virtual machine" knows their classes by package AID.
Registry = Mapping[bytes, Package | AppletFactory]
