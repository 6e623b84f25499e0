"""The arrows of the house (STYLE.md), checked from the imports of every file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Room -> rooms it may use (its own always). The longest matching name decides.
ARROWS: dict[str, set[str]] = {
    "wire": set(),
    "keys": {"wire"},
    "card_os": {"wire"},  # card_os/*.py: what both cards and the host share
    "card_os.reference": {"wire", "keys", "card_os"},
    "card_os.host": {"wire", "keys", "card_os"},
    "terminal": {"wire", "keys", "card_os", "card_os.host", "ui"},
    "issuer": {"wire", "keys", "card_os", "card_os.host", "ui"},
    "backend": {"wire", "keys", "ui"},
    "backend.audit": {"wire", "keys"},
    "backend.face": {"wire", "keys", "backend.audit", "ui"},  # the auditor's: no database
    "ui": {"wire"},
    # The demo starts the real programs as processes; only cards are served by its own hand.
    "demo": {"wire", "keys", "card_os", "card_os.host", "card_os.reference", "ui"},
}
# Single arrows beside them: (module that imports, module imported), each with its reason.
EXCEPTIONS = {
    # The generator of data/demo/ writes the gate's file format; it takes no part in the story.
    ("demo.dataset", "backend.importgate"),
    ("demo.dataset", "backend.regions"),
    ("demo.dataset_aid", "backend.importgate"),
    ("demo.dataset_families", "backend.importgate"),
    ("demo.dataset_families", "backend.regions"),
}
# What of keys needs no private key: all that the auditor may use.
KEYS_PUBLIC = {"keys.errors", "keys.trust"}
# What brings a network, a database or a serial line; wire has none of it, nor a clock.
WIRE_FORBIDDEN = {
    "asyncio", "httpx", "os", "pathlib", "random", "secrets", "serial", "smartcard", "socket",
    "sqlalchemy", "sqlite3", "sqlmodel", "subprocess", "time", "logging",
}  # fmt: skip
AUDIT_FORBIDDEN = {
    "asyncio", "fastapi", "httpx", "psycopg", "smartcard", "socket", "sqlalchemy", "sqlite3",
    "sqlmodel", "urllib.request",
}  # fmt: skip


def imports_of(source: str, module: str, *, package: bool) -> set[str]:
    """Every module name that `source` may import, relative ones resolved, at any depth."""
    found: set[str] = set()
    here = module.split(".") if package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source, filename=module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found.add(base)
            found |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and node.args:
            name = ast.unparse(node.func)
            argument = node.args[0]
            if name in {"import_module", "importlib.import_module", "__import__"}:
                assert isinstance(argument, ast.Constant), f"{module}: import of a computed name"
                found.add(str(argument.value))
    return found


def room_of(name: str) -> str | None:
    """The room that a module name stands in; None when it is none of ours."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in ARROWS:
            return ".".join(parts[:length])
    return None


def excepted(module: str, name: str) -> bool:
    """Bare `backend` stands for the parent of `from backend import x`; x is judged by itself."""
    allowed = {target for source, target in EXCEPTIONS if source == module}
    return under(name, allowed) or name in {target.rpartition(".")[0] for target in allowed}


def under(name: str, tops: set[str]) -> bool:
    return any(name == top or name.startswith(top + ".") for top in tops)


def offences(source: str, module: str, *, package: bool = False) -> list[str]:
    """What `source`, were it the file of `module`, imports against the arrows."""
    room = room_of(module)
    assert room is not None, f"{module} stands in no room"
    bad = []
    for name in sorted(imports_of(source, module, package=package)):
        target = room_of(name)
        if excepted(module, name):
            continue
        if target not in {None, room} and target not in ARROWS[room]:
            bad.append(f"{module} ({room}) imports {name} ({target})")
        elif room == "backend.audit" and target == "keys" and not public_half(name):
            bad.append(f"{module} imports {name}: not of keys' public half")
        elif room == "wire" and under(name, WIRE_FORBIDDEN):
            bad.append(f"{module} imports {name}: wire is pure")
        elif room == "backend.audit" and under(name, AUDIT_FORBIDDEN):
            bad.append(f"{module} imports {name}: the auditor has no database and no network")
    return bad


def public_half(name: str) -> bool:
    """Bare `keys` stands for the parent of `from keys import x`; x is judged by itself."""
    return name == "keys" or under(name, KEYS_PUBLIC)


def files() -> list[tuple[Path, str, bool]]:
    tops = sorted({room.split(".")[0] for room in ARROWS})
    found = []
    for top in tops:
        for path in sorted((ROOT / top).rglob("*.py")):
            relative = path.relative_to(ROOT).with_suffix("")
            package = relative.name == "__init__"
            parts = relative.parts[:-1] if package else relative.parts
            found.append((path, ".".join(parts), package))
    return found


def test_every_import_follows_the_arrows() -> None:
    seen = files()
    assert len(seen) > 10
    bad = [
        offence
        for path, module, package in seen
        for offence in offences(path.read_text("utf-8"), module, package=package)
    ]
    assert not bad, "\n".join(bad)


def test_every_package_at_the_top_is_a_room_or_tests() -> None:
    tops = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert tops == {room.split(".")[0] for room in ARROWS} | {"tests"}


def test_keys_public_half_uses_nothing_else_of_keys() -> None:
    """Otherwise the auditor would hold the private half through it."""
    bad = []
    for path, module, package in files():
        if module in KEYS_PUBLIC:
            names = imports_of(path.read_text("utf-8"), module, package=package)
            bad += [f"{module} imports {n}" for n in names
                    if room_of(n) == "keys" and not public_half(n)]  # fmt: skip
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("import keys", "wire.tlv"),
        ("import socket", "wire.tlv"),
        ("from datetime import date\nimport time", "wire.tlv"),
        ("from card_os.host import links", "keys.scp03"),
        ("from card_os import reference", "card_os.host.links"),
        ("from ..reference import purse", "card_os.host.links"),
        ("import card_os.reference.purse", "terminal.engine"),
        ("from card_os.reference import purse", "issuer.desk"),
        ("from backend import ingest", "terminal.sync"),
        ("from terminal import journal", "backend.ingest"),
        ("from issuer import desk", "backend.ingest"),
        ("from backend import orders", "issuer.desk"),
        ("from terminal import engine", "issuer.desk"),
        ("from issuer import desk", "terminal.engine"),
        ("def f():\n    import terminal.engine", "issuer.desk"),
        ("import importlib\nimportlib.import_module('terminal.engine')", "issuer.desk"),
        ("import sqlite3", "backend.audit.verify"),
        ("from urllib import request", "backend.audit.verify"),
        ("from backend import ledger", "backend.audit.verify"),
        ("from .. import ledger", "backend.audit.verify"),
        ("from keys import scp03", "backend.audit.verify"),
        ("from keys.signers import FileSigner", "backend.audit.verify"),
        ("import terminal", "demo.play"),
        ("from backend.ledger import post", "demo.play"),
        ("from backend import ledger", "demo.dataset_aid"),
        ("from backend.importgate import eligible", "demo.play"),
    ],
)
def test_a_forbidden_import_is_found(source: str, module: str) -> None:
    assert offences(source, module)


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from wire import tlv\nimport hashlib", "keys.scp03"),
        ("from keys.trust import TrustFile", "backend.audit.verify"),
        ("from keys import trust", "backend.audit.verify"),
        ("from card_os.host.links import Link", "terminal.engine"),
        ("from card_os.reference import purse", "demo.tray"),
        ("from . import tlv", "wire.cvc"),
    ],
)
def test_an_allowed_import_is_not_found(source: str, module: str) -> None:
    assert offences(source, module) == []
