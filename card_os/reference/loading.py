"""INSTALL [for load] and LOAD: a load file in blocks, kept in RAM until the last one proves it.

Each refusal has its row in docs/foreign-clients.md#content.
The reference card runs no byte code: it takes a load file whose CAP header names a package that
its registry knows, and keeps the file's hash.
"""

from __future__ import annotations

import hashlib

from card_os.reference.content import CardContent, LoadFile
from card_os.reference.errors import CardError
from card_os.reference.memory import Transient
from wire.apdu import CommandApdu
from wire.errors import require
from wire.tlv import parse_all, read

__all__ = ["MAX_LOAD_BYTES", "Loader", "cap_package_aid", "read_lvs"]

MAX_LOAD_BYTES = 0xFFFF
C4_HEAD_BYTES = 4  # at most, with its length
TAG_LOAD_FILE = 0xC4
CAP_MAGIC = bytes.fromhex("DECAFFED")

SW_CONDITIONS = 0x6985
SW_DATA = 0x6A80
SW_NO_SPACE = 0x6A84
SW_P1P2 = 0x6A86
SW_NOT_FOUND = 0x6A88


class _Pending(Transient):
    """The load under way: package, hash, next block, bytes so far."""


class Loader:
    """One load at a time; any other command ends it.

    ``memory_bytes``: what all load files together may take, 0 for no bound but their own.
    """

    def __init__(self, content: CardContent, domain: bytes, memory_bytes: int = 0) -> None:
        self._content = content
        self._domain = domain
        self._memory_bytes = memory_bytes
        self._ram = _Pending()

    def abort(self) -> None:
        """Forget the load under way."""
        self._ram.clear()

    def begin(self, data: bytes) -> None:
        """INSTALL [for load].

        Raises CardError: 6A88 another domain, 6A80 unknown package, a token, 6985 loaded.
        """
        self.abort()
        package, domain, digest, _parameters, token = read_lvs(data, 5)
        if domain not in {b"", self._domain}:
            raise CardError(SW_NOT_FOUND, "no such security domain")
        if token or len(digest) not in {0, 20, 32} or not self._content.knows(package):
            raise CardError(SW_DATA, "this card cannot take that load file")
        if package in self._content.load_files() or package in self._content.instances():
            raise CardError(SW_CONDITIONS, "the AID is taken")
        self._ram.update(package=package, digest=digest, next=0, body=b"")

    def block(self, command: CommandApdu) -> None:
        """LOAD. Raises CardError: 6985 nothing begun, 6A86 order, 6A84 too long, 6A80 content."""
        if not self._ram:
            raise CardError(SW_CONDITIONS, "no INSTALL [for load]")
        pending = dict(self._ram)
        self.abort()
        # A block number is one byte (GPCS, LOAD): behind block FF nothing can follow.
        if command.p1 not in {0x00, 0x80} or command.p2 != pending["next"]:
            raise CardError(SW_P1P2, "block out of order")
        body = pending["body"] + command.data
        # One C4 and nothing else: no domain here verifies a DAP (E2). Told at its first byte, not
        # after the whole file.
        if body[:1] not in {b"", bytes([TAG_LOAD_FILE])}:
            raise CardError(SW_DATA, "a load file is one C4")
        if max(len(body) - C4_HEAD_BYTES, _announced(body)) > self.free_bytes():
            raise CardError(SW_NO_SPACE, "load file too long")
        if command.p1 == 0x00:
            self._ram.update(pending, next=pending["next"] + 1, body=body)
            return
        self._finish(pending["package"], pending["digest"], body)

    def free_bytes(self) -> int:
        """How long a load file may be now."""
        if not self._memory_bytes:
            return MAX_LOAD_BYTES
        return min(MAX_LOAD_BYTES, max(0, self._memory_bytes - self._content.used_bytes()))

    def _finish(self, package: bytes, digest: bytes, body: bytes) -> None:
        items = parse_all(body)
        require([tag for tag, _ in items] == [TAG_LOAD_FILE], "a load file is one C4")
        content = items[0][1]
        algorithm = {20: hashlib.sha1, 32: hashlib.sha256}.get(len(digest))  # GPCS names both
        require(algorithm is None or algorithm(content).digest() == digest, "load file hash")
        require(cap_package_aid(content) == package, "another package than announced")
        version = content[11:9:-1]  # of the package, minor first, behind magic, version, flags
        self._content.add_load_file(
            package, LoadFile(hashlib.sha256(content).digest(), len(content), version)
        )


def _announced(body: bytes) -> int:
    """The length of the load file that its first block announces; 0 while it is not there yet."""
    head = 2 + (body[1] & 0x7F if body[1:2] > b"\x80" else 0)
    if body[:1] != bytes([TAG_LOAD_FILE]) or len(body) < head:
        return 0
    return body[1] if head == 2 else int.from_bytes(body[2:head], "big")


def cap_package_aid(content: bytes) -> bytes:
    """Return the package AID in the header component that a CAP file begins with.

    Layout (Java Card VM, CAP file format): 01, size(2), DECAFFED, minor, major, flags, package
    {minor, major, AID length, AID}. Raises FormatError.
    """
    size = int.from_bytes(content[1:3], "big")
    header = content[3 : 3 + size]
    require(content[:1] == b"\x01" and len(header) == size, "no CAP header")
    require(header[:4] == CAP_MAGIC and size >= 10, "not a CAP header")
    aid = header[10 : 10 + header[9]]
    require(len(aid) == header[9] and 5 <= len(aid) <= 16, "package AID")
    return aid


def read_lvs(data: bytes, count: int) -> list[bytes]:
    """Return exactly ``count`` length-value fields; a missing last one (token) reads as empty.

    Clients leave the token's length away. Raises FormatError.
    """
    values, at = [], 0
    while at < len(data):
        # A length is one byte below 128, else as in BER (GPCS): the same as a TLV without its tag.
        _, value, end = read(b"\x80" + data[at:])
        values.append(value)
        at += end - 1
    if len(values) == count - 1:
        values.append(b"")
    require(len(values) == count, "number of length-value fields")
    return values
