"""A card's two memories: `Nvm`, which survives and can be torn, and `Transient`, which does not.

`Nvm` keeps named byte records. Every change of its cells, the steps of a transaction included, is
one *persistent write*, and power can be made to fail before any of them. A transaction is a redo
log: each value is logged, a commit mark is written, each value is applied, the log is cleared.
Before the mark the transaction never happened; from the mark on `power_on` finishes it. (As Java
Card's transactions do; the bound of 384 bytes is SPEC.md#sizes.)
"""

from __future__ import annotations

import enum
import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from card_os.reference.errors import CardFileError, ReferenceCardError

__all__ = [
    "MAX_TRANSACTION_BYTES",
    "NestedTransactionError",
    "Nvm",
    "Persistent",
    "PowerLoss",
    "Store",
    "TransactionTooLarge",
    "Transient",
]

MAX_TRANSACTION_BYTES = 384  # card_os/SPEC.md#sizes
_MAGIC = b"BTNVM\x00\x01\n"
_HEAD = struct.Struct(">II")  # body length, CRC-32 of the body
_COMPACT_ABOVE_BYTES = 256 * 1024
_MAX_RECORD_BYTES = 1 << 20


class PowerLoss(ReferenceCardError):  # noqa: N818 - an event of the card's life, not a fault
    """Power failed before a persistent write; nothing more is written until `power_on`."""


class TransactionTooLarge(ReferenceCardError):  # noqa: N818 - named as its cause
    """The values of one transaction exceed `MAX_TRANSACTION_BYTES`; it was rolled back."""


class NestedTransactionError(ReferenceCardError):
    """A transaction was begun inside another; real cards have one level."""


class Transient(dict[str, Any]):
    """Volatile memory: wiped by `clear()` on reset, power loss and deselection.

    Its content never shows: session keys live here.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} values>"


class Store(Protocol):
    """What an applet may do with persistent memory: `Nvm` itself, or a `Persistent` part of it."""

    def get(self, key: str) -> bytes | None:
        """Return the record, or None."""

    def put(self, key: str, value: bytes) -> None:
        """Write the record: at once, or at commit inside a transaction."""

    def delete(self, key: str) -> None:
        """Remove the record, if there is one."""

    def keys(self, prefix: str = "") -> list[str]:
        """Return the names that begin with ``prefix``, sorted."""

    def transaction(self) -> AbstractContextManager[None]:
        """All writes inside become one; an exception drops them all."""


class _Op(enum.IntEnum):
    """One persistent write, and its code in the file."""

    PUT = 1
    DELETE = 2
    LOG_PUT = 3
    LOG_DELETE = 4
    COMMIT = 5
    CLEAR = 6


class Nvm:
    """Non-volatile memory, in RAM or in an append-only file that survives ``kill -9``.

    ``tear_before`` is the switch: power fails before the n-th further persistent write (0 = the
    next one). ``writes`` and ``bytes_written`` count persistent writes and the value bytes in them.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Open the memory at ``path`` (made if missing) and finish what a power cut left."""
        self.tear_before: int | None = None
        self.writes = 0
        self.bytes_written = 0
        self._cells: dict[str, bytes] = {}
        self._log: list[tuple[str, bytes | None]] = []
        self._committed = False
        self._buffer: dict[str, bytes | None] | None = None
        self._dead = False
        self._file = None if path is None else _JournalFile(path)
        if self._file is not None:
            for op, key, value in self._file.replay():
                self._apply(op, key, value)
        self.power_on()

    def get(self, key: str) -> bytes | None:
        """Return the record, or None; inside a transaction its own writes are seen."""
        if self._buffer is not None and key in self._buffer:
            return self._buffer[key]
        return self._cells.get(key)

    def put(self, key: str, value: bytes) -> None:
        """Write one record: at once, or at commit inside a transaction. Raises PowerLoss."""
        self._refuse_when_dead()
        if self._buffer is not None:
            self._buffer[key] = bytes(value)
        else:
            self._write(_Op.PUT, key, bytes(value))

    def delete(self, key: str) -> None:
        """Remove one record; no write when there is none. Raises PowerLoss."""
        self._refuse_when_dead()
        if self._buffer is not None:
            self._buffer[key] = None
        elif key in self._cells:
            self._write(_Op.DELETE, key)

    def keys(self, prefix: str = "") -> list[str]:
        """Return the names of the records that begin with ``prefix``, sorted."""
        names = {k for k in self._cells if k.startswith(prefix)}
        for key, value in (self._buffer or {}).items():
            if key.startswith(prefix):
                (names.discard if value is None else names.add)(key)
        return sorted(names)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside happen together at the end, or not at all.

        Raises NestedTransactionError, TransactionTooLarge (values over 384 bytes; nothing is
        written) and PowerLoss. Any exception inside drops the writes.
        """
        self._refuse_when_dead()
        if self._buffer is not None:
            raise NestedTransactionError("a transaction is open")
        self._buffer = {}
        try:
            yield
            changes = list(self._buffer.items())
        finally:
            self._buffer = None
        self._commit(changes)

    def power_on(self, *, tear_before: int | None = None) -> None:
        """Power up: finish a committed transaction, drop another, clear power loss and tear switch.

        ``tear_before`` tears the recovery itself (for double tears); it raises PowerLoss then.
        """
        self._dead = False
        self._buffer = None
        self.tear_before = tear_before
        if self._committed:
            self._apply_log()
        elif self._log:
            self._write(_Op.CLEAR)

    def fork(self) -> Nvm:
        """Return an in-memory copy, an unfinished transaction included, counters at zero."""
        copy = Nvm()
        copy._cells = dict(self._cells)
        copy._log = list(self._log)
        copy._committed = self._committed
        return copy

    def digest(self) -> bytes:
        """Return a SHA-256 over the logical content: names and values, in order of name."""
        h = hashlib.sha256()
        for key in sorted(self._cells):
            name, value = key.encode(), self._cells[key]
            h.update(struct.pack(">II", len(name), len(value)) + name + value)
        return h.digest()

    def mirror(self, key: str, value: bytes) -> None:
        """Keep a copy of memory that lies outside this one: no write of this card, never torn."""
        self._refuse_when_dead()
        kept = self.tear_before, self.writes, self.bytes_written
        self.tear_before = None
        self._write(_Op.PUT, key, value)
        self.tear_before, self.writes, self.bytes_written = kept

    def spend(self, writes: int, *, torn: bool) -> None:
        """Count writes made outside; ``torn``: power failed after them (raises PowerLoss)."""
        self.writes += writes
        if self.tear_before is not None:
            self.tear_before -= writes
        if torn:
            self._dead = True
            raise PowerLoss(f"power failed before write {self.writes}")

    def close(self) -> None:
        """Close the file, if any; the memory is not written to any more."""
        self._dead = True
        if self._file is not None:
            self._file.close()

    def _commit(self, changes: list[tuple[str, bytes | None]]) -> None:
        size = sum(len(value) for _, value in changes if value is not None)
        if size > MAX_TRANSACTION_BYTES:
            raise TransactionTooLarge(f"{size} bytes in one transaction")
        if not changes:
            return
        for key, value in changes:
            self._write(_Op.LOG_DELETE if value is None else _Op.LOG_PUT, key, value or b"")
        self._write(_Op.COMMIT)
        self._apply_log()

    def _apply_log(self) -> None:
        for key, value in list(self._log):
            self._write(_Op.DELETE if value is None else _Op.PUT, key, value or b"")
        self._write(_Op.CLEAR)

    def _refuse_when_dead(self) -> None:
        if self._dead:
            raise PowerLoss("no power")

    def _write(self, op: _Op, key: str = "", value: bytes = b"") -> None:
        """One persistent write: the tear switch, the file, the cells."""
        self._refuse_when_dead()
        if self.tear_before is not None:
            if self.tear_before <= 0:
                self._dead = True
                raise PowerLoss(f"power failed before write {self.writes}")
            self.tear_before -= 1
        self.writes += 1
        self.bytes_written += len(value)
        if self._file is not None:
            self._file.append(op, key, value)
        self._apply(op, key, value)
        if self._file is not None and op in {_Op.PUT, _Op.CLEAR} and not self._log:
            self._file.compact_if_worth_it(self._cells)

    def _apply(self, op: _Op, key: str, value: bytes) -> None:
        if op is _Op.PUT:
            self._cells[key] = value
        elif op is _Op.DELETE:
            self._cells.pop(key, None)
        elif op is _Op.LOG_PUT:
            self._log.append((key, value))
        elif op is _Op.LOG_DELETE:
            self._log.append((key, None))
        elif op is _Op.COMMIT:
            self._committed = True
        else:
            self._log, self._committed = [], False


class Persistent:
    """One owner's part of an `Nvm`: the same verbs on names under a prefix of its own."""

    def __init__(self, nvm: Nvm, prefix: str) -> None:
        self._nvm = nvm
        self._prefix = prefix

    def get(self, key: str) -> bytes | None:
        """Return the record, or None."""
        return self._nvm.get(self._prefix + key)

    def put(self, key: str, value: bytes) -> None:
        """Write the record: at once, or at commit inside a transaction."""
        self._nvm.put(self._prefix + key, value)

    def delete(self, key: str) -> None:
        """Remove the record, if there is one."""
        self._nvm.delete(self._prefix + key)

    def keys(self, prefix: str = "") -> list[str]:
        """Return the names (without the owner's prefix) that begin with ``prefix``, sorted."""
        cut = len(self._prefix)
        return [key[cut:] for key in self._nvm.keys(self._prefix + prefix)]

    def transaction(self) -> AbstractContextManager[None]:
        """The card's one transaction; see `Nvm.transaction`."""
        return self._nvm.transaction()

    # For memory that lies outside, in another program (card_os.reference.external)

    @property
    def writes_left(self) -> int | None:
        """Writes until power fails; None: it does not."""
        return self._nvm.tear_before

    def mirror(self, key: str, value: bytes) -> None:
        """See `Nvm.mirror`."""
        self._nvm.mirror(self._prefix + key, value)

    def spend(self, writes: int, *, torn: bool) -> None:
        """See `Nvm.spend`."""
        self._nvm.spend(writes, torn=torn)


class _JournalFile:
    """The file behind an `Nvm`: a magic, then per write {length, CRC-32, op, key, value}.

    A record is one `write` call, so a killed process leaves a prefix of it at most; replay stops at
    the first record that does not check and cuts the file there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size

    def replay(self) -> Iterator[tuple[_Op, str, bytes]]:
        """Yield every write recorded; raise CardFileError if the file is something else."""
        raw = self._path.read_bytes()
        if not raw.startswith(_MAGIC):
            if not _MAGIC.startswith(raw):
                raise CardFileError(f"{self._path} is not a card's memory; it was left as it is")
            os.ftruncate(self._fd, 0)  # empty, or killed while the magic was written
            os.write(self._fd, _MAGIC)
            self._size = len(_MAGIC)
            return
        at = len(_MAGIC)
        while (record := _read_record(raw, at)) is not None:
            op, key, value, at = record
            yield op, key, value
        if at != len(raw):
            os.ftruncate(self._fd, at)
        self._size = at

    def append(self, op: _Op, key: str, value: bytes) -> None:
        """Write one record."""
        record = _record(op, key, value)
        if os.write(self._fd, record) != len(record):
            raise CardFileError(f"{self._path}: the disk took only part of a record")
        self._size += len(record)

    def compact_if_worth_it(self, cells: dict[str, bytes]) -> None:
        """Rewrite the file as its live records when most of it is dead."""
        live = sum(len(k) + len(v) + 16 for k, v in cells.items())
        if self._size < _COMPACT_ABOVE_BYTES or self._size < 4 * live:
            return
        fresh = self._path.with_name(self._path.name + ".new")
        body = _MAGIC + b"".join(_record(_Op.PUT, k, cells[k]) for k in sorted(cells))
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(os.dup(fd), "wb") as out:
            out.write(body)
        os.fsync(fd)
        fresh.replace(self._path)
        os.close(self._fd)
        self._fd, self._size = fd, len(body)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _record(op: _Op, key: str, value: bytes) -> bytes:
    name = key.encode()
    body = struct.pack(">BH", op, len(name)) + name + value
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def _read_record(raw: bytes, at: int) -> tuple[_Op, str, bytes, int] | None:
    """Return one record and the offset behind it; None where no whole one stands."""
    if at + _HEAD.size > len(raw):
        return None
    size, crc = _HEAD.unpack_from(raw, at)
    body = raw[at + _HEAD.size : at + _HEAD.size + size]
    if not 3 <= size <= _MAX_RECORD_BYTES or len(body) != size or zlib.crc32(body) != crc:
        return None
    code, name_bytes = struct.unpack_from(">BH", body)
    return _Op(code), body[3 : 3 + name_bytes].decode(), body[3 + name_bytes :], at + 8 + size
