"""A CAP file, from the archive a converter writes to the load file a card takes.

Layout: Java Card Virtual Machine Specification, "The CAP File Format". An archive holds one file a
component; a load file is those components one behind the other in the order of the specification,
without Descriptor and Debug, which no card needs. How one is made: docs/applet.md#to-a-cap.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

from issuer.errors import CapFormatError

MAX_ARCHIVE_BYTES = 512 * 1024
MAX_ENTRIES = 64
MAX_COMPONENT_BYTES = 3 + 0xFFFF  # tag, two bytes of size, as much as these can say
MAX_LOAD_BYTES = 0xFFFF
MIN_AID_BYTES, MAX_AID_BYTES, RID_BYTES = 5, 16, 5
_MAGIC = bytes.fromhex("DECAFFED")
_FORMATS = {(2, 1): 11, (2, 2): 12}  # major, minor of the format → sizes in Directory
_INT, _EXPORT, _APPLET = 0x01, 0x02, 0x04  # flags of Header
_SUFFIX, _IGNORED = ".cap", ("META-INF/", "APPLET-INF/")


class Component(IntEnum):
    """Component tags; the names are the files' in the archive."""

    HEADER = 1
    DIRECTORY = 2
    APPLET = 3
    IMPORT = 4
    CONSTANT_POOL = 5
    CLASS = 6
    METHOD = 7
    STATIC_FIELD = 8
    REFERENCE_LOCATION = 9
    EXPORT = 10
    DESCRIPTOR = 11
    DEBUG = 12


_FILES = {
    "Header": Component.HEADER, "Directory": Component.DIRECTORY, "Applet": Component.APPLET,
    "Import": Component.IMPORT, "ConstantPool": Component.CONSTANT_POOL,
    "Class": Component.CLASS, "Method": Component.METHOD, "StaticField": Component.STATIC_FIELD,
    "RefLocation": Component.REFERENCE_LOCATION, "Export": Component.EXPORT,
    "Descriptor": Component.DESCRIPTOR, "Debug": Component.DEBUG,
}  # fmt: skip
LOAD_ORDER = (
    Component.HEADER, Component.DIRECTORY, Component.IMPORT, Component.APPLET, Component.CLASS,
    Component.METHOD, Component.STATIC_FIELD, Component.EXPORT, Component.CONSTANT_POOL,
    Component.REFERENCE_LOCATION,
)  # fmt: skip
_REQUIRED = set(LOAD_ORDER) - {Component.EXPORT}


@dataclass(frozen=True, slots=True)
class Imported:
    """A package that the load file needs on the card: AID and version, major first."""

    aid: bytes
    version: tuple[int, int]


@dataclass(frozen=True, slots=True)
class CapFile:
    """One package with its applets. ``version``: major, minor; ``load_file``: the value of C4.

    ``needs_int``: it uses 32-bit integers, which a card need not have.
    """

    package: bytes
    version: tuple[int, int]
    applets: tuple[bytes, ...]
    imports: tuple[Imported, ...]
    needs_int: bool
    load_file: bytes = field(repr=False)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the archive's bytes; :class:`CapFormatError`. Every size is checked before use.

        1. the archive's entries; 2. each component's own tag and size; 3. Header; 4. Directory
        against what is there; 5. Applet and Import; 6. the load file.
        """
        parts = {tag: _body(tag, data) for tag, data in _components(raw).items()}  # 1, 2
        missing = _REQUIRED - parts.keys()
        _need(not missing, f"without {', '.join(sorted(c.name for c in missing))}")
        package, version, sizes, flags = _header(parts[Component.HEADER])  # 3
        _need(bool(flags & _EXPORT) == (Component.EXPORT in parts), "flags and Export differ")
        imports, applets = _directory(parts, sizes)  # 4
        aids = _applets(parts[Component.APPLET], applets)  # 5
        _need(all(a[:RID_BYTES] == package[:RID_BYTES] for a in aids), "applet of another RID")
        imported = _imports(parts[Component.IMPORT], imports)
        load_file = b"".join(_whole(c, parts[c]) for c in LOAD_ORDER if c in parts)  # 6
        _need(len(load_file) <= MAX_LOAD_BYTES, "longer than a load file can be")
        return cls(package, version, aids, imported, bool(flags & _INT), load_file)

    @property
    def sha256(self) -> bytes:
        """SHA-256 over the load file."""
        return hashlib.sha256(self.load_file).digest()


def _need(condition: bool, why: str) -> None:
    if not condition:
        raise CapFormatError(f"CAP file: {why}")


def _components(raw: bytes) -> dict[Component, bytes]:
    """The archive's components by tag; anything that is not known is refused."""
    _need(len(raw) <= MAX_ARCHIVE_BYTES, f"more than {MAX_ARCHIVE_BYTES} bytes")
    found: dict[Component, bytes] = {}
    folders = set()
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = archive.infolist()
            _need(len(entries) <= MAX_ENTRIES, f"more than {MAX_ENTRIES} entries")
            for entry in entries:
                if entry.is_dir() or entry.filename.startswith(_IGNORED):
                    continue
                folder, _, name = entry.filename.rpartition("/")
                tag = _FILES.get(name.removesuffix(_SUFFIX)) if name.endswith(_SUFFIX) else None
                if tag is None:
                    raise CapFormatError(f"CAP file: unknown entry {entry.filename[:80]!r}")
                _need(tag not in found, f"{tag.name} twice")
                folders.add(folder)
                found[tag] = _read(archive, entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError,
            OSError, ValueError, struct.error, OverflowError) as e:  # fmt: skip
        raise CapFormatError(f"CAP file: no archive ({e})") from e
    _need(len(folders) == 1, "not exactly one package")
    return found


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """One entry, never more than a component can hold, whatever the archive says of its size."""
    with archive.open(entry) as file:
        data = file.read(MAX_COMPONENT_BYTES + 1)
    _need(len(data) <= MAX_COMPONENT_BYTES, f"{entry.filename[:80]} is too long")
    return data


def _body(tag: Component, data: bytes) -> bytes:
    _need(len(data) >= 3 and data[0] == tag, f"{tag.name} has another tag")
    _need(int.from_bytes(data[1:3], "big") == len(data) - 3, f"{tag.name} has another size")
    return data[3:]


def _whole(tag: Component, body: bytes) -> bytes:
    return bytes([tag]) + len(body).to_bytes(2, "big") + body


def _header(body: bytes) -> tuple[bytes, tuple[int, int], int, int]:
    """Package AID, version, number of sizes in Directory, flags.

    Magic(4), minor, major of the format, flags, package {minor, major, AID}, from format 2.2 on
    the package's name.
    """
    _need(len(body) >= 10 and body[:4] == _MAGIC, "HEADER has no magic")
    sizes = _FORMATS.get((body[5], body[4]))
    if sizes is None:
        raise CapFormatError(f"CAP file: format {body[5]}.{body[4]} is not known here")
    flags = body[6]
    _need(not flags & ~(_INT | _EXPORT | _APPLET), f"flags {flags:02X}")
    _need(bool(flags & _APPLET), "a library, no applet")
    aid, at = _aid(body, 9)
    if (body[5], body[4]) != (2, 1) and at < len(body):
        at += 1 + body[at]
    _need(at == len(body), "HEADER has another length")
    return aid, (body[8], body[7]), sizes, flags


def _directory(parts: dict[Component, bytes], sizes: int) -> tuple[int, int]:
    """How many imports and applets Directory counts; its sizes must be the components' own.

    Size(2) of each component, static field sizes(6), imports, applets, custom components.
    """
    body, ends = parts[Component.DIRECTORY], 2 * sizes
    _need(len(body) == ends + 9, "DIRECTORY has another length, or custom components")
    for tag in Component:
        if tag > sizes:
            _need(tag not in parts, f"{tag.name} in an older format")
            continue
        size = int.from_bytes(body[2 * tag - 2 : 2 * tag], "big")
        left_out = tag not in LOAD_ORDER and tag not in parts
        _need(left_out or size == len(parts.get(tag, b"")), f"DIRECTORY and {tag.name} differ")
    imports, applets, custom = body[ends + 6 :]
    _need(custom == 0, "custom components")
    return imports, applets


def _applets(body: bytes, count: int) -> tuple[bytes, ...]:
    """Count, then per applet its AID and the offset of its install method(2)."""
    _need(len(body) >= 1 and body[0] == count >= 1, "APPLET counts otherwise than DIRECTORY")
    aids, at = [], 1
    for _ in range(count):
        aid, at = _aid(body, at)
        aids.append(aid)
        at += 2
    _need(at == len(body) and len(set(aids)) == count, "APPLET has another length, or one twice")
    return tuple(aids)


def _imports(body: bytes, count: int) -> tuple[Imported, ...]:
    """Count, then per package minor, major, AID."""
    _need(len(body) >= 1 and body[0] == count, "IMPORT counts otherwise than DIRECTORY")
    found, at = [], 1
    for _ in range(count):
        _need(at + 2 < len(body), "IMPORT ends early")
        minor, major = body[at], body[at + 1]
        aid, at = _aid(body, at + 2)
        found.append(Imported(aid, (major, minor)))
    _need(at == len(body), "IMPORT has another length")
    return tuple(found)


def _aid(body: bytes, at: int) -> tuple[bytes, int]:
    """The AID whose length stands at ``at``, and the offset behind it."""
    _need(at < len(body), "ends before an AID")
    end = at + 1 + body[at]
    _need(MIN_AID_BYTES <= body[at] <= MAX_AID_BYTES and end <= len(body), "AID of another length")
    return body[at + 1 : end], end
