"""A lost card: blocked, its residual reserved, then moved by decision (PROTOCOL.md §6)."""

from __future__ import annotations

from pyroaring import BitMap
from sqlmodel import Session, col, func, select

from backend import cards, objects, reserves
from backend.errors import ReserveError, UnknownError
from backend.models import (
    EntitlementRow,
    ReceiptRow,
    ScriptRow,
    WalletState,
)
from backend.receipts import moved_away
from wire import dates
from wire.entitlement import Script, ScriptAction
from wire.env import Environment
from wire.objects import Decision, DecisionKind, Hotlist
from wire.receipt import ReceiptKind


def newest_hotlist(session: Session) -> Hotlist | None:
    """The signed hotlist of the highest version."""
    found = [h for _, h in objects.payloads_of(session, Hotlist)]
    return max(found, key=lambda h: h.version, default=None)


def draft_hotlist(session: Session, block: set[bytes], now_s: int) -> Hotlist:
    """The next hotlist with these cards too; the same set again drafts nothing new."""
    waiting = [Hotlist.parse(w.payload) for w in objects.unsigned(session, Hotlist.KIND)]
    # A draft may be signed and logged, its answer lost: it is built upon, never replaced.
    last = max([*waiting, *filter(None, [newest_hotlist(session)])],
               key=lambda h: h.version, default=None)  # fmt: skip
    serials = BitMap.deserialize(last.serials) if last else BitMap()
    wanted = serials | BitMap(int.from_bytes(c[4:], "big") for c in block)
    for card_id in block:
        cards.card(session, card_id)
    if last is not None and wanted == serials:
        return last
    version = (last.version if last else 0) + 1
    hotlist = Hotlist(version, now_s, wanted.serialize())
    objects.draft(session, hotlist, str(version))
    return hotlist


def script_body(
    session: Session, env: Environment, card_id: bytes, action: ScriptAction, *, officer: int,
    key_version: int, now_s: int,
) -> bytes:  # fmt: skip
    """The unsigned next script of a card; a BLOCK that is already there is not repeated."""
    last = session.exec(
        select(func.max(ScriptRow.number)).where(ScriptRow.card_id == card_id)
    ).one()
    return Script.encode_body(
        env=env, card_id=card_id, number=(last or 0) + 1, action=action, officer=officer,
        issued=dates.day_of(now_s), key_version=key_version,
    )  # fmt: skip


def newest_action(session: Session, card_id: bytes) -> ScriptAction | None:
    """The newest BLOCK or UNBLOCK issued to a card."""
    found = session.exec(
        select(ScriptRow.action).where(
            ScriptRow.card_id == card_id,
            col(ScriptRow.action).in_([int(ScriptAction.BLOCK), int(ScriptAction.UNBLOCK)]),
        ).order_by(col(ScriptRow.number).desc())
    ).first()  # fmt: skip
    return None if found is None else ScriptAction(found)


def exposure(session: Session, card_id: bytes, wallet: int) -> int:
    """L issued − settled (D − R) − F, less what was moved: the whole residual of the wallet.

    What the card has not taken yet is part of it; recorded losses do not lessen it.
    """
    issued = session.exec(
        select(func.max(EntitlementRow.loaded)).where(
            EntitlementRow.card_id == card_id, EntitlementRow.wallet == wallet
        )
    ).one()
    state = session.get(WalletState, (card_id, wallet))
    consumed = state.debited - state.reversed + state.forfeited if state else 0
    return (
        (issued or 0)
        - consumed
        + losses(session, card_id, wallet)
        - moved_away(session, card_id, wallet)
    )


def losses(session: Session, card_id: bytes, wallet: int) -> int:
    """Net amount of this wallet's debits that are recorded losses."""
    rows = session.exec(
        select(ReceiptRow).where(
            ReceiptRow.card_id == card_id, ReceiptRow.wallet == wallet,
            ReceiptRow.lost > 0,
        )
    )  # fmt: skip
    return sum(r.lost if r.kind == ReceiptKind.DEBIT else -r.lost for r in rows)


def draft_move(
    session: Session, card_id: bytes, new_card: bytes, wallet: int, *, number: str, reason: str,
    now_s: int, amount: int | None = None,
) -> Decision:  # fmt: skip
    """Draft the decision that moves a lost card's residual (all of it by default).

    Before every live terminal has synced the block only the programme's provisional amount may
    move. Raises :class:`ReserveError`, :class:`UnknownError`.
    """
    held = objects.named(session, Decision, number)
    if amount is None:  # run again: what the log took already is no more part of the residual
        amount = held.amount if held is not None else exposure(session, card_id, wallet)
    if amount <= 0:
        raise ReserveError(f"nothing of wallet {wallet} is left to move")
    decision = Decision(
        number, DecisionKind.MOVE, card_id, wallet, 0, 0, amount, new_card, reason, now_s
    )
    if held is None:  # a draft that waits is judged again before it is signed
        check_move(session, decision)
    return Decision.parse(objects.draft(session, decision, number).payload)


def check_move(session: Session, d: Decision) -> None:
    """Whether this residual may move now; :class:`ReserveError`, :class:`UnknownError`."""
    card, target = cards.card(session, d.card_id), cards.card(session, d.new_card or b"")
    if card.family != target.family or d.card_id == d.new_card:
        raise UnknownError("the new card is not a replacement of the lost one")
    whole = exposure(session, d.card_id, d.wallet)
    if not 0 < d.amount <= whole:
        raise ReserveError(f"the residual is {whole}, asked for {d.amount}")
    if card.blocked_version == 0 or reserves.open_stations(session, card):
        programme = objects.by_wallet(session).get(d.wallet)
        allowed = programme.provisional if programme else 0
        if moved_away(session, d.card_id, d.wallet) + d.amount > allowed:
            raise ReserveError("some terminal has neither synced the block nor been closed")
