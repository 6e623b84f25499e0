"""Our own pcscd with virtual readers only, in private namespaces: `PcscdWorld`.

pcscd keeps its socket in /run/pcscd and vpcd listens on 0.0.0.0, so both get a mount, a network
and a process namespace of their own: the user's pcscd, readers and ports are untouched, and what
is in there dies with the namespace. Programs outside reach it by two doors in a private folder:

- the pcscd socket itself: libpcsclite follows PCSCLITE_CSOCK_NAME, and a unix socket with a path
  does not care about network namespaces (`PcscdWorld.env`);
- one unix socket per virtual reader: whoever connects is handed (SCM_RIGHTS) a TCP socket that is
  connected to vpcd inside, so a card server needs no namespace either (`PcscdWorld.doors`).

So tests and programs run where they are; only what must be shown to have no network is started
in one more, empty network namespace (`popen(..., offline=True)`).

The process inside (this file again, as process 1 there) lives as long as its stdin: when whoever
started it ends, even by SIGKILL, the pipe closes, it removes the folder and exits, and the kernel
kills the rest. Standard library only: it is run with `python -I -S`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import os
import re
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["NamespaceUnavailableError", "PcscdUnavailableError", "PcscdWorld", "WorldError"]

READER_NAME = "Betang Virtual Reader"
_FIRST_PORT = 35963  # vpcd's own default, 0x8C7B
_SLOTS = 2  # per vpcd instance, fixed when vpcd is built
_START_S = 15.0
_POLL_S = 0.01
_CLONE_NEWUSER, _MS_BIND, _MNT_DETACH, _PR_SET_PDEATHSIG = 0x10000000, 0x1000, 2, 1
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


class WorldError(RuntimeError):
    """The private pcscd cannot be had; the message is one line that says what is missing."""


class PcscdUnavailableError(WorldError):
    """pcscd or vpcd's driver is not installed or does not start."""


class NamespaceUnavailableError(WorldError):
    """Neither user namespaces, nor root, nor `sudo -n` give the namespaces needed."""


def _entry_name(slot: int) -> str:
    """Return the name of the vpcd instance `slot` belongs to; pcscd adds " 00 <slot>"."""
    return f"{READER_NAME} {chr(ord('A') + slot // _SLOTS)}"


def _pcscd() -> tuple[str, Path, Path]:
    """Return pcscd's path, its IPC folder and its USB driver folder."""
    program = shutil.which("pcscd") or shutil.which("pcscd", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise PcscdUnavailableError("pcscd: not installed (apt-get install pcscd)")
    # Its own statement of how it was built.
    told = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False
    ).stdout
    ipc = re.search(r"ipcdir=(\S+)", told)
    drivers = re.search(r"usbdropdir=(\S+)", told)
    return (
        program,
        Path(ipc[1] if ipc else "/run/pcscd"),
        Path(drivers[1] if drivers else "/usr/lib/pcsc/drivers"),
    )


def _vpcd_driver(drivers: Path) -> Path:
    found = sorted(drivers.glob("**/libifdvpcd.so*"))
    if not found:
        raise PcscdUnavailableError(
            "pcscd: vpcd's driver is missing (apt-get install vsmartcard-vpcd)"
        )
    return found[0].resolve()


class PcscdWorld:
    """A pcscd of our own with `readers` virtual readers; a context manager.

    `readers[i]` is the PC/SC name, `doors[i]` the address a card server connects to
    (`VpcdSlot(world.doors[0])`, `betang-card serve --reader DOOR`), `env` what a client process
    needs. Raises PcscdUnavailableError or NamespaceUnavailableError, each one line.
    """

    def __init__(
        self, readers: int = 2, *, mode: str | None = None, apdu_log: bool = False
    ) -> None:
        """`mode`: "plain" (root), "user" (user namespace), "sudo"; None: the first that works."""
        self._count = readers
        self._apdu_log = apdu_log
        plain = ["plain", "user"] if os.geteuid() == 0 else ["user", "sudo"]
        self._modes = [mode] if mode else plain
        self.mode = ""
        self.readers = [f"{_entry_name(n)} 00 {n % _SLOTS:02X}" for n in range(readers)]
        self.doors: list[str] = []
        self.directory = Path()
        self._process: subprocess.Popen[str] | None = None
        self._programs: list[subprocess.Popen[Any]] = []

    @property
    def socket(self) -> str:
        """The path of our pcscd's socket."""
        return str(self.directory / "run/pcscd/pcscd.comm")

    @property
    def env(self) -> dict[str, str]:
        """What to add to a client's environment before its first PC/SC call: it is read once."""
        return {"PCSCLITE_CSOCK_NAME": self.socket}

    @property
    def pcscd_log(self) -> str:
        """What pcscd printed so far (errors only, unless `apdu_log`)."""
        return (self.directory / "pcscd.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        program, ipc, drivers = _pcscd()
        driver = _vpcd_driver(drivers)
        why: list[str] = []
        for mode in self._modes:
            self._make_directory()
            arguments = [program, str(ipc), str(drivers), str(driver), str(self._count)]
            arguments += ["1" if self._apdu_log else "0"]
            try:
                reason = self._start(mode, arguments)
            except BaseException:
                self.__exit__()
                raise
            if not reason:
                return self
            log = self.pcscd_log if (self.directory / "pcscd.log").exists() else ""
            self.__exit__()
            if reason.startswith("pcscd"):
                last = log.strip().splitlines()[-1:] or [""]
                raise PcscdUnavailableError(f"{reason} {last[0]}".strip())
            why.append(f"{mode}: {reason}")
        raise NamespaceUnavailableError("namespace: not permitted (" + "; ".join(why) + ")")

    def __exit__(self, *exc: object) -> None:
        for program in self._programs:
            self._end(program)
        self._programs.clear()
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                if process.stdin is not None:
                    process.stdin.close()
            self._end(process, patience_s=5.0, signal_first=False)
            if process.stdout is not None:
                process.stdout.close()
        if self.directory != Path():
            shutil.rmtree(self.directory, ignore_errors=True)

    def restart_pcscd(self, *, kill: bool = False) -> None:
        """Stop our pcscd (SIGTERM, or SIGKILL with `kill`) and start it anew; ready on return."""
        self._order("kill" if kill else "restart")

    def stop_pcscd(self) -> None:
        """Stop our pcscd and leave it stopped (`restart_pcscd` starts it)."""
        self._order("stop")

    def command(
        self,
        args: Sequence[str],
        *,
        offline: bool = False,
        env: Mapping[str, str] | None = None,
        parent: int = 0,
    ) -> list[str]:
        """Return an argument list that runs `args` and ends with its parent.

        `offline`: in an own network namespace with no interface up but lo, as the same user.
        `env` (default: ours) is needed here only because sudo drops it. `parent`: the process
        that will start it, to notice that it ended even before the program began.
        """
        me = [sys.executable, "-I", "-S", str(Path(__file__).resolve())]
        ids = [str(os.getuid()), str(os.getgid())]
        tail = [str(parent), *ids, "--", *args]
        if not offline:
            return [*me, "run", "here", "-", *tail]
        if self.mode == "sudo":
            handle, file = tempfile.mkstemp(dir=self.directory, prefix="env")  # not on the line
            full = {**(os.environ if env is None else env), **self.env}
            with os.fdopen(handle, "w") as stream:
                stream.write("\0".join(f"{key}={value}" for key, value in full.items()))
            tail[0] = str(parent or os.getpid())
            return ["sudo", "-n", "unshare", "-n", "--", *me, "run", "sudo", file, *tail]
        flags = ["-n"] if self.mode == "plain" else ["-r", "-n"]
        return ["unshare", *flags, "--", *me, "run", self.mode, "-", *tail]

    def popen(
        self,
        args: Sequence[str],
        *,
        offline: bool = False,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.Popen[Any]:
        """Start a program that sees our pcscd; ended with this world, or with this thread."""
        full = {**(os.environ if env is None else env), **self.env}
        command = self.command(args, offline=offline, env=env, parent=os.getpid())
        program = subprocess.Popen(command, env=full, **options)
        self._programs.append(program)
        return program

    def _make_directory(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="betang-pcscd-"))
        if len(str(self.directory)) > 70:  # a unix socket's path has room for 107 bytes
            self.directory.rmdir()
            self.directory = Path(tempfile.mkdtemp(prefix="betang-pcscd-", dir="/tmp"))
        self.doors = [str(self.directory / f"reader{n}.sock") for n in range(self._count)]

    def _start(self, mode: str, arguments: list[str]) -> str:
        """Start the process inside; return "" when it is ready, else the reason."""
        unshare = {
            "plain": ["unshare"],
            "user": ["unshare", "-r"],
            "sudo": ["sudo", "-n", "unshare"],
        }[mode]
        me = [sys.executable, "-I", "-S", str(Path(__file__).resolve())]
        command = [*unshare, "-m", "-n", "-p", "--fork", "--kill-child", "--", *me]
        command += ["inside", str(self.directory), *arguments]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                bufsize=1,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to handle, not theirs
            )
        except FileNotFoundError as error:
            return f"{error.filename} not found"
        self.mode = mode
        return self._answer()

    def _answer(self) -> str:
        assert self._process is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline().strip()
        return "" if line == "ready" else (line or "it ended without a word")

    def _order(self, word: str) -> None:
        if self._process is None or self._process.stdin is None:
            raise PcscdUnavailableError("pcscd: the private world is not running")
        self._process.stdin.write(word + "\n")
        reason = self._answer()
        if reason:
            raise PcscdUnavailableError(reason)

    def _end(
        self, process: subprocess.Popen[Any], *, patience_s: float = 3.0, signal_first: bool = True
    ) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None and (signal_first or number == signal.SIGKILL):
                try:
                    os.kill(process.pid, number)
                except PermissionError:
                    stop = ["sudo", "-n", "kill", f"-{int(number)}", str(process.pid)]
                    subprocess.run(stop, check=False, capture_output=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
                return


# ---- inside the namespaces ---------------------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _mount(source: bytes, target: Path, kind: bytes | None, flags: int) -> None:
    _check(_libc.mount(source, os.fsencode(target), kind, flags, None), "mount")


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(sock, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


class _Inside:
    """Process 1 of the namespaces: mounts, pcscd, the readers' doors, orders from stdin."""

    def __init__(self, directory: Path, arguments: Sequence[str]) -> None:
        self._directory = directory
        self._program, ipc, drivers, driver, count, log = arguments
        self._ipc, self._drivers, self._driver = Path(ipc), Path(drivers), Path(driver)
        self._count = int(count)
        self._apdu_log = log == "1"
        self._pcscd: subprocess.Popen[bytes] | None = None
        self._select = selectors.DefaultSelector()

    def prepare(self) -> None:
        """Mounts, loopback, configuration and doors."""
        run, drivers = self._directory / "run", self._directory / "drivers"
        run.joinpath(self._ipc.name).mkdir(parents=True)
        empty, conf = self._directory / "empty", self._directory / "conf"
        for folder in (empty, conf, drivers):
            folder.mkdir()
        # A tmpfs, as /tmp may be noexec; a copy per instance, as vpcd keeps its slots in globals.
        _mount(b"tmpfs", drivers, b"tmpfs", 0)
        for slot in range(0, self._count, _SLOTS):
            shutil.copyfile(self._driver, drivers / f"vpcd{slot}.so")
        # No USB driver, so that no reader of the user's can be taken.
        _mount(os.fsencode(empty), self._drivers, None, _MS_BIND)
        _mount(os.fsencode(run), self._ipc.parent, None, _MS_BIND)
        _loopback_up()
        entries = [
            f'FRIENDLYNAME "{_entry_name(slot)}"\nDEVICENAME /dev/null:{_FIRST_PORT + slot:#x}\n'
            f"LIBPATH {drivers}/vpcd{slot}.so\nCHANNELID {_FIRST_PORT + slot:#x}\n"
            for slot in range(0, self._count, _SLOTS)
        ]
        (conf / "betang").write_text("\n".join(entries))
        for slot in range(self._count):
            door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            path = self._directory / f"reader{slot}.sock"
            door.bind(str(path))
            path.chmod(0o666)  # the folder is 0700 and the user's
            door.listen(8)
            self._select.register(door, selectors.EVENT_READ, _FIRST_PORT + slot)

    def start(self) -> None:
        """Start pcscd; returns when it accepts clients, which it does after its readers are up."""
        comm = self._ipc / "pcscd.comm"
        for stale in (comm, self._ipc / "pcscd.pid"):
            stale.unlink(missing_ok=True)
        command = [self._program, "--foreground", "--config", str(self._directory / "conf")]
        command += ["--debug", "--apdu"] if self._apdu_log else ["--critical"]
        with (self._directory / "pcscd.log").open("ab") as log:
            null = subprocess.DEVNULL
            self._pcscd = subprocess.Popen(command, stdin=null, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._pcscd.poll() is None:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                if probe.connect_ex(str(comm)) == 0:
                    return
            time.sleep(_POLL_S)
        code = self._pcscd.poll()
        raise RuntimeError(
            "pcscd: " + ("too slow to start" if code is None else f"ended with {code}")
        )

    def leave(self) -> None:
        """Take back the mounts (our folder cannot be removed over one) and remove the folder."""
        for target in (self._ipc.parent, self._drivers, self._directory / "drivers"):
            _libc.umount2(os.fsencode(target), _MNT_DETACH)
        shutil.rmtree(self._directory, ignore_errors=True)

    def stop(self, number: int) -> None:
        """End pcscd."""
        if self._pcscd is not None:
            self._pcscd.send_signal(number)
            try:
                self._pcscd.wait(5)
            except subprocess.TimeoutExpired:
                self._pcscd.kill()
                self._pcscd.wait()
            self._pcscd = None

    def run(self) -> None:
        """Serve doors and orders until stdin ends."""
        os.set_blocking(0, False)
        self._select.register(0, selectors.EVENT_READ, None)
        while True:
            for key, _ in self._select.select():
                if key.data is not None:
                    self._open_door(key.fileobj, key.data)
                    continue
                orders = os.read(0, 4096)
                if not orders:
                    return
                for word in orders.decode().split():
                    self._obey(word)

    def _obey(self, word: str) -> None:
        self.stop(signal.SIGKILL if word == "kill" else signal.SIGTERM)
        if word != "stop":
            self.start()
        print("ready", flush=True)  # noqa: T201 - the answer on the pipe

    @staticmethod
    def _open_door(door: Any, port: int) -> None:
        client, _ = door.accept()
        with client, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as reader:
            reader.settimeout(2)
            with contextlib.suppress(OSError):
                reader.connect(("127.0.0.1", port))
                reader.settimeout(None)
                socket.send_fds(client, [b"\0"], [reader.fileno()])


def _main_inside(directory: Path, arguments: Sequence[str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    world = _Inside(directory, arguments)
    try:
        world.prepare()
        world.start()
        print("ready", flush=True)  # noqa: T201 - the answer on the pipe
        world.run()
    except (OSError, RuntimeError) as error:
        print(str(error), flush=True)  # noqa: T201 - the answer on the pipe
        return 1
    finally:
        world.stop(signal.SIGKILL)
        world.leave()  # whoever started us may be gone
    return 0


def _main_run(how: str, env_file: str, ids: Sequence[int], args: Sequence[str]) -> int:
    """Become `args`, in the network namespace we were started in, tied to our parent's life."""
    parent, uid, gid = ids
    if how != "here":
        _loopback_up()
    if how == "user":
        # One more user namespace: the own uid again, and no capability over the network namespace.
        _check(_libc.unshare(_CLONE_NEWUSER), "unshare")
        Path("/proc/self/uid_map").write_text(f"{uid} 0 1")
        Path("/proc/self/gid_map").write_text(f"{gid} 0 1")
    if how == "sudo":
        return _run_watched(env_file, parent, uid, gid, args)
    # After the namespaces: a change of credentials clears it.
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
    if parent and os.getppid() != parent:
        return 1  # it ended before we asked to be told
    return os.execvp(args[0], list(args))  # noqa: S606 - the program asked for


def _run_watched(env_file: str, parent: int, uid: int, gid: int, args: Sequence[str]) -> int:
    """Run `args` as the user and kill it when `parent` ends (sudo outlives its caller)."""
    try:
        env = dict(pair.split("=", 1) for pair in Path(env_file).read_text().split("\0"))
        watched = os.pidfd_open(parent)
    except (OSError, ValueError):
        return 1  # the caller and its folder are gone
    child = subprocess.Popen(args, env=env, user=uid, group=gid, extra_groups=[gid])
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    with selectors.DefaultSelector() as watch:
        ends = os.pidfd_open(child.pid)
        watch.register(ends, selectors.EVENT_READ)
        watch.register(watched, selectors.EVENT_READ)
        if ends not in [key.fd for key, _ in watch.select()]:
            child.kill()
    return child.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a program (or a shell) that sees a private pcscd; `inside` and `run` are internal."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["inside"]:
        return _main_inside(Path(words[1]), words[2:])
    if words[:1] == ["run"]:
        return _main_run(words[1], words[2], [int(word) for word in words[3:6]], words[7:])
    parser = argparse.ArgumentParser(description="run a program with a private pcscd")
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("program", nargs=argparse.REMAINDER)
    options = parser.parse_args(words)
    with PcscdWorld(options.readers) as world:
        for name, door in zip(world.readers, world.doors, strict=True):
            print(f"{name}: {door}", file=sys.stderr)  # noqa: T201
        shell = [os.environ.get("SHELL", "/bin/sh")]
        return world.popen(options.program or shell).wait()


if __name__ == "__main__":
    raise SystemExit(main())
