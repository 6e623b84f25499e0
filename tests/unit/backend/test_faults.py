"""Each fault once, under the most specific rule (PROTOCOL.md §7), and what it holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from keys.signer import P256Signer
from tests.support.backend_world import (
    CASH,
    FOOD,
    BackendWorld,
    SoftCard,
    SoftStation,
    _files,
)
from tests.unit.backend.test_ingest import findings, held, payables
from tests.unit.backend.test_losses import audited
from wire import log
from wire.objects import DecisionKind
from wire.receipt import Counters, ReceiptKind, StatementKind


@pytest.fixture
def card(ready: BackendWorld) -> SoftCard:
    return next(c for c in ready.cards(10) if CASH in c.wallets)


@pytest.fixture
def terminal(ready: BackendWorld, card: SoftCard) -> SoftStation:
    return ready.terminal(b"TERM0001")


@pytest.fixture
def other(ready: BackendWorld, terminal: SoftStation) -> SoftStation:
    return ready.terminal(b"TERM0002")


def why(world: BackendWorld, card: SoftCard, sequence: int) -> str:
    return held(world)[card.card_id.hex(), sequence]


@pytest.mark.parametrize("first", ["own", "collected"])
def test_a_second_receipt_of_one_intent_that_another_carries_home_is_not_payable(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation, other: SoftStation, first: str
) -> None:
    """A broken chip signs twice for one DEBIT; DELIVERED is about the receipt recorded."""
    intent, _ = terminal.debit(card, CASH, 1000)
    second = card.receipt(ReceiptKind.DEBIT, terminal.name, intent, CASH, 1000)
    other.add(log.Collected(bytes(second)))
    for station in (terminal, other) if first == "own" else (other, terminal):
        station.send()
    assert why(ready, card, 1) == ""
    assert why(ready, card, 2) == "not-delivered"
    assert payables(ready) == 1000
    assert findings(ready) == [8]


def test_a_second_receipt_found_before_its_own_chain_goes_on(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation, other: SoftStation
) -> None:
    intent, receipt = terminal.debit(card, CASH, 1000, record=False)
    terminal.send()
    second = card.receipt(ReceiptKind.DEBIT, terminal.name, intent, CASH, 1000)
    other.add(log.Collected(bytes(second)))
    other.send()
    assert findings(ready) == []
    terminal.add(log.Receipted(intent.sequence, bytes(receipt)))
    terminal.add(log.Delivered(intent.sequence))
    terminal.send()
    assert findings(ready) == [8]
    assert payables(ready) == 1000


def test_aborted_excludes_a_receipt_that_others_carry_home(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation, other: SoftStation
) -> None:
    intent, receipt = terminal.debit(card, CASH, 1000, record=False)
    terminal.add(log.Aborted(intent.sequence, 0, None))
    other.add(log.Collected(bytes(receipt)))
    other.send()
    terminal.send()
    assert findings(ready) == [8]
    assert payables(ready) == 0


def test_delivered_and_returned_on_what_was_set_aside_are_no_faults_of_their_own(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    genuine, card.key = card.key, P256Signer.generate(ready.random)
    debit, receipt = terminal.debit(card, CASH, 1000)
    terminal.void(card, debit, receipt, on_counter=True)
    card.key = genuine
    terminal.send()
    assert findings(ready) == [1, 1]


def test_a_dispute_over_the_second_body_of_a_clone_is_no_other_fault(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    clone = SoftCard(card.card_id, card.key, card.digest, ready.clock)
    clone.wallets, clone.entitlements = dict(card.wallets), dict(card.entitlements)
    terminal.debit(card, CASH, 1000)
    _, second = terminal.debit(clone, CASH, 2000)
    terminal.add(log.Dispute(card.card_id, 1, second.hash))
    terminal.send()
    assert findings(ready) == [3]
    terminal.add(log.Dispute(card.card_id, 1, bytes(32)))
    terminal.send()
    assert findings(ready) == [3, 8]


@pytest.mark.parametrize("kind", [ReceiptKind.DEBIT, ReceiptKind.REVERSAL])
def test_a_receipt_whose_intent_is_missing_is_2_and_no_more(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation, kind: ReceiptKind
) -> None:
    debit, _ = terminal.debit(card, CASH, 1000, deliver=False)
    body = log.VoidIntent(debit.sequence, card.card_id, 1, 1, 0, False, "x")
    asked = terminal.add(body) if kind == ReceiptKind.REVERSAL else terminal.intent(card, CASH, 1)
    other = log.Record.make(asked.sequence, bytes(32), asked.time_s, asked.body)  # another chain
    made = card.receipt(kind, terminal.name, other, CASH, 1000)
    terminal.add(log.Receipted(asked.sequence, bytes(made)))
    if kind == ReceiptKind.DEBIT:
        terminal.add(log.Delivered(asked.sequence))
    terminal.send()
    assert findings(ready) == [2]
    assert payables(ready) == 0


def test_a_jump_of_r_inside_the_receipt_holds_nothing(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    """It is a finding (6) of the card; the goods were handed over and are paid."""
    card.wallets[CASH] = replace(card.wallets[CASH], debited=5000, reversed=5000)
    terminal.debit(card, CASH, 1000)
    terminal.send()
    assert findings(ready) == [6]
    assert (why(ready, card, 1), payables(ready)) == ("", 1000)


@pytest.mark.parametrize("shown_by", ["receipt", "load"])
def test_a_reversal_that_only_later_counters_show_holds_its_debit(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation, other: SoftStation, shown_by: str
) -> None:
    debit, receipt = terminal.debit(card, CASH, 1000)
    terminal.send()
    assert payables(ready) == 1000
    other.void(card, debit, receipt)  # that log never comes
    if shown_by == "receipt":
        terminal.debit(card, CASH, 2000)
    else:
        statement = card.statement(StatementKind.LOAD, terminal.name, CASH)
        name = card.entitlements[CASH].hash
        terminal.add(log.Load(name, bytes(statement)))
    terminal.send()
    assert why(ready, card, 1) == "unseen-reversal"
    assert payables(ready) == (2000 if shown_by == "receipt" else 0)


def test_l_of_another_entitlement_is_6_and_a_name_never_issued_7(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    c = card.wallets[CASH]
    card.wallets[CASH] = Counters(c.loaded - 1, 0, 0, 0)
    terminal.debit(card, CASH, 10)
    terminal.send()
    assert findings(ready) == [6]


def unsigned_tariff(terminal: SoftStation, card: SoftCard, wallet: int) -> None:
    """A tap under a tariff that nobody signed: an honest card signs the number it is sent."""
    intent = terminal.intent(card, wallet, 1)
    receipt = card.receipt(ReceiptKind.DEBIT, terminal.name, intent, wallet, 1, basket_version=9)
    terminal.add(log.Receipted(intent.sequence, bytes(receipt)))
    terminal.add(log.Delivered(intent.sequence))


@pytest.mark.parametrize("wallet", [CASH, FOOD])
def test_a_tariff_that_nobody_signed_is_paid_to_nobody_and_stops_nobody(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation, wallet: int, tmp_path: Path
) -> None:
    unsigned_tariff(terminal, card, wallet)
    terminal.send()
    assert (why(ready, card, 1), payables(ready)) == ("no-tariff", 0)
    assert 10 in audited(ready, tmp_path / "a")
    terminal.debit(card, CASH, 1000)
    terminal.send()
    assert payables(ready) == 1000
    assert 13 not in audited(ready, tmp_path / "b")


def test_a_decision_to_pay_under_a_tariff_that_nobody_signed_stops_no_other_decision(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    unsigned_tariff(terminal, card, FOOD)
    terminal.send()
    for kind, number in ((DecisionKind.PAY, "K-1"), (DecisionKind.CLOSE_GAP, "K-2")):
        ready.office.decide(kind, card.card_id, FOOD, first=1, last=1, amount=0, number=number,
                            reason="x")  # fmt: skip
    assert (why(ready, card, 1), payables(ready)) == ("no-tariff", 0)


def test_a_programme_that_dropped_a_tariff_keeps_what_is_paid_and_refuses_no_upload(
    ready: BackendWorld, card: SoftCard, terminal: SoftStation
) -> None:
    second = next(c for c in ready.cards(12) if FOOD in c.wallets and c.card_id != card.card_id)
    terminal.debit(card, FOOD, 1)
    terminal.send()
    paid = payables(ready)
    files = json.loads(_files(62, 12)["programmes.json"])
    for p in files["programmes"]:
        if p["wallet"]["code"] == FOOD:
            newer = p["versions"][-1] | {"version": p["versions"][-1]["version"] + 1}
            p |= {"version": 2, "versions": [newer]}
    ready.office.import_programmes(json.dumps(files).encode())
    terminal.debit(second, FOOD, 1)
    terminal.send()
    assert (why(ready, card, 1), why(ready, second, 1)) == ("", "no-tariff")
    assert payables(ready) == paid > 0
    ready.office.report()
