"""What a person can ask of the village-hall face, and on which screen: frozen values.

Commands carry what was entered; secrets never show in ``repr``. A command for a screen that has
gone does nothing (docs/ui.md#a-screen).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from terminal.kiosk_screens import (
    Action,
    Amount,
    Bast,
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
    ShiftClosed,
    TakenOut,
    TakeOut,
    Task,
    Why,
)


@dataclass(frozen=True, slots=True)
class Command:
    """Base of what a person can ask for."""


@dataclass(frozen=True, slots=True)
class OpenShift(Command):
    """Begin as this officer."""

    officer: int


@dataclass(frozen=True, slots=True)
class Do(Command):
    """One of a result's actions."""

    action: Action


@dataclass(frozen=True, slots=True)
class Back(Command):
    """Leave this screen; nothing was done."""


@dataclass(frozen=True, slots=True)
class OpenMenu(Command):
    """What else can be done."""


@dataclass(frozen=True, slots=True)
class OpenMatters(Command):
    """The holder's own matters."""


@dataclass(frozen=True, slots=True)
class Choose(Command):
    """Take from this wallet."""

    wallet: int


@dataclass(frozen=True, slots=True)
class SetAmount(Command):
    """So much of it."""

    amount: int


@dataclass(frozen=True, slots=True)
class Enter(Command):
    """The secret a pad asked for."""

    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Begin(Command):
    """A task that needs an officer."""

    task: Task


@dataclass(frozen=True, slots=True)
class Unlock(Command):
    """The officer's number and the passphrase of the officer's key."""

    officer: int
    passphrase: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Because(Command):
    """The reason, by its place in :data:`REASONS`."""

    reason: int


@dataclass(frozen=True, slots=True)
class HandOver(Command):
    """The hand-over note's number and the proxy's name, empty for the family itself."""

    bast: str
    proxy: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Object(Command):
    """The holder objects to this receipt."""

    sequence: int


@dataclass(frozen=True, slots=True)
class ChangePin(Command):
    """The holder wants another PIN."""


@dataclass(frozen=True, slots=True)
class Carry(Command):
    """Upload and install over the network."""


@dataclass(frozen=True, slots=True)
class CountShelf(Command):
    """Close the shift: count first."""


@dataclass(frozen=True, slots=True)
class CloseShift(Command):
    """What was counted, in the order of :class:`Counting`."""

    quantities: tuple[int, ...]


# --- what fits where -----------------------------------------------------------------------------

SAY_FIRST = {Action.DELIVER, Action.RETURNED, Action.GIVEN_BACK}
"""Actions that say where goods are: no other card is begun before one of them was said."""
WAITING = (Ready, TakenOut, PutCard, Menu, Failed, NotHandedOver, ShiftClosed)
NEED_CARD = (Family, Matters, Amount, Pin, Why, Bast)
ALLOWED: dict[type[Screen], tuple[type[Command], ...]] = {
    Closed: (OpenShift, Carry),
    Ready: (OpenMenu,),
    TakeOut: (OpenMenu, Back),
    Menu: (Begin, CountShelf, Carry, Back),
    Family: (Choose, OpenMatters, Back),
    Matters: (ChangePin, Object, Back),
    Amount: (SetAmount, Back),
    Pin: (Enter, Begin, Back),
    Result: (Do,),
    NotHandedOver: (Do, Back),
    TakenOut: (Back,),
    OfficerKey: (Unlock, Back),
    PutCard: (Back,),
    Why: (Because, Back),
    Bast: (HandOver, Back),
    Counting: (CloseShift, Back),
    ShiftClosed: (Carry, Back),
    Failed: (Back,),
}
