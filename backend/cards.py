"""Which card a family has, and the orders for those who have none (PROTOCOL.md §5, §7.19)."""

from __future__ import annotations

import hashlib
from collections import Counter

from sqlmodel import Session, col, select

from backend import objects
from backend.errors import UnknownError
from backend.models import Card, EntitlementRow, Row
from wire.cose import Sign1
from wire.objects import DecreeAnnex, FieldVerification, Order, Programme

ORDER_LIFE_S = 365 * 86_400


def card(session: Session, card_id: bytes) -> Card:
    """The card; :class:`UnknownError`."""
    found = session.get(Card, card_id)
    if found is None:
        raise UnknownError(f"no card {card_id.hex()}")
    return found


def live_card(session: Session, family: bytes) -> Card | None:
    """The family's one card that is neither scrapped nor blocked."""
    return session.exec(
        select(Card).where(Card.family == family, col(Card.scrapped).is_(False),
                           Card.blocked_version == 0)
    ).first()  # fmt: skip


def line_of(session: Session, card_id: bytes) -> list[Card]:
    """The card and all its predecessors, newest first."""
    found: list[Card] = []
    at = session.get(Card, card_id)
    while at is not None and len(found) < 64:  # nobody loses that many
        found.append(at)
        at = session.get(Card, at.predecessor) if at.predecessor else None
    return found


def plan_orders(session: Session, desk: bytes, now_s: int) -> int:
    """Draft an order for each family of a decree without a card or an open order; how many."""
    programmes = objects.programmes(session)
    open_families = {order.family for order in open_orders(session, None, now_s)}
    drafts = objects.unsigned(session, Order.KIND)
    open_families |= {Order.parse(d.payload).family for d in drafts}
    made = 0
    seen: set[bytes] = set()
    earlier = Counter(order.family for _, order in objects.payloads_of(session, Order))
    for row in session.exec(select(Row).order_by(col(Row.id))):
        if row.family in seen or row.family in open_families:
            continue
        seen.add(row.family)
        if live_card(session, row.family) is not None:
            continue
        rows = session.exec(select(Row).where(Row.family == row.family)).all()
        wallets = tuple(sorted({programmes[r.programme].wallet for r in rows}))
        number = earlier[row.family]
        _draft_order(session, row, wallets, desk=desk, earlier=number, now_s=now_s)
        made += 1
    return made


def _draft_order(
    session: Session, row: Row, wallets: tuple[int, ...], *, desk: bytes, earlier: int, now_s: int
) -> None:
    before = session.exec(
        select(Card).where(Card.family == row.family, col(Card.scrapped).is_(False))
        .order_by(col(Card.card_id).desc())
    ).first()  # fmt: skip
    predecessor = before.card_id if before else None
    number_of = hashlib.sha256(
        row.family + row.decree + row.row.to_bytes(4, "big") + earlier.to_bytes(4, "big")
        + (predecessor or b"")
    )  # fmt: skip
    order = Order(
        number_of.digest()[:16], row.family, row.decree, row.row,
        predecessor, wallets, desk, now_s + ORDER_LIFE_S,
    )  # fmt: skip
    objects.draft(session, order, order.number.hex())


def open_orders(session: Session, desk: bytes | None, now_s: int) -> list[Order]:
    """Orders (of one desk) that have made no card yet and are still valid."""
    return [order for order, _ in _open(session, desk, now_s)]


def open_order_objects(session: Session, desk: bytes, now_s: int) -> list[bytes]:
    """The same as signed objects, in order of the decree."""
    return [raw for _, raw in _open(session, desk, now_s)]


def evidence_objects(session: Session, desk: bytes, now_s: int) -> list[bytes]:
    """Signed decrees of those orders' families, the visits they cite, and every programme."""
    families = {order.family for order in open_orders(session, desk, now_s)}
    wanted: set[bytes] = set()
    for digest, annex in objects.payloads_of(session, DecreeAnnex):
        cited = {row.verification for row in annex.rows if row.family in families}
        wanted |= cited | ({digest} if cited else set())
    raws = [raw for shape in (DecreeAnnex, FieldVerification)
            for raw in objects.signed_of(session, shape.KIND)
            if Sign1.parse(raw).hash in wanted]  # fmt: skip
    return raws + objects.signed_of(session, Programme.KIND)


def _open(session: Session, desk: bytes | None, now_s: int) -> list[tuple[Order, bytes]]:
    used = {c.order_hash for c in session.exec(select(Card).where(col(Card.scrapped).is_(False)))}
    raws = dict(zip(
        (h for h, _ in objects.payloads_of(session, Order)),
        objects.signed_of(session, Order.KIND), strict=True,
    ))  # fmt: skip
    return [
        (order, raws[digest])
        for digest, order in objects.payloads_of(session, Order)
        if digest not in used and order.valid_until_s > now_s and desk in {None, order.desk}
    ]


def newest_entitlements(session: Session, card_id: bytes) -> list[EntitlementRow]:
    """The newest entitlement of each wallet of a card, by wallet."""
    rows = session.exec(
        select(EntitlementRow).where(EntitlementRow.card_id == card_id)
        .order_by(col(EntitlementRow.wallet), col(EntitlementRow.sequence))
    )  # fmt: skip
    return list({row.wallet: row for row in rows}.values())
