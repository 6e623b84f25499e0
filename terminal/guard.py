"""Errors on the way of one command become its outcome; a turned-away card is logged once.

A status word is never evidence (PROTOCOL.md §4.1); REJECTED and its reasons: docs/wire.md#log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from card_os.host.errors import (
    CardRefusedError,
    ProtocolError,
    SecureMessagingRefusedError,
    SessionOverError,
    UnexpectedStatusError,
    UnprovenAnswerError,
)
from card_os.host.links import HostError, LinkError
from terminal.errors import JournalError, JournalFullError, StepError, TerminalError
from terminal.outcomes import (
    CardLost,
    CardRefused,
    Outcome,
    Progress,
    Step,
    StepRefused,
    Stop,
    TerminalRefused,
)
from wire import log
from wire.errors import FormatError
from wire.log import Reason

if TYPE_CHECKING:
    from terminal.engine import Engine

T = TypeVar("T")
MAX_DETAIL = 400  # characters, as a text of the log has (docs/wire.md#log)


class TurnedAwayError(TerminalError):
    """The card is refused; ``extra`` records are evidence kept with the REJECTED."""

    def __init__(
        self, reason: Reason, card_id: bytes | None, detail: str, *extra: log.Collected
    ) -> None:
        super().__init__(detail)
        self.reason, self.card_id, self.detail, self.extra = reason, card_id, detail, extra


class StoppedError(TerminalError):
    """The terminal may not work."""

    def __init__(self, why: Stop) -> None:
        super().__init__(why.value)
        self.why = why


def guarded(engine: Engine, step: Step, action: Callable[[], T]) -> T | Outcome:
    """Run one command; what it raises becomes an outcome, and every outcome is emitted.

    Not caught: what no card, store or operator can cause.
    """
    engine.emit(Progress(step))
    result: T | Outcome
    try:
        result = action()
    except TurnedAwayError as e:
        result = _turn_away(engine, e)
    except StoppedError as e:
        result = TerminalRefused(e.why)
    except JournalError as e:
        result = store_refusal(e)
    except (StepError, FormatError) as e:  # FormatError: a text too long for a record
        result = StepRefused(str(e))
    except (
        UnprovenAnswerError, UnexpectedStatusError, SecureMessagingRefusedError, SessionOverError,
        LinkError,
    ):  # fmt: skip
        # A status word that stands nowhere is what a cut line leaves of an answer: it proves
        # nothing, least of all against the card (PROTOCOL.md §4.1).
        result = CardLost(step)
    except ProtocolError as e:
        result = _turn_away(engine, TurnedAwayError(Reason.IDENTITY_CHANGED, None, str(e)))
    except CardRefusedError as e:
        result = StepRefused(str(e))
    except HostError:
        result = CardLost(step)
    if isinstance(result, Outcome):
        engine.emit(result)
    return result


def store_refusal(error: JournalError) -> TerminalRefused:
    """The outcome of a journal that could not be written."""
    return TerminalRefused(Stop.STORE_FULL if isinstance(error, JournalFullError) else Stop.STORE)


def _turn_away(engine: Engine, e: TurnedAwayError) -> Outcome:
    detail = e.detail[:MAX_DETAIL]
    try:
        engine.write(*e.extra, log.Rejected(e.reason, e.card_id, detail))
    except JournalError as error:
        return store_refusal(error)
    return CardRefused(e.reason, e.card_id, detail)
