"""Reserved losses: booked with an early move, cleared by what §6 names and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlmodel import select

from backend import ledger
from backend.audit.page import page
from backend.audit.verify import verify
from backend.errors import SignerError
from backend.models import Ledger
from tests.support.backend_world import CASH, DESK, BackendWorld, SoftCard, SoftStation
from tests.unit.backend.test_admit import Loses
from tests.unit.backend.test_ingest import held
from tests.unit.backend.test_losses import (
    audited,
    card,
    provisional,
    replacement,
    supervised_void,
    supervisor,
)
from wire import log
from wire.objects import DecisionKind

__all__ = ["card"]
CODE = 0x0102


def entries(world: BackendWorld, kind: ledger.Kind) -> list[bytes]:
    """What the entries of this kind stand on."""
    with world.office.db.read() as session:
        return list(session.exec(select(Ledger.evidence).where(Ledger.kind == str(kind))))


def reserved(world: BackendWorld) -> int:
    """By the report, which must be the ledger's account."""
    report = world.office.report()
    (line,) = [x for x in report["programmes"] if x["code"] == CODE]
    assert report["ledger"] == []
    with world.office.db.read() as session:
        account = ledger.balance(session, f"reserve/{CODE}", f"wallet-{CODE}")
        other = ledger.balance(session, f"reserved-loss/{CODE}", f"wallet-{CODE}")
    assert line["reserved"] == account == -other
    return account


def moved(world: BackendWorld, card: SoftCard, amount: int = 5) -> tuple[SoftCard, bytes]:
    """The old card is lost, the provisional amount goes to the new one."""
    new = replacement(world, card)
    provisional(world, amount)
    world.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="x", amount=amount)
    return new, entries(world, ledger.Kind.MOVE)[-1]


@pytest.fixture
def two(ready: BackendWorld) -> tuple[SoftStation, SoftStation]:
    """Two terminals whose first SYNC has come, of the hotlist before the loss."""
    stations = ready.terminal(b"TERM0001"), ready.terminal(b"TERM0002")
    for station in stations:
        station.send()
    return stations


def test_it_clears_with_the_sync_of_the_last_terminal(
    ready: BackendWorld, card: SoftCard, two: tuple[SoftStation, SoftStation], tmp_path: Path
) -> None:
    first, second = two
    _, decision = moved(ready, card)
    assert (reserved(ready), entries(ready, ledger.Kind.RESERVE)) == (5, [decision])
    first.sync()
    first.send()
    assert reserved(ready) == 5
    assert audited(ready, tmp_path / "open") == set()
    second.sync()
    second.send()
    assert reserved(ready) == 0
    sync = second.records[-1].hash
    assert entries(ready, ledger.Kind.RESERVE_CLEARED) == [sync]
    assert audited(ready, tmp_path / "over") == set()


def test_a_bundle_that_nobody_issued_tells_nobody_of_the_block(
    ready: BackendWorld, card: SoftCard, two: tuple[SoftStation, SoftStation], tmp_path: Path
) -> None:
    first, second = two
    moved(ready, card)
    false = log.Sync(9, 9, b"\x07" * 32, 99, ())  # by a stolen policy key, in force there
    for station in (first, second):
        station.add(false)
        station.send()
    assert reserved(ready) == 5
    assert audited(ready, tmp_path / "a") == {19}
    paid = first.debit(card, CASH, 5)[1]
    first.send()
    assert held(ready)[card.card_id.hex(), paid.sequence] != "blocked"
    assert audited(ready, tmp_path / "b") == {19}


def test_a_pending_intent_keeps_it_until_a_later_sync(
    ready: BackendWorld, card: SoftCard, two: tuple[SoftStation, SoftStation], tmp_path: Path
) -> None:
    first, second = two
    intent = first.intent(card, CASH, 1000)
    first.add(log.Pending(intent.sequence))
    moved(ready, card)
    for station, pending in ((first, (intent.sequence,)), (second, ())):
        station.sync(pending)
        station.send()
    assert reserved(ready) == 5
    first.add(log.Aborted(intent.sequence, 0, None))
    first.sync()
    first.send()
    assert reserved(ready) == 0
    assert audited(ready, tmp_path / "a") == set()


def test_a_late_debit_takes_its_place_and_a_void_gives_it_back(
    ready: BackendWorld, card: SoftCard, two: tuple[SoftStation, SoftStation], tmp_path: Path
) -> None:
    first = two[0]  # whose certificate this small card names
    _, decision = moved(ready, card)
    debit, receipt = first.debit(card, CASH, 249_998)
    first.send()
    assert reserved(ready) == 2  # three of the five are a recorded loss now
    assert entries(ready, ledger.Kind.RESERVE_CLEARED) == [receipt.hash]
    assert audited(ready, tmp_path / "lost") == set()
    serial = supervisor(first)
    void = supervised_void(first, card, debit, receipt, serial=serial, on_counter=True)
    first.send()
    assert reserved(ready) == 5
    assert entries(ready, ledger.Kind.RESERVE) == [decision, void.hash]
    assert audited(ready, tmp_path / "back") == set()
    for station in two:
        station.sync()
        station.send()
    assert reserved(ready) == 0
    assert audited(ready, tmp_path / "over") == set()


def test_a_lost_terminal_clears_what_waited_for_it(
    ready: BackendWorld, card: SoftCard, two: tuple[SoftStation, SoftStation], tmp_path: Path
) -> None:
    first, second = two
    moved(ready, card)
    first.sync()
    first.send()
    ready.office.lost_terminal(second.name, "hanyut")
    assert reserved(ready) == 0
    assert audited(ready, tmp_path / "a") == set()


def test_a_decision_writes_it_off(
    ready: BackendWorld, card: SoftCard, two: tuple[SoftStation, SoftStation], tmp_path: Path
) -> None:
    moved(ready, card)

    def write_off(number: str, at: int) -> None:
        ready.office.decide(DecisionKind.WRITE_OFF, card.card_id, CASH, first=at, last=at,
                            amount=5, number=number, reason="x")  # fmt: skip

    write_off("K-2", 1)  # of a receipt: the reserve stands
    assert reserved(ready) == 5
    write_off("K-3", 0)
    assert reserved(ready) == 0
    two[0].sync()
    two[0].send()
    assert audited(ready, tmp_path / "a") == set()


def test_nothing_is_reserved_when_every_terminal_knows(
    ready: BackendWorld, card: SoftCard, two: tuple[SoftStation, SoftStation], tmp_path: Path
) -> None:
    new = replacement(ready, card)
    for station in two:
        station.sync()
        station.send()
    ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="x")
    assert entries(ready, ledger.Kind.RESERVE) == []
    assert audited(ready, tmp_path / "a") == set()


def test_a_second_early_move_adds_to_it(
    ready: BackendWorld, card: SoftCard, two: tuple[SoftStation, SoftStation], tmp_path: Path
) -> None:
    new, _ = moved(ready, card, 5)
    assert reserved(ready) == 5
    ready.office.lost_terminal(two[0].name, "hanyut")
    plan_to(ready, 8)
    ready.office.move(card.card_id, new.card_id, CASH, number="K-2", reason="x", amount=3)
    assert reserved(ready) == 8
    two[1].sync()
    two[1].send()
    assert reserved(ready) == 0
    assert audited(ready, tmp_path / "a") == set()


def plan_to(world: BackendWorld, amount: int) -> None:
    """Version 3 of every programme, with another provisional amount."""
    import json

    from backend.models import Plan

    with world.office.db.read() as session:
        plans = [json.loads(p.plan) for p in session.exec(select(Plan))]
    for plan in plans:
        plan["version"], plan["provisional"] = 3, amount
    world.office.import_programmes(json.dumps({"programmes": plans}).encode())


def test_an_upload_between_the_log_and_the_answer_is_after_the_move(
    ready: BackendWorld, card: SoftCard, two: tuple[SoftStation, SoftStation], tmp_path: Path
) -> None:
    """The signer's answer is lost; both terminals sync before the job is run again."""
    new = replacement(ready, card)
    provisional(ready, 5)
    ready.office.keys = Loses(ready.service, "sign_registry")

    def move() -> None:
        ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="x", amount=5)

    with pytest.raises(SignerError):
        move()
    for station in two:
        station.sync()
        station.send()
    ready.clock.now_s += 60
    move()
    assert reserved(ready) == 0
    assert entries(ready, ledger.Kind.RESERVE) == entries(ready, ledger.Kind.MOVE)
    assert entries(ready, ledger.Kind.RESERVE_CLEARED) == [two[1].records[-1].hash]
    assert audited(ready, tmp_path / "a") == set()


def test_a_late_debit_between_the_log_and_the_answer_is_a_loss_on_both_sides(
    ready: BackendWorld, card: SoftCard, two: tuple[SoftStation, SoftStation], tmp_path: Path
) -> None:
    """The log holds the MOVE, its signature is on the way; the old card's debit comes home."""
    new = replacement(ready, card)
    ready.office.lost_terminal(two[0].name, "hanyut")
    two[1].sync()
    two[1].send()
    ready.office.keys = Loses(ready.service, "sign_registry")

    def move() -> None:
        ready.office.move(card.card_id, new.card_id, CASH, number="K-1", reason="x")

    with pytest.raises(SignerError):
        move()
    residual = card.wallets[CASH].loaded
    assert ready.office.reserve(card.card_id)["exposure"][CASH] == 0
    _, receipt = two[0].debit(card, CASH, 30_000)
    two[1].add(log.Collected(bytes(receipt)))
    two[1].send()
    assert entries(ready, ledger.Kind.LOSS) == [receipt.hash]
    issued = len(entries(ready, ledger.Kind.ISSUE))
    ready.office.entitle()  # not on a decision whose signature is not here
    assert len(entries(ready, ledger.Kind.ISSUE)) == issued
    ready.clock.now_s += 60
    move()  # the same command takes up what the log holds, residual or not
    assert len(entries(ready, ledger.Kind.MOVE)) == 1
    ready.office.entitle()
    ready.load(new)
    assert new.wallets[CASH].loaded == residual
    assert reserved(ready) == 0
    assert audited(ready, tmp_path / "a") == set()


def test_report_and_page_show_what_is_reserved(
    ready: BackendWorld, card: SoftCard, two: tuple[SoftStation, SoftStation], tmp_path: Path
) -> None:
    moved(ready, card)
    assert reserved(ready) == 5
    ready.office.export(tmp_path / "export")
    (tmp_path / "trust.cbor").write_bytes(bytes(ready.keys.trust))
    report = verify(tmp_path / "export", tmp_path / "trust.cbor", allow_demo=True)
    (line,) = [p for p in report.to_json()["programmes"] if p["code"] == CODE]
    assert line["reserved"] == 5
    shown = [x for x in page(report, "id").splitlines() if "dicadangkan" in x]
    assert len(shown) == 1
    assert shown[0].endswith("Rp5")
    assert "reserved losses" in page(report, "en")
    assert DESK.hex() not in ready.office.reserve(card.card_id)["waiting_for"]
