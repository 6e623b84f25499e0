"""Rules 10 to 12: what one use of a card had to respect (PROTOCOL.md §7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from backend.audit.facts import Fact
from backend.audit.findings import Finding, What, say
from backend.audit.logs import MAX_AHEAD_S
from backend.audit.model import Card, Held, World
from backend.audit.payable import price_of
from backend.audit.registry import is_old, rule
from backend.audit.rules_chain import proven
from wire.cvc import Role, TerminalExtension
from wire.dates import end_of_day_s, start_of_day_s
from wire.invariants import Invariant
from wire.log import Intent
from wire.objects import Hotlist, Programme
from wire.receipt import Receipt, ReceiptKind, Statement, StatementKind, Verification


@rule(Invariant.CAPS_AND_COUNTS)
def rule_10(world: World) -> Iterator[Finding]:
    """Caps, windows, expiry, bypasses; scripts and PIN sets explained by statements."""
    versions: dict[int, list[Programme]] = {}
    for _, p in world.of(Programme):
        versions.setdefault(p.wallet, []).append(p)
    for held in proven(world):
        if held.receipt.kind == ReceiptKind.DEBIT:
            for what in _respects(world, held, versions.get(held.receipt.wallet, [])):
                yield Finding(
                    Invariant.CAPS_AND_COUNTS,
                    held.name,
                    what,
                    (held.receipt.hash.hex(),),
                    held.receipt.terminal_id.hex(),
                )
    for _, card in sorted(world.cards.items()):
        yield from _bypasses(card)
    parameters = world.parameters()
    for count in unexplained(world):
        is_final = parameters is None or is_old(world, count.since_s, parameters.statement_age_s)
        if count.is_impossible or (is_final and not count.terminals):
            yield Finding(
                Invariant.CAPS_AND_COUNTS, count.card.card_id.hex(), count.what, (), "card"
            )


def _respects(world: World, held: Held, versions: list[Programme]) -> Iterator[What]:
    r = held.receipt
    if not versions:
        yield say(Fact.WALLET_UNKNOWN)
        return
    if all(price_of(p, r.basket_version) is None for p in versions):
        yield say(Fact.TARIFF_UNSIGNED)
    if r.amount > max(p.cap for p in versions):
        yield say(Fact.ABOVE_PROGRAMME_CAP)
    windows = [w for p in versions for w in p.windows]
    is_always_open = any(not p.windows for p in versions)
    t = r.terminal_time_s
    if not is_always_open and not any(w.from_s <= t < w.to_s for w in windows):
        yield say(Fact.OUTSIDE_WINDOW)
    issued = world.cards[r.card_id].entitlement(r.wallet, r.entitlement_sequence)
    if issued is not None:
        e = issued.entitlement
        before = (
            replace(r.counters, debited=r.counters.debited - r.amount)
            if (r.counters.debited >= r.amount)
            else None
        )
        if r.amount > e.cap:
            yield say(Fact.ABOVE_CAP)
        is_same = before is not None and r.counters.loaded == e.loaded
        if is_same and before is not None and r.amount > e.available(before, t):
            yield say(Fact.EXPIRED)
        if r.verification == Verification.BYPASS and r.bypass_count > e.bypass_total:
            yield say(Fact.BYPASSES_MANY)
    if r.verification == Verification.NONE:
        yield say(Fact.NO_PIN)
    ask = world.ask_of(r)
    if ask is not None and isinstance(ask.place.record.body, Intent):
        has_reason = bool(ask.place.record.body.bypass_reason)
        if has_reason != (r.verification == Verification.BYPASS):
            yield say(Fact.BYPASS_REASON)


def _bypasses(card: Card) -> Iterator[Finding]:
    receipts = [h.receipt for _, h in sorted(card.receipts.items())]
    for a, b in pairwise(receipts):
        if b.sequence != a.sequence + 1 or {a.sequence, b.sequence} & card.doubles.keys():
            continue
        if not card.is_one_body(a, b):
            continue  # counted by the other chip
        if b.bypass_count != a.bypass_count + (b.verification == Verification.BYPASS):
            yield Finding(
                Invariant.CAPS_AND_COUNTS,
                f"{card.card_id.hex()}/{b.sequence}",
                say(Fact.BYPASS_STEP),
                (b.hash.hex(),),
                "card",
            )


# --- counts ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Count:
    """A script or PIN set that was counted, but whose statement nobody brought.

    ``terminals``: closed ones whose records alone could show it: explained, not a finding.
    """

    card: Card
    what: What
    since_s: int
    terminals: tuple[str, ...]
    is_impossible: bool


def unexplained(world: World) -> Iterator[Count]:
    """Counts without their statement, card by card."""
    for _, card in sorted(world.cards.items()):
        pins = {
            s.statement.pin_set_count
            for s in card.statements
            if s.statement.kind in {StatementKind.PIN_SET, StatementKind.ACTIVATION}
        }
        scripts = {
            s.statement.script_count
            for s in card.statements
            if s.statement.kind == StatementKind.SCRIPT
        }
        yield from _counts(
            world,
            card,
            Fact.PIN_UNEXPLAINED,
            known=pins,
            count_of=lambda i: i.pin_set_count,
            most=None,
        )
        yield from _counts(
            world,
            card,
            Fact.SCRIPT_UNEXPLAINED,
            known=scripts,
            count_of=lambda i: i.script_count,
            most=len(card.scripts),
        )


def _counts(
    world: World,
    card: Card,
    fact: Fact,
    *,
    known: set[int],
    count_of: Callable[[Receipt | Statement], int],
    most: int | None,
) -> Iterator[Count]:
    shown = [(h.receipt, h.receipt.terminal_time_s) for h in card.receipts.values()]
    every: list[tuple[Receipt | Statement, int]] = [
        *shown,
        *((s.statement, s.place.record.time_s) for s in card.statements),
    ]
    highest = max((count_of(i) for i, _ in every), default=0)
    for n in range(1, highest + 1):
        if n in known:
            continue
        since_s = min(t for i, t in every if count_of(i) >= n)
        from_s = max((t for i, t in every if count_of(i) < n), default=card.entry.time_s)
        terminals = tuple(
            s.station.hex()
            for s in world.stations.values()
            if s.lost is not None and s.lost.time_s >= from_s
        )
        what = say(fact, number=n)
        yield Count(card, what, since_s, terminals, most is not None and n > most)


# --- time and hotlist ------------------------------------------------------------


@rule(Invariant.TIME)
def rule_11(world: World) -> Iterator[Finding]:
    """Times are monotone, and within what certificates, entitlements and arrival allow."""
    for _, station in sorted(world.stations.items()):
        yield from (f for f in station.faults if f.invariant == Invariant.TIME)
    for held in proven(world):
        for what in _times(world, held):
            yield Finding(
                Invariant.TIME,
                held.name,
                what,
                (held.receipt.hash.hex(),),
                held.receipt.terminal_id.hex(),
            )


def _times(world: World, held: Held) -> Iterator[What]:
    r, card = held.receipt, world.cards[held.receipt.card_id]
    t = r.terminal_time_s
    ask = world.ask_of(r)
    if ask is not None and ask.place.record.time_s != t:
        yield say(Fact.TIME_NOT_INTENT)
    parameters = world.parameters()
    before = card.receipts.get(r.sequence - 1)
    skew_s = parameters.card_skew_s if parameters else 0
    is_older = before is not None and t < before.receipt.terminal_time_s - skew_s
    if before is not None and is_older and card.is_one_body(before.receipt, r):
        yield say(Fact.TIME_OLDER)
    found = world.certificates.get((r.terminal_id, r.terminal_serial))
    for fact, cert in (
        (Fact.OUTSIDE_TERMINAL_CERTIFICATE, found[0] if found else None),
        (Fact.OUTSIDE_CARD_CERTIFICATE, card.certificate),
    ):
        if cert is not None and not (
            start_of_day_s(cert.effective) <= t <= end_of_day_s(cert.expires)
        ):
            yield say(fact)
    issued = card.entitlement(r.wallet, r.entitlement_sequence)
    if issued is not None and t < start_of_day_s(issued.entitlement.issued):
        yield say(Fact.BEFORE_ENTITLEMENT)
    station = world.stations.get(held.place.station)
    arrived = station.arrival(held.place.record.sequence) if station else None
    if arrived is not None and t > arrived + MAX_AHEAD_S:
        yield say(Fact.AFTER_ARRIVAL)


@rule(Invariant.HOTLIST)
def rule_12(world: World) -> Iterator[Finding]:
    """No debit where the hotlist naming the card was installed, nor under a newer certificate."""
    hotlists = sorted(
        (o.entry.sequence, h.version) for o, h in world.of(Hotlist) if o.entry is not None
    )
    for held in proven(world):
        r = held.receipt
        if r.kind != ReceiptKind.DEBIT:
            continue
        ask = world.ask_of(r)
        if ask is not None and world.names_card(ask.hotlist, r.card_id):
            what = say(Fact.AFTER_HOTLIST, number=ask.hotlist)
        elif _is_under_newer(world, r, hotlists):
            what = say(Fact.CERTIFICATE_AFTER_HOTLIST)
        else:
            continue
        yield Finding(Invariant.HOTLIST, held.name, what, (r.hash.hex(),), r.terminal_id.hex())


def _is_under_newer(world: World, r: Receipt, hotlists: list[tuple[int, int]]) -> bool:
    """A renewed certificate comes only with a hotlist no older (PROTOCOL.md §5 Bundle)."""
    found = world.certificates.get((r.terminal_id, r.terminal_serial))
    if found is None or not isinstance(found[0].extension, TerminalExtension):
        return False
    if found[0].extension.role not in {Role.TERMINAL, Role.SUPERVISOR}:
        return False
    then = [version for sequence, version in hotlists if sequence < found[1].sequence]
    return bool(then) and world.names_card(max(then), r.card_id)
