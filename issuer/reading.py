"""Reading a card at the desk: what it is, what this desk knows of it, and what it says inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from card_os.host.errors import CardError
from card_os.host.links import Link
from issuer.identify import Found, Kind, examine
from issuer.orders import Job, OrderBook
from keys.errors import KeysError
from wire.env import Environment
from wire.purse import CardState


@dataclass(frozen=True, slots=True)
class Reading:
    """One card. ``job``: its order here; ``inside`` None with the reason in ``closed``."""

    found: Found
    scrapped: str | None
    job: Job | None
    inside: CardState | None
    closed: str


def read_card(
    link: Link, env: Environment, book: OrderBook, look: Callable[[Link], CardState] | None
) -> Reading:
    """Say what the card is; nothing of an order is changed.

    ``look`` opens a card that our key service certified (:func:`issuer.identify.look_inside`).
    Raises :class:`card_os.host.errors.MuteCardError` and ``links.LinkError``.
    """
    found, inside, closed = examine(link, env), None, ""
    if found.kind is Kind.PURSE and look is not None:
        try:
            inside = look(link)
        except (KeysError, CardError) as e:
            closed = str(e)
    scrapped, job = book.scrap_reason(found.chip), book.job_of_chip(found.chip)
    return Reading(found, scrapped, job, inside, closed)
