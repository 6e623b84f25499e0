"""The card server: tears that count over resets, kill -9, and a virtual reader."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from card_os.host.links import CardRemoved
from card_os.host.pcsc import PcscReader
from card_os.host.socketlink import SocketLink
from card_os.icc import ATR_T1
from card_os.reference.foreign import EchoCard
from card_os.reference.memory import Nvm, PowerLoss
from card_os.reference.serve import CardPlace, ServeError, Tear, ask
from demo.pcscd import PcscdWorld

ROOT = Path(__file__).parents[3]
WRITE = bytes.fromhex("80380000")
OTHER = bytes.fromhex("80300000")
WAIT_S = 10.0


class WritingCard(EchoCard):
    """Writes two records at each DEBIT."""

    def __init__(self) -> None:
        super().__init__()
        self.nvm = Nvm()

    def power_on(self) -> bytes:
        self.nvm.power_on()
        return super().power_on()

    def _answer(self, command: bytes) -> bytes:
        try:
            if command[1] == WRITE[1]:
                self.nvm.put("a", b"1")
                self.nvm.put("b", b"2")
        except PowerLoss:
            return b""
        return b"\x90\x00"


@pytest.fixture
def place() -> CardPlace:
    place = CardPlace()
    place.hold(WritingCard(), ATR_T1)
    place.put_in()
    place.power_on()
    return place


@pytest.mark.parametrize(("writes", "answers"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)])
def test_a_tear_counts_writes_over_resets(place: CardPlace, writes: int, answers: int) -> None:
    place.arm(Tear(writes))
    place.power_on()
    for _ in range(answers):
        assert place.transmit(WRITE) == b"\x90\x00"
        assert place.transmit(OTHER) == b"\x90\x00"
        place.power_on()
    assert place.transmit(WRITE) == b""
    assert not place.inside
    assert place.transmit(OTHER) == place.power_on() == b""
    place.put_in()
    place.power_on()
    for _ in range(3):  # it tears once
        assert place.transmit(WRITE) == b"\x90\x00"
    assert place.cuts == 1


def test_a_tear_waits_for_its_instruction(place: CardPlace) -> None:
    place.arm(Tear(0, ins=WRITE[1]))
    assert place.transmit(OTHER) == b"\x90\x00"
    assert place.transmit(WRITE) == b""


def test_another_card_is_not_torn(place: CardPlace) -> None:
    place.arm(Tear(0))
    place.hold(WritingCard(), ATR_T1)
    place.put_in()
    place.power_on()
    assert place.transmit(WRITE) == b"\x90\x00"


def test_a_card_without_memory_cannot_be_torn(place: CardPlace) -> None:
    place.hold(EchoCard(), ATR_T1)
    with pytest.raises(ServeError):
        place.arm(Tear(0))


def betang_card(folder: Path, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "card_os.reference.cli", *args]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def card_file(tmp_path: Path) -> Path:
    card = tmp_path / "00000001.card"
    made = betang_card(tmp_path, "make", str(tmp_path), "--delivery", str(tmp_path / "list"))
    assert made.wait(WAIT_S) == 0
    made.stdout.close()
    return card


@pytest.fixture
def served(
    request: pytest.FixtureRequest, tmp_path: Path, card_file: Path, pcscd_world: PcscdWorld
) -> Iterator[subprocess.Popen[str]]:
    server = betang_card(
        tmp_path, "serve", "--state", str(card_file), "--control", str(tmp_path / "ctl"),
        "--socket", str(tmp_path / "apdu"), "--reader", pcscd_world.doors[2],
    )  # fmt: skip
    assert server.stdout.readline().startswith("ready")
    yield server
    server.terminate()
    server.wait(WAIT_S)
    server.stdout.close()


SELECT_SD = bytes.fromhex("00A4040008A00000015100000000")


def test_one_card_by_pcscd_and_by_socket(
    served: subprocess.Popen[str], tmp_path: Path, pcscd_world: PcscdWorld
) -> None:
    reader = PcscReader(pcscd_world.readers[2])
    control = tmp_path / "ctl"
    assert reader.wait_for_card(WAIT_S)
    link = reader.connect()
    fci = link.transmit(SELECT_SD)
    assert fci[-2:] == b"\x90\x00"
    ask(control, do="tear", writes=None, ins=0xA4)
    with pytest.raises(CardRemoved):
        link.transmit(SELECT_SD)
    link.close()
    ask(control, do="insert")  # at once
    assert reader.wait_for_card(WAIT_S)
    link = reader.connect()
    assert link.transmit(SELECT_SD) == fci
    link.close()
    ask(control, do="swap", card="foreign")
    assert reader.wait_for_card(WAIT_S)
    link = reader.connect()
    assert link.transmit(SELECT_SD) == b"\x6a\x82"
    link.close()
    ask(control, do="swap", state=str(tmp_path / "00000001.card"))
    framed = SocketLink(str(tmp_path / "apdu"))
    assert framed.transmit(SELECT_SD) == fci
    framed.close()
    reader.close()


def test_a_killed_server_leaves_the_card_and_its_sockets_usable(
    served: subprocess.Popen[str], tmp_path: Path, card_file: Path
) -> None:
    served.kill()
    served.wait(WAIT_S)
    again = betang_card(
        tmp_path, "serve", "--state", str(card_file), "--control", str(tmp_path / "ctl"),
        "--socket", str(tmp_path / "apdu"),
    )  # fmt: skip
    assert again.stdout.readline().startswith("ready")
    link = SocketLink(str(tmp_path / "apdu"))
    assert link.transmit(SELECT_SD)[-2:] == b"\x90\x00"
    link.close()
    ask(tmp_path / "ctl", do="stop")
    assert again.wait(WAIT_S) == 0
    again.stdout.close()
    assert not (tmp_path / "ctl").exists()
