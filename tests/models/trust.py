"""Which terminal certificate a card takes: links, slots, cache, the card's own date; exhaustively.

PROTOCOL.md 3: two slots for versions of the terminal CA; a link applies only above the highest
version ever seen, replaces the older slot, empties slots below the lowest kept; the certificate
verified last is not verified again, but version, role and dates are checked every time. The card's
date moves forward only, by 400 days at most (one step here), a link may step further, and back if
marked so. Attackers hold the key of version 1, every certificate, every link, and forge others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.models.explore import BrokenError

MAX_STEP = 1


class Link(NamedTuple):
    """A link certificate by Root."""

    version: int
    lowest_kept: int
    day: int
    back: bool


class Cert(NamedTuple):
    """A terminal certificate; ``genuine`` when its signature is that CA's."""

    version: int
    begins: int
    ends: int
    genuine: bool = True


LINKS = (Link(2, 1, 0, False), Link(3, 2, 1, False), Link(4, 4, 1, True))
CERTS = (
    Cert(1, 0, 1), Cert(2, 0, 1), Cert(2, 1, 2), Cert(3, 1, 2), Cert(4, 1, 2),
    Cert(1, 2, 3), Cert(1, 3, 4),  # by whoever has the key of version 1: false dates, step by step
    Cert(2, 1, 2, genuine=False), Cert(4, 1, 2, genuine=False),
)  # fmt: skip
NEWEST = Cert(4, 1, 2)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules; a test changes one to show that it is needed."""

    above_highest: bool = True  # a link must be above the highest version ever seen
    empties: bool = True  # a link empties slots below the lowest kept
    checks_version: bool = True  # the cache does not stand for the slot
    empties_cache: bool = True  # a link empties the cache
    cache: str = "signature included"  # "body": the cache knows the certificate without it
    writes: str = "after proof"  # "at PSO": cache and date before the terminal has proved its key
    forward: bool = True  # the date never goes back without a marked link
    bounded: bool = True  # no step of a certificate above the limit
    steps_back: bool = True  # a marked link may set the date back


class Card(NamedTuple):
    """``slots``: versions held; ``floor``: ghost of the highest lowest-kept applied."""

    slots: frozenset[int]
    highest: int
    cache: Cert | None
    date: int
    floor: int


def body(certificate: Cert) -> Cert:
    """The certificate without its signature."""
    return certificate._replace(genuine=True)


class Trust:
    """The model under ``rules``: one card that anybody may speak to."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()

    def start(self) -> Card:
        """As personalised: version 1."""
        return Card(frozenset({1}), 1, None, 0, 1)

    def steps(self, card: Card) -> Iterator[tuple[str, Card]]:
        """Any link at any time, any certificate with and without the key it names."""
        for link in LINKS:
            after = self.link(card, link)
            if after is not None:
                if link.version in range(card.highest + 1):
                    raise BrokenError("an old link is taken again", f"link {link}")
                yield f"link {link.version}", after
        for certificate in CERTS:
            if not self.accepts(card, certificate):
                continue
            after = self._used(card, certificate)
            if self.rules.writes == "at PSO" and after != card:
                raise BrokenError("written before any proof", f"PSO {certificate}")
            self._judge(card, certificate, after)
            yield f"session {certificate}", after

    def link(self, card: Card, link: Link) -> Card | None:
        """The card after a link; None when it is refused."""
        r = self.rules
        if r.above_highest and link.version <= card.highest:
            return None
        if link.version in card.slots:
            return None
        kept = {v for v in card.slots if v >= link.lowest_kept or not r.empties}
        if len(kept) == 2:
            kept.remove(min(kept))
        back = link.back and r.steps_back
        date = link.day if back else max(card.date, link.day)
        cache = None if r.empties_cache else card.cache
        return Card(frozenset(kept | {link.version}), max(card.highest, link.version), cache, date,
                    max(card.floor, link.lowest_kept))  # fmt: skip

    def accepts(self, card: Card, certificate: Cert) -> bool:
        """Whether PSO and MUTUAL AUTHENTICATE succeed for one who has the certificate's key."""
        r = self.rules
        cached = card.cache is not None and (
            certificate == card.cache if r.cache == "signature included"
            else body(certificate) == body(card.cache)
        )  # fmt: skip
        if certificate.version not in card.slots and (r.checks_version or not cached):
            return False
        if not cached and not certificate.genuine:
            return False
        if certificate.ends < card.date:
            return False
        return not r.bounded or certificate.begins <= card.date + MAX_STEP

    def _used(self, card: Card, certificate: Cert) -> Card:
        """What the first protected command commits."""
        forward = max(card.date, certificate.begins)
        date = forward if self.rules.forward else certificate.begins
        return card._replace(cache=certificate, date=date)

    @staticmethod
    def _judge(card: Card, certificate: Cert, after: Card) -> None:
        label = f"session {certificate}"
        if not certificate.genuine:
            raise BrokenError("a forged certificate is taken", label)
        if certificate.version < card.floor:
            raise BrokenError("a version no longer kept is taken", label)
        if after.date < card.date:
            raise BrokenError("the date goes back", label)
        if certificate.begins > card.date + MAX_STEP:
            raise BrokenError("the date leaps", label)

    def broken(self, card: Card) -> str:
        """The first promise that ``card`` breaks."""
        if len(card.slots) > 2:
            return "more than two slots"
        if card.highest not in card.slots:
            return "the newest version is not held"
        return "a version below the lowest kept is held" if min(card.slots) < card.floor else ""

    def is_rest(self, card: Card) -> bool:
        """Today's terminal, which sends all links ascending, gets a session."""
        for link in LINKS:
            card = self.link(card, link) or card
        return self.accepts(card, NEWEST)

    @staticmethod
    def is_bad_luck(label: str) -> bool:
        """Nobody's help is needed but the terminal's own."""
        return True
