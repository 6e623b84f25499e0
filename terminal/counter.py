"""The counter's order of things for one tap (PROTOCOL.md §4): the command line's and the demo's.

Commands to the engine, results collected; printing goes through the given printer and never
stops a sale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from card_os.host.links import Link
from terminal.engine import Engine, Officer
from terminal.outcomes import (
    NotRedeemed,
    NotVoided,
    Outcome,
    PinAccepted,
    Redeemed,
    RedeemUnknown,
    Voided,
    VoidUnknown,
)
from terminal.printer import PrintOutcome
from terminal.slip import PRINTED, Context, Line, slip
from terminal.visit import Visit
from wire.cvc import Role
from wire.objects import Programme
from wire.purse import CardState

Print = Callable[[Iterable[Line]], PrintOutcome]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the family wants: so much of this wallet."""

    wallet: int
    amount: int


@dataclass(frozen=True, slots=True)
class Tap:
    """One tap as asked for. ``deliver``: hand over at once, and say so."""

    wishes: tuple[Wish, ...] = ()
    deliver: bool = True
    bypass_reason: str = ""
    pin: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class Report:
    """Everything that came of a tap, in order."""

    card_id: bytes | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    view: dict[str, Any] = field(default_factory=dict)
    prints: list[PrintOutcome] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing that was asked for failed."""
        return all(x.is_good for x in self.outcomes)


class Counter:
    """One distribution point's counter over an engine; command line and screen work through it."""

    def __init__(self, engine: Engine, place: str, print_slip: Print | None = None) -> None:
        self.engine, self.place, self._print = engine, place, print_slip

    @property
    def has_printer(self) -> bool:
        """Whether slips go anywhere."""
        return self._print is not None

    # --- whole taps ------------------------------------------------------------------------------

    def tap(self, link: Link, wanted: Tap, officer: Officer | None = None) -> Report:
        """Begin, show, PIN, redeem each wish, hand over, confirm; stops at the first failure."""

        def work(visit: Visit, report: Report) -> None:
            if wanted.wishes:
                self._redeem(visit, wanted, report)
            report.view["after"] = visit.wallets() if visit.session.is_open else []

        role = Role.SUPERVISOR if wanted.bypass_reason else Role.TERMINAL
        return self.visit(link, role, officer, work)

    def void(self, link: Link, officer: Officer, intent: int, *, on_counter: bool,
             reason: str) -> Report:  # fmt: skip
        """Void one debit; what becomes of its goods a person says afterwards."""

        def work(visit: Visit, report: Report) -> None:
            outcome = visit.void(intent, on_counter=on_counter, reason=reason)
            self._note(report, outcome, visit)

        return self.visit(link, Role.SUPERVISOR, officer, work)

    def visit(
        self, link: Link, role: Role, officer: Officer | None,
        work: Callable[[Visit, Report], None],
    ) -> Report:  # fmt: skip
        """Begin, note what was recovered, then ``work``; the visit is closed."""
        report = Report()
        visit = self.engine.begin(link, role, officer)
        if not isinstance(visit, Visit):
            report.outcomes.append(visit)
            return report
        with visit:
            self._look(visit, report)
            for outcome in visit.recovered:
                self._note(report, outcome, visit)
            work(visit, report)
            visit.leave()
        return report

    def _look(self, visit: Visit, report: Report) -> None:
        report.card_id = visit.card_id
        report.view = {
            "card": visit.card_id, "nothing": visit.nothing, "warnings": visit.warnings,
            "wallets": visit.wallets(), "last": visit.last_receipts(),
            "undelivered": [x.sequence for x in visit.undelivered()],
        }  # fmt: skip

    def _redeem(self, visit: Visit, wanted: Tap, report: Report) -> None:
        if visit.nothing is not None:
            report.outcomes.append(visit.nothing)
            return
        if not wanted.bypass_reason and wanted.pin is not None:
            answer = visit.verify_pin(wanted.pin)
            if not isinstance(answer, PinAccepted):
                report.outcomes.append(answer)
                return
        for wish in wanted.wishes:
            outcome = visit.redeem(wish.wallet, wish.amount, bypass_reason=wanted.bypass_reason)
            self._note(report, outcome, visit)
            if not isinstance(outcome, Redeemed):
                return
            if wanted.deliver:
                report.outcomes.append(visit.delivered(outcome.intent))

    def _note(self, report: Report, outcome: Outcome, visit: Visit) -> None:
        report.outcomes.append(outcome)
        printed = self.print(self.paper(outcome, visit))
        if printed is not None:
            report.prints.append(printed)

    # --- paper -----------------------------------------------------------------------------------

    def paper(self, outcome: Outcome, visit: Visit) -> tuple[Line, ...]:
        """The slip of an outcome, empty for one that has none (:data:`terminal.slip.PRINTED`)."""
        if not isinstance(outcome, PRINTED):
            return ()
        return slip(outcome, self._context(outcome, visit))

    def print(self, lines: Sequence[Line]) -> PrintOutcome | None:
        """Print them; None without a printer or lines. A lost printer stops nothing."""
        return None if self._print is None or not lines else self._print(lines)

    def _context(self, outcome: Outcome, visit: Visit) -> Context:
        programme = self.programme(outcome)
        # What READ showed; after an unknown outcome it is what was known before.
        state: CardState = visit.state
        balance = next(
            (w.counters.balance for w in state.wallets
             if programme is not None and w.wallet == programme.wallet), None,
        )  # fmt: skip
        station = self.engine.journal.station
        return Context(station.env, station.station_id, self.place, self.engine.now_s(),
                       programme, visit.card_id, state.sequence, balance)  # fmt: skip

    def programme(self, outcome: Outcome) -> Programme | None:
        """Whose wallet an outcome is about."""
        journal = self.engine.journal
        match outcome:
            case Redeemed() | Voided():
                wallet = outcome.receipt.wallet
            case NotRedeemed() | RedeemUnknown():
                wallet = journal.intent(outcome.intent).record.body.wallet
            case NotVoided() | VoidUnknown():
                wallet = journal.intent(outcome.debit).record.body.wallet
            case _:
                return None
        return self.engine.roster.programme_of(wallet)
