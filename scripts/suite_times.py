"""pytest plugin: each suite's share of the time, and no silent skips in CI.

A suite is a folder of `tests/`; files in `tests/` itself are the suite `house`.
Loaded by `scripts/test` with `-p suite_times`.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

_seconds: defaultdict[str, float] = defaultdict(float)
_tests: Counter[str] = Counter()
_skips: list[str] = []


def suite_of(nodeid: str) -> str:
    """Name of the suite a test id belongs to."""
    parts = PurePosixPath(nodeid.partition("::")[0]).parts
    inner = parts[1:] if parts[:1] == ("tests",) else parts
    return inner[0] if len(inner) > 1 else "house"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count one phase of one test (with xdist this runs in the controller too)."""
    suite = suite_of(report.nodeid)
    _seconds[suite] += report.duration
    if report.when == "call":
        _tests[suite] += 1
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        _skips.append(f"{report.nodeid}: {reason}")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Count a whole file that skips itself."""
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        _skips.append(f"{report.nodeid}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a missing component is a failure, not a skip (CONTRIBUTING.md, 3)."""
    if _skips and os.environ.get("CI") == "true" and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the table, and the skips where they fail the run."""
    whole = sum(_seconds.values()) or 1.0
    terminalreporter.write_line("suite         tests  seconds  share")
    for suite, spent in sorted(_seconds.items(), key=lambda item: -item[1]):
        terminalreporter.write_line(
            f"{suite:<12} {_tests[suite]:>6} {spent:>8.1f} {100 * spent / whole:>5.0f}%"
        )
    if _skips and os.environ.get("CI") == "true":
        terminalreporter.write_line("CI: skipped tests count as failed:")
        for skip in dict.fromkeys(_skips):
            terminalreporter.write_line(f"  {skip}")
