"""COLLECT: carry home what the backend has not acknowledged, and check it against memory.

PROTOCOL.md §4 step 6, §4.1: before every new debit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from card_os.host.errors import NotThereError
from terminal.guard import TurnedAwayError
from wire import log
from wire.log import Reason
from wire.receipt import Receipt, StatementKind

if TYPE_CHECKING:
    from terminal.visit import Visit


def collect(visit: Visit) -> None:
    """Read receipts and statements newer than what is known; log them in one commit.

    Raises TurnedAwayError when the card's chain does not link, contradicts this terminal's
    memory, or shows this terminal's id with what its journal never wrote.
    """
    journal, state = visit.engine.journal, visit.state
    memory, entry = journal.card(visit.card_id), visit.seen.entry
    acknowledged = max(
        [entry.acknowledged if entry else 0]
        + [c.newest.acknowledged for c in visit.seen.credits.values()]
    )
    start = max(memory.sequence, acknowledged) + 1
    previous: tuple[int, bytes] | None = None
    if memory.hash is not None:
        previous = (memory.sequence, memory.hash)
    fresh: list[Receipt] = []
    for sequence in range(start, state.sequence + 1):
        receipt = _read(visit, sequence)
        if receipt is None:
            previous = None
            continue
        _check_link(visit, receipt, previous)
        previous = (sequence, receipt.hash)
        fresh.append(receipt)
    _check_newest(visit, previous)
    foreign = [r for r in fresh if not _is_own(visit, r)]
    items = [log.Collected(r.raw) for r in foreign] + _statements(visit)
    if items:
        visit.engine.write(*items)


def _read(visit: Visit, sequence: int) -> Receipt | None:
    """None for an acknowledged one whose slot was reused; any other must be there."""
    held = visit.seen.receipts.get(sequence)
    if held is None:
        try:
            held = visit.session.read_receipt(sequence)
        except NotThereError as e:
            if sequence <= visit.state.acknowledged and sequence < visit.state.sequence:
                return None
            raise TurnedAwayError(
                Reason.IDENTITY_CHANGED, visit.card_id, f"receipt {sequence} is missing"
            ) from e
        visit.seen.receipts[sequence] = held
    return held


def _check_link(visit: Visit, receipt: Receipt, previous: tuple[int, bytes] | None) -> None:
    """No link is required across the acknowledged sequence."""
    if receipt.sequence == 1:
        want = visit.session.identity.certificate_digest
    elif previous is not None and previous[0] == receipt.sequence - 1:
        want = previous[1]
    else:
        return
    if receipt.link != want:
        raise TurnedAwayError(
            Reason.IDENTITY_CHANGED, visit.card_id, f"receipt {receipt.sequence} does not link",
            log.Collected(receipt.raw),
        )  # fmt: skip


def _check_newest(visit: Visit, known: tuple[int, bytes] | None) -> None:
    """The newest receipt is always read: it must be the one remembered, with the card's D, R."""
    state = visit.state
    if state.sequence == 0:
        return
    newest = _read(visit, state.sequence)
    if newest is None:
        return
    if known is not None and known[0] == state.sequence and known[1] != newest.hash:
        raise TurnedAwayError(
            Reason.IDENTITY_CHANGED, visit.card_id, "another receipt of one sequence",
            log.Collected(newest.raw),
        )  # fmt: skip
    shown = next((w.counters for w in state.wallets if w.wallet == newest.wallet), None)
    c = newest.counters
    if shown is None or (shown.debited, shown.reversed) != (c.debited, c.reversed):
        raise TurnedAwayError(
            Reason.ROLLED_BACK, visit.card_id, "counters are not the newest receipt's"
        )


def _is_own(visit: Visit, receipt: Receipt) -> bool:
    """Whether our own chain holds this receipt already; a restored image is found here."""
    journal = visit.engine.journal
    if receipt.terminal_id != journal.station.station_id:
        return False
    row = journal.find_intent(receipt.terminal_sequence)
    if row is None or row.hash != receipt.intent_hash:
        # PROTOCOL.md §4.1: this id with what the journal does not hold: an image was restored.
        raise TurnedAwayError(
            Reason.RESTORED_IMAGE, visit.card_id,
            f"sequence {receipt.terminal_sequence} beyond or beside this journal",
            log.Collected(receipt.raw),
        )  # fmt: skip
    return row.receipt is not None


def _statements(visit: Visit) -> list[log.Collected]:
    """The newest PIN and script statement, where neither backend nor this terminal has it."""
    state, entry, session = visit.state, visit.seen.entry, visit.session
    memory = visit.engine.journal.card(visit.card_id)
    found = []
    if state.pin_set_count > max(memory.pin_set_count, entry.pin_set_count if entry else 0):
        statement = session.read_pin_statement()
        found.append(log.Collected(statement.raw))
    if state.pin_set_count and not memory.handed_over and visit.seen.activation is None:
        statement = session.read_pin_statement()
        own = statement.terminal_id == visit.engine.journal.station.station_id
        if own and statement.kind == StatementKind.ACTIVATION:
            visit.seen.activation = statement
    if state.script_count > max(memory.script_count, entry.script_count if entry else 0):
        found.append(log.Collected(session.read_script_statement().raw))
    return found
