"""Debit, void, tear, crash, loss, upload, acknowledgement: PROTOCOL.md 4 and 6, exhaustively.

One card, all amounts 1. Every interleaving is explored.

- The card: its receipts in order, loads, acknowledged sequence, CONFIRMed sequences. A slot of its
  ring is free when its receipt is acknowledged; a debit needs two free slots, a void one.
- A terminal: journal (survives a crash, not a loss), receipts kept for the backend, and a step in a
  session. At each tap it first collects receipts and settles its own pending intents by them.
- The backend: settles each sequence once, acknowledges the contiguous prefix, tells a terminal the
  receipt s + 1 of an intent that it reported pending. Uploads may come late, again, in any order or
  never; an acknowledgement may reach the card before a pending intent is recovered.
- Goods: stock, handed, on the counter, back in stock. From the durable INTENT of their void they
  are in suspense.

States of a debit in the journal, with its goods: I pending, X aborted, R receipt durable and goods
in stock, G handed and not noted, D DELIVERED, C on the counter in suspense, H given back and not
noted, B back in stock and not noted, E RETURNED, Z nothing on disk. Of a void: I, X, R, Z.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.models.explore import BrokenError

ALL = frozenset({"hand", "give", "back", "void"})
BAD_LUCK = ("LOST", "loses", "crashes", "torn")


@dataclass(frozen=True, slots=True)
class Rules:
    """Sizes, and the rules of PROTOCOL.md; a test changes one to show that it is needed."""

    terminals: int = 2
    operations: int = 3
    ring: int = 2
    first_load: int = 2
    most_loaded: int = 2
    losses: int = 1
    debit_slots: int = 2  # free slots a debit needs
    atomic: bool = True  # counters and ring entry of a command commit together
    intent_first: bool = True  # INTENT durable before the command
    receipt_first: bool = True  # RECEIPT durable before goods
    abort: str = "evidence"  # "error": not answered is not done; "missing": nor a slot reused
    void_latest: bool = True  # only the card's latest receipt is voided
    void_own: bool = True  # only by the terminal that made it
    confirm_own: bool = True  # CONFIRM only by the terminal of the receipt
    final: bool = True  # a CONFIRMed receipt is not voided
    waits: frozenset[str] = ALL  # what waits for the outcome of a pending void
    asks: frozenset[str] = ALL  # what is asked after a crash, never assumed
    acknowledge: str = "prefix"  # "highest": the highest settled sequence
    once: bool = True  # each sequence settles once
    load: str = "max"  # "set": a load sets counters; "add": a load adds
    tells: bool = True  # the backend gives receipt s + 1 of a pending intent
    holds: bool = True  # nothing is payable in suspense


class Card(NamedTuple):
    """``receipts``: (terminal, intent, sequence voided or 0), the first is sequence 1."""

    receipts: tuple[tuple[int, int, int], ...]
    debited: int
    reversed: int
    loaded: int
    acknowledged: int
    confirmed: int  # bit s - 1 of sequence s


class Intent(NamedTuple):
    """A line of the journal: a debit, or the void of a sequence."""

    voids: int
    expected: int
    state: str


class Terminal(NamedTuple):
    """``kept``: receipts on disk not known settled, as bits. ``step``: None, or where it stands.

    "c" in a session, "i" INTENT written, "w" answered, "W" answered and the card gone.
    """

    alive: bool
    journal: tuple[Intent, ...]
    kept: int
    step: str | None


class Backend(NamedTuple):
    """Bits of settled sequences, of those DELIVERED and not in suspense, and L issued."""

    settled: int
    delivered: int
    issued: int


class State(NamedTuple):
    """All of it."""

    card: Card
    terminals: tuple[Terminal, ...]
    backend: Backend


Step = tuple[str, State]


def sequence_bits(bits: int) -> list[int]:
    """The sequences in a mask."""
    return [s + 1 for s in range(bits.bit_length()) if bits >> s & 1]


class Recovery:
    """The model under ``rules``."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()

    def start(self) -> State:
        """A loaded card and empty journals."""
        r = self.rules
        card = Card((), 0, 0, r.first_load, 0, 0)
        terminals = (Terminal(True, (), 0, None),) * r.terminals
        return State(card, terminals, Backend(0, 0, r.first_load))

    # --- small changes -----------------------------------------------------------------------

    def _term(self, s: State, t: int, **to: object) -> State:
        terminals = (*s.terminals[:t], s.terminals[t]._replace(**to), *s.terminals[t + 1 :])
        return s._replace(terminals=terminals)

    def _mark(self, s: State, t: int, n: int, state: str) -> State:
        journal = s.terminals[t].journal
        changed = (*journal[:n], journal[n]._replace(state=state), *journal[n + 1 :])
        return self._term(s, t, journal=changed)

    def _keep(self, s: State, t: int, sequence: int) -> State:
        if s.backend.settled >> (sequence - 1) & 1:
            return s
        return self._term(s, t, kept=s.terminals[t].kept | 1 << (sequence - 1))

    def _receipt(self, s: State, t: int, n: int) -> State:
        """RECEIPT durable for intent n: the receipt is one above the expected sequence."""
        expected = s.terminals[t].journal[n].expected
        return self._keep(self._mark(s, t, n, "R"), t, expected + 1)

    def _forget(self, s: State, t: int) -> State:
        """The session is over and memory is gone."""
        journal = s.terminals[t].journal
        if not self.rules.intent_first and journal and journal[-1].state == "I":
            s = self._mark(s, t, len(journal) - 1, "Z")
        return self._term(s, t, step=None)

    def in_ring(self, card: Card) -> range:
        """Sequences that can be read."""
        last = len(card.receipts)
        return range(max(1, last - self.rules.ring + 1), last + 1)

    def free(self, card: Card) -> int:
        """Free slots."""
        return self.rules.ring - (len(card.receipts) - card.acknowledged)

    def acknowledged(self, settled: int) -> int:
        """What the backend would acknowledge now."""
        if self.rules.acknowledge == "highest":
            return settled.bit_length()
        return (~settled & (settled + 1)).bit_length() - 1

    @staticmethod
    def void_of(journal: tuple[Intent, ...], sequence: int) -> str:
        """State of the open or done void of that debit; empty without one."""
        return next((i.state for i in journal if i.voids == sequence and i.state in "IR"), "")

    def told(self, journal: tuple[Intent, ...]) -> tuple[int, int]:
        """Bits of this journal's own receipts, and of those it says are payable."""
        own = payable = 0
        for i in journal:
            if i.voids or i.state in "IXZ":
                continue
            own |= 1 << i.expected
            in_suspense = self.rules.holds and self.void_of(journal, i.expected + 1)
            if i.state in ("D" if self.rules.holds else "DCH") and not in_suspense:
                payable |= 1 << i.expected
        return own, payable

    # --- what may happen ---------------------------------------------------------------------

    def steps(self, s: State) -> Iterator[Step]:
        """Every step of every party."""
        r = self.rules
        in_session = any(x.step not in {None, "W"} for x in s.terminals)
        for t, x in enumerate(s.terminals):
            if not x.alive:
                continue
            yield from self._goods(s, t)
            yield from self._with_backend(s, t)
            yield from self._tap(s, t, in_session)
            if sum(not y.alive for y in s.terminals) < r.losses:
                yield f"T{t} is LOST", self._term(s, t, alive=False, step=None)
        if s.backend.issued < r.most_loaded:
            yield (
                "issuer tops up",
                s._replace(backend=s.backend._replace(issued=s.backend.issued + 1)),
            )

    def _with_backend(self, s: State, t: int) -> Iterator[Step]:
        x, b = s.terminals[t], s.backend
        if self.rules.tells and x.step is None:
            for n, i in enumerate(x.journal):
                if i.state == "I" and b.settled >> i.expected & 1:
                    ours = s.card.receipts[i.expected][:2] == (t, n)
                    after = self._receipt(s, t, n) if ours else self._mark(s, t, n, "X")
                    yield (
                        f"T{t} learns from the bundle of #{n}: {'' if ours else 'not '}done",
                        after,
                    )
        for sequence in sequence_bits(x.kept):
            bit = 1 << (sequence - 1)
            if b.settled & bit:
                if not self.rules.once:
                    raise BrokenError("settled twice", f"T{t} uploads seq {sequence} again")
                continue
            done = s._replace(backend=b._replace(settled=b.settled | bit))
            if self.rules.once:  # what the acknowledgement covers is not kept any more
                terminals = tuple(y._replace(kept=y.kept & ~bit) for y in done.terminals)
                done = done._replace(terminals=terminals)
            yield f"T{t} uploads seq {sequence}", done
        own, payable = self.told(x.journal)
        if b.delivered & own != payable:
            now = b._replace(delivered=b.delivered & ~own | payable)
            yield f"T{t} uploads its journal: {sequence_bits(payable)}", s._replace(backend=now)

    def _goods(self, s: State, t: int) -> Iterator[Step]:
        for n, i in enumerate(s.terminals[t].journal):
            if not i.voids and i.state in "RGCHB":
                void = self.void_of(s.terminals[t].journal, i.expected + 1)
                yield from self._goods_of(s, t, n, i.state, void)

    def _goods_of(self, s: State, t: int, n: int, state: str, void: str) -> Iterator[Step]:
        """Goods of debit n; ``void`` is the state of its void."""
        r = self.rules

        def before(what: str) -> str:
            return "" if what in r.waits else "I"

        def asked(what: str, broken: str) -> None:
            if what not in r.asks:
                raise BrokenError(broken, f"T{t} crashes and does it again: #{n}")

        if state == "R" and void in before("hand"):
            yield f"T{t} hands goods #{n}", self._mark(s, t, n, "G")
        if state == "G":
            asked("hand", "goods handed twice")
            yield f"T{t} notes DELIVERED #{n}", self._mark(s, t, n, "D")
        if state == "C" and void in before("give"):
            yield f"T{t} gives goods #{n} back", self._mark(s, t, n, "H")
        if state == "H":
            asked("give", "goods handed twice")
            yield f"T{t} notes GIVEN_BACK #{n}", self._mark(s, t, n, "D")
        if state == "C" and void and void in ("R" if "back" in r.waits else "RI"):
            yield f"T{t} puts goods #{n} into stock", self._mark(s, t, n, "B")
        if state == "B":
            asked("back", "goods returned twice")
            yield f"T{t} notes RETURNED #{n}", self._mark(s, t, n, "E")

    def _tap(self, s: State, t: int, in_session: bool) -> Iterator[Step]:
        x = s.terminals[t]
        n = len(x.journal) - 1
        match x.step:
            case None:
                if not in_session:
                    yield f"T{t} taps, collects", self._collect(s, t)
            case "c":
                yield f"T{t} ends the session", self._term(s, t, step=None)
                yield from self._session(s, t)
            case "i":
                yield f"T{t} loses the card before #{n} is done", self._no_answer(s, t, n)
                yield from self._execute(s, t, n)
            case _:
                if x.step == "w":
                    yield f"T{t} loses the card after the answer", self._term(s, t, step="W")
                if not self.rules.receipt_first:
                    raise BrokenError("goods without a durable receipt", f"T{t} hands goods #{n}")
                step = "c" if x.step == "w" else None
                yield (f"T{t} writes RECEIPT #{n}",
                       self._receipt(self._term(s, t, step=step), t, n))  # fmt: skip
                yield f"T{t} crashes before RECEIPT #{n}", self._forget(s, t)

    def _no_answer(self, s: State, t: int, n: int) -> State:
        if self.rules.abort == "error":
            return self._mark(self._term(s, t, step=None), t, n, "X")
        return self._forget(s, t)

    def _collect(self, s: State, t: int) -> State:
        """READ the ring: own pending intents found in it, others' receipts carried home."""
        after = self._term(s, t, step="c")
        for sequence in self.in_ring(s.card):
            maker, n, _ = s.card.receipts[sequence - 1]
            if maker == t and s.terminals[t].journal[n].state == "I":
                after = self._receipt(after, t, n)
            if maker != t and sequence > s.card.acknowledged:
                after = self._keep(after, t, sequence)
        return after

    def _session(self, s: State, t: int) -> Iterator[Step]:
        card, journal = s.card, s.terminals[t].journal
        pending = [n for n, i in enumerate(journal) if i.state == "I"]
        for n in pending:
            if self._proves_not_done(card, t, n, journal[n].expected):
                yield f"T{t} ABORTs #{n}", self._mark(s, t, n, "X")
        yield from self._confirms(s, t)
        yield from self._loads(s, t)
        if not pending:
            yield from self._orders(s, t)

    def _proves_not_done(self, card: Card, t: int, n: int, expected: int) -> bool:
        if len(card.receipts) == expected or self.rules.abort == "missing":
            return True
        return expected + 1 in self.in_ring(card) and card.receipts[expected][:2] != (t, n)

    def _confirms(self, s: State, t: int) -> Iterator[Step]:
        card, journal = s.card, s.terminals[t].journal
        for sequence in self.in_ring(card):
            maker, n, voids = card.receipts[sequence - 1]
            if voids or card.confirmed >> (sequence - 1) & 1:
                continue
            ours = maker == t and journal[n].state == "D" and not self.void_of(journal, sequence)
            if ours or (not self.rules.confirm_own and maker != t):
                now = card._replace(confirmed=card.confirmed | 1 << (sequence - 1))
                yield f"T{t} CONFIRMs seq {sequence}", s._replace(card=now)

    def _loads(self, s: State, t: int) -> Iterator[Step]:
        """LOAD of any entitlement ever issued, stale ones too, with what was acknowledged then."""
        card = s.card
        for loaded in range(self.rules.first_load, s.backend.issued + 1):
            for a in range(self.acknowledged(s.backend.settled) + 1):
                new = {
                    "max": (max(card.loaded, loaded), max(card.acknowledged, a)),
                    "set": (loaded, a),
                    "add": (card.loaded + 1, max(card.acknowledged, a)),
                }[self.rules.load]
                if new != (card.loaded, card.acknowledged):
                    yield (f"T{t} LOADs L={loaded}, acknowledged={a}", s._replace(
                        card=card._replace(loaded=new[0], acknowledged=new[1])))  # fmt: skip

    def _orders(self, s: State, t: int) -> Iterator[Step]:
        """INTENTs of debits and voids."""
        r, card, journal = self.rules, s.card, s.terminals[t].journal
        used = sum(len(x.journal) for x in s.terminals)
        # By symmetry terminal t writes its first intent after terminal t - 1 did.
        turn = t == 0 or s.terminals[t - 1].journal
        balance = card.loaded - card.debited + card.reversed
        now = len(card.receipts)
        if used < r.operations and turn and balance > 0 and self.free(card) >= r.debit_slots:
            line = Intent(0, now, "I")
            yield (f"T{t} writes INTENT #{len(journal)}: debit",
                   self._term(s, t, journal=(*journal, line), step="i"))  # fmt: skip
        for sequence, state, own in self._voidable(s, t):
            if self.free(card) < 1:
                raise BrokenError("a lawful void is refused", f"T{t} VOID of seq {sequence}")
            if used >= r.operations or state not in "RDC" + "G" * ("void" not in r.asks):
                continue
            after = self._mark(s, t, card.receipts[sequence - 1][1], "C") if (
                own and state in "DC") else s  # fmt: skip
            line = Intent(sequence, now, "I")
            yield (f"T{t} writes INTENT #{len(journal)}: void of seq {sequence}", self._term(
                after, t, journal=(*after.terminals[t].journal, line), step="i"))  # fmt: skip

    def _voidable(self, s: State, t: int) -> Iterator[tuple[int, str, bool]]:
        """Sequences on whose void terminal and card would agree, with the goods' state."""
        card, journal = s.card, s.terminals[t].journal
        latest = len(card.receipts)
        for sequence in self.in_ring(card):
            maker, n, voids = card.receipts[sequence - 1]
            own = maker == t
            if voids or (self.rules.void_latest and sequence != latest):
                continue
            if not own and self.rules.void_own:
                continue
            if self.rules.final and card.confirmed >> (sequence - 1) & 1:
                if own and sequence == latest and journal[n].state == "R":
                    raise BrokenError("a lawful void is refused", f"T{t} VOID of seq {sequence}")
                continue
            if sequence in [x[2] for x in card.receipts] or self.void_of(journal, sequence):
                continue
            state = journal[n].state if own else "R"
            if state not in "IXZ":
                yield sequence, state, own

    def _execute(self, s: State, t: int, n: int) -> Iterator[Step]:
        """The card gets the command: it commits, and its answer comes or not."""
        card, i = s.card, s.terminals[t].journal[n]
        what = (
            f"T{t} {'VOID' if i.voids else 'DEBIT'} #{n}: card commits seq {len(card.receipts) + 1}"
        )
        done = s._replace(card=card._replace(
            receipts=(*card.receipts, (t, n, i.voids)),
            debited=card.debited + (not i.voids), reversed=card.reversed + bool(i.voids),
        ))  # fmt: skip
        yield what + ", answered", self._term(done, t, step="w")
        yield what + ", answer loses its way", self._no_answer(done, t, n)
        if not self.rules.atomic:
            half = s._replace(card=card._replace(
                debited=card.debited + (not i.voids), reversed=card.reversed + bool(i.voids)
            ))  # fmt: skip
            yield f"T{t} #{n} torn: counters written, ring not", self._forget(half, t)

    # --- what must hold ----------------------------------------------------------------------

    def broken(self, s: State) -> str:
        """The first promise that ``s`` breaks."""
        receipts = (self._broken_receipt(s, n) for n in range(len(s.card.receipts)))
        found = [self._broken_card(s.card, s.backend), *receipts]
        return next(filter(None, found), "") or self._broken_books(s)

    def _broken_card(self, card: Card, backend: Backend) -> str:
        voided = [x[2] for x in card.receipts if x[2]]
        if card.debited + card.reversed != len(card.receipts) or card.reversed != len(voided):
            return "counters and receipts disagree"
        if not 0 <= card.loaded - card.debited + card.reversed <= card.loaded <= backend.issued:
            return "balance below 0, or more than was issued"
        return "a debit is reversed twice" if len(set(voided)) < len(voided) else ""

    def _broken_receipt(self, s: State, n: int) -> str:
        """Promises about sequence n + 1."""
        card, (maker, intent, voids) = s.card, s.card.receipts[n]
        state, confirmed = s.terminals[maker].journal[intent].state, card.confirmed >> n & 1
        if state == "X":
            return "an intent is both aborted and done"
        if state == "Z":
            return "a debit without INTENT on disk"
        at_hand = s.backend.settled
        for x in s.terminals:
            at_hand |= x.kept if x.alive else 0
        if not at_hand >> n & 1 and (n + 1 not in self.in_ring(card) or card.acknowledged > n):
            return "a receipt can no longer be settled"
        if voids:
            return ""
        reversed_ = n + 1 in [x[2] for x in card.receipts]
        if confirmed and state != "D":
            return "CONFIRMed but not DELIVERED"
        if confirmed and reversed_:
            return "a CONFIRMed debit is reversed"
        if reversed_ and state in "GDH":
            return "the family has goods and money"
        return "goods in stock and the debit stands" if state in "BE" and not reversed_ else ""

    def payable(self, s: State) -> int:
        """Proven debits DELIVERED and not in suspense, less the reversed, seen or counted."""
        card, b = s.card, s.backend
        voided = {x[2] for n, x in enumerate(card.receipts) if x[2] and b.settled >> n & 1}
        shown = sum(x[2] > 0 for x in card.receipts[: b.settled.bit_length()])
        proven = [n + 1 for n, x in enumerate(card.receipts)
                  if b.settled >> n & b.delivered >> n & 1 and not x[2]]  # fmt: skip
        return max(0, sum(n not in voided for n in proven) - (shown - len(voided)))

    def _broken_books(self, s: State) -> str:
        card, b = s.card, s.backend
        whole = b.settled == (1 << len(card.receipts)) - 1
        current = all(not x.alive or b.delivered & own == payable
                      for x in s.terminals for own, payable in [self.told(x.journal)])  # fmt: skip
        if not (whole and current):
            return ""
        out = sum(i.state in "GDH" and not i.voids for x in s.terminals for i in x.journal)
        lost = sum(not x[2] and not s.terminals[x[0]].alive for x in card.receipts)
        pay, net = self.payable(s), card.debited - card.reversed
        if pay > out + lost:
            return "payable above the goods with families"
        if self.is_quiet(s) and (abs(out - net) > lost or abs(pay - net) > lost):
            return "all settled: goods, money and counters differ"
        return ""

    def is_quiet(self, s: State) -> bool:
        """By the records alone nothing is open on a living terminal, and all is settled."""
        if s.backend.settled != (1 << len(s.card.receipts)) - 1:
            return False
        for x in s.terminals:
            for i in x.journal if x.alive else ():
                void = self.void_of(x.journal, i.expected + 1)
                if i.state in "IGCHB":
                    return False
                if not i.voids and ((i.state == "R" and void != "R") or (i.state == "D" and void)):
                    return False
        return True

    def is_rest(self, s: State) -> bool:
        """Quiet, and the ring is free again; or nobody is left who could do anything."""
        return (self.is_quiet(s) and s.card.acknowledged == len(s.card.receipts)) or not any(
            x.alive for x in s.terminals
        )

    @staticmethod
    def is_bad_luck(label: str) -> bool:
        """Tears, losses and crashes."""
        return any(word in label for word in BAD_LUCK)
