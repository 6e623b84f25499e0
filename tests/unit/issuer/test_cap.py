"""CAP files: what is read, in which order it is loaded, and what is refused."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from card_os.reference.loading import cap_package_aid
from issuer import cap
from issuer.cap import LOAD_ORDER, CapFile, Component
from issuer.errors import CapFormatError
from tests.unit.issuer.cap_files import (
    FRAMEWORK,
    MODULE,
    archive,
    bodies,
    cap_bytes,
    component,
    load_file,
    lv,
)
from wire.env import PACKAGE_AID

C = Component


def test_a_cap_file_is_read_and_put_in_the_order_of_the_specification():
    parts = bodies(version=(2, 3), applets=(MODULE, PACKAGE_AID + b"\x02"))
    read = CapFile.parse(archive(parts))
    assert (read.package, read.version) == (PACKAGE_AID, (2, 3))
    assert read.applets == (MODULE, PACKAGE_AID + b"\x02")
    assert [(i.aid, i.version) for i in read.imports] == [(FRAMEWORK, (1, 5))]
    assert not read.needs_int
    assert read.load_file == load_file(parts)
    assert read.sha256 == hashlib.sha256(load_file(parts)).digest()
    tags, at = [], 0
    while at < len(read.load_file):
        tags.append(read.load_file[at])
        at += 3 + int.from_bytes(read.load_file[at + 1 : at + 3], "big")
    assert tags == [1, 2, 4, 3, 6, 7, 8, 5, 9]  # no Export here, Descriptor left out
    assert cap_package_aid(read.load_file) == PACKAGE_AID


def test_the_other_format_exports_debug_and_int_are_read():
    parts = bodies(form=(2, 2), flags=0x07, name=b"id/betang/purse")
    parts[C.DEBUG] = b"g" * 9
    sizes = bytearray(parts[C.DIRECTORY])
    sizes[22:24] = (9).to_bytes(2, "big")
    parts[C.DIRECTORY] = bytes(sizes)
    read = CapFile.parse(archive(parts, compress=False))
    assert read.needs_int
    assert read.load_file == load_file(parts)
    assert C.EXPORT in LOAD_ORDER
    assert b"g" * 9 not in read.load_file


def _wrong(**changes):
    return archive({**bodies(), **changes.get("parts", {})}, extra=changes.get("extra", ()))


def _sized(tag, body):
    """With that body, and the directory saying so: only the component itself is wrong."""
    parts = {**bodies(), tag: body}
    directory = bytearray(parts[C.DIRECTORY])
    directory[2 * tag - 2 : 2 * tag] = len(body).to_bytes(2, "big")
    return archive({**parts, C.DIRECTORY: bytes(directory)})


def _without(tag):
    parts = bodies()
    del parts[tag]
    return archive(parts)


def _resized(tag, change):
    parts = bodies()
    raw = io.BytesIO(archive({t: b for t, b in parts.items() if t != tag}))
    with zipfile.ZipFile(raw, "a") as z:
        z.writestr(f"id/betang/purse/javacard/{_NAME[tag]}.cap", change(component(tag, parts[tag])))
    return raw.getvalue()


_NAME = {C.HEADER: "Header", C.METHOD: "Method", C.APPLET: "Applet"}
_HEADER = bodies()[C.HEADER]
REFUSED = {
    "no archive": ("no archive", b"PK\x03\x04 not a zip"),
    "nothing": ("no archive", b""),
    "an empty archive": ("one package", archive({})),
    "a component twice": (
        "HEADER twice",
        _wrong(extra=[("other/Header.cap", component(1, _HEADER))]),
    ),
    "two packages": ("one package", _wrong(extra=[("x/javacard/Debug.cap", component(12, b""))])),
    "an unknown component": (
        "unknown entry",
        _wrong(extra=[("id/betang/purse/javacard/Extra.cap", b"")]),
    ),
    "a file that is no component": ("unknown entry", _wrong(extra=[("readme.txt", b"hello")])),
    "too many entries": (
        "more than 64",
        _wrong(extra=[(f"META-INF/{i}", b"") for i in range(cap.MAX_ENTRIES)]),
    ),
    "a component too long": (
        "is too long",
        _wrong(extra=[("id/betang/purse/javacard/Debug.cap", bytes(70_000))]),
    ),
    "too long in all": ("more than 524288", bytes(cap.MAX_ARCHIVE_BYTES + 1)),
    "another tag": ("another tag", _resized(C.HEADER, lambda raw: b"\x02" + raw[1:])),
    "another size": ("another size", _resized(C.METHOD, lambda raw: raw + b"\x00")),
    "a component cut": ("another tag", _resized(C.APPLET, lambda raw: raw[:2])),
    "no magic": ("no magic", _wrong(parts={C.HEADER: bytes(4) + _HEADER[4:]})),
    "an unknown format": ("format 2.3", cap_bytes(form=(2, 3))),
    "an unknown flag": ("flags 0C", cap_bytes(flags=0x0C)),
    "no applet": ("a library", cap_bytes(flags=0x00)),
    "Export without its flag": ("flags and Export", _wrong(parts={C.EXPORT: b"\x00"})),
    "a header with more": (
        "HEADER has another length",
        _wrong(parts={C.HEADER: _HEADER + b"\x00"}),
    ),
    "a package AID too short": (
        "AID of another",
        cap_bytes(package=b"\xf0BET", applets=(b"\xf0BET\x01",)),
    ),
    "an AID cut": ("AID of another", _wrong(parts={C.HEADER: _HEADER[:-1]})),
    "custom components": ("custom components", cap_bytes(custom=1)),
    "an applet of another RID": ("another RID", cap_bytes(applets=(b"\xf1BETA\x01",))),
    "no applet listed": ("APPLET counts", cap_bytes(applets=())),
    "an applet twice": ("one twice", cap_bytes(applets=(MODULE, MODULE))),
    "applets and more": (
        "APPLET has another length",
        _sized(C.APPLET, b"\x01" + lv(MODULE) + b"\x00\x10\x00"),
    ),
    "imports cut": ("IMPORT ends early", _sized(C.IMPORT, b"\x01\x05\x01")),
    "imports and more": (
        "IMPORT has another length",
        _sized(C.IMPORT, b"\x01\x05\x01" + lv(FRAMEWORK) + b"\x00"),
    ),
    "a directory cut": (
        "DIRECTORY has another",
        _wrong(parts={C.DIRECTORY: bodies()[C.DIRECTORY][:-1]}),
    ),
    "another size than the directory's": (
        "DIRECTORY and METHOD",
        _wrong(parts={C.METHOD: b"short"}),
    ),
    "a debug component in the old format": ("older format", _wrong(parts={C.DEBUG: b"g"})),
    "longer than a load file": ("longer than a load file", cap_bytes(code=65_500)),
    **{
        f"no {tag.name}": (f"without {tag.name}", _without(tag))
        for tag in LOAD_ORDER
        if tag is not C.EXPORT
    },
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused(why):
    words, raw = REFUSED[why]
    with pytest.raises(CapFormatError, match=words):
        CapFile.parse(raw)


def test_each_count_must_be_the_directory_s():
    for at in (-2, -3):
        directory = bytearray(bodies()[C.DIRECTORY])
        directory[at] += 1
        with pytest.raises(CapFormatError):
            CapFile.parse(_wrong(parts={C.DIRECTORY: bytes(directory)}))


def test_imports_are_counted_by_their_component_too():
    with pytest.raises(CapFormatError, match="IMPORT counts"):
        CapFile.parse(_sized(C.IMPORT, b"\x02\x05\x01" + lv(FRAMEWORK)))


def test_an_applet_that_is_only_counted_is_refused():
    parts = bodies(applets=(MODULE, PACKAGE_AID + b"\x02"))
    parts[C.APPLET] = b"\x02" + lv(MODULE) + b"\x00\x10"
    directory = bytearray(parts[C.DIRECTORY])
    directory[4:6] = len(parts[C.APPLET]).to_bytes(2, "big")
    with pytest.raises(CapFormatError, match="before an AID"):
        CapFile.parse(archive({**parts, C.DIRECTORY: bytes(directory)}))


def test_an_archive_that_lies_about_its_sizes_costs_no_memory(monkeypatch):
    read = []
    real = zipfile.ZipExtFile.read
    monkeypatch.setattr(
        zipfile.ZipExtFile, "read", lambda self, n=-1: read.append(n) or real(self, n)
    )
    bomb = archive(bodies(), extra=[("id/betang/purse/javacard/Debug.cap", bytes(400_000))])
    assert len(bomb) < 10_000
    with pytest.raises(CapFormatError):
        CapFile.parse(bomb)
    assert all(0 < n <= cap.MAX_COMPONENT_BYTES + 1 for n in read)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_read_never_more(at, flip):
    raw = bytearray(archive(bodies(code=200), compress=False))
    raw[at % len(raw)] ^= flip
    try:
        CapFile.parse(bytes(raw))
    except CapFormatError:
        return


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9))
def test_a_cut_file_is_refused(at):
    raw = archive(bodies(code=200))
    with pytest.raises(CapFormatError):
        CapFile.parse(raw[: at % len(raw)])


REAL = Path(os.environ.get("BETANG_CAP", "build/cap/betang-purse.cap"))
if REAL.exists():  # needs the vendor's SDK; `make cap` says where it comes from

    def test_the_one_that_the_vendor_s_converter_made():
        read = CapFile.parse(REAL.read_bytes())
        assert (read.package, read.applets, read.needs_int) == (PACKAGE_AID, (MODULE,), False)
