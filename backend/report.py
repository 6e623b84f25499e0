"""Reconciliation: the two sides of invariants 13, 14 and 15, each term from its own source.

Left and right are computed from signed objects as they are kept (entitlements, receipts, counters,
decisions, records), not from the ledger, which must then say the same. Differences are sums of
absolute values, so that nothing cancels (docs/ledger.md#report).
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any, TypedDict

from sqlmodel import Session, col, func, select

from backend import findings, ledger, objects, reserves
from backend.ingest import DUPLICATES
from backend.models import (
    Card,
    DecisionRow,
    EntitlementRow,
    Family,
    Fund,
    IntentRow,
    Ledger,
    Plan,
    PostingRow,
    ReceiptRow,
    RecordRow,
    Reject,
    Station,
    Tally,
    Upload,
    WalletState,
)
from wire.log import Record, RecordType, StockMove
from wire.objects import DecisionKind, Programme, StockDelivery, Unit
from wire.receipt import ReceiptKind


class ProgrammeLine(TypedDict):
    """One programme; amounts in wallet units unless they say ``minor``."""

    code: int
    title_id: str
    title_en: str
    unit: str
    provider: str
    released_minor: int
    allocated_minor: int
    issued: int
    returned: int
    moved: int
    redeemed: int
    losses: int
    reserved: int
    forfeited: int
    residual: int
    left: int
    right: int
    difference: int
    difference_minor: int


def programme_plan(plan: Plan) -> dict[str, Any]:
    """The imported data of a programme."""
    value: dict[str, Any] = json.loads(plan.plan)
    return value


def reconcile(session: Session) -> dict[str, Any]:
    """The whole report as plain values (JSON)."""
    wallets = objects.by_wallet(session)
    lines = [programme_line(session, p) for _, p in sorted(wallets.items())]
    providers = provider_lines(session, wallets)
    goods = goods_lines(session, wallets)
    unit_goods = _goods_of_differences(lines, wallets)
    return {
        "programmes": lines,
        "providers": providers,
        "goods": goods,
        "gaps": open_gaps(session),
        "held": held(session),
        "findings": [
            {"invariant": f.invariant, "key": f.key, "owner": f.owner, "detail": f.detail,
             "opened_s": f.opened_s, "evidence": f.evidence.hex()}
            for f in findings.every(session)
        ],
        "ledger": ledger_lines(session, lines),
        "counts": counts(session),
        "uploads": uploads(session),
        "funds_minor": sum(line["released_minor"] for line in lines),
        "settled_minor": sum(p["settled_minor"] for p in providers),
        "difference_minor": sum(line["difference_minor"] for line in lines)
        + sum(abs(p["difference_minor"]) for p in providers),
        "goods_difference": sum(abs(g["difference"]) for g in goods) + unit_goods,
    }  # fmt: skip


def programme_line(session: Session, programme: Programme) -> ProgrammeLine:
    """Both sides of invariant 14 for one programme and its unit."""
    wallet, fund = programme.wallet, session.get(Fund, programme.code)
    issued = _issued(session, wallet)
    returned = _decided(session, wallet, DecisionKind.RETURN)
    moved = _decided(session, wallet, DecisionKind.MOVE)
    redeemed, losses = _redeemed(session, wallet)
    forfeited, residual = _counters(session, wallet, issued)
    left = sum(issued.values()) - returned - moved
    # A loss is in the counters of its card but charged to no programme; what was moved is not
    # the old card's any more.
    right = (redeemed - returned) + forfeited + (residual + losses - moved)
    price = programme.tariffs[-1].price_minor
    return ProgrammeLine(
        code=programme.code, title_id=programme.title_id, title_en=programme.title_en,
        unit=programme.unit.name.lower(), provider=programme.provider,
        released_minor=fund.released_minor if fund else 0,
        allocated_minor=fund.allocated_minor if fund else 0, issued=sum(issued.values()),
        returned=returned, moved=moved, redeemed=redeemed, losses=losses,
        reserved=reserves.total(session, wallet), forfeited=forfeited,
        residual=residual + losses, left=left, right=right, difference=left - right,
        difference_minor=abs(left - right) * price,
    )  # fmt: skip


def _issued(session: Session, wallet: int) -> dict[bytes, int]:
    rows = session.exec(
        select(EntitlementRow.card_id, func.max(EntitlementRow.loaded))
        .where(EntitlementRow.wallet == wallet).group_by(col(EntitlementRow.card_id))
    )  # fmt: skip
    return {card_id: int(loaded) for card_id, loaded in rows}


def _decided(session: Session, wallet: int, kind: DecisionKind) -> int:
    total = session.exec(
        select(func.sum(DecisionRow.amount)).where(
            DecisionRow.wallet == wallet, DecisionRow.kind == int(kind)
        )
    ).one()
    return int(total or 0)


def _redeemed(session: Session, wallet: int) -> tuple[int, int]:
    """(Σ(D − R) without losses, Σ losses), receipts one by one."""
    rows = session.exec(
        select(ReceiptRow.kind, func.sum(ReceiptRow.amount), func.sum(ReceiptRow.lost))
        .where(ReceiptRow.wallet == wallet)
        .group_by(col(ReceiptRow.kind))
    )
    redeemed = losses = 0
    for kind, amount, lost in rows:
        sign = 1 if kind == ReceiptKind.DEBIT else -1
        redeemed += sign * (int(amount) - int(lost))
        losses += sign * int(lost)
    return redeemed, losses


def _counters(session: Session, wallet: int, issued: dict[bytes, int]) -> tuple[int, int]:
    """(ΣF, Σ residual and unapplied) by the newest counters of each card."""
    states = {
        s.card_id: s for s in session.exec(select(WalletState).where(WalletState.wallet == wallet))
    }
    forfeited = sum(s.forfeited for s in states.values())
    residual = 0
    for card_id in issued.keys() | states.keys():
        s = states.get(card_id)
        consumed = s.debited - s.reversed + s.forfeited if s else 0
        residual += issued.get(card_id, 0) - consumed
    return forfeited, residual


def _goods_of_differences(lines: list[ProgrammeLine], wallets: dict[int, Programme]) -> int:
    """The two sides of invariant 14 in goods, for programmes that hand out baskets."""
    by_code = {p.code: p for p in wallets.values()}
    return sum(
        abs(line["difference"]) * good.quantity
        for line in lines
        for good in by_code[line["code"]].tariffs[-1].lines
    )


def provider_lines(session: Session, wallets: dict[int, Programme]) -> list[dict[str, Any]]:
    """Settled less payable of invariant 13, per provider."""
    owed: dict[str, int] = defaultdict(int)
    rows = session.exec(
        select(ReceiptRow).where(ReceiptRow.kind == int(ReceiptKind.DEBIT), ReceiptRow.held == "")
    )
    for row in rows:
        programme = wallets.get(row.wallet)
        tariff = objects.tariff_of(programme, row.basket_version) if programme else None
        if programme is not None and tariff is not None:
            owed[programme.provider] += row.amount * tariff.price_minor
    settled: dict[str, int] = defaultdict(int)
    for (account, good), total in _settlements(session).items():
        if good == ledger.RUPIAH:
            settled[account.removeprefix("payable/")] += total
    names = sorted({p.provider for p in wallets.values()} | owed.keys() | settled.keys())
    return [
        {"provider": n, "payable_minor": owed[n], "settled_minor": settled[n],
         "difference_minor": settled[n] - owed[n]}
        for n in names
    ]  # fmt: skip


def _settlements(session: Session) -> dict[tuple[str, str], int]:
    rows = session.exec(
        select(PostingRow.account, PostingRow.good, func.sum(PostingRow.amount))
        .join(Ledger, col(Ledger.sequence) == col(PostingRow.sequence))
        .where(Ledger.kind == str(ledger.Kind.SETTLEMENT),
               col(PostingRow.account).startswith("payable/"))
        .group_by(col(PostingRow.account), col(PostingRow.good))
    )  # fmt: skip
    return {(account, good): int(total) for account, good, total in rows}


# --- goods ------------------------------------------------------------


def goods_lines(session: Session, wallets: dict[int, Programme]) -> list[dict[str, Any]]:
    """Invariant 15 per terminal and good: delivered = handed over + left + loss account."""
    balances = ledger.balances(session)
    lines = []
    for station in session.exec(select(Station).order_by(col(Station.station))):
        delivered = _delivered(session, station.station)
        handed = _handed(session, station.station, wallets)
        shelf, lost = f"stock/{station.station.hex()}", f"stock-loss/{station.station.hex()}"
        goods = {g for a, g in balances if a in {shelf, lost}} | delivered.keys() | handed.keys()
        counted = _last_count(session, station)
        for good in sorted(goods):
            left = balances.get((shelf, good), 0)
            if counted is not None:
                left = counted.get(good, 0)
            loss = balances.get((lost, good), 0)
            lines.append(
                {"terminal": station.station.hex(), "good": good,
                 "delivered": delivered[good], "handed": handed[good], "left": left,
                 "loss": loss,
                 "difference": delivered[good] - handed[good] - left - loss}
            )  # fmt: skip
    return lines


def _delivered(session: Session, station: bytes) -> Counter[str]:
    """Signed deliveries whose arrival the terminal recorded, less what it sent back."""
    deliveries = dict(objects.payloads_of(session, StockDelivery))
    total: Counter[str] = Counter()
    arrived: set[bytes] = set()
    rows = session.exec(
        select(RecordRow.raw).where(
            RecordRow.station == station, RecordRow.kind == int(RecordType.STOCK)
        )
    )
    for raw in rows:
        body = Record.parse(raw).body
        if body.move == StockMove.SENT_BACK:
            total[body.line.good] -= body.line.quantity
        elif body.move == StockMove.RECEIVED and body.delivery in deliveries:
            arrived.add(body.delivery)
    for digest in arrived:
        for line in deliveries[digest].lines:
            total[line.good] += line.quantity
    return total


def _handed(session: Session, station: bytes, wallets: dict[int, Programme]) -> Counter[str]:
    """Goods of delivered debits whose goods did not come back."""
    total: Counter[str] = Counter()
    intents = session.exec(select(IntentRow).where(IntentRow.station == station)).all()
    back = {i.void_of for i in intents if i.returned is not None}
    for intent in intents:
        programme = wallets.get(intent.wallet)
        if intent.delivered is None or intent.sequence in back or programme is None:
            continue
        if not programme.stocked:
            continue
        if programme.unit == Unit.RUPIAH:
            total[ledger.RUPIAH] += intent.amount
        tariff = objects.tariff_of(programme, intent.basket_version)
        for line in tariff.lines if tariff else ():
            total[line.good] += line.quantity * intent.amount
    return total


def _last_count(session: Session, station: Station) -> dict[str, int] | None:
    """What the terminal itself says is left, when its last record is a CHECKPOINT."""
    if station.lost is not None:
        return None
    row = session.get(RecordRow, (station.station, station.last))
    if row is None or row.kind != RecordType.CHECKPOINT:
        return None
    return {line.good: line.quantity for line in Record.parse(row.raw).body.stock}


# --- the rest ------------------------------------------------------------


def ledger_lines(session: Session, lines: list[ProgrammeLine]) -> list[dict[str, Any]]:
    """Ledger accounts that do not equal what the signed objects give (invariant 14)."""
    balances = ledger.balances(session)
    wrong = []
    for line in lines:
        code, unit = line["code"], ledger.wallet_unit(line["code"])
        wanted = {
            f"issued/{code}": -line["issued"], f"moved/{code}": line["moved"],
            f"returned/{code}": line["returned"], f"redeemed/{code}": line["redeemed"],
            f"forfeited/{code}": line["forfeited"], f"loss/{code}": line["losses"],
            f"reserve/{code}": line["reserved"],
            f"outstanding/{code}": line["left"] - line["redeemed"] - line["forfeited"],
        }  # fmt: skip
        for account, value in wanted.items():
            found = balances.get((account, unit), 0)
            if found != value:
                wrong.append({"account": account, "ledger": found, "objects": value})
    return wrong


def open_gaps(session: Session) -> list[dict[str, Any]]:
    """Cards whose receipts are not contiguous: what is missing, and since when it is known."""
    rows = session.exec(
        select(Card.card_id, Card.acknowledged, ReceiptRow.sequence, ReceiptRow.arrived_s)
        .join(ReceiptRow, col(ReceiptRow.card_id) == col(Card.card_id))
        .where(ReceiptRow.sequence > Card.acknowledged)
    )
    beyond: dict[tuple[bytes, int], list[tuple[int, int]]] = defaultdict(list)
    for card_id, acknowledged, sequence, arrived_s in rows:
        beyond[card_id, acknowledged].append((sequence, arrived_s))
    return [
        {"card": card_id.hex(), "acknowledged": acknowledged, "highest": max(got)[0],
         "missing": max(got)[0] - acknowledged - len(got), "since_s": min(s for _, s in got)}
        for (card_id, acknowledged), got in sorted(beyond.items())
    ]  # fmt: skip


def held(session: Session) -> list[dict[str, Any]]:
    """Debits that are not payable, and why."""
    rows = session.exec(
        select(ReceiptRow).where(ReceiptRow.held != "", ReceiptRow.held != "reversed")
        .order_by(col(ReceiptRow.card_id), col(ReceiptRow.sequence))
    )  # fmt: skip
    return [
        {"card": r.card_id.hex(), "sequence": r.sequence, "wallet": r.wallet, "amount": r.amount,
         "lost": r.lost,
         "terminal": r.terminal.hex(), "why": r.held.split(",")}
        for r in rows
    ]  # fmt: skip


def uploads(session: Session) -> dict[str, int]:
    """How many uploads brought something new, and how many nothing (they changed nothing)."""
    tally = session.get(Tally, DUPLICATES)
    accepted = session.exec(select(func.count()).select_from(Upload)).one()
    return {"accepted": int(accepted), "duplicates": tally.value if tally else 0}


def counts(session: Session) -> dict[str, int]:
    """How many of what, counted from what happened."""

    def number(statement: Any) -> int:
        return int(session.exec(statement).one())

    visited = dict(
        session.exec(select(Family.visited, func.count()).group_by(col(Family.visited))).all()
    )
    kinds = dict(
        session.exec(select(RecordRow.kind, func.count()).group_by(col(RecordRow.kind))).all()
    )
    families = sum(visited.values())
    return {
        "families": families,
        "rejected_rows": number(select(func.count()).select_from(Reject)),
        "verified": visited.get("verified", 0),
        "not_verified": families - visited.get("verified", 0),
        "cards_issued": number(
            select(func.count()).select_from(Card).where(col(Card.scrapped).is_(False))
        ),
        "cards_active": number(
            select(func.count()).select_from(Card).where(col(Card.active).is_(True))
        ),
        "replaced": number(
            select(func.count()).select_from(Card).where(col(Card.predecessor).is_not(None))
        ),
        "receipts": number(select(func.count()).select_from(ReceiptRow)),
        "redemptions": number(
            select(func.count()).select_from(ReceiptRow)
            .where(ReceiptRow.kind == int(ReceiptKind.DEBIT))
        ),
        "rejected_cards": kinds.get(int(RecordType.REJECTED), 0),
        "cards_read": kinds.get(int(RecordType.CARD_READ), 0),
        "disputes": kinds.get(int(RecordType.DISPUTE), 0),
        **_rejected(session),
    }  # fmt: skip


def _rejected(session: Session) -> dict[str, int]:
    """Cards turned away, by reason (``rejected_specimen_card`` and so on)."""
    rows = session.exec(select(RecordRow.raw).where(RecordRow.kind == int(RecordType.REJECTED)))
    return dict(Counter(f"rejected_{Record.parse(raw).body.reason.name.lower()}" for raw in rows))
