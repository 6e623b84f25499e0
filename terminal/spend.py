"""Redemption: what a family may take, and the debit in its order.

INTENT durable → DEBIT → verify receipt → RECEIPT durable; goods, DELIVERED and CONFIRM follow by
the caller's word (PROTOCOL.md §4, terminal order).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from card_os.host.errors import CardError
from card_os.host.links import LinkError
from terminal import recovery, rules
from terminal.errors import JournalError
from terminal.guard import store_refusal
from terminal.outcomes import (
    AmountRefused,
    BypassRefused,
    Limit,
    Nothing,
    NothingWhy,
    Outcome,
    PinNeeded,
    Progress,
    RedeemUnknown,
    Step,
    Stop,
    TerminalRefused,
)
from terminal.rules import Credit
from terminal.views import WalletView
from wire import log
from wire.bundle import Note, Why
from wire.cvc import Role
from wire.objects import Programme
from wire.purse import Debit
from wire.receipt import Receipt, ReceiptKind

if TYPE_CHECKING:
    from terminal.visit import Visit

_WHY = {
    Why.FUNDS_NOT_RELEASED: NothingWhy.FUNDS_NOT_RELEASED,
    Why.NOT_IN_ROUND: NothingWhy.NOT_IN_ROUND,
    Why.EXCLUDED_BY_RULE: NothingWhy.EXCLUDED_BY_RULE,
    Why.BLOCKED: NothingWhy.BLOCKED,
    Why.REPLACED: NothingWhy.REPLACED,
}


# --- what may be taken -----------------------------------------------------------------------


def views(visit: Visit) -> list[WalletView]:
    """The card's wallets, then programmes the bundle explains and the card has no wallet for."""
    time_s = visit.engine.now_s()
    found = [view(visit, code) for code in visit.seen.credits]
    for programme in visit.engine.roster.programmes():
        note = _note(visit, programme.code)
        if programme.wallet not in visit.seen.credits and note is not None:
            nothing = _explained(programme, note, time_s)
            found.append(WalletView(programme.wallet, programme, 0, 0, 0, 0, nothing))
    return found


def view(visit: Visit, wallet: int) -> WalletView:
    """One wallet now; ``most`` is 0 exactly when ``nothing`` says why."""
    credit, time_s = visit.seen.credits[wallet], visit.engine.now_s()
    programme = visit.engine.roster.programme_of(wallet)
    available = credit.available(time_s)
    nothing = visit.nothing or _why(visit, wallet, credit, programme)
    most = 0
    if nothing is None and programme is not None:
        most = min(available, credit.cap(programme))
    return WalletView(
        wallet, programme, credit.counted.balance, available, credit.expired(time_s), most, nothing
    )


def _why(visit: Visit, wallet: int, credit: Credit, programme: Programme | None) -> Nothing | None:
    """The first reason why nothing of this wallet can be taken now."""
    time_s = visit.engine.now_s()
    if programme is None:
        return Nothing(NothingWhy.UNKNOWN_PROGRAMME, wallet)
    note = _note(visit, programme.code)
    if note is not None and note.why in {Why.BLOCKED, Why.REPLACED}:
        return _explained(programme, note, time_s)
    if wallet in visit.debited:
        return Nothing(NothingWhy.THIS_VISIT, wallet)
    if not rules.is_open(programme, time_s):
        opens_s = rules.opens_s(programme, time_s)
        return Nothing(NothingWhy.NOT_IN_ROUND, wallet, when_s=opens_s)
    if credit.available(time_s) > 0 and credit.cap(programme) > 0:
        return None
    if credit.expired(time_s) > 0:
        return Nothing(NothingWhy.EXPIRED, wallet, amount=credit.expired(time_s))
    if note is not None:
        return _explained(programme, note, time_s)
    last = _last_debit(visit, wallet) if credit.counted.debited else None
    if last is not None:
        return Nothing(NothingWhy.COLLECTED, wallet, last.terminal_time_s, last.terminal_id,
                       last.amount)  # fmt: skip
    if credit.shown.forfeited:
        return Nothing(NothingWhy.EXPIRED, wallet, amount=credit.shown.forfeited)
    if credit.counted.debited:
        return Nothing(NothingWhy.COLLECTED, wallet)
    return Nothing(NothingWhy.NOT_IN_ROUND, wallet)


def _note(visit: Visit, programme: int) -> Note | None:
    notes = visit.seen.entry.notes if visit.seen.entry else ()
    return next((n for n in notes if n.programme == programme), None)


def _explained(programme: Programme, note: Note, time_s: int) -> Nothing:
    when_s = None
    if note.why == Why.NOT_IN_ROUND:
        when_s = rules.opens_s(programme, time_s)
    return Nothing(_WHY[note.why], programme.wallet, when_s, detail=note.detail,
                   detail_en=note.detail_en)  # fmt: skip


def _last_debit(visit: Visit, wallet: int) -> Receipt | None:
    """The newest debit of a wallet still in the card's ring, not taken back."""
    taken_back = False
    for sequence in range(visit.state.sequence, 0, -1):
        receipt = visit.seen.receipts.get(sequence)
        if receipt is None:
            try:
                receipt = visit.session.read_receipt(sequence)
            except (CardError, LinkError):
                return None  # gone from the ring, or the card went: shown without place and time
            visit.seen.receipts[sequence] = receipt
        if receipt.wallet == wallet and receipt.kind == ReceiptKind.DEBIT and not taken_back:
            return receipt
        taken_back = receipt.kind == ReceiptKind.REVERSAL
    return None


# --- the debit ---------------------------------------------------------------------------------


def redeem(visit: Visit, wallet: int, amount: int, bypass_reason: str) -> Outcome:
    """1. may it be? 2. INTENT durable 3. DEBIT 4. RECEIPT durable."""
    # 1.
    refusal = _refusal(visit, wallet, amount, bypass_reason)
    if refusal is not None:
        return refusal
    # 2.
    engine = visit.engine
    intent = _intent(visit, wallet, amount, bypass_reason)
    (record,) = engine.write(intent, certificate=visit.card_certificate)
    row = engine.journal.intent(record.sequence)
    # 3.
    order = Debit(wallet, amount, intent.expected_sequence, record.sequence, record.time_s,
                  intent.basket_version, record.hash)  # fmt: skip
    try:
        receipt = visit.session.debit(order, bypass=bool(bypass_reason))
    except (CardError, LinkError) as e:
        return recovery.settle_now(visit, row, e)
    # 4.
    engine.emit(Progress(Step.WRITING))
    try:
        engine.write(log.Receipted(record.sequence, receipt.raw))
    except JournalError as e:
        # The card has paid and nothing here proves it yet: no goods; the next READ finds it.
        engine.emit(store_refusal(e))
        visit.close()
        return RedeemUnknown(record.sequence, visit.card_id)
    visit.kept(receipt)
    visit.debited.add(wallet)
    _advance(visit, receipt)
    return recovery.done(engine, row, receipt, recovered=False)


def _refusal(visit: Visit, wallet: int, amount: int, bypass_reason: str) -> Outcome | None:
    if visit.engine.journal.shift_officer() is None:
        return TerminalRefused(Stop.NO_SHIFT)
    if visit.nothing is not None:
        return visit.nothing
    if visit.has_open_intent():
        return Nothing(NothingWhy.OUTCOME_PENDING)
    state = visit.state
    if not rules.ring_has_room(state.sequence, state.acknowledged):
        return Nothing(NothingWhy.RING_FULL)
    if wallet not in visit.seen.credits:
        explained = [v.nothing for v in views(visit) if v.wallet == wallet]
        return explained[0] if explained and explained[0] else Nothing(NothingWhy.NO_WALLET, wallet)
    shown = view(visit, wallet)
    if shown.nothing is not None:
        return shown.nothing
    if amount < 1:
        return AmountRefused(Limit.NOT_POSITIVE, wallet, shown.most)
    if amount > shown.available:
        return AmountRefused(Limit.ABOVE_AVAILABLE, wallet, shown.most)
    if amount > shown.most:
        return AmountRefused(Limit.ABOVE_CAP, wallet, shown.most)
    return _unverified(visit, bypass_reason)


def _unverified(visit: Visit, bypass_reason: str) -> Outcome | None:
    """A PIN in this session, or a bypass by a supervisor who says why (PROTOCOL.md §6, PIN)."""
    if visit.role == Role.SUPERVISOR:
        spent = visit.state.bypass_count >= visit.state.bypass_total
        return BypassRefused() if spent or not bypass_reason.strip() else None
    if visit.role != Role.TERMINAL or bypass_reason:
        return BypassRefused()
    return None if visit.is_pin_verified else PinNeeded()


def _intent(visit: Visit, wallet: int, amount: int, bypass_reason: str) -> log.Intent:
    engine = visit.engine
    programme = engine.roster.programme_of(wallet)
    if programme is None:  # view() has refused it
        raise LookupError(wallet)
    basket, version = rules.tariff(programme), engine.roster.version
    return log.Intent(
        card_id=visit.card_id, certificate=visit.session.identity.certificate_digest,
        wallet=wallet, amount=amount, basket_version=basket.version,
        lines=rules.goods(programme, basket, amount), expected_sequence=visit.state.sequence,
        terminal_serial=visit.credentials.certificate.serial, officer=visit.credentials.officer,
        epoch=version.epoch, counter=version.counter, hotlist_version=version.hotlist_version,
        bypass_reason=bypass_reason,
    )  # fmt: skip


def _advance(visit: Visit, receipt: Receipt) -> None:
    credit = visit.seen.credits[receipt.wallet]
    visit.seen.credits[receipt.wallet] = replace(credit, shown=receipt.counters)
