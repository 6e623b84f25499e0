"""A command line whose reader has left ends quietly; any other broken pipe is told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from keys.doors import client_at
from keys.program import PIPE_CLOSED, quiet

PROGRAMS = ["keys.cli", "keys.approve", "card_os.reference.cli", "backend.cli", "terminal.cli",
            "backend.face.cli", "issuer.cli"]  # fmt: skip


def into_nothing(argv: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    """Run it with an output that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            argv, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
            env={**os.environ, **env},
        )  # fmt: skip
    finally:
        os.close(writer)


@pytest.mark.parametrize("module", PROGRAMS)
def test_every_program_ends_quietly(module: str) -> None:
    done = into_nothing([sys.executable, "-m", module, "--help"], PYTHONUNBUFFERED="")
    assert (done.returncode, done.stderr) == (PIPE_CLOSED, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_in_the_middle_of_an_output(tmp_path, unbuffered: str) -> None:
    code = ("import sys; from keys import cli; cli._list = lambda a: print('x' * 100000);"
            f"sys.exit(cli.main(['list', '--data', {str(tmp_path)!r}]))")  # fmt: skip
    done = into_nothing([sys.executable, "-c", code], PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (PIPE_CLOSED, "")


def test_another_broken_pipe_is_told() -> None:
    @quiet
    def main() -> int:
        raise BrokenPipeError("a card's socket")

    with pytest.raises(BrokenPipeError):
        main()


@pytest.mark.parametrize(
    ("url", "needs_tls"), [("http://127.0.0.1:1", False), ("https://kantor", True), ("x", True)]
)
def test_tls_is_never_left_out_where_it_is_spoken(monkeypatch, url: str, needs_tls: bool) -> None:
    asked = {}
    monkeypatch.setattr("httpx.Client", lambda **said: asked.update(said))
    client_at(url)
    assert asked["verify"] is needs_tls
