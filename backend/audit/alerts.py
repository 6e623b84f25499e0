"""Alerts, which prove nothing, and what a closed terminal explains (PROTOCOL.md §7, end)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum

from backend.audit import books, goods, payable, reserves
from backend.audit.facts import Fact
from backend.audit.findings import Alert, Explained, say
from backend.audit.forms import Amount
from backend.audit.model import Station, World
from backend.audit.registry import is_old
from backend.audit.rules_chain import proven
from backend.audit.rules_use import unexplained
from backend.audit.rules_visit import asks, is_not_returned
from backend.audit.steps import gaps
from wire.log import RecordType
from wire.objects import StockDelivery
from wire.receipt import ReceiptKind, StatementKind, Verification

FIRST_DEBIT_DAYS = 7
DAY_S = 86_400
BURST, BURST_S = 20, 600
"""So many debits at one terminal within so many seconds are looked at."""


class Kind(StrEnum):
    """Why to look."""

    GAP = "gap"
    NOT_RETURNED = "not-returned"
    STATEMENT = "statement"
    AWAITING_LOG = "awaiting-log"
    OPEN_INTENT = "open-intent"
    UNPAID = "unpaid"
    ON_THE_WAY = "on-the-way"
    FIRST_DEBIT = "first-debit"
    BYPASS = "bypass"
    BURST = "burst"
    DISPUTE = "dispute"
    UNJUDGED = "unjudged"


def alerts(world: World) -> list[Alert]:
    """Everything to look at."""
    return [*_aged(world), *_open(world), *_unusual(world)]


def _aged(world: World) -> Iterator[Alert]:
    """What becomes a finding at the age the signed parameters set."""
    p = world.parameters()
    if p is None:
        return
    for _, card in sorted(world.cards.items()):
        for gap in gaps(world, card):
            if not is_old(world, gap.since_s, p.gap_age_s):
                subject = f"{card.card_id.hex()}/{gap.sequence}"
                yield Alert(Kind.GAP, subject, since_s=gap.since_s)
    for ask in asks(world):
        since_s = ask.place.record.time_s
        if is_not_returned(world, ask) and not is_old(world, since_s, p.returned_age_s):
            yield Alert(Kind.NOT_RETURNED, ask.place.name, since_s=since_s)
    for count in unexplained(world):
        is_young = not is_old(world, count.since_s, p.statement_age_s)
        if is_young and not count.is_impossible and not count.terminals:
            yield Alert(Kind.STATEMENT, count.card.card_id.hex(), since_s=count.since_s)


def _open(world: World) -> Iterator[Alert]:
    judged = payable.judge(world)
    for name, owed in sorted(judged.items()):
        if "awaiting-log" in owed.why:
            r = owed.held.receipt
            yield Alert(Kind.AWAITING_LOG, owed.held.name, since_s=r.terminal_time_s)
        if name in world.disputes:
            yield Alert(Kind.DISPUTE, owed.held.name)
    for name in sorted(books.replay(world, judged).open):
        yield Alert(Kind.UNPAID, judged[name].held.name, judged[name].minor)
    for ask in asks(world):
        station = world.stations[ask.place.station]
        if ask.receipt is None and not ask.aborted and station.lost is None:
            yield Alert(Kind.OPEN_INTENT, ask.place.name, since_s=ask.place.record.time_s)
    received = {
        place.record.body.delivery
        for s in world.stations.values()
        for place in s.chain()
        if place.record.kind == RecordType.STOCK
    }
    for name in sorted(set().union(*reserves.replay(world).unjudged.values())):
        yield Alert(Kind.UNJUDGED, name.hex())
    for o, delivery in world.of(StockDelivery):
        if o.hash not in received:
            yield Alert(Kind.ON_THE_WAY, delivery.number, since_s=delivery.time_s)


def _unusual(world: World) -> Iterator[Alert]:
    handed = {
        s.statement.card_id: (s.statement.officer, s.place.record.time_s, s.place.station)
        for s in world.statements.values()
        if s.statement.kind == StatementKind.ACTIVATION
    }
    shifts = {name: _shifts(station) for name, station in world.stations.items()}
    seen: set[bytes] = set()
    bypasses: Counter[str] = Counter()
    times: dict[bytes, list[int]] = {}
    for held in proven(world):
        r = held.receipt
        if r.kind != ReceiptKind.DEBIT:
            continue
        times.setdefault(r.terminal_id, []).append(r.terminal_time_s)
        bypasses[r.terminal_id.hex()] += r.verification == Verification.BYPASS
        if r.card_id in handed and r.card_id not in seen:
            seen.add(r.card_id)
            officer, since_s, _ = handed[r.card_id]
            on_shift = _officer_at(shifts.get(r.terminal_id, []), r.terminal_time_s)
            if on_shift == officer and r.terminal_time_s - since_s < FIRST_DEBIT_DAYS * DAY_S:
                yield Alert(Kind.FIRST_DEBIT, held.name, officer, r.terminal_time_s)
    for terminal, number in sorted(bypasses.items()):
        if number:
            yield Alert(Kind.BYPASS, terminal, number)
    for terminal_id, every in sorted(times.items()):
        every.sort()
        for a, b in zip(every, every[BURST - 1 :], strict=False):
            if b - a < BURST_S:
                yield Alert(Kind.BURST, terminal_id.hex(), BURST, a)
                break


def _shifts(station: Station) -> list[tuple[int, int]]:
    """(time, officer on shift from then; 0 none)."""
    return [
        (p.record.time_s, p.record.body.officer if p.record.body.opened else 0)
        for p in station.chain()
        if p.record.kind == RecordType.SHIFT
    ]


def _officer_at(shifts: list[tuple[int, int]], time_s: int) -> int | None:
    on_shift = [officer for t, officer in shifts if t <= time_s]
    return on_shift[-1] if on_shift else None


# --- what TERMINAL_LOST explains ------------------------------------------------------------


def explained(world: World) -> list[Explained]:
    """Every matter that only a closed terminal's records could show, with its money."""
    found: list[Explained] = []
    judged, shelves, units = payable.judge(world), goods.shelves(world), world.units()
    for _, station in sorted(world.stations.items()):
        if station.lost is None:
            continue
        name = station.station.hex()
        officers = sorted(
            {
                str(p.record.body.officer)
                for p in station.chain()
                if p.record.kind == RecordType.SHIFT
            }
        )
        shelf = shelves[station.station]
        what = say(Fact.CLOSED, number=station.lost.last, officers=", ".join(officers) or "-")
        found.append(Explained(name, what))
        found += [
            Explained(name, say(Fact.WRITTEN_OFF, good=good, quantity=Amount(n, units.get(good))))
            for good, n in sorted(shelf.loss.items())
            if n
        ]
        for owed in judged.values():
            r = owed.held.receipt
            if r.terminal_id == station.station and station.is_closed_before(r.terminal_sequence):
                is_open = "terminal-lost" in owed.why
                fact = Fact.BROUGHT_HOME if is_open else Fact.BROUGHT_HOME_DECIDED
                what = say(fact, receipt=owed.held.name, amount_minor=owed.minor)
                found.append(Explained(name, what))
        found += [
            Explained(name, say(Fact.OUTCOME_UNKNOWN, intent=ask.place.name))
            for ask in station.asks.values()
            if ask.receipt is None and not ask.aborted
        ]
    for count in unexplained(world):
        found += [
            Explained(t, say(Fact.CARD_COUNT, card=count.card.card_id.hex(), fact=count.what))
            for t in count.terminals
            if not count.is_impossible
        ]
    return found
