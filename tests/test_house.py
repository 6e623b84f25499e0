"""The house (CONTRIBUTING.md, 2): arrows, sizes, no dead names, from the source of every file."""

from __future__ import annotations

import ast
import re
from collections import Counter
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
    ("demo.dataset_aid", "backend.eligibility"),
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

MAX_FUNCTION_LINES = 70  # a screen
MAX_FILE_LINES = 510
MAX_TEST_FILE_LINES = 600
LONG_FILES = {
    "backend/migrations/versions/0001_first_tables.py": "generated: every table there and back",
}
# Named once only, and why they stay.
NAMED_ONCE = {
    "C_MAC_C_ENC_R_MAC": "a level of SCP03 that is opened by its number, as every level is",
    "U8": "the smallest of the whole numbers of wire.schema, which other formats may use",
    "key_statements": "a trust file's one list that no program of ours reads by itself",
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
        ("from backend.eligibility import eligible", "demo.play"),
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


# --- sizes and dead names -----------------------------------------------------------------------


def python_files() -> dict[str, str]:
    """Path below the root -> source: the rooms, tests and scripts."""
    tops = {room.split(".")[0] for room in ARROWS} | {"tests", "scripts"}
    paths = [p for top in sorted(tops) for p in sorted((ROOT / top).rglob("*.py"))]
    return {str(p.relative_to(ROOT)): p.read_text("utf-8") for p in paths}


def long_functions(source: str) -> list[str]:
    """Functions that do not fit a screen, with their lines."""
    return [
        f"{node.name}: {lines} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]


def defined(source: str) -> set[str]:
    """Names that a file gives to others: of its body and of its classes' bodies.

    A decorator hands a name to somebody, and so does a leading pair of underscores.
    """
    tree = ast.parse(source)
    bodies = [tree.body, *(n.body for n in ast.walk(tree) if isinstance(n, ast.ClassDef))]
    found = set()
    for node in (node for body in bodies for node in body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found |= set() if node.decorator_list else {node.name}
            if isinstance(node, ast.ClassDef):
                found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {x.id for x in node.targets if isinstance(x, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return {name for name in found if not name.startswith("__")}


def named_once(sources: dict[str, str], others: list[str]) -> set[str]:
    """Names that ``sources`` define and that stand nowhere else, ``others`` included."""
    counts = Counter(
        word for text in [*sources.values(), *others] for word in re.findall(r"\w+", text)
    )
    names = set().union(*(defined(s) for f, s in sources.items() if room_of(f.split("/")[0])))
    return {name for name in names if counts[name] == 1}


def test_every_function_fits_a_screen() -> None:
    bad = [f"{f}: {x}" for f, s in python_files().items() if f not in LONG_FILES
           for x in long_functions(s)]  # fmt: skip
    assert not bad, "\n".join(bad)


def test_every_file_fits_a_head() -> None:
    bad = []
    for file, source in python_files().items():
        most = MAX_TEST_FILE_LINES if file.startswith("tests/") else MAX_FILE_LINES
        if source.count("\n") > most and file not in LONG_FILES:
            bad.append(f"{file}: {source.count(chr(10))} lines")
    assert not bad, "\n".join(bad)


def test_no_name_is_defined_and_never_used() -> None:
    tops = ("terminal", "issuer", "backend", "ui", "demo", "scripts")
    others = [p.read_text("utf-8") for top in tops for p in sorted((ROOT / top).rglob("*"))
              if p.suffix in {".html", ".mako", ".js", ""} and p.is_file()]  # fmt: skip
    others.append((ROOT / "pyproject.toml").read_text("utf-8"))
    assert named_once(python_files(), others) - set(NAMED_ONCE) == set()


def test_a_long_function_and_a_dead_name_are_found() -> None:
    long = "def f():\n" + "    x()\n" * MAX_FUNCTION_LINES
    assert long_functions(long) == [f"f: {MAX_FUNCTION_LINES + 1} lines"]
    source = "A = 1\nclass B:\n    def c(self): ...\n    def d(self): ...\nB().d()\n"
    assert named_once({"wire/x.py": source}, []) == {"A", "c"}
