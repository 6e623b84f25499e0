"""What the desk's face shows and what an officer may ask: typed values, no text, no web.

Everything here is a projection of the engine's own results; a page decides nothing
(docs/ui.md#how-pages-move).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from issuer.evidence import Evidence
from issuer.outcomes import Issued, Outcome, Refused, Scrapped, Turned, TurnedAway
from issuer.reading import Reading
from issuer.tally import Counts, Done
from wire.log import CardSaid, DeskStep
from wire.objects import Order, Programme
from wire.purse import Flag

Texts = tuple[str, str]
"""Indonesian, English."""
STEPS = tuple(DeskStep)[: DeskStep.VERIFIED]
"""The steps of a card from blank to read back."""


class Light(StrEnum):
    """The reader's state."""

    NONE = "none"  # no reader, or pcscd is away
    EMPTY = "empty"
    CARD = "card"


@dataclass(frozen=True, slots=True)
class Family:
    """One order at this desk with what stands behind it. ``name``: hash of the signed order."""

    order: Order
    name: bytes
    step: DeskStep | None
    card_id: bytes | None
    can_scrap: bool
    evidence: Evidence

    def programme(self, wallet: int) -> Programme | None:
        """The programme behind a wallet of this family's card, if its evidence has come."""
        held = (right.programme for right in self.evidence.rights)
        return next((p for p in held if p is not None and p.wallet == wallet), None)


class Stage(StrEnum):
    """How far one step is. ``found``: an earlier visit had done it."""

    DONE = "done"
    FOUND = "found"
    NOW = "now"
    TODO = "todo"


@dataclass(frozen=True, slots=True)
class StepLine:
    """One step of the card that is being made."""

    step: DeskStep
    stage: Stage


@dataclass(frozen=True, slots=True)
class Screen:
    """Base of what stands in the middle."""

    @property
    def name(self) -> str:
        """The name of its template."""
        return type(self).__name__.lower()


@dataclass(frozen=True, slots=True)
class SignedOut(Screen):
    """Nobody works here. ``problem``: what is wrong with the desk itself."""

    problem: Texts | None = None


@dataclass(frozen=True, slots=True)
class Ready(Screen):
    """Waits for a card. ``family`` None: only begun cards are left to finish.

    ``card_in``: one lies there that nothing was done with; ``take_out``: one that is dealt with.
    """

    family: Family | None
    card_in: bool
    take_out: bool


@dataclass(frozen=True, slots=True)
class WrongRow(Screen):
    """The next order names another family's decree row: no card is made of it.

    ``can_skip``: going on skips it; else its card was begun before and is to be scrapped.
    """

    family: Family
    outcome: Refused
    can_skip: bool


@dataclass(frozen=True, slots=True)
class NoOrders(Screen):
    """Nothing is ordered of this desk."""


@dataclass(frozen=True, slots=True)
class Working(Screen):
    """A card is being made; ``family`` None while it is being looked at."""

    family: Family | None
    steps: tuple[StepLine, ...]
    done: int

    @property
    def at(self) -> int:
        """The number of the step that is being done, from 1."""
        return min(self.done + 1, len(self.steps))


@dataclass(frozen=True, slots=True)
class Finished(Screen):
    """Read back and right: take it out."""

    family: Family
    outcome: Issued


@dataclass(frozen=True, slots=True)
class Failed(Screen):
    """What happened. ``retry``: the card lies there and may be tried again."""

    outcome: Outcome
    family: Family | None
    retry: bool

    @property
    def state(self) -> str:
        """``warning`` where nothing is lost by it, else ``refused``."""
        soft = self.outcome.can_retry or self.is_scrapped or self._is_specimen
        return "warning" if soft else "refused"

    @property
    def picture(self) -> str:
        """Its pictogram."""
        return "scrap" if self.is_scrapped else "specimen" if self._is_specimen else self.state

    @property
    def is_scrapped(self) -> bool:
        """Whether this is the end of a scrapping, not a failure."""
        return isinstance(self.outcome, Scrapped)

    @property
    def can_scrap(self) -> bool:
        """Whether a card of this order could be scrapped now."""
        return self.family is not None and self.family.can_scrap and not self.is_scrapped

    @property
    def _is_specimen(self) -> bool:
        return isinstance(self.outcome, TurnedAway) and self.outcome.reason == Turned.SPECIMEN


@dataclass(frozen=True, slots=True)
class Stopped(Screen):
    """So many cards failed one after the other that something else is wrong."""

    failures: int
    outcome: Outcome
    family: Family | None


@dataclass(frozen=True, slots=True)
class ScrapReason(Screen):
    """Asked once: why is this card to be scrapped. ``missing``: no reason was given."""

    family: Family
    missing: bool = False


@dataclass(frozen=True, slots=True)
class ScrapConfirm(Screen):
    """Asked twice: it cannot be taken back."""

    family: Family
    reason: str


@dataclass(frozen=True, slots=True)
class ReadWait(Screen):
    """The next card will be read and nothing written."""


@dataclass(frozen=True, slots=True)
class Read(Screen):
    """What a card is; the reading stands in the desk log."""

    reading: Reading
    family: Family | None

    @property
    def state(self) -> str:
        """The state ``warning`` where nothing was learned of the card, else none."""
        return "warning" if self.reading.said in {CardSaid.MUTE, CardSaid.PULLED} else ""

    @property
    def picture(self) -> str:
        """Its pictogram."""
        return "specimen" if self.reading.said == CardSaid.SPECIMEN else self.state or "search"

    @property
    def is_blocked(self) -> bool:
        """Whether the card itself says that it is blocked."""
        inside = self.reading.inside
        return inside is not None and Flag.BLOCKED in inside.flags


@dataclass(frozen=True, slots=True)
class Busy(Screen):
    """Something takes its time; in words."""

    words: Texts


@dataclass(frozen=True, slots=True)
class Trouble(Screen):
    """The desk itself could not go on: its storage, the key service."""

    words: Texts
    detail: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What became of something asked beside the cards; ``kind`` is a state of ui/."""

    kind: str
    words: Texts


@dataclass(frozen=True, slots=True)
class View:
    """Everything the pages show. ``visit`` names the officer's stay, "" while signed out.

    ``turn`` counts the screens, so that a key pressed for one is not heard by the next.
    ``free``: blank chips the key service knows, None when it did not say. ``unsent``: records.
    ``aside``: orders skipped because they name another family's decree row.
    """

    number: int
    visit: str
    officer: int
    station: str
    light: Light
    reader: str
    screen: Screen
    turn: int
    queue: tuple[Family, ...]
    waiting: int
    begun: tuple[Family, ...]
    today: Counts
    free: int | None
    scrapped: int
    aside: int
    last: tuple[Done, ...]
    unsent: int
    notice: Notice | None
    auto: bool

    @property
    def more(self) -> int:
        """How many wait beyond those listed."""
        return self.waiting - len(self.queue)


# --- what may be asked ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignIn:
    """An officer begins; the passphrase opens the desk's log key. Who was there leaves.

    ``visit`` is the name that :attr:`View.visit` bears from then on, new each time.
    """

    officer: int
    passphrase: str = field(repr=False)
    visit: str


@dataclass(frozen=True, slots=True)
class SignOut:
    """The officer leaves; the key is forgotten."""


@dataclass(frozen=True, slots=True)
class Go:
    """The obvious thing on the screen numbered ``turn``: start, try again, go on, next order."""

    turn: int


@dataclass(frozen=True, slots=True)
class Back:
    """Leave this screen without doing anything."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReadCard:
    """Say what the card is, the one that lies there or the next."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Send the desk log, fetch orders and what stands behind them."""


@dataclass(frozen=True, slots=True)
class Auto:
    """Whether a blank that comes in begins the next order by itself."""

    on: bool


@dataclass(frozen=True, slots=True)
class AskScrap:
    """Think of scrapping the card of this order."""

    order: bytes


@dataclass(frozen=True, slots=True)
class GiveReason:
    """The reason; asks a second time."""

    turn: int
    reason: str


@dataclass(frozen=True, slots=True)
class Scrap:
    """Do it."""

    turn: int


Command = SignIn | SignOut | Go | Back | ReadCard | Contact | Auto | AskScrap | GiveReason | Scrap
