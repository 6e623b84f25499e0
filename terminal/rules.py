"""What a terminal lets a card spend: pure arithmetic over signed objects (PROTOCOL.md §4, §4.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from wire.entitlement import Entitlement
from wire.objects import GoodsLine, Programme, Tariff, Unit
from wire.purse import RING_SLOTS
from wire.receipt import Counters

RUPIAH = "rupiah"
SLOTS_FOR_DEBIT = 2  # SPEC.md DEBIT: one stays for its void


@dataclass(frozen=True, slots=True)
class Credit:
    """One wallet: the counters the card shows, what proves them, and our own reversals.

    ``in_force`` is the card's entitlement, ``newest`` the one with the highest sequence that this
    terminal holds, taken by the card or not. ``own_reversed``: this terminal's own reversals
    after ``newest.acknowledged``.
    """

    shown: Counters
    in_force: Entitlement
    newest: Entitlement
    own_reversed: int

    @property
    def is_rolled_back(self) -> bool:
        """D below the settled D: the card shows less than the backend has settled."""
        return self.shown.debited < self.newest.settled_debited

    @property
    def counted(self) -> Counters:
        """The counters with R only up to settled R plus our own: a chip cannot invent credit."""
        most = self.newest.settled_reversed + self.own_reversed
        return replace(self.shown, reversed=min(self.shown.reversed, most))

    def available(self, time_s: int) -> int:
        """What may be taken at ``time_s``, by the entitlement in force and by the newest."""
        counted = self.counted
        through = max(self.in_force.expired_through(time_s), self.newest.expired_through(time_s))
        return max(0, self.shown.loaded - max(counted.consumed, through))

    def expired(self, time_s: int) -> int:
        """What expiry takes away at ``time_s``: balance that cannot be taken any more."""
        return max(0, self.shown.loaded - self.counted.consumed) - self.available(time_s)

    def cap(self, programme: Programme) -> int:
        """The most one debit may take."""
        return min(self.in_force.cap, self.newest.cap, programme.cap)


def is_open(programme: Programme, time_s: int) -> bool:
    """Whether a window of the programme is open; one without windows always is."""
    return not programme.windows or any(w.from_s <= time_s < w.to_s for w in programme.windows)


def opens_s(programme: Programme, time_s: int) -> int | None:
    """When the next window opens."""
    return min((w.from_s for w in programme.windows if w.from_s > time_s), default=None)


def tariff(programme: Programme) -> Tariff:
    """The tariff in force: the newest signed version."""
    return programme.tariffs[-1]


def goods(programme: Programme, basket: Tariff, amount: int) -> tuple[GoodsLine, ...]:
    """What ``amount`` of the wallet is in goods: baskets by tariff, cash where it is counted."""
    if programme.unit == Unit.BASKET:
        return tuple(GoodsLine(x.good, x.unit, x.quantity * amount) for x in basket.lines)
    if programme.unit == Unit.RUPIAH and programme.stocked:
        return (GoodsLine(RUPIAH, Unit.RUPIAH, amount),)
    return ()


def ring_used(sequence: int, acknowledged: int) -> int:
    """Slots that hold receipts the backend has not acknowledged."""
    return sequence - acknowledged


def ring_has_room(sequence: int, acknowledged: int) -> bool:
    """Whether a debit finds its two free slots."""
    return RING_SLOTS - ring_used(sequence, acknowledged) >= SLOTS_FOR_DEBIT
