"""PC/SC through a private pcscd: protocols, removal, restarts, silence."""

import threading
from collections.abc import Iterator

import pytest

from card_os.host.links import (
    CardMute,
    CardRemoved,
    Interface,
    LinkError,
    NoCard,
    NoReader,
    ReaderGone,
    UnresponsiveCard,
)
from card_os.host.pcsc import PcscReader, list_readers
from card_os.icc import ATR_CONTACTLESS, ATR_T0, ATR_T1, IccDevice, T0Face
from card_os.reference.foreign import DroppingCard, EchoCard, ForeignCard, UnfitCard
from card_os.reference.vpcd import VpcdSlot
from demo.pcscd import PcscdWorld

SELECT = bytes.fromhex("00A4040003010203")
WAIT_S = 10.0


@pytest.fixture(scope="module")
def slot(pcscd_world: PcscdWorld) -> Iterator[VpcdSlot]:
    slot = VpcdSlot(pcscd_world.doors[0])
    yield slot
    slot.remove()


@pytest.fixture
def reader(pcscd_world: PcscdWorld, slot: VpcdSlot) -> Iterator[PcscReader]:
    reader = PcscReader(pcscd_world.readers[0], timeout_s=WAIT_S)
    yield reader
    slot.remove()
    reader.close()


def insert(slot: VpcdSlot, reader: PcscReader, card: IccDevice) -> None:
    slot.insert(card)
    assert reader.wait_for_card(WAIT_S)


def test_readers_are_chosen_by_pattern(pcscd_world: PcscdWorld) -> None:
    assert list_readers() == pcscd_world.readers
    assert PcscReader("B 00 01$").name() == pcscd_world.readers[3]
    with pytest.raises(NoReader):
        PcscReader("ACR122").name()


def test_an_empty_reader_has_no_card(reader: PcscReader) -> None:
    assert not reader.glance().card_in
    assert not reader.wait_for_card(0.01)
    with pytest.raises(NoCard):
        reader.connect()


@pytest.mark.parametrize(
    ("card", "protocol", "interface"),
    [
        (EchoCard(ATR_T1), "T=1", Interface.CONTACT),
        (EchoCard(ATR_CONTACTLESS), "T=1", Interface.CONTACTLESS),
        (T0Face(EchoCard(ATR_T0)), "T=0", Interface.CONTACT),
    ],
    ids=["t1", "contactless", "t0"],
)
def test_a_card_answers(
    slot: VpcdSlot, reader: PcscReader, card: IccDevice, protocol: str, interface: Interface
) -> None:
    insert(slot, reader, card)
    link = reader.connect()
    assert (link.protocol, link.interface) == (protocol, interface)
    assert link.transmit(SELECT) == SELECT + b"\x90\x00"
    assert link.reset() == link.atr
    long = bytes.fromhex("80320000C8") + bytes(200)
    assert link.transmit(long) == long + b"\x90\x00"
    link.close()
    with pytest.raises(CardRemoved):
        link.transmit(SELECT)


def test_a_removed_card_is_noticed(slot: VpcdSlot, reader: PcscReader) -> None:
    insert(slot, reader, EchoCard())
    link = reader.connect()
    slot.remove()
    assert reader.wait_for_removal(WAIT_S)
    with pytest.raises(CardRemoved):
        link.transmit(SELECT)
    link.close()


def test_a_swapped_card_counts_as_removed(slot: VpcdSlot, reader: PcscReader) -> None:
    insert(slot, reader, EchoCard())
    reader.connect().close()
    slot.remove()
    insert(slot, reader, ForeignCard())
    assert reader.wait_for_removal(WAIT_S)
    link = reader.connect()
    assert link.transmit(SELECT) == b"\x6a\x82"
    assert not reader.wait_for_removal(0.01)
    link.close()


def test_an_unfit_card_is_mute(slot: VpcdSlot, reader: PcscReader) -> None:
    insert(slot, reader, UnfitCard())
    with pytest.raises(CardMute):
        reader.connect()


def test_a_card_gone_within_a_command_and_back_at_once(slot: VpcdSlot, reader: PcscReader) -> None:
    insert(slot, reader, DroppingCard())
    link = reader.connect()
    with pytest.raises(CardRemoved):
        link.transmit(SELECT)
    link.close()
    slot.remove()
    insert(slot, reader, EchoCard())  # before pcscd's next poll
    again = reader.connect()
    assert again.transmit(SELECT) == SELECT + b"\x90\x00"
    again.close()


def test_a_silent_card_does_not_block(pcscd_world: PcscdWorld, slot: VpcdSlot) -> None:
    awake = threading.Event()

    class Silent(EchoCard):
        def _answer(self, command: bytes) -> bytes:
            awake.wait(WAIT_S)
            return b"\x90\x00"

    reader = PcscReader(pcscd_world.readers[0], timeout_s=0.3)
    insert(slot, reader, Silent())
    link = reader.connect()
    with pytest.raises(UnresponsiveCard):
        link.transmit(SELECT)
    with pytest.raises(LinkError):
        link.reset()
    link.close()
    awake.set()
    slot.remove()
    insert(slot, reader, EchoCard())
    again = PcscReader(pcscd_world.readers[0], timeout_s=WAIT_S)
    link = again.connect()  # the abandoned connection let go of the reader
    assert link.transmit(SELECT) == SELECT + b"\x90\x00"
    link.close()
    for used in (reader, again):
        used.close()
    slot.remove()


@pytest.mark.parametrize("kill", [False, True])
def test_links_come_back_after_a_restart_of_pcscd(
    pcscd_world: PcscdWorld, slot: VpcdSlot, reader: PcscReader, kill: bool
) -> None:
    insert(slot, reader, EchoCard())
    link = reader.connect()
    pcscd_world.restart_pcscd(kill=kill)
    with pytest.raises(ReaderGone):
        link.transmit(SELECT)
    link.close()
    assert reader.wait_for_card(WAIT_S)  # the card's server came back by itself
    link = reader.connect()
    assert link.transmit(SELECT) == SELECT + b"\x90\x00"
    link.close()


def test_waiting_outlives_pcscd(
    pcscd_world: PcscdWorld, slot: VpcdSlot, reader: PcscReader
) -> None:
    insert(slot, reader, EchoCard())
    pcscd_world.stop_pcscd()
    try:
        with pytest.raises(ReaderGone):
            reader.name()
        assert not reader.wait_for_card(0.01)
    finally:
        waiting = threading.Thread(target=pcscd_world.restart_pcscd)
        waiting.start()
    assert reader.wait_for_card(WAIT_S)
    waiting.join()


def test_a_second_program_is_told_that_the_card_is_held(slot: VpcdSlot, reader: PcscReader) -> None:
    insert(slot, reader, EchoCard())
    link = reader.connect()
    with pytest.raises(ReaderGone, match="another program"):
        reader.connect()
    link.close()
