"""The office of the story: keys and ceremony, backend and key service, data, stations.

Everything is done by the real programs in folders of their own; nothing of them is imported.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from demo.programs import Programs
from keys.doors import client

PEOPLE = {"1": "ask", "2": "agree"}
"""Number of each of the two people, and what they do for every action."""
ACTIONS = (
    "certify-officer", "decision", "decree", "delivery", "enrolment", "entitlements", "funds",
    "hotlist", "order", "parameters", "programme", "scripts", "terminal-lost", "verification",
)  # fmt: skip
"""What they sign for; anything else they refuse."""
REPORT_S = 30.0


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Office:
    """One world's office: its folder and how to reach its programs."""

    programs: Programs
    root: Path
    port: int
    passphrases: dict[str, str] = field(
        default_factory=lambda: {n: secrets.token_hex(8) for n in PEOPLE}, repr=False
    )
    """What each of the two people alone knows."""

    @property
    def url(self) -> str:
        """Address of the backend, as stations reach it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def key_socket(self) -> Path:
        """Socket of the key service."""
        return self.root / "keys" / "keys.sock"

    @property
    def door(self) -> Path:
        """Socket of the backend's own door, which only the office's programs reach."""
        return self.root / "backend" / "office.sock"

    @property
    def trust(self) -> Path:
        """The trust file of this world."""
        return self.root / "trust.cbor"

    def keys(self, command: str, *arguments: str) -> str:
        """Run ``betang-keys``; its output."""
        argv = self.programs.argv("keys.cli", command, "--demo", *arguments)
        return self.programs.run(argv).stdout

    def backend(self, command: str, *arguments: str) -> Any:
        """Run ``betang-backend``; its answer. Commands given at once take turns there."""
        data = str(self.root / "backend")
        argv = self.programs.argv("backend.cli", "--data", data, "--demo", command, *arguments)
        return json.loads(self.programs.run(argv).stdout)

    def person(
        self, number: str, command: str, *arguments: str
    ) -> tuple[list[str], dict[str, str]]:
        """Command line and environment of one person's program: a folder and a secret of theirs."""
        argv = self.programs.argv("keys.approve", command, "--demo", "--data",
                                  str(self._person(number)), *arguments)  # fmt: skip
        nothing = dict.fromkeys(("BETANG_BACKEND_PASSPHRASE", "BETANG_OFFICER_PASSPHRASE"), "")
        return argv, nothing | {"BETANG_PASSPHRASE": self.passphrases[number]}

    def _person(self, number: str) -> Path:
        return self.root / f"person-{number}"

    def _passphrase_file(self) -> Path:
        path = self.root / "passphrase"
        path.touch(mode=0o600)
        path.write_text(self.programs.passphrase + "\n", encoding="utf-8")
        return path

    def hold_ceremony(self, world: str, delivery: Path) -> None:
        """Make the keys of this world, its root in shares, and receive the maker's chips."""
        folder, people = str(self.root / "keys"), str(self.root / "ack")
        self.keys("init", "--env", world, "--data", folder)
        ack = self.keys("new-key", "--dir", people, "--name", "ack").strip()
        approvers: list[str] = []
        actions = [word for action in ACTIONS for word in ("--action", action)]
        for number in PEOPLE:
            argv, env = self.person(number, "new", "--person", number, *actions)
            key = self.programs.run(argv, env=env).stdout.strip()
            approvers += ["--approver", f"{number}={key}"]
        self.keys("ceremony", "--data", folder, "--ack", ack, *approvers,
                  "--shares", str(self.root / "shares"))  # fmt: skip
        self.keys("stock", "--data", folder, "--file", str(delivery))
        self.keys("export-trust", "--data", folder, "--out", str(self.trust),
                  "--links", str(self.root / "links.cbor"))  # fmt: skip

    def open(self) -> None:
        """Start two people, backend and key service; the links, parameters and first hotlist."""
        store, secret = str(self.root / "ack"), str(self._passphrase_file())
        approvals = run_folder(self.root / "approvals")
        self.backend(
            "init", "--trust", str(self.trust), "--ack-store", store, "--ack-name", "ack",
            "--ack-passphrase-file", secret, "--key-service", str(self.key_socket),
            "--approvals", str(approvals),
        )  # fmt: skip
        for number, role in PEOPLE.items():
            argv, env = self.person(number, "serve", "--trust", str(self.trust), "--exchange",
                                    str(approvals), "--as", role, "--unattended")  # fmt: skip
            self.programs.serve(argv, (self._person(number) / "serving").exists, env=env)
        argv = self.programs.argv("backend.cli", "--data", str(self.root / "backend"), "--demo",
                                  "serve", "--port", str(self.port))  # fmt: skip
        self.programs.serve(argv, self._answers)
        argv = self.programs.argv("keys.cli", "serve", "--demo", "--data", str(self.root / "keys"),
                                  "--backend", str(self.door))  # fmt: skip
        self.programs.serve(argv, self.key_socket.exists)
        self.backend("setup", "--link", str(self.root / "links.cbor"))

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v1/health", timeout=5).is_success
        except httpx.TransportError:
            return False

    def report(self) -> Any:
        """The reconciliation, asked at the office's own door."""
        with client(self.door, REPORT_S) as http:
            return http.get("/v1/report").json()

    def read_registry(self, data: Path) -> Any:
        """Import households, programmes, verifications, decree and funds; the counts."""
        return self.backend(
            "import", "--households", str(data / "dtsen.csv"),
            "--programmes", str(data / "programmes.json"),
            "--verifications", str(data / "verifikasi.csv"), "--decree", str(data / "sk.json"),
            "--funds", str(data / "funds.json"),
        )  # fmt: skip


def run_folder(path: Path) -> Path:
    """A fresh folder of the story, readable by its owner only."""
    path.mkdir(parents=True, exist_ok=True)
    os.chmod(path, 0o700)  # noqa: PTH101
    return path
