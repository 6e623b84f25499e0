"""Programs that are to be killed: loaded once, forked for every start, ended by SIGKILL."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.campaign import ROOT, FaultError

PATIENCE_S = 60.0
# Tells the new process's id and, when it is dead, its exit status. All is as the command line has
# it, but for the time of day.
_LOADER = """
import json, os, sys, time
{load}
for line in sys.stdin:
    at, argv, env, patch = json.loads(line)
    child = os.fork()
    if child:
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.dup2(2, 1)
    os.environ.update(env)
    exec(patch)
    {clock}
    sys.exit(cli.main(argv))
"""


class Program:
    """One program, one process of it at a time.

    ``load`` are the imports (they name the program's ``cli``); ``clock`` sets its time from
    ``at``. What it prints goes to a file (:attr:`told`).
    """

    def __init__(self, load: str, clock: str) -> None:
        handle, log = tempfile.mkstemp(prefix="betang-killed-")
        self._log = Path(log)
        with os.fdopen(handle, "wb") as told:
            self._loader = subprocess.Popen(
                [sys.executable, "-c", _LOADER.format(load=load, clock=clock)], cwd=ROOT,
                text=True, stderr=told, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        self._process = -1
        self._lock = threading.Lock()

    def start(
        self, at_s: int, argv: Sequence[str], env: Mapping[str, str], patch: str = ""
    ) -> None:
        """Start it at that time, with ``env`` added to what this process has.

        ``patch`` is code that plants a bug.
        """
        assert self._loader.stdin is not None
        self._loader.stdin.write(json.dumps([at_s, list(argv), dict(env), patch]) + "\n")
        self._loader.stdin.flush()
        self._process = os.pidfd_open(int(self._hears()))

    def _hears(self) -> str:
        assert self._loader.stdout is not None
        line = self._loader.stdout.readline()
        if not line:
            raise FaultError(f"the program does not load: {self.told}")
        return line

    def kill(self) -> None:
        """SIGKILL; returns when it is dead. From any thread, and harmless afterwards."""
        with self._lock:
            if self._process < 0:
                return
            handle = os.dup(self._process)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], PATIENCE_S)
        os.close(handle)

    def is_dead(self, wait_s: float = 0.0) -> bool:
        """Whether it ended, within so many seconds."""
        return bool(select.select([self._process], [], [], wait_s)[0])

    def ended(self) -> int:
        """Its exit status, -9 when it was killed; waits for its end."""
        if not self.is_dead(PATIENCE_S):
            raise FaultError("the program lives and does not answer")
        with self._lock:
            os.close(self._process)
            self._process = -1
        return int(self._hears())

    def died(self) -> None:
        """It ended by our kill; :class:`FaultError` when it ended by itself."""
        code = self.ended()
        if code != -signal.SIGKILL:
            raise FaultError(f"the program ended by itself ({code}): {self.told}")

    @property
    def told(self) -> str:
        """The end of what it printed."""
        return self._log.read_text(errors="replace")[-600:]

    def rest(self) -> None:
        """Kill what runs; it can be started again."""
        if self._process >= 0:
            self.kill()
            self.ended()

    def close(self) -> None:
        """Kill what runs, and what would start it."""
        self.kill()
        self._loader.kill()
        self._loader.communicate()
        self._log.unlink()


_programs: dict[tuple[str, str, int], Program] = {}


def program(load: str, clock: str, number: int = 0) -> Program:
    """The ``number``-th program of this kind, loaded at most once; nothing of it runs."""
    if not _programs:
        atexit.register(close_all)
    key = load, clock, number
    if key not in _programs:
        _programs[key] = Program(load, clock)
    _programs[key].rest()
    return _programs[key]


def close_all() -> None:
    """Unload every program."""
    for held in _programs.values():
        held.close()
    _programs.clear()


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
