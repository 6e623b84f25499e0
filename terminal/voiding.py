"""Void: the card's latest debit of this terminal taken back (PROTOCOL.md §6).

Its own INTENT is durable before VOID; the outcome stands on evidence only. From the intent of a
void after hand-over to RETURNED or GIVEN_BACK the goods are in suspense.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from card_os.host.errors import CardError
from card_os.host.links import LinkError
from terminal import recovery
from terminal.errors import JournalError
from terminal.guard import store_refusal
from terminal.outcomes import Outcome, Progress, Step, VoidRefused, VoidUnknown, VoidWhy
from terminal.projection import State
from wire import log
from wire.cvc import Role
from wire.log import IntentKind
from wire.purse import Flag, Void

if TYPE_CHECKING:
    from terminal.journal import IntentRow
    from terminal.visit import Visit


def void(visit: Visit, intent: int, on_counter: bool, reason: str) -> Outcome:
    """1. may it be? 2. VOID intent durable 3. VOID 4. RECEIPT durable."""
    # 1.
    engine = visit.engine
    debit = engine.journal.intent(intent)
    refusal = _refusal(visit, debit, on_counter=on_counter, reason=reason)
    if refusal:
        return VoidRefused(refusal)
    # 2.
    sequence = visit.state.sequence
    (record,) = engine.write(log.VoidIntent(
        intent=intent, card_id=visit.card_id, sequence=sequence,
        terminal_serial=visit.credentials.certificate.serial, officer=visit.credentials.officer,
        on_counter=on_counter, reason=reason,
    ))  # fmt: skip
    row = engine.journal.intent(record.sequence)
    # 3.
    order = Void(sequence, record.sequence, record.time_s, record.hash)
    try:
        receipt = visit.session.void(order)
    except (CardError, LinkError) as e:
        return recovery.settle_now(visit, row, e)
    # 4.
    engine.emit(Progress(Step.WRITING))
    try:
        engine.write(log.Receipted(record.sequence, receipt.raw))
    except JournalError as e:
        engine.emit(store_refusal(e))
        visit.close()
        return VoidUnknown(record.sequence, intent, on_counter)
    visit.kept(receipt)
    credit = visit.seen.credits.get(receipt.wallet)
    if credit is not None:
        own = credit.own_reversed + receipt.amount
        visit.seen.credits[receipt.wallet] = replace(
            credit, shown=receipt.counters, own_reversed=own
        )
    return recovery.done(engine, row, receipt, recovered=False)


def _refusal(visit: Visit, debit: IntentRow, *, on_counter: bool, reason: str) -> VoidWhy | None:
    """Why this debit cannot be voided; None when it can."""
    state, receipt = visit.state, debit.receipt
    if visit.role != Role.SUPERVISOR:
        return VoidWhy.NO_SUPERVISOR
    if debit.kind != IntentKind.DEBIT or debit.card_id != visit.card_id or receipt is None:
        return VoidWhy.NO_DEBIT
    if visit.has_open_intent():
        return VoidWhy.OUTCOME_PENDING
    if any(v.state not in {State.ABORTED, State.GIVEN_BACK}
           for v in visit.engine.journal.voids_of(debit.sequence)):  # fmt: skip
        return VoidWhy.VOIDED
    if any(v.on_counter and v.state == State.ABORTED
           for v in visit.engine.journal.voids_of(debit.sequence)):  # fmt: skip
        return VoidWhy.ON_COUNTER
    if (debit.state == State.DELIVERED) != on_counter:
        return VoidWhy.HAND_OVER_DIFFERS
    if receipt.sequence != state.sequence or Flag.CONFIRMED in state.flags:
        return VoidWhy.FINAL
    if not reason.strip():
        return VoidWhy.NO_REASON
    return None
