"""Which debits are owed, and why others are held, on worlds made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.audit.model import Ask, Card, Held, Station
from backend.audit.payable import judge
from tests.support.audit_small import CASH, FOOD, W1, W2, W3, Small
from wire import log
from wire.objects import DecisionKind, Tariff, Unit
from wire.receipt import Counters, ReceiptKind, StatementKind


def village() -> tuple[Small, Station, Card]:
    """Baskets at 150 and cash on one card at one station."""
    s = Small()
    s.programme(CASH)
    s.programme(FOOD, unit=Unit.BASKET, price=150, lines=(("beras", Unit.GRAM, 5),))
    station, card = s.station(), s.card()
    for wallet in (W1, W2, W3):
        s.entitle(card, wallet, 500)
    return s, station, card


def why(s: Small, held: Held) -> set[str]:
    """Why this debit is held."""
    return set(judge(s.world)[held.receipt.hash].why)


def ask_of(s: Small, held: Held) -> Ask:
    return s.world.ask_of(held.receipt)


def test_owed_is_the_amount_at_its_tariff_to_the_wallet_s_provider() -> None:
    s, station, card = village()
    s.programme(FOOD, unit=Unit.BASKET, version=2,
                tariffs=(Tariff(1, 150, ()), Tariff(2, 170, ())))  # fmt: skip
    cash, food = s.debit(card, station, W2, 7), s.debit(card, station, W1, 3, basket_version=2)
    judged = judge(s.world)
    owed = [judged[h.receipt.hash] for h in (cash, food)]
    found = [(o.programme.provider, o.minor, o.held, o.why) for o in owed]
    assert found == [("P2", 7, cash, frozenset()), ("P1", 510, food, frozenset())]


def test_without_programme_or_tariff_or_of_a_reversal_nothing_is_owed_but_of_the_next() -> None:
    s, station, card = village()
    s.debit(card, station, W3, 1)
    s.debit(card, station, W2, 1, basket_version=2)
    s.void(s.debit(card, station, W2, 1), station)
    held = s.debit(card, station, W2, 1)
    assert set(judge(s.world)) == {card.receipts[3].receipt.hash, held.receipt.hash}


def test_of_a_terminal_nobody_enrolled() -> None:
    s, station, card = village()
    held = s.debit(card, s.station(2), W2, 1)
    s.world.stations[b"TERM0002"].arrivals.append((9, 1, 1))
    gone = s.world.stations.pop(b"TERM0002")
    s.record(station, log.Boot("x"))
    card.receipts[1] = replace(held, place=s.record(station, log.Collected(bytes(held.receipt))))
    assert why(s, card.receipts[1]) == {"unknown-terminal"}
    assert gone.asks


@pytest.mark.parametrize(("by", "found"), [(-1, {"terminal-lost"}), (0, set()), (1, set())])
def test_after_terminal_lost_a_debit_is_held(by: int, found: set) -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    s.lose(station, held.receipt.terminal_sequence + by)
    assert why(s, held) == found


def test_without_its_intent_a_debit_waits_for_the_log_or_has_none() -> None:
    s, station, card = village()
    at = station.last
    for by, found in ((-1, "no-intent"), (0, "no-intent"), (1, "awaiting-log")):
        held = s.debit(card, station, W2, 1, record=False, intent_hash=bytes(32),
                       terminal_sequence=at + 5 + by)  # fmt: skip
        for n in [n for n in station.records if n > at + 5]:
            del station.records[n]
        while station.last < at + 5:
            s.record(station, log.Boot("x"))
        assert why(s, held) == {found}, by


def test_delivered_is_for_the_receipt_that_its_own_chain_records() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1, deliver=False)
    assert why(s, held) == {"not-delivered"}
    s.hand(ask_of(s, held))
    assert why(s, held) == set()
    second = s.debit(card, station, W2, 1, asked=ask_of(s, held), record=False)
    assert why(s, held) == set()
    assert why(s, second) == {"not-delivered"}
    ask_of(s, held).receipts.clear()
    assert why(s, held) == {"not-delivered"}


def test_an_open_void_and_goods_on_the_counter_are_suspense() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    void = s.void_ask(station, ask_of(s, held))
    assert why(s, held) == {"suspense"}
    void.aborted.append(void.place.record)
    assert why(s, held) == {"suspense"}  # the goods lie there
    void.given_back.append(void.place.record)
    assert why(s, held) == set()
    void.given_back.clear()
    void.on_counter = False
    assert why(s, held) == set()
    s.void_ask(station, ask_of(s, held))
    assert why(s, held) == {"suspense"}


def test_a_proven_void_is_no_suspense() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    s.void(held, station)
    assert why(s, held) == {"reversed"}


def test_a_card_on_the_installed_hotlist_is_blocked() -> None:
    s, station, card = village()
    s.hotlist(1)
    s.hotlist(2, card)
    held = s.debit(card, station, W2, 1, asked=s.intent(station, card, W2, 1, hotlist=1))
    after = s.debit(card, station, W2, 1, asked=s.intent(station, card, W2, 1, hotlist=2))
    assert (why(s, held), why(s, after)) == (set(), {"blocked"})


def test_losses_disputes_and_second_bodies_are_held() -> None:
    s, station, card = village()
    held, other = s.debit(card, station, W2, 1), s.debit(card, station, W2, 1)
    s.world.disputes[held.receipt.hash] = held.place
    assert (why(s, held), why(s, other)) == ({"disputed"}, set())
    s.world.disputes.clear()
    card.doubles[2] = []
    assert (why(s, held), why(s, other)) == (set(), {"clone"})
    card.doubles.clear()
    card.entitlements[W2].clear()
    assert (why(s, held), why(s, other)) == ({"loss"}, {"loss"})


@pytest.mark.parametrize(
    ("first", "last", "wallet", "is_named"),
    [(2, 2, W2, True), (1, 3, W2, True), (3, 9, W2, False), (0, 1, W2, False), (0, 0, W2, False),
     (1, 2, W2, True), (2, 9, W2, True), (2, 2, W1, False), (2, 2, W3, False)],
)  # fmt: skip
def test_a_decision_is_about_the_receipts_of_the_wallet_it_names(
    first: int, last: int, wallet: int, is_named: bool
) -> None:
    s, station, card = village()
    s.debit(card, station, W2, 1)
    held = s.debit(card, station, W2, 1)
    s.debit(card, station, W2, 1)
    other = s.card(2)
    s.decide(DecisionKind.RETURN, other, W2, first=2, last=2)
    s.decide(DecisionKind.RETURN, card, wallet, first=first, last=last)
    assert why(s, held) == ({"returned"} if is_named else set())


def test_to_pay_sets_aside_what_is_not_final() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1, deliver=False)
    s.world.disputes[held.receipt.hash] = held.place
    assert why(s, held) == {"not-delivered", "disputed"}
    s.decide(DecisionKind.PAY, card, W2, first=1, last=1)
    assert why(s, held) == set()
    card.doubles[1] = []
    assert why(s, held) == {"clone"}
    s.decide(DecisionKind.WRITE_OFF, card, W2, first=1, last=1)
    s.decide(DecisionKind.RETURN, card, W2, first=1, last=1)
    assert why(s, held) == {"clone", "written-off", "returned"}
    s.void(held, station)
    assert why(s, held) == {"clone", "written-off", "returned", "reversed"}


@pytest.mark.parametrize("kind", [DecisionKind.MOVE, DecisionKind.CLOSE_GAP])
def test_other_decisions_hold_nothing(kind: DecisionKind) -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 1)
    s.decide(kind, card, W2, first=1, last=1)
    assert why(s, held) == set()


@pytest.mark.parametrize(
    "changes", [{"kind": ReceiptKind.DEBIT}, {"wallet": W1}, {"wallet": W3}, {"amount": 4},
                {"amount": 6}]
)  # fmt: skip
def test_a_reversal_after_it_takes_back_the_whole_of_this_wallet(changes: dict) -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5)
    void = s.void(held, station)
    assert why(s, held) == {"reversed"}
    card.receipts[2] = replace(void, receipt=replace(void.receipt, **changes))
    assert why(s, held) == set()


def shown(s: Small, station: Station, card: Card, reversed_: int, *, later: int = 1) -> Held:
    """A debit of 5 after 2 were taken back; a gap; a debit that shows so many taken back."""
    s.void(s.debit(card, station, W2, 2), station)
    held = s.debit(card, station, W2, 5)
    s.skip(card, later)
    s.debit(card, station, W2, 9, counters=Counters(500, 16, 0, reversed_))
    return held


@pytest.mark.parametrize(("reversed_", "is_back"), [(2, False), (6, False), (7, True), (8, True)])
@pytest.mark.parametrize("later", [1, 2])
def test_across_a_gap_r_shows_the_reversal(reversed_: int, is_back: bool, later: int) -> None:
    s, station, card = village()
    held = shown(s, station, card, reversed_, later=later)
    assert why(s, held) == ({"unseen-reversal"} if is_back else set())


def test_a_reversal_that_is_there_accounts_for_its_own_step() -> None:
    s, station, card = village()
    held = shown(s, station, card, 2)
    s.void(card.receipts[5], station)
    assert s.counters[card.card_id, W2] == Counters(500, 16, 0, 11)
    assert why(s, held) == set()
    c = s.counters[card.card_id, W2]
    s.debit(card, station, W2, 1, counters=replace(c, debited=17, reversed=c.reversed + 5))
    assert why(s, held) == {"unseen-reversal"}


def test_a_load_after_the_gap_shows_r_too() -> None:
    s, station, card = village()
    held = s.debit(card, station, W2, 5)
    c = replace(s.counters[card.card_id, W2], reversed=5)
    for at, (kind, wallet, sequence) in enumerate((
        (StatementKind.PIN_SET, W2, 2), (StatementKind.LOAD, W1, 2), (StatementKind.LOAD, W3, 2),
        (StatementKind.LOAD, W2, 1), (StatementKind.LOAD, W2, 0), (StatementKind.LOAD, W2, 2),
    )):  # fmt: skip
        s.statement(card, station, kind, wallet, counters=c, sequence=sequence)
        assert why(s, held) == ({"unseen-reversal"} if at == 5 else set()), at


def test_what_came_before_a_debit_shows_nothing_of_it() -> None:
    s, station, card = village()
    s.debit(card, station, W2, 9, counters=Counters(500, 9, 0, 9))
    held = s.debit(card, station, W2, 5, counters=Counters(500, 14, 0, 0))
    assert why(s, held) == set()
    s.debit(card, station, W1, 9, counters=Counters(500, 9, 0, 9))
    last = s.debit(card, station, W2, 5, counters=Counters(500, 19, 0, 0))
    assert why(s, last) == set()
