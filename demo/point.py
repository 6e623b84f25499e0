"""One distribution point of the story: a terminal's folder, driven as its operator would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.office import Office
from demo.pcscd import PcscdWorld
from demo.programs import Programs
from demo.sockets import SocketWorld

OFFICER, SUPERVISOR = 11, 21
REFUSED = 3


@dataclass(frozen=True, slots=True)
class Point:
    """A terminal. ``reader`` is its pcscd reader; taps run in a namespace with lo alone."""

    programs: Programs
    world: PcscdWorld | SocketWorld
    folder: Path
    station: str
    reader: str
    printer: str

    def _argv(self, command: str, *arguments: str) -> list[str]:
        return self.programs.argv(
            "terminal.cli", "--data", str(self.folder), "--demo", command, "--json", *arguments
        )

    def _card(self, command: str, *arguments: str, secrets: tuple[str, ...] = ()) -> Any:
        """A command with a card: offline, through pcscd; the answer, refused ones too."""
        argv = self._argv(command, *arguments)
        full = {**self.programs.environment(), **self.world.env}
        argv = self.world.command(argv, offline=True, env=full)
        typed = "".join(f"{s}\n" for s in secrets)
        done = self.programs.run(argv, stdin=typed, env=self.world.env, allowed=(0, REFUSED))
        return json.loads(done.stdout)

    def set_up(self, office: Office, area: str, place: str) -> None:
        """Keys made here, enrolled by the office, officers certified, data installed."""
        request, answer = self.folder / "request.cbor", self.folder / "provision.cbor"
        self.folder.mkdir(parents=True)
        self.programs.run(self._argv(
            "init", "--station", self.station, "--reader", self.reader, "--printer",
            self.printer, "--http", office.url, "--out", str(request),
        ))  # fmt: skip
        office.backend("enrol", str(request), "--area", area, "--place", place,
                       "--out", str(answer))  # fmt: skip
        for role, number in (("handover", OFFICER), ("supervisor", SUPERVISOR)):
            wish = self.folder / f"{role}.cbor"
            self.programs.run(self._argv("officer", "--role", role, "--officer", str(number),
                                         "--out", str(wish)))  # fmt: skip
            office.backend("certify-officer", str(wish), "--out", str(wish.with_suffix(".cvc")))
        self.programs.run(self._argv("provision", str(answer)))
        self.sync()

    def run(self, command: str, *arguments: str) -> Any:
        """A command without a card."""
        return self.programs.json(self._argv(command, *arguments))

    def sync(self) -> Any:
        """Upload and install over HTTP; runs outside the namespace."""
        return self.run("sync")

    def tap(self, *wishes: str, pin: str = "", deliver: bool = True) -> Any:
        """One visit; ``wishes`` are WALLET=AMOUNT."""
        words = [w for wish in wishes for w in ("--redeem", wish)]
        words += [] if deliver else ["--no-deliver"]
        return self._card("tap", *words, secrets=(pin,) if pin else ())

    def activate(self, code: str, pin: str, bast: str, place: str) -> Any:
        """Hand a card over to its family."""
        return self._card("activate", "--officer", str(OFFICER), "--bast", bast, "--place", place,
                          secrets=(code, pin))  # fmt: skip

    def void(self, intent: int, reason: str, *, on_counter: bool) -> Any:
        """Take back the card's latest debit, with a supervisor."""
        words = ["--on-counter"] if on_counter else []
        return self._card("void", "--intent", str(intent), "--officer", str(SUPERVISOR),
                          "--reason", reason, *words)  # fmt: skip
