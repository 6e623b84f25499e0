"""Rules 8, 9: intents, receipts, hand-overs, voids in a terminal's chain (PROTOCOL.md §7)."""

from __future__ import annotations

from collections.abc import Iterator

from backend.audit.facts import Fact
from backend.audit.findings import Finding, What, say
from backend.audit.goods import goods_of
from backend.audit.model import Ask, Held, World
from backend.audit.registry import is_old, rule
from backend.audit.rules_chain import proven
from wire.invariants import Invariant
from wire.log import Intent
from wire.receipt import Receipt, ReceiptKind


def asks(world: World) -> Iterator[Ask]:
    """Every intent and void of every station that can be judged."""
    for _, station in sorted(world.stations.items()):
        for _, ask in sorted(station.asks.items()):
            yield ask


def _loose(world: World, invariant: Invariant) -> Iterator[Finding]:
    for _, station in sorted(world.stations.items()):
        for broken, place, what in station.loose:
            if broken == invariant and not station.is_tainted:
                yield _finding(invariant, place.name, what, place.record.hash, place.station)


def _finding(
    invariant: Invariant, subject: str, what: What, name: bytes, station: bytes
) -> Finding:
    return Finding(invariant, subject, what, (name.hex(),), station.hex())


@rule(Invariant.INTENT_RECEIPT)
def rule_08(world: World) -> Iterator[Finding]:
    """Receipt and intent one to one; ABORTED excludes a receipt."""
    yield from _loose(world, Invariant.INTENT_RECEIPT)
    named: dict[tuple[bytes, int, bytes], list[Held]] = {}
    for held in proven(world):
        r = held.receipt
        key = (r.terminal_id, r.terminal_sequence, r.intent_hash)
        named.setdefault(key, []).append(held)
    for ask in asks(world):
        key = (ask.place.station, ask.place.record.sequence, ask.hash)
        for what in _ask(world, ask, named.get(key, [])):
            yield _finding(
                Invariant.INTENT_RECEIPT, ask.place.name, what, ask.hash, ask.place.station
            )
    for name, place in world.disputes.items():
        if name not in world.receipts and name not in world.aside_names:
            yield _finding(
                Invariant.INTENT_RECEIPT,
                place.name,
                say(Fact.DISPUTE_UNKNOWN),
                name,
                place.station,
            )


def _ask(world: World, ask: Ask, held: list[Held]) -> Iterator[What]:
    if len(held) > 1:
        yield say(Fact.RECEIPTS_MANY)
    for _, receipt in ask.receipts:
        own = (receipt.terminal_id, receipt.terminal_sequence)
        if own != (ask.place.station, ask.place.record.sequence):
            yield say(Fact.RECEIPT_OTHER_INTENT)
    if len({receipt.hash for _, receipt in ask.receipts}) > 1:
        yield say(Fact.RECEIPT_SECOND)
    if not ask.is_void:
        for receipt in [h.receipt for h in held][:1]:
            # A reversal here is invariant 9's: no VOID asked for it.
            if receipt.kind == ReceiptKind.DEBIT and _is_other(ask, receipt, ReceiptKind.DEBIT):
                yield say(Fact.RECEIPT_NOT_ASKED)
    if ask.aborted and (held or ask.receipts):
        yield say(Fact.ABORTED_WITH_RECEIPT)
    for record in ask.aborted:
        yield from _abort(world, ask, record.body.card_sequence, record.body.other)
    yield from _handed(ask)
    body = ask.place.record.body
    programme = world.programmes().get(ask.wallet) if isinstance(body, Intent) else None
    if programme is not None and isinstance(body, Intent) and body.lines:
        wanted = goods_of(programme, ask.basket_version, ask.amount)
        if programme.stocked and {x.good: x.quantity for x in body.lines} != dict(wanted):
            yield say(Fact.GOODS_OTHER)


def _is_other(ask: Ask, r: Receipt, kind: ReceiptKind) -> bool:
    given = (r.kind, r.card_id, r.sequence, r.wallet, r.amount, r.basket_version)
    version = ask.basket_version if kind == ReceiptKind.DEBIT else r.basket_version
    return given != (kind, ask.card_id, ask.expected + 1, ask.wallet, ask.amount, version)


def _abort(world: World, ask: Ask, card_sequence: int, other: bytes | None) -> Iterator[What]:
    """Evidence of an abort: the card still at the expected sequence, or another receipt there."""
    if other is None:
        if card_sequence != ask.expected:
            yield say(Fact.ABORTED_NO_EVIDENCE)
        return
    if other[2:3] != b"R":
        yield say(Fact.ABORTED_NO_RECEIPT)
        return
    card = world.cards.get(ask.card_id)
    held = card.receipts.get(ask.expected + 1) if card else None
    if held is None or ask.is_named_by(held.receipt):
        yield say(Fact.ABORTED_NOT_EXCLUDED)


def _handed(ask: Ask) -> Iterator[What]:
    if not ask.delivered:
        return
    if len(ask.delivered) > 1:
        yield say(Fact.DELIVERED_TWICE)
    if ask.is_void:
        yield say(Fact.DELIVERED_VOID)
    elif ask.receipt is None and not ask.spoiled:
        yield say(Fact.DELIVERED_NO_RECEIPT)
    elif ask.receipts and ask.delivered[0].sequence < ask.receipts[0][0].sequence:
        yield say(Fact.DELIVERED_EARLY)


# --- voids ------------------------------------------------------------


@rule(Invariant.VOIDS)
def rule_09(world: World) -> Iterator[Finding]:
    """A void names the card's receipt before it; its goods come back or are given back."""
    yield from _loose(world, Invariant.VOIDS)
    for held in proven(world):
        what = _reversal(world, held) if held.receipt.kind == ReceiptKind.REVERSAL else None
        if what:
            r = held.receipt
            yield _finding(Invariant.VOIDS, held.name, what, r.hash, r.terminal_id)
    parameters = world.parameters()
    age_s = parameters.returned_age_s if parameters else 0
    for ask in asks(world):
        for what in _void(ask) if ask.is_void else _voided(ask):
            yield _finding(Invariant.VOIDS, ask.place.name, what, ask.hash, ask.place.station)
        if is_not_returned(world, ask) and is_old(world, ask.place.record.time_s, age_s):
            yield _finding(
                Invariant.VOIDS,
                ask.place.name,
                say(Fact.GOODS_NOT_BACK),
                ask.hash,
                ask.place.station,
            )


def _reversal(world: World, held: Held) -> What | None:
    r = held.receipt
    card = world.cards[r.card_id]
    before = card.receipts.get(r.sequence - 1)
    if before is not None and card.is_one_body(before.receipt, r):
        d = before.receipt
        named = (d.kind, d.wallet, d.amount, d.terminal_id)
        if named != (ReceiptKind.DEBIT, r.wallet, r.amount, r.terminal_id):
            return say(Fact.REVERSAL_OTHER)
    ask = world.ask_of(r)
    if ask is not None and not ask.is_void:
        return say(Fact.REVERSAL_UNASKED)
    return None


def _void(void: Ask) -> Iterator[What]:
    debit = void.void_of
    if debit is None:
        return  # noted when it was read
    own = debit.receipt
    if own is not None and own.sequence != void.expected:
        yield say(Fact.VOID_OTHER)
    receipt = void.receipt
    if receipt is not None and _is_other(void, receipt, ReceiptKind.REVERSAL):
        yield say(Fact.VOID_NOT_ASKED)
    if void.returned and (receipt is None or debit.handed is None) and not void.spoiled:
        yield say(Fact.RETURNED_UNPROVEN)
    if len(void.returned) > 1:
        yield say(Fact.RETURNED_TWICE)
    if void.given_back and not void.aborted:
        yield say(Fact.GIVEN_BACK_NO_ABORT)
    if receipt is not None and debit.handed is not None and not void.on_counter:
        yield say(Fact.VOID_NO_GOODS)


def _voided(debit: Ask) -> Iterator[What]:
    done = [v for v in debit.voids if v.receipt is not None]
    if len(done) > 1:
        yield say(Fact.VOIDED_TWICE)
    for void in done:
        if debit.handed is not None and debit.handed.sequence > void.place.record.sequence:
            yield say(Fact.HANDED_AFTER_VOID)


def is_not_returned(world: World, void: Ask) -> bool:
    """A proven void of a delivered debit without RETURNED, at a terminal that is not closed."""
    station = world.stations[void.place.station]
    debit = void.void_of
    return (
        void.is_void
        and debit is not None
        and debit.handed is not None
        and void.receipt is not None
        and not void.returned
        and station.lost is None
    )
