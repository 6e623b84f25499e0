"""The campaign of cut links: a sample of it, and planted bugs that its pieces find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from card_os.host.links import InProcessLink
from terminal import collect, recovery, spend
from terminal.engine import Engine
from terminal.outcomes import CardLost, Step
from tests.support.campaign import FaultError
from tests.support.link_campaign import Cuts, another_terminal, check
from tests.support.link_lines import PROTOCOLS
from tests.support.link_stages import STAGES, Stage
from tests.support.terminal_world import at_work
from wire import log
from wire.purse import Ins

Plant = Callable[[pytest.MonkeyPatch], None]
BY_NAME = {stage.name: stage for stage in STAGES}
TAP = BY_NAME["tap with debit and confirm"]


def test_a_sample_of_all_stages_and_protocols() -> None:
    cuts = Cuts()
    assert len(cuts) > 50_000
    assert {(s.name, p) for s, p, _, _ in cuts.pieces} == {
        (s, p) for s in BY_NAME for p in PROTOCOLS
    }
    seen: Counter[str] = Counter()
    for number in range(8):
        seen += cuts.piece(7, number)
    assert seen["restarts, another terminal"] == 8


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("tap with debit and confirm", ["INTENT", "RECEIPT", "DELIVERED"]),
        ("bypass", ["INTENT", "RECEIPT", "DELIVERED"]),
        ("void before hand-over", ["VOID", "RECEIPT"]),
        ("void after hand-over", ["VOID", "RECEIPT", "RETURNED"]),
        ("activation", ["HANDOVER"]),
        ("PIN change", ["PIN"]),
        ("PIN reset", ["PIN"]),
        ("entitlements and script", ["LOAD", "LOAD", "SCRIPT", "COLLECTED"]),
        ("recovery and confirm", ["RECEIPT", "DELIVERED"]),
    ],
)
def test_a_stage_that_is_not_cut_does_what_it_is_for(name: str, kinds: list[str]) -> None:
    world = BY_NAME[name].world()
    world.there = BY_NAME[name].base[2].open(world.there)
    before = len(world.here.kinds())
    BY_NAME[name].act(world, InProcessLink(world.card))
    assert world.here.kinds()[before:] == kinds
    another_terminal(world, BY_NAME[name])
    check(world)


# Planted bugs


def error_as_evidence(patch: pytest.MonkeyPatch) -> None:
    """A debit whose answer did not come is taken for one that did not happen."""

    def aborted(engine: Engine, row: object) -> object:
        engine.write(log.Aborted(row.sequence, row.expected, None))
        return recovery.not_done(row, row.expected)

    patch.setattr(recovery, "left_pending", aborted)


def delivered_unasked(patch: pytest.MonkeyPatch) -> None:
    """What a recovery finds is noted as handed over: the goods may never have left."""
    real = recovery.done

    def done(engine: Engine, row: object, receipt: object, *, recovered: bool) -> object:
        if recovered and row.kind == log.IntentKind.DEBIT:
            engine.write(log.Delivered(row.sequence))
        return real(engine, row, receipt, recovered=recovered)

    patch.setattr(recovery, "done", done)


def nothing_carried_home(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(collect, "_is_own", lambda visit, receipt: True)


def receipt_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A RECEIPT is kept in memory only: a process that starts anew has no outcome."""
    real = spend.redeem

    def redeem(visit: object, *given: object) -> object:
        write, kept = visit.engine.write, log.Receipted
        visit.engine.write = lambda *b, **k: [] if isinstance(b[0], kept) else write(*b, **k)
        try:
            return real(visit, *given)
        finally:
            del visit.engine.write

    patch.setattr(spend, "redeem", redeem)


PLANTS: dict[str, tuple[Stage, Plant, str]] = {
    "error as evidence": (TAP, error_as_evidence, "receipts of the card"),
    "delivered unasked": (TAP, delivered_unasked, "families hold"),
    "nothing carried home": (TAP, nothing_carried_home, "carries home|known to neither"),
    "receipt forgotten": (TAP, receipt_forgotten, "DELIVERED is refused"),
    "void's error as evidence": (
        BY_NAME["void after hand-over"], error_as_evidence, "receipts of the card",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    stage, plant, says = PLANTS[name]
    cuts = Cuts([stage], {"T=1": PROTOCOLS["T=1"]})
    # The last command and its answer, one byte in nine; all of the visit would be found, too.
    cuts.pieces = cuts.pieces[-420::9]
    plant(monkeypatch)
    with pytest.raises(FaultError, match=says):
        sum((cuts.piece(7, number) for number in range(len(cuts))), Counter())


# A fault that the campaign found


def test_an_answer_that_was_cut_does_not_keep_the_card_from_its_holder() -> None:
    """What came of a certificate ended in no status word: the card was to be kept as another."""

    class Torn(InProcessLink):
        def transmit(self, command: bytes, /) -> bytes:
            answer = super().transmit(command)
            if command[1] == Ins.GET_DATA:
                self._open = False
                return answer[:100]
            return answer

    terminal, card = at_work()
    assert terminal.engine.begin(Torn(card)) == CardLost(Step.OPENING)
    assert "REJECTED" not in terminal.kinds()
