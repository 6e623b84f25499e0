"""The frame of every long campaign: size, time, seed, resumption and result.

A campaign is numbered pieces of work, each a pure function of (seed, number), so that a run can be
cut off and taken up again, and a fault repeated alone. The result, ``build/sim/<name>.json``, is
written every few seconds; a run with the same SEED goes on from it.
"""

# ruff: noqa: T201 - a campaign talks
from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOLD_EVERY_S = 10.0
MAX_FAULTS = 10
DAY_S = 86_400


class FaultError(Exception):
    """What the campaign looks for: the text says what was seen and what was promised."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """``piece(seed, number)`` does ``size`` units and counts what it saw; any error is a fault.

    ``full`` and ``reduced`` are units: what PROTOCOL.md 8 asks, and what CI runs.
    """

    name: str
    unit: str
    full: int
    reduced: int
    piece: Callable[[int, int], Counter[str]]
    size: int = 1
    close: Callable[[], None] = field(default=lambda: None)


@dataclass
class Result:
    """What was run so far; written as JSON."""

    campaign: Campaign
    seed: int
    pieces: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Where the result lies."""
        return ROOT / "build" / "sim" / f"{self.campaign.name}.json"

    def resume(self) -> None:
        """Take up what a run of the same seed left, unless it found a fault."""
        try:
            old = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return
        if old["seed"] == self.seed and not old["faults"]:
            self.pieces, self.seconds = old["pieces"], old["seconds"]
            self.counts = Counter(old["counts"])

    def write(self) -> None:
        """The file, whole or as it was."""
        c = self.campaign
        done = self.pieces * c.size
        rate = done / self.seconds if self.seconds else 0.0
        whole = round(c.full / rate / 3600, 2) if rate else None
        text = json.dumps({
            "campaign": c.name, "unit": c.unit, "seed": self.seed, "pieces": self.pieces,
            "done": done, "seconds": round(self.seconds, 1), "per_second": round(rate, 2),
            "full_size": c.full, "full_size_hours": whole,
            "counts": dict(sorted(self.counts.items())), "faults": self.faults,
        }, indent=1)  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".new")
        beside.write_text(text + "\n")
        beside.replace(self.path)


def run(campaign: Campaign, units: int, seconds: float, seed: int) -> Result:
    """Pieces until ``units`` are done in all or ``seconds`` are used up in this run."""
    result = Result(campaign, seed)
    result.resume()
    pieces, begun, told, before = -(-units // campaign.size), time.monotonic(), 0.0, result.seconds
    print(f"{campaign.name}: seed {seed}, from {result.pieces * campaign.size} {campaign.unit}")
    spent = 0.0
    while result.pieces < pieces and spent < seconds and len(result.faults) < MAX_FAULTS:
        try:
            result.counts.update(campaign.piece(seed, result.pieces))
        except Exception as e:  # noqa: BLE001 - every fault is listed
            result.faults.append({"piece": result.pieces, "fault": f"{type(e).__name__}: {e}"})
            print(f"FAULT {result.faults[-1]}", file=sys.stderr, flush=True)
        result.pieces += 1
        spent = time.monotonic() - begun
        result.seconds = before + spent
        if spent - told > TOLD_EVERY_S:
            told = spent
            result.write()
            done = result.pieces * campaign.size
            print(f"{done} {campaign.unit}, {done / result.seconds:.0f} a second", flush=True)
    result.write()
    print(f"{result.path.relative_to(ROOT)}: {result.pieces * campaign.size} {campaign.unit}, "
          f"{result.seconds:.0f} s, {len(result.faults)} faults")  # fmt: skip
    return result


def main(campaign: Campaign) -> int:
    """One campaign as N, MINUTES, SEED and the argument ``reduced`` say; 1 after a fault.

    PIECE=number repeats one piece of SEED with its traceback.
    """
    seed = int(os.environ.get("SEED") or time.time_ns() % 1_000_000)
    try:
        if os.environ.get("PIECE"):
            print(campaign.piece(seed, int(os.environ["PIECE"])))
            return 0
        minutes = float(os.environ.get("MINUTES") or 0)
        default = campaign.full if minutes else campaign.reduced
        reduced = sys.argv[1:] == ["reduced"]
        units = campaign.reduced if reduced else int(os.environ.get("N") or default)
        return bool(run(campaign, units, minutes * 60 or DAY_S, seed).faults)
    finally:
        campaign.close()
