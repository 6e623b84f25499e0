"""fuzz-apdu finds what is planted, and a short run of it finds nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from card_os.host.purse import PurseSession
from card_os.reference import purse_commands, purse_money
from card_os.reference.purse_commands import Command
from card_os.reference.purse_session import Operation
from tests.support import fuzz_answers, fuzz_commands, fuzz_visits
from tests.support.campaign import FaultError
from wire.purse import Flag, Ins

PIECES = 12


@pytest.fixture(scope="module")
def cards() -> fuzz_commands.Cards:
    return fuzz_commands.Cards(states=("KEYED", "INERT", "ACTIVE", "paid"))


def hunt(play: Callable[[int, int], object]) -> None:
    for number in range(100):
        play(1, number)


def with_handler(handler) -> Command:
    honest = purse_commands.COMMANDS[Ins.CONFIRM]
    return replace(honest, variants={0: replace(honest.variants[0], handler=handler)})


def writes_before_it_checks(op: Operation) -> bytes:
    card = op.store.card
    op.store.put_card(replace(card, flags=card.flags | Flag.CONFIRMED))
    return purse_money.confirm(op)


def crashes(op: Operation) -> bytes:
    return bytes([op.data[4 - (op.data[0] == 0)]]) + purse_money.confirm(op)[1:]


def tells_the_pin(op: Operation) -> bytes:
    purse_money.confirm(op)
    return op.store.secrets.pin


@pytest.mark.parametrize(("handler", "found"), [
    (writes_before_it_checks, "changed"), (crashes, "IndexError"), (tells_the_pin, "the PIN"),
])  # fmt: skip
def test_a_planted_command_is_found(cards, monkeypatch, handler, found: str) -> None:
    monkeypatch.setitem(purse_commands.COMMANDS, Ins.CONFIRM, with_handler(handler))
    with pytest.raises(FaultError, match=found):
        hunt(partial(fuzz_commands.play, cards))


def test_a_host_that_takes_any_signed_receipt_is_found(monkeypatch) -> None:
    monkeypatch.setattr(PurseSession, "_expect", lambda *_: None)
    with pytest.raises(FaultError, match="taken though"):
        hunt(fuzz_answers.play)


def test_a_host_that_goes_on_after_a_lie_is_found(monkeypatch) -> None:
    monkeypatch.setattr(PurseSession, "_over", lambda _, error: error)
    with pytest.raises(FaultError, match="goes on"):
        hunt(fuzz_answers.play)


def test_a_short_run_finds_nothing(cards) -> None:
    for number in range(PIECES):
        fuzz_commands.play(cards, 2, number, 100)
        fuzz_answers.play(2, number)
        fuzz_visits.play_terminal(2, number)
    fuzz_visits.play_desk(2, 1)
