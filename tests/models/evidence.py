"""Scripts, PIN sets and their statements: PROTOCOL.md 4 and 6, exhaustively.

One card. A PIN is set at activation, by its holder, or once after a PIN_RESET. Each set and each
script answers with a statement; the card keeps only the newest of a PIN set and of a script, and
every receipt carries both counts. A terminal collects the newest ones that the backend does not
know before it does anything new. Answers are lost, terminals crash before their journal is durable,
terminals are lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.models.explore import BrokenError

BAD_LUCK = ("LOST", "loses", "torn")
RESET, BLOCK = "PIN_RESET", "BLOCK"


@dataclass(frozen=True, slots=True)
class Rules:
    """Sizes, and the rules; a test changes one to show that it is needed."""

    terminals: int = 2
    pin_sets: int = 3
    debits: int = 0
    scripts: tuple[str, ...] = (RESET, RESET)
    losses: int = 1
    keeps: bool = True  # the card keeps its newest statements
    collects: bool = True  # before anything new
    atomic: bool = True  # PIN, count and the end of the reset commit together
    increasing: bool = True  # a script runs only above the highest number ever run
    block_stops: bool = True  # a blocked card takes no debit and no PIN


class Card(NamedTuple):
    """``ran``: numbers of the scripts in the order they ran; ``resets`` open (0 or 1)."""

    pin_sets: int
    ran: tuple[int, ...]
    resets: int
    reset_used: int
    receipts: tuple[tuple[int, int], ...]  # (PIN sets, scripts) as signed


class Terminal(NamedTuple):
    """Statements and receipts durable and not known at the backend, as bits; a session open."""

    alive: bool
    pins: int
    scripts: int
    receipts: int
    in_session: bool


class Backend(NamedTuple):
    """What it holds, as bits, and how many scripts the issuer has signed."""

    pins: int
    scripts: int
    receipts: int
    signed: int


class State(NamedTuple):
    """All of it."""

    card: Card
    terminals: tuple[Terminal, ...]
    backend: Backend


Step = tuple[str, State]
KINDS = ("pins", "scripts", "receipts")


class Evidence:
    """The model under ``rules``."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()

    def start(self) -> State:
        """An inert card."""
        terminals = (Terminal(True, 0, 0, 0, False),) * self.rules.terminals
        return State(Card(0, (), 0, 0, ()), terminals, Backend(0, 0, 0, 0))

    @staticmethod
    def _term(s: State, t: int, **to: object) -> State:
        terminals = (*s.terminals[:t], s.terminals[t]._replace(**to), *s.terminals[t + 1 :])
        return s._replace(terminals=terminals)

    def _keep(self, s: State, t: int, kind: str, number: int) -> State:
        bit = 1 << number >> 1
        if getattr(s.backend, kind) & bit:
            return s
        return self._term(s, t, **{kind: getattr(s.terminals[t], kind) | bit})

    def steps(self, s: State) -> Iterator[Step]:
        """Every step of every party."""
        r = self.rules
        if s.backend.signed < len(r.scripts):
            number = s.backend.signed + 1
            yield (f"issuer signs script {number}: {r.scripts[number - 1]}",
                   s._replace(backend=s.backend._replace(signed=number)))  # fmt: skip
        busy = any(x.in_session for x in s.terminals)
        for t, x in enumerate(s.terminals):
            if not x.alive:
                continue
            if sum(not y.alive for y in s.terminals) < r.losses:
                yield f"T{t} is LOST", self._term(s, t, alive=False, in_session=False)
            for kind in KINDS:
                if getattr(x, kind):
                    yield f"T{t} uploads its {kind}", self._upload(s, kind, getattr(x, kind))
            if x.in_session:
                yield f"T{t} ends the session", self._term(s, t, in_session=False)
                yield from self._session(s, t)
            elif not busy:
                yield f"T{t} taps, collects", self._collect(s, t)

    def _upload(self, s: State, kind: str, bits: int) -> State:
        b = s.backend._replace(**{kind: getattr(s.backend, kind) | bits})
        terminals = tuple(x._replace(**{kind: getattr(x, kind) & ~bits}) for x in s.terminals)
        return s._replace(terminals=terminals, backend=b)

    def _collect(self, s: State, t: int) -> State:
        s = self._term(s, t, in_session=True)
        for number in range(1, len(s.card.receipts) + 1):
            s = self._keep(s, t, "receipts", number)
        if not (self.rules.collects and self.rules.keeps):
            return s
        s = self._keep(s, t, "pins", s.card.pin_sets)
        return self._keep(s, t, "scripts", len(s.card.ran))

    def _session(self, s: State, t: int) -> Iterator[Step]:
        r, card = self.rules, s.card
        blocked = r.block_stops and any(r.scripts[n - 1] == BLOCK for n in card.ran)
        if card.pin_sets and len(card.receipts) < r.debits and not blocked:
            if not r.block_stops and any(r.scripts[n - 1] == BLOCK for n in card.ran):
                raise BrokenError("a blocked card pays", f"T{t} DEBIT")
            done = card._replace(receipts=(*card.receipts, (card.pin_sets, len(card.ran))))
            yield from self._done(s, t, done, "receipts", "DEBIT")
        for number in range(1, s.backend.signed + 1):
            if number > max(card.ran, default=0) or not r.increasing:
                resets = int(r.scripts[number - 1] == RESET) or card.resets
                done = card._replace(ran=(*card.ran, number), resets=resets)
                if len(done.ran) <= len(r.scripts):
                    yield from self._done(s, t, done, "scripts", f"SCRIPT {number}")
        if card.pin_sets < r.pin_sets:
            yield from self._set_pin(s, t, card, blocked=blocked)

    def _set_pin(self, s: State, t: int, card: Card, *, blocked: bool) -> Iterator[Step]:
        more = card._replace(pin_sets=card.pin_sets + 1)
        if card.pin_sets == 0:
            yield from self._done(s, t, more, "pins", "ACTIVATE")
            return
        if not blocked:
            yield from self._done(s, t, more, "pins", "holder's CHANGE PIN")
        if card.resets:
            used = more._replace(resets=0, reset_used=card.reset_used + 1)
            yield from self._done(s, t, used, "pins", "PIN after reset")
            if not self.rules.atomic:
                torn = self._term(s._replace(card=used._replace(resets=1)), t, in_session=False)
                yield f"T{t} PIN after reset torn: the reset stays", torn

    def _done(self, s: State, t: int, card: Card, kind: str, what: str) -> Iterator[Step]:
        """The card commits; its answer is durable at the terminal, or lost with the session."""
        after = s._replace(card=card)
        number = {"pins": card.pin_sets, "scripts": len(card.ran),
                  "receipts": len(card.receipts)}[kind]  # fmt: skip
        yield f"T{t} {what}: done, answered, durable", self._keep(after, t, kind, number)
        yield f"T{t} {what}: done, loses the answer", self._term(after, t, in_session=False)

    def broken(self, s: State) -> str:
        """The first promise that ``s`` breaks."""
        card = s.card
        if len(set(card.ran)) < len(card.ran) or list(card.ran) != sorted(card.ran):
            return "a script ran twice or out of order"
        if card.reset_used > sum(self.rules.scripts[n - 1] == RESET for n in card.ran):
            return "one reset set two PINs"
        if all(x.alive for x in s.terminals):
            for kind, count, newest in (
                ("pins", card.pin_sets, card.pin_sets), ("scripts", len(card.ran), len(card.ran))
            ):  # fmt: skip
                at_hand = getattr(s.backend, kind)
                for x in s.terminals:
                    at_hand |= getattr(x, kind)
                if self.rules.keeps and newest:
                    at_hand |= 1 << (newest - 1)
                if at_hand != (1 << count) - 1:
                    return f"no evidence is left of one of the {kind}"
        return ""

    def is_rest(self, s: State) -> bool:
        """Everything is at the backend, or somebody took the evidence with him."""
        b, card = s.backend, s.card
        whole = (b.pins == (1 << card.pin_sets) - 1 and b.scripts == (1 << len(card.ran)) - 1
                 and b.receipts == (1 << len(card.receipts)) - 1)  # fmt: skip
        return whole or not all(x.alive for x in s.terminals)

    @staticmethod
    def is_bad_luck(label: str) -> bool:
        """Losses and lost answers."""
        return any(word in label for word in BAD_LUCK)
