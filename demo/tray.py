"""The card tray: one ``betang-card serve`` beside each virtual reader, moved by its control."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from card_os.reference.serve import ServeError, ask
from demo.programs import ProgramError, Programs
from demo.sockets import SOCKET
from wire.purse import Ins

_INDONESIAN = (
    "Kartu menjalankan applet Java Card (card_os/applet) di jCardSim, bukan di chip. Di depannya "
    "berdiri security domain kartu acuan: memasang applet dan SCP03 adalah pekerjaannya."
)
_ENGLISH = (
    "The cards run the Java Card applet (card_os/applet) in jCardSim, on no chip. In front of it "
    "stands the reference card's security domain: installing the applet and SCP03 are its work."
)
APPLET_SAID = (_INDONESIAN, _ENGLISH)
"""What the screen says of cards that run the applet."""


@dataclass(frozen=True, slots=True)
class Tray:
    """One reader's place for a card. ``door`` is the virtual reader's (demo/pcscd.py).

    ``applet``: the purse on its cards is the Java Card applet, not the reference card's own.
    """

    programs: Programs
    control: Path
    door: str
    protocol: str = "t1"
    applet: bool = False

    def _order(self, **order: Any) -> dict[str, Any]:
        try:
            return ask(self.control, **order)
        except ServeError as e:
            raise ProgramError(f"card tray: {e}") from e

    def start(self) -> None:
        """Serve an empty reader."""
        is_socket = self.door.startswith(SOCKET)
        where = ["--socket", self.door.removeprefix(SOCKET)] if is_socket else [
            "--reader", self.door]  # fmt: skip
        argv = self.programs.argv(
            "card_os.reference.cli", "serve", *where, "--card", "foreign",
            "--atr", self.protocol, "--control", str(self.control), "--out",
            *(["--applet"] if self.applet else []),
        )  # fmt: skip
        self.programs.serve(argv, self.control.exists)

    def insert(self, state: Path) -> None:
        """Put this card into the reader."""
        self._order(do="insert", state=str(state.absolute()), card=None)

    def insert_stand_in(self, name: str) -> None:
        """Put a stand-in into the reader: foreign, unfit or dropping."""
        self._order(do="insert", state=None, card=name)

    def holds_card(self) -> bool:
        """Whether a card is in; one whose power was cut has gone out by itself."""
        return bool(self._order(do="status")["inside"])

    def remove(self) -> None:
        """Take the card out."""
        self._order(do="remove")

    def tear_debit(self, writes: int) -> None:
        """Cut the power within the next DEBIT, before its (``writes`` + 1)-th write."""
        self._order(do="tear", writes=writes, ins=int(Ins.DEBIT))
