"""A machine without a JDK: one line, and everything else goes on; in CI it is a failure."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NEEDED = ("bash", "dirname", "env", "unshare", "pcscd")
WORDS = "openjdk-17-jdk-headless"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with what the scripts call, and no java."""
    for name in NEEDED:
        found = shutil.which(name)
        if found:
            (tmp_path / name).symlink_to(found)
    assert shutil.which("java", path=str(tmp_path)) is None
    return str(tmp_path)


def ran(path: str, *command: str, ci: bool = False) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k != "CI" and not k.startswith("PYTEST")}
    env = kept | {"PATH": path} | ({"CI": "true"} if ci else {})
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120
    )


def test_make_applet_says_so_and_fails_in_ci_alone(path: str) -> None:
    for ci, code in ((False, 0), (True, 1)):
        done = ran(path, "scripts/applet", ci=ci)
        assert done.returncode == code
        assert WORDS in done.stdout
        assert (done.stdout.count("\n"), done.stderr) == (1, "")


@pytest.mark.parametrize("ci", [False, True])
def test_the_suites_skip_it_and_fail_in_ci(path: str, ci: bool) -> None:
    """A test of the applet's, run as pytest runs it there."""
    done = ran(path, sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider",
               "tests/unit/applet/test_front.py::test_install_refuses",
               "tests/unit/applet/test_java.py::test_the_java_tests_pass", ci=ci)  # fmt: skip
    assert WORDS in done.stdout or "no JDK" in done.stdout
    if ci:
        assert done.returncode == 1
        assert "skipped" not in done.stdout.splitlines()[-1]
    else:
        assert done.returncode == 0
        assert "6 skipped" in done.stdout


@pytest.mark.parametrize(
    "command",
    [("-m", "demo", "--once", "--card", "applet"), ("-m", "demo.play", "--card", "applet"),
     ("-m", "tests.support.applet_build"),
     ("-m", "card_os.reference.cli", "serve", "--socket", "127.0.0.1:0", "--card", "foreign",
      "--applet", "--control", "/nowhere/ctl")],
)  # fmt: skip
def test_a_program_that_needs_it_says_one_line(path: str, command: tuple[str, ...]) -> None:
    done = ran(path, sys.executable, *command)
    assert done.returncode == 1
    said = (done.stdout + done.stderr).strip()
    assert WORDS in said.replace("\n", "")
    assert "Traceback" not in said
    assert said.count("\n") <= 1  # rich wraps at 80


def test_only_cards_there_are() -> None:
    env = os.environ | {"CARD": "gold"}
    done = subprocess.run(["scripts/setup", "run"], cwd=ROOT, env=env, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "reference or applet" in done.stderr
