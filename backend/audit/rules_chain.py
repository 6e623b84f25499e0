"""Rules 1, 2, 3, 16, 17, 19: signatures, chains, the issuance log (PROTOCOL.md §7)."""

from __future__ import annotations

from collections.abc import Iterator

from backend.audit.facts import Fact
from backend.audit.findings import Finding, What, say
from backend.audit.model import Card, Held, World
from backend.audit.registry import rule
from wire import cvc
from wire.invariants import Invariant
from wire.log import RecordType
from wire.objects import Hotlist, Order
from wire.receipt import ReceiptKind, Verification


def _set_aside(world: World, invariant: Invariant) -> Iterator[Finding]:
    yield from (f for f in world.aside if f.invariant == invariant)


def proven(world: World) -> Iterator[Held]:
    """The receipts that count, by card and sequence."""
    for _, card in sorted(world.cards.items()):
        for _, held in sorted(card.receipts.items()):
            yield held


@rule(Invariant.SIGNATURES)
def rule_01(world: World) -> Iterator[Finding]:
    """Signatures, chains, validity; and roles: bypass and void need a supervisor's session."""
    yield from _set_aside(world, Invariant.SIGNATURES)
    for held in proven(world):
        r = held.receipt
        found = world.certificates.get((r.terminal_id, r.terminal_serial))
        if found is None or not isinstance(found[0].extension, cvc.TerminalExtension):
            continue  # invariant 19
        extension = found[0].extension
        wanted = {cvc.Role.SUPERVISOR}
        if r.kind == ReceiptKind.DEBIT and r.verification != Verification.BYPASS:
            wanted = {cvc.Role.TERMINAL, cvc.Role.SUPERVISOR}
        if extension.role not in wanted or extension.officer != r.officer:
            what = say(Fact.WRONG_ROLE, role_kind=extension.role.name.lower())
            yield Finding(Invariant.SIGNATURES, held.name, what, (r.hash.hex(),), "card")


@rule(Invariant.TERMINAL_CHAIN)
def rule_02(world: World) -> Iterator[Finding]:
    """Chains of stations; a receipt whose intent its terminal's chain has not."""
    for _, station in sorted(world.stations.items()):
        yield from (f for f in station.faults if f.invariant == Invariant.TERMINAL_CHAIN)
    for held in proven(world):
        r = held.receipt
        own = world.stations.get(r.terminal_id)
        if own is None or own.is_tainted:
            continue
        record = own.records.get(r.terminal_sequence)
        if record is None:
            continue  # not come that far, closed by TERMINAL_LOST, or a gap named above
        is_intent = record.kind in {RecordType.INTENT, RecordType.VOID}
        if not is_intent or record.hash != r.intent_hash:
            yield Finding(
                Invariant.TERMINAL_CHAIN,
                held.name,
                say(Fact.INTENT_MISSING),
                (r.hash.hex(), r.intent_hash.hex()),
                r.terminal_id.hex(),
            )


@rule(Invariant.ONE_BODY)
def rule_03(world: World) -> Iterator[Finding]:
    """Two bodies with one card and sequence prove a clone."""
    yield from _set_aside(world, Invariant.ONE_BODY)


@rule(Invariant.NO_SPECIMEN)
def rule_16(world: World) -> Iterator[Finding]:
    """Nothing of another environment."""
    yield from _set_aside(world, Invariant.NO_SPECIMEN)


@rule(Invariant.CHAINED_LEDGER)
def rule_17(world: World) -> Iterator[Finding]:
    """Ledger and issuance log chained under published heads; nothing they name is missing."""
    yield from world.chain_faults


@rule(Invariant.ISSUANCE_LOG)
def rule_19(world: World) -> Iterator[Finding]:
    """What was used stands in the issuance log; one live card per family."""
    yield from _set_aside(world, Invariant.ISSUANCE_LOG)
    unknown: set[tuple[bytes, int]] = set()
    for held in proven(world):
        r = held.receipt
        key = (r.terminal_id, r.terminal_serial)
        if key not in world.certificates and key not in unknown:
            unknown.add(key)
            yield Finding(
                Invariant.ISSUANCE_LOG,
                held.name,
                say(
                    Fact.CERTIFICATE_NOT_LOGGED,
                    number=r.terminal_serial,
                    station=r.terminal_id.hex(),
                ),
                (r.hash.hex(),),
                "key service",
            )
    yield from _families(world)
    yield from _orders(world)


def _families(world: World) -> Iterator[Finding]:
    per_family: dict[bytes, list[Card]] = {}
    for card in world.cards.values():
        per_family.setdefault(card.family, []).append(card)
    for cards in per_family.values():
        cards.sort(key=lambda c: c.entry.sequence)
        for at, card in enumerate(cards):
            for before in cards[:at]:
                if not _was_ended(world, before, card.entry.sequence):
                    yield Finding(
                        Invariant.ISSUANCE_LOG,
                        card.card_id.hex(),
                        say(Fact.TWO_CARDS, card=before.card_id.hex()),
                        (card.certificate.digest.hex(),),
                        "registry",
                    )


def _was_ended(world: World, card: Card, sequence: int) -> bool:
    """Whether a card was scrapped, or on a hotlist, before this entry of the issuance log."""
    if card.scrapped is not None and card.scrapped < sequence:
        return True
    return any(
        o.entry is not None
        and o.entry.sequence < sequence
        and world.names_card(h.version, card.card_id)
        for o, h in world.of(Hotlist)
    )


def _orders(world: World) -> Iterator[Finding]:
    orders = {o.hash: order for o, order in world.of(Order)}
    used: set[bytes] = set()
    for card in sorted(world.cards.values(), key=lambda c: c.entry.sequence):
        name = card.entry.order or b""
        order = orders.get(name)
        what: What | None = None
        if order is None:
            what = None if name in world.aside_names else say(Fact.NO_ORDER)
        elif (order.family, order.predecessor) != (card.family, card.entry.predecessor):
            what = say(Fact.ORDER_OTHER)
        elif name in used:
            what = say(Fact.ORDER_TWICE)
        if card.scrapped is None:
            used.add(name)
        if what:
            yield Finding(
                Invariant.ISSUANCE_LOG,
                card.card_id.hex(),
                what,
                (card.certificate.digest.hex(), name.hex()),
                "key service",
            )
