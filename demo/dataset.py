"""The demo's data: fictitious families over real regions, with faults that are known.

`python -m demo.dataset --seed N --out DIR` writes dtsen.csv, verifikasi.csv, sk.json,
programmes.json, funds.json and faults.json. The same seed and date give the same bytes;
data/demo/ holds those of the defaults. Formats: docs/import.md#demo-data.
"""

import argparse
import json
import random
from datetime import date
from pathlib import Path
from typing import Final

from demo import dataset_aid as aid
from demo.dataset_families import make_dtsen

DEFAULT_SEED: Final = 62
DEFAULT_TODAY: Final = date(2026, 3, 16)
FILES: Final = (
    "dtsen.csv",
    "verifikasi.csv",
    "sk.json",
    "programmes.json",
    "funds.json",
    "faults.json",
)


def _json(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def make(seed: int, today: date = DEFAULT_TODAY) -> dict[str, bytes]:
    """File name → bytes, for one story."""
    rng = random.Random(seed)  # noqa: S311  a story, not a secret
    dtsen = make_dtsen(rng, today)
    lines = aid.make_verifications(rng, dtsen.good, today)
    programmes = aid.make_programmes(today)
    decree = aid.make_decree(dtsen.good, lines, programmes, today)
    header = ",".join(aid.VERIFICATION_COLUMNS).encode()
    contents = (
        dtsen.csv,
        b"\n".join([header, *lines.values(), b""]),
        _json(decree),
        _json({"programmes": programmes}),
        _json(aid.make_funds(decree, programmes, today)),
        _json(dtsen.faults),
    )
    return dict(zip(FILES, contents, strict=True))


def main(argv: list[str] | None = None) -> int:
    """Write the files of one seed into a folder."""
    parser = argparse.ArgumentParser(prog="python -m demo.dataset", description=__doc__)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--today", type=date.fromisoformat, default=DEFAULT_TODAY)
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, content in make(arguments.seed, arguments.today).items():
        (arguments.out / name).write_bytes(content)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
