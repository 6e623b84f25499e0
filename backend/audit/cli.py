"""betang-audit: re-verify an export from public keys alone; no database and no network.

docs/audit.md has the options.
Exit code 0 when nothing was found, 1 with findings, 2 when nothing could be judged.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from backend.audit.errors import AuditError, OutputError
from backend.audit.messages import MESSAGES, pick
from backend.audit.page import page
from backend.audit.verify import verify

CLEAN, FOUND, REFUSED = 0, 1, 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="betang-audit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("verify", help="verify an export")
    check.add_argument("export", type=Path, help="the export's directory")
    check.add_argument("--trust", type=Path, required=True, help="trust file of the ceremony")
    check.add_argument("--demo", action="store_true", help="accept a root marked DEMO")
    check.add_argument("--json", type=Path, help="write the machine-readable report here")
    check.add_argument("--lang", choices=("id", "en"), default="id")
    check.add_argument("--head", type=Path, help="a ledger head noted earlier: must be an ancestor")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; see the module for exit codes."""
    a = _parser().parse_args(argv)
    try:
        report = verify(a.export, a.trust, allow_demo=a.demo, head_file=a.head)
        if a.json is not None:
            try:
                text = json.dumps(report.to_json(), ensure_ascii=False, indent=1)
                a.json.write_text(text + "\n", encoding="utf-8")
            except OSError as e:
                raise OutputError(str(e)) from e
    except AuditError as e:
        print(f"{pick(MESSAGES[e.code], a.lang)} ({e})", file=sys.stderr)
        return REFUSED
    print(page(report, a.lang))
    return FOUND if report.findings else CLEAN


if __name__ == "__main__":
    raise SystemExit(main())
