"""Programs nobody here wrote reach the card through pcscd: pcsc_scan, opensc-tool, scriptor."""

import subprocess
from collections.abc import Iterator

import pytest

from card_os.host.pcsc import PcscReader
from card_os.reference.card import ReferenceCard
from card_os.reference.packages import PACKAGES
from card_os.reference.vpcd import VpcdSlot
from demo.pcscd import PcscdWorld
from tests.unit.card_os.gp_bench import TRANSPORT_KEYS

READER = 2
WAIT_S = 20
SELECT_SD = "00 A4 04 00 08 A0 00 00 01 51 00 00 00 00"

pytestmark = pytest.mark.xdist_group("pcscd")


@pytest.fixture
def reader(pcscd_world: PcscdWorld) -> Iterator[str]:
    card = ReferenceCard.create(
        transport_keys=TRANSPORT_KEYS, serial=b"\0\0\0\7", registry=PACKAGES,
        random=lambda n: bytes(range(n)),
    )  # fmt: skip
    slot = VpcdSlot(pcscd_world.doors[READER], known_empty=True)
    slot.insert(card)
    watch = PcscReader(pcscd_world.readers[READER])
    assert watch.wait_for_card(WAIT_S)
    watch.close()
    yield pcscd_world.readers[READER]
    slot.remove()


def run(world: PcscdWorld, *words: str, typed: str = "") -> str:
    env = {**world.env, "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run(
        words, input=typed, capture_output=True, text=True, timeout=WAIT_S, env=env, check=True
    )
    return done.stdout + done.stderr


def test_opensc_tool_reads_the_atr_and_selects(pcscd_world: PcscdWorld, reader: str) -> None:
    said = run(pcscd_world, "opensc-tool", "--reader", reader, "--card-driver", "default",
               "--atr")  # fmt: skip
    assert said.strip().lower().startswith("3b:")
    said = run(pcscd_world, "opensc-tool", "--reader", reader, "--card-driver", "default",
               "--send-apdu", SELECT_SD.replace(" ", ":"))  # fmt: skip
    assert "SW1=0x90, SW2=0x00" in said
    assert "6F" in said


def test_scriptor_sends_a_script(pcscd_world: PcscdWorld, reader: str) -> None:
    said = run(pcscd_world, "scriptor", "-r", reader, typed=f"{SELECT_SD}\n80 CA 9F 7F 00\n")
    answers = [line for line in said.splitlines() if line.startswith("<")]
    assert len(answers) == 2
    assert answers[0].startswith("< 6F")
    assert answers[1].startswith("< 9F 7F")
    assert said.count("90 00 : Normal processing") == 2


def test_pcsc_scan_sees_the_card(pcscd_world: PcscdWorld, reader: str) -> None:
    env = {**pcscd_world.env, "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    scan = subprocess.Popen(
        ["stdbuf", "-o0", "pcsc_scan", "-n"], stdout=subprocess.PIPE, text=True, env=env
    )
    try:
        assert scan.stdout is not None
        seen = ""
        for line in scan.stdout:
            seen += line
            if reader in seen and "ATR: 3B" in seen:
                break
        assert "Card inserted" in seen
    finally:
        scan.kill()
        scan.wait()
        scan.stdout.close()
