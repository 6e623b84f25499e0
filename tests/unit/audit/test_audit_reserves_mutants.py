"""Reserved losses replayed on worlds made by hand: two cards, wallets, stations and decisions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from backend.audit import reserves
from backend.audit.model import Card, Held, Station
from backend.audit.reserves import Reserve
from tests.support.audit_small import CASH, FOOD, W1, W2, W3, Small
from wire import cvc, dates, log
from wire.objects import DecisionKind, Unit
from wire.receipt import StatementKind


class Loss:
    """Two stations, card ``old`` on hotlist 2 and not on 1, and ``new`` of its family."""

    def __init__(self) -> None:
        self.s = s = Small()
        s.programme(CASH)
        s.programme(FOOD, unit=Unit.BASKET, price=150, lines=(("beras", Unit.GRAM, 5),))
        self.one, self.two = s.station(1), s.station(2)
        self.old = s.card(1)
        self.new = s.card(2, self.old.family)
        for wallet in (W1, W2):
            s.entitle(self.old, wallet, 500)
        s.hotlist(1)
        s.hotlist(2, self.old)

    def sync(self, station: Station, version: int = 2, *pending: int, known: bool = True) -> bytes:
        """A SYNC that arrives at once; its hash."""
        bundle = self.s.name()
        if known:
            self.s.world.names[bundle] = self.s.entry(item=bundle, note="bundle")
        place = self.s.record(station, log.Sync(1, 1, bundle, version, pending))
        self.s.acknowledge(station)
        return place.record.hash

    def move(self, amount: int, wallet: int = W2, card: Card | None = None) -> bytes:
        return self.s.decide(DecisionKind.MOVE, card or self.old, wallet, amount, new=self.new)

    def changes(self) -> list[tuple[bytes, int, int]]:
        """Evidence, programme and amount of each entry there must be."""
        return [(c.evidence, c.code, c.amount) for c in reserves.replay(self.s.world).changes]

    def left(self) -> dict[int, int]:
        return dict(reserves.replay(self.s.world).left)

    def holders(self) -> set[bytes]:
        """The stations which a MOVE now would wait for, by what clears it."""
        world = self.s.world
        replayed = reserves._Replay(world)
        for order, thing in sorted(replayed._events(), key=lambda e: e[0]):
            replayed._apply(order, thing)
        return {n for r in replayed.open.values() for n in r.holders}


def test_a_reserve_has_what_is_not_lost_yet_while_it_waits_for_a_station() -> None:
    waiting = {b"TERM0001"}
    assert Reserve(2, 30, 0, waiting).left == 30
    assert Reserve(2, 30, holders=waiting).left == 30
    assert Reserve(2, 30, 29, waiting).left == 1
    assert Reserve(2, 30, 31, waiting).left == 0
    assert Reserve(2, 30, -4, waiting).left == 30
    assert Reserve(2, 30).left == 0


def test_a_move_is_reserved_until_the_last_station_knows_of_the_block() -> None:
    x = Loss()
    move = x.move(30)
    assert x.changes() == [(move, 2, 30)]
    assert x.left() == {2: 30}
    x.sync(x.one)
    assert x.changes() == [(move, 2, 30)]
    last = x.sync(x.two)
    x.sync(x.two)
    assert x.changes() == [(move, 2, 30), (last, 2, -30)]
    assert x.left() == {2: 0}


def test_without_a_move_there_is_no_reserve() -> None:
    x = Loss()
    x.sync(x.one)
    assert (x.changes(), x.left()) == ([], {})


def test_where_every_station_knew_nothing_is_reserved() -> None:
    x = Loss()
    x.sync(x.one)
    x.sync(x.two)
    x.move(30)
    assert (x.changes(), x.left()) == ([], {})


@pytest.mark.parametrize(("version", "is_free"), [(1, False), (2, True), (3, True)])
def test_a_station_knows_by_any_hotlist_since_the_first_that_names_the_card(
    version: int, is_free: bool
) -> None:
    x = Loss()
    x.s.hotlist(3, x.old)
    x.sync(x.one)
    x.sync(x.two, version)
    x.move(30)
    assert (x.changes() == []) == is_free
    x = Loss()
    x.s.hotlist(3, x.old)
    x.sync(x.one)
    x.move(30)
    x.sync(x.two, version)
    assert (len(x.changes()) == 2) == is_free


def test_no_station_is_free_of_a_card_on_no_hotlist() -> None:
    x = Loss()
    other = x.s.card(3)
    x.s.entitle(other, W2, 500)
    x.sync(x.one)
    x.sync(x.two)
    move = x.move(30, card=other)
    x.sync(x.one)
    x.sync(x.two)
    assert x.changes() == [(move, 2, 30)]
    assert x.left() == {2: 30}


def test_a_hotlist_entered_after_the_move_frees_no_station_before_it() -> None:
    x = Loss()
    other = x.s.card(3)
    x.s.entitle(other, W2, 500)
    move = x.move(30, card=other)
    early = x.sync(x.one, 3), x.sync(x.two, 3)  # a version that nobody signed yet
    x.s.hotlist(3, other)
    assert x.changes() == [(move, 2, 30)]
    assert early
    x.sync(x.one, 3)
    last = x.sync(x.two, 3)
    assert x.changes() == [(move, 2, 30), (last, 2, -30)]


def test_a_bundle_nobody_issued_tells_of_no_hotlist() -> None:
    x = Loss()
    x.sync(x.one)
    x.sync(x.two, known=False)
    move = x.move(30)
    x.sync(x.two, known=False)
    assert x.changes() == [(move, 2, 30)]
    last = x.sync(x.two)
    assert x.changes()[1:] == [(last, 2, -30)]


def test_a_later_sync_of_an_older_hotlist_does_not_make_a_station_forget() -> None:
    x = Loss()
    x.sync(x.one)
    x.sync(x.two)
    x.sync(x.two, 1)
    x.move(30)
    assert x.changes() == []


def test_a_sync_that_has_not_arrived_counts_for_nothing() -> None:
    x = Loss()
    x.sync(x.one)
    move = x.move(30)
    x.sync(x.two)
    x.two.arrivals.clear()
    assert x.changes() == [(move, 2, 30)]


# --- pending intents ------------------------------------------------------------


def test_a_station_with_a_pending_intent_of_the_card_is_waited_for() -> None:
    x = Loss()
    ask = x.s.intent(x.two, x.old, W2, 5).place.record.sequence
    other = x.s.intent(x.two, x.new, W2, 5).place.record.sequence
    x.sync(x.one)
    x.sync(x.two, 2, ask, 99)
    move = x.move(30)
    x.sync(x.two, 2, other, ask)
    assert x.changes() == [(move, 2, 30)]
    last = x.sync(x.two, 2, other, 99)
    assert x.changes() == [(move, 2, 30), (last, 2, -30)]


def test_a_pending_intent_is_waited_for_whatever_certificates_the_station_has() -> None:
    x = Loss()
    ask = x.s.intent(x.two, x.old, W2, 5).place.record.sequence
    x.sync(x.one)
    x.sync(x.two, 2, ask)
    x.s.world.certificates.clear()
    x.move(30)
    assert x.holders() == {x.two.station}


# --- which stations a move waits for ------------------------------------------------------------


def test_a_move_waits_for_stations_of_which_certificates_still_hold() -> None:
    x = Loss()
    three = x.s.station(3)
    for serial in (30, 31):
        cert, entry = x.s.world.certificates.pop((three.station, serial))
    x.s.certify(three, cvc.Role.HANDOVER, 7, 32)
    x.s.certify(three, cvc.Role.PERSONALISER, 0, 33)
    x.s.certify(three, cvc.Role.TERMINAL, 0, 34, extension=x.old.certificate.extension)
    x.move(30)
    assert x.holders() == {x.one.station, x.two.station}
    x.s.world.certificates[three.station, 31] = (cert, entry)
    assert x.holders() == {x.one.station, x.two.station, three.station}


def expire(x: Loss, station: Station, days: int) -> None:
    """Its certificates end so many days after the day the card's own begins."""
    for key, (cert, entry) in x.s.world.certificates.items():
        if key[0] == station.station:
            last = dates.add_days(x.old.certificate.effective, days)
            x.s.world.certificates[key] = (replace(cert, expires=last), entry)


@pytest.mark.parametrize(("days", "is_open"), [(-1, False), (0, True), (1, True)])
def test_a_certificate_past_the_card_s_own_day_opens_no_card(days: int, is_open: bool) -> None:
    x = Loss()
    expire(x, x.two, days)
    x.move(30)
    assert (x.two.station in x.holders()) == is_open


@pytest.mark.parametrize("how", ["receipt", "statement"])
def test_the_card_s_day_is_what_had_arrived_before_the_move(how: str) -> None:
    x = Loss()
    expire(x, x.two, 5)
    later = dates.add_days(x.old.certificate.effective, 6)
    if how == "receipt":
        x.s.debit(x.old, x.one, W2, 1, card_date=later)
    else:
        x.s.statement(x.old, x.one, StatementKind.PIN_SET, card_date=later)
    x.move(30)
    assert x.two.station in x.holders()  # it had not come
    x = Loss()
    expire(x, x.two, 5)
    for shown in (dates.add_days(later, -1), later, dates.add_days(later, -2)):
        if how == "receipt":
            x.s.debit(x.old, x.one, W2, 1, card_date=shown)
        else:
            x.s.statement(x.old, x.one, StatementKind.PIN_SET, card_date=shown)
    order = x.s.acknowledge(x.one)
    x.move(30)
    assert x.holders() == {x.one.station}
    x.one.arrivals[0] = (x.one.last, 1, order + 1)  # with the move itself: not before it
    assert x.two.station in x.holders()


def test_a_station_entered_or_certified_after_the_move_is_not_waited_for() -> None:
    x = Loss()
    x.move(30)
    x.s.station(3)
    assert x.holders() == {x.one.station, x.two.station}
    at = max(o.entry.sequence for o in x.s.world.objects.values())
    for by, is_there in ((-1, True), (0, False), (1, False)):
        x.two.entry = replace(x.two.entry, sequence=at + by)
        assert (x.two.station in x.holders()) == is_there, by
    x.two.entry = None
    assert x.two.station not in x.holders()
    for by, is_there in ((-1, True), (0, False), (1, False)):
        for key in ((x.one.station, 10), (x.one.station, 11)):
            cert, entry = x.s.world.certificates[key]
            x.s.world.certificates[key] = (cert, replace(entry, sequence=at + by))
        assert (x.one.station in x.holders()) == is_there, by


def test_a_lost_terminal_is_not_waited_for_and_one_lost_later_frees_what_waits_for_it() -> None:
    x = Loss()
    x.sync(x.one)
    x.s.lose(x.two)
    x.move(30)
    assert x.changes() == []
    x = Loss()
    x.sync(x.one)
    move = x.move(30)
    lost = x.s.lose(x.two)
    assert x.changes() == [(move, 2, 30), (lost, 2, -30)]
    assert x.holders() == set()


@pytest.mark.parametrize("which", [1, 2])
def test_a_lost_terminal_is_no_reason_not_to_wait_for_another(which: int) -> None:
    x = Loss()
    lost, other = (x.one, x.two) if which == 1 else (x.two, x.one)
    x.s.lose(lost)
    x.move(30)
    assert x.holders() == {other.station}


def test_a_decision_or_loss_that_stands_in_no_log_changes_nothing() -> None:
    x = Loss()
    x.s.record(x.one, log.Boot("x"))
    x.sync(x.one)
    move, again = x.move(30), x.move(20)
    lost = x.s.lose(x.two)
    for name in (again, lost):
        x.s.world.objects[name] = replace(x.s.world.objects[name], entry=None)
    assert x.changes() == [(move, 2, 30)]


def test_the_first_hotlist_may_name_the_card() -> None:
    x = Loss()
    x.s.world.hotlists[1] = x.s.world.hotlists[2]
    x.sync(x.one, 1)
    x.move(30)
    assert x.holders() == {x.two.station}
    x.sync(x.two, 1)
    assert x.holders() == set()


def test_a_terminal_lost_later_is_waited_for_until_then() -> None:
    x = Loss()
    move = x.move(30)
    x.s.lose(x.two)
    assert x.changes() == [(move, 2, 30)]
    assert x.holders() == {x.one.station}
    last = x.sync(x.one)
    assert x.changes() == [(move, 2, 30), (last, 2, -30)]


def test_a_reserve_that_waits_for_a_tainted_station_is_not_judged() -> None:
    x = Loss()
    x.sync(x.one)
    x.one.is_tainted = True
    move = x.move(30)
    assert x.changes() == [(move, 2, 30)]  # it does not wait for that one
    x.two.is_tainted = True
    found = reserves.replay(x.s.world)
    assert (found.changes, found.left) == ([], Counter())
    assert found.unjudged == {2: {x.two.station}}
    food = x.move(4, W1)
    assert reserves.replay(x.s.world).unjudged == {2: {x.two.station}, 1: {x.two.station}}
    x.s.station(3).is_tainted = True
    x.move(5, W1)
    told = reserves.replay(x.s.world).unjudged
    assert told == {2: {x.two.station}, 1: {x.two.station, b"TERM0003"}}
    assert food not in {e for e, _, _ in x.changes()}


def test_moves_of_no_known_card_or_programme_are_not_reserved() -> None:
    x = Loss()
    x.move(30, W3)
    ghost = replace(x.old, card_id=b"DEMO0009")
    x.move(30, card=ghost)
    assert x.changes() == []
    move = x.move(30)
    assert x.changes() == [(move, 2, 30)]


# --- what settles a reserve ------------------------------------------------------------


def late(x: Loss, amount: int, station: Station | None = None, wallet: int = W2) -> Held:
    """A debit of so much that arrives after all was moved: lost."""
    station = station or x.two
    held = x.s.debit(x.old, station, wallet, amount)
    x.s.acknowledge(station)
    return held


def test_what_is_lost_after_all_settles_the_reserve() -> None:
    x = Loss()
    move = x.move(500)
    held = late(x, 60)
    more = late(x, 15)
    assert x.changes() == [(move, 2, 500), (held.receipt.hash, 2, -60),
                           (more.receipt.hash, 2, -15)]  # fmt: skip
    assert x.left() == {2: 425}
    void = x.s.void(more, x.two)
    x.s.acknowledge(x.two)
    assert x.changes()[3:] == [(void.receipt.hash, 2, 15)]
    assert x.left() == {2: 440}


def test_a_loss_beyond_the_reserve_takes_no_more_than_there_is() -> None:
    x = Loss()
    x.s.debit(x.old, x.one, W2, 470)
    x.s.acknowledge(x.one)
    move = x.move(30)
    first, second = late(x, 20), late(x, 10)
    assert x.changes() == [(move, 2, 30), (first.receipt.hash, 2, -20),
                           (second.receipt.hash, 2, -10)]  # fmt: skip
    x.s.counters[x.old.card_id, W2] = replace(x.s.counters[x.old.card_id, W2], loaded=900)
    late(x, 40)
    assert len(x.changes()) == 3
    again = x.move(5)  # what was lost beyond the first is not counted against the second
    assert x.changes()[3:] == [(again, 2, 5)]
    assert x.left() == {2: 5}


def test_losses_of_other_wallets_or_set_aside_settle_nothing() -> None:
    x = Loss()
    move = x.move(500)
    late(x, 60, wallet=W1)
    held = late(x, 60)
    x.s.world.aside_names.add(held.receipt.hash)
    assert x.changes() == [(move, 2, 500)]
    food = x.move(500, W1)
    more = late(x, 7, wallet=W1)
    assert x.changes() == [(move, 2, 500), (food, 1, 500), (more.receipt.hash, 1, -7)]
    assert x.left() == {2: 500, 1: 493}


def test_what_is_lost_once_nothing_waits_any_more_settles_nothing() -> None:
    x = Loss()
    x.sync(x.one)
    move = x.move(500)
    last = x.sync(x.two)
    late(x, 60)
    assert x.changes() == [(move, 2, 500), (last, 2, -500)]


def test_a_loss_of_a_card_without_a_move_is_no_reserve_s() -> None:
    x = Loss()
    other = x.s.card(3)
    x.s.entitle(other, W2, 500)
    x.s.entitle(other, W2, 5)
    move = x.move(500)
    other.entitlements.clear()
    x.s.debit(other, x.two, W2, 5)
    x.s.acknowledge(x.two)
    assert x.changes() == [(move, 2, 500)]


def test_a_write_off_of_the_residual_closes_its_own_reserve() -> None:
    x = Loss()
    cash, food = x.move(30), x.move(4, W1)
    for first, last in ((1, 1), (0, 1), (1, 0)):
        x.s.decide(DecisionKind.WRITE_OFF, x.old, W2, first=first, last=last)
    x.s.decide(DecisionKind.PAY, x.old, W2)
    x.s.decide(DecisionKind.WRITE_OFF, x.new, W2)
    x.s.decide(DecisionKind.WRITE_OFF, x.old, W3)
    assert x.changes() == [(cash, 2, 30), (food, 1, 4)]
    off = x.s.decide(DecisionKind.WRITE_OFF, x.old, W2)
    assert x.changes() == [(cash, 2, 30), (food, 1, 4), (off, 2, -30)]
    assert x.left() == {2: 0, 1: 4}


# --- two of everything ------------------------------------------------------------


def test_what_one_sync_frees_is_one_entry_for_each_programme() -> None:
    x = Loss()
    other = x.s.card(3)
    for wallet in (W1, W2):
        x.s.entitle(other, wallet, 500)
    x.s.hotlist(3, x.old, other)
    x.sync(x.one, 3)
    moves = [x.move(n, w, c) for n, w, c in
             ((30, W2, x.old), (4, W1, x.old), (50, W2, other), (6, W1, other))]  # fmt: skip
    assert x.left() == {2: 80, 1: 10}
    half = x.sync(x.two, 2)
    assert x.changes()[4:] == [(half, 1, -4), (half, 2, -30)]
    assert x.left() == {2: 50, 1: 6}
    last = x.sync(x.two, 3)
    assert x.changes() == [
        *((m, c, n) for m, c, n in zip(moves, (2, 1, 2, 1), (30, 4, 50, 6), strict=True)),
        (half, 1, -4), (half, 2, -30), (last, 1, -6), (last, 2, -50),
    ]  # fmt: skip


def test_a_second_move_adds_to_what_still_waits_and_begins_anew_after() -> None:
    x = Loss()
    first = x.move(30)
    x.sync(x.one)
    second = x.move(20)
    assert x.left() == {2: 50}
    last = x.sync(x.two)
    assert x.changes() == [(first, 2, 30), (second, 2, 20), (last, 2, -50)]
    x.s.station(3)
    third = x.move(7)
    assert x.changes()[3:] == [(third, 2, 7)]
    assert x.left() == {2: 7}
