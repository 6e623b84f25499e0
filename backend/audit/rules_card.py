"""Rules 4 to 7: one card's receipts, in their order (PROTOCOL.md §7)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from backend.audit.facts import Fact
from backend.audit.findings import Finding, What, say
from backend.audit.model import Card, Held, World
from backend.audit.registry import is_old, rule
from backend.audit.rules_chain import proven
from backend.audit.steps import gaps, wrong_steps
from wire.invariants import Invariant


@rule(Invariant.NO_GAP)
def rule_04(world: World) -> Iterator[Finding]:
    """No receipt missing for longer than the signed age (younger: an alert)."""
    parameters = world.parameters()
    age_s = parameters.gap_age_s if parameters else 0
    for _, card in sorted(world.cards.items()):
        for gap in gaps(world, card):
            if is_old(world, gap.since_s, age_s):
                yield Finding(
                    Invariant.NO_GAP,
                    f"{card.card_id.hex()}/{gap.sequence}",
                    say(Fact.RECEIPT_MISSING, since_s=gap.since_s),
                    (),
                    "card",
                )


@rule(Invariant.LINKS)
def rule_05(world: World) -> Iterator[Finding]:
    """Each receipt links to the body before it, the first to the certificate."""
    for held in proven(world):
        r, card = held.receipt, world.cards[held.receipt.card_id]
        if r.sequence == 1:
            wanted = {card.certificate.digest}
        else:
            before = [card.receipts.get(r.sequence - 1), *card.doubles.get(r.sequence - 1, ())]
            wanted = {h.receipt.hash for h in before if h is not None}
        if wanted and r.link not in wanted and r.sequence < card.fork:
            yield Finding(
                Invariant.LINKS,
                held.name,
                say(Fact.LINK_OTHER),
                (r.hash.hex(), r.link.hex()),
                "card",
            )


@rule(Invariant.COUNTERS)
def rule_06(world: World) -> Iterator[Finding]:
    """D and R step by the amount, L and F as entitlements say."""
    for _, card in sorted(world.cards.items()):
        for wallet in sorted(card.wallets()):
            for event, what in wrong_steps(card, wallet):
                subject = f"{card.card_id.hex()}/{event.item.sequence}"
                yield Finding(Invariant.COUNTERS, subject, what, (event.item.hash.hex(),), "card")


@rule(Invariant.ENTITLEMENT_ISSUED)
def rule_07(world: World) -> Iterator[Finding]:
    """Every entitlement used was issued to this card, before its use, in sequence."""
    for _, card in sorted(world.cards.items()):
        yield from _issued_in_order(world, card)
        for wallet in sorted(card.wallets()):
            held = card.of_wallet(wallet)
            for h in held:
                what = _use(world, card, h)
                if what:
                    yield _finding(h, what)
            for a, b in pairwise(held):
                is_older = b.receipt.entitlement_sequence < a.receipt.entitlement_sequence
                if is_older and card.is_one_body(a.receipt, b.receipt):
                    yield _finding(b, say(Fact.ENTITLEMENT_OLDER_NAMED))


def _finding(held: Held, what: What) -> Finding:
    evidence = (held.receipt.hash.hex(),)
    return Finding(Invariant.ENTITLEMENT_ISSUED, held.name, what, evidence, "key service")


def _issued_in_order(world: World, card: Card) -> Iterator[Finding]:
    codes = {p.wallet: p.code for p in world.programmes().values()}
    for wallet, every in sorted(card.entitlements.items()):
        for at, issued in enumerate(every, 1):
            e = issued.entitlement
            what: What | None = None
            if e.sequence != at or issued.step < 0:
                what = say(Fact.ENTITLEMENT_ORDER)
            elif e.certificate_hash != card.certificate.digest[:16]:
                what = say(Fact.ENTITLEMENT_CERTIFICATE)
            elif codes.get(wallet, e.programme) != e.programme:
                what = say(Fact.WALLET_PROGRAMME)
            if what:
                subject = f"{card.card_id.hex()}/{wallet}/{e.sequence}"
                yield Finding(
                    Invariant.ENTITLEMENT_ISSUED, subject, what, (e.hash.hex(),), "key service"
                )


def _use(world: World, card: Card, held: Held) -> What | None:
    r = held.receipt
    if (r.wallet, r.entitlement_sequence) in card.unlogged:
        return None  # listed under what set the load aside
    issued = card.entitlement(r.wallet, r.entitlement_sequence)
    if issued is None:
        return say(Fact.ENTITLEMENT_UNKNOWN)
    parameters = world.parameters()
    skew_s = parameters.card_skew_s if parameters else 0
    station = world.stations.get(held.place.station)
    arrived = station.arrival(held.place.record.sequence) if station else None
    is_before = issued.entry.time_s > r.terminal_time_s + skew_s
    if is_before or (arrived is not None and arrived < issued.entry.time_s):
        return say(Fact.ENTITLEMENT_AFTER_USE)
    return None
