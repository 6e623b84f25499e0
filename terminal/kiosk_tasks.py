"""What the counter's pads and officers do: PINs, activation, void, bypass, objection, shift end.

PROTOCOL.md §6; the steps themselves are the engine's.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

from keys.errors import Code as KeyCode
from keys.errors import KeysError
from keys.messages import MESSAGES as KEY_MESSAGES
from terminal import recovery
from terminal.errors import ConfigError
from terminal.kiosk_commands import (
    Because,
    Begin,
    Command,
    HandOver,
    Unlock,
)
from terminal.kiosk_screens import (
    REASONS,
    Ask,
    Bast,
    Counted,
    Counting,
    OfficerKey,
    Pin,
    PutCard,
    Screen,
    ShiftClosed,
    Task,
    Why,
    Words,
)
from terminal.messages import text
from terminal.outcomes import (
    ActivationRefused,
    Delivered,
    GoodsReturned,
    Outcome,
    PinAccepted,
    PinMalformed,
    PinSpent,
    PinTooSimple,
    PinWrong,
    Redeemed,
    Voided,
    VoidRefused,
    VoidWhy,
)
from terminal.projection import State
from wire.log import IntentKind, StockMove
from wire.purse import Flag, Life, encode_pin, pin_too_simple

if TYPE_CHECKING:
    from terminal.engine import Engine
    from terminal.journal import IntentRow
    from terminal.kiosk import Kiosk
    from terminal.visit import Visit

DIFFERENT: Words = (
    "Kedua PIN tidak sama. Pilih PIN dan ulangi.",
    "The two PINs differ. Choose a PIN and repeat it.",
)
NO_KEY: Words = (
    "Mesin ini tidak menyimpan kunci petugas dengan nomor itu.",
    "This terminal holds no key of an officer with that number.",
)
NO_NOTE: Words = ("Isi nomor BAST.", "Enter the number of the hand-over note.")


# --- goods of which nobody has said where they are -----------------------------------------------


def to_be_said(engine: Engine, visit: Visit) -> list[tuple[Outcome, bool]]:
    """Recovered outcomes (True: to print), then the card's debits and voids without a word."""
    told = set()
    found: list[tuple[Outcome, bool]] = []
    for outcome in visit.recovered:
        found.append((outcome, True))
        told.add(getattr(outcome, "void", None) or getattr(outcome, "intent", None))
    for row in [*visit.undelivered(), *engine.journal.suspended()]:
        if row.card_id != visit.card_id or row.sequence in told:
            continue
        if row.receipt is not None:
            found.append((recovery.done(engine, row, row.receipt, recovered=True), False))
        elif row.state is State.ABORTED:
            found.append((recovery.not_done(row, visit.state.sequence), False))
    return found


def moved(engine: Engine, outcome: Outcome) -> Redeemed | Voided | None:
    """The debit or reversal an outcome is about: nobody has to remember the screen before."""
    match outcome:
        case Redeemed() | Voided():
            return outcome
        case Delivered():
            row = engine.journal.intent(outcome.intent)
        case GoodsReturned():
            row = engine.journal.intent(outcome.void)
        case _:
            return None
    if row.receipt is None:
        return None
    done = recovery.done(engine, row, row.receipt, recovered=False)
    return done if isinstance(done, Redeemed | Voided) else None


# --- officers ------------------------------------------------------------------------------------


def ask_officer(kiosk: Kiosk, task: Task) -> None:
    """Which officer, and the passphrase."""
    kiosk.job.task = task
    kiosk.show(OfficerKey(task))


def do(kiosk: Kiosk, screen: Screen, command: Command) -> None:
    """A command of a task."""
    match command:
        case Begin() if not isinstance(screen, Pin):
            ask_officer(kiosk, command.task)
        case Begin(task=Task.BYPASS) if isinstance(screen, Pin) and screen.ask is Ask.PIN:
            ask_officer(kiosk, command.task)
        case Unlock() if isinstance(screen, OfficerKey):
            _unlock(kiosk, screen.task, command)
        case Because() if isinstance(screen, Why) and kiosk.visit is not None:
            _because(kiosk, kiosk.visit, screen, command.reason)
        case HandOver() if isinstance(screen, Bast) and kiosk.visit is not None:
            _hand_over(kiosk, kiosk.visit, screen, command)


def _unlock(kiosk: Kiosk, task: Task, command: Unlock) -> None:
    try:
        kiosk.job.officer = kiosk.unlock(task.role, command.officer, command.passphrase)
    except KeysError as e:
        wrong = NO_KEY if e.code is KeyCode.STORE else KEY_MESSAGES[e.code]
        kiosk.show(OfficerKey(task, wrong))
        return
    except ConfigError:
        kiosk.show(OfficerKey(task, NO_KEY))
        return
    if kiosk.card_in:
        kiosk.tap()
    else:
        kiosk.show(PutCard(task))


def begun(kiosk: Kiosk, visit: Visit, task: Task) -> None:
    """The card is there and open to the officer: the task's first question."""
    match task:
        case Task.ACTIVATE:
            _activation(kiosk, visit)
        case Task.VOID:
            _void(kiosk, visit)
        case Task.BYPASS:
            wanted = kiosk.job.wallet
            shown = [w for w in visit.wallets() if wanted and w.wallet == wanted.wallet]
            if not shown:
                kiosk.finish()
                return
            kiosk.job.wallet = shown[0]
            kiosk.show(Why(task, wallet=shown[0], amount=kiosk.job.amount))


def _because(kiosk: Kiosk, visit: Visit, screen: Why, reason: int) -> None:
    if not 0 <= reason < len(screen.reasons):
        return
    words = REASONS[screen.task][reason][0]
    if screen.task is Task.BYPASS:
        kiosk.redeem(visit, words)
        return
    outcome = visit.void(kiosk.job.debit, on_counter=screen.on_counter, reason=words)
    kiosk.result(outcome)


def _void(kiosk: Kiosk, visit: Visit) -> None:
    """The card's newest debit here; whether it may be voided the engine says."""
    row = _newest_debit(kiosk, visit)
    if row is None or row.receipt is None:
        kiosk.result(VoidRefused(VoidWhy.NO_DEBIT))
        return
    paid = recovery.done(kiosk.engine, row, row.receipt, recovered=False)
    if isinstance(paid, Redeemed):
        kiosk.job.debit = row.sequence
        kiosk.show(Why(Task.VOID, paid, on_counter=row.state is State.DELIVERED))


def _newest_debit(kiosk: Kiosk, visit: Visit) -> IntentRow | None:
    rows = [
        r for r in kiosk.engine.journal.intents_of(visit.card_id)
        if r.kind is IntentKind.DEBIT and r.receipt is not None
    ]  # fmt: skip
    return rows[-1] if rows else None


# --- hand-over -----------------------------------------------------------------------------------


def _activation(kiosk: Kiosk, visit: Visit) -> None:
    """An inert card, one whose answer was lost, or one whose PIN the office reset."""
    if Flag.PIN_RESET_PENDING in visit.state.flags:
        kiosk.show(Pin(Ask.NEW))
    elif visit.state.life is not Life.ACTIVE:
        kiosk.show(Bast(is_torn=False))
    elif visit.seen.activation is not None:
        kiosk.show(Bast(is_torn=True))
    else:
        kiosk.result(ActivationRefused())


def _hand_over(kiosk: Kiosk, visit: Visit, screen: Bast, note: HandOver) -> None:
    if not note.bast.strip():
        kiosk.show(replace(screen, wrong=NO_NOTE))
        return
    kiosk.job.hand_over = note
    if screen.is_torn:
        kiosk.result(_activate(kiosk, visit, note))
    else:
        kiosk.show(Pin(Ask.CODE))


def _activate(kiosk: Kiosk, visit: Visit, note: HandOver) -> Outcome:
    secrets = kiosk.job.secrets
    return visit.activate(
        secrets.pop(Ask.CODE, ""), secrets.pop(Ask.NEW, ""), bast=note.bast.strip(),
        place=kiosk.counter.place, proxy=note.proxy.strip(),
    )  # fmt: skip


# --- pads ----------------------------------------------------------------------------------------


def entered(kiosk: Kiosk, visit: Visit, screen: Pin, secret: str) -> None:
    """A secret came from the pad; nothing keeps it longer than its command needs it."""
    if len(secret) != screen.digits or not (secret.isascii() and secret.isdecimal()):
        kiosk.show(replace(screen, wrong=text(PinMalformed())))
        return
    match screen.ask:
        case Ask.PIN | Ask.OBJECTION:
            _verify(kiosk, visit, screen, secret)
        case Ask.OLD | Ask.CODE:
            kiosk.job.secrets[screen.ask] = secret
            kiosk.show(Pin(Ask.NEW))
        case Ask.NEW if pin_too_simple(encode_pin(secret)):  # the card would say so later
            kiosk.show(replace(screen, wrong=text(PinTooSimple())))
        case Ask.NEW:
            kiosk.job.secrets[Ask.NEW] = secret
            kiosk.show(Pin(Ask.AGAIN))
        case Ask.AGAIN:
            _set_pin(kiosk, visit, secret)


def _verify(kiosk: Kiosk, visit: Visit, screen: Pin, pin: str) -> None:
    outcome = visit.verify_pin(pin)
    if isinstance(outcome, PinWrong) and not outcome.tries_left:
        kiosk.result(PinSpent())  # as the card answers from now on
    elif isinstance(outcome, PinWrong | PinMalformed):
        kiosk.show(replace(screen, wrong=text(outcome)))
    elif not isinstance(outcome, PinAccepted):
        kiosk.result(outcome)
    elif screen.ask is Ask.PIN:
        kiosk.redeem(visit)
    else:
        kiosk.result(visit.dispute(kiosk.job.receipt))


def _set_pin(kiosk: Kiosk, visit: Visit, again: str) -> None:
    job = kiosk.job
    if not hmac.compare_digest(job.secrets.get(Ask.NEW, "").encode(), again.encode()):
        kiosk.show(Pin(Ask.NEW, wrong=DIFFERENT))
        return
    if job.task is None:
        asks = Ask.OLD
        outcome = visit.change_pin(job.secrets.pop(Ask.OLD, ""), job.secrets.pop(Ask.NEW))
    elif job.hand_over is None:
        asks = Ask.NEW
        outcome = visit.set_pin_after_reset(job.secrets.pop(Ask.NEW))
    else:
        asks = Ask.CODE
        outcome = _activate(kiosk, visit, job.hand_over)
    if isinstance(outcome, PinWrong) and not outcome.tries_left:
        kiosk.result(PinSpent())
    elif isinstance(outcome, PinWrong | PinMalformed | PinTooSimple):
        kiosk.show(Pin(asks, wrong=text(outcome)))
    else:
        kiosk.result(outcome)


# --- the shift's end -----------------------------------------------------------------------------


def count(kiosk: Kiosk) -> None:
    """What should lie there, and what is still open."""
    journal = kiosk.engine.journal
    kiosk.show(Counting(
        journal.stock(), len(journal.open_intents()), len(journal.undelivered()),
        len(journal.suspended()),
    ))  # fmt: skip


def close_shift(kiosk: Kiosk, screen: Counting, quantities: tuple[int, ...]) -> None:
    """COUNTED for each good, then the shift's end."""
    engine = kiosk.engine
    officer = engine.journal.shift_officer()
    if len(quantities) != len(screen.lines) or min(quantities, default=0) < 0 or officer is None:
        return
    counted = [Counted(x, q) for x, q in zip(screen.lines, quantities, strict=True)]
    for one in counted:
        engine.move_stock(StockMove.COUNTED, replace(one.line, quantity=one.quantity))
    engine.close_shift()
    head = engine.journal.head()
    kiosk.show(ShiftClosed(officer, tuple(counted), head.sequence - head.acknowledged,
                           kiosk.carries))  # fmt: skip
