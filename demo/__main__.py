"""``make demo``: the story is not built yet, and this says so instead of pretending."""

from __future__ import annotations

import sys


def main() -> int:
    """Say what is missing; exit 1, so that nothing takes this for a demonstration."""
    sys.stderr.write(
        "Cerita demo belum dibuat; docs/status.md mencatat apa yang sudah berjalan.\n"
        "The demo story is not built yet; docs/status.md says what works today.\n"
    )
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
