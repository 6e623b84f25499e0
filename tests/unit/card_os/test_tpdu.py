"""T=0 and T=1 by the byte."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from card_os.host.links import CardRemoved, InProcessLink, LinkProtocolError
from card_os.host.tpdu import Line, T0Link, T1Link, _block, _open
from card_os.icc import ATR_T1
from card_os.reference.foreign import DroppingCard, EchoCard


class Answers(EchoCard):
    """Answers `size` bytes to everything; counts what it ran."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.runs = size, 0

    def _answer(self, command: bytes) -> bytes:
        self.runs += 1
        return bytes(n & 0xFF for n in range(self.size)) + b"\x90\x00"


COMMANDS = ["80380000", "80CA000000", "803200000401020304", "80320000040102030400"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("size", [0, 1, 200, 255, 256])
@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("nulls", [0, 2])
def test_t0_gives_what_the_card_gives(
    command: str, size: int, one_by_one: bool, nulls: int
) -> None:
    card = Answers(size)
    link = T0Link(card, one_by_one=one_by_one, nulls=nulls)
    assert link.transmit(bytes.fromhex(command)) == InProcessLink(Answers(size)).transmit(b"....")
    assert card.runs == 1


def test_t0_refuses_extended_lengths() -> None:
    with pytest.raises(LinkProtocolError):
        T0Link(EchoCard()).transmit(bytes.fromhex("80320000000100") + bytes(256))


def test_t0_counts_characters_and_time() -> None:
    line = Line()
    link = T0Link(Answers(3), line)
    link.transmit(bytes.fromhex("80CA000003"))
    # Header; ACK, data, SW.
    assert (line.to_card, line.to_host) == (5, 1 + 3 + 2)
    assert line.seconds(clock_hz=372 * 12, f=372, d=1) == pytest.approx(11)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("size", [0, 1, 100, 300, 1000])
@pytest.mark.parametrize(("ifsc", "ifsd"), [(254, 254), (32, 16), (3, 1)])
@pytest.mark.parametrize("wtx", [0, 2])
def test_t1_gives_what_the_card_gives(
    command: str, size: int, ifsc: int, ifsd: int, wtx: int
) -> None:
    if size > 500 * ifsd:
        return
    card = Answers(size)
    link = T1Link(card, ifsc=ifsc, ifsd=ifsd, wtx=wtx)
    for runs in (1, 2, 3):
        assert link.transmit(bytes.fromhex(command)) == Answers(size)._answer(b"")
        assert card.runs == runs


@pytest.mark.parametrize("protocol", ["t0", "t1"])
def test_cut_after_every_character(protocol: str) -> None:
    command = bytes.fromhex("803200000401020304")

    def run(cut: int | None) -> tuple[Answers, Line, bytes | None]:
        card, line = Answers(20), Line(cut)
        link = T0Link(card, line) if protocol == "t0" else T1Link(card, line, ifsc=4, ifsd=6)
        try:
            return card, line, link.transmit(command)
        except CardRemoved:
            with pytest.raises(CardRemoved):
                link.transmit(command)
            assert not card.powered
            return card, line, None

    _, whole, answer = run(None)
    assert answer is not None
    ran = []
    for cut in range(whole.characters):
        card, line, got = run(cut)
        assert got is None
        assert line.characters == cut
        ran.append(card.runs)
    assert run(whole.characters)[2] == answer
    assert ran == sorted(ran)  # not run, then run with the answer lost: once
    assert set(ran) == {0, 1}


def test_a_cut_card_answers_again_after_reset() -> None:
    line = Line(3)
    link = T1Link(EchoCard(), line)
    with pytest.raises(CardRemoved):
        link.transmit(b"\x80\x38\x00\x00")
    line.cut_after = None
    assert link.reset() == ATR_T1
    assert link.transmit(b"\x80\x38\x00\x00") == b"\x80\x38\x00\x00\x90\x00"


@pytest.mark.parametrize("make", [T0Link, T1Link])
def test_a_card_that_drops_the_line_is_removed(make: type[T0Link] | type[T1Link]) -> None:
    with pytest.raises(CardRemoved):
        make(DroppingCard()).transmit(b"\x00\xa4\x04\x00")


@pytest.mark.parametrize("number", range(7))
def test_a_t1_block_with_a_flipped_bit_is_damaged(number: int) -> None:
    block = bytearray(_block(0x40, b"abc"))
    assert _open(bytes(block)) == (0x40, b"abc")
    block[number] ^= 0x10
    assert _open(bytes(block)) is None
    assert _open(bytes(block[:number])) is None


def test_t1_repairs_any_single_damaged_character() -> None:
    command = bytes.fromhex("803200000401020304")
    clean = Line(guard_etu=11)
    T1Link(Answers(20), clean, ifsc=4, ifsd=6, wtx=1).transmit(command)
    for number in range(clean.characters):
        card = Answers(20)
        link = T1Link(card, Line(garble=frozenset({number})), ifsc=4, ifsd=6, wtx=1)
        for runs in (1, 2):
            assert link.transmit(command) == Answers(20)._answer(b"")
            assert card.runs == runs


@settings(max_examples=150, deadline=None)
@given(
    garble=st.frozensets(st.integers(0, 200), max_size=25),
    size=st.integers(0, 60),
    ifs=st.integers(1, 20),
)
def test_t1_under_noise_gives_the_answer_or_an_error_and_never_runs_twice(
    garble: frozenset[int], size: int, ifs: int
) -> None:
    card = Answers(size)
    link = T1Link(card, Line(garble=garble), ifsc=ifs, ifsd=ifs)
    with contextlib.suppress(LinkProtocolError, CardRemoved):
        assert link.transmit(bytes.fromhex("803200000401020304")) == Answers(size)._answer(b"")
    assert card.runs <= 1


def test_t1_resynchronises_after_a_hopeless_line() -> None:
    line = Line(garble=frozenset(range(30)))
    card = Answers(5)
    link = T1Link(card, line)
    with pytest.raises(LinkProtocolError):
        link.transmit(b"\x80\x38\x00\x00")
    line.garble = frozenset()
    if card.powered:
        assert link.transmit(b"\x80\x38\x00\x00") == Answers(5)._answer(b"")
