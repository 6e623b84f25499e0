"""One run of the simulated village from its seed to the verdict."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support import world_oracle, world_steps
from tests.support.world_foes import GRAVE, HARMLESS
from tests.support.world_oracle import Verdict
from tests.support.world_sim import World

KINDS: dict[str, dict[world_steps.Step, float]] = {
    "honest": {}, "harmless": HARMLESS, "grave": HARMLESS | GRAVE,
}  # fmt: skip
"""Who is in the village: nobody who lies; those who must have no effect; all."""


@dataclass(frozen=True, slots=True)
class Played:
    """A finished run."""

    verdict: Verdict
    counts: dict[str, int]
    expected: frozenset[int]


def play(kind: str, seed: int, steps: int,
         plant: Callable[[World], None] | None = None) -> Played:  # fmt: skip
    """Let ``steps`` steps happen and judge; SimulationError names the fault, seed and step."""
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - speed only
    folder = Path(tempfile.mkdtemp(prefix="betang-sim-", dir=fast))
    try:
        world = World(folder, seed)
        try:
            if plant is not None:
                plant(world)
            world_steps.run(world, steps, KINDS[kind])
            world_oracle.drain(world)
            verdict = world_oracle.judge(world, folder)
        except Exception as e:
            e.add_note(f"kind {kind}, seed {seed}, {steps} steps")
            raise
        finally:
            world.close()
        return Played(verdict, dict(world.counts), frozenset(world.expected))
    finally:
        shutil.rmtree(folder)
