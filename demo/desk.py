"""The issuing desk of the story: one bulk run, cards swapped under it as an officer would."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.office import Office
from demo.pcscd import PcscdWorld
from demo.programs import ProgramError, Programs
from demo.sockets import SocketWorld
from demo.tray import Tray

ISSUING_OFFICER = 1


@dataclass(frozen=True, slots=True)
class Desk:
    """The desk's folder, its reader and the tray beside it."""

    programs: Programs
    world: PcscdWorld | SocketWorld
    office: Office
    folder: Path
    tray: Tray
    reader: str
    station: str = "DESK0001"
    env: str = "live"

    @property
    def mail(self) -> Path:
        """Where the sealed mailers lie: the other path to the family."""
        return self.folder / "mail"

    def _argv(self, command: str, *arguments: str) -> list[str]:
        return self.programs.argv(
            "issuer.cli", "--data", str(self.folder), "--demo", command, *arguments
        )

    def run(self, command: str, *arguments: str) -> Any:
        """A command without a card."""
        said = self.programs.run(self._argv(command, *arguments)).stdout
        return json.loads(said) if said.strip().startswith(("{", "[")) else said.strip()

    def set_up(self) -> None:
        """Keys, mail path, enrolment by the office."""
        self.folder.mkdir(parents=True)
        identity = self.folder / "mail-identity"
        recipient = self.run("mail-key", "--out", str(identity))
        request, answer = self.folder / "request.cbor", self.folder / "provision.cbor"
        self.run("init", "--station", self.station, "--env", self.env, "--reader", self.reader,
                 "--key-service", str(self.office.key_socket), "--http", self.office.url,
                 "--mail-recipient", recipient, "--mail", str(self.mail),
                 "--out", str(request))  # fmt: skip
        self.office.backend("enrol", str(request), "--area", "*", "--place", "Meja penerbitan",
                            "--out", str(answer))  # fmt: skip
        self.run("provision", str(answer))

    def issue(self, blanks: Sequence[Path], done: Callable[[int], None]) -> list[dict[str, Any]]:
        """Personalise these blanks for the next orders; one outcome a card, in order."""
        argv = self._argv("bulk", "--count", str(len(blanks)), "--officer", str(ISSUING_OFFICER),
                          "--json")  # fmt: skip
        outcomes: list[dict[str, Any]] = []
        with self.programs.log.open("a") as log, self.world.popen(
            argv, env=self.programs.environment(self.world.env), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=log, text=True,
        ) as process:  # fmt: skip
            for blank in blanks:
                self.tray.insert(blank)
                outcomes.append(_card_done(process))
                self.tray.remove()
                done(len(outcomes))
        return outcomes

    def codes(self) -> dict[str, str]:
        """What the families read in their letters: card id (hex) → transport code."""
        letters = sorted(str(p) for p in (self.mail / "out").iterdir())
        opened = self.run(
            "open-mailers", "--identity", str(self.folder / "mail-identity"), *letters
        )
        return {letter["card"]: letter["code"] for letter in opened}


def _card_done(process: subprocess.Popen[Any]) -> dict[str, Any]:
    assert process.stdout is not None  # noqa: S101 - made with a pipe
    for line in process.stdout:
        event = json.loads(line)
        if event.get("event") == "CardDone":
            return dict(event["outcome"])
    raise ProgramError("the desk ended before the card was done")
