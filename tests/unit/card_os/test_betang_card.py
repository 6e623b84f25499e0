"""`betang-card`: a card made, served, moved and cut by separate processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from card_os.host.opening import select_purse
from card_os.host.socketlink import SocketLink
from wire.apdu import CommandApdu, ResponseApdu
from wire.env import Environment

PROGRAM = [sys.executable, "-m", "card_os.reference.cli"]


def betang_card(*args: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *args], cwd=folder, capture_output=True, text=True, timeout=30, check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip


@pytest.fixture
def made(tmp_path: Path) -> Path:
    done = betang_card("make", ".", "--delivery", "list", "--first", "7", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_make_never_overwrites_and_hides_its_keys(made: Path) -> None:
    delivery = made / "list"
    assert delivery.stat().st_mode & 0o777 == 0o600
    before = delivery.read_bytes()
    again = betang_card("make", ".", "--delivery", "other", "--first", "6", "--count", "2",
                        folder=made)  # fmt: skip
    assert again.returncode == 1
    assert "nothing was changed" in again.stderr
    assert delivery.read_bytes() == before
    assert not (made / "other").exists()
    assert not (made / "00000006.card").exists()
    assert json.loads(before)["chips"][0]["enc"] not in again.stderr


def test_serve_remove_insert_stop(made: Path) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--state", "00000007.card", "--socket", "card.sock",
         "--control", "ctl"],
        cwd=made, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        status = betang_card("status", "--control", "ctl", folder=made)
        assert status.returncode == 0, status.stderr
        link = SocketLink(str(made / "card.sock"))
        select = CommandApdu(0, 0xA4, 4, 0, bytes.fromhex("A000000151000000"), 256)
        assert ResponseApdu.parse(link.transmit(bytes(select))).sw == 0x9000
        with pytest.raises(Exception, match=r"."):
            select_purse(link, Environment.DEMO_LIVE)  # no purse installed yet
        link.close()
        assert betang_card("remove", "--control", "ctl", folder=made).returncode == 0
        assert betang_card("insert", "--control", "ctl", folder=made).returncode == 0
        assert betang_card("stop", "--control", "ctl", folder=made).returncode == 0
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_a_missing_card_is_one_line(tmp_path: Path) -> None:
    done = betang_card("serve", "--state", "no.card", "--socket", "s", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
