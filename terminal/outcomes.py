"""Everything that can come of a command, as values a screen can show in two languages.

The engine never prints, asks or sleeps: it returns these, and tells what it is doing by
:class:`Progress`. Words stand in :mod:`terminal.messages`, under :attr:`Outcome.key`, and in
docs/errors.md. Amounts are in the wallet's unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wire.log import Reason
from wire.objects import GoodsLine, Unit
from wire.receipt import Receipt


class Step(StrEnum):
    """What the engine is doing, for a screen that waits."""

    OPENING = "opening"
    RECOVERING = "recovering"
    LOADING = "loading"
    COLLECTING = "collecting"
    CHECKING_PIN = "checking-pin"
    DEBITING = "debiting"
    VOIDING = "voiding"
    WRITING = "writing"
    CONFIRMING = "confirming"


@dataclass(frozen=True, slots=True)
class Progress:
    """An event: this step has begun."""

    step: Step


@dataclass(frozen=True, slots=True)
class Outcome:
    """Base of every result."""

    @property
    def key(self) -> str:
        """Which words say it: the class, and its variant."""
        return type(self).__name__ + (f".{self._variant}" if self._variant else "")

    @property
    def _variant(self) -> str:
        return ""

    @property
    def is_good(self) -> bool:
        """Green or red."""
        return False


class _Good(Outcome):
    """A result that is what was asked for."""

    __slots__ = ()

    @property
    def is_good(self) -> bool:
        return True


# --- this terminal, this card -----------------------------------------------------------------


class Stop(StrEnum):
    """Why this terminal does nothing now."""

    RESTORED_IMAGE = "restored-image"
    NO_CERTIFICATE = "no-certificate"
    CERTIFICATE_ENDED = "certificate-ended"
    CARD_REFUSES_US = "card-refuses-us"
    NO_DATA = "no-data"
    NO_SHIFT = "no-shift"
    STORE_FULL = "store-full"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class TerminalRefused(Outcome):
    """The terminal may not or cannot work; the card was left as it is."""

    why: Stop

    @property
    def _variant(self) -> str:
        return self.why.value


@dataclass(frozen=True, slots=True)
class CardRefused(Outcome):
    """The card was turned away and logged (REJECTED)."""

    reason: Reason
    card_id: bytes | None
    detail: str = ""

    @property
    def _variant(self) -> str:
        return self.reason.name


@dataclass(frozen=True, slots=True)
class CardLost(Outcome):
    """The card went away and nothing of value was under way."""

    step: Step


@dataclass(frozen=True, slots=True)
class StepRefused(Outcome):
    """The command does not fit the state of things; nothing was changed."""

    detail: str


# --- nothing can be taken ----------------------------------------------------------------------


class NothingWhy(StrEnum):
    """Why nothing can be taken now."""

    FUNDS_NOT_RELEASED = "funds-not-released"
    NOT_IN_ROUND = "not-in-round"
    EXCLUDED_BY_RULE = "excluded-by-rule"
    BLOCKED = "blocked"
    REPLACED = "replaced"
    NOT_ACTIVE = "not-active"
    COLLECTED = "collected"
    EXPIRED = "expired"
    DATA_TOO_OLD = "data-too-old"
    RING_FULL = "ring-full"
    OUTCOME_PENDING = "outcome-pending"
    UNKNOWN_PROGRAMME = "unknown-programme"
    THIS_VISIT = "this-visit"
    NO_WALLET = "no-wallet"


@dataclass(frozen=True, slots=True)
class Nothing(Outcome):
    """Nothing can be taken, and why; of one wallet, or of the card (``wallet`` None).

    COLLECTED: ``when_s``, ``where`` (a terminal's id) and ``amount`` of the last debit.
    NOT_IN_ROUND: ``when_s`` is when the next window opens. ``detail`` and ``detail_en``: the
    bundle's words. DATA_TOO_OLD: ``when_s`` is the bundle's time.
    """

    why: NothingWhy
    wallet: int | None = None
    when_s: int | None = None
    where: bytes | None = None
    amount: int | None = None
    detail: str = ""
    detail_en: str = ""

    @property
    def _variant(self) -> str:
        return self.why.value


class Limit(StrEnum):
    """Which bound an amount breaks."""

    NOT_POSITIVE = "not-positive"
    ABOVE_AVAILABLE = "above-available"
    ABOVE_CAP = "above-cap"


@dataclass(frozen=True, slots=True)
class AmountRefused(Outcome):
    """The amount does not fit; ``most`` would."""

    limit: Limit
    wallet: int
    most: int

    @property
    def _variant(self) -> str:
        return self.limit.value


# --- PIN ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PinAccepted(_Good):
    """The PIN was right."""


@dataclass(frozen=True, slots=True)
class PinWrong(Outcome):
    """The PIN (or transport code) was wrong; ``tries_left`` remain."""

    tries_left: int


@dataclass(frozen=True, slots=True)
class PinSpent(Outcome):
    """No tries are left; the office must unblock."""


@dataclass(frozen=True, slots=True)
class PinNeeded(Outcome):
    """The PIN must be entered first."""


@dataclass(frozen=True, slots=True)
class PinMalformed(Outcome):
    """Not six digits (or not an eight-digit transport code); nothing was sent."""


@dataclass(frozen=True, slots=True)
class PinTooSimple(Outcome):
    """The card refuses a PIN that is too easy to guess."""


@dataclass(frozen=True, slots=True)
class PinSet(_Good):
    """A new PIN is in force."""

    card_id: bytes


@dataclass(frozen=True, slots=True)
class PinUnknown(Outcome):
    """The card left while the PIN was being set: the next tap tells whether it was."""


@dataclass(frozen=True, slots=True)
class BypassRefused(Outcome):
    """No supervised bypass is left, or no reason was given."""


# --- money and goods ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Redeemed(_Good):
    """The card paid, and the receipt is kept. Goods may be handed over: then say DELIVERED.

    ``recovered``: found out later; somebody must first say whether goods were handed.
    ``before`` and ``after`` are balances in the wallet's unit.
    """

    intent: int
    receipt: Receipt
    unit: Unit
    lines: tuple[GoodsLine, ...]
    before: int
    after: int
    recovered: bool = False

    @property
    def _variant(self) -> str:
        return "recovered" if self.recovered else ""


@dataclass(frozen=True, slots=True)
class NotRedeemed(Outcome):
    """Proven: the card paid nothing. Hand nothing over."""

    intent: int
    card_id: bytes
    card_sequence: int


@dataclass(frozen=True, slots=True)
class RedeemUnknown(Outcome):
    """Whether the card paid is not known yet. Hand nothing over; the next tap tells."""

    intent: int
    card_id: bytes


@dataclass(frozen=True, slots=True)
class Delivered(_Good):
    """Noted: the family has the goods. ``final``: confirmed on the card, so no void any more."""

    intent: int
    final: bool

    @property
    def _variant(self) -> str:
        return "final" if self.final else ""


@dataclass(frozen=True, slots=True)
class Voided(_Good):
    """The card took the amount back. ``on_counter``: now put the goods into stock."""

    void: int
    debit: int
    receipt: Receipt
    before: int
    after: int
    on_counter: bool
    recovered: bool = False

    @property
    def _variant(self) -> str:
        return "on-counter" if self.on_counter else ""


@dataclass(frozen=True, slots=True)
class NotVoided(Outcome):
    """Proven: the void did not happen. ``on_counter``: give the goods back to the family."""

    void: int
    debit: int
    on_counter: bool
    card_sequence: int

    @property
    def _variant(self) -> str:
        return "on-counter" if self.on_counter else ""


@dataclass(frozen=True, slots=True)
class VoidUnknown(Outcome):
    """Whether the void happened is not known yet. The goods stay where they are until it is."""

    void: int
    debit: int
    on_counter: bool


class VoidWhy(StrEnum):
    """Why a debit cannot be voided."""

    NO_SUPERVISOR = "no-supervisor"
    NO_DEBIT = "no-debit"
    OUTCOME_PENDING = "outcome-pending"
    VOIDED = "voided"
    ON_COUNTER = "on-counter"
    HAND_OVER_DIFFERS = "hand-over-differs"
    FINAL = "final"
    NO_REASON = "no-reason"


@dataclass(frozen=True, slots=True)
class VoidRefused(Outcome):
    """The debit cannot be voided (any more); nothing was changed."""

    why: VoidWhy

    @property
    def _variant(self) -> str:
        return self.why.value


@dataclass(frozen=True, slots=True)
class GoodsReturned(_Good):
    """Noted: after the void the goods are back in stock."""

    void: int


@dataclass(frozen=True, slots=True)
class GoodsGivenBack(_Good):
    """Noted: the void did not happen and the family has the goods again."""

    void: int


# --- hand-over and objection ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Activated(_Good):
    """The card was handed over and is active."""

    card_id: bytes
    bast: str


@dataclass(frozen=True, slots=True)
class ActivationRefused(Outcome):
    """The card is not waiting for its hand-over (or its PIN reset names another officer)."""


@dataclass(frozen=True, slots=True)
class Disputed(_Good):
    """Noted: the holder says that this receipt is wrong."""

    card_id: bytes
    sequence: int


# --- warnings ------------------------------------------------------------------------------------


class Caution(StrEnum):
    """What a screen should say beside a result."""

    RING_FILLING = "ring-filling"
    DATA_STALE = "data-stale"
    CERTIFICATE_ENDING = "certificate-ending"
    CLOCK_SUSPECT = "clock-suspect"
    LOAD_REFUSED = "load-refused"
    UNDELIVERED = "undelivered"
    GOODS_SUSPENDED = "goods-suspended"


@dataclass(frozen=True, slots=True)
class Warn(Outcome):
    """A warning; ``number`` is slots used, Unix seconds, a wallet or an intent, by its kind."""

    caution: Caution
    number: int

    @property
    def _variant(self) -> str:
        return self.caution.value


Event = Progress | Outcome
