"""The link protocol in process, over a socket, and recorded."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from card_os.host.links import (
    CardMute,
    CardRemoved,
    InProcessLink,
    LinkProtocolError,
    NoCard,
    NoReader,
    ReaderGone,
    complete,
)
from card_os.host.socketlink import SocketLink
from card_os.host.trace import RecordingLink, ReplayLink, Trace, TraceMismatch
from card_os.icc import ATR_CONTACTLESS, ATR_T0, ATR_T1, Interface, T0Face, interface_of
from card_os.reference.foreign import DroppingCard, EchoCard, ForeignCard, UnfitCard
from card_os.reference.serve import CardServer, CardSource, ServeError, ask

SELECT = bytes.fromhex("00A4040003010203")


class Scripted:
    """A chip that expects these commands and gives these answers."""

    def __init__(self, *script: tuple[str, str]) -> None:
        self.script = [(bytes.fromhex(c), bytes.fromhex(r)) for c, r in script]

    def __call__(self, command: bytes) -> bytes:
        expected, answer = self.script.pop(0)
        assert command == expected
        return answer


@pytest.mark.parametrize(
    ("atr", "interface"),
    [
        (ATR_T0, Interface.CONTACT),
        (ATR_T1, Interface.CONTACT),
        (ATR_CONTACTLESS, Interface.CONTACTLESS),
        (bytes.fromhex("3B8F8001804F0CA000000306030001000000006A"), Interface.CONTACTLESS),
        (bytes.fromhex("3BF81300008131FE454A434F5076323431B7"), Interface.CONTACT),
        (b"", Interface.CONTACT),
        (b"\x3b\x80", Interface.CONTACT),
    ],
)
def test_interface_is_told_from_the_atr(atr: bytes, interface: Interface) -> None:
    assert interface_of(atr) is interface


def test_atrs_of_t1_end_with_their_check_byte() -> None:
    for atr in (ATR_T1, ATR_CONTACTLESS):
        check = 0
        for byte in atr[1:]:
            check ^= byte
        assert check == 0


def test_more_data_is_collected_in_the_commands_channel_without_sm() -> None:
    chip = Scripted(
        ("8532000001AA", "6103"),
        ("01C0000003", "0102036102"),
        ("01C0000002", "04059000"),
    )
    assert complete(chip, bytes.fromhex("8532000001AA")).hex() == "01020304059000"
    assert not chip.script


def test_wrong_le_is_repeated_once_with_the_right_one() -> None:
    chip = Scripted(("00CA7F2100", "6C04"), ("00CA7F2104", "AABBCCDD9000"))
    assert complete(chip, bytes.fromhex("00CA7F2100")).hex() == "aabbccdd9000"
    again = Scripted(("00CA7F2100", "6C04"), ("00CA7F2104", "6C05"))
    assert complete(again, bytes.fromhex("00CA7F2100")).hex() == "6c05"


def test_a_command_without_le_is_not_repeated() -> None:
    chip = Scripted(("8032000001AA", "6C04"))
    assert complete(chip, bytes.fromhex("8032000001AA")).hex() == "6c04"


def test_get_response_obeys_6c() -> None:
    chip = Scripted(("0084000008", "6108"), ("00C0000008", "6C02"), ("00C0000002", "01029000"))
    assert complete(chip, bytes.fromhex("0084000008")).hex() == "01029000"


def test_t0_sends_case_4_without_le() -> None:
    chip = Scripted(("00A40400020102", "9000"))
    assert complete(chip, bytes.fromhex("00A4040002010200"), t0=True).hex() == "9000"


def test_endless_data_is_refused() -> None:
    with pytest.raises(LinkProtocolError):
        complete(lambda _: b"\x00\x61\x00", SELECT)


@pytest.mark.parametrize("answer", [b"", b"\x90"])
def test_less_than_a_status_word_is_a_removed_card(answer: bytes) -> None:
    with pytest.raises(CardRemoved):
        complete(lambda _: answer, SELECT)


class Answers(EchoCard):
    """A card with one answer to everything, and a count of what it ran."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(ATR_T0)
        self.answer, self.runs = answer, 0

    def _answer(self, command: bytes) -> bytes:
        self.runs += 1
        return self.answer


@pytest.mark.parametrize("size", [1, 2, 255, 256])
@pytest.mark.parametrize("command", ["00CA000000", "00A404000201020000", "00A40400020102"])
def test_t0_face_gives_all_data_and_runs_a_command_once(size: int, command: str) -> None:
    card = Answers(bytes(size) + b"\x90\x00")
    link = InProcessLink(T0Face(card), t0=True)
    answer = link.transmit(bytes.fromhex(command[:14] if len(command) == 18 else command))
    assert answer == card.answer
    assert card.runs == 1


def test_t0_face_drops_waiting_data_at_the_next_command_and_at_reset() -> None:
    for end in ("command", "reset"):
        card = Answers(b"\x01\x02\x90\x00")
        face = T0Face(card)
        face.power_on()
        assert face.transmit(SELECT) == b"\x61\x02"
        if end == "reset":
            face.power_on()
        else:
            card.answer = b"\x90\x00"
            assert face.transmit(SELECT) == b"\x90\x00"
        card.answer = b"\x6d\x00"
        assert face.transmit(bytes.fromhex("00C0000002")) == b"\x6d\x00"


def test_in_process_link_lives_and_dies_with_the_card() -> None:
    card = EchoCard()
    link = InProcessLink(card)
    assert (link.atr, link.interface) == (ATR_T1, Interface.CONTACT)
    assert link.transmit(SELECT) == SELECT + b"\x90\x00"
    assert link.reset() == ATR_T1
    link.close()
    assert not card.powered
    with pytest.raises(CardRemoved):
        link.transmit(SELECT)


def test_a_dropping_card_is_removed_until_reset() -> None:
    link = InProcessLink(DroppingCard())
    for _ in range(2):
        with pytest.raises(CardRemoved):
            link.transmit(SELECT)
    assert link.reset()


def test_a_card_without_atr_is_mute() -> None:
    with pytest.raises(CardMute):
        InProcessLink(EchoCard(b""))


def test_foreign_card_refuses_select_kindly() -> None:
    link = InProcessLink(ForeignCard())
    assert link.transmit(SELECT) == b"\x6a\x82"
    assert link.transmit(bytes.fromhex("80CA7F2100")) == b"\x6d\x00"
    assert UnfitCard().power_on()[2] & 0x0F == 2  # offers T=2 only


# ---- traces


def test_a_trace_replays_what_was_recorded_and_nothing_else() -> None:
    trace = Trace()
    link = RecordingLink(InProcessLink(EchoCard()), trace)
    link.transmit(SELECT)
    link.reset()
    link.transmit(SELECT[:4])
    link.close()
    stored = Trace.from_json_lines(trace.to_json_lines().splitlines())
    assert stored == trace
    replay = ReplayLink(stored)
    assert (replay.atr, replay.interface) == (ATR_T1, Interface.CONTACT)
    assert replay.transmit(SELECT) == SELECT + b"\x90\x00"
    assert replay.reset() == ATR_T1
    assert replay.transmit(SELECT[:4]) == SELECT[:4] + b"\x90\x00"
    with pytest.raises(TraceMismatch):
        replay.transmit(SELECT)


@pytest.mark.parametrize("command", [SELECT[:-1] + b"\x04", b"", SELECT + b"\x00"])
def test_a_replay_refuses_another_command(command: bytes) -> None:
    trace = Trace()
    RecordingLink(InProcessLink(EchoCard()), trace).transmit(SELECT)
    with pytest.raises(TraceMismatch):
        ReplayLink(trace).transmit(command)
    with pytest.raises(TraceMismatch):
        ReplayLink(trace).reset()


# ---- length-framed APDUs and the card server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CardServer]:
    server = CardServer(ATR_T1, control=tmp_path / "ctl", listen="127.0.0.1:0")
    server.insert(CardSource(name="echo"))
    server.start()
    yield server
    server.close()


def test_framed_socket_carries_apdus(server: CardServer) -> None:
    link = SocketLink(server.listening)
    assert link.atr == ATR_T1
    assert link.transmit(SELECT) == SELECT + b"\x90\x00"
    assert link.reset() == ATR_T1
    link.close()


def test_a_socket_without_server_is_no_reader(tmp_path: Path) -> None:
    with pytest.raises(NoReader):
        SocketLink(str(tmp_path / "none"))


def test_removed_within_a_connection_and_back(server: CardServer, tmp_path: Path) -> None:
    link = SocketLink(server.listening)
    ask(tmp_path / "ctl", do="remove")
    with pytest.raises(CardRemoved):
        link.transmit(SELECT)
    with pytest.raises(NoCard):
        link.reset()
    ask(tmp_path / "ctl", do="insert")
    assert link.reset() == ATR_T1
    assert link.transmit(SELECT) == SELECT + b"\x90\x00"
    link.close()


def test_an_inserted_card_is_unpowered(server: CardServer, tmp_path: Path) -> None:
    link = SocketLink(server.listening)
    ask(tmp_path / "ctl", do="swap", card="foreign")
    with pytest.raises(CardRemoved):
        link.transmit(SELECT)
    link.close()


def test_the_answer_can_be_lost_at_one_instruction(server: CardServer, tmp_path: Path) -> None:
    link = SocketLink(server.listening)
    ask(tmp_path / "ctl", do="tear", writes=None, ins=0x38)
    assert link.transmit(SELECT) == SELECT + b"\x90\x00"
    with pytest.raises(CardRemoved):
        link.transmit(bytes.fromhex("80380000"))
    link.close()
    assert ask(tmp_path / "ctl", do="status")["cuts"] == 1
    assert ask(tmp_path / "ctl", do="insert")["inside"] is True


@pytest.mark.parametrize(
    "order",
    [
        {"do": "insert"},  # one is in
        {"do": "tear", "writes": 1},  # an echo has no memory
        {"do": "tear"},
        {"do": "fly"},
        {"do": "swap", "card": "unknown"},
        {"do": "swap", "state": "/nonexistent/card"},
        {},
    ],
)
def test_bad_orders_are_refused(
    server: CardServer, tmp_path: Path, order: dict[str, object]
) -> None:
    with pytest.raises(ServeError):
        ask(tmp_path / "ctl", **order)
    assert "inside" in ask(tmp_path / "ctl", do="status")


def test_a_second_server_does_not_take_the_first_ones_control(
    server: CardServer, tmp_path: Path
) -> None:
    with pytest.raises(ServeError, match="another server"):
        CardServer(ATR_T1, control=tmp_path / "ctl")
    assert ask(tmp_path / "ctl", do="status")["card"] == "echo"


def test_cards_are_served_on_loopback_only(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="127"):
        CardServer(ATR_T1, control=tmp_path / "ctl", listen="0.0.0.0:0")


def test_a_vanished_server_is_a_gone_reader(tmp_path: Path) -> None:
    server = CardServer(ATR_T1, control=tmp_path / "ctl", listen=str(tmp_path / "apdu"))
    server.insert(CardSource(name="echo"))
    server.start()
    link = SocketLink(str(tmp_path / "apdu"))
    link._sock.shutdown(2)
    with pytest.raises(ReaderGone):
        link.transmit(SELECT)
    server.close()
    assert not (tmp_path / "apdu").exists()
    assert threading.active_count() >= 1
