"""The honest story that every fraud is put into: all kinds of events, and nothing wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend import ledger
from tests.support.audit_world import (
    DAY_S,
    OIL,
    RICE,
    RUPIAH,
    START_S,
    AuditWorld,
    SoftCard,
    SoftStation,
    Tap,
)
from wire import log
from wire.chain import Citation
from wire.entitlement import Lot, ScriptAction
from wire.log import Record, StockMove
from wire.objects import (
    DecisionKind,
    DecreeAnnex,
    DecreeRow,
    FieldVerification,
    FundRelease,
    GoodsLine,
    Parameters,
    Programme,
    StationKind,
    Tariff,
    Unit,
    VerificationDecision,
    Window,
)
from wire.receipt import ReceiptKind, StatementKind

FOOD, CASH, SCHOOL = 0x1A01, 0x1A02, 0x1A03
BULOG, BANK, SHOP = "Perum Bulog", "Bank Kalteng", "Toko Mitra"
FAMILIES = 8
PROVISIONAL = 20_000
PLENTY = 40
CLOSED_S = START_S + 100 * DAY_S
PARAMETERS = Parameters(1, 30 * DAY_S, 7 * DAY_S, 30 * DAY_S, DAY_S, 14 * DAY_S, 35 * DAY_S, 10)


@dataclass
class Story:
    """One village of a world; ``second``: the decree's row of a second round; ``others``: cards
    that the story does not need."""

    w: AuditWorld
    one: SoftStation = None
    two: SoftStation = None
    lost: SoftStation = None
    desk: SoftStation = None
    cards: list[SoftCard] = field(default_factory=list)
    decree: bytes = b""
    families: list[bytes] = field(default_factory=list)
    taps: dict[str, Tap] = field(default_factory=dict)
    number: int = 0
    second: int = 0
    short_s: int = 0
    others: list[SoftCard] = field(default_factory=list)


def found(w: AuditWorld, families: int = FAMILIES, each: int = 4) -> Story:
    """Programmes and one village; no card yet."""
    charter(w)
    return village(w, 0, families, each)


def charter(w: AuditWorld, closed_s: int = CLOSED_S) -> None:
    """Parameters, an empty hotlist and the programmes, whose windows end at ``closed_s``."""
    w.sign(PARAMETERS)
    w.hotlist()
    window = (Window(START_S - DAY_S, closed_s),)
    basket = (GoodsLine(RICE, Unit.GRAM, 5000), GoodsLine(OIL, Unit.MILLILITRE, 1000))
    for p in (
        Programme(1, 1, "Dinsos", "Sembako", "Food basket", FOOD, Unit.BASKET, BULOG, 4, 2, 0,
                  True, window, (Tariff(1, 150_000, basket),)),
        Programme(2, 1, "Dinsos", "Tunai", "Cash", CASH, Unit.RUPIAH, BANK, 250_000, 2, PROVISIONAL,
                  True, window, (Tariff(1, 1, ()),)),
        Programme(3, 1, "Disdik", "Sekolah", "School", SCHOOL, Unit.RUPIAH, SHOP, 100_000, 2, 0,
                  False, (), (Tariff(1, 1, ()),)),
    ):  # fmt: skip
        w.programmes[p.wallet] = p
        w.sign(p)


def village(
    w: AuditWorld, number: int, families: int = FAMILIES, each: int = 4, *, more: int = 0
) -> Story:
    """Funds, families, decree and stations with goods of one village; no card yet.

    ``each`` baskets for a family of the story, ``PLENTY`` for ``more`` others.
    """
    s = Story(w, number=number)
    amounts = [each] * families + [PLENTY] * more
    for p in w.programmes.values():
        price = p.tariffs[0].price_minor
        extra = 4 * amount_of(p.wallet, each) + more * amount_of(p.wallet, PLENTY)
        amount = (2 * families * amount_of(p.wallet, each) + extra) * price
        funds = w.sign(FundRelease(f"SP2D-{p.code}-{number}", p.code, amount, w.tick()))
        w.post(ledger.fund_release(funds, p.code, amount))
    s.families = [w.random(16) for _ in amounts]
    visits = [
        w.sign(FieldVerification(f, 11, w.tick(), VerificationDecision.VERIFIED, "", bytes(32), 12))
        for f in s.families
    ]
    rows = [
        DecreeRow(3 * n + k + 1, f, w.programmes[wallet].code, amount_of(wallet, a), visits[n])
        for n, (f, a) in enumerate(zip(s.families, amounts, strict=True))
        for k, wallet in enumerate((FOOD, CASH, SCHOOL))
    ]
    s.second = 3 * len(amounts) + 1  # a second round of food for the first family
    rows.append(DecreeRow(s.second, s.families[0], 1, each, visits[0]))
    s.decree = w.sign(DecreeAnnex(f"SK-V{number}", 20260301, "Gubernur", tuple(rows)))
    s.desk = w.station(b"DESK%04d" % (number + 1), "Kantor", StationKind.DESK)
    w.record(s.desk, log.Boot("betang-issuer"))
    s.one, s.two, s.lost = (
        w.station(name % (3 * number + n), f"Desa {place}")
        for n, (name, place) in enumerate(
            ((b"TERM%04d", "Satu"), (b"TERM%04d", "Dua"), (b"LOST%04d", "Tiga")), 1
        )
    )
    for station in (s.one, s.two, s.lost):
        w.deliver(station, BULOG, [(RICE, Unit.GRAM, 100_000_000), (OIL, Unit.MILLILITRE,
                                                                    20_000_000)])  # fmt: skip
        w.deliver(station, BANK, [(RUPIAH, Unit.RUPIAH, 900_000_000)])
    return s


def amount_of(wallet: int, each: int = 4) -> int:
    """What one decree row gives."""
    return {FOOD: each, CASH: 250_000, SCHOOL: 200_000}[wallet]


def enrol(s: Story, n: int, station: SoftStation, each: int = 4, *, other: bool = False,
          **changes) -> SoftCard:  # fmt: skip
    """Card, entitlements, hand-over and loads of the n-th family."""
    w = s.w
    card = w.card(s.families[n], s.decree, 3 * n + 1)
    (s.others if other else s.cards).append(card)
    for k, wallet in enumerate((FOOD, CASH, SCHOOL)):
        cause = Citation(s.decree, 3 * n + k + 1)
        w.entitle(card, wallet, amount_of(wallet, each), cause, **changes)
    w.hand_over(station, card)
    for wallet in (FOOD, CASH, SCHOOL):
        w.load(station, card, wallet)
    return card


def tell(seed: int = 1) -> Story:
    """The whole story, not yet uploaded to its end."""
    s = found(AuditWorld(seed))
    first_round(s)
    s.w.settle()
    loss(s)
    block(s)
    s.w.sync_all()
    replaced(s)
    second_round(s)
    s.w.settle()
    return s


def first_round(s: Story) -> None:
    """Cards handed over, loads, taps, voids, tears, a bypass and a dispute; uploaded."""
    w = s.w
    s.short_s = w.now_s + 10 * DAY_S
    short = (Lot(s.short_s, 4),)
    first = w.card(s.families[0], s.decree, 1)
    s.cards.append(first)
    w.entitle(first, FOOD, 4, Citation(s.decree, 1), lots=short)
    w.entitle(first, CASH, 250_000, Citation(s.decree, 2))
    w.entitle(first, SCHOOL, 200_000, Citation(s.decree, 3))
    w.hand_over(s.one, first)
    for wallet in (FOOD, CASH, SCHOOL):
        w.load(s.one, first, wallet)
    for n in range(1, 6):
        enrol(s, n, s.lost if n == 3 else s.one)
    _, one, two, _, _, _ = s.cards
    s.taps["food"] = w.debit(s.one, first, FOOD, 1)
    w.debit(s.one, first, CASH, 100_000)
    s.taps["school"] = w.debit(s.two, first, SCHOOL, 50_000)
    _voids(s, one)
    _torn(s, two)
    w.debit(s.one, two, CASH, 40_000, bypass=True)
    disputed = w.debit(s.one, two, SCHOOL, 10_000)
    record = w.record(s.one, log.Dispute(two.card_id, two.sequence, disputed.receipt.hash))
    w.unpayable(disputed.receipt, record.hash)
    for station in (s.one, s.two):
        w.upload(station)


def loss(s: Story) -> None:
    """The third terminal is lost."""
    _lost_terminal(s, s.cards[3])


def _voids(s: Story, card: SoftCard) -> None:
    """Before hand-over, after it, and one that did not happen."""
    w = s.w
    w.void(w.debit(s.one, card, SCHOOL, 20_000, deliver=False), card)
    w.void(w.debit(s.one, card, FOOD, 2), card)
    tap = w.debit(s.one, card, CASH, 30_000)
    void = w.record(s.one, log.VoidIntent(tap.intent.sequence, card.card_id, card.sequence, 1, 41,
                                          True, "salah"))  # fmt: skip
    w.record(s.one, log.Aborted(void.sequence, card.sequence, None))
    w.record(s.one, log.GivenBack(void.sequence))
    s.taps["given-back"] = tap


def _torn(s: Story, card: SoftCard) -> None:
    """An intent that never was, and one whose receipt another terminal brought home."""
    w = s.w
    intent = w.intent(s.two, card, FOOD, 1)
    w.record(s.two, log.Pending(intent.sequence))
    w.record(s.two, log.Aborted(intent.sequence, card.sequence, None))
    away = w.debit(s.two, card, FOOD, 1, record=False)
    w.record(s.two, log.Pending(away.intent.sequence))
    w.record(s.one, log.Collected(bytes(away.receipt)))
    w.record(s.two, log.Receipted(away.intent.sequence, bytes(away.receipt)))


def _lost_terminal(s: Story, card: SoftCard) -> None:
    """Some of its records came, the rest went under; its receipts come home with the card."""
    w = s.w
    w.debit(s.lost, card, FOOD, 1)
    w.upload(s.lost)
    left = {RICE: 100_000_000 - 5000, OIL: 20_000_000 - 1000, RUPIAH: 900_000_000}
    w.script(s.lost, card, ScriptAction.PIN_UNBLOCK)
    tap = w.debit(s.lost, card, CASH, 50_000, book=False)
    w.post(ledger.debit(tap.receipt.hash, 2, 50_000))
    w.record(s.two, log.Collected(bytes(tap.receipt)))
    w.lose(s.lost, left)
    w.decide(DecisionKind.PAY, card, CASH, 50_000, first=tap.receipt.sequence,
             last=tap.receipt.sequence)  # fmt: skip
    w.payable(tap.receipt)
    w.debit(s.two, card, CASH, 1_000)
    s.taps["home"] = tap


def block(s: Story) -> None:
    """A card is lost, and on the hotlist."""
    w, card = s.w, s.cards[4]
    w.debit(s.one, card, FOOD, 1)
    w.debit(s.one, card, CASH, 60_000)
    w.hotlist(card)
    w.script(s.one, card, ScriptAction.BLOCK, deliver=False)


def replaced(s: Story) -> None:
    """Blocked everywhere, its residual moved, the new one used."""
    w, card = s.w, s.cards[4]
    new = w.card(card.family, s.decree, 13, card)
    s.cards.append(new)
    moves = {FOOD: 3, CASH: 190_000, SCHOOL: 200_000}
    for wallet, amount in moves.items():
        decision = w.decide(DecisionKind.MOVE, card, wallet, amount, new=new)
        w.entitle(new, wallet, amount, Citation(decision, 0))
    w.hand_over(s.two, new)
    for wallet in moves:
        w.load(s.two, new, wallet)
    w.debit(s.two, new, CASH, 150_000)
    w.debit(s.two, new, FOOD, 2)


def early_move(s: Story, amount: int = PROVISIONAL, *, reserved: int | None = None,
               card: SoftCard | None = None, row: int = 4) -> bytes:  # fmt: skip
    """Another card is lost; ``amount`` moves before the second terminal knows of the block."""
    w, card = s.w, card or s.cards[1]
    w.upload(s.two)
    w.hotlist(card)
    w.sync_all(but=s.two)
    new = w.card(card.family, s.decree, row, card)
    (s.cards if row == 4 else s.others).append(new)
    decision = w.decide(DecisionKind.MOVE, card, CASH, amount, new=new)
    w.entitle(new, CASH, amount, Citation(decision, 0))
    if amount := amount if reserved is None else reserved:
        w.post(ledger.reserve(decision, 2, amount))
    return decision


def known_at_last(s: Story) -> Record:
    """The second terminal's SYNC of that block, uploaded."""
    s.w.sync(s.two)
    record = s.two.records[-1]
    s.w.upload(s.two)
    return record


def second_round(s: Story) -> None:
    """The first lot expires with three baskets in it; the next entitlement forfeits them."""
    w, card = s.w, s.cards[0]
    w.tick(max(60, s.short_s + DAY_S - w.now_s))
    row = Citation(s.decree, s.second)
    lots = (Lot(s.short_s + 50 * DAY_S, 8),)
    w.entitle(card, FOOD, 4, row, lots=lots, forfeited_through=4)
    w.load(s.one, card, FOOD)
    w.debit(s.one, card, FOOD, 2)
    card.pins += 1
    said = w.statement(s.one, card, StatementKind.PIN_SET, detail=1)
    w.record(s.one, log.Pin(bytes(said)))
    w.debit(s.one, card, CASH, 1000)
    w.record(s.one, log.Stock(StockMove.LOST, None, GoodsLine(OIL, Unit.MILLILITRE, 1000)))
    lost = s.one.records[-1]
    w.shelf(s.one)[OIL] -= 1000
    w.post(ledger.stock(ledger.Kind.STOCK_LOSS, lost.hash, OIL, -1000, terminal=s.one.name,
                        other=f"stock-loss/{s.one.name.hex()}"))  # fmt: skip
    two = s.cards[2]
    w.decide(DecisionKind.RETURN, two, SCHOOL, 10_000, first=two.sequence, last=two.sequence)


def bulk(receipts: int, seed: int = 2) -> Story:
    """So many receipts over many cards and two terminals, all of them right."""
    families = max(8, receipts // 20)
    s = found(AuditWorld(seed), families, each=40)
    w, made = s.w, 0
    for n in range(families):
        enrol(s, n, (s.one, s.two)[n % 2], each=40)
    w.upload(s.lost)
    while made < receipts:
        card = s.cards[made % families]
        station = (s.one, s.two)[made % 3 == 0]
        wallet = (FOOD, CASH, SCHOOL)[made // families % 3]
        tap = w.debit(station, card, wallet, 1 if wallet == FOOD else 500)
        made += 1
        if made % 40 == 0:
            w.void(tap, card)
            made += 1
        if made % 500 < 2:
            for each_station in (s.one, s.two):
                w.upload(each_station)
            w.settle()
    w.settle()
    return s


__all__ = ["BANK", "BULOG", "CASH", "FOOD", "SCHOOL", "ReceiptKind", "Story", "bulk", "tell"]
