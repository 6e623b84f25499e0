"""The demo's parts: programs that end with it, taps without a network, paper that is read back."""

import subprocess
import sys
from pathlib import Path

import pytest

from demo.paper import Paper, PaperError, decode, picture
from demo.pcscd import PcscdWorld
from demo.point import Point
from demo.programs import ProgramError, Programs
from terminal.escpos_slip import encode
from terminal.slip import Line, Style

ROOT = Path(__file__).parents[3]
INTERFACES = "import socket; print(sorted(n for _, n in socket.if_nameindex()))"


@pytest.fixture
def programs(tmp_path: Path):
    folder = tmp_path / "work"
    folder.mkdir()
    with Programs(tmp_path / "log", folder, "rahasia") as made:
        yield made


def test_a_tap_sees_no_network_but_lo(pcscd_world: PcscdWorld) -> None:
    argv = pcscd_world.command([sys.executable, "-c", INTERFACES], offline=True)
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=pcscd_world.env)
    assert done.stdout.strip() == "['lo']"


def test_card_commands_are_offline_and_sync_is_not(tmp_path: Path) -> None:
    asked, run = [], []

    class World:
        env: dict[str, str] = {}  # noqa: RUF012

        def command(self, argv, *, offline, env):
            assert offline
            asked.append(argv)
            return argv

    class Runs(Programs):
        def run(self, command, **_):
            run.append(command)
            return subprocess.CompletedProcess(command, 0, "{}", "")

    point = Point(Runs(tmp_path / "log", tmp_path, "x"), World(), tmp_path, "TERM0001", "r", "p")
    point.tap("6658=1", pin="123457")
    point.activate("12345678", "482915", "B", "P")
    point.void(3, "salah", on_counter=True)
    assert [a[a.index("--demo") + 1] for a in asked] == ["tap", "activate", "void"]
    assert "123457" not in " ".join(w for a in run for w in a)
    point.sync()
    assert len(asked) == 3
    assert run[-1][run[-1].index("--demo") + 1] == "sync"


def test_a_failed_program_is_named_in_one_line(programs: Programs) -> None:
    with pytest.raises(ProgramError, match=r"terminal\.cli"):
        programs.run(programs.argv("terminal.cli", "--data", "/nowhere", "--demo", "status"))


def test_what_was_started_ends_with_its_starter_even_killed(tmp_path: Path) -> None:
    """A child program starts a sleeper and is killed at once; the sleeper and the folder go."""
    folder = tmp_path / "work"
    folder.mkdir()
    script = (
        "import os, sys; from pathlib import Path; from demo.programs import Programs\n"
        f"log, work = Path({str(tmp_path / 'log')!r}), Path({str(folder)!r})\n"
        "made = Programs(log, work, 'x').__enter__()\n"
        f"mark = Path({str(tmp_path / 'pid')!r})\n"
        "words = 'import os, sys, time; open(sys.argv[1], \"w\").write(str(os.getpid()));'"
        "'os.rename(sys.argv[1], sys.argv[2]); time.sleep(60)'\n"
        "made.serve([sys.executable, '-c', words, str(mark) + '~', str(mark)], mark.exists)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, timeout=30)
    pid = int((tmp_path / "pid").read_text())
    subprocess.run(["tail", f"--pid={pid}", "-f", "/dev/null"], check=True, timeout=20)
    deadline = subprocess.run(
        ["timeout", "20", "sh", "-c", f"while [ -e {folder} ]; do :; done"], check=False
    )
    assert deadline.returncode == 0


SLIP = (Line("JUDUL", Style.TITLE), Line("biasa"), Line("Rp150.000", Style.STRONG))


def test_paper_is_read_back_as_it_was_set(tmp_path: Path) -> None:
    (slip,) = decode(encode(SLIP))
    shown = [line for line in slip if line.text]
    assert [x.text for x in shown] == [x.text for x in SLIP]
    assert [x.bold for x in shown] == [True, False, True]
    assert [x.centred for x in shown] == [True, False, False]
    picture(slip, tmp_path / "slip.png")
    assert (tmp_path / "slip.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("data", [b"text\n", b"\x1b\x00", encode(SLIP)[:-4]])
def test_paper_that_no_slip_of_ours_makes_is_refused(data: bytes) -> None:
    with pytest.raises(PaperError):
        decode(data)


def test_the_printer_is_a_serial_line() -> None:
    with Paper() as paper:
        with Path(paper.port).open("wb", buffering=0) as port:
            port.write(encode(SLIP))
        while not paper.taken(len(encode(SLIP))):
            pass
        assert len(paper.slips()) == 1
