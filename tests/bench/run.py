"""One benchmark in this process, or all of them in a process each.

``python -m tests.bench.run NAME`` prints one part as JSON. Sizes come from the environment, named
as the fields of :class:`tests.bench.frame.Size`: ``GROWTH=1000,10000 FAMILIES=3000``.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.bench import frame
from tests.bench.frame import ROOT, TOY, Size

NAMES = ("tap", "commit", "ingest", "audit", "issue", "posting", "bundles")


def size_of(environ: Mapping[str, str]) -> Size:
    """Full sizes but for what the environment names."""
    given: dict[str, Any] = {}
    for field in dataclasses.fields(Size):
        text = environ.get(field.name.upper(), "")
        if not text:
            continue
        if field.name == "growth":
            given["growth"] = tuple(int(n) for n in text.split(","))
        elif field.name == "pcscd":
            given["pcscd"] = text != "0"
        else:
            given[field.name] = int(text)
    postgresql = environ.get("BETANG_TEST_POSTGRES", "")
    return dataclasses.replace(Size(), **given, postgresql=postgresql)


def part(name: str, size: Size) -> dict[str, Any]:
    """One benchmark here: its rows and words, seconds and this process's peak of memory."""
    module = importlib.import_module(f"tests.bench.{name}")
    begun = time.perf_counter()
    made = module.measure(size).as_json()
    made |= {
        "name": name,
        "title": module.TITLE,
        "seconds": time.perf_counter() - begun,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    return made


def whole(parts: list[dict[str, Any]], machine: dict[str, Any]) -> dict[str, Any]:
    """What build/bench.json holds."""
    return {
        "day": datetime.now(UTC).date().isoformat(),
        "machine": machine,
        "load_after": round(os.getloadavg()[0], 1),
        "seconds": sum(p["seconds"] for p in parts),
        "parts": parts,
    }


def every(names: tuple[str, ...] = NAMES) -> dict[str, Any]:
    """All, each in a process of its own; a word on standard error about each."""
    machine, parts = frame.machine(ROOT), []
    (ROOT / "build").mkdir(exist_ok=True)
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)  # noqa: T201
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.run", name],
            cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        parts.append(json.loads(done.stdout.splitlines()[-1]))
        (ROOT / "build" / f"bench-{name}.json").write_text(json.dumps(parts[-1]), "utf-8")
        print(f"  {parts[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)  # noqa: T201
    return whole(parts, machine)


__all__ = ["NAMES", "TOY", "every", "part", "size_of", "whole"]

if __name__ == "__main__":
    print(json.dumps(part(sys.argv[1], size_of(os.environ))))  # noqa: T201
