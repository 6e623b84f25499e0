"""A disk that may lose power: what was written, what was synced, and what can be left of it.

:class:`Recording` notes every write, truncation, sync, rename and removal that SQLite (through a
VFS of its own around the default one) and :func:`keys.store.write_private` make under one folder.
:class:`Disk` replays a prefix of them and draws what a power cut may leave. Between two syncs of a
file a disk may keep any subset of the sectors written, the last one of each torn anywhere; a name
(rename, removal) may lag behind until its folder is synced, in order. A sector that is torn keeps
the old bytes behind the tear, as SQLite assumes (power-safe overwrite).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from keys import store

SECTOR = 512


# --- what was done ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Write:
    """``data`` at ``offset`` of the file ``inode``."""

    inode: int
    offset: int
    data: bytes

    @property
    def sectors(self) -> int:
        """How many sectors it touches."""
        first, last = self.offset // SECTOR, (self.offset + len(self.data) - 1) // SECTOR
        return last - first + 1 if self.data else 0

    def cut(self, sector: int, at: int = SECTOR) -> tuple[int, bytes]:
        """Its part in its n-th sector, up to ``at`` bytes into that: offset and bytes."""
        start = (self.offset // SECTOR + sector) * SECTOR
        low, high = max(start, self.offset), min(start + SECTOR, self.offset + len(self.data))
        high = min(high, start + at)
        return low, self.data[low - self.offset : max(low, high) - self.offset]


@dataclass(frozen=True, slots=True)
class Truncate:
    """The file is ``size`` bytes long now."""

    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """Everything written to the file is durable."""

    inode: int


@dataclass(frozen=True, slots=True)
class Name:
    """A name now means this file, or nothing (None)."""

    path: str
    inode: int | None


@dataclass(frozen=True, slots=True)
class SyncNames:
    """Every name given so far is durable."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A step of the program ended: ``state`` is what it stands for."""

    state: Any


Op = Write | Truncate | Sync | Name | SyncNames | Mark


# --- what a cut leaves ------------------------------------------------------------


@dataclass
class Disk:
    """What is durable, and what was done since in order. ``durable``: bytes by inode."""

    durable: dict[int, bytearray] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    pending: list[Write | Truncate | Name] = field(default_factory=list)

    def do(self, op: Op) -> None:
        """One more operation."""
        match op:
            case Write() | Truncate() | Name():
                self.pending.append(op)
            case Sync(inode):
                self._settle(lambda p: not isinstance(p, Name) and p.inode == inode)
            case SyncNames():
                self._settle(lambda p: isinstance(p, Name))

    def _settle(self, which: Callable[[Write | Truncate | Name], bool]) -> None:
        for p in self.pending:
            if which(p):
                apply(self.durable, self.names, p)
        self.pending = [p for p in self.pending if not which(p)]

    def prefix(self, last: Write | None = None, sectors: int = 0, at: int = SECTOR) -> Files:
        """Everything pending in order, then of ``last`` so many whole sectors and one torn."""
        files, names = self._copy()
        for p in self.pending:
            apply(files, names, p)
        if last is not None:
            for n in range(sectors + 1):
                put(files, last.inode, *last.cut(n, SECTOR if n < sectors else at))
        return shown(files, names)

    def torn(self, random: Random) -> Files:
        """A random subset of the sectors pending, some torn; a prefix of the names."""
        files, names = self._copy()
        keep = random.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        held = sum(isinstance(p, Name) for p in self.pending)
        told = random.randrange(held + 1)
        for p in self.pending:
            if isinstance(p, Name):
                told -= 1
                if told < 0:
                    continue
                apply(files, names, p)
            elif isinstance(p, Truncate):
                if random.random() < keep:
                    apply(files, names, p)
            else:
                for n in range(p.sectors):
                    if random.random() < keep:
                        is_torn = random.random() < 0.1
                        at = random.randrange(SECTOR + 1) if is_torn else SECTOR
                        put(files, p.inode, *p.cut(n, at))
        return shown(files, names)

    def _copy(self) -> tuple[dict[int, bytearray], dict[str, int]]:
        return {k: bytearray(v) for k, v in self.durable.items()}, dict(self.names)


Files = dict[str, bytes]
"""A folder's files by their path below it."""


def put(files: dict[int, bytearray], inode: int, offset: int, data: bytes) -> None:
    """Bytes into a file, zeros where it has to grow."""
    held = files.setdefault(inode, bytearray())
    if data and offset > len(held):
        held.extend(bytes(offset - len(held)))
    held[offset : offset + len(data)] = data


def apply(files: dict[int, bytearray], names: dict[str, int], op: Write | Truncate | Name) -> None:
    """One operation whole."""
    match op:
        case Write(inode, offset, data):
            put(files, inode, offset, data)
        case Truncate(inode, size):
            held = files.setdefault(inode, bytearray())
            held.extend(bytes(max(0, size - len(held))))
            del held[size:]
        case Name(path, None):
            names.pop(path, None)
        case Name(path, inode):
            names[path] = inode


def shown(files: dict[int, bytearray], names: dict[str, int]) -> Files:
    """What a program finds after the restart."""
    return {path: bytes(files.get(inode, b"")) for path, inode in sorted(names.items())}


def lay_out(files: Files, folder: Path) -> None:
    """Make ``folder`` hold just these files, new ones: SQLite knows open files by their inode."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(data)


# --- listening ------------------------------------------------------------


class Recording:
    """The operations made below ``folder`` while :meth:`running`, oldest first."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ops = folder, list[Op]()
        self._inodes: dict[str, int] = {}
        self._made = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Listen to SQLite connections opened now, and to private files written."""
        listeners.append(self)
        try:
            with _private_files(self):
                sqlite_vfs()
                yield
        finally:
            listeners.remove(self)

    def mark(self, state: Any) -> None:
        """A step ended."""
        self.ops.append(Mark(state))

    def name_of(self, path: str) -> str | None:
        """The path below the folder, or None for a file elsewhere."""
        try:
            return str(Path(path).relative_to(self.folder))
        except ValueError:
            return None

    def file(self, name: str, *, fresh: bool = False) -> int:
        """The file behind a name; made, with its name, when there is none or it is ``fresh``."""
        if fresh or name not in self._inodes:
            self._made += 1
            self._inodes[name] = self._made
            self.ops.append(Name(name, self._made))
        return self._inodes[name]

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Bytes to the file of that name."""
        self.ops.append(Write(self.file(name), offset, data))

    def truncate(self, name: str, size: int) -> None:
        """Cut or grow it."""
        self.ops.append(Truncate(self.file(name), size))

    def sync(self, name: str) -> None:
        """Sync it; a new file's name comes with it (ext4, XFS; SQLite syncs the folder too)."""
        self.ops += [Sync(self.file(name)), SyncNames()]

    def sync_names(self) -> None:
        """Sync the folder."""
        self.ops.append(SyncNames())

    def rename(self, old: str, new: str) -> None:
        """The file of the old name under the new one."""
        inode = self._inodes.pop(old)
        self._inodes[new] = inode
        self.ops += [Name(new, inode), Name(old, None)]

    def remove(self, name: str) -> None:
        """The name is gone."""
        if self._inodes.pop(name, None) is not None:
            self.ops.append(Name(name, None))


listeners: list[Recording] = []


def _told(path: str) -> Iterator[tuple[Recording, str]]:
    for listener in listeners:
        name = listener.name_of(path)
        if name is not None:
            yield listener, name


# --- private files ------------------------------------------------------------


class _Os:
    """``os`` as :mod:`keys.store` uses it, with a listener."""

    def __init__(self, recording: Recording) -> None:
        self._recording, self._open = recording, dict[int, str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        handle = os.open(path, flags, mode)
        name = self._recording.name_of(str(path))
        self._open.pop(handle, None)
        if name is not None:
            self._open[handle] = name
            if flags & os.O_TRUNC:
                self._recording.file(name, fresh=True)
        return handle

    def fdopen(self, handle: int, mode: str) -> Any:
        stream = os.fdopen(handle, mode)
        name, recording = self._open.get(handle), self._recording
        honest, at = stream.write, 0

        def write(data: bytes) -> int:
            nonlocal at
            if name is not None:
                recording.write(name, at, bytes(data))
            at += len(data)
            return honest(data)

        stream.write = write
        return stream

    def fsync(self, handle: int) -> None:
        os.fsync(handle)
        name = self._open.get(handle)
        if name is not None and (self._recording.folder / name).is_dir():
            self._recording.sync_names()
        elif name is not None:
            self._recording.ops.append(Sync(self._recording.file(name)))


@contextmanager
def _private_files(recording: Recording) -> Iterator[None]:
    honest = Path.replace

    def replace(self: Path, target: Any) -> Any:
        found = honest(self, target)
        old, new = recording.name_of(str(self)), recording.name_of(str(target))
        if old is not None and new is not None:
            recording.rename(old, new)
        return found

    store.os, Path.replace = _Os(recording), replace  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        store.os, Path.replace = os, honest  # type: ignore[method-assign]


# --- SQLite ------------------------------------------------------------

_P, _I, _L = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
_OPEN = ctypes.CFUNCTYPE(_I, _P, _P, _P, _I, ctypes.POINTER(_I))
_DELETE = ctypes.CFUNCTYPE(_I, _P, ctypes.c_char_p, _I)
_WRITE = ctypes.CFUNCTYPE(_I, _P, _P, _I, _L)
_TRUNCATE = ctypes.CFUNCTYPE(_I, _P, _L)
_SYNC = ctypes.CFUNCTYPE(_I, _P, _I)
# sqlite3_io_methods: xWrite, xTruncate and xSync stand after iVersion (padded), xClose and xRead.
_METHODS, _X_WRITE, _X_TRUNCATE, _X_SYNC = 19, 3, 4, 5
# sqlite3_vfs: three ints (padded), pNext, zName, pAppData, then xOpen and xDelete.
_VFS_WORDS, _Z_NAME, _X_OPEN, _X_DELETE = 22, 3, 5, 6
_KEPT_KINDS = 0x100 | 0x800 | 0x80000  # main database, rollback journal, WAL
_vfs: list[Any] = []


def sqlite_vfs() -> None:
    """Make a listening VFS around the default one, for connections opened from now on."""
    if _vfs:
        return
    import _sqlite3

    library = ctypes.CDLL(_sqlite3.__file__)
    find, register = library.sqlite3_vfs_find, library.sqlite3_vfs_register
    find.restype, find.argtypes, register.argtypes = _P, [ctypes.c_char_p], [_P, _I]
    plain = (_P * _VFS_WORDS).from_address(find(None))
    made = (_P * _VFS_WORDS)(*plain)
    files: dict[int, str] = {}
    tables: dict[int, Any] = {}
    x_open, x_delete = _OPEN(plain[_X_OPEN]), _DELETE(plain[_X_DELETE])

    def opened(vfs: int, name: int, file: int, flags: int, out: Any) -> int:
        code = x_open(vfs, name, file, flags, out)
        if code == 0 and name and flags & _KEPT_KINDS:
            slot = _P.from_address(file)
            files[file] = (ctypes.string_at(name) or b"").decode()
            if slot.value not in tables:
                tables[slot.value or 0] = _listening(slot.value or 0, files)
            slot.value = ctypes.addressof(tables[slot.value or 0][0])
        return code

    def deleted(vfs: int, name: bytes, sync: int) -> int:
        code = x_delete(vfs, name, sync)
        for listener, below in _told(name.decode()) if code == 0 else ():
            listener.remove(below)
            if sync:
                listener.sync_names()
        return code

    keep = _OPEN(opened), _DELETE(deleted), ctypes.create_string_buffer(b"listening")
    made[_Z_NAME] = ctypes.addressof(keep[2])
    made[_X_OPEN], made[_X_DELETE] = (ctypes.cast(x, _P).value for x in keep[:2])
    register(ctypes.addressof(made), 1)
    _vfs.append((made, keep, tables))


def _listening(methods: int, files: dict[int, str]) -> tuple[Any, ...]:
    """A table of file methods that tells what it does, around the one at ``methods``."""
    plain = (_P * _METHODS).from_address(methods)
    made = (_P * _METHODS)(*plain)
    x_write, x_truncate = _WRITE(plain[_X_WRITE]), _TRUNCATE(plain[_X_TRUNCATE])
    x_sync = _SYNC(plain[_X_SYNC])

    def write(file: int, data: int, size: int, offset: int) -> int:
        code = x_write(file, data, size, offset)
        for listener, name in _told(files.get(file, "")) if code == 0 else ():
            listener.write(name, offset, ctypes.string_at(data, size))
        return code

    def truncate(file: int, size: int) -> int:
        code = x_truncate(file, size)
        for listener, name in _told(files.get(file, "")) if code == 0 else ():
            listener.truncate(name, size)
        return code

    def sync(file: int, flags: int) -> int:
        code = x_sync(file, flags)
        for listener, name in _told(files.get(file, "")) if code == 0 else ():
            listener.sync(name)
        return code

    keep = _WRITE(write), _TRUNCATE(truncate), _SYNC(sync)
    for at, function in zip((_X_WRITE, _X_TRUNCATE, _X_SYNC), keep, strict=True):
        made[at] = ctypes.cast(function, _P).value
    return made, keep
