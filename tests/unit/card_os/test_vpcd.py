"""The card's end of vpcd's stream, cut anywhere; standard tools; the private pcscd itself."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from card_os.host.links import LinkError
from card_os.host.pcsc import PcscReader
from card_os.icc import ATR_T1
from card_os.reference.foreign import DroppingCard, EchoCard
from card_os.reference.vpcd import VpcdError, VpcdSlot, connect_reader
from demo.pcscd import PcscdWorld

SELECT = bytes.fromhex("00A4040003010203")
WAIT_S = 60.0  # only a hang takes as long


class FakeReader:
    """vpcd's side, by hand."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(WAIT_S)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.sock: socket.socket | None = None

    def accept(self) -> None:
        if self.sock is not None:
            self.sock.close()
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(WAIT_S)

    def send(self, data: bytes) -> None:
        assert self.sock is not None
        self.sock.sendall(len(data).to_bytes(2, "big") + data)

    def receive(self) -> bytes:
        assert self.sock is not None
        with self.sock.makefile("rb") as stream:
            size = int.from_bytes(stream.read(2), "big")
            return stream.read(size)

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        self.listener.close()


@pytest.fixture
def fake() -> Iterator[FakeReader]:
    reader = FakeReader()
    yield reader
    reader.close()


def test_the_stream_of_a_card(fake: FakeReader) -> None:
    card = EchoCard()
    slot = VpcdSlot(fake.address, known_empty=True)
    slot.insert(card)
    with pytest.raises(VpcdError):
        slot.insert(card)
    fake.accept()
    fake.send(b"\x04")  # before power on
    assert fake.receive() == ATR_T1
    fake.send(b"\x01")
    fake.send(SELECT)
    assert fake.receive() == SELECT + b"\x90\x00"
    fake.send(b"\x00")
    fake.send(b"\x04")
    assert fake.receive() == ATR_T1
    assert not card.powered
    fake.send(b"\x02")
    fake.send(SELECT)
    assert fake.receive() == SELECT + b"\x90\x00"
    leaving = threading.Thread(target=slot.remove)
    leaving.start()
    while leaving.is_alive():  # vpcd polls until the card has left
        fake.send(b"\x04")
        if fake.receive() == b"":
            break
    leaving.join()
    assert not slot.occupied
    assert not card.powered


def test_a_card_that_left_within_a_command_first_shows_the_slot_empty(fake: FakeReader) -> None:
    gone = threading.Event()
    slot = VpcdSlot(fake.address, known_empty=True, on_gone=gone.set)
    slot.insert(DroppingCard())
    fake.accept()
    fake.send(b"\x01")
    fake.send(SELECT)
    assert fake.receive() == b""
    assert gone.wait(WAIT_S)
    slot.remove()
    slot.insert(EchoCard())
    fake.accept()
    for message in (b"\x04", b"\x01", b"\x04"):  # a power-up is no poll
        fake.send(message)
        assert fake.receive() == b""
        fake.accept()
    fake.send(b"\x04")
    assert fake.receive() == ATR_T1
    fake.close()
    slot.remove()


def test_no_reader_is_one_error(tmp_path: Path) -> None:
    for address in ("127.0.0.1:1", str(tmp_path / "none"), "nonsense"):
        with pytest.raises(VpcdError):
            connect_reader(address)


def test_the_stream_cut_after_every_byte(pcscd_world: PcscdWorld) -> None:
    """After any byte the host has an error or a torn answer, and the next tap works.

    vpcd hands on what came of an answer when the line goes: a link cannot tell, a MAC can.
    """
    reader = PcscReader(pcscd_world.readers[1], timeout_s=WAIT_S)
    slot = VpcdSlot(pcscd_world.doors[1])

    def tap(cut: int | None) -> bytes:
        slot.insert(EchoCard())
        assert reader.wait_for_card(WAIT_S)
        link = reader.connect()
        start = slot.stream_bytes
        try:
            slot.cut_after = None if cut is None else start + cut
            return link.transmit(SELECT)
        finally:
            slot.cut_after = None
            link.close()
            slot.remove()

    whole = 2 + len(SELECT) + 2 + len(SELECT) + 2
    for cut in range(0, whole, 3):
        try:
            torn = tap(cut)
        except LinkError:
            continue
        assert len(torn) < len(SELECT) + 2
    assert tap(None) == SELECT + b"\x90\x00"
    reader.close()


def test_pcsc_tools_see_the_card(pcscd_world: PcscdWorld) -> None:
    reader = PcscReader(pcscd_world.readers[1])
    slot = VpcdSlot(pcscd_world.doors[1])
    slot.insert(EchoCard())
    try:
        assert reader.wait_for_card(WAIT_S)
        name = pcscd_world.readers[1]
        tool = pcscd_world.popen(
            ["opensc-tool", "--reader", name, "--atr"], stdout=subprocess.PIPE, text=True
        )
        out, _ = tool.communicate(timeout=30)
        assert out.strip().replace(":", "").lower() == ATR_T1.hex()
        tool = pcscd_world.popen(
            ["scriptor", "-r", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        out, _ = tool.communicate("80 36 00 00\n", timeout=30)
        assert "80 36 00 00 90 00" in " ".join(out.split())
    finally:
        slot.remove()
        reader.close()


def test_offline_programs_have_lo_alone_and_the_card(pcscd_world: PcscdWorld) -> None:
    look = "import os,socket;print(os.getuid(), [n for _, n in socket.if_nameindex()])"
    for offline in (False, True):
        program = pcscd_world.popen(
            [sys.executable, "-c", look], offline=offline, stdout=subprocess.PIPE, text=True
        )
        out, _ = program.communicate(timeout=30)
        assert out.startswith(f"{os.getuid()} ")
        if offline:
            assert out.strip().endswith("['lo']")
    scan = pcscd_world.popen(["pcsc_scan", "-r"], offline=True, stdout=subprocess.PIPE, text=True)
    out, _ = scan.communicate(timeout=30)
    assert pcscd_world.readers[0] in out


OWNER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from demo.pcscd import PcscdWorld
with PcscdWorld() as world:
    ns = [world.popen(["sleep", "300"], offline=offline).pid for offline in (False, True)]
    print(world.directory, *ns, flush=True)
    time.sleep(300)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_when_the_owner_dies(pcscd_world: PcscdWorld, number: int) -> None:
    root = str(Path(__file__).parents[3])
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, root],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert owner.stdout is not None
    folder, *pids = owner.stdout.readline().split()
    watched = [os.pidfd_open(int(pid)) for pid in pids]
    owner.send_signal(number)
    owner.wait(WAIT_S)
    # Of the programs, of the world (its folder goes last), nothing is left.
    for fd in watched:
        assert select.select([fd], [], [], WAIT_S)[0]
        os.close(fd)
    owner.stdout.close()
    for _ in range(1000):
        if not Path(folder).exists():
            break
        threading.Event().wait(0.01)
    assert not Path(folder).exists()
    assert folder not in Path("/proc/mounts").read_text()
    processes = [p for p in Path("/proc").glob("[0-9]*/cmdline") if _mentions(p, folder)]
    assert not processes


def _mentions(cmdline: Path, folder: str) -> bool:
    try:
        return folder.encode() in cmdline.read_bytes()
    except OSError:
        return False
