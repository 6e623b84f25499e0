"""The backend asks two people through a folder and holds neither key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backend.errors import AuthorityError, RefusedError, SignerError
from backend.signing import TwoPeople
from keys.approve import Person, Role
from keys.describe import ACTIONS
from keys.errors import UnreachableError
from keys.exchange import Exchange, Part
from tests.support.backend_world import ENV, BackendWorld
from tests.unit.backend.test_admit import Loses, drafts, orphans
from wire.objects import FundRelease

FUNDS = (
    b'{"releases": [{"sp2d": "SP2D-X", "date": "2026-04-01", "programme": "%s",'
    b' "amount_minor": 5}]}'
)


class Table:
    """Two people at a folder; each pause of the backend lets them do one step."""

    def __init__(self, world: BackendWorld, path: Path) -> None:
        path.mkdir()
        self.exchange = Exchange(path)
        self.world = world
        self.at = {Role.ASK: 1, Role.AGREE: 2}
        self.actions = set(ACTIONS)
        world.office.authority = TwoPeople(ENV, self.exchange, world.clock, self.pause, 5)

    def person(self, number: int) -> Person:
        return Person(self.world.service._trust, number, self.world.keys.people[number],
                      frozenset(self.actions), self.world.clock, lambda _: True,
                      lambda _: None)  # fmt: skip

    def pause(self) -> None:
        for role, number in self.at.items():
            self.person(number).step(self.exchange, role)

    def left(self) -> set[Part]:
        return {p for n in self.exchange.names() for p in Part if self.exchange.has(n, p)}


@pytest.fixture
def table(ready: BackendWorld, tmp_path: Path) -> Table:
    return Table(ready, tmp_path / "approvals")


@pytest.fixture
def release(ready: BackendWorld) -> Callable[[], int]:
    from sqlmodel import select

    from backend.models import Plan

    with ready.office.db.read() as session:
        ident = session.exec(select(Plan.ident)).first() or ""
    return lambda: ready.office.import_funds(FUNDS % ident.encode())


def funds(world: BackendWorld) -> int:
    from backend import objects

    with world.office.db.read() as session:
        return len(objects.payloads_of(session, FundRelease))


def test_a_job_waits_for_both_and_leaves_nothing_behind(
    ready: BackendWorld, table: Table, release: Callable[[], int]
) -> None:
    before = funds(ready)
    release()
    assert funds(ready) == before + 1
    assert table.exchange.names() == []


@pytest.mark.parametrize("missing", list(Role))
def test_who_does_not_come_is_waited_for_and_the_same_job_goes_on(
    ready: BackendWorld, table: Table, release: Callable[[], int], missing: Role
) -> None:
    before, away = funds(ready), table.at.pop(missing)
    with pytest.raises(AuthorityError, match="asker" if missing == Role.ASK else "approver"):
        release()
    assert (funds(ready), drafts(ready, "funds")) == (before, 1)
    table.at = {Role.ASK: 1, Role.AGREE: 2} | {missing: away}
    table.pause()  # signed at leisure, with no job running
    table.at = {}
    release()
    assert funds(ready) == before + 1
    assert table.exchange.names() == []


def test_a_refusal_drops_the_draft(
    ready: BackendWorld, table: Table, release: Callable[[], int]
) -> None:
    before = funds(ready)
    table.actions.remove("funds")
    with pytest.raises(RefusedError):
        release()
    assert (funds(ready), drafts(ready, "funds"), table.left()) == (before, 0, set())
    table.actions.add("funds")
    release()
    assert funds(ready) == before + 1


def test_a_refusal_does_not_drop_what_the_log_holds(
    ready: BackendWorld, table: Table, release: Callable[[], int]
) -> None:
    """Signed and logged, the answer lost; then somebody refuses: the draft waits."""
    ready.office.keys = Loses(ready.service, "sign_registry")
    with pytest.raises(SignerError):
        release()
    table.exchange.clear(table.exchange.names()[0])
    table.actions.remove("funds")
    with pytest.raises(RefusedError):
        release()
    assert (orphans(ready), drafts(ready, "funds")) == (["funds"], 1)
    table.actions.add("funds")
    ready.clock.now_s += 1
    release()
    assert orphans(ready) == []


def test_the_same_request_is_used_while_the_answer_is_unknown(
    ready: BackendWorld, table: Table, release: Callable[[], int]
) -> None:
    class Away:
        def sign_registry(self, *_: object) -> list[bytes]:
            raise UnreachableError("nobody answers")

    service = ready.office.keys
    ready.office.keys = Away()  # type: ignore[assignment]
    with pytest.raises(SignerError):
        release()
    assert table.left() == {Part.PENDING, Part.REQUEST, Part.APPROVAL}
    table.at = {}  # both have gone home
    ready.office.keys = service
    release()
    assert table.exchange.names() == []


def test_a_request_of_yesterday_is_asked_anew(
    ready: BackendWorld, table: Table, release: Callable[[], int]
) -> None:
    del table.at[Role.AGREE]
    with pytest.raises(AuthorityError):
        release()
    ready.clock.now_s += 90_000
    table.at[Role.AGREE] = 2
    before = funds(ready)
    release()
    assert funds(ready) == before + 1


def test_one_person_is_not_two(
    ready: BackendWorld, table: Table, release: Callable[[], int]
) -> None:
    table.at[Role.AGREE] = 1
    before = funds(ready)
    with pytest.raises(RefusedError):
        release()
    assert funds(ready) == before


def test_a_small_hotlist_step_asks_nobody(ready: BackendWorld, table: Table) -> None:
    """PROTOCOL.md §3: a second approval is for a step above the set share."""
    from dataclasses import replace

    from backend import objects
    from backend.office import DEFAULT_PARAMETERS
    from wire.objects import Parameters

    first = ready.cards(6)[0]
    with ready.office.db.write() as session:
        more = replace(DEFAULT_PARAMETERS, version=2, hotlist_step_permille=200)
        objects.draft(session, more, "2")
    ready.office.sign(Parameters)
    table.at = {}
    assert ready.office.block({first.card_id}, hotlist_only=True).version == 2
    table.at = {Role.ASK: 1}
    with pytest.raises(AuthorityError):
        ready.office.block({c.card_id for c in ready.cards(10)}, hotlist_only=True)
