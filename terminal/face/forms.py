"""What a browser posts, as the counter's commands; :class:`FormError` for anything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from terminal.kiosk_commands import (
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
from terminal.kiosk_screens import Action, Counting, Screen, Task
from wire.objects import Unit

MAX_AMOUNT = 2**31 - 1
MAX_DIGITS = 10
LARGE = {Unit.GRAM: 1000, Unit.MILLILITRE: 1000}
"""Units people count in thousands of: kilograms and litres."""

Fields = Mapping[str, str]


class FormError(Exception):
    """The form cannot come from our page; the message repeats nothing of it."""


def whole(text: str) -> int:
    """A whole number to 2³¹ − 1, points between thousands allowed (``150.000``).

    :class:`FormError` for anything else.
    """
    digits = text.replace(".", "").strip()
    if not re.fullmatch(rf"[0-9]{{1,{MAX_DIGITS}}}", digits) or int(digits) > MAX_AMOUNT:
        raise FormError("not a whole number")
    return int(digits)


def quantity(text: str, unit: Unit) -> int:
    """A count in the unit itself (g, ml, pieces); kilograms and litres are typed (``49,5``).

    :class:`FormError`, also for less than one gram or millilitre.
    """
    if unit not in LARGE:
        return whole(text)
    digits = text.replace(".", "").strip().replace(",", ".")
    if not re.fullmatch(rf"[0-9]{{1,{MAX_DIGITS}}}(\.[0-9]{{1,{MAX_DIGITS}}})?", digits):
        raise FormError("not a number")
    value = Decimal(digits) * LARGE[unit]
    if value != int(value) or value > MAX_AMOUNT:
        raise FormError("finer than a gram, or too much")
    return int(value)


def command(verb: str, fields: Fields, screen: Screen) -> Command:
    """The command of ``/do/verb``; ``screen`` is shown now (counts are in its goods' units).

    :class:`FormError` for an unknown verb or a field that is missing or malformed.
    """
    try:
        if verb == "close-shift" and isinstance(screen, Counting):
            counts = [quantity(fields[f"count{n}"], x.unit) for n, x in enumerate(screen.lines)]
            return CloseShift(tuple(counts))
        return _VERBS[verb](fields)
    except (KeyError, ValueError) as e:
        raise FormError("unknown or unfinished form") from e


_VERBS: dict[str, Callable[[Fields], Command]] = {
    "open-shift": lambda f: OpenShift(whole(f["officer"])),
    "act": lambda f: Do(Action(f["action"])),
    "back": lambda _: Back(),
    "menu": lambda _: OpenMenu(),
    "matters": lambda _: OpenMatters(),
    "choose": lambda f: Choose(whole(f["wallet"])),
    "amount": lambda f: SetAmount(whole(f["amount"])),
    "enter": lambda f: Enter(f["secret"]),
    "begin": lambda f: Begin(Task(f["task"])),
    "unlock": lambda f: Unlock(whole(f["officer"]), f["passphrase"]),
    "because": lambda f: Because(whole(f["reason"])),
    "hand-over": lambda f: HandOver(f["bast"], f.get("proxy", "")),
    "object": lambda f: Object(whole(f["sequence"])),
    "change-pin": lambda _: ChangePin(),
    "carry": lambda _: Carry(),
    "count": lambda _: CountShelf(),
}
