"""What became of a card at the desk, and the events on the way: typed values, no text.

The words for a person stand in :mod:`issuer.messages` under :attr:`Outcome.key`; what each means:
docs/desk.md#outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wire.log import DeskStep


class Turned(StrEnum):
    """Why a card was turned away; nothing was written to it."""

    MUTE = "mute"
    NOT_A_CHIP_OF_OURS = "foreign"
    SPECIMEN = "specimen"
    OTHER_WORLD = "other-world"
    UNKNOWN_VERSION = "unknown-version"
    SCRAPPED = "scrapped"


class Fault(StrEnum):
    """Why a card can never be finished: it has to be scrapped."""

    OTHER_KEYS = "other-keys"
    FOREIGN_KEY_SET = "foreign-key-set"
    CERTIFICATE = "certificate"
    CODE_LOST = "code-lost"
    LIFE = "life"
    CONTENT = "content"


class Refusal(StrEnum):
    """Why the desk did not begin; nothing was written to the card."""

    NO_ORDER = "no-order"
    ORDER_ENDED = "order-ended"
    ORDER_HAS_CARD = "order-has-card"
    CARD_OF_OTHER_ORDER = "card-of-other-order"
    ORDER_ISSUED = "order-issued"
    CARD_ISSUED = "card-issued"
    OTHER_ROW = "other-row"  # the decree row that the order names is not this family's


@dataclass(frozen=True, slots=True)
class Outcome:
    """Base. ``is_good`` exactly when a card was issued."""

    @property
    def is_good(self) -> bool:
        """Whether this card now counts as issued."""
        return False

    @property
    def can_retry(self) -> bool:
        """Whether the same card may be tried again as it lies there."""
        return False

    @property
    def key(self) -> str:
        """The name of its message."""
        reason = getattr(self, "reason", None)
        return type(self).__name__ + (f".{reason}" if isinstance(reason, StrEnum) else "")


@dataclass(frozen=True, slots=True)
class Issued(Outcome):
    """Read back and verified: the card counts. ``wallets``: codes loaded; perhaps none yet."""

    order: bytes
    card_id: bytes
    wallets: tuple[int, ...]
    resumed: bool

    @property
    def is_good(self) -> bool:
        """True."""
        return True


@dataclass(frozen=True, slots=True)
class TurnedAway(Outcome):
    """Not a card for this desk; it was only looked at."""

    reason: Turned
    detail: str


@dataclass(frozen=True, slots=True)
class Refused(Outcome):
    """No order fits this card, or the order has its card already. ``order`` b"" for none."""

    reason: Refusal
    order: bytes
    card_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class KeyServiceRefused(Outcome):
    """The key service said no, or did not answer; ``code`` is its error's."""

    order: bytes
    code: str
    detail: str

    @property
    def can_retry(self) -> bool:
        """True."""
        return True


@dataclass(frozen=True, slots=True)
class WrongKeys(Outcome):
    """The card does not know the keys we hold for it; one try was made, none will follow."""

    order: bytes
    detail: str


@dataclass(frozen=True, slots=True)
class Interrupted(Outcome):
    """The card left after ``step`` (None: before the first); put it in again to go on."""

    order: bytes
    step: DeskStep | None
    detail: str

    @property
    def can_retry(self) -> bool:
        """True."""
        return True


@dataclass(frozen=True, slots=True)
class Faulty(Outcome):
    """The card answered what it must not; try once more, then scrap it."""

    order: bytes
    step: DeskStep | None
    detail: str

    @property
    def can_retry(self) -> bool:
        """True."""
        return True


@dataclass(frozen=True, slots=True)
class Unfinishable(Outcome):
    """Proof that this card can never be finished; ``scrap`` is the way on."""

    reason: Fault
    order: bytes
    card_id: bytes | None
    detail: str


@dataclass(frozen=True, slots=True)
class Waiting(Outcome):
    """The card is personalised; its entitlements could not be had. Put it in again later."""

    order: bytes
    card_id: bytes
    detail: str

    @property
    def can_retry(self) -> bool:
        """True."""
        return True


@dataclass(frozen=True, slots=True)
class Scrapped(Outcome):
    """The chip never becomes a card; its order is open again. ``card_id`` None: never certified."""

    order: bytes
    card_id: bytes | None
    detail: str


# --- progress ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """``order``'s card has come to ``step``; ``found``: it was there already."""

    order: bytes
    step: DeskStep
    card_id: bytes | None
    found: bool


@dataclass(frozen=True, slots=True)
class CardDone:
    """One card of a bulk run is done, well or not; the counts include it."""

    outcome: Outcome
    good: int
    bad: int


Event = Progress | CardDone
