"""The desk's controller: one thread owns the store and the reader, and publishes screens.

docs/desk.md#the-face says what it does when.
Everything about a card is done by :class:`issuer.bulk.Run` and :class:`issuer.personalise.Desk`;
this says when. :meth:`Bench.turn` is one round: a command if one came, then a look at the reader.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager

from card_os.host.links import Link, LinkError, NoCard
from issuer import messages, office
from issuer.bulk import STOP_AFTER, Run
from issuer.cards import Stack
from issuer.errors import IssuerError, TransferError
from issuer.face import screens
from issuer.face.screens import (
    STEPS,
    Auto,
    Busy,
    Command,
    Failed,
    Family,
    Finished,
    Go,
    Light,
    NoOrders,
    Notice,
    Read,
    ReadWait,
    Ready,
    ScrapConfirm,
    ScrapReason,
    Screen,
    SignedOut,
    Stage,
    StepLine,
    Stopped,
    Trouble,
    View,
    Working,
    WrongRow,
)
from issuer.identify import look_inside
from issuer.orders import Job
from issuer.outcomes import Event, Issued, Outcome, Progress, Refusal, Refused
from issuer.place import Place
from issuer.reading import Readings
from issuer.tally import Counts
from keys.errors import KeysError
from keys.messages import MESSAGES as KEY_MESSAGES
from keys.signer import Signer
from wire.cose import Sign1
from wire.log import DeskStep
from wire.purse import CardState

SLICE_S = 0.03
QUEUE_SHOWN, LAST_SHOWN = 8, 10
DAY_S, WIB_S = 86_400, 7 * 3600
_BEGINS = (Ready, NoOrders, Finished, Failed)  # where a card that comes in is worked on
Listener = Callable[[], None]


class Bench:
    """One desk. ``view`` may be read, and ``tell`` and ``listen`` called, from any thread."""

    def __init__(
        self, place: Place, stack: Stack, *, stop_after: int = STOP_AFTER, slice_s: float = SLICE_S
    ) -> None:
        self._place, self._stack = place, stack
        self._stop_after, self._slice_s = stop_after, slice_s
        self._commands: queue.SimpleQueue[tuple[Command, Future[View]]] = queue.SimpleQueue()
        self._listeners: list[Listener] = []
        self._run: Run | None = None
        self._key: Signer | None = None
        self._office_answers = True
        self._held = self._dealt = False  # a card lies there; it was worked on
        self._reached: dict[DeskStep, bool] = {}
        station = place.desk.log.station.station_id.decode("ascii", "replace")
        self._fresh = self.view = View(
            0, "", 0, station, Light.NONE, "", SignedOut(), 0, (), 0, (), Counts(0, 0), None, 0, 0,
            (), 0, None, auto=True,
        )  # fmt: skip
        place.desk.emit = self._hear

    # --- for others ----------------------------------------------------------------------------

    def tell(self, command: Command) -> Future[View]:
        """Ask for something; the view once it was heard (long work goes on after that).

        Signing in with a wrong passphrase gives :class:`keys.errors.PassphraseError`.
        """
        heard: Future[View] = Future()
        self._commands.put((command, heard))
        return heard

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` from the desk's thread at each new view; call the result to end it."""
        self._listeners.append(listener)

        def stop() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return stop

    # --- the round -----------------------------------------------------------------------------

    def turn(self) -> None:
        """One round: a command if one came, then a look at the reader."""
        try:
            with contextlib.suppress(queue.Empty):
                command, heard = self._commands.get_nowait()
                self._obey(command, heard)
            self._look()
        except IssuerError as e:
            self._trouble(messages.ERRORS[e.code], str(e))
        except KeysError as e:
            self._trouble(KEY_MESSAGES[e.code], str(e))

    def _trouble(self, words: tuple[str, str], detail: str) -> None:
        self._show(Trouble(words, detail) if self.view.visit else SignedOut(words))

    def _show(self, screen: Screen | None = None, **changes: object) -> None:
        """Publish, when anything changed."""
        if screen is not None and screen != self._fresh.screen:
            changes |= {"screen": screen, "turn": self._fresh.turn + 1}
        fresh = dataclasses.replace(self._fresh, **changes)  # type: ignore[arg-type]
        if fresh == self._fresh:
            return
        self.view = self._fresh = dataclasses.replace(fresh, number=fresh.number + 1)
        for listener in tuple(self._listeners):
            listener()

    def _lists(self) -> dict[str, object]:
        """What may have changed with a card, an order or a day."""
        desk, tally, now_s = self._place.desk, self._place.tally, self._place.desk.tools.clock()
        waiting = desk.book.waiting()
        from_s = (now_s + WIB_S) // DAY_S * DAY_S - WIB_S
        try:
            free: int | None = self._place.stock()[0]
        except KeysError:
            free = None
        return {
            "queue": tuple(self._family(job) for job in waiting[:QUEUE_SHOWN]),
            "waiting": len(waiting), "begun": tuple(self._family(j) for j in desk.book.begun()),
            "today": tally.count(from_s, from_s + DAY_S), "last": tally.last(LAST_SHOWN),
            "free": free, "scrapped": desk.book.scrapped_count(),
            "aside": desk.book.aside_count(), "unsent": self._unsent(),
        }  # fmt: skip

    def _unsent(self) -> int:
        head = self._place.desk.log.head()
        return head.sequence - head.acknowledged

    def _family(self, job: Job) -> Family:
        evidence = self._place.evidence.of(job.order)
        return Family(job.order, Sign1.parse(job.raw).hash, job.step, job.card_id, job.can_scrap,
                      evidence)  # fmt: skip

    def _family_of(self, number: bytes) -> Family | None:
        return self._family(self._place.desk.book.job(number)) if number else None

    def _rest(self, **changes: object) -> None:
        """The screen between cards."""
        run = self._run
        if run is None:
            self._show(SignedOut(), **changes)
        elif not run.has_work:
            self._show(NoOrders(), **changes)
        else:
            following = self._place.desk.book.next()
            refused = None if following is None else self._place.desk.wrong_row(following)
            if following is not None and refused is not None:
                self._show(self._wrong_row(following, refused), **changes)
                return
            family = None if following is None else self._family(following)
            lies = self._held and not self._dealt
            self._show(Ready(family, lies, self._held and self._dealt), **changes)

    def _wrong_row(self, job: Job, refused: Refused) -> WrongRow:
        return WrongRow(self._family(job), refused, self._place.desk.can_skip(job))

    # --- commands ------------------------------------------------------------------------------

    def _obey(self, command: Command, heard: Future[View]) -> None:
        """Do it; ``heard`` is answered before anything that waits for a card or the office."""
        try:
            work = self._begin(command)
        except KeysError as e:
            heard.set_exception(e)
            return
        except IssuerError:
            heard.set_result(self.view)
            raise
        heard.set_result(self.view)
        if work is not None:
            work()

    def _begin(self, command: Command) -> Callable[[], None] | None:
        if isinstance(command, screens.SignIn):
            return self._sign_in(command)
        run = self._run
        if run is None:
            return None
        if getattr(command, "turn", self._fresh.turn) != self._fresh.turn:
            return None  # meant for a screen that has gone
        match command:
            case screens.SignOut():
                return self._sign_out()
            case Go():
                return self._go(run)
            case screens.Back():
                self._rest()
            case screens.ReadCard():
                self._show(ReadWait())
                return self._read_again if self._held else None
            case screens.Contact():
                return self._contact
            case Auto(on):
                self._show(auto=on)
            case screens.AskScrap(order):
                self._ask_scrap(order)
            case screens.GiveReason(_, reason):
                self._give_reason(reason)
            case screens.Scrap():
                return lambda: self._scrap(run)
        return None

    def _sign_in(self, command: screens.SignIn) -> Callable[[], None] | None:
        key, lists = self._place.log_key(command.passphrase), self._lists()
        # Asked before anybody is signed in: cards are made in no other name than the screen's.
        self._key, self._dealt = key, False
        self._run = Run(self._place.desk, command.officer, self._place.tally, self._stop_after)
        self._rest(officer=command.officer, visit=command.visit, **lists)
        return self._contact if self._place.office is not None else None

    def _sign_out(self) -> Callable[[], None]:
        key, self._key, self._run = self._key, None, None
        self._show(SignedOut(), visit="", officer=0, notice=None, queue=(), begun=(), last=())
        return lambda: self._send(key)

    def _go(self, run: Run) -> Callable[[], None] | None:
        """The obvious thing of this screen."""
        match self._fresh.screen:
            case Ready(card_in=True) | Failed(retry=True):
                return self._work_again
            case NoOrders():
                return self._contact
            case Stopped():
                run.failures = 0
                self._rest()
            case WrongRow(family, _, can_skip=True):
                self._place.desk.skip(family.order.number, run.officer)
                self._rest(**self._lists())
            case Read() | ReadWait() | WrongRow() | Failed() | Trouble():
                self._rest()
        return None

    # --- scrapping -----------------------------------------------------------------------------

    def _ask_scrap(self, order: bytes) -> None:
        family = self._family_of(order)
        if family is not None and family.can_scrap:
            self._show(ScrapReason(family))

    def _give_reason(self, reason: str) -> None:
        screen = self._fresh.screen
        if isinstance(screen, ScrapReason):
            said = " ".join(reason.split())
            self._show(ScrapConfirm(screen.family, said) if said
                       else ScrapReason(screen.family, missing=True))  # fmt: skip

    def _scrap(self, run: Run) -> None:
        screen = self._fresh.screen
        if isinstance(screen, ScrapConfirm):
            number = screen.family.order.number
            outcome = self._place.desk.scrap(number, screen.reason, run.officer)
            self._dealt = True
            self._show(Failed(outcome, screen.family, retry=False), **self._lists())

    # --- the office ----------------------------------------------------------------------------

    def _contact(self) -> None:
        place, book = self._place, self._place.desk.book
        if place.office is None or self._key is None:
            self._show(notice=Notice("warning", messages.NO_OFFICE))
            return
        self._show(Busy(messages.CONTACTING), notice=None)
        station, trust = place.desk.log.station.station_id, place.desk.tools.trust
        try:
            sent, _ = office.sync(place.desk.log, self._key, trust, place.office)
            taken = office.fetch(place.office, station, book, place.evidence)
        except TransferError as e:
            self._office_answers = False
            self._rest(notice=Notice("warning", messages.ERRORS[e.code]), **self._lists())
        else:
            self._office_answers = True
            words = messages.contacted(sent, taken.new, len(taken.refused))
            kind = "warning" if taken.refused else "done"
            self._rest(notice=Notice(kind, words), **self._lists())

    def _send(self, key: Signer | None) -> None:
        """Send the log between cards; an office that did not answer is asked again when told."""
        if self._place.office is None or key is None or not self._office_answers:
            return
        desk = self._place.desk
        try:
            office.sync(desk.log, key, desk.tools.trust, self._place.office)
        except IssuerError:
            self._office_answers = False

    # --- the reader ----------------------------------------------------------------------------

    def _look(self) -> None:
        if self._held:
            if self._stack.is_out(self._slice_s):
                self._held = self._dealt = False
                self._card_out()
            return
        try:
            link = self._stack.next(self._slice_s)
        except NoCard:
            return
        except LinkError as e:
            self._held = True
            self._show(light=Light.CARD)
            self._card_in(None, e)
            return
        if link is not None:
            self._held = True
            self._show(light=Light.CARD)
            self._card_in(link, None)
            return
        try:
            self._show(light=Light.EMPTY, reader=self._stack.name())
        except LinkError:
            self._show(light=Light.NONE, reader="")

    def _card_out(self) -> None:
        screen = self._fresh.screen
        if isinstance(screen, Ready | Finished):
            self._rest(light=Light.EMPTY)
        elif isinstance(screen, Failed) and screen.retry:
            self._show(dataclasses.replace(screen, retry=False), light=Light.EMPTY)
        else:
            self._show(light=Light.EMPTY)

    def _card_in(self, link: Link | None, error: LinkError | None) -> None:
        """A card came; its link is closed here whatever happens."""
        try:
            run, screen = self._run, self._fresh.screen
            if run is None:
                return
            if isinstance(screen, Read | ReadWait) or not run.has_work:
                self._read(run, link, error)
            elif isinstance(screen, _BEGINS) and self._fresh.auto:
                self._work(run, link, error)
            elif isinstance(screen, _BEGINS):
                self._rest()
        finally:
            if link is not None:
                link.close()

    def _again(self, use: Callable[[Link | None, LinkError | None], None]) -> None:
        """Use the card that lies there once more."""
        try:
            link = self._stack.again()
        except LinkError as e:
            use(None, e)
            return
        try:
            use(link, None)
        finally:
            link.close()

    def _work_again(self) -> None:
        if (run := self._run) is not None:
            self._again(lambda link, error: self._work(run, link, error))

    def _read_again(self) -> None:
        if (run := self._run) is not None:
            self._again(lambda link, error: self._read(run, link, error))

    # --- one card ------------------------------------------------------------------------------

    def _work(self, run: Run, link: Link | None, error: LinkError | None) -> None:
        self._reached = {}
        self._show(Working(None, self._steps(), 0), notice=None)
        self._dealt = True
        if link is not None:
            outcome = run.one(link)
        elif error is not None:
            outcome = run.unready(error)
        self._dealt = not isinstance(screen := self._after(run, outcome), WrongRow)
        self._show(screen, **self._lists())
        if outcome.is_good:
            self._send(self._key)
            self._show(unsent=self._unsent())

    def _after(self, run: Run, outcome: Outcome) -> Screen:
        family = self._family_of(getattr(outcome, "order", b""))
        if isinstance(outcome, Refused) and outcome.reason == Refusal.NO_ORDER:
            return NoOrders()
        if isinstance(outcome, Refused) and outcome.reason == Refusal.OTHER_ROW:
            return self._wrong_row(self._place.desk.book.job(outcome.order), outcome)
        if isinstance(outcome, Issued) and family is not None:
            return Finished(family, outcome)
        if run.is_stopped:
            return Stopped(run.failures, outcome, family)
        return Failed(outcome, family, retry=outcome.can_retry)

    def _hear(self, event: Event) -> None:
        """Progress of the card in work."""
        if isinstance(event, Progress):
            self._reached[event.step] = event.found
            family = self._family_of(event.order)
            self._show(Working(family, self._steps(), max(self._reached)))

    def _steps(self) -> tuple[StepLine, ...]:
        top = max(self._reached, default=0)

        def stage(step: DeskStep) -> Stage:
            if step in self._reached:
                return Stage.FOUND if self._reached[step] else Stage.DONE
            if step < top:
                return Stage.FOUND
            return Stage.NOW if step == top + 1 else Stage.TODO

        return tuple(StepLine(step, stage(step)) for step in STEPS)

    def _read(self, run: Run, link: Link | None, error: LinkError | None) -> None:
        """Say what the card is: logged first, and not shown when that cannot be."""
        self._dealt = True
        desk, tools = self._place.desk, self._place.desk.tools
        readings = Readings(desk.log, desk.book, tools.trust.env, tools.clock, run.officer)
        if link is not None:
            reading = readings.read(link, self._inside)
        else:
            reading = readings.unready(error or NoCard("no card"))
        family = None if reading.job is None else self._family(reading.job)
        self._show(Read(reading, family), unsent=self._unsent())
        self._send(self._key)
        self._show(unsent=self._unsent())

    def _inside(self, link: Link) -> CardState:
        t = self._place.desk.tools
        return look_inside(link, t.keys, t.trust, t.links, t.random)


class BenchThread:
    """A bench whose store and reader live in a thread of their own."""

    def __init__(
        self, open_place: Callable[[], AbstractContextManager[Place]],
        open_stack: Callable[[], Stack], *, on_end: Callable[[], None] = lambda: None,
        stop_after: int = STOP_AFTER,
    ) -> None:  # fmt: skip
        """Open it; raises what opening raises. ``on_end``: called when the thread has ended."""
        self._open_place, self._open_stack = open_place, open_stack
        self._on_end, self._stop_after = on_end, stop_after
        self._closing = threading.Event()
        self._opened: Future[Bench] = Future()
        self._thread = threading.Thread(target=self._work, name="bench", daemon=True)
        self._thread.start()
        self.bench = self._opened.result()

    def _work(self) -> None:
        try:
            with self._open_place() as place:
                bench = Bench(place, self._open_stack(), stop_after=self._stop_after)
                self._opened.set_result(bench)
                while not self._closing.is_set():
                    bench.turn()
        except BaseException as e:
            if self._opened.done():
                raise
            self._opened.set_exception(e)
        finally:
            self._on_end()

    def close(self) -> None:
        """End after the round that runs: a card in work is finished first."""
        self._closing.set()
        self._thread.join()
