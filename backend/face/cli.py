"""betang-audit: ``verify`` as the auditor has it, and ``face``, the same in a browser.

The verifier itself knows of no web; only ``face`` brings it in.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from backend.audit import cli
from backend.audit.errors import AuditError
from backend.audit.messages import MESSAGES, pick
from keys.program import quiet


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="betang-audit face", description=__doc__)
    parser.add_argument("export", type=Path, help="the export's directory")
    parser.add_argument("--trust", type=Path, required=True, help="trust file of the ceremony")
    parser.add_argument("--demo", action="store_true", help="accept a root marked DEMO")
    parser.add_argument("--head", type=Path, help="a ledger head noted earlier")
    parser.add_argument("--port", type=int, default=8003)
    parser.add_argument("--lang", choices=("id", "en"), default="id")
    return parser


@quiet
def main(argv: list[str] | None = None) -> int:
    """Run the command line; exit code 2 when nothing could be judged."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] != ["face"]:
        return cli.main(arguments)
    a = _parser().parse_args(arguments[1:])
    from backend.face.alter import Source  # noqa: PLC0415 - the web only for who asks for it
    from backend.face.reading import Reading  # noqa: PLC0415

    try:
        reading = Reading.open(Source(a.export, a.trust, a.demo, a.head))
    except AuditError as e:
        print(f"{pick(MESSAGES[e.code], a.lang)} ({e})", file=sys.stderr)
        return cli.REFUSED
    from backend.face.server import serve  # noqa: PLC0415

    print(f"http://127.0.0.1:{a.port}")
    serve(reading, a.port)
    return cli.CLEAN


if __name__ == "__main__":
    raise SystemExit(main())
