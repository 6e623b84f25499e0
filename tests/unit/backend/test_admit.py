"""Nothing is signed that would be refused afterwards; an answer that was lost is asked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import select

from backend import objects
from backend.errors import BackendError, ConflictError, ReserveError, SignerError, UnknownError
from backend.models import Issuance, Object
from keys.errors import UnreachableError
from tests.support.backend_world import CASH, DESK, BackendWorld, SoftCard
from tests.unit.backend.test_ingest import payables
from wire.chain import IssuanceEntry, IssuanceKind
from wire.objects import Decision, DecisionKind, Hotlist


class Loses:
    """A key service that does everything; one answer is lost on the way back."""

    def __init__(self, service: Any, verb: str) -> None:
        self.service, self.verb = service, verb

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            made = getattr(self.service, name)(*arguments)
            if name == self.verb:
                self.verb = ""
                raise UnreachableError("the answer was lost")
            return made

        return call


@pytest.fixture
def card(ready: BackendWorld) -> SoftCard:
    return next(c for c in ready.cards(10) if CASH in c.wallets)


def orphans(world: BackendWorld) -> list[str]:
    """Notes of objects in the issuance log that the export would not hold."""
    with world.office.db.read() as session:
        held = set(session.exec(select(Object.hash)))
        rows = session.exec(
            select(Issuance.raw).where(Issuance.kind == int(IssuanceKind.OBJECT))
        ).all()
    entries = [IssuanceEntry.parse(raw) for raw in rows]
    return [e.note for e in entries if e.item not in held and e.note != "bundle"]


def drafts(world: BackendWorld, kind: str) -> int:
    with world.office.db.read() as session:
        return len(objects.unsigned(session, kind))


def decide(world: BackendWorld, card: bytes, number: str = "K-1", amount: int = 1000) -> Decision:
    return world.office.decide(DecisionKind.RETURN, card, CASH, first=1, last=1, amount=amount,
                               number=number, reason="tidak dilayani")  # fmt: skip


def test_a_decision_is_refused_before_it_is_signed(ready: BackendWorld, card: SoftCard) -> None:
    terminal = ready.terminal(b"TERM0001")
    terminal.debit(card, CASH, 1000, deliver=False)
    terminal.send()
    with pytest.raises(ConflictError):
        decide(ready, card.card_id, amount=1001)
    with pytest.raises(UnknownError):
        decide(ready, bytes(8))
    decide(ready, card.card_id, "K-2")
    with pytest.raises(ConflictError):
        decide(ready, card.card_id, "K-3")  # the same receipt a second time
    assert (orphans(ready), drafts(ready, "decision")) == ([], 0)


def test_what_was_reversed_is_not_returned(ready: BackendWorld, card: SoftCard) -> None:
    terminal = ready.terminal(b"TERM0001")
    debit, receipt = terminal.debit(card, CASH, 1000, deliver=False)
    terminal.void(card, debit, receipt)
    terminal.send()
    with pytest.raises(ConflictError):
        decide(ready, card.card_id)


def test_a_draft_that_time_overtook_is_dropped_unsigned(
    ready: BackendWorld, card: SoftCard
) -> None:
    """Two offices drafted the same return; the first was signed meanwhile."""
    terminal = ready.terminal(b"TERM0001")
    terminal.debit(card, CASH, 1000, deliver=False)
    terminal.send()
    other = Decision("K-9", DecisionKind.RETURN, card.card_id, CASH, 1, 1, 1000, None, "x",
                     ready.clock())  # fmt: skip
    decide(ready, card.card_id)
    with ready.office.db.write() as session:
        objects.draft(session, other, "K-9")
    with pytest.raises(ConflictError):
        ready.office.sign(Decision)
    assert (orphans(ready), drafts(ready, "decision")) == ([], 0)
    assert ready.office.sign(Decision) == []


def test_a_move_is_checked_again_when_it_is_signed(ready: BackendWorld, card: SoftCard) -> None:
    ready.office.lost_card(card.card_id, DESK)
    new = ready.issue(next(o for o in ready.office.orders(DESK) if card.card_id in o))
    moves = [
        Decision(n, DecisionKind.MOVE, card.card_id, CASH, 0, 0, 250_000, new.card_id, "x",
                 ready.clock()) for n in ("K-1", "K-2")
    ]  # fmt: skip
    for move in moves:
        with ready.office.db.write() as session:
            objects.draft(session, move, move.number)
        if move is moves[0]:
            ready.office.sign(Decision)
    with pytest.raises(ReserveError):
        ready.office.sign(Decision)
    assert orphans(ready) == []


def test_a_terminal_is_not_closed_below_what_came_meanwhile(
    ready: BackendWorld, card: SoftCard
) -> None:
    from backend import lost
    from wire.objects import TerminalLost

    terminal = ready.terminal(b"TERM0001")
    terminal.send()
    with ready.office.db.write() as session:
        lost.draft_terminal_lost(session, terminal.name, "hanyut", ready.clock())
    terminal.debit(card, CASH, 1000)
    terminal.send()
    with pytest.raises(ConflictError):
        ready.office.sign(TerminalLost)
    assert ready.office.lost_terminal(terminal.name, "hanyut").last == len(terminal.records)
    assert (payables(ready), orphans(ready)) == (1000, [])


@pytest.mark.parametrize("again", ["same", "more"])
def test_a_lost_answer_to_a_hotlist(ready: BackendWorld, again: str) -> None:
    first, second, *_ = ready.cards(4)
    ready.office.keys = Loses(ready.service, "sign_policy")
    with pytest.raises(SignerError):
        ready.office.block({first.card_id}, hotlist_only=True)
    assert orphans(ready) == ["hotlist"]
    wanted = {first.card_id} | ({second.card_id} if again == "more" else set())
    made = ready.office.block(wanted, hotlist_only=True)
    assert orphans(ready) == []
    assert made.version == (2 if again == "same" else 3)
    with ready.office.db.read() as session:
        held = [h.version for _, h in objects.payloads_of(session, Hotlist)]
    assert held == list(range(1, made.version + 1))
    assert drafts(ready, "hotlist") == 0


def test_a_lost_answer_to_a_decision_is_asked_again_later(
    ready: BackendWorld, card: SoftCard
) -> None:
    terminal = ready.terminal(b"TERM0001")
    terminal.debit(card, CASH, 1000, deliver=False)
    terminal.send()
    ready.office.keys = Loses(ready.service, "sign_registry")
    with pytest.raises(SignerError):
        decide(ready, card.card_id)
    assert orphans(ready) == ["decision"]
    ready.clock.now_s += 60
    first = decide(ready, card.card_id)
    assert first.time_s == ready.clock() - 60
    ready.clock.now_s += 60
    assert decide(ready, card.card_id) == first
    assert (orphans(ready), drafts(ready, "decision")) == ([], 0)
    with pytest.raises(BackendError):
        decide(ready, card.card_id, amount=999)


def test_parameters_lost_on_the_way_are_the_same_again(ready: BackendWorld) -> None:
    from dataclasses import replace

    from backend.office import DEFAULT_PARAMETERS
    from wire.objects import Parameters

    with ready.office.db.write() as session:
        objects.draft(session, replace(DEFAULT_PARAMETERS, version=2), "2")
    ready.office.keys = Loses(ready.service, "sign_policy")
    # The first refusal asks two people, whose step is the one that loses its answer.
    with pytest.raises(SignerError):
        ready.office.sign(Parameters)
    assert orphans(ready) == ["parameters"]
    assert len(ready.office.sign(Parameters)) == 1
    assert orphans(ready) == []
