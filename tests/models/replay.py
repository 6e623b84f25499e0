"""Walks of the recovery model, each step done by the real terminals and the real card.

The walk chooses what a person or fate may choose: who taps, what is asked, where the link breaks or
the process dies, what is uploaded, which entitlement a bundle carries. Every real result must be a
step that the model allows in its state, and after each the two must look the same.
"""

from __future__ import annotations

from collections import Counter
from random import Random

from card_os.host.links import CardRemoved, InProcessLink
from card_os.reference.memory import Persistent
from card_os.reference.purse_store import PurseStore
from terminal.outcomes import GoodsGivenBack, GoodsReturned, Redeemed, Voided
from terminal.projection import State as RealState
from tests.models.recovery import Recovery, Rules, State
from tests.support.terminal_world import FOOD, PIN, Card, Issuer, Terminal, entry
from wire.apdu import CommandApdu
from wire.cvc import Role
from wire.entitlement import NEVER_S, Lot
from wire.log import IntentKind
from wire.purse import Flag, Ins

__all__ = ["MismatchError", "Replay"]

FAULTS = "none", "none", "none", "cut before", "cut after", "killed after"
CONFIRMED = 0.2
WIDE = Rules(ring=32, operations=14, first_load=8, most_loaded=10, losses=1)


class MismatchError(AssertionError):
    """Model and reality part; the message says after which steps."""


class KilledError(BaseException):
    """The process dies here."""


class FaultyLink(InProcessLink):
    """Breaks at the debit or void, as told."""

    def __init__(self, card: Card, fault: str) -> None:
        super().__init__(card)
        self.card, self.fault = card, fault

    def transmit(self, command: bytes, /) -> bytes:
        """One command; the fault strikes DEBIT and VOID only."""
        if CommandApdu.parse(command).ins not in {Ins.DEBIT, Ins.VOID} or self.fault == "none":
            return super().transmit(command)
        if self.fault != "cut before":
            super().transmit(command)
        self.card.power_off()
        if self.fault == "killed after":
            raise KilledError
        raise CardRemoved("as told")


def begins(label: str, start: str) -> bool:
    """Whether ``label`` begins with these words: #1 is not #11."""
    return label.startswith(start) and not label[len(start) :][:1].isdigit()


class Replay:
    """One walk of ``steps`` macro steps from ``seed``."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - walks repeat
        self.model = Recovery(WIDE)
        self.state: State = self.model.start()
        self.done: list[str] = []
        self.counts: Counter[str] = Counter()
        self.given_back: set[tuple[int, int]] = set()
        self.issuer = Issuer(seed=seed)
        self.card = self.issuer.card()
        self.entitlements = [self._entitlement(1, WIDE.first_load, 0)]
        self.carried = [0] * WIDE.terminals  # index of the entitlement a terminal's bundle has
        self.terminals = [Terminal(self.issuer, b"TERM000%d" % n) for n in (1, 2)]
        for t in range(WIDE.terminals):
            self._bundle(t)
            self.terminals[t].engine.open_shift(5)
            self._visit(t, Role.TERMINAL, "none").close()

    @property
    def store(self) -> PurseStore:
        """The card's memory, read past the card."""
        return PurseStore(Persistent(self.card.nvm, "purse/"))

    # --- the model -----------------------------------------------------------------------------

    def step(self, start: str, *, end: str = "") -> None:
        """The model's step of that label; MismatchError when it allows none."""
        for label, after in self.model.steps(self.state):
            if begins(label, start) and label.endswith(end):
                self.state = after
                self.done.append(label)
                return
        raise MismatchError(f"the model has no step {start!r} {end!r} after {self.done}")

    def allows(self, start: str) -> bool:
        """Whether such a step is there."""
        return any(begins(label, start) for label, _ in self.model.steps(self.state))

    def compare(self) -> None:
        """Card and journals as the model has them."""
        store, model = self.store, self.state.card
        card = store.card
        (wallet,) = store.wallets(card)
        seen = (card.sequence, wallet.counters.debited, wallet.counters.reversed,
                wallet.counters.loaded, card.acknowledged)  # fmt: skip
        wanted = (len(model.receipts), model.debited, model.reversed, model.loaded,
                  model.acknowledged)  # fmt: skip
        if seen != wanted:
            raise MismatchError(f"card {seen}, model {wanted} after {self.done}")
        for t, x in enumerate(self.state.terminals):
            if x.alive:
                real = [self._real_state(t, n) for n in range(len(x.journal))]
                said = [(i.voids, i.expected, self._said(t, n)) for n, i in enumerate(x.journal)]
                if real != said:
                    raise MismatchError(f"T{t} {real}, model {said} after {self.done}")

    def _rows(self, t: int) -> list[object]:
        return self.terminals[t].journal.intents_of(self.card.card_id)

    def _real_state(self, t: int, n: int) -> tuple[int, int, str]:
        row = self._rows(t)[n]
        voids = row.expected if row.kind == IntentKind.VOID else 0
        return voids, row.expected, str(row.state)

    def _said(self, t: int, n: int) -> str:
        """The journal state the model's letter stands for: goods on their way are not written."""
        i = self.state.terminals[t].journal[n]
        if i.voids:
            return self._said_void(t, n)
        return str({"I": RealState.OPEN, "X": RealState.ABORTED, "R": RealState.RECEIPTED,
                    "G": RealState.RECEIPTED}.get(i.state, RealState.DELIVERED))  # fmt: skip

    def _said_void(self, t: int, n: int) -> str:
        journal = self.state.terminals[t].journal
        i = journal[n]
        debit = next(d for d in journal if not d.voids and d.expected + 1 == i.voids
                     and d.state != "X")  # fmt: skip
        given_back = (t, n) in self.given_back
        table = {"I": RealState.OPEN, "R": RealState.RECEIPTED, "X": RealState.ABORTED}
        if i.state == "R" and debit.state == "E":
            return str(RealState.RETURNED)
        return str(RealState.GIVEN_BACK if i.state == "X" and given_back else table[i.state])

    # --- walking -------------------------------------------------------------------------------

    def walk(self, steps: int) -> Counter[str]:
        """Macro steps, compared after each."""
        acts = [self._acknowledge, self._learn, self._look, self._lose, self._top_up,
                *[self._sale, self._void, self._goods, self._upload] * 3]  # fmt: skip
        for _ in range(steps):
            act = self.random.choice(acts)
            act()
            self.compare()
        return self.counts

    def _alive(self) -> list[int]:
        return [t for t, x in enumerate(self.state.terminals) if x.alive]

    def _visit(self, t: int, role: Role, fault: str) -> object:
        terminal = self.terminals[t]
        link = FaultyLink(self.card, fault)
        self.card.power_on()
        visit = terminal.engine.begin(link, role, terminal.officers.get(role))
        if not hasattr(visit, "redeem"):
            raise MismatchError(f"T{t} was refused: {visit} after {self.done}")
        return visit

    def _tap(self, t: int, role: Role, fault: str) -> object:
        """A visit's beginning: own intents by evidence, LOAD, receipts carried home."""
        visit = self._visit(t, role, fault)
        self.step(f"T{t} taps")
        rows = self._rows(t)
        for n, i in enumerate(self.state.terminals[t].journal):
            if i.state == "I" and rows[n].state == RealState.ABORTED:
                self.step(f"T{t} ABORTs #{n}")
                self.counts["aborted"] += 1
        carried = self.entitlements[self.carried[t]]
        if (carried.loaded > self.state.card.loaded
                or carried.acknowledged > self.state.card.acknowledged):  # fmt: skip
            self.step(f"T{t} LOADs L={carried.loaded}, acknowledged={carried.acknowledged}")
            self.counts["loaded"] += 1
        return visit

    def _look(self) -> None:
        t = self.random.choice(self._alive())
        self._tap(t, Role.TERMINAL, "none").close()
        self.step(f"T{t} ends")

    def _sale(self) -> None:
        t, fault = self.random.choice(self._alive()), self.random.choice(FAULTS)
        visit = self._tap(t, Role.TERMINAL, fault)
        n = len(self.state.terminals[t].journal)
        # A terminal counts another's reversal only when it is settled: it may offer less.
        offered = next(v.most for v in visit.wallets() if v.wallet == FOOD)
        if not offered or not self.allows(f"T{t} writes INTENT #{n}: debit"):
            visit.close()
            self.step(f"T{t} ends")
            return
        visit.verify_pin(PIN)
        self._order(t, n, "debit", fault, lambda: visit.redeem(FOOD, 1))
        if fault == "none":
            if self.random.random() < CONFIRMED:
                visit.delivered(self._rows(t)[n].sequence)
                self.step(f"T{t} hands goods #{n}")
                self.step(f"T{t} notes DELIVERED #{n}")
                if Flag.CONFIRMED not in visit.state.flags:
                    raise MismatchError(f"not CONFIRMed after {self.done}")
                self.step(f"T{t} CONFIRMs seq {len(self.state.card.receipts)}")
            visit.close()
            self.step(f"T{t} ends")

    def _void(self) -> None:
        receipts, fault = self.state.card.receipts, self.random.choice(FAULTS)
        if not receipts or receipts[-1][0] not in self._alive():
            return
        t = receipts[-1][0]
        visit = self._tap(t, Role.SUPERVISOR, fault)
        n, latest = len(self.state.terminals[t].journal), len(self.state.card.receipts)
        if not self.allows(f"T{t} writes INTENT #{n}: void of seq {latest}") or (
                suspended := self._debit_of(t, latest).state == "C"):  # fmt: skip
            visit.close()
            self.step(f"T{t} ends")
            return
        on_counter = self._debit_of(t, latest).state == "D" and not suspended
        debit = self._rows(t)[self.state.card.receipts[-1][1]].sequence
        if on_counter and fault == "none":  # the rarer way, oftener
            fault = visit.link.fault = self.random.choice(("none", "cut before"))

        def act() -> object:
            return visit.void(debit, on_counter=on_counter, reason="salah jumlah")

        self._order(t, n, f"void of seq {latest}", fault, act)
        if fault == "none":
            visit.close()
            self.step(f"T{t} ends")

    def _debit_of(self, t: int, sequence: int) -> object:
        maker, n, _ = self.state.card.receipts[sequence - 1]
        assert maker == t
        return self.state.terminals[t].journal[n]

    def _order(self, t: int, n: int, what: str, fault: str, act: object) -> None:
        """INTENT and command with the fault, in reality and in the model."""
        self.counts[f"{what.split(maxsplit=1)[0]}, {fault}"] += 1
        try:
            outcome = act()
        except KilledError:
            outcome = None
            self.terminals[t].restart()
        self.step(f"T{t} writes INTENT #{n}: {what}")
        verb = f"T{t} {'DEBIT' if what == 'debit' else 'VOID'} #{n}"
        if fault == "cut before":
            self.step(f"T{t} loses the card before #{n}")
        elif fault == "cut after":
            self.step(verb, end="answer loses its way")
        else:
            self.step(verb, end=", answered")
            if fault == "none":
                self.step(f"T{t} writes RECEIPT #{n}")
            else:
                self.step(f"T{t} crashes before RECEIPT #{n}")
        good = isinstance(outcome, Redeemed | Voided)
        if good != (fault == "none"):
            raise MismatchError(f"{outcome} with {fault} after {self.done}")

    def _goods(self) -> None:
        """What a person says later, without the card: delivered, given back, returned."""
        t = self.random.choice(self._alive())
        journal = self.state.terminals[t].journal
        for n, debit in enumerate(journal):
            voids = [m for m, i in enumerate(journal) if i.voids == debit.expected + 1]
            open_voids = [m for m in voids if (t, m) not in self.given_back and not debit.voids]
            if self._say(t, n, open_voids[-1] if open_voids else n):
                return

    def _say(self, t: int, n: int, void: int) -> bool:
        """The one thing that can be said of debit n's goods now, if there is one."""
        engine, rows = self.terminals[t].engine, self._rows(t)
        if self.allows(f"T{t} hands goods #{n}"):
            engine.delivered(rows[n].sequence)
            self.step(f"T{t} hands goods #{n}")
            self.step(f"T{t} notes DELIVERED #{n}")
        elif self.allows(f"T{t} gives goods #{n} back"):
            assert isinstance(engine.given_back(rows[void].sequence), GoodsGivenBack)
            self.given_back.add((t, void))
            self.step(f"T{t} gives goods #{n} back")
            self.step(f"T{t} notes GIVEN_BACK #{n}")
            self.counts["given back"] += 1
        elif self.allows(f"T{t} puts goods #{n}"):
            assert isinstance(engine.returned(rows[void].sequence), GoodsReturned)
            self.step(f"T{t} puts goods #{n}")
            self.step(f"T{t} notes RETURNED #{n}")
            self.counts["returned"] += 1
        else:
            return False
        return True

    # --- the backend, which is the model's -----------------------------------------------------

    def _entitlement(self, sequence: int, loaded: int, acknowledged: int) -> object:
        """Settled D and R at the acknowledged sequence come from the model's receipts."""
        done = self.state.card.receipts[:acknowledged]
        return self.issuer.entitlement(
            self.card, FOOD, sequence=sequence, loaded=loaded, acknowledged=acknowledged,
            lots=(Lot(NEVER_S, loaded),), settled_debited=sum(not x[2] for x in done),
            settled_reversed=sum(x[2] > 0 for x in done),
        )  # fmt: skip

    def _upload(self) -> None:
        """Some of what may be uploaded now, in any order."""
        for _ in range(self.random.randrange(4)):
            uploads = [label for label, _ in self.model.steps(self.state) if " uploads " in label]
            if uploads:
                self.step(self.random.choice(uploads))
                self.counts["uploaded"] += 1

    def _top_up(self) -> None:
        if self.allows("issuer tops up"):
            self.step("issuer tops up")

    def _bundle(self, t: int) -> None:
        terminal = self.terminals[t]
        terminal.engine.install(terminal.bundle(entry(
            self.card, self.entitlements[self.carried[t]], resolved=tuple(self._resolved(t))
        )))  # fmt: skip

    def _resolved(self, t: int) -> list[bytes]:
        """Receipts s + 1 of intents that this terminal reported pending, as far as settled."""
        if not self.done:
            return []
        settled = self.state.backend.settled
        return [self._card_receipt(i.expected + 1) for i in self.state.terminals[t].journal
                if i.state == "I" and settled >> i.expected & 1]  # fmt: skip

    def _card_receipt(self, sequence: int) -> bytes:
        raw = self.store.receipt(self.store.card, sequence)
        assert raw is not None
        return raw

    def _acknowledge(self) -> None:
        """The issuer signs what is settled; some terminal's next bundle carries it."""
        now = self.model.acknowledged(self.state.backend.settled)
        newest = self.entitlements[-1]
        if (self.state.backend.issued, now) != (newest.loaded, newest.acknowledged):
            made = self._entitlement(newest.sequence + 1, self.state.backend.issued, now)
            self.entitlements.append(made)
        self._learn()

    def _learn(self) -> None:
        """A sync: the newest entitlement, and the outcome of what was pending."""
        waiting = [t for t in self._alive() if self._resolved(t)]
        t = self.random.choice(waiting or self._alive())
        self.carried[t] = len(self.entitlements) - 1
        pending = [n for n, i in enumerate(self.state.terminals[t].journal) if i.state == "I"]
        self._bundle(t)
        for n in pending:
            if self.allows(f"T{t} learns from the bundle of #{n}"):
                self.step(f"T{t} learns from the bundle of #{n}")
                self.counts["learnt"] += 1

    def _lose(self) -> None:
        if self.random.random() < 0.03 and len(self._alive()) == WIDE.terminals:
            self.step(f"T{self.random.choice(self._alive())} is LOST")
            self.counts["lost"] += 1
