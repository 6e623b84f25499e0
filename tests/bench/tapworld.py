"""The tap that is measured: a terminal and a card made anew from a seed, and the same every time.

Everything is drawn from seeds, so a second terminal sends byte for byte what the first one sent,
and a replay card can answer it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from random import Random

from card_os.host.links import Interface, Link
from card_os.host.trace import RecordingLink, Trace
from terminal.outcomes import Activated, Redeemed
from terminal.visit import Visit
from tests.support.terminal_world import (
    CASH,
    CLINIC,
    CODE,
    FOOD,
    PIN,
    Card,
    Issuer,
    Terminal,
    entry,
)
from wire.cvc import Role
from wire.receipt import Receipt

AMOUNT = 1_000
ELSEWHERE = b"OTHER001"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a tap meets: wallets on the card, LOADs due, receipts to collect."""

    wallets: int
    loads: int
    receipts: int


STANDARD = Kind(1, 0, 1)
LARGE = Kind(3, 1, 8)


@dataclass
class Bench:
    """A card and the terminal that will meet it; ``prototype`` databases are copied per tap."""

    terminal: Terminal
    card: Card
    kind: Kind

    def fresh(self) -> Terminal:
        """The terminal as it was before the tap: journal and roster in memory, seeds anew."""
        t = self.terminal
        copies = []
        for database in self.stores:
            copy = sqlite3.connect(":memory:", isolation_level=None)
            database.backup(copy)
            copies.append(copy)
        t.memory = (copies[0], copies[1])
        t.random = Random(2026).randbytes  # noqa: S311 - the same every time
        t.restart()
        return t

    def __post_init__(self) -> None:
        self.stores = self.terminal.memory


def bench(kind: Kind) -> Bench:
    """A card with that many wallets, loaded elsewhere but for ``loads``, and debited elsewhere."""
    issuer = Issuer()
    card = issuer.card(life="inert")
    terminal = Terminal(issuer)
    _hand_over(terminal, card)
    wallets = (CASH, FOOD, CLINIC)[: kind.wallets]
    amounts = {CASH: 500_000, FOOD: 4, CLINIC: 4}
    held = [issuer.entitlement(card, w, loaded=amounts[w]) for w in wallets]
    for entitlement in held:
        card.load_raw(entitlement)
    newest = list(held)
    for n in range(kind.loads):
        more = amounts[wallets[n]] + 1_000
        newest[n] = issuer.entitlement(card, wallets[n], sequence=2, loaded=more)
    for _ in range(kind.receipts):
        card.elsewhere(CASH, 100, ELSEWHERE)
    terminal.engine.install(terminal.bundle(entry(card, *newest)))
    terminal.engine.open_shift(5)
    return Bench(terminal, card, kind)


def _hand_over(terminal: Terminal, card: Card) -> None:
    """The card got its PIN at this terminal, some day before."""
    terminal.engine.install(terminal.bundle(entry(card)))
    with terminal.begin(card, Role.HANDOVER) as visit:
        outcome = visit.activate(CODE, PIN, bast="BAST-1", place="Balai desa")
        assert isinstance(outcome, Activated), outcome


def tap(terminal: Terminal, link: Link) -> Receipt:
    """From SELECT to the receipt verified and durable."""
    visit = terminal.engine.begin(link)
    assert isinstance(visit, Visit), visit
    visit.verify_pin(PIN)
    outcome = visit.redeem(CASH, AMOUNT)
    assert isinstance(outcome, Redeemed), outcome
    visit.close()
    return outcome.receipt


def record(bench: Bench) -> Trace:
    """The tap's commands and answers, by a real reference card."""
    terminal = bench.fresh()
    trace = Trace()
    link = RecordingLink(bench.card.link(), trace)
    assert link.interface == Interface.CONTACT
    tap(terminal, link)
    return trace
