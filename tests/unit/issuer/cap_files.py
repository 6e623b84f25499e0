"""CAP files of our own bytes: the archive a converter would write, without a converter."""

from __future__ import annotations

import io
import zipfile

from issuer.cap import LOAD_ORDER, Component
from wire.env import PACKAGE_AID

NAMES = {
    Component.HEADER: "Header", Component.DIRECTORY: "Directory", Component.APPLET: "Applet",
    Component.IMPORT: "Import", Component.CONSTANT_POOL: "ConstantPool",
    Component.CLASS: "Class", Component.METHOD: "Method", Component.STATIC_FIELD: "StaticField",
    Component.REFERENCE_LOCATION: "RefLocation", Component.EXPORT: "Export",
    Component.DESCRIPTOR: "Descriptor", Component.DEBUG: "Debug",
}  # fmt: skip
FRAMEWORK = bytes.fromhex("A0000000620101")
MODULE = PACKAGE_AID + b"\x01"


def lv(*fields: bytes) -> bytes:
    return b"".join(bytes([len(f)]) + f for f in fields)


def component(tag: int, body: bytes) -> bytes:
    return bytes([tag]) + len(body).to_bytes(2, "big") + body


def bodies(
    *, package=PACKAGE_AID, applets=(MODULE,), version=(1, 0), flags=0x04, form=(2, 1),
    imports=((FRAMEWORK, (1, 5)),), code=1_000, name=b"", custom=0,
):  # fmt: skip
    """Each component's body, Directory last; Descriptor as a converter adds it."""
    major, minor = version
    head = bytes.fromhex("DECAFFED") + bytes([form[1], form[0], flags, minor, major]) + lv(package)
    parts = {
        Component.HEADER: head + (lv(name) if form != (2, 1) else b""),
        Component.APPLET: bytes([len(applets)]) + b"".join(lv(a) + b"\x00\x10" for a in applets),
        Component.IMPORT: bytes([len(imports)])
        + b"".join(bytes([v[1], v[0]]) + lv(aid) for aid, v in imports),
        Component.CLASS: b"c" * 30,
        Component.METHOD: bytes(i * 7 & 0xFF for i in range(code)),
        Component.STATIC_FIELD: b"s" * 10,
        Component.CONSTANT_POOL: b"p" * 40,
        Component.REFERENCE_LOCATION: b"r" * 20,
        Component.DESCRIPTOR: b"d" * 50,
    }
    if flags & 0x02:
        parts[Component.EXPORT] = b"\x00"
    count = 11 if form == (2, 1) else 12
    sizes = {**{c: len(b) for c, b in parts.items()}, Component.DIRECTORY: 2 * count + 9}
    table = b"".join(sizes.get(t, 0).to_bytes(2, "big") for t in range(1, count + 1))
    parts[Component.DIRECTORY] = table + bytes(6) + bytes([len(imports), len(applets), custom])
    return parts


def archive(parts, *, folder="id/betang/purse/javacard", extra=(), compress=True):
    """The zip; ``parts`` body or whole bytes by tag, ``extra`` further (name, bytes)."""
    out = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", kind) as z:
        z.writestr("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n")
        for tag, body in parts.items():
            z.writestr(f"{folder}/{NAMES[tag]}.cap", component(tag, body))
        for name, data in extra:
            z.writestr(name, data)
    return out.getvalue()


def load_file(parts) -> bytes:
    return b"".join(component(c, parts[c]) for c in LOAD_ORDER if c in parts)


def cap_bytes(**options) -> bytes:
    return archive(bodies(**options))
