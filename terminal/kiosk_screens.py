"""What the village-hall face can show: screens as frozen values (docs/ui.md#a-screen).

They carry the engine's own typed results (:mod:`terminal.outcomes`, :mod:`terminal.views`);
a template only words them. What a person can ask is :mod:`terminal.kiosk_commands`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from terminal.outcomes import (
    CardLost,
    Delivered,
    Nothing,
    Outcome,
    PinUnknown,
    Redeemed,
    RedeemUnknown,
    Step,
    Voided,
    VoidUnknown,
    Warn,
)
from terminal.printer import PrinterGone, PrintOutcome
from terminal.slip import Line
from terminal.views import WalletView
from wire.cvc import Role
from wire.objects import GoodsLine, Unit
from wire.receipt import Receipt

MOST_BY_STEPS = 99
Words = tuple[str, str]
"""Indonesian and English."""


class Task(StrEnum):
    """What needs an officer's own key."""

    ACTIVATE = "activate"
    VOID = "void"
    BYPASS = "bypass"

    @property
    def role(self) -> Role:
        """Whose key."""
        return Role.HANDOVER if self is Task.ACTIVATE else Role.SUPERVISOR


class Ask(StrEnum):
    """Which secret a pad asks for."""

    PIN = "pin"
    OBJECTION = "objection"
    OLD = "old"
    NEW = "new"
    AGAIN = "again"
    CODE = "code"


class Action(StrEnum):
    """What can be done at a result; the last of a result's actions is the main one."""

    NEXT = "next"
    AGAIN = "again"
    MORE = "more"
    DELIVER = "deliver"
    NOT_DELIVERED = "not-delivered"
    RETURNED = "returned"
    GIVEN_BACK = "given-back"
    VOID = "void"
    ACTIVATE = "activate"


class Level(StrEnum):
    """How a thing on the strip stands."""

    GOOD = "done"
    WARN = "warning"
    BAD = "refused"


REASONS: dict[Task, tuple[Words, ...]] = {
    Task.VOID: (
        ("Jumlah salah", "Wrong amount"),
        ("Barang atau uang tidak ada", "Goods or cash ran out"),
        ("Program salah", "Wrong programme"),
        ("Keluarga menolak barangnya", "The family refuses the goods"),
    ),
    Task.BYPASS: (
        ("Lupa PIN, keluarga dikenal", "PIN forgotten, family known"),
        ("Tidak dapat menekan tombol", "Cannot press the keys"),
        ("Sakit, diwakili keluarga serumah", "Ill, a member of the household came"),
    ),
}
"""Reasons a supervisor picks from; the Indonesian text goes into the log."""


# --- screens -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Screen:
    """Base of every screen."""

    @property
    def name(self) -> str:
        """Which template shows it."""
        return type(self).__name__.lower()


@dataclass(frozen=True, slots=True)
class Closed(Screen):
    """No shift is open. ``said`` is what came of the last thing done."""

    has_backend: bool = False
    said: Words | None = None


@dataclass(frozen=True, slots=True)
class Ready(Screen):
    """Waiting for a card. ``said`` is what came of the last thing done without one."""

    said: Words | None = None


@dataclass(frozen=True, slots=True)
class TakeOut(Screen):
    """The card is still in and done with."""


@dataclass(frozen=True, slots=True)
class Busy(Screen):
    """The engine works; ``step`` is its own word for it, None for carrying data."""

    step: Step | None


@dataclass(frozen=True, slots=True)
class Menu(Screen):
    """What else can be done here."""

    has_backend: bool


@dataclass(frozen=True, slots=True)
class Family(Screen):
    """What this family may take now. ``last``: the card's newest receipts, newest first."""

    card: str
    nothing: Nothing | None
    warnings: tuple[Warn, ...]
    wallets: tuple[WalletView, ...]
    last: tuple[Receipt, ...]
    titles: dict[int, Words]
    units: dict[int, Unit]

    @property
    def can(self) -> tuple[WalletView, ...]:
        """The wallets that something may be taken from now."""
        return tuple(w for w in self.wallets if w.most)


@dataclass(frozen=True, slots=True)
class Matters(Screen):
    """The holder's own matters with the card in: change PIN, object to one of ``last``."""

    last: tuple[Receipt, ...]
    titles: dict[int, Words]
    units: dict[int, Unit]


@dataclass(frozen=True, slots=True)
class Amount(Screen):
    """How much of one wallet. ``goods``: what one unit of it is."""

    wallet: WalletView
    goods: tuple[GoodsLine, ...]
    wrong: Outcome | None = None

    @property
    def in_steps(self) -> bool:
        """Whether it is counted up and down: few whole pieces, no money."""
        return not self.is_money and self.wallet.most <= MOST_BY_STEPS

    @property
    def is_money(self) -> bool:
        """Whether it is rupiah."""
        programme = self.wallet.programme
        return programme is not None and programme.unit == Unit.RUPIAH


@dataclass(frozen=True, slots=True)
class Pin(Screen):
    """A pad for one secret; ``wallet`` and ``amount`` when it pays."""

    ask: Ask
    wallet: WalletView | None = None
    amount: int | None = None
    wrong: Words | None = None

    @property
    def digits(self) -> int:
        """How many are asked for (card_os/SPEC.md#pin)."""
        return 8 if self.ask is Ask.CODE else 6


@dataclass(frozen=True, slots=True)
class Result(Screen):
    """What came of a command, and what to do now. ``unit`` is the wallet's; ``title`` its name.

    ``moved`` is the debit or reversal it is about. ``paper``: the slip's lines, ``printed`` what
    the printer said to them. ``ends``: nothing of this visit comes after it by itself.
    """

    outcome: Outcome
    actions: tuple[Action, ...]
    card_in: bool
    moved: Redeemed | Voided | None = None
    unit: Unit | None = None
    title: Words | None = None
    paper: tuple[Line, ...] = ()
    printed: PrintOutcome | None = None
    ends: bool = True

    @property
    def goods(self) -> tuple[GoodsLine, ...]:
        """What is to be handed over besides money."""
        lines = self.outcome.lines if isinstance(self.outcome, Redeemed) else ()
        return () if lines and lines[0].unit == Unit.RUPIAH else lines

    @property
    def wants_card(self) -> bool:
        """Whether only the same card can say more, and no button asks for it."""
        return not self.card_in and Action.AGAIN not in self.actions and (
            isinstance(self.outcome, CardLost | RedeemUnknown | VoidUnknown | PinUnknown)
        )  # fmt: skip

    @property
    def gives_card_back(self) -> bool:
        """Whether all is done and the card still lies there."""
        return isinstance(self.outcome, Delivered) and self.card_in and self.ends

    @property
    def is_unprinted(self) -> bool:
        """Whether the slip did not come out."""
        return isinstance(self.printed, PrinterGone)

    @property
    def name(self) -> str:
        """Which template shows it."""
        return "result"


@dataclass(frozen=True, slots=True)
class NotHandedOver(Screen):
    """Paid and not handed over, as the operator says: the debit waits."""

    paid: Redeemed
    card_in: bool


@dataclass(frozen=True, slots=True)
class TakenOut(Screen):
    """The card left while nothing was under way; ``taken`` was paid before in this visit."""

    taken: tuple[Redeemed, ...]
    card_in: bool = False


@dataclass(frozen=True, slots=True)
class OfficerKey(Screen):
    """An officer's number and passphrase, for one task."""

    task: Task
    wrong: Words | None = None


@dataclass(frozen=True, slots=True)
class PutCard(Screen):
    """The officer's key is open; the card is awaited."""

    task: Task


@dataclass(frozen=True, slots=True)
class Why(Screen):
    """A supervisor says why: ``paid`` is the debit to void, or wallet and amount to give.

    ``on_counter``: it was handed over, so the goods must lie on the counter again.
    """

    task: Task
    paid: Redeemed | None = None
    on_counter: bool = False
    wallet: WalletView | None = None
    amount: int | None = None

    @property
    def reasons(self) -> tuple[Words, ...]:
        """What to pick from."""
        return REASONS[self.task]


@dataclass(frozen=True, slots=True)
class Bast(Screen):
    """The hand-over note's number, and who takes the card for the family.

    ``is_torn``: the card is active already, by an answer that was lost; only the note is missing.
    """

    is_torn: bool
    wrong: Words | None = None


@dataclass(frozen=True, slots=True)
class Counting(Screen):
    """What should lie on the shelf, to be counted; and what is still open."""

    lines: tuple[GoodsLine, ...]
    unknown: int
    undelivered: int
    suspended: int


@dataclass(frozen=True, slots=True)
class Counted:
    """One good: by the records, and as counted."""

    line: GoodsLine
    quantity: int

    @property
    def difference(self) -> int:
        """Counted less recorded."""
        return self.quantity - self.line.quantity


@dataclass(frozen=True, slots=True)
class ShiftClosed(Screen):
    """The shift's end with its counts."""

    officer: int
    counted: tuple[Counted, ...]
    unsent: int
    has_backend: bool

    @property
    def can_send(self) -> bool:
        """Whether something waits for the office, and the office can be reached from here."""
        return self.has_backend and self.unsent > 0


@dataclass(frozen=True, slots=True)
class Failed(Screen):
    """The terminal's own trouble; ``detail`` is for the service person."""

    words: Words
    detail: str


@dataclass(frozen=True, slots=True)
class Stopped(Screen):
    """A fault of the program itself: nothing more is done until it is started again."""


# --- the strip -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Strip:
    """What is always visible. ``data_s`` and ``certificate_s`` are None where there is none."""

    place: str
    station: str
    now_s: int
    clock: Level
    shift: int | None
    data_s: int | None
    data: Level
    certificate_s: int | None
    certificate: Level
    reader: Level
    printer: Level | None
    open_matters: int
    unsent: int


@dataclass(frozen=True, slots=True)
class View:
    """A screen with its number (commands name it) and the strip above."""

    number: int
    screen: Screen
    strip: Strip
