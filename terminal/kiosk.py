"""The village hall's controller: card events and commands in, screens out. No web, no thread.

It holds no rule of money: it orders the engine's steps as :mod:`terminal.counter` does and shows
what they return (docs/ui.md#a-screen). A card pulled within a step is told by the step's outcome;
one pulled between steps by :class:`TakenOut`. One thread calls it (:mod:`terminal.kiosk_thread`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from card_os.host.links import CardMute, Link, LinkError
from terminal import kiosk_tasks, rules
from terminal.counter import Counter
from terminal.engine import Engine, Officer
from terminal.errors import TerminalError
from terminal.kiosk_commands import (
    ALLOWED,
    NEED_CARD,
    SAY_FIRST,
    WAITING,
    Back,
    Because,
    Begin,
    Carry,
    ChangePin,
    Choose,
    CloseShift,
    Command,
    CountShelf,
    Do,
    Enter,
    HandOver,
    Object,
    OpenMatters,
    OpenMenu,
    OpenShift,
    SetAmount,
    Unlock,
)
from terminal.kiosk_screens import (
    Action,
    Amount,
    Ask,
    Busy,
    Closed,
    Counting,
    Failed,
    Family,
    Matters,
    Menu,
    NotHandedOver,
    OfficerKey,
    Pin,
    PutCard,
    Ready,
    Result,
    Screen,
    TakenOut,
    TakeOut,
    Task,
    View,
    Words,
)
from terminal.kiosk_strip import strip
from terminal.messages import ERRORS
from terminal.outcomes import (
    Activated,
    AmountRefused,
    CardLost,
    Delivered,
    Event,
    Nothing,
    NothingWhy,
    NotVoided,
    Outcome,
    PinUnknown,
    Progress,
    Redeemed,
    RedeemUnknown,
    Step,
    Voided,
    VoidUnknown,
)
from terminal.printer import PrintOutcome
from terminal.slip import masked
from terminal.views import WalletView
from terminal.visit import Visit
from wire.cvc import Role
from wire.objects import GoodsLine, Unit

UNSURE = (CardLost, RedeemUnknown, VoidUnknown, PinUnknown)


@dataclass(slots=True)
class Job:
    """What is being done at the counter now; forgotten when it ends or its card leaves."""

    task: Task | None = None
    officer: Officer | None = field(default=None, repr=False)
    wallet: WalletView | None = None
    amount: int = 0
    debit: int = 0
    receipt: int = 0
    hand_over: HandOver | None = None
    secrets: dict[Ask, str] = field(default_factory=dict, repr=False)
    taken: list[Redeemed] = field(default_factory=list)
    waiting: deque[tuple[Outcome, bool]] = field(default_factory=deque)
    continues: bool = False


class Kiosk:
    """One counter with a screen. ``carry`` uploads and installs over the network, if it may.

    ``connect`` powers the card up (:class:`card_os.host.links.LinkError`), ``unlock`` opens an
    officer's key (:class:`keys.errors.KeysError`), ``publish`` is called with every change.
    """

    def __init__(
        self, counter: Counter, *, connect: Callable[[], Link],
        unlock: Callable[[Role, int, str], Officer], publish: Callable[[View], None],
        carry: Callable[[Engine], None] | None = None,
    ) -> None:  # fmt: skip
        self.counter, self.engine = counter, counter.engine
        self.engine.emit = self._heard
        self._connect, self.unlock, self._publish, self._carry = connect, unlock, publish, carry
        self.visit: Visit | None = None
        self.job = Job()
        self.card_in, self._has_reader = False, True
        self._link: Link | None = None
        self._printed: PrintOutcome | None = None
        self.view = View(0, Closed(), self._strip())
        self.show(self._idle())

    # --- showing ---------------------------------------------------------------------------------

    @property
    def carries(self) -> bool:
        """Whether this terminal reaches its office over a network at all."""
        return self._carry is not None

    @property
    def screen(self) -> Screen:
        """What is shown now."""
        return self.view.screen

    def show(self, screen: Screen, *, same: bool = False) -> None:
        """Publish a screen; ``same``: it is still the one that buttons in flight belong to."""
        number = self.view.number if same else self.view.number + 1
        above = self.view.strip if isinstance(screen, Busy) else self._strip()
        self.view = View(number, screen, above)
        self._publish(self.view)

    def _strip(self) -> Any:
        return strip(self.counter, has_reader=self._has_reader, printed=self._printed)

    def _heard(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.show(Busy(event.step))

    def _idle(self) -> Screen:
        if self.engine.journal.shift_officer() is not None:
            return Ready()
        return Closed(self.carries)

    # --- what happens at the reader --------------------------------------------------------------

    def card_came(self) -> None:
        """A card was put in; it is served unless a question about goods must be answered first."""
        self.card_in = True
        screen = self.screen
        if isinstance(screen, PutCard):
            self._guarded(self.tap)
        elif isinstance(screen, WAITING) or (
            isinstance(screen, Result) and not SAY_FIRST & set(screen.actions)
        ):
            self._guarded(self._tap_afresh)
        else:
            self.refresh()

    def card_went(self) -> None:
        """The card was taken out; what was under way is told, what was paid stays said."""
        self.card_in = False
        self.close()
        screen = self.screen
        bypass = isinstance(screen, OfficerKey) and self.job.task is Task.BYPASS
        if isinstance(screen, NEED_CARD) or bypass:
            taken = tuple(self.job.taken)
            self.job = Job()
            self.show(TakenOut(taken))
        elif isinstance(screen, TakeOut | NotHandedOver):
            self.finish()
        else:
            self.refresh()

    def reader_changed(self, *, present: bool) -> None:
        """The reader came or went."""
        self._has_reader = present
        self.refresh()

    def refresh(self) -> None:
        """Show the same again with what may have changed beside it: strip, card."""
        screen = self.screen
        if isinstance(screen, Result):
            screen = replace(screen, card_in=self.card_in, actions=self._actions(screen.outcome))
        elif isinstance(screen, NotHandedOver | TakenOut):
            screen = replace(screen, card_in=self.card_in)
        self.show(screen, same=True)

    # --- commands --------------------------------------------------------------------------------

    def command(self, number: int, command: Command) -> None:
        """Do what a person asked on screen ``number``; anything for another screen is ignored."""
        screen = self.screen
        if number != self.view.number or type(command) not in ALLOWED.get(type(screen), ()):
            return
        self._guarded(lambda: self._do(screen, command))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except TerminalError as e:
            self.close()
            self.job = Job()
            self.show(Failed(ERRORS[e.code], str(e)))

    def _do(self, screen: Screen, command: Command) -> None:
        match command:
            case OpenShift():
                self.engine.open_shift(command.officer)
                self._settle()
            case OpenMenu():
                self.show(Menu(self.carries))
            case Carry() if self._carry is not None:
                self._carry_now(self._carry)
            case CountShelf():
                kiosk_tasks.count(self)
            case CloseShift() if isinstance(screen, Counting):
                kiosk_tasks.close_shift(self, screen, command.quantities)
            case Back():
                self._back(screen)
            case Do() if isinstance(screen, Result) and command.action in screen.actions:
                self._act(screen.outcome, command.action)
            case Do() if isinstance(screen, NotHandedOver):
                self._leave_unhanded(command.action)
            case Begin() | Unlock() | Because() | HandOver():
                kiosk_tasks.do(self, screen, command)
            case _:
                self._with_visit(screen, command)

    def _with_visit(self, screen: Screen, command: Command) -> None:
        visit = self.visit
        if visit is None:
            return
        match command:
            case Choose():
                self._choose(visit, command.wallet)
            case SetAmount() if isinstance(screen, Amount):
                self._set_amount(visit, screen, command.amount)
            case Enter() if isinstance(screen, Pin):
                kiosk_tasks.entered(self, visit, screen, command.secret)
            case OpenMatters():
                self.show(Matters(tuple(visit.last_receipts()), *self._names()))
            case ChangePin():
                self.show(Pin(Ask.OLD))
            case Object():
                self.job.receipt = command.sequence
                self.show(Pin(Ask.OBJECTION))
            case _:
                pass

    def _back(self, screen: Screen) -> None:
        match screen:
            case NotHandedOver():
                self.result(screen.paid, prints=False)
            case TakeOut():
                self._tap_afresh()
            case Family():
                self.finish()
            case Pin() | Amount() | Matters() if self.visit is not None and self.job.task is None:
                self.job.secrets.clear()
                self._family(self.visit)
            case OfficerKey() if self.visit is not None and self.visit.role is Role.TERMINAL:
                self.job.task = None
                self._family(self.visit)
            case _:
                self._settle()

    def _settle(self) -> None:
        """Nothing is under way: what the reader holds decides."""
        self.close()
        self.job = Job()
        if self.card_in and isinstance(self._idle(), Ready) and isinstance(self.screen, Closed):
            self.tap()
        else:
            self.finish()

    def _carry_now(self, carry: Callable[[Engine], None]) -> None:
        self.show(Busy(None))
        carry(self.engine)
        said: Words = ("Data mesin sudah yang terbaru.", "The terminal's data is the newest.")
        idle = self._idle()
        self.show(replace(idle, said=said) if isinstance(idle, Ready | Closed) else idle)

    # --- a visit ---------------------------------------------------------------------------------

    def _tap_afresh(self) -> None:
        self.close()
        self.job = Job()
        self.tap()

    def tap(self) -> None:
        """Begin a visit for the job's task and show what it found."""
        self.show(Busy(Step.OPENING))
        if self.visit is not None:
            self.visit.close()
            self.visit = None
        found = self._open()
        if not isinstance(found, Visit):
            self.close()
            self.result(found)
            return
        self.visit = found
        if self.job.task is None:
            self.job.waiting.extend(kiosk_tasks.to_be_said(self.engine, found))
            self.go_on()
        else:
            for outcome in found.recovered:
                self._print(self.counter.paper(outcome, found))
            kiosk_tasks.begun(self, found, self.job.task)

    def _open(self) -> Visit | Outcome:
        role = Role.TERMINAL if self.job.task is None else self.job.task.role
        try:
            if self._link is None:
                self._link = self._connect()
        except CardMute as e:
            return self.engine.reject_dead(str(e))
        except LinkError:
            return CardLost(Step.OPENING)
        return self.engine.begin(self._link, role, self.job.officer)

    def go_on(self) -> None:
        """The next thing that must be said first; then what the family may take."""
        if self.job.waiting:
            outcome, is_new = self.job.waiting.popleft()
            self.job.continues = True
            self.result(outcome, prints=is_new)
        elif self.visit is not None and self.visit.session.is_open:
            self.job.continues = False
            self._family(self.visit)
        else:
            self.finish()

    def _family(self, visit: Visit) -> None:
        if visit.nothing is not None and visit.nothing.why is NothingWhy.NOT_ACTIVE:
            self.result(visit.nothing)
            return
        self.show(Family(
            masked(visit.card_id), visit.nothing, visit.warnings, tuple(visit.wallets()),
            tuple(visit.last_receipts()), *self._names(),
        ))  # fmt: skip

    def _names(self) -> tuple[dict[int, Words], dict[int, Unit]]:
        known = self.engine.roster.programmes()
        titles = {p.wallet: (p.title_id, p.title_en) for p in known}
        return titles, {p.wallet: p.unit for p in known}

    def _choose(self, visit: Visit, wallet: int) -> None:
        shown = next((w for w in visit.wallets() if w.wallet == wallet), None)
        if shown is None or shown.most == 0:
            return
        self.job.wallet = shown
        if shown.most == 1 and not visit.is_pin_verified:
            self._set_amount(visit, Amount(shown, ()), 1)
        else:
            self.show(self.amount(shown))

    def amount(self, wallet: WalletView, wrong: Outcome | None = None) -> Amount:
        """The question how much, with what one unit is in goods."""
        programme = wallet.programme
        goods: tuple[GoodsLine, ...] = ()
        if programme is not None and programme.unit == Unit.BASKET:
            goods = rules.goods(programme, rules.tariff(programme), 1)
        return Amount(wallet, goods, wrong)

    def _set_amount(self, visit: Visit, screen: Amount, amount: int) -> None:
        self.job.amount = amount
        is_possible = 1 <= amount <= screen.wallet.most
        if is_possible and not visit.is_pin_verified:
            self.show(Pin(Ask.PIN, screen.wallet, amount))
        else:  # an impossible amount: the engine has the words for it
            self.redeem(visit)

    def redeem(self, visit: Visit, reason: str = "") -> None:
        """The debit, and what came of it."""
        wallet = self.job.wallet
        if wallet is None:
            return
        outcome = visit.redeem(wallet.wallet, self.job.amount, bypass_reason=reason)
        if isinstance(outcome, AmountRefused):
            self.show(self.amount(wallet, outcome))
            return
        if isinstance(outcome, Redeemed):
            self.job.taken.append(outcome)
        self.result(outcome)

    # --- results ---------------------------------------------------------------------------------

    def result(self, outcome: Outcome, *, prints: bool = True) -> None:
        """Show an outcome with its slip, then print that."""
        if isinstance(outcome, CardLost) and self.job.taken:
            taken, self.job = tuple(self.job.taken), Job()
            self.show(TakenOut(taken, self.card_in))
            return
        moved = kiosk_tasks.moved(self.engine, outcome)
        programme = self.counter.programme(moved or outcome)
        if programme is None and isinstance(outcome, Nothing) and outcome.wallet is not None:
            programme = self.engine.roster.programme_of(outcome.wallet)
        paper = () if self.visit is None else self.counter.paper(outcome, self.visit)
        screen = Result(
            outcome, self._actions(outcome), self.card_in, moved,
            None if programme is None else programme.unit,
            None if programme is None else (programme.title_id, programme.title_en), paper,
            ends=not self.job.continues,
        )  # fmt: skip
        self.show(screen)
        if prints and paper and self.counter.has_printer:
            self._print(paper)
            self.show(replace(screen, printed=self._printed), same=True)

    def _print(self, paper: Any) -> None:
        self._printed = self.counter.print(paper) or self._printed

    def _actions(self, outcome: Outcome) -> tuple[Action, ...]:
        """What can be done now, the main action last."""
        match outcome:
            case Redeemed():
                return Action.NOT_DELIVERED, Action.DELIVER
            case Voided(on_counter=True):
                return (Action.RETURNED,)
            case NotVoided(on_counter=True):
                return (Action.GIVEN_BACK,)
            case Delivered() if self._has_more():
                return Action.MORE, Action.NEXT
            case Nothing(why=NothingWhy.NOT_ACTIVE):
                return Action.NEXT, Action.ACTIVATE
            case Activated() if self.card_in:
                return Action.NEXT, Action.AGAIN
        if isinstance(outcome, UNSURE) and self.card_in:
            return Action.NEXT, Action.AGAIN
        return (Action.NEXT,)

    def _has_more(self) -> bool:
        visit = self.visit
        if visit is None or not visit.session.is_open or self.job.continues or self.job.task:
            return False
        return any(w.most for w in visit.wallets())

    def _act(self, outcome: Outcome, action: Action) -> None:
        match action, outcome:
            case Action.DELIVER, Redeemed():
                self.result(self.engine.delivered(outcome.intent, self.visit))
            case Action.NOT_DELIVERED, Redeemed(recovered=True):
                self.result(replace(outcome, recovered=False), prints=False)
            case Action.NOT_DELIVERED, Redeemed():
                self.show(NotHandedOver(outcome, self.card_in))
            case Action.RETURNED, Voided():
                self.result(self.engine.returned(outcome.void))
            case Action.GIVEN_BACK, NotVoided():
                self.result(self.engine.given_back(outcome.void))
            case Action.ACTIVATE, _:
                kiosk_tasks.ask_officer(self, Task.ACTIVATE)
            case Action.AGAIN, _:
                self._tap_afresh()
            case Action.MORE, _:
                self.go_on()
            case _ if self.job.continues:
                self.go_on()
            case _:
                self.finish()

    def _leave_unhanded(self, action: Action) -> None:
        if action is Action.VOID:
            kiosk_tasks.ask_officer(self, Task.VOID)
        elif action is Action.NEXT:
            self.finish()

    def finish(self) -> None:
        """Let go of the card and of everything about it."""
        self.close()
        self.job = Job()
        self.show(TakeOut() if self.card_in and isinstance(self._idle(), Ready) else self._idle())

    def close(self) -> None:
        """Let go of visit and card."""
        visit, link = self.visit, self._link
        self.visit = self._link = None
        if visit is not None:
            visit.leave()
        if link is not None:
            link.close()
