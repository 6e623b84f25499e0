"""Two terminals, a card and a clerk, and copies of them at a moment: for the cut links."""

from __future__ import annotations

import copy
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from card_os.host.links import InProcessLink, Link
from card_os.reference.memory import Persistent
from card_os.reference.purse_store import PurseStore
from terminal.outcomes import (
    Delivered,
)
from terminal.projection import State
from terminal.visit import Visit
from tests.support.campaign import FaultError
from tests.support.terminal_world import (
    Card,
    Clock,
    Terminal,
)
from wire.cvc import Role
from wire.entitlement import Entitlement
from wire.log import IntentKind


@dataclass(frozen=True)
class Image:
    """A terminal's two stores as another process finds them."""

    journal: bytes = field(repr=False)
    roster: bytes = field(repr=False)

    @classmethod
    def of(cls, terminal: Terminal) -> Image:
        """Now."""
        return cls(*(db.serialize() for db in terminal.memory))

    def open(self, terminal: Terminal) -> Terminal:
        """A new process on a copy of the stores: BOOT and what follows."""
        fresh = copy.copy(terminal)
        fresh.memory = tuple(_deserialized(x) for x in (self.journal, self.roster))  # type: ignore[assignment]
        fresh.events, fresh.clock = [], Clock(terminal.clock.now_s)
        fresh.random = Random(fresh.station).randbytes  # noqa: S311 - must repeat
        fresh.restart()
        return fresh


def _deserialized(image: bytes) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.deserialize(image)
    return db


def fork_card(card: Card) -> Card:
    """An independent copy, unpowered."""
    fresh = copy.copy(card)
    fresh.nvm, fresh.powered = card.nvm.fork(), False
    fresh.random = Random(card.card_id).randbytes  # noqa: S311 - must repeat
    fresh._make()
    return fresh


def purse_of(card: Card) -> PurseStore:
    """The card's records."""
    return PurseStore(Persistent(card.nvm, "purse/"))


@dataclass
class Clerk:
    """The person at a counter, who moves goods and remembers which.

    ``given``: wallet → what families hold; ``counter``: what lies on the counter again.
    """

    given: Counter[int] = field(default_factory=Counter)
    counter: Counter[int] = field(default_factory=Counter)
    handed: set[tuple[bytes, int]] = field(default_factory=set)

    def copy(self) -> Clerk:
        """The same memory at the same moment."""
        return Clerk(Counter(self.given), Counter(self.counter), set(self.handed))

    def hand_over(self, visit: Visit, intent: int, *, confirm: bool = True) -> bool:
        """The goods, unless they are out already, and DELIVERED; whether it is final."""
        row = visit.engine.journal.intent(intent)
        body = row.record.body
        key = (visit.engine.journal.station.station_id, intent)
        if key not in self.handed:
            self.handed.add(key)
            self.given[body.wallet] += body.amount
        done = visit.delivered(intent) if confirm else visit.engine.delivered(intent)
        if not isinstance(done, Delivered):
            raise FaultError(f"the goods are out and DELIVERED is refused: {done}")
        return done.final

    def take_back(self, wallet: int, amount: int) -> None:
        """The family puts goods on the counter."""
        self.given[wallet] -= amount
        self.counter[wallet] += amount

    def settle_counter(self, terminal: Terminal) -> None:
        """What lies on the counter: into stock after a void, else to the family again."""
        journal, engine = terminal.journal, terminal.engine
        if any(v.kind == IntentKind.VOID for v in journal.open_intents()):
            return  # in suspense until it is known
        for void in journal.suspended():
            debit = journal.intent(void.debit or 0).record.body
            self.counter[debit.wallet] -= debit.amount
            if void.state == State.RECEIPTED:
                engine.returned(void.sequence)
            else:
                self.given[debit.wallet] += debit.amount
                engine.given_back(void.sequence)
        self.given += self.counter  # taken back, and no void was ever asked for
        self.counter.clear()

    def settle(self, terminal: Terminal, visit: Visit) -> None:
        """What an earlier visit left open here."""
        self.settle_counter(terminal)
        for row in visit.undelivered():
            self.hand_over(visit, row.sequence)


@dataclass
class World:
    """Two terminals, a card and a clerk at one moment."""

    here: Terminal
    there: Terminal
    card: Card
    clerk: Clerk
    entitlements: tuple[Entitlement, ...] = ()

    @property
    def terminals(self) -> tuple[Terminal, Terminal]:
        """Both."""
        return self.here, self.there


@contextmanager
def visiting(terminal: Terminal, link: Link, role: Role = Role.TERMINAL) -> Iterator[Visit | None]:
    """A visit over that link, or None where none came of it."""
    terminal.clock.now_s += 60
    visit = terminal.engine.begin(link, role, terminal.officers.get(role))
    if isinstance(visit, Visit):
        with visit:
            yield visit
    else:
        yield None


def must_visit(terminal: Terminal, card: Card, role: Role = Role.TERMINAL) -> Visit:
    """A visit that nothing disturbs; anything else is a fault."""
    terminal.clock.now_s += 60
    visit = terminal.engine.begin(InProcessLink(card), role, terminal.officers.get(role))
    if not isinstance(visit, Visit):
        raise FaultError(f"{terminal.station.decode()} does not take the card: {visit}")
    return visit
