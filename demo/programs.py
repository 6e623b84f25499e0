"""Starts the real programs as processes of their own and waits until they can be reached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

KEEPER = Path(__file__).with_name("keeper.py")
START_LIMIT_S = 30
RUN_LIMIT_S = 120
_POLL_S = 0.02


class ProgramError(Exception):
    """A program of the story failed; the message names it and holds its own last words."""


@dataclass(slots=True)
class Programs:
    """Runs ``python -m <module>`` with a folder, a passphrase in the environment, and ``--demo``.

    ``log`` takes the standard error of everything that is started. ``folder`` is theirs: it goes
    with them. All of them end with us, however we end (demo/keeper.py).
    """

    log: Path
    folder: Path
    passphrase: str = field(repr=False)
    _stack: ExitStack = field(default_factory=ExitStack)
    _group: int = 0

    def __enter__(self) -> Self:
        keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(KEEPER), str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert keeper.stdin is not None  # noqa: S101 - made with pipes
        assert keeper.stdout is not None  # noqa: S101
        keeper.stdout.readline()
        self._group = keeper.pid
        self._stack.callback(keeper.wait)
        self._stack.callback(keeper.stdout.close)
        self._stack.callback(keeper.stdin.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a program: PATH, its passphrase, and what is asked."""
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "BETANG_PASSPHRASE": self.passphrase,
            "BETANG_OFFICER_PASSPHRASE": self.passphrase,
            "BETANG_BACKEND_PASSPHRASE": self.passphrase,
            **(extra or {}),
        }

    def argv(self, module: str, *arguments: str) -> list[str]:
        """The command line of one of our programs."""
        return [sys.executable, "-m", module, *arguments]

    def run(
        self, command: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None,
        allowed: tuple[int, ...] = (0,),
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run to the end; :class:`ProgramError` for an exit code that is not allowed."""
        begun_s = time.monotonic()
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False,
            timeout=RUN_LIMIT_S, env=self.environment(env), process_group=self._group,
        )  # fmt: skip
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{done.stderr}")
            log.write(f"# {time.monotonic() - begun_s:.2f} s\n")
        if done.returncode not in allowed:
            words = (done.stderr or done.stdout).strip().splitlines()[-3:]
            raise ProgramError(f"{command[2:4]} exit {done.returncode}: {' / '.join(words)}")
        return done

    def json(self, command: Sequence[str], **options: Any) -> Any:
        """Run, and read its output as JSON; None when it says nothing."""
        said = self.run(command, **options).stdout
        return json.loads(said) if said.strip() else None

    def serve(
        self,
        command: Sequence[str],
        ready: Callable[[], bool],
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start a server and wait until ``ready`` says so; it is ended with us.

        :class:`ProgramError` when it ends before, or is not ready within 30 s.
        """
        log = self._stack.enter_context(self.log.open("a", encoding="utf-8"))
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True,
            env=self.environment(env), process_group=self._group,
        )  # fmt: skip
        self._stack.callback(_end, process)
        deadline = time.monotonic() + START_LIMIT_S
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ProgramError(f"{command[2]} did not start; see {self.log}")
            time.sleep(_POLL_S)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
