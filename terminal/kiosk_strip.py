"""The strip above every screen: what an operator must always see (docs/ui.md#a-screen, 2)."""

from __future__ import annotations

from terminal.counter import Counter
from terminal.engine import Engine
from terminal.kiosk_screens import Level, Strip
from terminal.opening import WARN_BEFORE_END_S
from terminal.printer import PrinterGone, PrintOutcome
from terminal.status import Status, status
from wire.cvc import Role


def strip(counter: Counter, *, has_reader: bool, printed: PrintOutcome | None) -> Strip:
    """The terminal now. ``printed``: the printer's last answer."""
    now = status(counter.engine)
    data_s = None if now.version is None else now.version.time_s
    end_s = max((c.end_s for c in now.certificates if c.role == Role.TERMINAL.name), default=None)
    printer = None
    if counter.has_printer:
        printer = Level.BAD if isinstance(printed, PrinterGone) else Level.GOOD
    return Strip(
        counter.place, now.station, now.now_s,
        Level.WARN if now.clock_suspect else Level.GOOD,
        now.shift_officer, data_s, _data(counter.engine, now, data_s),
        end_s, _certificate(end_s, now.now_s),
        Level.GOOD if has_reader else Level.BAD, printer,
        len(now.unknown) + len(now.undelivered) + len(now.suspended), now.unacknowledged,
    )  # fmt: skip


def _data(engine: Engine, now: Status, data_s: int | None) -> Level:
    """By the signed parameters: from when data is old, and from when nothing is given."""
    if data_s is None:
        return Level.BAD
    age_s, parameters = now.now_s - data_s, engine.roster.parameters
    if age_s > parameters.data_stale_stop_s:
        return Level.BAD
    return Level.WARN if age_s > parameters.data_stale_warn_s else Level.GOOD


def _certificate(end_s: int | None, now_s: int) -> Level:
    if end_s is None or end_s < now_s:
        return Level.BAD
    return Level.WARN if end_s - now_s < WARN_BEFORE_END_S else Level.GOOD
