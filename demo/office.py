"""The office of the story: keys and ceremony, backend and key service, data, stations.

Everything is done by the real programs in folders of their own; nothing of them is imported.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import httpx

from demo.programs import Programs

PEOPLE = {"1": "penanya", "2": "penyetuju"}


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
    _turn: Lock = field(default_factory=Lock, repr=False)

    @property
    def url(self) -> str:
        """Address of the backend."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def key_socket(self) -> Path:
        """Socket of the key service."""
        return self.root / "keys" / "keys.sock"

    @property
    def trust(self) -> Path:
        """The trust file of this world."""
        return self.root / "trust.cbor"

    def keys(self, command: str, *arguments: str) -> str:
        """Run ``betang-keys``; its output."""
        argv = self.programs.argv("keys.cli", command, "--demo", *arguments)
        return self.programs.run(argv).stdout

    def backend(self, command: str, *arguments: str) -> Any:
        """Run ``betang-backend``; its answer. One clerk sits there: one command at a time."""
        data = str(self.root / "backend")
        argv = self.programs.argv("backend.cli", "--data", data, "--demo", command, *arguments)
        with self._turn:
            return json.loads(self.programs.run(argv).stdout)

    def _passphrase_file(self) -> Path:
        path = self.root / "passphrase"
        path.touch(mode=0o600)
        path.write_text(self.programs.passphrase + "\n", encoding="utf-8")
        return path

    def hold_ceremony(self, world: str, delivery: Path) -> None:
        """Make the keys of this world, its root in shares, and receive the maker's chips."""
        folder, people = str(self.root / "keys"), str(self.root / "people")
        self.keys("init", "--env", world, "--data", folder)
        ack = self.keys("new-key", "--dir", people, "--name", "ack").strip()
        approvers: list[str] = []
        for number, name in PEOPLE.items():
            key = self.keys("new-key", "--dir", people, "--name", name).strip()
            approvers += ["--approver", f"{number}={key}"]
        self.keys("ceremony", "--data", folder, "--ack", ack, *approvers,
                  "--shares", str(self.root / "shares"))  # fmt: skip
        self.keys("stock", "--data", folder, "--file", str(delivery))
        self.keys("export-trust", "--data", folder, "--out", str(self.trust),
                  "--links", str(self.root / "links.cbor"))  # fmt: skip

    def open(self) -> None:
        """Start backend and key service; the links, parameters and first hotlist."""
        store, secret = str(self.root / "people"), str(self._passphrase_file())
        self.backend(
            "init", "--trust", str(self.trust), "--ack-store", store, "--ack-name", "ack",
            "--ack-passphrase-file", secret, "--key-service", str(self.key_socket),
            "--asker", f"1:{store}:{PEOPLE['1']}:{secret}",
            "--approver", f"2:{store}:{PEOPLE['2']}:{secret}",
        )  # fmt: skip
        argv = self.programs.argv("backend.cli", "--data", str(self.root / "backend"), "--demo",
                                  "serve", "--port", str(self.port))  # fmt: skip
        self.programs.serve(argv, self._answers)
        argv = self.programs.argv("keys.cli", "serve", "--demo", "--data", str(self.root / "keys"),
                                  "--backend", self.url)  # fmt: skip
        self.programs.serve(argv, self.key_socket.exists)
        self.backend("setup", "--link", str(self.root / "links.cbor"))

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v1/health", timeout=5).is_success
        except httpx.TransportError:
            return False

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
