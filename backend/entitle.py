"""From funded decree rows and decisions to entitlement bodies (PROTOCOL.md §4.1, §5, §7.18).

Rows are funded in their order, as far as the money released for their programme goes; the first
that does not fit waits, and with it all behind it, so that nobody is passed over. Every step of
L cites one row or one decision; a re-issue without a step carries a newer acknowledgement, or takes
the place of one whose key the cards no longer keep.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, func, select

from backend import cards, issuance, objects
from backend.errors import UnknownError, WalletFullError
from backend.importing import midnight_s
from backend.models import (
    Card,
    DecisionRow,
    EntitlementRow,
    Fund,
    Object,
    Plan,
    ReceiptRow,
    Row,
)
from keys.service import EntitlementWish
from wire import cvc, dates
from wire.bundle import Ceiling
from wire.chain import Citation, IssuanceKind
from wire.entitlement import CERTIFICATE_HASH_BYTES, MAX_LOTS, NEVER_S, Entitlement, Lot
from wire.env import Environment
from wire.objects import DecisionKind, Programme
from wire.raw import MAX_LOADED

DAY_S = 86_400
HEADROOM_ROUNDS = 2
"""Rounds that may be decreed and loaded elsewhere while a station works with one bundle: a bundle
ends within weeks (``data_stale_stop_s``), a round takes months."""


def allocate(session: Session) -> int:
    """Fund decree rows in order, as far as the released money goes; how many more are funded."""
    made = 0
    for code, programme in objects.programmes(session).items():
        fund = session.get(Fund, code)
        if fund is None:
            continue
        price = programme.tariffs[-1].price_minor
        waiting = session.exec(
            select(Row).where(Row.programme == code, col(Row.funded).is_(False))
            .order_by(col(Row.id))
        )  # fmt: skip
        for row in waiting:
            value = row.amount * price
            if fund.allocated_minor + value > fund.released_minor:
                break
            fund.allocated_minor += value
            row.funded, row.value_minor = True, value
            session.add(row)
            made += 1
        session.add(fund)
    session.flush()
    return made


@dataclass(frozen=True, slots=True)
class Step:
    """A step of L (0 for a re-issue) of one wallet, on what it stands, and when it expires."""

    card: Card
    programme: Programme
    amount: int
    cause: Citation | None
    expires_s: int


def steps(
    session: Session, now_s: int, only: bytes | None = None, *, key_version: int
) -> Iterator[Step]:
    """What may be issued now (to one card): rows, decisions, then re-issues of other wallets."""
    programmes = objects.programmes(session)
    expiries = {code: lot_expiry(session, code, now_s) for code in programmes}
    touched: set[tuple[bytes, int]] = set()
    for step in _raising(session, programmes, expiries, only):
        touched.add((step.card.card_id, step.programme.wallet))
        yield step
    by_wallet = {p.wallet: p for p in programmes.values()}
    newest, kept = Newest(session, only), lowest_kept(session)
    is_dropping = 1 < kept <= key_version  # what is signed now would be kept; versions count from 1
    live = select(Card).where(col(Card.scrapped).is_(False), Card.blocked_version == 0)
    if only is not None:
        live = live.where(Card.card_id == only)
    for card in session.exec(live.order_by(col(Card.card_id))):
        for wallet, acknowledged, raw in newest.of(card.card_id):
            if (card.card_id, wallet) in touched:
                continue
            is_dropped = is_dropping and Entitlement.parse(raw).key_version < kept
            if acknowledged < card.acknowledged or is_dropped:
                programme = by_wallet[wallet]
                yield Step(card, programme, 0, None, expiries[programme.code])


def lowest_kept(session: Session) -> int:
    """The lowest version of the issuer key in a card that has every link; 0 without links.

    A card has two slots and empties those below the newest link's lowest (card_os/SPEC.md, link):
    what an older key signed and the card has not taken, it takes no more.
    """
    links = [cvc.Certificate.parse(raw) for raw in issuance.items_of(session, IssuanceKind.LINK)]
    lowest = {
        subject.version: link.extension.lowest_kept
        for link in links
        if (subject := cvc.CaId.parse(link.subject)).kind == cvc.CaKind.ISSUER
        and isinstance(link.extension, cvc.LinkExtension)
    }
    versions = sorted(lowest)
    return max(versions[-2:][0], lowest[versions[-1]]) if versions else 0


def _raising(
    session: Session, programmes: dict[int, Programme], expiries: dict[int, int],
    only: bytes | None,
) -> Iterator[Step]:  # fmt: skip
    rows = select(Row).where(col(Row.funded).is_(True), col(Row.entitlement).is_(None))
    if only is not None:
        rows = rows.where(Row.family == cards.card(session, only).family)
    live = _live_cards(session) if only is None else None
    for row in session.exec(rows.order_by(col(Row.id))):
        family = row.family
        card = cards.live_card(session, family) if live is None else live.get(family)
        if card is not None and only in {None, card.card_id}:
            cause = Citation(row.decree, row.row)
            yield Step(card, programmes[row.programme], row.amount, cause,
                       expiries[row.programme])  # fmt: skip
    by_wallet = {p.wallet: p for p in programmes.values()}
    decided = session.exec(
        select(DecisionRow).where(
            col(DecisionRow.kind).in_([int(DecisionKind.MOVE), int(DecisionKind.RETURN)]),
            col(DecisionRow.used).is_(False), DecisionRow.amount > 0,
            # A MOVE is known from the log before its signature has come: nothing is loaded on
            # what no export could show.
            col(DecisionRow.hash).in_(select(Object.hash).where(col(Object.hash).is_not(None))),
        )
    )  # fmt: skip
    for decision in decided:
        card = cards.card(session, decision.new_card or decision.card_id)
        if only not in {None, card.card_id}:
            continue
        programme = by_wallet[decision.wallet]
        yield Step(card, programme, decision.amount, Citation(decision.hash, 0),
                   expiries[programme.code])  # fmt: skip


def _live_cards(session: Session) -> dict[bytes, Card]:
    """Each family's one card that is neither scrapped nor blocked."""
    found = session.exec(
        select(Card).where(col(Card.scrapped).is_(False), Card.blocked_version == 0)
        .order_by(col(Card.card_id).desc())
    )  # fmt: skip
    return {card.family: card for card in found}


class Newest:
    """The newest entitlement of each wallet, of one card or (``only`` None) of all, read once."""

    def __init__(self, session: Session, only: bytes | None) -> None:
        e = EntitlementRow
        rows = select(e.card_id, e.wallet, e.acknowledged, e.raw)
        if only is not None:
            rows = rows.where(e.card_id == only)
        self._session, self._rows = session, rows.order_by(col(e.wallet), col(e.sequence))
        self._found: dict[bytes, dict[int, tuple[int, int, bytes]]] | None = None

    def of(self, card_id: bytes) -> list[tuple[int, int, bytes]]:
        """(wallet, acknowledged, bytes) of a card, by wallet."""
        if self._found is None:
            self._found = {}
            for card, wallet, acknowledged, raw in self._session.exec(self._rows):
                self._found.setdefault(card, {})[wallet] = (wallet, acknowledged, raw)
        return [*self._found.get(card_id, {}).values()]


def lot_expiry(session: Session, code: int, now_s: int) -> int:
    """When (Unix seconds) a lot issued now expires: by the current round; never without one.

    :class:`UnknownError` for a programme without a plan.
    """
    plan = session.get(Plan, code)
    if plan is None:
        raise UnknownError(f"no programme {code}")
    for window in json.loads(plan.plan)["windows"]:
        if now_s < midnight_s(window["to"]) + DAY_S:
            return midnight_s(window["lot_expires_on"])
    return NEVER_S


class Builder:
    """Makes entitlement bodies; several steps of one wallet follow each other."""

    def __init__(
        self, session: Session, env: Environment, key_version: int, now_s: int,
        only: bytes | None = None,
    ) -> None:  # fmt: skip
        """``only``: the one card there will be steps of."""
        self._session, self._env, self._issued = session, env, Newest(session, only)
        self._key_version, self._now_s = key_version, now_s
        self._newest: dict[tuple[bytes, int], Entitlement] = {}

    def wish(self, step: Step) -> EntitlementWish:
        """The unsigned entitlement of one step; :class:`WalletFullError` for a fifth live lot."""
        card, wallet = step.card, step.programme.wallet
        last = self._last(card.card_id, wallet)
        loaded = (last.loaded if last else 0) + step.amount
        if loaded > MAX_LOADED:
            raise WalletFullError("L would leave its range")
        debited, reversed_ = settled(self._session, card, wallet)
        expired = last.expired_through(self._now_s) if last else 0
        body = Entitlement.encode_body(
            env=self._env, card_id=card.card_id,
            certificate_hash=card.digest[:CERTIFICATE_HASH_BYTES], wallet=wallet,
            programme=step.programme.code, sequence=(last.sequence if last else 0) + 1,
            loaded=loaded, lots=_lots(last, step, loaded, expired), forfeited_through=expired,
            cap=step.programme.cap, issued=dates.day_of(self._now_s),
            acknowledged=card.acknowledged, settled_debited=debited,
            settled_reversed=reversed_, bypass_total=step.programme.bypass_total,
            key_version=self._key_version,
        )  # fmt: skip
        self._newest[card.card_id, wallet] = Entitlement.parse(body + bytes(64))
        return EntitlementWish(body, step.cause)

    def _last(self, card_id: bytes, wallet: int) -> Entitlement | None:
        made = self._newest.get((card_id, wallet))
        if made is not None:
            return made
        found = (raw for held, _, raw in self._issued.of(card_id) if held == wallet)
        raw = next(found, None)
        return None if raw is None else Entitlement.parse(raw)


def _lots(
    last: Entitlement | None, step: Step, loaded: int, forfeited_through: int
) -> tuple[Lot, ...]:
    """The lots still live, and the step's; what C has passed is dropped."""
    lots = [lot for lot in (last.lots if last else ()) if lot.end > forfeited_through]
    if step.amount:
        # Expiries never decrease: a late step lives at least as long as what is there.
        expires_s = max([step.expires_s, *(lot.expires_s for lot in lots)])
        if lots and lots[-1].expires_s == expires_s:
            lots.pop()
        lots.append(Lot(expires_s, loaded))
    elif not lots and last is not None:
        lots = [last.lots[-1]]  # L must have an end, expired or not
    if len(lots) > MAX_LOTS:
        raise WalletFullError("the wallet would need a fifth live lot")
    return tuple(lots)


def settled(session: Session, card: Card, wallet: int) -> tuple[int, int]:
    """D and R of the wallet at the card's acknowledged sequence."""
    if not card.acknowledged:
        return 0, 0
    row = session.exec(
        select(ReceiptRow)
        .where(ReceiptRow.card_id == card.card_id, ReceiptRow.wallet == wallet,
               ReceiptRow.sequence <= card.acknowledged)
        .order_by(col(ReceiptRow.sequence).desc())
    ).first()  # fmt: skip
    return (0, 0) if row is None else (row.debited, row.reversed)


def ceilings(session: Session) -> tuple[Ceiling, ...]:
    """Per wallet the highest L that any card may show before the station's next bundle.

    A card may be topped up elsewhere meanwhile, so the highest L issued so far would turn honest
    cards away. Bound: every step of L stands on a decree row of the family, over a card and all
    its replacements, or on a RETURN (PROTOCOL.md §7.18); add what may be decreed meanwhile.
    """
    issued = _highest(session, EntitlementRow.wallet, EntitlementRow.loaded, EntitlementRow.hash)
    decreed = _highest(session, Row.programme, Row.amount, Row.family)
    returns = session.exec(
        select(DecisionRow.wallet, func.sum(DecisionRow.amount))
        .where(DecisionRow.kind == int(DecisionKind.RETURN)).group_by(col(DecisionRow.wallet))
    )  # fmt: skip
    returned = {wallet: int(total) for wallet, total in returns}
    made = []
    for plan in session.exec(select(Plan).order_by(col(Plan.wallet))):
        rounds = HEADROOM_ROUNDS * int(json.loads(plan.plan)["amount_per_round"])
        reach = decreed.get(plan.code, 0) + returned.get(plan.wallet, 0)
        highest = max(issued.get(plan.wallet, 0), reach) + rounds
        made.append(Ceiling(plan.wallet, min(highest, MAX_LOADED)))
    return tuple(made)


def _highest(session: Session, of: Any, amount: Any, per: Any) -> dict[int, int]:
    """The greatest sum of ``amount`` over one ``per``, for each value of ``of``."""
    sums = select(of.label("of"), func.sum(amount).label("total")).group_by(of, per).subquery()
    rows = session.exec(select(sums.c.of, func.max(sums.c.total)).group_by(sums.c.of))
    return {int(key): int(total) for key, total in rows}
