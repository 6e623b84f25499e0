"""Mutation: a fault is put into one module, and a short suite of that module has to notice.

:mod:`tests.support.mutants` says what can be altered (docs/adr/0006: why no library does). Each
altered module is tried in a forked process that has loaded third-party libraries only, so that
everything of ours is imported anew around it. Its suite: those tests of the group of the module
that run the altered line, the likeliest first, up to SUITE_S of CPU.

The order is drawn from the seed: first one alteration of every *site* (a place and a kind of
operator), then all the others, so that a place of eleven similar alterations weighs in a sample as
much as one of a single. The result, ``build/sim/mutation.json``, is taken up by a run of the same
seed over the same code; what survived is tried again at its end.
"""

# ruff: noqa: T201 - a campaign talks
from __future__ import annotations

import ast
import gc
import importlib.machinery
import json
import math
import os
import re
import resource
import shutil
import signal
import sys
import threading
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from importlib.util import spec_from_file_location
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
from hypothesis import settings

from tests.support.mutants import ROOT, Mutant, altered

KEPT_EVERY_S = 10.0
SUITE_S = 5.0
STARTS_S = 2.0  # CPU to import and collect
CONTROL = 25  # before one mutant in so many, its suite passes over the code as it is
Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Group:
    """Files, and pytest's arguments for the tests that exercise them."""

    name: str
    files: tuple[str, ...]
    args: tuple[str, ...]


class Altered(importlib.machinery.SourceFileLoader):
    """Finder and loader of the one module that is altered."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self.tree = tree

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """Its own module only."""
        return spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> Any:
        """The altered module instead of the file's or the cached one."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return compile(self.tree, self.path, "exec", dont_inherit=True)


def forked(work: Callable[[], int], cpu_s: float) -> int:
    """Fork a silent process that ends with what ``work`` returns: its id."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.setsid()
        for fd in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), fd)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(cpu_s), math.ceil(cpu_s) + 1))
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 20, 256 << 20))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        status = work()
    finally:
        os._exit(status)


def scratch(pid: int) -> Path:
    """Where the process of that id keeps its files."""
    return Path(gettempdir()) / f"betang-mutation-{pid}"


def tested(args: Sequence[str], root: Path, *plugins: object) -> int:
    """pytest's exit status, in this process: up to the first failure, with set examples."""
    os.chdir(root)
    settings.register_profile("mutation", derandomize=True, max_examples=20, database=None)
    plain = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutation", "--rootdir"]
    plain += [str(root), f"--basetemp={scratch(os.getpid())}"]
    # preload() brought hypothesis, whose own assertions need not be rewritten
    plain += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*plain, *args], list(plugins)))


def tested_over(file: str, tree: ast.Module, args: Sequence[str], root: Path) -> int:
    """The same with ``tree`` in place of ``file``."""
    name = file.removesuffix(".py").replace("/", ".")
    sys.meta_path.insert(0, Altered(name, str(root / file), tree))
    return tested(args, root)


def preload() -> None:
    """Third-party libraries, which no alteration touches; what else makes a process quick."""
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(ROOT / "build" / "mutation-cache")
    for name in (
        "hypothesis", "cryptography.hazmat.primitives.asymmetric.ec", "cryptography.x509", "cbor2",
        "cryptography.hazmat.primitives.asymmetric.ed25519", "pyroaring", "structlog", "sqlmodel",
        "cryptography.hazmat.primitives.ciphers.aead", "sqlalchemy.dialects.sqlite", "httpx",
        "sqlalchemy.orm", "alembic.config", "pydantic_settings", "fastapi.testclient",
    ):  # fmt: skip
        import_module(name)
    gc.freeze()  # pytest collects garbage some ten times over all that was loaded


class Lines:
    """pytest plugin: which lines of some files each test runs, and its CPU seconds."""

    def __init__(self, files: Sequence[str], root: Path = ROOT) -> None:
        self.names = {str(root / f): f for f in files}
        self.seen: dict[str, set[int]] = defaultdict(set)
        self.tests: dict[str, dict[str, Any]] = {}

    def trace(self, frame: Any, event: str, arg: object) -> Any:
        """sys.settrace's function."""
        if frame.f_code.co_filename not in self.names:
            return None
        self.seen[self.names[frame.f_code.co_filename]].add(frame.f_lineno)
        return self.trace

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """One test with its fixtures."""
        begun = time.process_time()
        self.seen = defaultdict(set)
        threading.settrace(self.trace)
        sys.settrace(self.trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            lines = {file: sorted(found) for file, found in self.seen.items()}
            cpu_s = round(time.process_time() - begun, 3)
            self.tests[item.nodeid] = {"cpu_s": cpu_s, "lines": lines}


def look(files: Sequence[str], args: Sequence[str], to: Path, root: Path = ROOT) -> int:
    """Run a group's tests over its files as they are; write what :class:`Lines` saw."""
    plugin = Lines(files, root)
    status = tested(args, root, plugin)
    to.write_text(json.dumps(plugin.tests))
    return status


def suite_of(mutant: Mutant, tests: dict[str, Any]) -> tuple[list[str], float]:
    """Up to SUITE_S of the tests that run its line, or its neighbours, or anything; and CPU.

    Half of it for those that also run the next lines, where a branch is often told from the other,
    those of the module's own test file first; half for the cheapest, of which there are more.
    """
    near = range(mutant.line, mutant.line + 4)
    own = Path(mutant.file).stem
    ran = {name: set(test["lines"].get(mutant.file, ())) for name, test in tests.items()}
    fit = [n for n in tests if mutant.line in ran[n]] or [n for n in tests if ran[n] & {*near}]
    cheap = sorted(fit or tests, key=lambda n: (tests[n]["cpu_s"], n))
    likely = sorted(cheap, key=lambda n: (-len(ran[n] & {*near}), own not in n))
    names: dict[str, float] = {}
    for ranked, until in ((likely, SUITE_S / 2), (cheap, SUITE_S), (likely, SUITE_S)):
        for name in ranked:
            cpu_s = tests[name]["cpu_s"]
            if name not in names and sum(names.values()) + cpu_s <= until:
                names[name] = cpu_s
    return list(names), sum(names.values())


class Run:
    """One seed over one state of the code; ``groups``: files and the arguments of their tests."""

    def __init__(self, seed: int, groups: Sequence[Group], path: Path, root: Path = ROOT) -> None:
        self.seed, self.groups, self.path, self.root = seed, groups, path, root
        self.group = {file: group for group in groups for file in group.files}
        whole = b"".join((root / f).read_bytes() for f in sorted(self.group))
        self.digest, self.seconds, self.last = sha256(whole).hexdigest(), 0.0, 0.0
        self.results: dict[str, dict[str, Any]] = {}
        self.running: dict[int, tuple[str, dict[str, Any], float]] = {}
        self.maps: dict[str, dict[str, Any]] = {}
        old = json.loads(path.read_text()) if path.exists() else {}
        if (old.get("seed"), old.get("code")) == (seed, self.digest):
            self.results, self.seconds = old["results"], old["seconds"]

    def tests(self, file: str) -> dict[str, Any]:
        """What runs which line in the group of ``file``; written anew with the tests or code."""
        group = self.group[file]
        if group.name not in self.maps:
            paths = [self.root / f for f in group.files]
            for a in group.args:
                at = self.root / a
                paths += at.rglob("*.py") if at.is_dir() else [at] if at.is_file() else []
            digest = sha256(b"".join(p.read_bytes() for p in sorted(paths))).hexdigest()[:16]
            to = self.path.parent / f"mutation-{group.name}-{digest}.json"
            if not to.exists():
                print(f"{group.name}: the tests over the modules as they are", flush=True)
                to.parent.mkdir(parents=True, exist_ok=True)
                part = to.with_suffix(".new")
                status = self.alone(lambda: look(group.files, group.args, part, self.root), 3600.0)
                if status:
                    raise SystemExit(f"{group.name}: its tests do not pass: {status}")
                part.replace(to)
            self.maps[group.name] = json.loads(to.read_text())
        return self.maps[group.name]

    def alone(self, work: Callable[[], int], cpu_s: float) -> int:
        """The exit status of one process."""
        pid = forked(work, cpu_s)
        _, status = os.waitpid(pid, 0)
        shutil.rmtree(scratch(pid), ignore_errors=True)
        return os.waitstatus_to_exitcode(status)

    def end(self) -> None:
        """Wait for what ends, and end what hangs."""
        signal.sigtimedwait({signal.SIGCHLD}, 1.0)
        for pid, (key, told, until) in list(self.running.items()):
            if time.monotonic() > until:
                os.killpg(pid, signal.SIGKILL)
            got, status, used = os.wait4(pid, os.WNOHANG)
            if got:
                code = os.waitstatus_to_exitcode(status)
                late = code in {-signal.SIGXCPU, -signal.SIGKILL}
                told["end"] = "timeout" if late else "killed" if code else "survived"
                told["cpu_s"] = round(used.ru_utime + used.ru_stime, 2)
                self.results[key] = told
                del self.running[pid]
                shutil.rmtree(scratch(pid), ignore_errors=True)

    def go(self, order: Sequence[Mutant], n: int, jobs: int, seconds: float) -> None:
        """Mutants of ``order`` until ``n`` are judged in all or ``seconds`` are over."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        begun, before = time.monotonic(), self.seconds
        chosen = list(order[:n])
        again = [m for m in chosen if self.results.get(m.key, {}).get("end") == "survived"]
        for i, mutant in enumerate([m for m in chosen if m.key not in self.results] + again):
            if time.monotonic() - begun > seconds:
                break
            while len(self.running) >= jobs:
                self.end()
            self.start(mutant, control=i % CONTROL == 0)
            self.seconds = before + time.monotonic() - begun
            if self.seconds - self.last > KEPT_EVERY_S:
                self.write()
        while self.running:
            self.end()
        self.seconds = before + time.monotonic() - begun
        self.write()

    def start(self, mutant: Mutant, *, control: bool) -> None:
        """Begin on one; with ``control`` its suite first passes over the module as it is."""
        file, root = mutant.file, self.root
        names, cpu_s = suite_of(mutant, self.tests(file))
        limit = 10 * (cpu_s + STARTS_S)
        plain = ast.parse((root / file).read_text())
        if control and self.alone(lambda: tested_over(file, plain, names, root), limit):
            raise SystemExit(f"{mutant.key}: its suite does not pass alone: {names}")
        tree, was, now = altered(mutant, root)
        told = {"file": file, "line": mutant.line, "was": was, "now": now,
                "suite_s": round(cpu_s, 2)}  # fmt: skip
        pid = forked(lambda: tested_over(file, tree, names, root), limit)
        self.running[pid] = (mutant.key, told, time.monotonic() + 20 * limit)

    def unlisted(self) -> list[str]:
        """Survivors that docs/mutation.md does not name."""
        known = listed(self.root)
        return [key for key, r in sorted(self.results.items()) if r["end"] == "survived"
                and (r["file"], r["was"], r["now"]) not in known]  # fmt: skip

    def write(self) -> None:
        """The file, whole or as it was."""
        self.last = self.seconds
        known = listed(self.root)
        per: defaultdict[str, Counter[str]] = defaultdict(Counter)
        left = []
        for key, r in sorted(self.results.items()):
            place = (r["file"], r["was"], r["now"])
            same = r["end"] == "survived" and known.get(place) == "equivalent"
            per[r["file"]]["equivalent" if same else r["end"]] += 1
            if r["end"] == "survived" and not same:
                left.append({"key": key, **r, "listed": place in known})
        total: Counter[str] = sum(per.values(), Counter())
        killed, n = total["killed"] + total["timeout"], total.total() - total["equivalent"]
        text = json.dumps({
            "campaign": "mutation", "seed": self.seed, "code": self.digest,
            "seconds": round(self.seconds, 1), "judged": total.total(), **total, "of": n,
            "rate": round(killed / n, 4) if n else None, "interval_95": wilson(killed, n),
            "cpu_s": round(sum(r["cpu_s"] for r in self.results.values()), 1),
            "modules": {f: dict(c) for f, c in sorted(per.items())},
            "survivors": left, "results": self.results,
        }, indent=1)  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".new")
        beside.write_text(text + "\n")
        beside.replace(self.path)
        print(f"{self.seconds:.0f} s: {total.total()} judged, {dict(total)}", flush=True)


def wilson(k: int, n: int) -> list[float]:
    """The 95 % interval of a rate of ``k`` in ``n`` (Wilson 1927)."""
    if not n:
        return [0.0, 1.0]
    p, z2 = k / n, Z_95 * Z_95
    middle, half = p + z2 / (2 * n), Z_95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return [round((middle + sign * half) / (1 + z2 / n), 4) for sign in (-1, 1)]


def listed(root: Path = ROOT) -> dict[tuple[str, str, str], str]:
    """docs/mutation.md's table: (file, was, now) to ``equivalent`` or ``left``."""
    page = root / "docs" / "mutation.md"
    rows = re.findall(r"^\| `(.+?)` \| `(.*)` \| `(.*)` \| (equivalent|left) \|",
                      page.read_text() if page.exists() else "", re.MULTILINE)  # fmt: skip
    return {(f, w.replace(r"\|", "|"), n.replace(r"\|", "|")): kind for f, w, n, kind in rows}
