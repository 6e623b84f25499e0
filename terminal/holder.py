"""The holder's own matters: PIN, hand-over, dispute (PROTOCOL.md §6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from card_os.host import errors
from card_os.host.links import LinkError
from terminal.outcomes import (
    Activated,
    ActivationRefused,
    Disputed,
    Nothing,
    NothingWhy,
    Outcome,
    PinAccepted,
    PinMalformed,
    PinNeeded,
    PinSet,
    PinSpent,
    PinTooSimple,
    PinUnknown,
    PinWrong,
)
from wire import log
from wire.cvc import Role
from wire.errors import FormatError
from wire.purse import Flag, Life
from wire.receipt import Statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from terminal.visit import Visit


@dataclass(frozen=True, slots=True)
class Bast:
    """The hand-over note: its number, the place, and who took the card for the family."""

    number: str
    place: str
    proxy: str


def verify_pin(visit: Visit, pin: str) -> Outcome:
    """VERIFY."""
    try:
        visit.session.verify_pin(pin)
    except FormatError:
        return PinMalformed()
    except errors.CardRefusedError as e:
        visit.is_pin_verified = False
        return _refused(e)
    visit.is_pin_verified = True
    return PinAccepted()


def _refused(error: errors.CardRefusedError) -> Outcome:
    match error:
        case errors.WrongPinError():
            return PinWrong(error.tries_left)
        case errors.PinTriesSpentError():
            return PinSpent()
        case errors.PinTooSimpleError():
            return PinTooSimple()
        case errors.InertError():
            return Nothing(NothingWhy.NOT_ACTIVE)
        case errors.BlockedError():
            return Nothing(NothingWhy.BLOCKED)
        case errors.OutOfPlaceError() | errors.NotPermittedError():
            return ActivationRefused()
        case _:
            raise error


def _asked(command: Callable[[], Statement]) -> Statement | Outcome:
    """A PIN command; a card that leaves within it has done it or not: the next tap tells."""
    try:
        return command()
    except FormatError:
        return PinMalformed()
    except errors.SecureMessagingRefusedError:
        return PinUnknown()
    except errors.CardRefusedError as e:
        return _refused(e)
    except (LinkError, errors.UnprovenAnswerError):
        return PinUnknown()


def change_pin(visit: Visit, old: str, new: str) -> Outcome:
    """CHANGE PIN, the statement durable."""
    answer = _asked(lambda: visit.session.change_pin(old, new))
    if isinstance(answer, Outcome):
        return answer
    visit.engine.write(log.Pin(answer.raw))
    return PinSet(visit.card_id)


def set_pin_after_reset(visit: Visit, pin: str) -> Outcome:
    """ACTIVATE of path 01, the statement durable."""
    if visit.role != Role.HANDOVER or Flag.PIN_RESET_PENDING not in visit.state.flags:
        return ActivationRefused()
    answer = _asked(lambda: visit.session.set_pin_after_reset(pin))
    if isinstance(answer, Outcome):
        return answer
    visit.engine.write(log.Pin(answer.raw))
    return PinSet(visit.card_id)


def activate(visit: Visit, code: str, pin: str, bast: Bast) -> Outcome:
    """ACTIVATE, HANDOVER durable; a torn one is found by its statement and noted now."""
    if visit.role != Role.HANDOVER:
        return ActivationRefused()
    if visit.engine.roster.is_hotlisted(visit.card_id):
        return Nothing(NothingWhy.BLOCKED)
    if visit.state.life == Life.ACTIVE:
        torn = visit.seen.activation
        if torn is None or torn.officer != visit.credentials.officer:
            return ActivationRefused()
        return _handed_over(visit, torn, bast)
    # A note that the log would refuse must be found before the card acts.
    bytes(log.Handover(bast.number, visit.credentials.officer, bast.place, bast.proxy, b"-"))
    answer = _asked(lambda: visit.session.activate(code, pin))
    if isinstance(answer, Outcome):
        return answer
    return _handed_over(visit, answer, bast)


def _handed_over(visit: Visit, statement: Statement, bast: Bast) -> Outcome:
    visit.engine.write(
        log.Handover(bast.number, visit.credentials.officer, bast.place, bast.proxy, statement.raw)
    )
    visit.seen.activation = None
    return Activated(visit.card_id, bast.number)


def dispute(visit: Visit, sequence: int) -> Outcome:
    """DISPUTE, only by a holder whose PIN was right in this session."""
    if not visit.is_pin_verified:
        return PinNeeded()
    receipt = visit.seen.receipts.get(sequence) or visit.session.read_receipt(sequence)
    visit.engine.write(log.Dispute(visit.card_id, sequence, receipt.hash))
    return Disputed(visit.card_id, sequence)
