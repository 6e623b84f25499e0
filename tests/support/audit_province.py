"""A province for the auditor: villages that each live the whole story, and many more receipts.

Every village has its own decree, funds, desk, terminals (one of them lost), a lost card that was
replaced after every terminal knew of it, another replaced before with a provisional amount, voids
before and after hand-over, bypasses, tears, disputes and late uploads. Regions follow each other:
certificates and bundles are renewed, settlements made in between.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

from tests.support.audit_people import SoftCard, SoftStation
from tests.support.audit_story import (
    CASH,
    FOOD,
    PROVISIONAL,
    SCHOOL,
    Story,
    block,
    charter,
    early_move,
    enrol,
    first_round,
    loss,
    replaced,
    second_round,
    village,
)
from tests.support.audit_world import DAY_S, START_S, AuditWorld
from wire import log
from wire.objects import GoodsLine, Unit

STORY_RECEIPTS = 19
"""Receipts of one village's story, bulk apart, at the least."""
PER_CARD = 20
CLOSED_S = START_S + 290 * DAY_S
RENEWED_S = 15 * DAY_S
UNITS = {"beras": Unit.GRAM, "minyak": Unit.MILLILITRE, "rupiah": Unit.RUPIAH}


@dataclass
class Province:
    """The world, its villages, and who rolls the dice."""

    w: AuditWorld
    dice: random.Random
    villages: list[Story] = field(default_factory=list)
    receipts: int = 0

    def any_village(self) -> Story:
        """One of them."""
        return self.dice.choice(self.villages)


def tell_province(seed: int, receipts: int, villages: int) -> Province:
    """An honest province of about this many receipts, not yet uploaded to its end."""
    p = Province(AuditWorld(seed), random.Random(seed))  # noqa: S311 - repeatable on purpose
    charter(p.w, CLOSED_S)
    p.w.step_s = max(1, min(60, 40 * DAY_S // (4 * receipts)))
    regions = 1 + (villages > 3) + (villages > 15) + (villages > 40)
    bounds = [villages * n // regions for n in range(regions + 1)]
    each = max(0, receipts // villages - STORY_RECEIPTS)
    for first, last in itertools.pairwise(bounds):
        region(p, range(first, last), each)
    return p


def region(p: Province, numbers: range, receipts: int) -> None:
    """These villages live their story together, with so many more receipts in each."""
    w, cards = p.w, max(2, receipts // PER_CARD)
    told = [village(w, n, more=cards) for n in numbers]
    p.villages += told
    for s in told:
        first_round(s)
        for n in range(cards):
            enrol(s, len(s.families) - cards + n, (s.one, s.two)[n % 2], 40, other=True)
        many(p, s, receipts // 2)
    w.settle()
    for s in told:
        loss(s)
        block(s)
    synced(p)
    for s in told:
        replaced(s)
        many(p, s, receipts - receipts // 2)
    for s in told:
        if p.dice.random() < 0.3:
            lost_early(p, s)
    for s in told:
        second_round(s)
        counted(s)
        if p.dice.random() < 0.5:
            w.upload(s.one)
    synced(p)
    w.settle()


def many(p: Province, s: Story, receipts: int) -> None:
    """So many receipts over the village's other cards and its two terminals."""
    w, made = p.w, 0
    while made < receipts:
        card, station = p.dice.choice(s.others), p.dice.choice((s.one, s.two))
        wallet = p.dice.choice((FOOD, CASH, SCHOOL))
        amount = 1 if wallet == FOOD else 100 * p.dice.randint(1, 30)
        made += one(p, station, card, wallet, amount)
        if p.dice.random() < 4 / 500:
            w.upload(station)
            renewed(p, station)
        if p.dice.random() < 1 / 500:
            w.settle()
    p.receipts += made


def one(p: Province, station: SoftStation, card: SoftCard, wallet: int, amount: int) -> int:
    """One visit of any kind; how many receipts it made."""
    w, dice = p.w, p.dice.random()
    if dice < 0.02:
        w.void(w.debit(station, card, wallet, amount, deliver=False), card)
        return 2
    if dice < 0.04:
        w.void(w.debit(station, card, wallet, amount), card)
        return 2
    if dice < 0.05:
        intent = w.intent(station, card, wallet, amount)
        w.record(station, log.Pending(intent.sequence))
        w.record(station, log.Aborted(intent.sequence, card.sequence, None))
        return 0
    if dice < 0.06 and card.bypasses < 2:
        w.debit(station, card, wallet, amount, bypass=True)
        return 1
    tap = w.debit(station, card, wallet, amount)
    if dice < 0.065:
        record = w.record(station, log.Dispute(card.card_id, card.sequence, tap.receipt.hash))
        w.unpayable(tap.receipt, record.hash)
    return 1


def lost_early(p: Province, s: Story) -> None:
    """Another card is lost, a provisional amount moves; the second terminal hears of it later."""
    card = s.others.pop(0)
    row = 3 * s.families.index(card.family) + 1
    if card.wallets[CASH].debited > 200_000:
        return
    early_move(s, card=card, row=row)
    s.others.pop()  # the new one is not handed over yet
    p.w.waiting[s.two.name] = {p.w.programmes[CASH].code: PROVISIONAL}


def synced(p: Province) -> None:
    """Every terminal has certificates that last, and the newest bundle."""
    for station in [x for x in p.w.stations if x.is_open]:
        renewed(p, station)
    p.w.sync_all()


def renewed(p: Province, station: SoftStation, after_s: int = RENEWED_S) -> None:
    """New certificates in time."""
    if p.w.now_s - station.certified_s > after_s and station.name not in p.w.waiting:
        p.w.renew(station)


def counted(s: Story) -> None:
    """Both terminals state what lies on their shelves."""
    for station in (s.one, s.two):
        lines = tuple(
            GoodsLine(good, UNITS[good], n)
            for good, n in sorted(s.w.shelf(station).items()) if n
        )  # fmt: skip
        s.w.record(station, log.Checkpoint(0, lines))
