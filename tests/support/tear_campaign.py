"""Every tear of every command in every state, and every second tear after it (PROTOCOL.md §8).

One piece is one first tear (card kind, state, command, write) and the command of the next tap. It
walks all second tears: in every write of the next tap, its opening included, and, where the next
tap tries the same command again, in every write of the power-up between. After each, power comes
back and the next tap is tried once more.

What must hold: after any tear the logical state is that of before or of after the command it
struck (a try counter may have fallen, SPEC.md#tears); whatever the tears were, the last tap ends
as it would have on a card that was never torn; the purse's own sums hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random

from card_os.reference.external import AppletHost
from card_os.reference.memory import Nvm, PowerLoss
from card_os.reference.purse_store import PurseStore, Secrets
from tests.support.applet_world import AppletBench, records_of
from tests.support.campaign import FaultError
from tests.support.purse_tears import COMMANDS, STATES
from tests.support.purse_world import Bench, Refused, stage, stages
from tests.support.tear_content import ContentTears
from wire.apdu import CommandApdu, ResponseApdu
from wire.purse import Ins
from wire.receipt import Receipt

Logical = tuple[object, ...]
Stage = Callable[[str], Bench]
SEED = 5  # every tap draws the same randomness, so that two taps from one state are one
TRY_COUNTERS = {Ins.VERIFY, Ins.CHANGE_PIN, Ins.ACTIVATE}
PIN_REFUSED = "PIN refused"


def _reference_state(bench: Bench) -> Logical:
    return bench.store.logical_state()


def _applet_state(bench: Bench) -> Logical:
    assert isinstance(bench, AppletBench)
    return records_of(bench.applet.state, fresh_keys=True).logical_state()


@dataclass(frozen=True)
class Kind:
    """A kind of card: where its lives come from and how its logical state is seen."""

    name: str
    stage: Stage = field(repr=False)
    logical: Callable[[Bench], Logical] = field(repr=False)


def reference(stage: Stage = stage) -> Kind:
    """The reference purse."""
    return Kind("reference", stage, _reference_state)


def applet(host: AppletHost) -> Kind:
    """The Java Card applet on the tests' Store, whose power-up writes nothing."""
    lives = stages(AppletBench(applet_class=host.make))
    return Kind("applet", lambda life: lives[life].fork(), _applet_state)


# --- one tap --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Struck:
    """One command of a tap: the write it began with, and the state before and after it."""

    ins: int
    first: int
    before: Logical
    after: Logical
    memory_before: Nvm = field(repr=False)
    memory_after: Nvm = field(repr=False)


@dataclass(frozen=True)
class Tap:
    """A tap to its end: what came of it, its commands and its writes."""

    bench: Bench
    outcome: str
    commands: tuple[Struck, ...]
    writes: int
    own_first: int  # the write that the command itself began with
    state: Logical


def _said(result: object) -> str:
    """What a step came to; a status word that a step returns is as good as one it raises."""
    if isinstance(result, int):
        return _said(Refused(result)) if result != 0x9000 else "done"
    if isinstance(result, Refused):
        is_pin = result.sw == 0x6983 or result.sw & 0xFFF0 == 0x63C0
        return PIN_REFUSED if is_pin else f"refused {result.sw:04X}"
    return "done"


@contextmanager
def watched(bench: Bench, logical: Callable[[Bench], Logical]) -> Iterator[list[Struck]]:
    """Note every command the bench sends; one that wrote nothing is taken to change nothing."""
    seen: list[Struck] = []
    start, now = bench.nvm.writes, (logical(bench), bench.nvm.fork())
    clear, secured = bench.transmit, bench.scp03

    def noted(ins: int, send: Callable[[], object]) -> object:
        nonlocal now
        first, before = bench.nvm.writes, now
        try:
            return send()
        finally:
            if bench.nvm.writes != first:
                now = logical(bench), bench.nvm.fork()
            seen.append(Struck(ins, first - start, before[0], now[0], before[1], now[1]))

    def transmit(command: CommandApdu) -> ResponseApdu:
        return noted(command.ins, lambda: clear(command))  # type: ignore[return-value]

    def scp03(command: CommandApdu) -> bytes:
        return noted(command.ins, lambda: secured(command))  # type: ignore[return-value]

    bench.transmit, bench.scp03 = transmit, scp03  # type: ignore[method-assign,assignment]
    try:
        yield seen
    finally:
        del bench.transmit, bench.scp03


def _go(bench: Bench, command: str) -> tuple[str, int]:
    """Open the session and do the command: what came of it, and the writes before it."""
    start = bench.nvm.writes
    own_first = 0
    try:
        step = COMMANDS[command](bench)
        own_first = bench.nvm.writes - start
        return _said(step()), own_first
    except Refused as refused:
        said = _said(refused)
        return said, own_first


def tap(kind: Kind, card: Bench, command: str) -> Tap:
    """One untorn tap on a copy of the card."""
    bench = card.fork(seed=SEED)
    start = bench.nvm.writes
    with watched(bench, kind.logical) as seen:
        outcome, own_first = _go(bench, command)
    writes, state = bench.nvm.writes - start, kind.logical(bench)
    if seen and seen[-1].after != state:
        raise FaultError(f"{kind.name}: {command} changed what it did not write")
    return Tap(bench, outcome, tuple(seen), writes, own_first, state)


def torn_tap(card: Bench, command: str, before: int) -> Bench:
    """A tap whose write number ``before`` meets no power; the card as that left it."""
    bench = card.fork(seed=SEED)
    bench.nvm.tear_before = before
    try:
        _go(bench, command)
    except PowerLoss:
        return bench
    raise FaultError(f"{command}: no write {before} the second time")


# --- what is allowed ------------------------------------------------------------------------------


def _blanked(state: Logical) -> Logical:
    """The same state with both try counters blanked."""
    assert isinstance(state[1], bytes)
    blank = replace(Secrets.parse(state[1]), pin_tries=0, code_tries=0)
    return (state[0], bytes(blank), *state[2:])


def _tries(state: Logical) -> tuple[int, int]:
    assert isinstance(state[1], bytes)
    secrets = Secrets.parse(state[1])
    return secrets.pin_tries, secrets.code_tries


def check_left(left: Logical, struck: Struck, where: str) -> None:
    """Before or after the command that was struck, nothing else."""
    if left in (struck.before, struck.after):
        return
    if struck.ins in TRY_COUNTERS:
        fewer = all(n <= m for n, m in zip(_tries(left), _tries(struck.before), strict=True))
        if fewer and _blanked(left) in (_blanked(struck.before), _blanked(struck.after)):
            return
    raise FaultError(f"{where}: neither the state before {Ins(struck.ins).name} nor after")


def check_sums(store: PurseStore, where: str) -> None:
    """No wallet below zero, the newest receipt tells its wallet's counters and is the head."""
    card = store.card
    for wallet in store.wallets(card):
        if wallet.counters.balance < 0 or wallet.counters.reversed > wallet.counters.debited:
            raise FaultError(f"{where}: wallet {wallet.code:04X} holds {wallet.counters}")
    if card.sequence == 0:
        return
    raw = store.receipt(card, card.sequence)
    if raw is None:
        raise FaultError(f"{where}: the newest receipt is not there")
    receipt = Receipt.parse(raw)
    counters = {w.code: w.counters for w in store.wallets(card)}[receipt.wallet]
    told = receipt.counters
    if (counters.debited, counters.reversed) != (told.debited, told.reversed):
        raise FaultError(f"{where}: the newest receipt says {told}, the wallet {counters}")
    if card.head != receipt.hash:
        raise FaultError(f"{where}: the next receipt would not link to the newest")


@dataclass
class Case:
    """A command in a state of a kind of card, and the command of the next tap, untorn.

    What torn cards are held against: an untorn card at every moment of the story.
    """

    kind: Kind
    state: str
    command: str
    then: str
    card: Bench = field(repr=False)
    first: Tap = field(repr=False)
    _ends: dict[Logical, tuple[str, Logical]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """For a fault's text."""
        return f"{self.kind.name}, {self.state}, {self.command}"

    @cached_property
    def untorn(self) -> dict[Logical, Nvm]:
        """Every state that an untorn card has between two commands of the story, and its memory."""
        own = self.first.commands[-1]
        found = {_blanked(own.before): own.memory_before, _blanked(own.after): own.memory_after}
        for memory in list(found.values()):
            for struck in tap(self.kind, _powered(self.card, memory), self.then).commands:
                found.setdefault(_blanked(struck.after), struck.memory_after)
        return found

    def check_works(self, card: Bench, where: str) -> str:
        """The next tap, untorn, on a card that was torn: it ends as on one that was not."""
        before = _blanked(self.kind.logical(card))
        if before not in self.untorn:
            raise FaultError(f"{where}: a state that no untorn card of this story has")
        if before not in self._ends:
            clean = tap(self.kind, _powered(self.card, self.untorn[before]), self.then)
            self._ends[before] = clean.outcome, _blanked(clean.state)
        outcome, after = self._ends[before]
        done = tap(self.kind, card, self.then)
        if done.outcome != outcome:
            raise FaultError(f"{where}: {self.then} {done.outcome}, an untorn card: {outcome}")
        if _blanked(done.state) != after:
            raise FaultError(f"{where}: {self.then} ends in another state than on an untorn card")
        check_sums(done.bench.store, where)
        return done.outcome


# --- one piece ------------------------------------------------------------------------------------


def _struck(commands: tuple[Struck, ...], write: int) -> Struck:
    """The command in which that write lies."""
    return [c for c in commands if c.first <= write][-1]


def _with(card: Bench, nvm: Nvm) -> Bench:
    """A card on that memory; its power-up is the caller's."""
    bench = card.fork(seed=SEED)
    bench.nvm = nvm
    return bench


def _powered(card: Bench, memory: Nvm, second: int | None = None) -> Bench:
    """The card after a power-up of a copy of ``memory``; ``second``: after one torn there, too."""
    nvm = memory.fork()
    if second is not None:
        try:
            nvm.power_on(tear_before=second)
        except PowerLoss:
            pass
        else:
            raise FaultError(f"the power-up has no write {second} the second time")
    bench = _with(card, nvm)
    bench.power_on()
    return bench


def walk(case: Case, write: int) -> Counter[str]:
    """The first tear before that write, then every second one; raises FaultError.

    Those within the power-up are walked where the next tap tries the same command again.
    """
    where = f"{case.name}: tear before write {write - case.first.own_first}"
    memory = torn_tap(case.card, case.command, write).nvm.fork()
    recovered = _powered(case.card, memory)
    left = case.kind.logical(recovered)
    check_left(left, _struck(case.first.commands, write), where)
    seen: Counter[str] = Counter()
    seen[f"then {case.check_works(recovered, where)}"] += 1
    if case.then == case.command:
        seen[f"single tears, {case.kind.name}"] += 1
        for second in range(_writes_of_power_up(memory)):
            there = f"{where}, then before write {second} of the power-up"
            again = _powered(case.card, memory, second)
            if case.kind.logical(again) != left:
                raise FaultError(f"{there}: another state than after the first tear")
            seen[f"then {case.check_works(again, there)}"] += 1
            seen[f"double tears in the power-up, {case.kind.name}"] += 1
    after = tap(case.kind, recovered, case.then)
    for second in range(after.writes):
        there = f"{where}, then before write {second} of {case.then}"
        again = _powered(case.card, torn_tap(recovered, case.then, second).nvm)
        check_left(case.kind.logical(again), _struck(after.commands, second), there)
        seen[f"then {case.check_works(again, there)}"] += 1
        seen[f"double tears in the next tap, {case.kind.name}"] += 1
    return seen


def _writes_of_power_up(memory: Nvm) -> int:
    nvm = memory.fork()
    start = nvm.writes
    nvm.power_on()
    return nvm.writes - start


class Tears:
    """All pieces over some kinds of card; the seed chooses their order.

    ``content``: those of the security domain beside them. ``states`` and ``commands`` narrow them
    for tests.
    """

    def __init__(
        self, *kinds: Kind, states: Sequence[str] = tuple(STATES),
        commands: Sequence[str] = tuple(COMMANDS),
        content: ContentTears | None = None,
    ) -> None:  # fmt: skip
        self._commands, self._content = commands, content
        self._tears: list[tuple[Kind, str, str, int]] = []
        self._cards: dict[tuple[str, str], Bench] = {}
        self._firsts: dict[tuple[str, str, str], Tap] = {}
        self._orders: dict[int, list[int]] = {}
        for kind in kinds:
            for state in states:
                card = self._cards[kind.name, state] = STATES[state](kind.stage)
                for command in commands:
                    first = self._firsts[kind.name, state, command] = tap(kind, card, command)
                    self._tears += [
                        (kind, state, command, write)
                        for write in range(first.own_first, first.writes)
                    ]

    def __len__(self) -> int:
        domain = 0 if self._content is None else len(self._content)
        return len(self._tears) * len(self._commands) + domain

    def piece(self, seed: int, number: int) -> Counter[str]:
        """One first tear, one next command and all second tears."""
        if seed not in self._orders:
            order = list(range(len(self)))
            Random(seed).shuffle(order)  # noqa: S311 - must repeat
            self._orders = {seed: order}
        chosen = self._orders[seed][number]
        in_domain = chosen - len(self._tears) * len(self._commands)
        if self._content is not None and in_domain >= 0:
            return self._content.piece(in_domain)
        at, then = divmod(chosen, len(self._commands))
        kind, state, command, write = self._tears[at]
        card, first = self._cards[kind.name, state], self._firsts[kind.name, state, command]
        return walk(Case(kind, state, command, self._commands[then], card, first), write)
