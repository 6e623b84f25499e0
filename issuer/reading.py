"""Reading a card at the desk: what it is, what this desk knows of it, and what it says inside.

Each reading is in the desk log before anybody is told what came of it (docs/desk.md#readings;
CARD_READ in docs/wire.md#log).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from card_os.host.errors import CardError, MuteCardError, ProtocolError
from card_os.host.links import CardMute, Link, LinkError
from issuer.desklog import DeskLog
from issuer.identify import Found, Kind, examine
from issuer.orders import Job, OrderBook
from keys.errors import KeysError
from wire.env import Environment
from wire.log import CardRead, CardSaid
from wire.purse import CardState

Look = Callable[[Link], CardState]
"""Opens a card that our key service certified (:func:`issuer.identify.look_inside`)."""
_SAID = {
    Kind.FOREIGN: CardSaid.FOREIGN,
    Kind.BLANK: CardSaid.BLANK,
    Kind.OWN_KEYS: CardSaid.OWN_KEYS,
    Kind.PURSE: CardSaid.PURSE_CLOSED,
    Kind.OTHER_WORLD: CardSaid.OTHER_WORLD,
    Kind.UNKNOWN_VERSION: CardSaid.UNKNOWN_VERSION,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One card. ``job``: its order here; ``inside`` None with the reason in ``closed``.

    ``found`` is None of a card that kept silent or left before it told what it is.
    """

    said: CardSaid
    found: Found | None = None
    scrapped: str | None = None
    job: Job | None = None
    inside: CardState | None = None
    closed: str = ""

    @property
    def card_id(self) -> bytes | None:
        """The card's id, by the card or else by the order it was made for here."""
        if self.inside is not None:
            return self.inside.card_id
        return None if self.job is None else self.job.card_id


@dataclass(frozen=True, slots=True)
class Readings:
    """What one officer has read at a desk of ``env``.

    Its methods raise :class:`issuer.errors.LogError`, and then nothing may be shown.
    """

    log: DeskLog
    book: OrderBook
    env: Environment
    clock: Callable[[], int]
    officer: int

    def read(self, link: Link, look: Look | None) -> Reading:
        """Say what the card is; nothing of an order is changed."""
        return self._logged(_read(link, self.env, self.book, look))

    def unready(self, error: LinkError) -> Reading:
        """Of a card that could not even be powered."""
        mute = isinstance(error, CardMute)
        return self._logged(Reading(CardSaid.MUTE if mute else CardSaid.PULLED))

    def _logged(self, reading: Reading) -> Reading:
        self.log.append(self.clock(), CardRead(reading.said, self.officer, reading.card_id))
        return reading


def _read(link: Link, env: Environment, book: OrderBook, look: Look | None) -> Reading:
    try:
        found = examine(link, env)
    except (MuteCardError, CardMute):
        return Reading(CardSaid.MUTE)
    except LinkError:
        return Reading(CardSaid.PULLED)
    except ProtocolError as e:
        return Reading(CardSaid.FOREIGN, closed=str(e))
    said, inside, closed = _SAID[found.kind], None, ""
    if found.kind is Kind.OTHER_WORLD and found.env is not None and found.env.is_specimen:
        said = CardSaid.SPECIMEN
    job = book.job_of_chip(found.chip)
    if found.kind is Kind.PURSE and look is not None:
        try:
            inside, said = look(link), CardSaid.PURSE
        except (KeysError, CardError) as e:
            closed = str(e)
        except LinkError as e:
            said, closed = CardSaid.PULLED, str(e)
    return Reading(said, found, book.scrap_reason(found.chip), job, inside, closed)
