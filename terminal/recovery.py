"""Outcomes of pending intents, by evidence only (PROTOCOL.md §4, terminal sequence).

Evidence is a READ in a later session, or receipt s + 1 from a bundle. An error, a status word
or a time-out never is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from card_os.host.errors import CardRefusedError, NotThereError, SessionOverError
from card_os.host.links import HostError, LinkError
from card_os.host.opening import CardIdentity
from terminal.guard import TurnedAwayError
from terminal.outcomes import (
    NotRedeemed,
    NotVoided,
    Outcome,
    Redeemed,
    RedeemUnknown,
    Voided,
    VoidUnknown,
)
from terminal.session import open_session
from wire import cvc, log
from wire.errors import WireError
from wire.log import IntentKind, Reason
from wire.objects import Unit
from wire.receipt import Receipt, ReceiptKind
from wire.schema import Shape

if TYPE_CHECKING:
    from terminal.engine import Engine
    from terminal.journal import IntentRow, Journal
    from terminal.visit import Visit


def recover(visit: Visit) -> None:
    """Every pending intent of this card on this terminal, before anything new is asked."""
    for row in visit.engine.journal.open_intents(visit.card_id):
        outcome = _by_read(visit, row)
        visit.seen.recovered.append(outcome)
        visit.engine.emit(outcome)


def _by_read(visit: Visit, row: IntentRow) -> Outcome:
    s = visit.state.sequence
    if s < row.expected:
        raise TurnedAwayError(Reason.ROLLED_BACK, visit.card_id, "behind a pending intent")
    if s == row.expected:
        visit.engine.write(log.Aborted(row.sequence, s, None))
        return not_done(row, s)
    try:
        receipt = visit.session.read_receipt(row.expected + 1)
    except NotThereError:
        return _from_bundle(visit, row) or left_pending(visit.engine, row)
    visit.kept(receipt)
    return take_evidence(visit.engine, row, receipt, s)


def _from_bundle(visit: Visit, row: IntentRow) -> Outcome | None:
    """The slot was reused; the bundle may carry the receipt."""
    for raw in visit.seen.entry.resolved if visit.seen.entry else ():
        try:
            receipt = Receipt.parse(raw).verify(visit.session.identity.receipt_key)
        except WireError:
            continue
        if receipt.sequence == row.expected + 1 and receipt.card_id == visit.card_id:
            return take_evidence(visit.engine, row, receipt, visit.state.sequence)
    return None


def take_evidence(engine: Engine, row: IntentRow, receipt: Receipt, card_sequence: int) -> Outcome:
    """Receipt s + 1, verified: ours → RECEIPT, another's → ABORTED.

    :class:`TurnedAwayError` when it shows another image of this terminal (docs/adr/0005), is about
    something else than was asked, or does not link to what was here before.
    """
    station = engine.journal.station.station_id
    ours = (station, row.sequence, row.hash)
    if (receipt.terminal_id, receipt.terminal_sequence, receipt.intent_hash) != ours:
        engine.write(log.Aborted(row.sequence, card_sequence, receipt.raw))
        if receipt.terminal_id == station:
            # Our id, and this journal asked nothing else of the card there: another image did.
            raise TurnedAwayError(
                Reason.RESTORED_IMAGE, row.card_id,
                f"sequence {receipt.terminal_sequence} is another intent of this terminal's id",
            )  # fmt: skip
        return not_done(row, card_sequence)
    check_asked(engine.journal, row, receipt)
    memory = engine.journal.card(row.card_id)
    if memory.sequence == row.expected and memory.hash not in {None, receipt.link}:
        raise TurnedAwayError(
            Reason.IDENTITY_CHANGED, row.card_id, "receipt does not link to what was here before",
            log.Collected(receipt.raw),
        )  # fmt: skip
    engine.write(log.Receipted(row.sequence, receipt.raw))
    return done(engine, row, receipt, recovered=True)


def check_asked(journal: Journal, row: IntentRow, receipt: Receipt) -> None:
    """The receipt is about what the intent asked; a chip that says otherwise is refused.

    :class:`TurnedAwayError`, with the receipt as evidence.
    """
    if row.kind == IntentKind.DEBIT:
        body: log.Intent = row.record.body
        want = (ReceiptKind.DEBIT, body.wallet, body.amount, body.basket_version)
    else:
        debit = journal.intent(row.debit or 0).record.body
        want = (ReceiptKind.REVERSAL, debit.wallet, debit.amount, debit.basket_version)
    got = (receipt.kind, receipt.wallet, receipt.amount, receipt.basket_version)
    if got != want or receipt.card_id != row.card_id or receipt.sequence != row.expected + 1:
        raise TurnedAwayError(
            Reason.IDENTITY_CHANGED, row.card_id, "receipt differs from its intent",
            log.Collected(receipt.raw),
        )  # fmt: skip


def settle_now(visit: Visit, row: IntentRow, error: Exception) -> Outcome:
    """After DEBIT or VOID gave no good answer: ask in a new session if the card is still there.

    The link of a :class:`LinkError` is dead; anything else leaves it usable.
    """
    engine = visit.engine
    visit.is_pin_verified = False
    if isinstance(error, LinkError):
        return left_pending(engine, row)
    try:
        visit.session.close()
        visit.session, _ = open_session(engine, visit.link, visit.credentials)
        return _by_read(visit, row)
    except (HostError, CardRefusedError, SessionOverError):
        return left_pending(engine, row)


def left_pending(engine: Engine, row: IntentRow) -> Outcome:
    """PENDING, once: the card left before the outcome was known."""
    if not engine.journal.intent(row.sequence).left_pending:
        engine.write(log.Pending(row.sequence))
    if row.kind == IntentKind.DEBIT:
        return RedeemUnknown(row.sequence, row.card_id)
    return VoidUnknown(row.sequence, row.debit or 0, row.on_counter)


def not_done(row: IntentRow, card_sequence: int) -> Outcome:
    """Proven not to have happened."""
    if row.kind == IntentKind.DEBIT:
        return NotRedeemed(row.sequence, row.card_id, card_sequence)
    return NotVoided(row.sequence, row.debit or 0, row.on_counter, card_sequence)


def done(engine: Engine, row: IntentRow, receipt: Receipt, *, recovered: bool) -> Outcome:
    """Proven to have happened."""
    after = receipt.counters.balance
    if row.kind == IntentKind.VOID:
        before = after - receipt.amount
        return Voided(row.sequence, row.debit or 0, receipt, before, after, row.on_counter,
                      recovered)  # fmt: skip
    programme = engine.roster.programme_of(receipt.wallet)
    unit = programme.unit if programme else Unit.PIECE
    body: log.Intent = row.record.body
    return Redeemed(row.sequence, receipt, unit, body.lines, after + receipt.amount, after,
                    recovered)  # fmt: skip


def resolve_from_roster(engine: Engine) -> list[Outcome]:
    """Pending intents that receipts from the bundle settle, the cards being elsewhere."""
    found = []
    for row in engine.journal.open_intents():
        entry = engine.roster.card(row.card_id)
        raw = engine.journal.card_certificate(row.card_id)
        if entry is None or raw is None:
            continue
        identity = CardIdentity.of(cvc.Certificate.parse(raw))
        for item in entry.resolved:
            receipt = _verified(item, identity)
            if receipt is None or receipt.sequence != row.expected + 1:
                continue
            try:
                outcome = take_evidence(engine, row, receipt, receipt.sequence)
            except TurnedAwayError as e:
                bodies: list[Shape] = [*e.extra, log.Rejected(e.reason, e.card_id, e.detail)]
                engine.write(*bodies)
                break
            engine.emit(outcome)
            found.append(outcome)
            break
    return found


def _verified(raw: bytes, identity: CardIdentity) -> Receipt | None:
    try:
        receipt = Receipt.parse(raw).verify(identity.receipt_key)
    except WireError:
        return None
    return receipt if receipt.card_id == identity.card_id else None
