"""What a screen shows of a visit, and what the opening found out (PROTOCOL.md §4)."""

from __future__ import annotations

from dataclasses import dataclass, field

from terminal.outcomes import Nothing, Outcome, Warn
from terminal.rules import Credit
from wire.bundle import CardEntry
from wire.objects import Programme
from wire.receipt import Receipt, Statement


@dataclass(frozen=True, slots=True)
class WalletView:
    """One wallet as a screen shows it now. ``most``: what one debit may take; 0 with a reason.

    ``balance`` is L − consumed in the wallet's unit, ``available`` what is left of it after
    expiry, ``expired`` what expiry took.
    """

    wallet: int
    programme: Programme | None
    balance: int
    available: int
    expired: int
    most: int
    nothing: Nothing | None

    @property
    def has_more(self) -> bool:
        """Whether more is left than one debit may take."""
        return self.available > self.most


@dataclass(slots=True)
class Seen:
    """What the opening found out; kept up by the verbs."""

    entry: CardEntry | None
    credits: dict[int, Credit] = field(default_factory=dict)
    receipts: dict[int, Receipt] = field(default_factory=dict)
    recovered: list[Outcome] = field(default_factory=list)
    warnings: list[Warn] = field(default_factory=list)
    activation: Statement | None = None
    nothing: Nothing | None = None
