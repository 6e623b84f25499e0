"""Coverage-guided runs over the pure parsers (atheris): the same oracle, inputs that find new ways.

A run is a process of its own, since libFuzzer ends the process it runs in. It is repeatable: seed,
samples and number of runs decide it.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.campaign import FaultError

__all__ = ["TARGETS", "available", "run"]

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("cvc", "entitlement", "receipt", "sign1", "cbor", "record", "upload", "array Bundle",
           "array Programme", "array IssuanceEntry", "bundle file", "tlv")  # fmt: skip
LIMITS = ("-max_len=4096", "-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1",
          "-verbosity=1")  # fmt: skip
_COVERAGE = re.compile(r"cov: (\d+)")


def available() -> bool:
    """Whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def run(target: str, runs: int, seed: int, plant: str = "") -> int:
    """Edges covered by that many runs; `FaultError` with what was found and its input.

    ``plant`` names a module that plants a bug when it is imported (for tests).
    """
    words = [sys.executable, "-m", "tests.support.fuzz_guided", target, str(runs), str(seed), plant]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).splitlines()
        found = [x for x in said if "FaultError:" in x] or [x for x in said if "ERROR" in x]
        raise FaultError(f"guided {target}, seed {seed}: {(found or said)[-1]}")
    return max(map(int, _COVERAGE.findall(done.stderr)), default=0)


def main(target: str, runs: int, seed: int, plant: str) -> None:
    """The process: instrument the packages, give libFuzzer the samples, judge every input."""
    import atheris

    with atheris.instrument_imports(include=["wire", "keys.enrol", "keys.issuance"]):
        from tests.support import fuzz_objects
    if plant:
        importlib.import_module(plant)

    def one(data: bytes) -> None:
        fuzz_objects.judge(target, bytes(data))

    with tempfile.TemporaryDirectory(prefix="betang-guided-") as folder:
        for i, raw in enumerate(fuzz_objects.samples()[target]):
            Path(folder, f"{i}").write_bytes(raw)
        words = [f"-runs={runs}", f"-seed={seed % 2**32 or 1}", f"-artifact_prefix={folder}/"]
        atheris.Setup([sys.argv[0], *LIMITS, *words, folder], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "".join(sys.argv[4:5]))
